"""The array runner: steps a vector environment with an array policy into columns."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from palaestra.agents.base import ArrayPolicy
from palaestra.errors import ConfigError
from palaestra.harness.scoring import versions_of
from palaestra.rewards.base import StepReward, Transition, check_requires, score_step
from palaestra.rollouts import Rollout, tree_map

__all__ = ["ArrayRunner", "Starts", "info_of"]


class Starts(Protocol):
    """Says with what each episode begins; works with vector environments whose autoreset is `DISABLED`."""

    def next(self, slot: int) -> tuple[int, dict[str, Any]] | None:
        """Seed and options of the next episode in this slot; None where there is nothing left to play."""
        ...

    def begun(self, slot: int, number: int, info: Mapping[str, Any]) -> None:
        """The episode has been reset; this is its info."""
        ...


class ArrayRunner:
    """Collects rollouts. Right under every autoreset mode, with true final observations.

    Args:
        envs: The vector environment; it belongs to the runner until nobody calls `collect` any more.
        policy: Who acts.
        steps: T, the number of vector steps of a rollout.
        seed: Seeds the first reset, and the policy.
        reward: Replaces the environment's reward, which stays the term `env`. It sees the true next observations.
            A `learned` one is updated by whoever calls `collect`, between rollouts.
        starts: Says with what each episode begins.

    Raises:
        ConfigError: The environments give no arrays, `starts` meets another autoreset mode than `DISABLED`, or the
            reward needs what there is not.
    """

    def __init__(
        self,
        envs: VectorEnv[Any, Any, Any],
        policy: ArrayPolicy,
        *,
        steps: int = 128,
        seed: int = 0,
        reward: StepReward | None = None,
        starts: Starts | None = None,
    ) -> None:
        if steps < 1:
            raise ConfigError(f"steps is {steps}; a rollout has at least 1.")
        self.envs, self.policy, self.steps, self.seed = envs, policy, steps, seed
        self.reward, self.starts = reward, starts
        self.mode = AutoresetMode(envs.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP))
        if starts is not None and self.mode is not AutoresetMode.DISABLED:
            raise ConfigError(f"Episodes can be chosen only where autoreset is DISABLED; it is {self.mode.name}.")
        if reward is not None:
            check_requires(reward, ())
        slots = envs.num_envs
        self.ticks = 0  # vector steps so far; lets another thread see whether it goes on
        self._slot = np.arange(slots)
        self._number = np.zeros(slots, np.int64)
        self._row = self._number.copy()  # episode number of the next step's rows; -1 for none
        self._idle = np.zeros(slots, bool)  # nothing left to play there
        self._resetting = np.zeros(slots, bool)  # under NEXT_STEP: slots that only reset in the next step
        self._mask = np.ones(slots, bool)  # where a new episode begins with the current observation
        self._nowhere = np.zeros(slots, bool)
        self._special = False  # whether any slot is idle or resetting
        self._filled = 0  # up to which row of a rollout the episode numbers are filled
        self._columns: _Columns | None = None
        self._ticks_before = 0
        self._observation: Any = None
        self._state: Any = None

    def is_idle(self, slot: int) -> bool:
        """Whether nothing is left to play in this slot."""
        return bool(self._idle[slot])

    @property
    def idle(self) -> bool:
        """Whether nothing is left to play in any slot."""
        return bool(self._idle.all())

    def collect(self) -> Rollout:
        """The next T steps. Its arrays are its own: a later call does not touch them."""
        if self._observation is None:
            self._begin()
        observation, state = self._observation, self._state
        columns = self._columns = _Columns(self.steps, self.envs.num_envs, observation, self.reward is not None)
        self._ticks_before = self.ticks
        seen, rewards, numbers = columns.seen, columns.env_rewards, columns.numbers
        terminated, truncated = columns.terminated, columns.truncated
        _write(seen, 0, observation)
        acted: Any = None
        extras = columns.extras
        act, step = self.policy.act, self.envs.step
        flat = isinstance(seen, np.ndarray)
        always = self.reward is not None
        none = bytes(self.envs.num_envs)
        self._filled = 0

        # This loop runs for every vector step, so it does no more than it must: comparing bytes is the quickest way to
        # see that nothing has ended, and columns that seldom change are filled when they do.
        for t in range(self.steps):
            actions, state, said = act(observation, state, self._mask)
            if acted is None:
                acted = columns.acted = _like(actions, self.steps)
                extras.update({name: _like(it, self.steps) for name, it in said.items()})
            if type(acted) is np.ndarray:
                acted[t] = actions
            else:
                _write(acted, t, actions)
            for name in said:
                extras[name][t] = said[name]
            observation, rewards[t], ends, cuts, infos = step(actions)
            if always or self._special or ends.tobytes() != none or cuts.tobytes() != none:
                terminated[t] = ends
                truncated[t] = cuts
                numbers[self._filled : t + 1] = self._row
                self._filled = t + 1
                observation = self._turn_over(t, actions, observation, infos, columns)
            else:
                self._mask = self._nowhere
            if flat:
                seen[t + 1] = observation
            else:
                _write(seen, t + 1, observation)
            self.ticks += 1

        self._observation, self._state = observation, state
        return self.partial()

    def partial(self) -> Rollout:
        """What the current, or last, call of `collect` has finished so far: of use when a step raised, or hangs."""
        columns = self._columns
        if columns is None:
            raise ConfigError("Nothing has been collected yet.")
        done = self.ticks - self._ticks_before
        columns.numbers[self._filled : done] = self._row

        def upto(tree: Any, rows: int) -> Any:
            return tree if done == self.steps else tree_map(lambda column: column[:rows], tree)

        return Rollout(
            observations=upto(columns.seen, done + 1),
            actions=upto(columns.acted, done),
            rewards=columns.rewards[:done],
            terms={name: part[:done] for name, part in columns.terms.items()},
            terminated=columns.terminated[:done],
            truncated=columns.truncated[:done],
            valid=columns.valid[:done],
            final_at=np.array(columns.ends, np.int64).reshape(-1, 2),
            final_observations=columns.final_observations(),
            slot=self._slot,
            episode_id=columns.numbers[:done],
            final_infos=tuple(columns.infos),
            extras={name: column[:done] for name, column in columns.extras.items()},
        )

    def _begin(self) -> None:
        slots = self.envs.num_envs
        self._state = self.policy.initial_state(slots, np.random.default_rng(self.seed))
        # All at once first: not every environment can be reset slot by slot before that.
        observation, _ = self.envs.reset(seed=self.seed)
        tree_map(_array_only, observation)
        if self.starts is not None:
            observation = self._restart(np.arange(slots))
            self._row = np.where(self._idle, -1, self._number)
            self._mask, self._special = ~self._idle, bool(self._idle.any())
        self._observation = observation
        begun = np.flatnonzero(self._mask)
        if self.reward is not None and len(begun):
            fresh = tree_map(lambda column: column[begun], observation)
            self.reward.reset(begun, self._number[begun].tolist(), fresh)

    # Ends and beginnings ---------------------------------------------------------------------------------------

    def _turn_over(
        self,
        t: int,
        actions: Any,
        after: Any,
        infos: Mapping[str, Any],
        columns: _Columns,
    ) -> Any:
        """What a step in which something ends, begins or is scored needs beside the columns.

        Returns:
            What the policy sees next.
        """
        stopped = columns.terminated[t] | columns.truncated[t]
        alive = ~(self._resetting | self._idle)
        ended = stopped & alive
        columns.valid[t] = alive
        rows = np.flatnonzero(ended)
        after_truly, scored = after, alive
        if len(rows):
            same = self.mode is AutoresetMode.SAME_STEP
            finals = [_row_of(infos["final_obs"] if same else after, n) for n in rows.tolist()]
            if same:
                after_truly = _replaced(after, rows, finals)
            scored = alive.copy()
            for n, final in zip(rows.tolist(), finals, strict=True):
                info = info_of(infos.get("final_info", {}) if same else infos, n)
                columns.end(t, n, final, info)
                if info.get("status") == "failed":
                    scored[n] = False
                    columns.valid[columns.begun_at[n] : t + 1, n] = False
        if self.reward is not None:
            transition = Transition(
                slot=self._slot,
                episode_id=self._row.copy(),
                valid=scored,
                observation=tree_map(lambda column: column[t], columns.seen),
                action=actions,
                next_observation=after_truly,
                reward=columns.env_rewards[t],
                terminated=columns.terminated[t],
                truncated=columns.truncated[t],
            )
            columns.pay(t, self.reward, transition)
        return self._next_episodes(t, stopped, ended, after, columns)

    def _next_episodes(
        self, t: int, stopped: NDArray[np.bool_], ended: NDArray[np.bool_], after: Any, columns: _Columns
    ) -> Any:
        begins = self._resetting if self.mode is AutoresetMode.NEXT_STEP else ended
        self._number[begins] += 1
        columns.begun_at[begins] = t + 1
        if self.mode is AutoresetMode.NEXT_STEP:
            self._resetting = ended
        elif self.mode is AutoresetMode.DISABLED and stopped.any():
            after = self._restart(np.flatnonzero(stopped))
        self._mask = begins & ~self._idle
        self._row = np.where(self._resetting | self._idle, -1, self._number)
        self._special = bool((self._resetting | self._idle).any())
        begun = np.flatnonzero(self._mask)
        if self.reward is not None and len(begun):
            fresh = tree_map(lambda column: column[begun], after)
            self.reward.reset(begun, self._number[begun].tolist(), fresh)
        return after

    def _restart(self, slots: NDArray[np.intp]) -> Any:
        """Resets some slots and returns the observations of all."""
        if self.starts is None:
            mask = np.zeros(self.envs.num_envs, bool)
            mask[slots] = True
            return self.envs.reset(options={"reset_mask": mask})[0]
        observation: Any = None
        for slot in slots.tolist():
            start = None if self._idle[slot] else self.starts.next(slot)
            self._idle[slot] = start is None
            seed, options = start or (0, {})
            mask = np.zeros(self.envs.num_envs, bool)
            mask[slot] = True
            seeds: Any = [seed if other == slot else None for other in range(self.envs.num_envs)]
            observation, infos = self.envs.reset(seed=seeds, options={**options, "reset_mask": mask})
            if start is not None:
                self.starts.begun(slot, int(self._number[slot]), info_of(infos, slot))
        return observation


class _Columns:
    """What a rollout is made of, while it is made."""

    def __init__(self, steps: int, slots: int, observation: Any, scored: bool) -> None:
        self.seen = tree_map(lambda leaf: np.empty((steps + 1, *leaf.shape), leaf.dtype), observation)
        self.acted: Any = None
        self.extras: dict[str, NDArray[Any]] = {}
        self.env_rewards = np.empty((steps, slots))
        self.rewards = np.zeros((steps, slots)) if scored else self.env_rewards
        self.terms: dict[str, NDArray[np.float64]] = {"env": self.env_rewards}
        self.terminated = np.zeros((steps, slots), bool)
        self.truncated = np.zeros((steps, slots), bool)
        self.valid = np.ones((steps, slots), bool)
        self.numbers = np.empty((steps, slots), np.int64)
        self.begun_at = np.zeros(slots, np.int64)  # where in this rollout each slot's episode begins
        self.ends: list[tuple[int, int]] = []
        self.finals: list[Any] = []
        self.infos: list[dict[str, Any]] = []

    def end(self, t: int, n: int, final: Any, info: dict[str, Any]) -> None:
        """An episode ended."""
        self.ends.append((t, n))
        self.finals.append(final)
        self.infos.append(info)

    def pay(self, t: int, reward: StepReward, transition: Transition) -> None:
        """Scores a step."""
        values, terms = score_step(reward, transition)
        self.rewards[t] = values
        terms |= {name: np.full(len(values), float(version)) for name, version in versions_of(reward).items()}
        for name, part in terms.items():
            if name not in self.terms:
                self.terms[name] = np.zeros_like(self.env_rewards)
            self.terms[name][t] = part

    def final_observations(self) -> Any:
        """(E, ...)."""
        if not self.finals:
            return tree_map(lambda column: np.empty((0, *column.shape[2:]), column.dtype), self.seen)
        return tree_map(lambda column, *rows: np.stack([np.asarray(row, column.dtype) for row in rows]), self.seen,
                        *self.finals)  # fmt: skip


def _like(values: Any, steps: int) -> Any:
    """Columns for values of this shape and kind."""
    return tree_map(lambda leaf: np.empty((steps, *np.shape(leaf)), np.asarray(leaf).dtype), values)


def _write(columns: Any, t: int, values: Any) -> None:
    if isinstance(columns, np.ndarray):
        columns[t] = values
    elif isinstance(columns, Mapping):
        for key, column in columns.items():
            _write(column, t, values[key])
    else:
        for column, value in zip(columns, values, strict=True):
            _write(column, t, value)


def _array_only(leaf: Any) -> None:
    if not isinstance(leaf, np.ndarray) or leaf.dtype.hasobject:
        raise ConfigError(
            f"The array runner plays environments whose observations are arrays; this one gives {type(leaf).__name__}. "
            "Environments that speak are played by palaestra.harness.run."
        )


def _row_of(batch: Any, n: int) -> Any:
    """One slot's part of a batch, copied, for environments may use their arrays again."""
    return tree_map(lambda column: copy.copy(column[n]), batch)


def _replaced(batch: Any, rows: NDArray[np.intp], finals: list[Any]) -> Any:
    def replaced(column: NDArray[Any], *values: Any) -> NDArray[Any]:
        out = column.copy()
        out[rows] = np.stack([np.asarray(value, column.dtype) for value in values])
        return out

    return tree_map(replaced, batch, *finals)


def info_of(infos: Mapping[str, Any], n: int) -> dict[str, Any]:
    """One slot's info out of a vector environment's, which has a mask `_key` for every key."""
    found: dict[str, Any] = {}
    for key, value in infos.items():
        mask = infos.get(f"_{key}")
        if mask is None or not mask[n] or key in ("final_obs", "final_info"):
            continue
        if isinstance(value, Mapping):
            found[key] = info_of(value, n)
        else:
            item = value[n]
            found[key] = item.item() if isinstance(item, np.generic) else item
    return found
