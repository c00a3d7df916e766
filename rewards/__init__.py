"""Reward designs: from what happened to numbers (floor 1)."""

if __name__ != "palaestra.rewards":
    raise ImportError("import palaestra.rewards, not rewards")
