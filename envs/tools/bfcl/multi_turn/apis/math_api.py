"""Arithmetic, statistics and units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation, localcontext
from importlib.util import find_spec
from typing import Any

from palaestra.envs.tools.bfcl.multi_turn.apis.base import Api, Result
from palaestra.errors import MissingExtraError

__all__ = ["MathAPI"]

MOST_DIGITS = 4300  # Python writes no longer integers, so that a longer one is an error however it came about
_TOO_LONG = (
    f"Exceeds the limit ({MOST_DIGITS} digits) for integer string conversion; "
    "use sys.set_int_max_str_digits() to increase the limit"
)
_METERS = {"km": 1000, "m": 1, "cm": 0.01, "mm": 0.001, "um": 1e-6, "nm": 1e-9}
_FACTORS = {
    "cm_to_in": 0.393701,
    "in_to_cm": 2.54,
    "m_to_ft": 3.28084,
    "ft_to_m": 0.3048,
    "m_to_yd": 1.09361,
    "yd_to_m": 0.9144,
    "km_to_miles": 0.621371,
    "miles_to_km": 1.60934,
    "kg_to_lb": 2.20462,
    "lb_to_kg": 0.453592,
    "celsius_to_fahrenheit": 1.8,
    "fahrenheit_to_celsius": 5 / 9,
}
_BOTH = {"error": "Both inputs must be numbers"}
_ELEMENTS = {"error": "All elements in the list must be numbers"}
_OVERFLOW = {"error": "Conversion resulted in a value too large to represent"}


def _check_precision(precision: Any) -> None:
    if isinstance(precision, (int, float)) and abs(precision) > MOST_DIGITS:
        raise ValueError(f"A precision of more than {MOST_DIGITS} digits is not supported")


class MathAPI(Api):
    """Without state."""

    def _load(self, scenario: Mapping[str, Any], long_context: bool) -> None:
        if find_spec("mpmath") is None:  # said now, as a tool's failure would be the model's
            raise MissingExtraError("BFCL's MathAPI", "bfcl")

    def logarithm(self, value: float, base: float, precision: int) -> Result:
        """A logarithm with so many digits."""
        from mpmath import MPContext

        _check_precision(precision)
        try:
            numbers = MPContext()  # the library's own one is global: others' precision would count
            numbers.dps = precision
            return {"result": numbers.log(value) / numbers.log(base)}
        except Exception as error:
            return {"error": str(error)}

    def mean(self, numbers: list[float]) -> Result:
        """The mean of a list."""
        if not numbers:
            return {"error": "Cannot calculate mean of an empty list"}
        try:
            return {"result": sum(numbers) / len(numbers)}
        except TypeError:
            return dict(_ELEMENTS)

    def standard_deviation(self, numbers: list[float]) -> Result:
        """The standard deviation of a list, as a population."""
        if not numbers:
            return {"error": "Cannot calculate standard deviation of an empty list"}
        try:
            mean = sum(numbers) / len(numbers)
            return {"result": math.sqrt(sum((number - mean) ** 2 for number in numbers) / len(numbers))}
        except TypeError:
            return dict(_ELEMENTS)

    def si_unit_conversion(self, value: float, unit_in: str, unit_out: str) -> Result:
        """A length in another metric unit."""
        if not isinstance(value, (int, float)):
            return {"error": "Value must be a number"}
        if unit_in not in _METERS or unit_out not in _METERS:
            return {"error": f"Conversion from '{unit_in}' to '{unit_out}' is not supported"}
        try:
            return {"result": value * _METERS[unit_in] * (1 / _METERS[unit_out])}
        except OverflowError:
            return dict(_OVERFLOW)

    def imperial_si_conversion(self, value: float, unit_in: str, unit_out: str) -> Result:
        """A quantity from an imperial unit to a metric one or back."""
        if not isinstance(value, (int, float)):
            return {"error": "Value must be a number"}
        if unit_in == unit_out:
            return {"result": value}
        factor = _FACTORS.get(f"{unit_in}_to_{unit_out}")
        if factor is None:
            return {"error": f"Conversion from '{unit_in}' to '{unit_out}' is not supported"}
        try:
            if unit_in == "celsius":
                return {"result": value * factor + 32}
            if unit_in == "fahrenheit":
                return {"result": (value - 32) * factor}
            return {"result": value * factor}
        except OverflowError:
            return dict(_OVERFLOW)

    def add(self, a: float, b: float) -> Result:
        """The sum of two numbers."""
        try:
            return {"result": a + b}
        except TypeError:
            return dict(_BOTH)

    def subtract(self, a: float, b: float) -> Result:
        """The difference of two numbers."""
        try:
            return {"result": a - b}
        except TypeError:
            return dict(_BOTH)

    def multiply(self, a: float, b: float) -> Result:
        """The product of two numbers."""
        if not isinstance(a, (int, float)) or not isinstance(b, (int, float)):
            return dict(_BOTH)
        return {"result": a * b}

    def divide(self, a: float, b: float) -> Result:
        """The quotient of two numbers."""
        try:
            return {"error": "Cannot divide by zero"} if b == 0 else {"result": a / b}
        except TypeError:
            return dict(_BOTH)

    def power(self, base: float, exponent: float) -> Result:
        """A number to a power."""
        whole = isinstance(base, int) and isinstance(exponent, int)
        if whole and exponent > 0 and (int(base).bit_length() - 1) * exponent > 4 * MOST_DIGITS:
            raise ValueError(_TOO_LONG)
        try:
            return {"result": base**exponent}
        except TypeError:
            return dict(_BOTH)

    def square_root(self, number: float, precision: int) -> Result:
        """A square root with so many digits."""
        try:
            if number < 0:
                return {"error": "Cannot calculate square root of a negative number"}
            _check_precision(precision)
            with localcontext() as context:
                context.prec = precision
                return {"result": Decimal(number).sqrt()}
        except (TypeError, InvalidOperation):
            return {"error": "Input must be a number or computation resulted in an invalid operation"}

    def absolute_value(self, number: float) -> Result:
        """A number without its sign."""
        try:
            return {"result": abs(number)}
        except TypeError:
            return {"error": "Input must be a number"}

    def round_number(self, number: float, decimal_places: int = 0) -> Result:
        """A number with so many decimal places."""
        if isinstance(number, int) and isinstance(decimal_places, int) and decimal_places < -MOST_DIGITS:
            return {"result": 0}  # what rounding gives after a very long computation
        try:
            return {"result": round(number, decimal_places)}
        except TypeError:
            return {"error": "First input must be a number, second input must be an integer"}

    def percentage(self, part: float, whole: float) -> Result:
        """How many percent of the whole a part is."""
        try:
            return {"error": "Whole value cannot be zero"} if whole == 0 else {"result": part / whole * 100}
        except TypeError:
            return dict(_BOTH)

    def min_value(self, numbers: list[float]) -> Result:
        """The least of a list."""
        if not numbers:
            return {"error": "Cannot find minimum of an empty list"}
        try:
            return {"result": min(numbers)}
        except TypeError:
            return dict(_ELEMENTS)

    def max_value(self, numbers: list[float]) -> Result:
        """The greatest of a list."""
        if not numbers:
            return {"error": "Cannot find maximum of an empty list"}
        try:
            return {"result": max(numbers)}
        except TypeError:
            return dict(_ELEMENTS)

    def sum_values(self, numbers: list[float]) -> Result:
        """The sum of a list."""
        if not numbers:
            return {"error": "Cannot calculate sum of an empty list"}
        try:
            return {"result": sum(numbers)}
        except TypeError:
            return dict(_ELEMENTS)
