"""What an agent may spend: tokens and money."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from palaestra.errors import BudgetExceeded, ConfigError

__all__ = ["Budget"]


class Budget:
    """Counts what was spent and says when to stop. Safe to share between threads and agents.

    A turn is asked for while anything is left, so turns already in flight may overshoot the limit by what they cost.

    Args:
        max_tokens: Most tokens in and out together; None is no limit.
        max_cost: Most money, in the currency of the prices; None is no limit.
        price_in: For a million tokens in.
        price_out: For a million tokens out.

    Raises:
        ConfigError: A negative number, or a limit in money without a price.
    """

    def __init__(
        self,
        *,
        max_tokens: int | None = None,
        max_cost: float | None = None,
        price_in: float = 0.0,
        price_out: float = 0.0,
    ) -> None:
        numbers = {"max_tokens": max_tokens, "max_cost": max_cost, "price_in": price_in, "price_out": price_out}
        for name, value in numbers.items():
            if value is not None and (isinstance(value, (bool, str)) or not value >= 0):
                raise ConfigError(f"{name} must be a number from 0 up, got {value!r}.")
        if max_cost is not None and not (price_in or price_out):
            raise ConfigError("A budget in money (max_cost) needs price_in and price_out, per million tokens.")
        self.max_tokens, self.max_cost, self.price_in, self.price_out = max_tokens, max_cost, price_in, price_out
        self.tokens_in = self.tokens_out = 0
        self._lock = threading.Lock()

    @property
    def cost(self) -> float:
        """Money spent."""
        return (self.tokens_in * self.price_in + self.tokens_out * self.price_out) / 1e6

    def check(self) -> None:
        """Asks whether another turn may be asked for.

        Raises:
            BudgetExceeded: Nothing is left.
        """
        with self._lock:
            tokens, cost = self.tokens_in + self.tokens_out, self.cost
        if self.max_tokens is not None and tokens >= self.max_tokens:
            raise BudgetExceeded(f"The budget of {self.max_tokens} tokens is spent ({tokens} used).")
        if self.max_cost is not None and cost >= self.max_cost:
            raise BudgetExceeded(f"The budget of {self.max_cost:g} is spent ({cost:.6g} used).")

    def charge(self, tokens_in: int, tokens_out: int) -> None:
        """Notes what a turn took."""
        with self._lock:
            self.tokens_in += tokens_in
            self.tokens_out += tokens_out

    def describe(self) -> Mapping[str, Any]:
        """Limits and what was spent, for reports."""
        return {
            "tokens_in": self.tokens_in,
            "tokens_out": self.tokens_out,
            "cost": self.cost,
            "max_tokens": self.max_tokens,
            "max_cost": self.max_cost,
        }
