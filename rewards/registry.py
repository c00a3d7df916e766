"""Rewards by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from palaestra.plugins import Registry, load_plugins

__all__ = ["make", "names", "register"]

# As with environment ids, names of rewards are a matter of the whole process.
_REGISTRY: Registry[Any] = Registry(
    "reward",
    {
        "clip": "palaestra.rewards.transforms:Clip",
        "count": "palaestra.rewards.count:EpisodicCount",
        "ema-group": "palaestra.rewards.ema_group:EmaGroupNormalized",
        "env": "palaestra.rewards.env_reward:EnvReward",
        "format": "palaestra.rewards.format:Format",
        "group-normalized": "palaestra.rewards.advantages:GroupNormalized",
        "igpo": "palaestra.rewards.igpo:InformationGain",
        "log-sigmoid": "palaestra.rewards.transforms:LogSigmoid",
        "outcome": "palaestra.rewards.outcome:Outcome",
        "overlong": "palaestra.rewards.overlong:Overlong",
        "rloo": "palaestra.rewards.rloo:LeaveOneOut",
        "spa": "palaestra.rewards.spa:ProgressAttribution",
        "stratified": "palaestra.rewards.stratified:Stratified",
        "toolrl": "palaestra.rewards.toolrl:ToolRL",
        "turn-level": "palaestra.rewards.turn_level:TurnLevel",
        "weighted-sum": "palaestra.rewards.weighted_sum:WeightedSum",
    },
)


def make(name: str, /, **kwargs: Any) -> Any:
    """Makes a reward of any kind by its name.

    Args:
        name: A built-in name, or one that an installed plugin registers.
        **kwargs: For its constructor.

    Returns:
        A `StepReward`, `Credit`, `Transform` or `Advantage` (`palaestra.rewards.base`).

    Raises:
        UnknownNameError: Nothing has this name; the nearest is suggested.
        ConfigError: It does not take one of the keyword arguments, or lacks one.
        PalaestraError: A plugin does not load; it and its package are named.
    """
    return _REGISTRY.make(name, **kwargs)


def register(name: str, target: str | Callable[..., Any], *, replace: bool = False) -> None:
    """Adds a reward.

    Args:
        name: Its name, in lower case with hyphens.
        target: Its class or another factory, or "module:attribute" of one, imported when first made.
        replace: Whether an existing name may be taken over.

    Raises:
        PalaestraError: The name is taken by something else.
    """
    _REGISTRY.register(name, target, replace=replace)


def names(*, plugins: bool = False) -> tuple[str, ...]:
    """The names that `make` knows, sorted.

    Args:
        plugins: Whether to load the installed plugins first, so that theirs are among them.
    """
    if plugins:
        load_plugins()
    return tuple(_REGISTRY)
