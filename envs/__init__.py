"""Environments, one package a family (floor 1)."""

if __name__ != "palaestra.envs":
    raise ImportError("import palaestra.envs, not envs")
