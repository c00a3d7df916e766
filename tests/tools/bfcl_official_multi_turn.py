"""The official multi-turn executor and checker, run as if each verdict had a process of its own.

The official code keeps its applications in module globals by model and case, shares default lists and long-context
tables between them, and sets the precision of two libraries for good. All of that is put back here.
"""

from __future__ import annotations

import contextlib
import copy
import decimal
import importlib
import itertools
import re
from typing import Any

from palaestra.envs.tools.bfcl.data import read_rows

SOURCES = "bfcl_eval.eval_checker.multi_turn_eval"


def plain(value: Any, parents: tuple[int, ...] = ()) -> Any:
    """A value in which the two sides' directories and files are the same kind of thing; loops end in "..."."""
    if hasattr(value, "contents"):
        if id(value) in parents:
            return "..."
        inner = {name: plain(item, (*parents, id(value))) for name, item in value.contents.items()}
        return ("directory", value.name, list(inner), inner)
    if hasattr(value, "content"):
        return ("file", value.name, value.content)
    return value


def public(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in attributes.items() if not name.startswith("_")}


class OfficialMultiTurn:
    """Runs cases officially.

    Args:
        mended: Whether what the official code shares between worlds by mistake is kept apart.
    """

    def __init__(self, mended: bool = False) -> None:
        self.checker = importlib.import_module(f"{SOURCES}.multi_turn_checker")
        self.utils = importlib.import_module(f"{SOURCES}.multi_turn_utils")
        modules = {
            name: importlib.import_module(f"{SOURCES}.func_source_code.{name}")
            for name in ("posting_api", "travel_booking", "vehicle_control", "long_context")
        }
        self.twitter = modules["posting_api"].TwitterAPI
        self.travel = modules["travel_booking"]
        self.vehicle = modules["vehicle_control"]
        self.texts = modules["long_context"]
        self.mended = mended
        self.names = itertools.count()
        import mpmath

        self.mpmath = mpmath

    @contextlib.contextmanager
    def alone(self):
        post = self.twitter.post_tweet
        load = self.travel.TravelAPI._load_scenario
        weather, digits = copy.deepcopy(self.vehicle.LONG_WEATHER_EXTENSION), self.mpmath.mp.dps
        self._fresh()
        if self.mended:

            def apart(method):
                def with_own_tables(*args, **kwargs):
                    self._fresh(post)
                    return method(*args, **kwargs)

                return with_own_tables

            self.twitter.post_tweet = apart(post)
            self.travel.TravelAPI._load_scenario = apart(load)
        try:
            with decimal.localcontext():
                yield
        finally:
            self.twitter.post_tweet = post
            self.travel.TravelAPI._load_scenario = load
            self.vehicle.LONG_WEATHER_EXTENSION = weather
            self.mpmath.mp.dps = digits
            for name in [name for name in vars(self.utils) if name.endswith("_instance")]:
                del vars(self.utils)[name]

    def _fresh(self, post=None) -> None:
        (post or self.twitter.post_tweet).__defaults__ = ([], [])
        self.travel.CREDIT_CARD_EXTENSION = copy.deepcopy(self.texts.CREDIT_CARD_EXTENSION)
        self.travel.BOOKING_RECORD_EXTENSION = copy.deepcopy(self.texts.BOOKING_RECORD_EXTENSION)

    def execute(self, row: dict[str, Any], texts: list[str]) -> tuple[list[str], dict[str, Any]]:
        """Runs calls, for as long as `alone` lasts on the same applications; their results and public attributes."""
        results, instances = self.utils.execute_multi_turn_func_call(
            list(texts), row["initial_config"], row["involved_classes"], "one", row["id"], "long_context" in row["id"]
        )
        return results, {name: public(vars(instance)) for name, instance in instances.items()}

    def verdict(self, row: dict[str, Any], gold: list[list[str]], turns: list[list[list[str]]]) -> tuple[Any, ...]:
        """(valid, type of error, turn or class that is named)."""
        with self.alone():
            name = f"model{next(self.names)}"
            found = self.checker.multi_turn_checker(turns, gold, row, row["id"].rsplit("_", 1)[0], name)
        if found["valid"]:
            return (True, "", None)
        named = re.search(r"turn (\d+)|instance for (\w+)", found["error_message"])
        return (False, found["error_type"], named[1] or named[2])


def official_rows(category: str) -> list[tuple[dict[str, Any], list[list[str]]]]:
    """(case, reference calls) of a category."""
    answers = {row["id"]: row["ground_truth"] for row in read_rows(f"possible_answer/BFCL_v4_{category}.json")}
    return [(row, answers[row["id"]]) for row in read_rows(f"BFCL_v4_{category}.json")]
