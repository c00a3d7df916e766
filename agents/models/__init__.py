"""Language models behind agents: loading, batched generation, scoring."""
