"""Ids, their cards, and how environments are made.

Single-agent environments go into Gymnasium's registry, worlds of several agents into PettingZoo's registry of
parallel environments. Registering imports nothing: entry points are strings.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym

from palaestra.errors import ConfigError, PalaestraError, UnknownNameError, nearest
from palaestra.plugins import load_object, load_plugins
from palaestra.snapshots import ReplayLog

__all__ = ["EnvCard", "card", "cards", "entry_class", "make", "register"]


@dataclass(frozen=True, slots=True)
class EnvCard:
    """What a harness has to know of an environment before it makes one.

    Attributes:
        id: `namespace/Name-vN`.
        summary: One sentence.
        family: The family it belongs to ("search").
        kind: `verifiable` (a verifier gives an outcome in [0, 1]) or `control` (returns are compared).
        interface: `text`: agents speak, one at a time; `array`: policies act on batches of arrays.
        agents: `single` (Gymnasium) or `parallel` (PettingZoo).
        concurrency: Where instances may run beside each other: `thread`, `pinned-thread` (each always in the same
            thread) or `process`.
        snapshot: `exact`; `files` (a sandbox's files, not its live processes); `replay` (seed and actions, played
            again); `none`.
        extras: Extras of palaestra that it needs.
        nondeterministic: Whether something real (a page, a server, a sandbox) makes runs differ for one seed.
        bounds: Highest mean outcome allowed to a policy, by its name ("prior": 0.2); `oracle` 1 and `null`, `echo` 0
            go without saying for verifiable ones.
        note: What whoever reads its scores has to know, in a sentence or two; shown with every run.
    """

    id: str
    summary: str
    family: str
    kind: Literal["verifiable", "control"]
    interface: Literal["text", "array"]
    agents: Literal["single", "parallel"] = "single"
    concurrency: Literal["thread", "pinned-thread", "process"] = "thread"
    snapshot: Literal["exact", "files", "replay", "none"] = "exact"
    extras: tuple[str, ...] = ()
    nondeterministic: bool = False
    bounds: Mapping[str, float] | None = None
    note: str = ""


# As in Gymnasium's own registry, ids are a matter of the whole process.
_CARDS: dict[str, EnvCard] = {}


def register(card: EnvCard, entry_point: str, *, replace: bool = False, **kwargs: Any) -> None:
    """Makes an environment known to Gymnasium or PettingZoo, and to palaestra.

    Args:
        card: What is to be known of it.
        entry_point: "module:Class", imported when an instance is made.
        replace: Whether an id that is already taken may be taken over.
        **kwargs: Default keyword arguments of the constructor.

    Raises:
        ConfigError: The id is taken by another environment, or is not of the form `namespace/Name-vN`.
    """
    if card.id in _CARDS and not replace:
        if _CARDS[card.id] == card:
            return
        raise ConfigError(f"The id '{card.id}' is already registered with another card; choose a new version.")
    if re.fullmatch(r"[\w:-]+/[\w:.-]+-v\d+", card.id) is None:
        raise ConfigError(f"'{card.id}' is not an id of the form 'namespace/Name-vN', as in 'mine/Maze-v0'.")
    try:
        if card.agents == "single":
            _make_room(gym.registry, card.id, replace)
            gym.register(card.id, entry_point=entry_point, nondeterministic=card.nondeterministic, kwargs=dict(kwargs))
        else:
            import pettingzoo

            _make_room(pettingzoo.parallel_registry, card.id, replace)
            pettingzoo.register("parallel", card.id, entry_point, kwargs=dict(kwargs))
    except gym.error.Error as error:
        raise ConfigError(f"Gymnasium does not accept the id '{card.id}': {error}") from error
    _CARDS[card.id] = card


def _make_room(registry: dict[str, Any], env_id: str, replace: bool) -> None:
    if env_id in registry and not replace:
        raise ConfigError(f"The id '{env_id}' is already registered by something else; choose another name or version.")
    registry.pop(env_id, None)


def cards() -> tuple[EnvCard, ...]:
    """The cards of all registered environments, by id."""
    return tuple(_CARDS[name] for name in sorted(_CARDS))


def card(env_id: str) -> EnvCard:
    """The card of an id; plugins are loaded once on a miss.

    Environments that know nothing of palaestra have no card of their own: one is made from Gymnasium's spec, with
    the most cautious settings.

    Args:
        env_id: The id, optionally as "module:id", which imports the module first.

    Raises:
        UnknownNameError: No environment has this id; the nearest is suggested.
        PalaestraError: No environment has this id, and a plugin that might bring it does not load.
    """
    module, _, name = env_id.rpartition(":")
    if module:
        _import(module, env_id)
    if name not in _CARDS and name not in gym.registry:
        try:
            load_plugins()
        except PalaestraError:
            if name not in _CARDS:
                raise
    if name in _CARDS:
        return _CARDS[name]
    if name in gym.registry:
        spec = gym.registry[name]
        return EnvCard(
            id=name,
            summary="A Gymnasium environment without a card.",
            family=spec.namespace or "gymnasium",
            kind="control",
            interface="array",
            concurrency="pinned-thread",
            snapshot="replay",
            nondeterministic=spec.nondeterministic,
        )
    raise UnknownNameError("environment", env_id, {*_CARDS, *gym.registry})


def make(env_id: str, **kwargs: Any) -> Any:
    """Makes an environment of either kind.

    Args:
        env_id: The id, optionally as "module:id".
        **kwargs: For the constructor.

    Returns:
        A `gymnasium.Env`, or a `pettingzoo.ParallelEnv`.

    Raises:
        UnknownNameError: No environment has this id; the nearest is suggested.
        MissingExtraError: Its packages are not installed.
        ConfigError: It does not take one of the keyword arguments.
    """
    found = card(env_id)
    try:
        if found.agents == "parallel":
            import pettingzoo

            return pettingzoo.make("parallel", found.id, **kwargs)
        env = gym.make(found.id, **kwargs)
        return ReplayLog(env) if found.snapshot == "replay" else env
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise ConfigError(f"{found.id}: {_unexpected(str(error), found)}") from error


def entry_class(card: EnvCard) -> Any:
    """What makes instances: the environment's class, or another callable. Imports its module.

    Raises:
        MissingExtraError: Its packages are not installed.
    """
    if card.agents == "parallel":
        import pettingzoo

        creator: Any = pettingzoo.spec("parallel", card.id).entry_point
    else:
        creator = gym.registry[card.id].entry_point
    return load_object(creator) if isinstance(creator, str) else creator


def _unexpected(message: str, card: EnvCard) -> str:
    given = message.partition("unexpected keyword argument")[2].strip().split()[0].strip("'\".,")
    accepted = inspect.signature(entry_class(card)).parameters
    hint = "" if given in accepted else nearest(given, set(accepted) - {"kwargs", "self"})
    return f"there is no option '{given}'. {hint} See: palaestra list {card.id}"


def _import(module: str, env_id: str) -> None:
    import importlib

    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"'{env_id}' asks for the module '{module}', which cannot be imported ({error}). "
            "Install its package, or correct the part before the colon."
        ) from error
