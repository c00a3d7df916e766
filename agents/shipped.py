"""Agents that are just a policy which the environment ships."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palaestra.agents.base import Action, View
from palaestra.errors import ConfigError

__all__ = ["SHIPPED_POLICIES", "ShippedPolicy", "make_policy"]

SHIPPED_POLICIES: Mapping[str, str] = {
    "null": "does nothing",
    "echo": "repeats what it sees",
    "random": "samples the action space",
    "prior": "guesses without looking",
    "oracle": "knows the answer",
    "cheat": "tries to win without the task",
    "saboteur": "tries to win by breaking things",
}
"""Names that have a meaning in every environment that ships them."""


class ShippedPolicy:
    """Stands for a policy that only the environment can make, since it may look at the ground truth.

    Args:
        policy: Its name.

    Attributes:
        name: The same, as shown in reports.
        policy: What the harness asks the environment for.
    """

    def __init__(self, policy: str) -> None:
        self.name = policy
        self.policy: str | None = policy

    async def act(self, view: View) -> Action:
        """Never called: a view holds nothing privileged, so the harness asks the environment for this policy."""
        raise NotImplementedError(f"The policy '{self.policy}' is made by the environment, not asked for actions.")

    def finish(self, episode_id: str) -> None:
        """Nothing is kept."""

    def describe(self) -> Mapping[str, Any]:
        """See `Agent.describe`."""
        return {"kind": "scripted", "policy": self.policy}

    def close(self) -> None:
        """Nothing is held."""


def make_policy(target: str | None = None) -> ShippedPolicy:
    """The agent `policy:NAME`, for policies that only one environment has.

    Raises:
        ConfigError: No name is given.
    """
    if not target:
        raise ConfigError("Write policy:NAME with the name of a policy that the environment ships.")
    return ShippedPolicy(target)
