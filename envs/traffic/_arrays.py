"""Roads and scenes: named views of the few arrays that the compiled code works on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from palaestra.envs.traffic import _columns as c
from palaestra.errors import ConfigError

__all__ = ["NORMAL_DRIVER", "Road", "Room", "Scenes", "straight_road"]

NORMAL_DRIVER: Final[Mapping[str, float]] = {
    "acceleration": 6.0,  # the limit of braking too, m/s2
    "comfort_acceleration": 3.0,  # m/s2
    "comfort_braking": -5.0,  # m/s2
    "gap": 10.0,  # wanted when jammed, from centre to centre, m
    "headway": 1.5,  # s
    "exponent": 4.0,  # of the speed term
    "politeness": 0.0,  # 0 to 1
    "gain": 0.2,  # the least that makes a change of lanes worth it, m/s2
    "imposed_braking": 2.0,  # the most that a change of lanes may ask of the follower, m/s2
    "delay": 1.0,  # between two thoughts of changing lanes, s
}
"""highway-env's IDM and MOBIL, by the names of the columns of `Scenes.driver`."""


class Road:
    """Lanes, straight and of one road so far.

    The engine knows a lane by its number and asks for its geometry through two functions only (`_local` and
    `_heading_at` in `_kernels.py`), so curved lanes are new columns here and a branch there.

    Args:
        floats: (lanes, 8) float64: where the centre line begins (x, y), its direction (a unit vector), heading (rad),
            length and width (m), speed limit (m/s).
        links: (lanes, 4) int32: the next lanes to the left and to the right (-1 where there is none), number of the
            lane on its road from the left, lanes of its road.
    """

    def __init__(self, floats: NDArray[np.float64], links: NDArray[np.int32]) -> None:
        self.floats = floats
        self.links = links

    def __len__(self) -> int:
        return len(self.floats)

    @property
    def length(self) -> float:
        """Of the shortest lane, m."""
        return float(self.floats[:, c.LANE_LENGTH].min())

    @property
    def speed_limit(self) -> float:
        """The highest one, m/s."""
        return float(self.floats[:, c.LANE_LIMIT].max())


class Scenes:
    """Vehicles of many scenes, attributes of shape (scenes, vehicles), all of them views that may be written.

    What a step derives (lanes, cosines, order) it derives anew at its beginning.

    Attributes:
        count: (scenes,) how many vehicles each scene has; what lies behind them is ignored.
        agents: (scenes, agents) which vehicles follow meta-actions.
        kind: `MDP` or `IDM`.
        x: m, of the centre.
        y: m, downwards where the road is seen from above.
        heading: rad, from the x axis towards the y axis.
        speed: m/s.
        target_speed: m/s.
        timer: Seconds since the driver last thought of changing lanes.
        struck: 1 where the next step pushes the vehicle by (impact_x, impact_y) and makes it crash, else 0.
        impact_x: m.
        impact_y: m.
        crashed: 0 or 1.
        checks: 0 or 1. Two vehicles collide unless neither checks.
        changes_lanes: 0 or 1, whether an `IDM` vehicle ever changes lanes by itself.
        lane: The closest one, derived.
        target_lane: The one that is steered for.
        driver: (scenes, vehicles, 10) parameters by the names of `NORMAL_DRIVER`.
    """

    def __init__(self, scenes: int, vehicles: int, agents: int, dtype: type[np.floating[Any]]) -> None:
        self.floats: NDArray[np.floating[Any]] = np.zeros((scenes, vehicles, c.FLOATS), dtype)
        self.whole = np.zeros((scenes, vehicles, c.WHOLE), np.int32)
        self.count = np.full(scenes, vehicles, np.int32)
        self.agents = np.tile(np.arange(agents, dtype=np.int32), (scenes, 1))
        self.x, self.y = self.floats[..., c.X], self.floats[..., c.Y]
        self.heading, self.speed = self.floats[..., c.HEADING], self.floats[..., c.SPEED]
        self.target_speed, self.timer = self.floats[..., c.TARGET_SPEED], self.floats[..., c.TIMER]
        self.impact_x, self.impact_y = self.floats[..., c.IMPACT_X], self.floats[..., c.IMPACT_Y]
        self.driver = self.floats[..., c.DRIVER_ACCELERATION : c.DELAY + 1]
        self.kind, self.lane = self.whole[..., c.KIND], self.whole[..., c.LANE]
        self.target_lane, self.crashed = self.whole[..., c.TARGET_LANE], self.whole[..., c.CRASHED]
        self.struck, self.checks = self.whole[..., c.STRUCK], self.whole[..., c.CHECKS]
        self.changes_lanes = self.whole[..., c.CHANGES_LANES]
        self.driver[:] = tuple(NORMAL_DRIVER.values())
        self.floats[..., c.COS] = 1
        self.kind[:] = c.IDM
        self.kind[:, :agents] = c.MDP
        self.checks[:] = 1
        self.changes_lanes[:] = 1
        self.whole[..., c.ORDER] = np.arange(vehicles)


class Room:
    """Where one thread computes who is on which lane; nothing of it outlives a step."""

    def __init__(self, lanes: int, vehicles: int) -> None:
        self.arrays = (np.zeros((lanes, vehicles)), np.zeros((lanes, vehicles), np.int32), np.zeros(lanes, np.int32))


def straight_road(
    lanes: int = 4, *, length: float = 10_000.0, width: float = 4.0, speed_limit: float = 30.0, angle: float = 0.0
) -> Road:
    """A road of parallel straight lanes that begins at the origin, lane 0 at the left for who drives (y points down).

    Args:
        lanes: How many, at least 1.
        length: m.
        width: Of each lane, m.
        speed_limit: m/s.
        angle: As highway-env turns its straight roads, rad.

    Raises:
        ConfigError: A size is not positive, or a number is not finite.
    """
    if isinstance(lanes, bool) or not isinstance(lanes, int | np.integer) or lanes < 1:
        raise ConfigError(f"lanes is {lanes!r}: give a whole number, 1 or more")
    for name, value in (("length", length), ("width", width), ("speed_limit", speed_limit)):
        if not (np.isfinite(value) and value > 0):
            raise ConfigError(f"{name} is {value!r}: give a finite number above 0")
    if not np.isfinite(angle):
        raise ConfigError(f"angle is {angle!r}: give a finite number of radians")
    cos, sin = (np.cos(angle), np.sin(angle)) if angle else (1.0, 0.0)
    number = np.arange(lanes)
    floats = np.empty((lanes, 8))
    floats[:, c.LANE_X], floats[:, c.LANE_Y] = sin * number * width, cos * number * width
    floats[:, c.ALONG_X], floats[:, c.ALONG_Y] = cos, -sin
    floats[:, c.LANE_HEADING] = np.arctan2(-sin, cos) if angle else 0.0
    floats[:, c.LANE_LENGTH], floats[:, c.LANE_WIDTH], floats[:, c.LANE_LIMIT] = length, width, speed_limit
    links = np.stack([number - 1, np.where(number < lanes - 1, number + 1, -1), number, np.full(lanes, lanes)], axis=1)
    return Road(floats, links.astype(np.int32))
