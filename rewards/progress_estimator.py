"""A regression whose outputs, summed over an episode's turns, are to be its outcome."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from palaestra.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    import torch

__all__ = ["ProgressEstimator"]


class ProgressEstimator:
    """One number a turn, from features of it: min MSE( sum_t c_t, R ).

        c_t = v . gelu(W z_t / sqrt(D)) / sqrt(width) + b        (width 0: c_t = v . z_t / sqrt(D) + b)

    z_t are the features, standardised over the turns in memory. v and b start at 0, so c_t does, too. AdamW on
    minibatches of whole episodes, among the latest `memory` ones.

    Args:
        width: Hidden units; 0 is a linear head.
        lr: Learning rate.
        weight_decay: Of AdamW; b has none.
        epochs: Passes over the memory at each `fit`.
        batch_episodes: Episodes of a minibatch.
        memory: How many episodes are remembered.
        seed: Of the initial W and of the order of episodes.

    Raises:
        ConfigError: A value outside its range.
    """

    def __init__(
        self,
        *,
        width: int = 64,
        lr: float = 3e-3,
        weight_decay: float = 0.01,
        epochs: int = 10,
        batch_episodes: int = 16,
        memory: int = 512,
        seed: int = 0,
    ) -> None:
        for key, value, least in (
            ("width", width, 0),
            ("weight_decay", weight_decay, 0),
            ("epochs", epochs, 1),
            ("batch_episodes", batch_episodes, 1),
            ("memory", memory, 1),
            ("seed", seed, 0),
        ):
            if not least <= value < math.inf:
                raise ConfigError(f"{key} is {value}; it must be {least} or more.")
        if not 0 < lr < math.inf:
            raise ConfigError(f"lr is {lr}; it must be above 0.")
        self.width, self.lr, self.weight_decay = width, lr, weight_decay
        self.epochs, self.batch_episodes, self.memory, self.seed = epochs, batch_episodes, memory, seed
        self.fits = 0
        self._seen: list[tuple[NDArray[np.float32], float]] = []
        self._center = self._spread = np.zeros(0, np.float32)
        self._weights: list[torch.Tensor] = []  # W (where there are hidden units), v, b
        self._optimizer: torch.optim.Optimizer | None = None

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """The contribution of each turn.

        Args:
            features: float32 (T, D), of an episode.

        Returns:
            float64 (T,); zeros before the first `fit`.
        """
        if not self.fits:
            return np.zeros(len(features))
        import torch

        with torch.no_grad():
            found: NDArray[np.float64] = self._head(self._standard(features)).double().numpy()
        return found

    def fit(self, features: Sequence[NDArray[np.float32]], outcomes: Sequence[float]) -> dict[str, float]:
        """Takes episodes into memory and trains on it.

        Args:
            features: For each episode float32 (T, D), T at least 1.
            outcomes: Its outcome.

        Returns:
            `training_error`: mean squared error on these episodes afterwards, and `outcome_variance`, the error of
            knowing only their mean. Empty where there are no episodes; then nothing is changed.

        Raises:
            ConfigError: Features that are not finite, or of another width than before.
            MissingExtraError: torch is not installed.
        """
        if not features:
            return {}
        try:
            import torch
        except ImportError as error:
            raise MissingExtraError("The reward 'spa'", "transformers") from error

        size = features[0].shape[1]
        if self._weights and len(self._center) != size:
            raise ConfigError(f"The progress estimator was trained on {len(self._center)} features, got {size}.")
        if not all(np.isfinite(rows).all() for rows in features):
            raise ConfigError("Hidden states for the progress estimator are not finite; the model is broken.")
        fresh = [(np.asarray(rows, np.float32), float(given)) for rows, given in zip(features, outcomes, strict=True)]
        self._seen = [*self._seen, *fresh][-self.memory :]
        everything = np.concatenate([rows for rows, _ in self._seen])
        self._center = everything.mean(axis=0)
        # A feature that never changes says nothing, and is not to be blown up.
        spread = everything.std(axis=0)
        self._spread = np.where(spread > 1e-6, spread, np.float32(1.0)).astype(np.float32)
        rng = np.random.default_rng([self.seed, self.fits])
        optimizer = self._ready(size, rng)
        rows = [self._standard(found) for found, _ in self._seen]
        targets = torch.tensor([given for _, given in self._seen])
        for _ in range(self.epochs):
            order = rng.permutation(len(rows))
            for begin in range(0, len(order), self.batch_episodes):
                chosen = order[begin : begin + self.batch_episodes].tolist()
                owner = torch.tensor([i for i, episode in enumerate(chosen) for _ in rows[episode]])
                parts = self._head(torch.cat([rows[episode] for episode in chosen]))
                sums = torch.zeros(len(chosen)).index_add(0, owner, parts)
                loss = ((sums - targets[chosen]) ** 2).mean()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        self.fits += 1
        errors = [(self(found).sum() - given) ** 2 for found, given in fresh]
        return {"training_error": float(np.mean(errors)), "outcome_variance": float(np.var([r for _, r in fresh]))}

    def state_dict(self) -> dict[str, Any]:
        """Numbers and arrays; enough for an exact resume."""
        state = self._optimizer.state_dict()["state"] if self._optimizer is not None else {}
        return {
            "fits": self.fits,
            "center": self._center,
            "spread": self._spread,
            "weights": [weight.detach().numpy().copy() for weight in self._weights],
            "moments": [
                [float(state[i]["step"]), state[i]["exp_avg"].numpy().copy(), state[i]["exp_avg_sq"].numpy().copy()]
                for i in range(len(state))
            ],
            "features": [rows for rows, _ in self._seen],
            "outcomes": [given for _, given in self._seen],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ConfigError: The state is of a head of another size.
        """
        if state["fits"]:
            import torch

            shapes = [tuple(weight.shape) for weight in state["weights"]]
            size = len(state["center"])
            if shapes != self._shapes(size):
                raise ConfigError(f"The saved progress estimator has weights {shapes}, this one {self._shapes(size)}.")
            self._weights = [torch.tensor(np.asarray(w, np.float32), requires_grad=True) for w in state["weights"]]
            self._optimizer = self._make_optimizer()
            saved = self._optimizer.state_dict()
            saved["state"] = {
                i: {"step": torch.tensor(step), "exp_avg": torch.tensor(first), "exp_avg_sq": torch.tensor(second)}
                for i, (step, first, second) in enumerate(state["moments"])
            }
            self._optimizer.load_state_dict(saved)
        else:
            self._weights, self._optimizer = [], None
        self.fits = int(state["fits"])
        self._center, self._spread = np.asarray(state["center"]), np.asarray(state["spread"])
        self._seen = [
            (np.asarray(rows, np.float32), float(given))
            for rows, given in zip(state["features"], state["outcomes"], strict=True)
        ]

    def _shapes(self, size: int) -> list[tuple[int, ...]]:
        return [(size, self.width), (self.width,), (1,)] if self.width else [(size,), (1,)]

    def _ready(self, size: int, rng: np.random.Generator) -> torch.optim.Optimizer:
        import torch

        if self._optimizer is None:
            *hidden, output, bias = self._shapes(size)
            draws = [rng.standard_normal(shape) for shape in hidden] + [np.zeros(output), np.zeros(bias)]
            self._weights = [torch.tensor(draw, dtype=torch.float32, requires_grad=True) for draw in draws]
            self._optimizer = self._make_optimizer()
        return self._optimizer

    def _make_optimizer(self) -> torch.optim.Optimizer:
        import torch

        *decayed, bias = self._weights
        groups = [{"params": decayed, "weight_decay": self.weight_decay}, {"params": [bias], "weight_decay": 0.0}]
        return torch.optim.AdamW(groups, lr=self.lr)

    def _standard(self, features: NDArray[np.float32]) -> torch.Tensor:
        import torch

        return torch.from_numpy((np.asarray(features, np.float32) - self._center) / self._spread)

    def _head(self, z: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import gelu

        *hidden, output, bias = self._weights
        for weight in hidden:
            z = gelu(z @ weight / math.sqrt(z.shape[1]))
        return z @ output / math.sqrt(z.shape[1]) + bias
