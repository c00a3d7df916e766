"""The built-in corpus and questions of `palaestra.envs.search`: the CIA World Factbook."""

from palaestra.envs.search.factbook.build import GENERATOR, Factbook, load

__all__ = ["GENERATOR", "Factbook", "load"]
