"""The Berkeley Function-Calling Leaderboard as an environment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from palaestra.environment import OnFailure
from palaestra.envs.language.dialects import CallRequest, Dialect
from palaestra.envs.language.environment import LanguageEnv
from palaestra.envs.language.tools import Tool
from palaestra.envs.search.retrievers import make_retriever
from palaestra.envs.search.retrievers.base import Retriever
from palaestra.envs.tools.bfcl.agentic import WEB_SEARCH
from palaestra.envs.tools.bfcl.conversation import Reply, Talk, begin, joined
from palaestra.envs.tools.bfcl.dialect import BFCLDialect, OfferedFunction
from palaestra.envs.tools.bfcl.policies import BFCL_POLICIES
from palaestra.envs.tools.bfcl.source_languages import require_grammars
from palaestra.envs.tools.bfcl.tasks import chosen_categories, coverage, coverage_table, load_tasks
from palaestra.episodes import ToolCall
from palaestra.errors import ConfigError
from palaestra.policies import PolicyFactory
from palaestra.spaces import clip_utf8
from palaestra.tasks import Task

__all__ = ["BFCLEnv"]

_SAMPLED = 40  # functions that `action_space.sample()` draws from


class BFCLEnv(LanguageEnv):
    """Call functions as the Berkeley Function-Calling Leaderboard (BFCL) asks.

    ## Description
    The leaderboard's cases as the package `bfcl-eval` publishes them (`pip install --no-deps bfcl-eval`), its prompts,
    and verdicts equal to its own. In most categories there is one question with some functions, and one reply: calls
    that are compared with the accepted answers, or none where no function serves. In the multi-turn categories a user
    comes back several times, calls are run by eight stateful applications, and their state and results are compared.
    In the agentic ones an accepted answer must stand in the last message.

    | Category | Cases | Of these winnable | What is asked for |
    | --- | --- | --- | --- |
    | `simple_python` | 400 | 400 | One call |
    | `simple_java` | 100 | 98 | One call in Java |
    | `simple_javascript` | 50 | 50 | One call in JavaScript |
    | `multiple` | 200 | 200 | One call of one of several functions |
    | `parallel` | 200 | 200 | Several calls of a function |
    | `parallel_multiple` | 200 | 200 | Several calls of several functions |
    | `irrelevance` | 240 | 240 | No call |
    | `live_simple` | 258 | 256 | As above, from users |
    | `live_multiple` | 1053 | 1051 | " |
    | `live_parallel` | 16 | 16 | " |
    | `live_parallel_multiple` | 24 | 24 | " |
    | `live_irrelevance` | 884 | 884 | " |
    | `live_relevance` | 16 | 16 | Any call |
    | `multi_turn_base` | 200 | 200 | A conversation |
    | `multi_turn_miss_func` | 200 | 200 | ... in which a function arrives late |
    | `multi_turn_miss_param` | 200 | 200 | ... in which the user says too little at first |
    | `multi_turn_long_context` | 200 | 200 | ... with results full of other things |
    | `memory_kv` | 155 | 155 | An answer out of earlier conversations, kept under keys |
    | `memory_rec_sum` | 155 | 155 | ... kept in one text |
    | `web_search_base` | 100 | 100 | An answer that `search` finds |
    | `web_search_no_snippet` | 100 | 100 | ... with results that show titles only |
    | `format_sensitivity` | 5200 | 5194 | 200 of the questions in 26 prompt formats |

    Not covered: `memory_vector`; and web search goes to a `search` of yours, not to the web. The leaderboard's overall
    score needs all categories and cannot be had here; a mean over several is no score of the leaderboard. Compare
    single categories. Cases that no output can win are left out unless `winnable_only=False`.

    The memory categories are not among the default ones, as their episodes are long: several conversations in which
    the user tells about himself, each with an empty dialogue, then one in which he asks. Only the memory lasts.

    ## Action Space
    | Space | Bound | Meaning |
    | --- | --- | --- |
    | `Utf8(max_bytes=65536)` | 65536 bytes | One turn: calls, or words |

    Any text is legal and none is ever evaluated. In the dialect `bfcl` calls are written as the prompt says, mostly
    `[name(argument=value, ...), ...]`, and read as the leaderboard reads them. Other dialects stand for models with an
    interface for functions; names are then written with `_` for `.`. A text without calls is a reply in words.

    ## Observation Space
    | Space | Bound | Meaning |
    | --- | --- | --- |
    | `Utf8(max_bytes=262144)` | 262144 bytes | Instructions, functions and question; then results or the user |

    ## Rewards
    0 until the end, then the outcome: 1 if the verdict is that the calls were right, else 0. Where no call is right,
    silence wins: `null` and `echo` win the irrelevance categories. An echo also wins where a question holds its answer.

    ## Starting State
    A task drawn uniformly from the split, or the one named by `reset(options={"task_id": ...})`.

    ## Episode End
    1. Termination: the reply was given; in conversations, the user has nothing more to say, or more than 20 turns with
       calls followed one another, which loses.
    2. Truncation: `max_turns` turns were taken.

    ## Information
    Always `status`. At reset `task_id`, `group`, `split`. After each step `calls` (tuple of `ToolCall`) and `malformed`
    (an utterance that names a function and holds no calls); at the end also `outcome`.

    ## Arguments
    | Parameter | Type | Default | Description |
    | --- | --- | --- | --- |
    | `release` | str | `"v4"` | The release of the leaderboard |
    | `categories` | str, sequence | `"scoring"` | Categories, or `scoring`, `single_turn`, `non_live`, `live`, \
`multi_turn`, `memory`, `web_search`, `agentic`, `all` (without `web_search`) |
    | `split` | str | `"all"` | `train`, `val`, `test` or `all`; palaestra's own, by the functions on offer |
    | `winnable_only` | bool | `True` | Leave out the cases that no output can win |
    | `dialect` | str | `"bfcl"` | `bfcl`, `hermes`, `json`, or a dialect of your own |
    | `search` | str, retriever | `None` | Where web searches go: the address of a server that speaks Search-R1's \
protocol (`palaestra serve retriever` starts one), or a retriever |
    | `max_turns` | int | `2560` | Horizon; the leaderboard has none beyond 20 steps in one of the user's turns |
    | `max_action_bytes` | int | `65536` | Longest utterance that is read |
    | `max_observation_bytes` | int | `262144` | Longest observation |
    | `render_mode` | str | `None` | `ansi` or `human` |
    | `on_failure` | str | `"truncate"` | `truncate` or `raise` |
    | `privileged` | bool | `False` | Show the ground truth in `info` |

    >>> import gymnasium as gym, palaestra
    >>> env = gym.make("palaestra/BFCL-v0", categories="simple_python")
    >>> question, info = env.reset(options={"task_id": "simple_python_0"})
    >>> env.step("[calculate_triangle_area(base=10, height=5)]")[1]
    1.0

    ## Version History
    * v0: first version.
    """

    shipped_policies: ClassVar[Mapping[str, PolicyFactory]] = BFCL_POLICIES

    def __init__(
        self,
        *,
        release: str = "v4",
        categories: str | Iterable[str] = "scoring",
        split: str = "all",
        winnable_only: bool = True,
        dialect: str | Dialect = "bfcl",
        search: str | Retriever | None = None,
        max_turns: int = 2_560,
        max_action_bytes: int = 65_536,
        max_observation_bytes: int = 262_144,
        render_mode: str | None = None,
        on_failure: OnFailure = "truncate",
        privileged: bool = False,
    ) -> None:
        self.release, self.categories = release, chosen_categories(categories)
        own_words = dialect == "bfcl" or isinstance(dialect, BFCLDialect)
        if "format_sensitivity" in self.categories and not own_words:
            raise ConfigError("format_sensitivity is about prompts in BFCL's own words; it needs dialect='bfcl'.")
        if own_words and any("java" in name for name in self.categories):
            require_grammars()
        self._search = None if search is None else make_retriever(search)
        searching = [name for name in self.categories if name in WEB_SEARCH]
        if searching and search is None:
            raise ConfigError(
                f"{searching[0]} searches the web, which is not to be had here. Give a search of your own, such as "
                "search='http://localhost:8000/retrieve' (a server that speaks Search-R1's protocol; "
                "`palaestra serve retriever` starts one), or leave the category out."
            )
        every, self._cases = load_tasks(self.categories, release, not own_words, winnable_only)
        self._inside: Reply | Talk | None = None
        self._first: list[dict[str, str]] = []
        self._opened = False  # whether the last step began a conversation
        tasks = every.where(split=split)
        self._sampled = tasks
        super().__init__(
            tasks,
            dialect=BFCLDialect() if own_words else dialect,
            max_turns=max_turns,
            max_action_bytes=max_action_bytes,
            max_observation_bytes=max_observation_bytes,
            render_mode=render_mode,
            on_failure=on_failure,
            privileged=privileged,
        )

    @property
    def offered(self) -> tuple[OfferedFunction, ...]:
        """The functions on offer now, as calls are to name them."""
        return self._talk.offered

    @property
    def coverage(self) -> str:
        """Which categories of the release are covered, as a table."""
        return coverage_table(list(coverage(self.release)))

    def say_calls(self, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
        """An utterance that makes these calls, in the dialect of the current episode."""
        requests = [CallRequest(name, arguments) for name, arguments in calls]
        return self.dialect.calls(requests, self._tool_list)[0]

    @property
    def _talk(self) -> Reply | Talk:
        if self._inside is None:
            raise ConfigError("There is no episode before the first reset().")
        return self._inside

    def _make_tools(self) -> Sequence[Tool]:
        """Some of the functions, for samples; which are on offer is a matter of each task."""
        found: dict[str, Any] = {}
        for task in self._sampled:
            for function in begin(self._cases[task.id], task, self.dialect, self._search).offered:
                found.setdefault(function.name, function)
            if len(found) >= _SAMPLED:
                break
        return tuple(found.values()) or (_NO_FUNCTION,)

    def _begin(self, task: Task) -> None:
        self._enter(begin(self._cases[task.id], task, self.dialect, self._search))
        self._first = self._opening()

    def _opening(self) -> list[dict[str, str]]:
        """The messages that open the conversation."""
        limit = self._max_observation_bytes
        said = self._talk.messages()
        return [{"role": part["role"], "content": clip_utf8(part["content"], limit)} for part in said]

    def _enter(self, inside: Reply | Talk) -> None:
        self._inside, self.dialect = inside, inside.dialect
        self._offer()

    def _offer(self) -> None:
        tools: dict[str, Any] = {function.name: function for function in self.offered}
        self._tools = tools

    def _prompt(self, task: Task) -> str:
        return joined(self._first)

    def _reset(self, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        observation, info = super()._reset(options)
        self._messages = self._first
        return observation, info

    def _step(self, action: str) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._opened = False
        taken = super()._step(action)
        if self._opened:  # nothing of an earlier conversation is seen
            self._messages = self._opening()
        return taken

    def _respond(self, text: str) -> tuple[tuple[ToolCall, ...], list[str], bool]:
        heard = self._talk.respond(text)
        self._opened = self._talk.opens
        self._offer()
        return heard

    def _ended(self, calls: Sequence[ToolCall]) -> bool:
        return self._talk.over

    def _judge(self) -> Mapping[str, float]:
        return {"outcome": self._talk.outcome}

    def _get_family_state(self) -> Any:
        return None if self._inside is None else self._inside.get_state()

    def _set_family_state(self, state: Any) -> None:
        if self._task is None or state is None:
            self._inside = None
            return
        inside = begin(self._cases[self._task.id], self._task, self.dialect, self._search)
        inside.set_state(state)
        self._enter(inside)


_NO_FUNCTION: Any = OfferedFunction("none", "There is no function.", {"type": "object", "properties": {}})
