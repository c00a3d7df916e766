"""The wording of questions. Every slot takes a name with its article, or a phrase that begins with "the country"."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

__all__ = ["DESCRIBE", "RELATE", "RELATE_NAMED", "RELATE_ON", "STORY", "last_slot", "listed", "pick", "sentence"]

_Templates = Mapping[str, tuple[str, ...]]


def pick(options: Sequence[str], *key: object) -> str:
    """One of the options, chosen by a hash of the key: stable, and free of any generator."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return options[int.from_bytes(digest[:4], "big") % len(options)]


def listed(names: Sequence[str], word: str) -> str:
    """The names as a list in running text ("Peru, Chile or Bolivia")."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {word} {names[-1]}"


def sentence(text: str) -> str:
    """The text with a capital at its start."""
    return text[0].upper() + text[1:]


def last_slot(options: Sequence[str]) -> tuple[str, ...]:
    """The templates that stay legible with a long phrase in them: little follows the slot, and no year does."""
    tails = [(option, option.partition("{x}")[2]) for option in options]
    return tuple(option for option, tail in tails if len(tail) <= 20 and "{year}" not in tail)


DESCRIBE: _Templates = MappingProxyType(
    {  # {v}: the value; the whole stands for the country
        "capital": (
            "the country whose capital is {v}",
            "the country that has {v} as its capital",
            "the country with the capital {v}",
            "the country of which {v} is the capital",
        ),
        "highest point": (
            "the country whose highest point is {v}",
            "the country that has {v} as its highest point",
            "the country in which {v} is the highest point",
            "the country that rises highest at {v}",
        ),
        "internet code": (
            "the country whose internet country code is {v}",
            "the country with the internet country code {v}",
            "the country that uses the internet country code {v}",
            "the country to which the internet country code {v} belongs",
        ),
        "aircraft prefix": (
            "the country whose civil aircraft carry the registration prefix {v}",
            "the country that registers civil aircraft under the prefix {v}",
            "the country with the civil aircraft registration prefix {v}",
            "the country whose aircraft registration prefix is {v}",
        ),
        "anthem": (
            'the country whose national anthem is "{v}"',
            'the country that has "{v}" as its national anthem',
            'the country with the national anthem "{v}"',
            'the country of which "{v}" is the national anthem',
        ),
        "local name": (
            'the country whose local short-form name is "{v}"',
            'the country that is locally called "{v}"',
            'the country known to its own people as "{v}"',
            'the country that goes by the local name "{v}"',
        ),
        "former names": (
            'the country formerly called "{v}"',
            'the country that was once known as "{v}"',
            'the country that used to be called "{v}"',
            'the country that has "{v}" among its former names',
        ),
        "currency code": (
            "the country whose currency has the code {v}",
            "the country that uses the currency with the code {v}",
            "the country with the currency code {v}",
            "the country whose money goes by the code {v}",
        ),
        "chief of state": (
            "the country whose chief of state is {v}",
            "the country that has {v} as its chief of state",
            "the country of which {v} is chief of state",
            "the country where {v} is listed as chief of state",
        ),
        "head of government": (
            "the country whose head of government is {v}",
            "the country that has {v} as its head of government",
            "the country whose government is headed by {v}",
            "the country where {v} is listed as head of government",
        ),
        "symbol": (
            'the country whose national symbol is given as "{v}"',
            'the country that has the national symbol "{v}"',
            'the country with "{v}" as its national symbol',
            'the country whose listed national symbol is "{v}"',
        ),
        "legislature": (
            'the country whose legislature is locally called "{v}"',
            'the country with a legislature named "{v}" in the local language',
            'the country that calls its legislature "{v}"',
            'the country whose national legislature bears the local name "{v}"',
        ),
        "independence": (
            "the country that became independent on {v}",
            "the country that gained its independence on {v}",
            "the country whose date of independence is {v}",
            "the country that has been independent since {v}",
        ),
    }
)

RELATE: _Templates = MappingProxyType(
    {  # {x}: a country; the whole stands for another country. The slot comes last, so that phrases nest legibly.
        "longest": (
            "the country on the other side of the longest land border of {x}",
            "the neighbor that shares the longest land border with {x}",
            "the country that has the longest common land border with {x}",
            "the country that lies across the longest land border of {x}",
        ),
        "only neighbor": (
            "the only country that borders {x}",
            "the one country that shares a land border with {x}",
            "the sole land neighbor of {x}",
            "the single country that has a land border with {x}",
        ),
        "export partner": (
            "the country that in {year} took the largest share of the exports of {x}",
            "the {year} top export partner of {x}",
            "the country that in {year} was the largest buyer of exports from {x}",
            "the {year} leading destination of exports from {x}",
        ),
        "import partner": (
            "the country that in {year} supplied the largest share of the imports of {x}",
            "the {year} top import partner of {x}",
            "the country that in {year} was the largest supplier of imports to {x}",
            "the {year} leading source of imports to {x}",
        ),
        "ruler": (
            "the country whose rule ended with the independence of {x}",
            "the country from which independence was gained by {x}",
        ),
    }
)

RELATE_NAMED: _Templates = MappingProxyType(
    {  # more of the same for names, which are short enough to stand in the middle
        "longest": ("the country with which {x} shares its longest land border",),
        "only neighbor": ("the only country with which {x} shares a land border",),
        "export partner": ("the country to which {x} exported the most in {year}",),
        "import partner": ("the country from which {x} imported the most in {year}",),
        "ruler": (
            "the country from which {x} gained its independence",
            "the country that {x} became independent from",
            "the state from which {x} became independent",
        ),
    }
)

RELATE_ON: _Templates = MappingProxyType(
    {  # the same, going on from a country that the sentence before has found
        "longest": (
            "the country on the other side of its longest land border",
            "the neighbor with which it shares its longest land border",
        ),
        "only neighbor": ("the only country that borders it", "its sole land neighbor"),
        "export partner": (
            "the country that in {year} took the largest share of its exports",
            "its top export partner in {year}",
        ),
        "import partner": (
            "the country that in {year} supplied the largest share of its imports",
            "its top import partner in {year}",
        ),
        "ruler": ("the country from which it gained its independence", "the state that it became independent from"),
    }
)

STORY: tuple[str, ...] = (
    "Start from {start}, and go on to {via}. {ask}",
    "Take {start}; from there, find {via}. {ask}",
    "Think of {start}. Next, find {via}. {ask}",
    "First find {start}, then {via}. {ask}",
)
"""A long chain told step by step. {via}: the countries on the way; {ask}: the question, of "that country"."""
