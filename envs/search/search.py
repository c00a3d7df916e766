"""Questions over a corpus: the search environment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Literal

from palaestra.answers import exact_match, token_f1
from palaestra.environment import OnFailure, check_whole
from palaestra.envs.language.dialects import Dialect
from palaestra.envs.language.environment import LanguageEnv
from palaestra.envs.language.tools import Tool, ToolOutput, answer_tool
from palaestra.envs.search.corpus import Corpus, load_corpus
from palaestra.envs.search.passages import Passage
from palaestra.envs.search.policies import SEARCH_POLICIES, modal_answers
from palaestra.envs.search.question_files import load_questions
from palaestra.envs.search.retrievers import Hit, Retriever, make_retriever
from palaestra.envs.search.snippets import snippet
from palaestra.episodes import TextPart
from palaestra.errors import ConfigError
from palaestra.policies import PolicyFactory
from palaestra.tasks import Task, TaskSet

__all__ = ["SearchEnv"]

Score = Literal["em", "f1"]
Support = Literal["auto", "always", "never"]


class SearchEnv(LanguageEnv):
    """Answer questions by searching your own corpus.

    ## Description
    The agent is asked a question. It may search a corpus as often as its turns allow and then gives one answer. The
    protocol is Search-R1's (arXiv:2503.09516): a turn is a search or an answer, results come back as text, and the
    answer is scored by exact match after SQuAD's normalisation.

    ## Action Space
    | Space | Bound | Meaning |
    | --- | --- | --- |
    | `Utf8` | 65536 bytes | One turn: thought, then a tool call in the chosen dialect |

    Any text is legal. A malformed turn is answered by what was wrong and what is accepted. `sample()` draws
    well-formed calls. The tools:

    | Tool | Arguments | Effect |
    | --- | --- | --- |
    | `search` | `query` (string) | The `top_k` best passages |
    | `answer` | `answer` (string) | Ends the episode |

    ## Observation Space
    | Space | Bound | Meaning |
    | --- | --- | --- |
    | `Utf8` | 65536 bytes | At reset instructions and question; then the result of the last turn |

    ## Rewards
    0 until the end, then the outcome in [0, 1]: `em` or `f1` of the answer, the best over all accepted answers. Where
    the supporting passages are required (`support`; by default for comparisons, counts, yes and no, and wherever a
    question names its candidates), an answer counts only if they were all among those retrieved, by id or by title,
    so it cannot be won by guessing.

    ## Starting State
    A task drawn uniformly from the split, or the one named by `reset(options={"task_id": ...})`.

    ## Episode End
    1. Termination: an answer was given.
    2. Truncation: `max_turns` turns were taken; the outcome is then 0.
    3. Truncation with `info["status"] == "failed"`: the retriever is out of order. Not a reward of 0.

    ## Information
    At reset `task_id`, `group`, `split`. After each step `calls` (tuple of `ToolCall`, passage ids in `data`) and
    `malformed`; at the end also `outcome`, `em`, `f1` and `supported` (1.0 if every supporting passage was retrieved).

    ## Arguments
    | Parameter | Type | Default | Description |
    | --- | --- | --- | --- |
    | `corpus` | path, iterable | `None` | JSONL of `id`, `title`, `text` (or `id`, `contents`), or passages |
    | `questions` | path, iterable | `None` | A question file (HotpotQA, 2WikiMultihopQA, MuSiQue, NQ), or tasks |
    | `retriever` | str, Retriever | `"bm25"` | `bm25`, `dense`, `hybrid`, the URL of a retrieval server, or an object |
    | `top_k` | int | `3` | Passages a search returns |
    | `snippet_chars` | int | `None` | Show of each passage only the stretch of so many characters that fits best |
    | `brief` | bool | `False` | Leave out instructions and example, for models trained on this dialogue |
    | `split` | str | `"all"` | `train`, `val`, `test` or `all` |
    | `score` | str | `"em"` | `em` or `f1` |
    | `support` | str | `"auto"` | `always`, `never`, or `auto`: where an answer could be guessed |
    | `dialect` | str | `"tags"` | `tags`, `hermes`, `json`, or a dialect of your own |
    | `max_turns` | int | `8` | Horizon |
    | `max_action_bytes` | int | `65536` | Longest utterance that is read |
    | `max_observation_bytes` | int | `65536` | Longest observation |
    | `render_mode` | str | `None` | `ansi` or `human` |
    | `on_failure` | str | `"truncate"` | `truncate` or `raise` |
    | `privileged` | bool | `False` | Show the ground truth in `info` |

    `questions` is needed, and `corpus` unless the retriever is an address or an object, which bring their passages.

    >>> import gymnasium as gym, palaestra
    >>> env = gym.make(
    ...     "palaestra/Search-v0",
    ...     corpus=[("1", "Bhutan", "Its capital is Thimphu."), ("2", "Peru", "Its capital is Lima.")],
    ...     questions=[{"id": "q1", "question": "What is the capital of Peru?", "golden_answers": ["Lima"]}],
    ... )
    >>> observation, info = env.reset(seed=0)
    >>> observation, *_ = env.step("<search> capital of Peru </search>")
    >>> env.step("<answer> Lima </answer>")[1]
    1.0

    ## Version History
    * v0: first version.
    """

    shipped_policies: ClassVar[Mapping[str, PolicyFactory]] = SEARCH_POLICIES

    def __init__(
        self,
        corpus: str | os.PathLike[str] | Iterable[Any] | Corpus | None = None,
        questions: str | os.PathLike[str] | Iterable[Any] | TaskSet | None = None,
        *,
        retriever: str | Retriever = "bm25",
        top_k: int = 3,
        snippet_chars: int | None = None,
        brief: bool = False,
        split: str = "all",
        score: Score = "em",
        support: Support = "auto",
        dialect: str | Dialect = "tags",
        max_turns: int = 8,
        max_action_bytes: int = 65_536,
        max_observation_bytes: int = 65_536,
        render_mode: str | None = None,
        on_failure: OnFailure = "truncate",
        privileged: bool = False,
    ) -> None:
        if questions is None or (corpus is None and isinstance(retriever, str) and "://" not in retriever):
            missing = "questions" if questions is None else "corpus"
            raise ConfigError(
                f"Search needs '{missing}': gym.make('palaestra/Search-v0', corpus='passages.jsonl', "
                "questions='questions.jsonl')."
            )
        check_whole("top_k", top_k)
        if snippet_chars is not None:
            check_whole("snippet_chars", snippet_chars)
        if score not in ("em", "f1"):
            raise ConfigError(f"score is {score!r}; choose 'em' or 'f1'.")
        if support not in ("auto", "always", "never"):
            raise ConfigError(f"support is {support!r}; choose 'auto', 'always' or 'never'.")
        self.top_k, self.score, self.support = top_k, score, support
        self.snippet_chars, self.brief = snippet_chars, brief
        self.all_tasks = _as_tasks(questions)
        tasks = self.all_tasks.where(split=split)
        self.all_tasks.once(("search", support), lambda: _check_tasks(self.all_tasks, support))
        self.corpus = None if corpus is None else load_corpus(corpus)
        self.retriever = make_retriever(retriever, self.corpus)
        self._retrieved: dict[str, str] = {}
        self._answer: str | None = None
        super().__init__(
            tasks,
            dialect=dialect,
            max_turns=max_turns,
            max_action_bytes=max_action_bytes,
            max_observation_bytes=max_observation_bytes,
            render_mode=render_mode,
            on_failure=on_failure,
            privileged=privileged,
        )

    @property
    def retrieved(self) -> frozenset[str]:
        """Ids of all passages that were retrieved in this episode."""
        return frozenset(self._retrieved)

    def missing_passages(self) -> tuple[tuple[str, ...], ...]:
        """The supporting facts of which no passage was retrieved yet: for each the ids and titles that would do."""
        found = {*self._retrieved, *self._retrieved.values()}
        return tuple(choices for choices in _gold(self.task) if not found.intersection(choices))

    def needs_support(self, task: Task) -> bool:
        """Whether the answer counts only with its supporting passages retrieved."""
        if self.support == "auto":
            return bool(_gold(task)) and _guessable(task)
        return self.support == "always"

    @cached_property
    def modal_answers(self) -> Mapping[Any, str]:
        """The most frequent training answers, for the `prior` policy; see `palaestra.envs.search.policies`."""
        return modal_answers(self.all_tasks)

    def _make_tools(self) -> Sequence[Tool]:
        search = Tool(
            name="search",
            description="Finds the passages that fit the query best.",
            parameters={
                "type": "object",
                "properties": {"query": {"type": "string", "description": "What to look for, in words."}},
                "required": ["query"],
                "additionalProperties": False,
            },
            run=self._search,
            primary="query",
        )
        return (search, answer_tool(self._give_answer, "Gives your final answer, in a few words, and ends."))

    def _begin(self, task: Task) -> None:
        self._retrieved, self._answer = {}, None

    def _prompt(self, task: Task) -> str:
        if self.brief:
            return f"Question: {task.prompt}"
        return (
            "Answer the question with the help of a search engine. Search as often as you need; you have "
            f"{self.max_turns} turns.\n{self.dialect.instructions(self._tool_list)}\n\n{self._example()}\n\n"
            f"Question: {task.prompt}"
        )

    def _example(self) -> str:
        """An invented dialogue in the dialect at hand, which shows more than rules tell."""
        family = Passage("1", "Tolland family", "Mira's brother Jonas Tolland keeps a shop.")
        jonas = Passage("2", "Jonas Tolland", "He sells clocks.")
        return "\n".join(
            (
                "Example",
                "Question: What does the brother of Mira Tolland sell?",
                self.say("search", query="brother of Mira Tolland"),
                self.dialect.wrap(_shown([Hit(family, 1.0, 1)])),
                self.say("search", query="shop of Jonas Tolland"),
                self.dialect.wrap(_shown([Hit(jonas, 1.0, 1)])),
                self.say("answer", answer="clocks"),
            )
        )

    def _search(self, query: str) -> ToolOutput:
        hits = self.retriever.search([query], self.top_k)[0]
        found = {hit.passage.id: hit.passage.title for hit in hits}
        self._retrieved.update(found)
        if self.snippet_chars is not None:
            short = [snippet(hit.passage.text, query, self.snippet_chars, title=hit.passage.title) for hit in hits]
            hits = [
                hit._replace(passage=replace(hit.passage, text=text)) for hit, text in zip(hits, short, strict=True)
            ]
        return ToolOutput((TextPart(_shown(hits)),), {"passages": tuple(found)})

    def _give_answer(self, answer: str) -> ToolOutput:
        self._answer = answer
        return ToolOutput((TextPart("The answer was noted."),))

    def _judge(self) -> Mapping[str, float]:
        answers = self.task.truth["answers"]
        em = 0.0 if self._answer is None else exact_match(self._answer, answers)
        f1 = 0.0 if self._answer is None else token_f1(self._answer, answers)
        supported = float(not self.missing_passages())
        outcome = em if self.score == "em" else f1
        if self.needs_support(self.task):
            outcome *= supported
        return {"outcome": outcome, "em": em, "f1": f1, "supported": supported}

    def _get_family_state(self) -> Any:
        return {"retrieved": dict(self._retrieved), "answer": self._answer}

    def _set_family_state(self, state: Any) -> None:
        self._retrieved, self._answer = dict(state["retrieved"]), state["answer"]


def _shown(hits: Sequence[Hit]) -> str:
    """Passages as Search-R1 shows them: numbered, each with its title."""
    if not hits:
        return "\nNothing was found; use other words.\n"
    return "\n" + "".join(_doc(hit.rank, hit.passage) for hit in hits)


def _doc(rank: int, passage: Passage) -> str:
    return f"Doc {rank} (Title: {passage.title}) {passage.text}\n"


def _gold(task: Task) -> tuple[tuple[str, ...], ...]:
    """For each supporting fact the ids and titles of passages that hold it; a bare id stands for itself."""
    gold = task.truth.get("gold_passages", ())
    return tuple((item,) if isinstance(item, str) else tuple(item) for item in gold)


def _guessable(task: Task) -> bool:
    """Whether the question leaves so few answers that one could be hit by chance."""
    kind = str(task.metadata.get("kind", ""))
    two_way = task.truth["answers"][0].strip().lower() in ("yes", "no")  # not normalised: ".no" is Norway's domain
    return two_way or kind == "count" or "comparison" in kind or bool(task.metadata.get("candidates"))


def _as_tasks(questions: Any) -> TaskSet:
    if isinstance(questions, TaskSet):
        return questions
    if not isinstance(questions, str | os.PathLike | Mapping) and isinstance(questions, Iterable):
        questions = tuple(questions)
        if questions and all(isinstance(question, Task) for question in questions):
            return TaskSet(questions)
    return load_questions(questions)


def _check_tasks(tasks: TaskSet, support: Support) -> None:
    for task in tasks:
        answers = task.truth.get("answers")
        texts = isinstance(answers, tuple | list) and all(isinstance(answer, str) for answer in answers)
        if not answers or not texts:
            raise ConfigError(
                f"The task '{task.id}' needs truth['answers'], a tuple of accepted texts; got {answers!r}."
            )
        if support == "always" and not task.truth.get("gold_passages"):
            raise ConfigError(
                f"support='always' needs questions with supporting passages; '{task.id}' has no truth['gold_passages']."
            )
