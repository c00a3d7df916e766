"""Episodes as JSON: exact, canonical, versioned.

A record is the same bytes for the same episode: keys are sorted, wall times are left out, arrays keep their dtype and
bits. Large arrays and pictures go to a blob store and are read back on demand.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, overload

import numpy as np

from palaestra.blobs import BlobRef, BlobStore
from palaestra.episodes import (
    Completion,
    Episode,
    EpisodeError,
    ImagePart,
    TextPart,
    ToolCall,
    ToolResult,
    Turn,
)
from palaestra.errors import RecordError
from palaestra.rollouts import ArrayColumns, ArrayTurns
from palaestra.tasks import Task

__all__ = [
    "MIGRATIONS",
    "SCHEMA_VERSION",
    "LazySequence",
    "Migration",
    "decode_episode",
    "decode_value",
    "dump_line",
    "encode_episode",
    "encode_value",
    "migrate",
]

SCHEMA_VERSION = 1

Migration = Callable[[dict[str, Any]], dict[str, Any]]

MIGRATIONS: Mapping[int, Migration] = {}
"""For every older schema version, the function that turns its records into the next version's."""

_INLINE_BYTES = 4096  # larger arrays, pictures and byte strings become blobs


def migrate(
    record: Mapping[str, Any], migrations: Mapping[int, Migration] = MIGRATIONS, current: int = SCHEMA_VERSION
) -> dict[str, Any]:
    """A record of any known version as one of the current version.

    Args:
        record: A record as read from JSON.
        migrations: From a version to the function that leads to the next.
        current: The version to arrive at.

    Raises:
        RecordError: The record has no version, one that is newer than this palaestra, or one with no path from it.
    """
    if not isinstance(record, Mapping):
        raise RecordError(f"A record is a JSON object, got a {type(record).__name__}.")
    data = dict(record)
    version = data.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool):
        raise RecordError(f"The record's schema_version is {version!r}; an integer up to {current} is needed.")
    if version > current:
        raise RecordError(
            f"The record has schema version {version}, this palaestra reads up to {current}. Upgrade palaestra."
        )
    while version < current:
        if version not in migrations:
            raise RecordError(f"There is no migration from schema version {version} to {version + 1}.")
        data = migrations[version](data)
        version += 1
        data["schema_version"] = version
    return data


class LazySequence(Sequence[Any]):
    """A sequence whose items are decoded when they are asked for.

    Args:
        items: The encoded items.
        decode: Decodes one.
    """

    def __init__(self, items: Sequence[Any], decode: Callable[[Any], Any]) -> None:
        self._items, self._decode = items, decode

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> LazySequence: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return LazySequence(self._items[index], self._decode)
        return self._decode(self._items[index])


_PLAIN = frozenset((str, int, bool, type(None)))  # are in JSON what they are here


def encode_value(value: Any, blobs: BlobStore) -> Any:
    """Anything an observation, action or info may hold, as JSON.

    What JSON has no word for becomes an object with one key that starts with `$`.

    Args:
        value: None, bool, int, float, str, bytes, list, tuple, mapping with string keys, NumPy array or scalar,
            tool call, tool result, part, blob reference; nested as one likes.
        blobs: Takes what is too large to stand in a line.

    Raises:
        RecordError: The value is of another type, named in the message.
    """
    kind = type(value)
    if kind in _PLAIN:  # most values; a look-up is several times quicker than the patterns below
        return value
    if kind is float:
        return _encode_float(value)
    if kind is dict:
        return _encode_mapping(value, blobs)
    if kind is tuple or kind is list:
        items = [item if type(item) in _PLAIN else encode_value(item, blobs) for item in value]
        return items if kind is list else {"$tuple": items}
    match value:
        case None | bool() | str():
            return value
        case float() if not isinstance(value, np.floating):
            return _encode_float(value)
        case int():
            return int(value)
        case np.ndarray() | np.generic():
            return _encode_array(value, blobs)
        case tuple():
            return {"$tuple": [encode_value(item, blobs) for item in value]}
        case list():
            return [encode_value(item, blobs) for item in value]
        case Mapping():
            return _encode_mapping(value, blobs)
        case bytes():
            return {"$bytes": _encode_bytes(value, "application/octet-stream", blobs)}
        case BlobRef():
            return {"$blob": _encode_ref(_own(value, blobs))}
        case TextPart():
            return {"$text": value.text}
        case ImagePart():
            data = value.data
            ref = _own(data, blobs) if isinstance(data, BlobRef) else blobs.put(data, value.media_type)
            return {"$image": [ref.sha256, ref.size, value.media_type]}
        case ToolResult():
            return _encode_result(value, blobs)
        case ToolCall():
            return {"$call": _encode_call(value, blobs)}
    raise RecordError(
        f"A {type(value).__module__}.{type(value).__qualname__} cannot be recorded; use None, bool, int, float, str, "
        "bytes, list, tuple, a mapping with string keys, or a NumPy array."
    )


def decode_value(data: Any, blobs: BlobStore) -> Any:
    """The inverse of `encode_value`.

    Raises:
        RecordError: The data were not written by `encode_value`, or a blob is missing or damaged.
    """
    try:
        return _decode(data, blobs)
    except _DAMAGE as problem:
        if isinstance(problem, RecordError):
            raise
        raise RecordError(f"A recorded value cannot be read: {type(problem).__name__}: {problem}") from problem


# What reading damaged data can run into.
_DAMAGE = (KeyError, IndexError, TypeError, ValueError, AttributeError)


def _decode(data: Any, blobs: BlobStore) -> Any:
    if isinstance(data, list):
        return [_decode(item, blobs) for item in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1 or not next(iter(data)).startswith("$"):
        return {key: _decode(item, blobs) for key, item in data.items()}
    (kind, body), *_ = data.items()
    match kind:
        case "$float":
            return float(body)
        case "$tuple":
            return tuple(_decode(item, blobs) for item in body)
        case "$map":
            return {key: _decode(item, blobs) for key, item in body}
        case "$array":
            return _decode_array(body, blobs)
        case "$bytes":
            return _decode_bytes(body, blobs)
        case "$blob":
            return _decode_ref(body, blobs)
        case "$text":
            return TextPart(body)
        case "$image":
            ref = _decode_ref(body, blobs)
            return ImagePart(ref, ref.media_type)
        case "$result":
            return ToolResult(tuple(_decode(part, blobs) for part in body[0]), body[1])
        case "$call":
            return _decode_call(body, blobs)
    raise RecordError(f"A record holds the unknown kind {kind!r}; it was written by another version of palaestra.")


def _encode_mapping(value: Mapping[Any, Any], blobs: BlobStore) -> Any:
    encoded = {}
    special = False
    for key, item in value.items():
        if not isinstance(key, str):
            raise RecordError(f"A recorded mapping needs string keys, got {key!r} of type {type(key).__name__}.")
        special = special or key[:1] == "$"
        encoded[key] = item if type(item) in _PLAIN else encode_value(item, blobs)
    return {"$map": [[key, encoded[key]] for key in sorted(encoded)]} if special else encoded


def _encode_float(value: float) -> Any:
    return value if math.isfinite(value) else {"$float": repr(value)}


def _encode_bytes(data: bytes, media_type: str, blobs: BlobStore) -> Any:
    if len(data) <= _INLINE_BYTES:
        return base64.b64encode(data).decode()
    return _encode_ref(blobs.put(data, media_type))


def _decode_bytes(body: Any, blobs: BlobStore) -> bytes:
    return base64.b64decode(body) if isinstance(body, str) else _decode_ref(body, blobs).read()


def _own(ref: BlobRef, blobs: BlobStore) -> BlobRef:
    """The same blob in this store, so that a record never points to where its reader cannot look."""
    return ref if ref.store is None or ref.store is blobs else blobs.put(ref.read(), ref.media_type)


def _encode_ref(ref: BlobRef) -> list[Any]:
    return [ref.sha256, ref.size, ref.media_type]


def _decode_ref(body: Sequence[Any], blobs: BlobStore) -> BlobRef:
    return BlobRef(body[0], body[1], body[2], blobs)


def _encode_array(value: Any, blobs: BlobStore) -> Any:
    array = np.ascontiguousarray(value)
    if array.dtype.hasobject or array.dtype.names is not None:
        raise RecordError(
            f"An array of dtype {array.dtype} cannot be recorded; use a list, a tuple, or a mapping of arrays."
        )
    dtype = array.dtype.newbyteorder("<")
    data = array.astype(dtype, copy=False).tobytes()
    return {"$array": [dtype.str, list(np.shape(value)), _encode_bytes(data, "application/x-array", blobs)]}


def _decode_array(body: Sequence[Any], blobs: BlobStore) -> Any:
    array = np.frombuffer(_decode_bytes(body[2], blobs), np.dtype(body[0])).reshape(body[1])
    return array if body[1] else array[()]


def _encode_result(result: ToolResult, blobs: BlobStore) -> dict[str, Any]:
    parts = [{"$text": part.text} if type(part) is TextPart else encode_value(part, blobs) for part in result.content]
    return {"$result": [parts, result.is_error]}


def _encode_call(call: ToolCall, blobs: BlobStore) -> dict[str, Any]:
    # `seconds` is left out on purpose: a record does not depend on the clock.
    return {
        "name": call.name,
        "arguments": _encode_mapping(call.arguments, blobs),
        "result": None if call.result is None else _encode_result(call.result, blobs),
        "status": call.status,
        "data": _encode_mapping(call.data, blobs),
    }


def _decode_call(body: Mapping[str, Any], blobs: BlobStore) -> ToolCall:
    return ToolCall(
        name=body["name"],
        arguments=decode_value(body["arguments"], blobs),
        result=decode_value(body["result"], blobs),
        status=body["status"],
        data=decode_value(body["data"], blobs),
    )


def _encode_completion(sample: Completion, blobs: BlobStore) -> dict[str, Any]:
    return {
        "token_ids": encode_value(np.asarray(sample.token_ids, np.int32), blobs),
        "logprobs": encode_value(np.asarray(sample.logprobs, np.float32), blobs),
        "context_ids": encode_value(np.asarray(sample.context_ids, np.int32), blobs),
        "prefix_len": sample.prefix_len,
        "images": [_encode_ref(_own(ref, blobs)) for ref in sample.images],
        "finish_reason": sample.finish_reason,
        "temperature": sample.temperature,
        "top_p": sample.top_p,
        "policy_version": sample.policy_version,
        "model": sample.model,
        "text": sample.text,
    }


def _decode_completion(body: Mapping[str, Any], blobs: BlobStore) -> Completion:
    arrays = {name: decode_value(body[name], blobs) for name in ("token_ids", "logprobs", "context_ids")}
    rest = {key: body[key] for key in body if key not in arrays and key != "images"}
    return Completion(**arrays, **rest, images=tuple(_decode_ref(ref, blobs) for ref in body["images"]))


def _encode_turn(turn: Turn, blobs: BlobStore) -> dict[str, Any]:
    return {
        "action": encode_value(turn.action, blobs),
        "calls": [_encode_call(call, blobs) for call in turn.calls],
        "reward": _encode_float(float(turn.reward)),
        "terms": _encode_mapping({name: float(value) for name, value in turn.terms.items()}, blobs),
        "terminated": bool(turn.terminated),
        "truncated": bool(turn.truncated),
        "info": _encode_mapping(turn.info, blobs),
        "completion": None if turn.completion is None else _encode_completion(turn.completion, blobs),
    }


def _decode_turn(t: int, body: Mapping[str, Any], blobs: BlobStore) -> Turn:
    return Turn(
        t=t,
        action=decode_value(body["action"], blobs),
        calls=tuple(_decode_call(call, blobs) for call in body["calls"]),
        reward=decode_value(body["reward"], blobs),
        terms=decode_value(body["terms"], blobs),
        terminated=body["terminated"],
        truncated=body["truncated"],
        info=decode_value(body["info"], blobs),
        completion=None if body["completion"] is None else _decode_completion(body["completion"], blobs),
    )


def encode_episode(episode: Episode, blobs: BlobStore) -> dict[str, Any]:
    """The episode as a JSON object of the current schema version.

    Turns and observations that are columns of arrays are written as columns, so 10,000 steps are a few blobs.

    Raises:
        RecordError: It holds something that cannot be recorded; the message names the type.
    """
    turns: Any
    if isinstance(episode.turns, ArrayTurns):
        turns = {"columns": encode_value(episode.turns.columns(), blobs)}
    else:
        turns = [_encode_turn(turn, blobs) for turn in episode.turns]
    observations: Any = episode.observations
    if isinstance(observations, np.ndarray):
        observations = {"array": encode_value(observations, blobs)}
    elif isinstance(observations, ArrayColumns):
        observations = {"columns": encode_value(observations.columns, blobs)}
    else:
        observations = [encode_value(observation, blobs) for observation in observations]
    return {
        "schema_version": SCHEMA_VERSION,
        "episode_id": episode.episode_id,
        "group_id": episode.group_id,
        "env_id": episode.env_id,
        "env_kwargs": _encode_mapping(episode.env_kwargs, blobs),
        "task": None if episode.task is None else encode_value(episode.task.to_json(), blobs),
        "seed": int(episode.seed),
        "attempt": episode.attempt,
        "agent_id": episode.agent_id,
        "world_id": episode.world_id,
        "world_size": episode.world_size,
        "status": episode.status,
        "observations": observations,
        "turns": turns,
        "outcome": None if episode.outcome is None else float(episode.outcome),
        "info": _encode_mapping(episode.info, blobs),
        "privileged": _encode_mapping(episode.privileged, blobs),
        "error": None if episode.error is None else episode.error.to_json(),
    }


def decode_episode(record: Mapping[str, Any], blobs: BlobStore) -> Episode:
    """The inverse of `encode_episode`, for records of every schema version; observations are decoded on demand.

    Raises:
        RecordError: The record is of an unknown version, lacks a field, or is damaged.
    """
    data = migrate(record)
    try:
        turns: Sequence[Turn]
        if isinstance(data["turns"], dict):
            turns = ArrayTurns.from_columns(decode_value(data["turns"]["columns"], blobs))
        else:
            turns = [_decode_turn(t, turn, blobs) for t, turn in enumerate(data["turns"])]
        observations: Any
        if isinstance(data["observations"], dict) and "columns" in data["observations"]:
            observations = ArrayColumns(decode_value(data["observations"]["columns"], blobs))
        elif isinstance(data["observations"], dict):
            observations = decode_value(data["observations"]["array"], blobs)
        else:
            observations = LazySequence([*data["observations"]], lambda item: decode_value(item, blobs))
        error = data["error"]
        return Episode(
            episode_id=data["episode_id"],
            group_id=data["group_id"],
            env_id=data["env_id"],
            env_kwargs=decode_value(data["env_kwargs"], blobs),
            task=None if data["task"] is None else Task.from_json(decode_value(data["task"], blobs)),
            seed=data["seed"],
            attempt=data["attempt"],
            agent_id=data["agent_id"],
            world_id=data["world_id"],
            world_size=data["world_size"],
            status=data["status"],
            observations=observations,
            turns=turns,
            outcome=data["outcome"],
            info=decode_value(data["info"], blobs),
            privileged=decode_value(data["privileged"], blobs),
            error=None if error is None else EpisodeError(**error),
            schema_version=SCHEMA_VERSION,
        )
    except _DAMAGE as problem:
        if isinstance(problem, RecordError):
            raise
        name = record.get("episode_id", "without id")
        kind = type(problem).__name__
        raise RecordError(f"The record of episode {name} cannot be read: {kind}: {problem}") from problem


def dump_line(data: Mapping[str, Any]) -> bytes:
    """A JSON object as one canonical line: sorted keys, no spaces, ASCII, ended by a line break."""
    return _LINE.encode(data).encode() + b"\n"


# Encoded data is a tree, so nothing is spent on looking for circles.
_LINE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False)
