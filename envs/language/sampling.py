"""Random, well-formed calls: what the action space of a language environment draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from palaestra.envs.language.dialects import CallRequest, Dialect

__all__ = ["CallSampler", "ToolShape", "sample_schema"]

_WORDS = ("alpha", "river", "seven", "north", "paper", "island", "market", "green", "report", "stone")


@dataclass(frozen=True, slots=True)
class ToolShape:
    """The part of a tool that sampling and rendering need; unlike a tool, it can be pickled."""

    name: str
    parameters: Mapping[str, Any]
    primary: str | None


@dataclass(frozen=True, slots=True)
class CallSampler:
    """Draws a tool, then arguments by its schema, and renders them in the dialect.

    Attributes:
        dialect: How calls are written.
        tools: The tools to draw from, uniformly.
        words: What strings are made of.
    """

    dialect: Dialect
    tools: tuple[ToolShape, ...]
    words: tuple[str, ...] = _WORDS

    def __call__(self, rng: np.random.Generator) -> str:
        """One utterance."""
        tool = self.tools[int(rng.integers(len(self.tools)))]
        arguments = sample_schema(tool.parameters, rng, self.words)
        shapes: Any = self.tools
        try:
            return self.dialect.render(CallRequest(tool.name, arguments), shapes)
        except ValueError:
            if tool.primary is None:
                raise
            # `tags` says a primary parameter and nothing beside it.
            alone = sample_schema(tool.parameters["properties"][tool.primary], rng, self.words)
            return self.dialect.render(CallRequest(tool.name, {tool.primary: alone}), shapes)


def sample_schema(schema: Mapping[str, Any], rng: np.random.Generator, words: Sequence[str] = _WORDS) -> Any:
    """A random value that meets a JSON Schema of the plain kind that tools have.

    Understood are `const`, `enum`, `anyOf`/`oneOf`, the seven types, `properties`, `required`, `items`, bounds on
    numbers, lengths and items. Optional properties are given half of the time.

    Args:
        schema: The schema.
        rng: All randomness.
        words: What strings are made of.
    """
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][int(rng.integers(len(schema["enum"])))]
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return sample_schema(schema[choice][int(rng.integers(len(schema[choice])))], rng, words)
    kind = schema.get("type", "string")
    if isinstance(kind, list):
        kind = kind[int(rng.integers(len(kind)))]
    match kind:
        case "object":
            required = set(schema.get("required", ()))
            return {
                name: sample_schema(part, rng, words)
                for name, part in schema.get("properties", {}).items()
                if name in required or rng.random() < 0.5
            }
        case "array":
            least = int(schema.get("minItems", 0))
            count = int(rng.integers(least, int(schema.get("maxItems", least + 3)), endpoint=True))
            return [sample_schema(schema.get("items", {}), rng, words) for _ in range(count)]
        case "integer":
            low, high = _range(schema)
            return int(rng.integers(math.ceil(low), math.floor(high), endpoint=True))
        case "number":
            return float(rng.uniform(*_range(schema)))
        case "boolean":
            return bool(rng.integers(2))
        case "null":
            return None
    count = int(rng.integers(1, 5))
    text = " ".join(words[int(index)] for index in rng.integers(len(words), size=count))
    text = text[: int(schema.get("maxLength", len(text)))]
    return text.ljust(int(schema.get("minLength", 0)), "x")


def _range(schema: Mapping[str, Any]) -> tuple[float, float]:
    """Bounds within those of the schema and at most 1,000 apart, around 0 where it leaves them open."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is None:
        low = 0 if high is None or high >= 0 else high - 100
    if high is None:
        high = low + 100
    return low, min(high, low + 1000)
