"""An office in which an assistant works with tools."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np

from palaestra.environment import OnFailure, check_flag, check_whole
from palaestra.envs.language.dialects import CallRequest, Dialect
from palaestra.envs.language.environment import LanguageEnv
from palaestra.envs.language.tools import Tool, ToolOutput
from palaestra.envs.tools.desk.build import MAX_CALLS, desk_tasks, introduction
from palaestra.envs.tools.desk.drafts import KINDS
from palaestra.envs.tools.desk.policies import DESK_POLICIES
from palaestra.envs.tools.desk.rendering import render_desk, told
from palaestra.envs.tools.desk.speaking import DISTRACTORS, distractor_tools, speaking_tools
from palaestra.envs.tools.desk.states import WorldState
from palaestra.envs.tools.desk.user import ScriptedUser
from palaestra.envs.tools.desk.verifier import SPEAKING, Spoken, gold_state, verify
from palaestra.envs.tools.desk.world import TOOLS, World
from palaestra.episodes import TextPart
from palaestra.errors import ConfigError, UnknownNameError
from palaestra.policies import PolicyFactory
from palaestra.tasks import Task

__all__ = ["ToolDeskEnv"]

Shown = Literal["task", "app", "all"]


class ToolDeskEnv(LanguageEnv):
    """Work in an office through its tools.

    ## Description
    The agent assists one of 120 employees of a company. Nine applications (directory, calendar, mail, files, contacts,
    shop, bank, tickets, leave) with 76 tools hold more than 5,000 records and obey rules: permissions, conflicts,
    stock, budgets, limits, states that exclude one another. The office is drawn from a seed; its clock stands still,
    reading changes nothing, and a call that is refused leaves everything as it was.

    A request is done when the state of the office is the one that the gold calls lead to, whatever the way and
    whatever the ids of new records, and when the answer holds what was asked for. Kinds of tasks:

    | Kind | What is to be done |
    | --- | --- |
    | `single` | One call |
    | `parallel` | Several calls that do not depend on each other |
    | `lookup` | Find it, then do it |
    | `chain` | Four to fifteen calls, often in several applications |
    | `conditional` | What is found decides what is done |
    | `aggregate` | Answer a question from many records; change nothing |
    | `ask` | Something is missing that only the user knows: ask for it, then act |
    | `refuse` | It cannot or must not be done: change nothing and say why |

    ## Action Space
    | Space | Bound | Meaning |
    | --- | --- | --- |
    | `Utf8(max_bytes=65536)` | 65536 bytes | One turn: thought, then tool calls in the chosen dialect |

    Any text is legal. A malformed turn is answered by what was wrong and what is accepted, and so is a call that a
    rule refuses. `sample()` draws well-formed calls. Beside the tools of the office:

    | Tool | Arguments | Effect |
    | --- | --- | --- |
    | `ask_user` | `question` (string) | A scripted user answers what the question asks for, if it was missing |
    | `decline` | `reason` (one of five), `explanation` (string, optional) | Refuses the request and ends the episode |
    | `answer` | `answer` (string) | Ends the episode |

    ## Observation Space
    | Space | Bound | Meaning |
    | --- | --- | --- |
    | `Utf8(max_bytes=65536)` | 65536 bytes | At reset instructions and request; then the results of the last turn |

    ## Rewards
    0 until the end, then the outcome, 0 or 1. It is 1 where the state equals that of the gold calls and what had to be
    said was said: values asked for in the answer, a question to the user where something was missing, the right reason
    where the request must be declined.

    ## Starting State
    The office at its start and a task drawn uniformly from the split, or the one named by
    `reset(options={"task_id": ...})`.

    ## Episode End
    1. Termination: `answer` or `decline` was called.
    2. Truncation: `max_turns` turns were taken. The state is judged as it stands.

    ## Information
    Always `status`. At reset `task_id`, `group`, `split`. After each step `calls` (tuple of `ToolCall`, with the
    records that were written in `data`) and `malformed`; at the end also `outcome`, `state` (1.0 if the state is
    right) and `said` (1.0 if what had to be said was).

    ## Arguments
    | Parameter | Type | Default | Description |
    | --- | --- | --- | --- |
    | `split` | str | `"train"` | `train`, `val`, `test` or `all` |
    | `kinds` | sequence | `None` | Only these kinds of tasks |
    | `max_gold_calls` | int | `15` | Only tasks that can be done with so many calls |
    | `tools` | str | `"app"` | Tools that exist: those of the gold calls (`task`), of their applications, or `all` |
    | `distractors` | int | `0` | So many tools beside them, at most 12, that are good for nothing here |
    | `brief` | bool | `False` | Leave out instructions, schemas and example, for models trained on this dialogue |
    | `world_seed` | int | `0` | The office, and with it all tasks, are drawn from it |
    | `dialect` | str | `"hermes"` | `hermes`, `json`, `tags` (one call a turn), or a dialect of your own |
    | `max_turns` | int | `20` | Horizon |
    | `max_calls` | int | `16` | Most calls in one turn |
    | `max_action_bytes` | int | `65536` | Longest utterance that is read |
    | `max_observation_bytes` | int | `65536` | Longest observation |
    | `render_mode` | str | `None` | `ansi` or `human` |
    | `on_failure` | str | `"truncate"` | `truncate` or `raise` |
    | `privileged` | bool | `False` | Show the ground truth in `info` |

    >>> import gymnasium as gym, palaestra
    >>> env = gym.make("palaestra/ToolDesk-v0", split="all")
    >>> request, info = env.reset(seed=0, options={"task_id": "department-head-01"})
    >>> call = '<tool_call>{"name": "people_department", "arguments": {"department": "Legal"}}</tool_call>'
    >>> found, reward, terminated, truncated, info = env.step(call)
    >>> info["calls"][0].status
    'ok'
    >>> env.step('<tool_call>{"name": "answer", "arguments": {"answer": "Nobody"}}</tool_call>')[1]
    0.0

    ## Version History
    * v0: first version.
    """

    shipped_policies: ClassVar[Mapping[str, PolicyFactory]] = DESK_POLICIES

    def __init__(
        self,
        *,
        split: str = "train",
        kinds: Sequence[str] | None = None,
        max_gold_calls: int = MAX_CALLS,
        tools: Shown = "app",
        distractors: int = 0,
        brief: bool = False,
        world_seed: int = 0,
        dialect: str | Dialect = "hermes",
        max_turns: int = 20,
        max_calls: int = 16,
        max_action_bytes: int = 65_536,
        max_observation_bytes: int = 65_536,
        render_mode: str | None = None,
        on_failure: OnFailure = "truncate",
        privileged: bool = False,
    ) -> None:
        check_whole("max_gold_calls", max_gold_calls)
        check_whole("distractors", distractors, 0, len(DISTRACTORS))
        check_flag("brief", brief)
        if tools not in ("task", "app", "all"):
            raise ConfigError(f"tools is {tools!r}; choose 'task', 'app' or 'all'.")
        if not (kinds is None or isinstance(kinds, Iterable)):
            raise ConfigError(f"kinds is {kinds!r}; give one of {', '.join(KINDS)}, or a list of them.")
        wanted = tuple(KINDS) if kinds is None else (kinds,) if isinstance(kinds, str) else tuple(kinds)
        for kind in wanted:
            if kind not in KINDS:
                raise UnknownNameError("kind of task", str(kind), KINDS)
        self.shown, self.distractors, self.brief = tools, distractors, brief
        self._world = World.create(world_seed)
        self._start = self._world.snapshot()
        built = desk_tasks(world_seed)
        self.all_tasks = built.tasks
        self._users = built.users
        self._gold: dict[str, WorldState | None] = {}
        self._chosen: dict[tuple[Any, ...], tuple[dict[str, Tool], str]] = {}
        self._instructions = ""
        self._spoken, self._log = Spoken(), list[str]()
        super().__init__(
            self.all_tasks.where(split=split, kind=wanted, calls=tuple(range(1, max_gold_calls + 1))),
            dialect=dialect,
            max_turns=max_turns,
            max_calls=max_calls,
            max_action_bytes=max_action_bytes,
            max_observation_bytes=max_observation_bytes,
            render_mode=render_mode,
            on_failure=on_failure,
            privileged=privileged,
        )
        self._every = dict(self._tools)

    @property
    def world(self) -> World:
        """The office as it stands."""
        return self._world

    @property
    def log(self) -> tuple[str, ...]:
        """The turns of this episode, as a person reads them."""
        return tuple(self._log)

    # What the base class asks for -------------------------------------------------------------------------------

    def _make_tools(self) -> Sequence[Tool]:
        spare = distractor_tools() if self.distractors else {}
        speaking = speaking_tools(self._answer, self._ask, self._decline)
        return (*self._world.tools(), *spare.values(), *speaking)

    def _begin(self, task: Task) -> None:
        self._world.restore(self._start)
        self._world.act_for(task.metadata["user"])
        self._spoken, self._log = Spoken(), []
        self._show_tools(task)

    def _show_tools(self, task: Task) -> None:
        """Only the tools that `tools` and `distractors` say exist in this task."""
        chosen = {"task": task.metadata["tools"], "app": task.metadata["apps"], "all": ()}[self.shown]
        spare: tuple[int, ...] = ()
        if self.distractors:
            rng = np.random.default_rng(zlib.crc32(task.id.encode()))
            spare = tuple(sorted(rng.permutation(len(DISTRACTORS))[: self.distractors].tolist()))
        key = (*chosen, *spare)
        if key not in self._chosen:
            self._chosen[key] = self._choose(chosen, spare)
        self._tools, self._instructions = self._chosen[key]

    def _choose(self, chosen: Sequence[str], spare: Sequence[int]) -> tuple[dict[str, Tool], str]:
        """These tools, and how to use them."""
        if self.shown == "app":
            # Whoever is meant is found in the directory, so it is always there.
            names = {name for name, tool in TOOLS.items() if tool.app in {*chosen, "people"}}
        else:
            names = set(chosen) if self.shown == "task" else set(TOOLS)
        names |= {DISTRACTORS[index] for index in spare}
        tools = {name: self._every[name] for name in (*sorted(names), *SPEAKING)}
        if self.brief:
            return tools, ""
        return tools, f"{self.dialect.instructions(tuple(tools.values()))}\n\n{self._example()}"

    def _example(self) -> str:
        """An invented dialogue in the dialect at hand, which shows more than rules tell."""

        def say(name: str, **arguments: str) -> str:
            return self.dialect.render(CallRequest(name, arguments), tuple(self._every.values()))

        found = '{"contacts": [{"id": "C-9001", "name": "Mira Tolland", "company": "Tolland Clocks"}], "found": 1}'
        return "\n".join(
            (
                "Example, with tools that you may not have",
                "Request: Remove Mira Tolland from my contacts.",
                say("contacts_search", query="Mira Tolland"),
                self.dialect.wrap(found),
                say("contacts_delete", contact="C-9001"),
                self.dialect.wrap('{"deleted": "C-9001"}'),
                say("answer", answer="The contact was removed."),
            )
        )

    def _prompt(self, task: Task) -> str:
        now = datetime.fromisoformat(self._world.now)
        clock = f"{now:%A}, {now.day} {now:%B} {now.year}, {now:%H:%M}"
        told = introduction(self._world)
        if self.brief:
            return f"For: {told}\nNow: {clock} ({self._world.now})\nRequest: {task.prompt}"
        return (
            f"You are the assistant of {told}. It is {clock} ({self._world.now}).\n"
            "Carry out the request below with the tools of the office: all of it, and nothing else. Look up what you "
            "do not know and never make up an id. Where a text is given, use it word for word. If something is missing "
            "that only the user can know, ask with ask_user. If the request cannot be carried out, or a rule forbids "
            "it, "
            "change nothing and end with decline. Otherwise end with answer: what was asked for, briefly and without "
            f"other figures, or that it is done. You have {self.max_turns} turns.\n"
            f"{self._instructions}\n\nRequest: {task.prompt}"
        )

    def _judge(self) -> Mapping[str, float]:
        return verify(
            self.task.truth, self.task.prompt, self._world.snapshot(), self._gold_state(self.task), self._spoken
        )

    def _gold_state(self, task: Task) -> WorldState | None:
        known = self.all_tasks.get(task.id)
        if known is task and task.id in self._gold:
            return self._gold[task.id]
        world = World.create(self._world.base.seed, task.metadata["user"])
        state = gold_state(world, task.truth["gold_calls"])
        if known is task:  # and not one with another truth planted in it
            self._gold[task.id] = state
        return state

    def _step(self, action: str) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        result = super()._step(action)
        said = self._messages[-2]["content"] if len(self._messages) > 1 else ""
        self._log.append(told(result[4]["calls"], said))
        return result

    # Speaking to the user ---------------------------------------------------------------------------------------

    def _answer(self, answer: str) -> ToolOutput:
        self._spoken.answer = answer
        return ToolOutput((TextPart("The user has been told."),))

    def _decline(self, reason: str, explanation: str = "") -> ToolOutput:
        self._spoken.reason = reason
        return ToolOutput((TextPart("The user has been told."),))

    def _ask(self, question: str) -> ToolOutput:
        user: ScriptedUser = self._users[self.task.id]
        self._spoken.asked |= {item.about for item in user.asked(question)}
        return ToolOutput((TextPart(user.reply(question)),))

    # State and rendering ----------------------------------------------------------------------------------------

    def _get_family_state(self) -> Any:
        spoken = (self._spoken.answer, self._spoken.reason, tuple(sorted(self._spoken.asked)))
        return {"world": self._world.snapshot(), "spoken": spoken, "log": tuple(self._log)}

    def _set_family_state(self, state: Any) -> None:
        self._world.restore(state["world"])
        answer, reason, asked = state["spoken"]
        self._spoken, self._log = Spoken(answer, reason, set(asked)), list(state["log"])
        if self._task is not None:
            self._show_tools(self._task)

    def render(self) -> Any:
        """The request, the calls with their results, and what has changed in the office."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode: make the environment with render_mode='ansi' or 'human'.")
            return None
        text = render_desk(self)
        if self.render_mode == "ansi":
            return text
        print(text)
        return None
