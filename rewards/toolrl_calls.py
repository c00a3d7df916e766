"""How near a list of tool calls is to a reference: ToolRL's correctness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

from palaestra.errors import ConfigError

__all__ = [
    "Call",
    "Granularity",
    "call_similarity",
    "correctness_reward",
    "multiset_jaccard",
    "same_call",
    "same_calls",
    "same_json",
]

Granularity = Literal["fine", "refined", "intermediate", "coarse"]
_Similarity = Callable[[Iterable[Hashable], Iterable[Hashable]], float]


class Call(NamedTuple):
    """A call as it was asked for. Compare with `same_call`; `==` takes `True` for 1.

    Attributes:
        name: The tool.
        arguments: By name; JSON values.
    """

    name: str
    arguments: Mapping[str, Any]


def multiset_jaccard(left: Iterable[Hashable], right: Iterable[Hashable]) -> float:
    """|A n B| / (|A| + |B| - |A n B|), counting how often things occur; 1 for two empty ones, in [0, 1]."""
    a, b = Counter(iter(left)), Counter(iter(right))  # of a mapping, Counter would take the values for counts
    common = (a & b).total()
    union = a.total() + b.total() - common
    return common / union if union else 1.0


def same_json(left: Any, right: Any) -> bool:
    """Whether two values are the same JSON.

    Strict in types: "1" is not 1, and true is not 1. JSON has one type of numbers, so 1 and 1.0 are the same. Tuples
    are lists, as ground truth is frozen. NaN is like nothing.
    """
    if isinstance(left, Mapping) or isinstance(right, Mapping):
        return (
            isinstance(left, Mapping)
            and isinstance(right, Mapping)
            and len(left) == len(right)
            and all(key in right and same_json(value, right[key]) for key, value in left.items())
        )
    if isinstance(left, list | tuple) or isinstance(right, list | tuple):
        return (
            isinstance(left, list | tuple)
            and isinstance(right, list | tuple)
            and len(left) == len(right)
            and all(map(same_json, left, right))
        )
    if _is_number(left) and _is_number(right):
        return bool(left == right)
    return type(left) is type(right) and bool(left == right)


def same_call(left: Call, right: Call) -> bool:
    """Whether two calls have the same name and, as JSON, the same arguments."""
    return left.name == right.name and same_json(left.arguments, right.arguments)


def same_calls(left: Sequence[Call], right: Sequence[Call]) -> bool:
    """Whether two lists hold the same calls in the same order."""
    return len(left) == len(right) and all(map(same_call, left, right))


def call_similarity(gold: Sequence[Call], predicted: Sequence[Call], granularity: Granularity = "fine") -> float:
    """How near predicted calls are to those of a reference, in [0, 1].

        fine:          S = J(N_G, N_P) + sum_g max_p [ J(keys g, keys p) + sum_k 1[g_k = p_k] ]
                       similarity = S / (1 + sum_g (1 + |keys g|))
        refined:       the same with 1[A = B] in place of each J(A, B)
        intermediate:  ( J(N_G, N_P) + sum_g 1[some p = g] ) / (1 + |G|)
        coarse:        1[G = P]

    Symbols: G and P are the reference and the predicted calls, N their names, J the Jaccard index of multisets. Calls g
    are taken in the order of the reference; p is the best call with the same name that no g before took (the first of
    several), and it is taken unless it scores 0. Equal lists have similarity 1 at once.

    What follows from it: a parameter of a call with the wrong name earns nothing; a call too many costs only through
    the names; a call without parameters is complete with its name, J of two empty sets being 1; the order of P never
    matters (but in `coarse`), that of G can.

    Source: "ToolRL: Reward is All Tool Learning Needs" (2025), section on reward design and its ablation of
    granularity, and the authors' code (github.com/qiancheng0/ToolRL, `rlla.py`).

    Departures from that code:
        - Values are compared as JSON: there `True` equals 1.
        - In `refined`, order does not matter: neither that of calls, which may run side by side, nor that of keys. The
          code asks for both.

    Args:
        gold: The reference's calls; at least one.
        predicted: Those to be judged.
        granularity: `fine` is the paper's own.

    Raises:
        ConfigError: There is no such granularity.
    """
    if granularity not in get_args(Granularity):
        raise ConfigError(f"granularity is {granularity!r}; choose one of {', '.join(get_args(Granularity))}.")
    if same_calls(gold, predicted):
        return 1.0
    if granularity == "coarse":
        return 0.0
    similarity: _Similarity = _equal if granularity == "refined" else multiset_jaccard
    total = similarity([call.name for call in gold], [call.name for call in predicted])
    largest = 1.0
    unused = list(predicted)
    for call in gold:
        largest += 1.0 if granularity == "intermediate" else 1.0 + len(call.arguments)
        scores = [_score(call, other, granularity, similarity) for other in unused]
        best = max(scores, default=0.0)
        if best > 0:
            total += best
            del unused[scores.index(best)]
    return total / largest


def correctness_reward(
    gold: Sequence[Call],
    predicted: Sequence[Call] | None,
    granularity: Granularity = "fine",
    scale: tuple[float, float] = (-3.0, 3.0),
) -> float:
    """ToolRL's correctness reward: low + (high - low) similarity; see `call_similarity`.

    Args:
        gold: The reference's calls. Where there are none the reward is 0, whatever is predicted.
        predicted: Those to be judged; None where they could not be read, which is the lowest reward.
        granularity: See `call_similarity`.
        scale: (low, high).
    """
    if not gold:
        return 0.0
    low, high = scale
    return low if predicted is None else low + (high - low) * call_similarity(gold, predicted, granularity)


def _score(gold: Call, predicted: Call, granularity: Granularity, similarity: _Similarity) -> float:
    if gold.name != predicted.name:
        return 0.0
    if granularity == "intermediate":
        return float(same_call(gold, predicted))
    given = predicted.arguments
    values = sum(key in given and same_json(value, given[key]) for key, value in gold.arguments.items())
    return similarity(gold.arguments, given) + values


def _equal(left: Iterable[Hashable], right: Iterable[Hashable]) -> float:
    return float(Counter(iter(left)) == Counter(iter(right)))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
