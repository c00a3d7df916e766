"""The base class of language environments: tasks x tools x verifier."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from palaestra.environment import Environment, OnFailure, check_whole
from palaestra.envs.language.dialects import CallRequest, Dialect, DialectError, make_dialect
from palaestra.envs.language.sampling import CallSampler, ToolShape
from palaestra.envs.language.tools import Tool, ToolOutput
from palaestra.episodes import TextPart, ToolCall, ToolResult
from palaestra.errors import ConfigError, ToolError, nearest
from palaestra.spaces import Utf8, clean_text, clip_utf8
from palaestra.tasks import Task, TaskSet

__all__ = ["LanguageEnv"]

_OPTIONS = ("task_id", "canary")


class LanguageEnv(Environment[Any, str]):
    """An environment that an agent talks to.

    Each turn the agent says something; the dialect reads tool calls from it; the tools run; their results are the
    next observation. A turn that is malformed, names an unknown tool or breaks a tool's schema is answered by a
    message that says what was wrong and what is accepted, and costs the turn. Nothing that can be said raises.

    A family writes `_make_tools`, `_begin`, `_prompt` and `_judge`, and `_get_family_state` / `_set_family_state`
    where it keeps state of its own.

    Args:
        tasks: The tasks to draw from; at least one.
        dialect: `tags`, `hermes`, `json`, or a dialect of your own.
        max_turns: The horizon; the episode is truncated after so many turns.
        max_calls: How many calls a turn may make, in dialects that take several; a turn with more is malformed.
        max_action_bytes: Longest utterance that is read, in bytes of UTF-8.
        max_observation_bytes: Longest observation; longer ones are cut, and say so.
        image_shape: (H, W, 3) of the picture in the observation, for tools that give pictures; None for text alone.
        render_mode: `ansi` returns the dialogue as a string, `human` prints it.
        on_failure: See `Environment`.
        privileged: See `Environment`.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi", "human"], "render_fps": 4}  # noqa: RUF012 (Gymnasium declares it so)

    def __init__(
        self,
        tasks: TaskSet,
        *,
        dialect: str | Dialect = "tags",
        max_turns: int = 8,
        max_calls: int = 16,
        max_action_bytes: int = 65_536,
        max_observation_bytes: int = 65_536,
        image_shape: tuple[int, int, int] | None = None,
        render_mode: str | None = None,
        on_failure: OnFailure = "truncate",
        privileged: bool = False,
    ) -> None:
        super().__init__(render_mode=render_mode, on_failure=on_failure, privileged=privileged)
        if not len(tasks):
            raise ConfigError("There are no tasks to choose from; widen the split or the kinds that were asked for.")
        limits = {"max_turns": max_turns, "max_calls": max_calls}
        limits |= {"max_action_bytes": max_action_bytes, "max_observation_bytes": max_observation_bytes}
        for name, limit in limits.items():
            check_whole(name, limit)
        self.tasks = tasks
        self.dialect = make_dialect(dialect)
        self.max_turns, self.max_calls = max_turns, max_calls
        self.image_shape = image_shape
        tools = self._make_tools()
        self._tools = {tool.name: tool for tool in tools}
        if not tools or len(self._tools) != len(tools):
            raise ConfigError(
                f"An environment needs tools, each with a name of its own; got {[tool.name for tool in tools]}."
            )
        shapes = tuple(ToolShape(tool.name, tool.parameters, tool.primary) for tool in self._tools.values())
        self.action_space: gym.Space[Any] = Utf8(
            max_action_bytes, sampler=CallSampler(self.dialect, shapes, **self._sampler_words())
        )
        text = Utf8(max_observation_bytes)
        self.observation_space: gym.Space[Any] = (
            text
            if image_shape is None
            else gym.spaces.Dict({"text": text, "image": gym.spaces.Box(0, 255, image_shape, np.uint8)})
        )
        self._max_action_bytes, self._max_observation_bytes = max_action_bytes, max_observation_bytes
        self._task: Task | None = None
        self._turn = 0
        self._messages: list[dict[str, str]] = []
        self._image: NDArray[np.uint8] | None = None

    # What a family writes -------------------------------------------------------------------------------------

    @abstractmethod
    def _make_tools(self) -> Sequence[Tool]:
        """The tools, bound to this environment; at least one. Called once, by the constructor."""

    @abstractmethod
    def _begin(self, task: Task) -> None:
        """Sets up the family's state for a new episode; randomness from `self.np_random`."""

    @abstractmethod
    def _prompt(self, task: Task) -> str:
        """What the agent is told first."""

    @abstractmethod
    def _judge(self) -> Mapping[str, float]:
        """The verifier: `outcome` in [0, 1] of the state as it stands, and whatever else it measures."""

    def _get_family_state(self) -> Any:
        """The family's state within an episode."""
        return None

    def _set_family_state(self, state: Any) -> None:
        """The inverse of `_get_family_state`."""

    def _sampler_words(self) -> dict[str, tuple[str, ...]]:
        """`{"words": (...)}` to draw the strings of sampled calls from the family's own vocabulary."""
        return {}

    # What agents and harness see -------------------------------------------------------------------------------

    @property
    def task(self) -> Task:
        """The current task, ground truth included; agents are shown only what `messages` says."""
        if self._task is None:
            raise gym.error.ResetNeeded("There is no task before the first reset().")
        return self._task

    @property
    def messages(self) -> tuple[Mapping[str, str], ...]:
        """The dialogue so far, each message with `role` (user, assistant) and `content`."""
        return tuple(self._messages)

    @property
    def tools(self) -> tuple[dict[str, Any], ...]:
        """The tools in OpenAI's schema."""
        return tuple(tool.openai for tool in self._tools.values())

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings at which an utterance is complete."""
        return self.dialect.stop(self._tool_list)

    @property
    def turn(self) -> int:
        """How many turns have been taken."""
        return self._turn

    def judge(self) -> float:
        """The outcome of the state as it stands, in [0, 1]."""
        return float(self._judge()["outcome"])

    def privileged(self) -> Mapping[str, Any]:
        """The current task's ground truth."""
        return self.task.truth

    def say(self, tool: str, /, **arguments: Any) -> str:
        """An utterance that makes this call, in the environment's dialect."""
        return self.dialect.render(CallRequest(tool, arguments), self._tool_list)

    def render_calls(self, calls: Sequence[Mapping[str, Any]]) -> tuple[str, tuple[int, int]]:
        """An utterance that makes these calls, and the [start, end) of the calls' characters in it.

        Args:
            calls: Each with `name` and `arguments`, as in `privileged()["gold_calls"]`; at least one.

        Raises:
            ValueError: The dialect has no words for them, as `tags` has none for several calls in a turn.
        """
        requests = [CallRequest(call["name"], call["arguments"]) for call in calls]
        return self.dialect.calls(requests, self._tool_list)

    def render_answer(self, text: str) -> tuple[str, tuple[int, int]]:
        """An utterance that gives this final answer, and the [start, end) of the answer's characters in it.

        Raises:
            ValueError: The dialect has no words for it.
        """
        return self.dialect.answer(text, self._tool_list)

    def render(self) -> Any:
        """The dialogue so far: returned as a string (`ansi`) or printed (`human`)."""
        if self.render_mode is None:
            gym.logger.warn("render() needs a render_mode: make the environment with render_mode='ansi' or 'human'.")
            return None
        text = "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in self._messages)
        if self.render_mode == "ansi":
            return text
        print(text)
        return None

    # How an episode goes ---------------------------------------------------------------------------------------

    @property
    def _tool_list(self) -> tuple[Tool, ...]:
        return tuple(self._tools.values())

    def _reset(self, options: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        unknown = sorted(set(options) - set(_OPTIONS))
        if unknown:
            raise ConfigError(f"reset() knows no option '{unknown[0]}'. {nearest(unknown[0], _OPTIONS)}")
        if options.get("task_id") is not None:
            task = self.tasks.get(options["task_id"])
        else:
            task = self.tasks[int(self.np_random.integers(len(self.tasks)))]
        if options.get("canary") is not None:
            task = replace(task, truth=_planted(task.truth, str(options["canary"])))
        self._task, self._turn = task, 0
        self._image = None if self.image_shape is None else np.zeros(self.image_shape, np.uint8)
        self._messages = []
        self._begin(task)
        prompt = clip_utf8(self._prompt(task), self._max_observation_bytes)
        self._messages.append({"role": "user", "content": prompt})
        return self._observe(prompt), {"task_id": task.id, "group": task.group, "split": task.split}

    def _step(self, action: str) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._turn += 1
        calls, results, malformed = self._hear(action)
        ended = self._ended(calls)
        cut = not ended and self._turn >= self.max_turns
        observation = clip_utf8("\n".join(results), self._max_observation_bytes)
        self._messages.append({"role": "user", "content": observation})
        info: dict[str, Any] = {"calls": calls, "malformed": malformed}
        reward = 0.0
        if ended or cut:
            measures = {name: float(value) for name, value in self._judge().items()}
            info.update(measures)
            reward = measures["outcome"]
        return self._observe(observation), reward, ended, cut, info

    def _hear(self, action: Any) -> tuple[tuple[ToolCall, ...], list[str], bool]:
        """Reads an utterance and runs its calls: the calls, what to say back, whether it was malformed."""
        if not isinstance(action, str):
            self._messages.append({"role": "assistant", "content": ""})
            return (), [f"An action is a text that calls a tool, got {type(action).__name__}."], True
        text = clip_utf8(action, self._max_action_bytes)
        self._messages.append({"role": "assistant", "content": text})
        if not self.action_space.contains(action):
            size = len(action.encode("utf-8", "surrogatepass"))
            limit = self._max_action_bytes
            return (), [f"Your turn has {size} bytes; at most {limit} are read. Be shorter."], True
        return self._respond(clean_text(action))

    def _ended(self, calls: Sequence[ToolCall]) -> bool:
        """Whether the episode is over after these calls; by default where one of a final tool was done."""
        return any(call.status == "ok" and self._tools[call.name].final for call in calls)

    def _respond(self, text: str) -> tuple[tuple[ToolCall, ...], list[str], bool]:
        """What comes of an utterance that can be read: the calls, what to say back, whether it was malformed."""
        try:
            requests = self.dialect.parse(text, self._tool_list)
        except DialectError as error:
            return (), [str(error)], True
        if len(requests) > self.max_calls:
            return (), [f"Your turn makes {len(requests)} calls; at most {self.max_calls} are run. Make fewer."], True
        calls: list[ToolCall] = []
        for request in requests:
            calls.append(self._run(request))
            if calls[-1].status == "ok" and self._tools[request.name].final:
                break
        return tuple(calls), [self.dialect.wrap(call.result.text) for call in calls if call.result is not None], False

    def _run(self, request: CallRequest) -> ToolCall:
        tool = self._tools.get(request.name)
        if tool is None:
            shown = request.name[:80]
            problem: str | None = f"There is no tool '{shown}'. {nearest(shown, self._tools)}"
        else:
            problem = tool.problem(request.arguments)
        if tool is None or problem is not None:
            result = ToolResult((TextPart(problem or ""),), is_error=True)
            return ToolCall(request.name, request.arguments, result, "rejected")
        start = time.perf_counter()
        try:
            output = tool.call(request.arguments)
        except ToolError as error:
            output, failed = ToolOutput((TextPart(str(error)),)), True
        else:
            failed = False
        seconds = time.perf_counter() - start
        if output.image is not None and self.image_shape is not None:
            if output.image.shape != self.image_shape:
                raise ValueError(f"The tool '{tool.name}' gave a picture {output.image.shape}, not {self.image_shape}.")
            self._image = output.image.astype(np.uint8)
        result = ToolResult(output.content, is_error=failed)
        return ToolCall(request.name, request.arguments, result, "error" if failed else "ok", seconds, output.data)

    def _observe(self, text: str) -> Any:
        return text if self._image is None else {"text": text, "image": self._image.copy()}

    # Saved state -----------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """See `Environment.get_state`."""
        return {
            "task": self._task,
            "turn": self._turn,
            # Pairs of texts: snapshots copy states deeply, and nested tuples of texts cost the least.
            "messages": tuple((message["role"], message["content"]) for message in self._messages),
            "image": self._image,
            "family": self._get_family_state(),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """See `Environment.set_state`."""
        self._task, self._turn = state["task"], state["turn"]
        self._messages = [{"role": role, "content": content} for role, content in state["messages"]]
        self._image = state["image"]
        self._set_family_state(state["family"])


def _planted(truth: Mapping[str, Any], nonce: str) -> dict[str, Any]:
    """Ground truth of the same shape in which every text is the nonce."""

    def plant(value: Any) -> Any:
        match value:
            case str():
                return nonce
            case tuple() | list():
                return tuple(plant(item) for item in value)
            case Mapping():
                return {key: plant(item) for key, item in value.items()}
        return value

    return {key: plant(value) for key, value in truth.items()}
