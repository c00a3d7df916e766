"""AdamW over a model's trainable weights, guarded against numbers that are not finite, and resumable to the bit."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from palaestra.errors import ConfigError, NotFiniteError

__all__ = ["GuardedAdamW", "broken_weights", "computing_in", "mixes"]


class GuardedAdamW:
    """Clips, checks, steps.

    Weights in half precision are trained through copies in float32 (a step of 1e-6 of a weight is less than half
    precision can tell apart) and rounded from them after every step. Vectors (norms, biases) are not decayed.

    Args:
        model: Its parameters that require gradients are trained.
        lr: Learning rate, above 0.
        weight_decay: Of matrices.
        betas: Decay of the moments.
        eps: Added to the root of the second moment.
        grad_clip: Largest norm of the whole gradient; longer ones are scaled down to it. None for no bound.

    Raises:
        ConfigError: A value outside its range, or nothing to train.
    """

    def __init__(
        self,
        model: Any,
        *,
        lr: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        grad_clip: float | None = 1.0,
    ) -> None:
        import torch

        if not 0 < lr < float("inf"):
            raise ConfigError(f"lr is {lr}; it must be a positive number.")
        if grad_clip is not None and not grad_clip > 0:
            raise ConfigError(f"grad_clip is {grad_clip}; it must be above 0, or None for no bound.")
        self.lr, self.grad_clip, self.steps = lr, grad_clip, 0
        self.named = {name: weights for name, weights in model.named_parameters() if weights.requires_grad}
        if not self.named:
            raise ConfigError("No weight of this model requires a gradient, so there is nothing to train.")
        self.copies = {
            name: weights.detach().float().clone() if weights.dtype in (torch.float16, torch.bfloat16) else weights
            for name, weights in self.named.items()
        }
        matrices = [weights for weights in self.copies.values() if weights.dim() >= 2]
        vectors = [weights for weights in self.copies.values() if weights.dim() < 2]
        groups = [
            {"params": weights, "weight_decay": decay}
            for weights, decay in ((matrices, weight_decay), (vectors, 0.0))
            if weights
        ]
        fused = next(iter(self.named.values())).device.type in ("cuda", "cpu")  # one pass over memory
        self.adamw = torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=fused)

    def step(self, scale: float, what: str) -> float:
        """One step along the gradients that have been accumulated, which it takes away.

        Args:
            scale: Factor on the learning rate.
            what: Name of the step, for the error's message.

        Returns:
            The norm of the gradient before clipping.

        Raises:
            NotFiniteError: A gradient is not finite; no weight and no moment was changed.
        """
        import torch

        self.collect()
        gradients = {name: copy.grad for name, copy in self.copies.items() if copy.grad is not None}
        norms = [torch.linalg.vector_norm(gradient) for gradient in gradients.values()]
        norm = float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0
        if not norm < float("inf"):
            broken = [name for name, gradient in gradients.items() if not bool(torch.isfinite(gradient).all())]
            self.forget()
            if broken:
                raise NotFiniteError(
                    f"{what}: the gradient of {broken[0]} is not finite ({len(broken)} of {len(gradients)} tensors). "
                    "No weight was changed. Lower lr, clip gradients, or compute in a wider dtype."
                )
            raise NotFiniteError(
                f"{what}: the norm of the whole gradient is infinite. No weight was changed. Lower lr."
            )
        factor = 1.0 if self.grad_clip is None else min(1.0, self.grad_clip / (norm + 1e-6))
        if factor < 1.0:
            for gradient in gradients.values():
                gradient.mul_(factor)
        for group in self.adamw.param_groups:
            group["lr"] = self.lr * scale
        self.adamw.step()
        with torch.no_grad():
            for name, weights in self.named.items():
                if self.copies[name] is not weights:
                    weights.copy_(self.copies[name])
        self.forget()
        self.steps += 1
        return norm

    def collect(self) -> None:
        """Adds the gradients of weights in half precision to those of their copies: sums of many need float32.

        To be called after every backward pass but the last, whose gradients `step` collects.
        """
        for name, weights in self.named.items():
            copy = self.copies[name]
            if copy is not weights and weights.grad is not None:
                gradient, weights.grad = weights.grad, None
                copy.grad = gradient.float() if copy.grad is None else copy.grad.add_(gradient)

    def forget(self) -> None:
        """Takes all gradients away, and their memory."""
        for name, weights in self.named.items():
            weights.grad = self.copies[name].grad = None

    def state_dict(self) -> dict[str, Any]:
        """Weights, moments, number of steps; tensors are copies in the machine's own memory, of which there is more."""
        import torch

        def copied(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                return value.detach().to("cpu", copy=True)
            if isinstance(value, dict):
                return {key: copied(part) for key, part in value.items()}
            return [copied(part) for part in value] if isinstance(value, list) else value

        return {"weights": copied(self.copies), "adamw": copied(self.adamw.state_dict()), "steps": self.steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ConfigError: It is of another model.
        """
        import copy

        import torch

        given = state["weights"]
        for name in {**self.copies, **given}:
            ours, theirs = self.copies.get(name), given.get(name)
            if ours is None or theirs is None or ours.shape != theirs.shape:
                raise ConfigError(
                    f"This checkpoint is of another model or other trained weights: '{name}' is "
                    f"{'missing' if theirs is None else tuple(theirs.shape)} there and "
                    f"{'missing' if ours is None else tuple(ours.shape)} here."
                )
        with torch.no_grad():
            for name, value in self.copies.items():
                value.copy_(given[name])
                if value is not self.named[name]:
                    self.named[name].copy_(value)
        # AdamW keeps the tensors it is given.
        self.adamw.load_state_dict(copy.deepcopy(state["adamw"]))
        self.steps = int(state["steps"])
        self.forget()


def broken_weights(model: Any) -> str | None:
    """The name of the first of a model's weights that holds a number that is not finite."""
    import torch

    for name, weights in model.named_parameters():
        if not bool(torch.isfinite(weights).all()):
            return str(name)
    return None


def computing_in(dtype: str | None, model: Any) -> contextlib.AbstractContextManager[Any]:
    """The precision of a learner's forward passes.

    Args:
        dtype: `float32`: as the weights are. `bfloat16`: matrix products in bfloat16 (autocast). None: the latter for
            float32 weights on CUDA, else the former.
        model: Whose weights.

    Raises:
        ConfigError: Neither.
    """
    import torch

    if mixes(dtype, model):
        return torch.autocast(model.device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


def mixes(dtype: str | None, model: Any) -> bool:
    """Whether `computing_in` multiplies in less than the weights' own precision.

    Raises:
        ConfigError: See `computing_in`.
    """
    import torch

    if dtype not in (None, "", "float32", "bfloat16"):
        raise ConfigError(f"dtype must be 'float32' or 'bfloat16', or be left out, got '{dtype}'.")
    wanted = dtype == "bfloat16" or (not dtype and model.device.type == "cuda")
    return wanted and bool(model.dtype == torch.float32)
