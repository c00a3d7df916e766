"""Who acts: policies, the models behind them, and how they learn (floor 2)."""

if __name__ != "palaestra.agents":
    raise ImportError("import palaestra.agents, not agents")

from palaestra.agents.base import Action, Agent, ArrayPolicy, View
from palaestra.agents.registry import agent_names, make_agent, register

__all__ = ["Action", "Agent", "ArrayPolicy", "View", "agent_names", "make_agent", "register"]
