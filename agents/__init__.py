"""Who acts: policies, the models behind them, and how they learn (floor 2)."""

if __name__ != "palaestra.agents":
    raise ImportError("import palaestra.agents, not agents")
