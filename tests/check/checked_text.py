"""A small text environment that passes every check, written on `palaestra.environment.Environment` directly."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

from palaestra.environment import Environment
from palaestra.episodes import TextPart, ToolCall, ToolResult
from palaestra.errors import ConfigError
from palaestra.registration import EnvCard, register
from palaestra.spaces import Utf8, clean_text, clip_utf8
from palaestra.tasks import Task, TaskSet, split_of

MAYORS = {
    "Aldmoor": "Ines Okafor",
    "Brinport": "Tomas Lindqvist",
    "Carrowby": "Mei Tanaka",
    "Dunvale": "Ines Okafor",
    "Eastmere": "Rafael Duarte",
    "Fennwick": "Anouk Visser",
    "Glenhaven": "Samir Haddad",
    "Harrowgate": "Lucia Ferri",
}
RIVERS = {
    "Aldmoor": "Ashbrook",
    "Brinport": "Merrow",
    "Carrowby": "Thessel",
    "Dunvale": "Varr",
    "Eastmere": "Lonn",
    "Fennwick": "Sile",
    "Glenhaven": "Quillan",
    "Harrowgate": "Tarn",
}
CALL = re.compile(r"<(look|answer)>([^<>]*)</\1>")
LIMIT = 4096


def all_tasks() -> TaskSet:
    tasks = []
    for kind, table, words in (("mayor", MAYORS, "Who is the mayor of"), ("river", RIVERS, "Which river runs through")):
        for town, answer in table.items():
            question = f"{words} {town}?"
            metadata = {"kind": kind, "town": town}
            tasks.append(Task(f"{kind}-{town}", town, question, split_of(town), {"answers": (answer,)}, metadata))
    return TaskSet(tasks)


def sample_call(rng: np.random.Generator) -> str:
    town = list(MAYORS)[int(rng.integers(len(MAYORS)))]
    return f"<answer>{MAYORS[town]}</answer>" if rng.random() < 0.2 else f"<look>{town}</look>"


def _oracle(env: Any, space: Any, rng: np.random.Generator) -> Any:
    def act(observation: str) -> str:
        if not env.pages:
            return f"<look>{env.task.metadata['town']}</look>"
        return f"<answer>{env.privileged()['answers'][0]}</answer>"

    return act


def _prior(env: Any, space: Any, rng: np.random.Generator) -> Any:
    return lambda observation: "<answer>Ines Okafor</answer>"


def _cheat(env: Any, space: Any, rng: np.random.Generator) -> Any:
    return lambda observation: "<answer>*</answer>" if rng.random() < 0.5 else "<answer></answer>"


def _saboteur(env: Any, space: Any, rng: np.random.Generator) -> Any:
    words = ("<look>" * 500, "\ud800", "<look>\x00</look>", "<look>../../etc</look>", "x" * 100_000)
    return lambda observation: words[int(rng.integers(len(words)))]


class LookupEnv(Environment[str, str]):
    """Questions about towns, answered by looking into a small book.

    ## Description
    A question names a town. `<look>TOWN</look>` opens the book at the town, `<answer>TEXT</answer>` ends the episode.

    ## Action Space
    | Key | Space | Meaning |
    |-----|-------|---------|
    | -   | `Utf8(max_bytes=4096)` | What is said; longer texts are legal and refused. |

    ## Observation Space
    | Key | Space | Meaning |
    |-----|-------|---------|
    | -   | `Utf8(max_bytes=4096)` | The question, then what the book says. |

    ## Rewards
    1.0 for the right answer at the end, else 0.0.

    ## Starting State
    A task drawn by the seed, or `options["task_id"]`.

    ## Episode End
    1. Termination: an answer was given.
    2. Truncation: `max_turns` turns were taken.

    ## Information
    `status`, `task_id`, `group` and `split` at reset; `status`, `calls` and `length` at each step; `outcome` at the
    end.

    ## Arguments
    | Parameter | Type | Default | Description |
    |-----------|------|---------|-------------|
    | `split` | str | `"all"` | Which tasks. |
    | `max_turns` | int | `5` | The horizon. |
    | `render_mode` | str or None | `None` | `ansi` or None. |

    >>> import gymnasium as gym
    >>> import checked_text
    >>> env = gym.make("checked/Lookup-v0")
    >>> observation, info = env.reset(seed=3)
    >>> observation.endswith("?")
    True
    >>> env.close()

    ## Version History
    * v0: First version.
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012
    shipped_policies = {"oracle": _oracle, "prior": _prior, "cheat": _cheat, "saboteur": _saboteur}  # noqa: RUF012

    def __init__(self, split: str = "all", max_turns: int = 5, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self.tasks = all_tasks().where(split=split)
        self.max_turns = max_turns
        self.action_space = Utf8(LIMIT, sampler=sample_call)
        self.observation_space = Utf8(LIMIT)
        self.tools = ()
        self.stop = ("</look>", "</answer>")
        self.turn = 0
        self.pages: list[int] = []
        self.dialogue: list[dict[str, str]] = []

    @property
    def messages(self) -> tuple[Mapping[str, str], ...]:
        return tuple(self.dialogue)

    def privileged(self) -> Mapping[str, Any]:
        return self.task.truth

    def judge(self) -> float:
        said = CALL.findall(self.dialogue[-2]["content"]) if len(self.dialogue) > 2 else []
        return float(bool(said) and said[-1][0] == "answer" and said[-1][1] in self.task.truth["answers"])

    def _reset(self, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        for name in options:
            if name not in ("task_id", "canary"):
                raise ConfigError(f"There is no option '{name}'; choose task_id or canary.")
        if "task_id" in options:
            self.task = self.tasks.get(options["task_id"])
        else:
            self.task = self.tasks[int(self.np_random.integers(len(self.tasks)))]
        if "canary" in options:
            self.task = replace(self.task, truth={"answers": (options["canary"],)})
        self.turn, self.pages = 0, []
        self.dialogue = [{"role": "user", "content": self.task.prompt}]
        return self.task.prompt, {"task_id": self.task.id, "group": self.task.group, "split": self.task.split}

    def _step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.turn += 1
        text = clip_utf8(clean_text(action), LIMIT)
        self.dialogue.append({"role": "assistant", "content": text})
        calls = tuple(self._call(name, argument) for name, argument in CALL.findall(text)[:1])
        said = calls[0].result.text if calls and calls[0].result else "Say <look>TOWN</look> or <answer>TEXT</answer>."
        observation = clip_utf8(said, LIMIT)
        self.dialogue.append({"role": "user", "content": observation})
        terminated = bool(calls) and calls[0].name == "answer"
        truncated = not terminated and self.turn >= self.max_turns
        info: dict[str, Any] = {"calls": calls, "length": float(len(text))}
        if terminated or truncated:
            info["outcome"] = self.judge()
        return observation, info.get("outcome", 0.0), terminated, truncated, info

    def _call(self, name: str, argument: str) -> ToolCall:
        if name == "answer":
            return ToolCall(name, {"text": argument}, ToolResult((TextPart("Thank you."),)), "ok")
        page = self._page()
        self.pages.append(page)
        if argument not in MAYORS:
            said = f"Page {page}: there is no such town."
        else:
            said = f"Page {page}: the mayor of {argument} is {MAYORS[argument]}; its river is the {RIVERS[argument]}."
        return ToolCall(name, {"town": argument}, ToolResult((TextPart(said),)), "ok", data={"page": page})

    def _page(self) -> int:
        return int(self.np_random.integers(1000))

    def get_state(self) -> Any:
        return {
            "task": self.task,
            "turn": self.turn,
            "pages": list(self.pages),
            "dialogue": [dict(message) for message in self.dialogue],
        }

    def set_state(self, state: Any) -> None:
        self.task, self.turn = state["task"], state["turn"]
        self.pages, self.dialogue = list(state["pages"]), [dict(message) for message in state["dialogue"]]

    def render(self) -> Any:
        if self.render_mode == "rgb_array":
            frame = np.zeros((16, 32, 3), np.uint8)
            frame[:, : 4 + 4 * self.turn] = 255
            return frame
        return "\n".join(f"{message['role']}: {message['content']}" for message in self.dialogue)


CARD = EnvCard(
    id="checked/Lookup-v0",
    summary="Questions about towns, answered by looking into a small book.",
    family="checked",
    kind="verifiable",
    interface="text",
    bounds={"prior": 0.3},
)


def add(cls: type, **changes: Any) -> str:
    """Registers a variant under the name of its class and returns its id as "module:id"."""
    made = replace(CARD, id=f"checked/{cls.__name__}-v0", **changes)
    register(made, f"{cls.__module__}:{cls.__qualname__}")
    return f"{cls.__module__}:{made.id}"


def broken(subject: Any) -> float:
    """Work for another process that does not come to its end."""
    return 1 / 0


register(CARD, "checked_text:LookupEnv")
GOOD = "checked_text:checked/Lookup-v0"
assert gym.registry[CARD.id]
