"""Reward designs: from what happened to numbers (floor 1).

`make("outcome")` makes any reward by its name, `names()` lists them, `register` adds one; `palaestra.with_reward` puts
a step reward around an environment. Importing this package imports no reward.
"""

from palaestra.rewards.registry import make, names, register

__all__ = ["make", "names", "register"]

if __name__ != "palaestra.rewards":
    raise ImportError("import palaestra.rewards, not rewards")
