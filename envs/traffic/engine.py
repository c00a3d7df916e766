"""The traffic engine: many scenes of many vehicles, moved together; arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palaestra.envs.traffic._arrays import Road, Room, Scenes, straight_road
from palaestra.envs.traffic._columns import MDP
from palaestra.errors import ConfigError, InvalidActionError, MissingExtraError

__all__ = ["ACTIONS", "Engine"]

ACTIONS: Final = ("LANE_LEFT", "IDLE", "LANE_RIGHT", "FASTER", "SLOWER")
"""Meta-actions, by number."""
_CHOICES = ", ".join(f"{number} for {name}" for number, name in enumerate(ACTIONS))


class Engine:
    """Scenes of vehicles on straight roads of many lanes, in the semantics of highway-env 1.12.

    `scenes` holds the state; it may be read at any time and written between two calls. A decision of `agents` lasts
    `simulation_frequency // policy_frequency` frames.

    In float64 every frame gives highway-env's numbers to 1e-9 and better. So do runs of 40 decisions, but for one of 21
    that were compared: a vehicle that braked to a standstill behind a crash parted from it, by last bits first and by
    millimetres in the end. We take that for rounding which its steering amplifies at no speed; it is not proven.
    float32 halves the memory of `scenes`; sums are still made in float64 where a float64 constant takes part.

    Args:
        scenes: How many, at least 1.
        vehicles: In each scene, agents included, at least 1.
        agents: Vehicles of each scene that follow meta-actions, the first ones.
        road: By default highway-env's, of four lanes.
        target_speeds: Evenly spaced, in m/s, that FASTER and SLOWER choose from.
        simulation_frequency: Frames a second.
        policy_frequency: Decisions a second.
        dtype: float64 or float32.
        threads: Among which scenes are divided.

    Raises:
        ConfigError: A value that cannot work.
        MissingExtraError: numba is not installed.
    """

    def __init__(
        self,
        scenes: int,
        vehicles: int,
        *,
        agents: int = 1,
        road: Road | None = None,
        target_speeds: Sequence[float] = (20.0, 25.0, 30.0),
        simulation_frequency: int = 15,
        policy_frequency: int = 1,
        dtype: type[np.floating[Any]] = np.float64,
        threads: int = 1,
    ) -> None:
        for name, value, least in (
            ("scenes", scenes, 1),
            ("vehicles", vehicles, 1),
            ("agents", agents, 0),
            ("simulation_frequency", simulation_frequency, 1),
            ("policy_frequency", policy_frequency, 1),
            ("threads", threads, 1),
        ):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise ConfigError(f"{name} is {value!r}: give a whole number, {least} or more")
        if agents > vehicles:
            raise ConfigError(f"{agents} agents among {vehicles} vehicles: give as many vehicles as agents, or more")
        if policy_frequency > simulation_frequency:
            raise ConfigError(
                f"policy_frequency is {policy_frequency}: no more than simulation_frequency, {simulation_frequency}"
            )
        if np.dtype(dtype) not in (np.dtype(np.float64), np.dtype(np.float32)):
            raise ConfigError(f"dtype is {dtype!r}: give numpy.float64 or numpy.float32")
        speeds = np.array(target_speeds, np.float64)
        steps = np.diff(speeds)
        if speeds.ndim != 1 or not speeds.size or not np.isfinite(speeds).all():
            raise ConfigError(f"target_speeds is {target_speeds!r}: give one or more finite speeds in m/s")
        if (steps <= 0).any() or not np.allclose(steps, steps[:1]):
            raise ConfigError(f"target_speeds is {target_speeds!r}: give rising and evenly spaced speeds")
        try:
            from palaestra.envs.traffic import _kernels
        except ImportError as error:
            raise MissingExtraError("The traffic engine", "traffic") from error
        self._kernels: Any = _kernels
        self.road = straight_road() if road is None else road
        self.target_speeds = speeds
        self.frames = int(simulation_frequency // policy_frequency)
        self.dt = 1 / simulation_frequency
        self.scenes = Scenes(scenes, vehicles, agents, dtype)
        self._rooms = [Room(len(self.road), vehicles) for _ in range(threads)]
        self._bounds = [scenes * part // threads for part in range(threads + 1)]
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None

    def spawn(
        self,
        draws: ArrayLike,
        *,
        scene: int = 0,
        agent_lane: int | None = None,
        agent_speed: float = 25.0,
        agent_spacing: float = 2.0,
        density: float = 1.0,
    ) -> None:
        """Puts the vehicles of a scene on the road as highway-env does, one ahead of the other, from a tape of draws.

        Args:
            draws: (vehicles, 4) from [0, 1), for each vehicle: lane, speed, distance, and exponent of its driver.
                Agents use the lane (where `agent_lane` is None) and the distance.
            scene: Which one; its other vehicles and scenes stay as they are.
            agent_lane: Where agents begin; drawn by default.
            agent_speed: m/s.
            agent_spacing: Distance to the vehicle before, relative to the usual one.
            density: Of the other vehicles.

        Raises:
            ConfigError: A value that cannot work, or more vehicles than fit on the road.
        """
        state = self.scenes
        if not 0 <= scene < len(state.count):
            raise ConfigError(f"scene is {scene!r}: there are {len(state.count)}, numbered from 0")
        tape = np.asarray(draws, np.float64)
        count = int(state.count[scene])
        if tape.shape != (count, 4):
            raise ConfigError(f"draws has the shape {tape.shape}: give {(count, 4)}, a row for each vehicle")
        if not ((tape >= 0) & (tape < 1)).all():
            raise ConfigError("draws has numbers outside [0, 1): give draws of a uniform distribution")
        if agent_lane is not None and not 0 <= agent_lane < len(self.road):
            raise ConfigError(f"agent_lane is {agent_lane!r}: there are {len(self.road)} lanes, numbered from 0")
        for name, value in (("agent_speed", agent_speed), ("agent_spacing", agent_spacing), ("density", density)):
            if not (np.isfinite(value) and value > 0):
                raise ConfigError(f"{name} is {value!r}: give a finite number above 0")
        usual = np.exp(-5 / 40 * len(self.road))
        agents = int((state.kind[scene, :count] == MDP).sum())
        other = (12 + 0.8 * self.road.speed_limit) * usual / density
        own = (12 + agent_speed) * usual * agent_spacing
        need = 3 * max(own, other) + 1.1 * (agents * own + (count - agents) * other)
        if need > self.road.length:
            raise ConfigError(
                f"{count} vehicles may need {need:.0f} m of road, which is {self.road.length:.0f} m long: "
                "give fewer vehicles, a higher density or a longer road"
            )
        self._kernels.spawn(
            self.road.floats, state.floats[scene, :count], state.whole[scene, :count],
            *self._rooms[0].arrays, tape, float(agent_speed), float(agent_spacing),
            1 / float(density), -1 if agent_lane is None else int(agent_lane), self.target_speeds,
        )  # fmt: skip

    def step(self, actions: ArrayLike) -> None:
        """One decision in all scenes: agents take their meta-actions, then all vehicles move for `frames` frames.

        Args:
            actions: Whole numbers, positions in `ACTIONS`, of shape (scenes, agents).

        Raises:
            InvalidActionError: Another shape or type, or a number that is no action; nothing has moved.
        """
        given = np.asarray(actions)
        shape = self.scenes.agents.shape
        if given.shape != shape:
            raise InvalidActionError(f"actions has the shape {given.shape}: give {shape}, an action for each agent")
        if given.dtype.kind not in "iu":
            raise InvalidActionError(f"actions has the type {given.dtype}: give whole numbers, {_CHOICES}")
        if given.size and (given.min() < 0 or given.max() >= len(ACTIONS)):
            raise InvalidActionError(f"actions has numbers from {given.min()} to {given.max()}: give {_CHOICES}")
        given = np.ascontiguousarray(given, np.int64)
        if self._pool is None:
            self._simulate(given, 0)
        else:
            for done in [self._pool.submit(self._simulate, given, part) for part in range(len(self._rooms))]:
                done.result()

    def _simulate(self, actions: NDArray[np.int64], part: int) -> None:
        self._kernels.simulate(
            self.road.floats, self.road.links, self.scenes.floats, self.scenes.whole, self.scenes.count,
            self.scenes.agents, *self._rooms[part].arrays, actions, self.target_speeds, self.frames, self.dt,
            self._bounds[part], self._bounds[part + 1],
        )  # fmt: skip

    def reward_terms(self, speed_range: tuple[float, float] = (20.0, 30.0)) -> NDArray[np.float64]:
        """Terms of highway-env's reward for every agent, (scenes, agents, 4), each in [0, 1].

        Collision; how far to the right the target lane is; where in the range the forward speed is; on the road.

        Raises:
            ConfigError: The range is empty or not finite.
        """
        low, high = speed_range
        if not (np.isfinite(low) and np.isfinite(high) and low < high):
            raise ConfigError(f"speed_range is {speed_range!r}: give two finite speeds, the lower one first")
        out = np.empty((*self.scenes.agents.shape, 4))
        s = self.scenes
        self._kernels.reward_terms(
            self.road.floats, self.road.links, s.floats, s.whole, s.agents, float(low), float(high), out
        )
        return out

    def observe(
        self,
        features: Sequence[str] = ("presence", "x", "y", "vx", "vy"),
        *,
        rows: int = 5,
        absolute: bool = False,
        normalize: bool = True,
        clip: bool = True,
        see_behind: bool = False,
    ) -> NDArray[np.floating[Any]]:
        """highway-env's kinematics: every agent and those nearest to it, (scenes, agents, rows, features).

        The first row is the agent in absolute coordinates, then come the nearest by distance along its lane; rows
        without a vehicle are 0. Scaled, x is relative to 200 m, y to the width of the road, vx and vy to 80 m/s.

        Raises:
            ConfigError: An unknown feature, or no rows.
        """
        known = self._kernels.FEATURES
        unknown = [name for name in features if name not in known]
        if unknown or not features:
            raise ConfigError(f"features has {unknown or 'nothing'}: choose from {', '.join(known)}")
        if rows < 1:
            raise ConfigError(f"rows is {rows!r}: give a whole number, 1 or more")
        across = 4.0 * len(self.road)  # highway-env takes lanes of the default width
        ranges = {"x": 200.0, "y": across, "vx": 80.0, "vy": 80.0} if normalize else {}
        highs = np.array([ranges.get(name, np.nan) for name in features])
        out = np.empty((*self.scenes.agents.shape, rows, len(features)), self.scenes.floats.dtype)
        s = self.scenes
        self._kernels.observe(
            self.road.floats, s.floats, s.whole, s.count, s.agents,
            np.array([known.index(name) for name in features]), highs, clip,
            absolute, see_behind, np.zeros(max(rows - 1, 1), np.int64), out,
        )  # fmt: skip
        return out

    def close(self) -> None:
        """Ends the threads."""
        if self._pool is not None:
            self._pool.shutdown()
