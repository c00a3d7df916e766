"""Random, well-formed calls: what the action space of a language environment draws."""

from __future__ import annotations

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
        return self.dialect.render(CallRequest(tool.name, arguments), shapes)


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
            low = int(schema.get("minItems", 0))
            high = int(schema.get("maxItems", low + 3))
            return [sample_schema(schema.get("items", {}), rng, words) for _ in range(int(rng.integers(low, high + 1)))]
        case "integer":
            low, high = int(schema.get("minimum", 0)), int(schema.get("maximum", schema.get("minimum", 0) + 100))
            return int(rng.integers(low, high + 1))
        case "number":
            low_float = float(schema.get("minimum", 0.0))
            return float(rng.uniform(low_float, float(schema.get("maximum", low_float + 100.0))))
        case "boolean":
            return bool(rng.integers(2))
        case "null":
            return None
    count = int(rng.integers(1, 5))
    text = " ".join(words[int(index)] for index in rng.integers(len(words), size=count))
    text = text[: int(schema.get("maxLength", len(text)))]
    return text.ljust(int(schema.get("minLength", 0)), "x")
