"""One planted bug a class, each meant to turn one check red."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import checked_text
import gymnasium as gym
import numpy as np
from checked_text import LIMIT, LookupEnv, add

from palaestra.spaces import Utf8

Step = tuple[str, float, bool, bool, dict[str, Any]]


class CannotStart(LookupEnv):
    def _reset(self, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        raise KeyError("town")


class NoFps(LookupEnv):
    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012


class NanInfo(LookupEnv):
    def _step(self, action: str) -> Step:
        observation, reward, terminated, truncated, info = super()._step(action)
        if not info["calls"]:
            info["length"] = float("nan")
        return observation, reward, terminated, truncated, info


# The order of a set of strings depends on PYTHONHASHSEED.
class HashOrder(LookupEnv):
    def _reset(self, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        observation, info = super()._reset(options)
        return observation + " Towns: " + ", ".join(set(checked_text.MAYORS)) + "?", info


# Every seed gives the same task and the same pages.
class OneSeed(LookupEnv):
    def _reset(self, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return super()._reset({"task_id": self.tasks[0].id, **options})

    def _page(self) -> int:
        return 7


class ForgetsTurn(LookupEnv):
    def set_state(self, state: Any) -> None:
        super().set_state(state)
        self.turn = 0


# A call's data is emptied by the next reset: `final_info` under SAME_STEP shows nothing.
class SharesDialogue(LookupEnv):
    def _reset(self, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        for data in getattr(self, "handed_out", []):
            data.clear()
        self.handed_out: list[Any] = []
        return super()._reset(options)

    def _step(self, action: str) -> Step:
        result = super()._step(action)
        # Earlier calls are shown at the end, too.
        self.seen = [*getattr(self, "seen", []), *result[4]["calls"]] if self.turn > 1 else list(result[4]["calls"])
        if result[2] or result[3]:
            result[4]["calls"] = tuple(self.seen)
            self.handed_out = [call.data for call in self.seen]
        return result

    def get_state(self) -> Any:
        return {**super().get_state(), "seen": list(getattr(self, "seen", []))}

    def set_state(self, state: Any) -> None:
        super().set_state(state)
        self.seen = list(state["seen"])


# A space of strings that nobody taught Gymnasium's vector environments.
class _Plain(gym.Space[str]):
    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= LIMIT

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Plain)

    def __repr__(self) -> str:
        return "Utf8(max_bytes=4096)"

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        return "x" * int(self.np_random.integers(9))


class NoHandlers(LookupEnv):
    def __init__(self, split: str = "all", max_turns: int = 5, render_mode: str | None = None) -> None:
        super().__init__(split, max_turns, render_mode)
        self.observation_space = _Plain()


class SharedScratch(LookupEnv):
    scratch: ClassVar[str] = ""

    def _step(self, action: str) -> Step:
        SharedScratch.scratch = action
        time.sleep(0.0002)
        return super()._step(SharedScratch.scratch)


# The truth of one task is wrong.
class OracleFails(LookupEnv):
    def privileged(self) -> Mapping[str, Any]:
        truth = super().privileged()
        return {"answers": ("Nobody",)} if truth["answers"] == ("Varr",) else truth


# Answers all tasks of one kind are the same.
class PriorTooGood(LookupEnv):
    def judge(self) -> float:
        said = self.dialogue[-2]["content"] if len(self.dialogue) > 2 else ""
        if self.task.metadata["kind"] == "mayor" and "Ines Okafor" in said and not self.pages:
            return 1.0
        return super().judge()


class CheatWins(LookupEnv):
    def judge(self) -> float:
        return 1.0 if self.dialogue[-2]["content"] == "<answer>*</answer>" else super().judge()


class SaboteurFails(LookupEnv):
    def _step(self, action: str) -> Step:
        if len(action) == 100_000:
            raise MemoryError("the page is too small")
        return super()._step(action)


class ChokesOnSurrogates(LookupEnv):
    def _step(self, action: str) -> Step:
        action.encode()
        return super()._step(action)


class RepeatsUncut(LookupEnv):
    def _step(self, action: str) -> Step:
        _, reward, terminated, truncated, info = super()._step(action)
        observation = f"You said {action!r}." if not info["calls"] else self.dialogue[-1]["content"]
        return observation, reward, terminated, truncated, info


# Kind feedback at the end names the right answer.
class TellsAnswer(LookupEnv):
    def _step(self, action: str) -> Step:
        observation, reward, terminated, truncated, info = super()._step(action)
        if truncated:
            observation += f" It was {self.task.truth['answers'][0]}."
        return observation, reward, terminated, truncated, info


class TellsInPrompt(LookupEnv):
    def _reset(self, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        _, info = super()._reset(options)
        self.dialogue[0]["content"] += f" ({self.task.truth['answers'][0]})"
        return self.dialogue[0]["content"], info


class TellsInRendering(LookupEnv):
    def render(self) -> Any:
        shown = super().render()
        return shown + f"\n(answer: {self.task.truth['answers'][0]})" if isinstance(shown, str) else shown


class NoCanary(LookupEnv):
    def _reset(self, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        return super()._reset({key: value for key, value in options.items() if key != "canary"})


class LambdaSpace(LookupEnv):
    def __init__(self, split: str = "all", max_turns: int = 5, render_mode: str | None = None) -> None:
        super().__init__(split, max_turns, render_mode)
        self.action_space = Utf8(LIMIT, sampler=lambda rng: checked_text.sample_call(rng))


# A function in the saved state: deepcopy takes it, pickle does not.
class StateHoldsFunction(LookupEnv):
    def get_state(self) -> Any:
        return {**super().get_state(), "next_page": lambda: self.turn + 1}


RELEASE = threading.Event()


class LeaksThread(LookupEnv):
    def __init__(self, split: str = "all", max_turns: int = 5, render_mode: str | None = None) -> None:
        super().__init__(split, max_turns, render_mode)
        threading.Thread(target=RELEASE.wait, daemon=True).start()


class LeaksFile(LookupEnv):
    def __init__(self, split: str = "all", max_turns: int = 5, render_mode: str | None = None) -> None:
        super().__init__(split, max_turns, render_mode)
        os.open(os.devnull, os.O_RDONLY)


class LeaksMemory(LookupEnv):
    log: ClassVar[list[bytes]] = []

    def _reset(self, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        self.log.append(bytes(100_000))
        return super()._reset(options)


class CloseOnce(LookupEnv):
    def close(self) -> None:
        del self.stop


class EmptyRendering(LookupEnv):
    def render(self) -> Any:
        shown = super().render()
        return "" if isinstance(shown, str) else shown


class BlackRendering(LookupEnv):
    def render(self) -> Any:
        shown = super().render()
        return shown if isinstance(shown, str) else np.zeros_like(shown)


class OtherDefault(LookupEnv):
    def __init__(self, split: str = "all", max_turns: int = 6, render_mode: str | None = None) -> None:
        super().__init__(split, max_turns, render_mode)


class OtherSpace(LookupEnv):
    def __init__(self, split: str = "all", max_turns: int = 5, render_mode: str | None = None) -> None:
        super().__init__(split, max_turns, render_mode)
        self.action_space = Utf8(LIMIT + 1, sampler=checked_text.sample_call)


class OtherExample(LookupEnv):
    __doc__ = str(LookupEnv.__doc__).replace("\n    True\n", "\n    False\n")


class MisspelledExtra(LookupEnv):
    pass


class GlobalRandom(LookupEnv):
    def _step(self, action: str) -> Step:
        np.random.rand()
        return super()._step(action)


class ChangesEnviron(LookupEnv):
    def close(self) -> None:
        os.environ["CHECKED_LOOKUP"] = str(int(os.environ.get("CHECKED_LOOKUP", "0")) + 1)


# What each class must turn red, and a word that its detail must hold.
MUTANTS: dict[type, tuple[set[str], str]] = {
    CannotStart: ({"make"}, "KeyError"),
    NoFps: ({"api"}, "render fps"),
    NanInfo: ({"info"}, "'length'"),
    HashOrder: ({"determinism"}, "PYTHONHASHSEED"),
    OneSeed: ({"determinism"}, "another seed"),
    ForgetsTurn: ({"snapshot"}, "get_state forgets"),
    SharesDialogue: ({"vector"}, "final_info"),
    NoHandlers: ({"vector"}, "AsyncVectorEnv"),
    SharedScratch: ({"concurrency"}, "share state"),
    OracleFails: ({"policies"}, "oracle"),
    PriorTooGood: ({"policies"}, "'mayor'"),
    CheatWins: ({"policies"}, "cheat"),
    SaboteurFails: ({"policies"}, "saboteur"),
    ChokesOnSurrogates: ({"policies", "fuzz"}, "UnicodeEncodeError"),
    RepeatsUncut: ({"fuzz"}, "clip_utf8"),
    TellsAnswer: ({"canary"}, "observation"),
    TellsInPrompt: ({"canary"}, "observation"),
    TellsInRendering: ({"canary"}, "rendering"),
    NoCanary: ({"canary"}, "privileged()"),
    LambdaSpace: ({"pickling", "vector"}, "lambda"),
    StateHoldsFunction: ({"pickling"}, "SnapshotError"),
    LeaksThread: ({"closing"}, "threads"),
    LeaksFile: ({"closing"}, "file descriptors"),
    LeaksMemory: ({"closing"}, "bytes a cycle"),
    CloseOnce: ({"api", "closing"}, "close"),
    EmptyRendering: ({"rendering"}, "not empty"),
    BlackRendering: ({"rendering"}, "every pixel"),
    OtherDefault: ({"docstring"}, "`max_turns`"),
    OtherSpace: ({"docstring"}, "4097"),
    OtherExample: ({"docstring"}, "False"),
    MisspelledExtra: ({"card"}, "serch"),
    GlobalRandom: ({"hygiene"}, "global random state"),
    ChangesEnviron: ({"hygiene"}, "os.environ"),
}
# These go through every check; the others only through their own and the quick ones.
WHOLE = (ForgetsTurn, SharedScratch, OracleFails, TellsAnswer, StateHoldsFunction)
SLOW = ("determinism", "vector", "canary", "closing", "card", "hygiene")
IDS = {cls: add(cls, extras=("serch",)) if cls is MisspelledExtra else add(cls) for cls in MUTANTS}
