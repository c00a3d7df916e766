"""palaestra: training grounds for agents.

Importing it registers the ids of all environments, so `gymnasium.make("palaestra/...")` works, and imports no
environment. Rewards, agents and the harness are in `palaestra.rewards`, `palaestra.agents` and `palaestra.harness`.
"""

from __future__ import annotations

import importlib
from typing import Any

from palaestra.catalogue import register_built_in
from palaestra.errors import EnvironmentUnavailable, PalaestraError
from palaestra.plugins import load_object
from palaestra.registration import EnvCard, card, cards, make, register
from palaestra.snapshots import Snapshot, fork, snapshot

__all__ = [
    "EnvCard",
    "EnvironmentUnavailable",
    "PalaestraError",
    "Snapshot",
    "card",
    "cards",
    "fork",
    "make",
    "register",
    "snapshot",
    "with_reward",
]

__version__ = "0.1.0"

# Names of upper floors that the face offers; they are imported when first used.
_LAZY = {"with_reward": "palaestra.rewards.wrappers:with_reward"}
_FLOORS = ("agents", "envs", "harness", "rewards")


def __getattr__(name: str) -> Any:
    if name in _FLOORS:
        return importlib.import_module(f"palaestra.{name}")
    if name in _LAZY:
        return load_object(_LAZY[name])
    raise AttributeError(f"module 'palaestra' has no attribute '{name}'")


register_built_in()
