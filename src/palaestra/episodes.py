"""What happened: the vocabulary in which every family, reward, learner and report speaks.

An `Episode` is one agent's way through one task. It holds observations, turns and the verifier's outcome; how it is
written down is in `palaestra.records`, what a learner sees of its tokens is in `palaestra.tokens`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from palaestra.blobs import BlobRef
from palaestra.errors import EpisodeFailure
from palaestra.tasks import Task

__all__ = [
    "CallStatus",
    "Completion",
    "Episode",
    "EpisodeError",
    "EpisodeStatus",
    "ImagePart",
    "Part",
    "TextPart",
    "ToolCall",
    "ToolResult",
    "Turn",
]

EpisodeStatus = Literal["terminated", "truncated", "failed"]
CallStatus = Literal["ok", "error", "rejected"]


@dataclass(frozen=True, slots=True)
class TextPart:
    """Text in a tool's result."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """A picture in a tool's result or an observation.

    Attributes:
        data: The encoded picture, or a reference to it.
        media_type: Its encoding.
    """

    data: bytes | BlobRef
    media_type: str = "image/png"

    def read(self) -> bytes:
        """The encoded picture."""
        return self.data.read() if isinstance(self.data, BlobRef) else self.data


Part = TextPart | ImagePart


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool gave back.

    Attributes:
        content: Texts and pictures, in order.
        is_error: Whether the tool says that the call could not be done.
    """

    content: tuple[Part, ...]
    is_error: bool = False

    @property
    def text(self) -> str:
        """The texts, joined by line breaks."""
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool, and what came of it.

    Attributes:
        name: The tool asked for, as written by the agent.
        arguments: Its arguments, as parsed.
        result: What it gave; None where it never ran.
        status: `ok`; `error`: it ran and could not do it; `rejected`: unknown tool or arguments that break its schema.
        seconds: Wall time. Kept out of comparisons and of canonical records, which must not depend on the clock.
        data: What the tool reports to verifiers and rewards beside its text (ids of passages, changed files).
    """

    name: str
    arguments: Mapping[str, Any]
    result: ToolResult | None
    status: CallStatus
    seconds: float = field(default=0.0, compare=False)
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Completion:
    """What a language model produced for one turn, exactly as sampled.

    Attributes:
        token_ids: int32 (n,), the sampled tokens, the one that stopped the turn included. Empty for remote models
            that do not give ids.
        logprobs: float32 (n,), of each token under `log softmax(logits / temperature)` before top-p: the policy that a
            learner at this temperature updates, so its ratio of new to old needs no second pass. Greedy samples
            (temperature 0) are scored at temperature 1. Servers give what they give, mostly temperature 1.
        context_ids: int32 (c,), the tokens placed before the sample since the last turn: the delta.
        prefix_len: How many tokens of what this episode's last turn ended with (its context and its sample) are kept
            as they were before `context_ids`. Equal to all of them while the prefix is preserved.
        images: Pictures among the context.
        finish_reason: `stop`, `length`, `context_overflow`, or the server's own word.
        temperature: Sampling temperature; 0 is greedy.
        top_p: Nucleus bound in (0, 1].
        policy_version: Which weights sampled it; counts updates.
        model: Name of the model.
        text: The sampled text as decoded for the environment.
    """

    token_ids: NDArray[np.int32]
    logprobs: NDArray[np.float32]
    context_ids: NDArray[np.int32]
    prefix_len: int
    images: tuple[BlobRef, ...] = ()
    finish_reason: str = "stop"
    temperature: float = 1.0
    top_p: float = 1.0
    policy_version: int = 0
    model: str = ""
    text: str = ""

    def __post_init__(self) -> None:
        if self.token_ids.shape != self.logprobs.shape:
            raise ValueError(
                f"A completion needs one log-probability a token, got {self.token_ids.shape} ids "
                f"and {self.logprobs.shape} log-probabilities."
            )
        if self.prefix_len < 0:
            raise ValueError(f"prefix_len counts kept tokens and cannot be negative, got {self.prefix_len}.")


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One action and what followed it.

    Attributes:
        t: Number of the turn, from 0.
        action: What the agent did: the utterance, or the array.
        calls: The tool calls that the environment read from it.
        reward: What a learner is to see for this turn.
        terms: The reward's parts by name, unweighted.
        terminated: The task ended here.
        truncated: The episode was cut off here.
        info: The environment's info for this step, less `calls`.
        completion: The model's sample behind the action, where a model acted.
    """

    t: int
    action: Any
    calls: tuple[ToolCall, ...] = ()
    reward: float = 0.0
    terms: Mapping[str, float] = field(default_factory=dict)
    terminated: bool = False
    truncated: bool = False
    info: Mapping[str, Any] = field(default_factory=dict)
    completion: Completion | None = None


@dataclass(frozen=True, slots=True)
class EpisodeError:
    """Why an episode failed. Only for causes that no action can produce.

    Attributes:
        kind: Short and stable, counted in reports ("retriever_down").
        cause: `infrastructure`, or `unattributed` where it cannot be told.
        retryable: Whether another attempt may succeed.
        message: For a person.
    """

    kind: str
    cause: Literal["infrastructure", "unattributed"]
    retryable: bool
    message: str = ""

    @classmethod
    def of(cls, error: BaseException) -> EpisodeError:
        """From an exception: an `EpisodeFailure` as it says, anything else as an unattributed `environment_error`."""
        if isinstance(error, EpisodeFailure):
            return cls(error.kind, error.cause, error.retryable, error.message)
        return cls("environment_error", "unattributed", False, f"{type(error).__name__}: {error}")

    @classmethod
    def of_info(cls, error: Mapping[str, Any]) -> EpisodeError:
        """From what `info["error"]` holds; whatever is missing counts as unattributed."""
        return cls(
            kind=str(error.get("kind", "environment_error")),
            cause="infrastructure" if error.get("cause") == "infrastructure" else "unattributed",
            retryable=bool(error.get("retryable", False)),
            message=str(error.get("message", "")),
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the four fields; also what `info["error"]` holds."""
        return {"kind": self.kind, "cause": self.cause, "retryable": self.retryable, "message": self.message}


@dataclass(frozen=True, slots=True, eq=False)
class Episode:
    """One agent's way through one task.

    Attributes:
        episode_id: Unique in its run; the same for the same request, whatever the concurrency.
        group_id: Rollouts of one task that are compared with each other share it.
        env_id: Id of the environment.
        env_kwargs: What it was made with.
        task: The task without its ground truth; None where the environment has no tasks.
        seed: What the environment was reset with.
        attempt: From 0; counts retries after failures.
        agent_id: Whose episode it is in a world of several agents.
        world_id: Shared by the episodes of all agents of one world.
        world_size: Number of agents in that world.
        status: `terminated`, `truncated` or `failed`.
        observations: T + 1 of them, from reset to the last; possibly loaded on demand.
        turns: T of them.
        outcome: The verifier's judgement in [0, 1] of the state at the end; None for failed episodes and where there
            is no verifier. Never a stand-in for failure.
        info: The environment's info at reset.
        privileged: What verifiers and credit may see and agents may not. Never in reports or exports.
        error: Why it failed; None unless `status` is `failed`.
        schema_version: Of the record it was read from.
    """

    episode_id: str
    group_id: str
    env_id: str
    env_kwargs: Mapping[str, Any]
    task: Task | None
    seed: int
    attempt: int
    agent_id: str
    world_id: str
    status: EpisodeStatus
    observations: Sequence[Any]
    turns: Sequence[Turn]
    outcome: float | None = None
    world_size: int = 1
    info: Mapping[str, Any] = field(default_factory=dict)
    privileged: Mapping[str, Any] = field(default_factory=dict)
    error: EpisodeError | None = None
    schema_version: int = 1

    def __post_init__(self) -> None:
        if (self.status == "failed") != (self.error is not None):
            raise ValueError(f"Exactly the failed episodes carry an error; got {self.status!r} with {self.error!r}.")
        if self.status == "failed" and self.outcome is not None:
            raise ValueError("A failed episode has no outcome; its score is unknown, not 0.")
        if self.outcome is not None and not 0.0 <= self.outcome <= 1.0:
            raise ValueError(f"An outcome lies in [0, 1], got {self.outcome}.")

    @property
    def valid(self) -> bool:
        """Whether it may be learned from and averaged over."""
        return self.status != "failed"

    @property
    def episode_return(self) -> float:
        """Sum of the turns' rewards."""
        return float(sum(turn.reward for turn in self.turns))
