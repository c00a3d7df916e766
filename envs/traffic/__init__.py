"""Driving in traffic: a numba engine on arrays that moves vehicles exactly as highway-env 1.12 moves them."""

from __future__ import annotations

from palaestra.envs.traffic._arrays import NORMAL_DRIVER, Road, Scenes, straight_road
from palaestra.envs.traffic.engine import ACTIONS, Engine

__all__ = ["ACTIONS", "NORMAL_DRIVER", "Engine", "Road", "Scenes", "straight_road"]
