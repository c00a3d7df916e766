"""The wording of questions. Every slot takes a name with its article, or a phrase that begins with "the country"."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

__all__ = ["ASK", "DESCRIBE", "RELATE", "RELATE_NAMED", "RELATE_ON", "STORY", "last_slot", "listed", "pick", "sentence"]

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


ASK: _Templates = MappingProxyType(
    {  # {x}: the country; {year}: of the figure
        "capital": (
            "What is the capital of {x}?",
            "Which city is the capital of {x}?",
            "Name the capital of {x}.",
            "Which city serves as the capital of {x}?",
            "What is the name of the capital city of {x}?",
        ),
        "long name": (
            "What is the official long-form name of {x}?",
            "What is the full conventional name of {x}?",
            "In its long form, how is {x} officially called?",
            "Give the official long name of {x}.",
            "What is the formal name of {x}?",
        ),
        "local name": (
            "What is the local short-form name of {x}?",
            "By what short name is {x} known locally?",
            "Give the local short name of {x}.",
            "In its own language, which short name is used for {x}?",
            "Which short name do its own people use for {x}?",
        ),
        "currency": (
            "What currency is used in {x}?",
            "What is the currency of {x}?",
            "Which currency does {x} use?",
            "In which currency would you pay in {x}?",
            "Name the currency of {x}.",
        ),
        "internet code": (
            "What is the internet country code of {x}?",
            "Which top-level internet country code belongs to {x}?",
            "Which internet country code is assigned to {x}?",
            "Give the internet country code of {x}.",
            "Websites of {x} end in which country code?",
        ),
        "aircraft prefix": (
            "Which registration prefix do civil aircraft of {x} carry?",
            "What is the civil aircraft registration prefix of {x}?",
            "Which country code prefix marks civil aircraft registered in {x}?",
            "Civil aircraft of {x} are registered under which prefix?",
            "Give the civil aircraft registration country code prefix of {x}.",
        ),
        "anthem": (
            "What is the title of the national anthem of {x}?",
            "What is the national anthem of {x} called?",
            "Which song is the national anthem of {x}?",
            "Name the national anthem of {x}.",
            "Which title does the national anthem bear in {x}?",
        ),
        "symbol": (
            "What is the national symbol of {x}?",
            "Which national symbol does the World Factbook list for {x}?",
            "What does {x} have as its national symbol?",
            "Name the national symbol of {x}.",
            "What serves as the national symbol of {x}?",
        ),
        "adjective": (
            "What adjective describes the nationality of {x}?",
            "Which adjective is used for people and things from {x}?",
            "What is the nationality adjective for {x}?",
            "Give the adjective that goes with {x}.",
            "Which English adjective denotes someone or something of {x}?",
        ),
        "independence": (
            "On what date did {x} become independent?",
            "What is the date of independence of {x}?",
            "When did {x} gain independence?",
            "Give the date of independence of {x}.",
            "Which day, month and year mark the independence of {x}?",
        ),
        "independent from": (
            "From which country did {x} gain its independence?",
            "From whom did {x} become independent?",
            "Which state did {x} become independent from?",
            "Which state had ruled, until its independence, {x}?",
            "Name the state from which {x} became independent.",
        ),
        "holiday": (
            "On what day of the year does {x} celebrate its national holiday?",
            "What is the date of the national holiday of {x}?",
            "When is the national holiday of {x}?",
            "On which date falls the national holiday of {x}?",
            "Give the day and month of the national holiday of {x}.",
        ),
        "government type": (
            "What type of government does {x} have?",
            "How does the World Factbook classify the government of {x}?",
            "Which form of government does {x} have?",
            "What is the government type of {x}?",
            "Under what type of government is {x} run?",
        ),
        "chief of state": (
            "Who is listed as the chief of state of {x}?",
            "According to the World Factbook, who is the chief of state of {x}?",
            "Name the chief of state of {x}.",
            "Which person does the World Factbook give as chief of state of {x}?",
            "Who holds the office of chief of state in {x}?",
        ),
        "head of government": (
            "Who is listed as the head of government of {x}?",
            "According to the World Factbook, who is the head of government of {x}?",
            "Name the head of government of {x}.",
            "Which person does the World Factbook give as head of government of {x}?",
            "Who heads the government of {x}?",
        ),
        "legislature": (
            "What is the local name of the legislature of {x}?",
            "What is the local-language name for the legislature of {x}?",
            "By what local name is the national legislature of {x} known?",
            "Give the local-language name of the legislature of {x}.",
            "In the local language, what is the name of the legislature of {x}?",
        ),
        "time zone": (
            "What is the UTC offset of the capital of {x} during standard time?",
            "How far from UTC is standard time in the capital of {x}?",
            "Which UTC offset applies in the capital of {x}?",
            "At which UTC offset is standard time in the capital of {x}?",
            "Give the UTC offset of the capital of {x}.",
        ),
        "official language": (
            "What is the official language of {x}?",
            "Which language is official in {x}?",
            "Name the official language of {x}.",
            "Which language has official status in {x}?",
            "What language is the official one in {x}?",
        ),
        "export partners": (
            "Which country took the largest share, in {year}, of the exports of {x}?",
            "In {year}, what was the largest export partner of {x}?",
            "Which country was the {year} leading destination of exports from {x}?",
            "In {year}, where did the largest share of exports go from {x}?",
            "Name the {year} top export partner of {x}.",
        ),
        "import partners": (
            "Which country supplied the largest share, in {year}, of the imports of {x}?",
            "In {year}, what was the largest import partner of {x}?",
            "Which country was the {year} leading source of imports to {x}?",
            "In {year}, which country was the biggest supplier of imports to {x}?",
            "Name the {year} top import partner of {x}.",
        ),
        "exports": (
            "What was the most valuable export commodity in {year} of {x}?",
            "Which commodity, by value, headed the {year} exports of {x}?",
            "In {year}, which commodity ranked first by value among the exports of {x}?",
            "What was the top export commodity in {year} of {x}?",
            "Which commodity comes first in the {year} list of exports of {x}?",
        ),
        "imports": (
            "What was the most valuable import commodity in {year} of {x}?",
            "Which commodity, by value, headed the {year} imports of {x}?",
            "In {year}, which commodity ranked first by value among the imports of {x}?",
            "What was the top import commodity in {year} of {x}?",
            "Which commodity comes first in the {year} list of imports of {x}?",
        ),
        "crops": (
            "What was the {year} top agricultural product, by tonnage, of {x}?",
            "By tonnage, what was the {year} top agricultural product of {x}?",
            "In {year}, which agricultural product ranked first by tonnage in {x}?",
            "By weight, what was the {year} leading agricultural product of {x}?",
            "Which product heads the {year} list of agricultural products, by tonnage, of {x}?",
        ),
        "highest point": (
            "What is the highest point of {x}?",
            "Which peak or place is the highest point in {x}?",
            "Name the highest point of {x}.",
            "What is the name of the highest point in {x}?",
            "At what named spot does {x} reach its greatest elevation?",
        ),
        "peak height": (
            "How high, in meters, is the highest point of {x}?",
            "In meters, what is the elevation of the highest point in {x}?",
            "How many meters above sea level is the highest point of {x}?",
            "To what height in meters does {x} rise at its highest point?",
            "Give the elevation in meters of the highest point of {x}.",
        ),
        "mean elevation": (
            "In meters, what is the mean elevation of {x}?",
            "How many meters above sea level does {x} lie on average?",
            "Give, in meters, the mean elevation of {x}.",
            "What is, in meters, the average elevation of {x}?",
            "How high, on average, is the land of {x} in meters?",
        ),
        "area": (
            "What is, in square kilometers, the total area of {x}?",
            "In square kilometers, how large is {x}?",
            "How large, in square kilometers, is {x}?",
            "Give, in square kilometers, the total area of {x}.",
            "In square kilometers, how big is the total area of {x}?",
        ),
        "coastline": (
            "In kilometers, what is the length of the coastline of {x}?",
            "How many kilometers long is the coastline of {x}?",
            "How many kilometers of coastline does {x} have?",
            "Give, in kilometers, the length of the coastline of {x}.",
            "In kilometers, how long is the coast of {x}?",
        ),
        "land boundaries": (
            "In kilometers, what is the total length of the land boundaries of {x}?",
            "How many kilometers of land boundaries, in total, does {x} have?",
            "In total, how many kilometers long are the land borders of {x}?",
            "Give, in kilometers, the total length of the land boundaries of {x}.",
            "How many kilometers long, all together, are the land borders of {x}?",
        ),
        "forest": (
            "What was the {year} percentage of forest in the land of {x}?",
            "In {year}, what percentage of the land was forest in {x}?",
            "In {year}, what share of the land was covered by forest in {x}?",
            "What was the {year} percentage of forest in the land use of {x}?",
            "Give the {year} share of forest in the land use of {x}.",
        ),
        "farmland": (
            "What was the {year} share of agricultural land in {x}?",
            "In {year}, what percentage of the land was agricultural in {x}?",
            "In {year}, what share of the land was used for agriculture in {x}?",
            "What was the {year} percentage of agricultural land in {x}?",
            "Give the {year} share of agricultural land in {x}.",
        ),
        "population": (
            "What was the {year} total population of {x}?",
            "In {year}, how many people lived in {x}?",
            "In {year}, how many inhabitants did {x} have?",
            "Give the {year} figure for the total population of {x}.",
            "What does the World Factbook give as the {year} population of {x}?",
        ),
        "median age": (
            "What was the {year} median age in {x}?",
            "In {year}, what was the median age of the population of {x}?",
            "Give the {year} median age of the people of {x}.",
            "How old, in {year}, was the median inhabitant of {x}?",
            "What is the {year} median age for {x}?",
        ),
        "life expectancy": (
            "What was the {year} life expectancy at birth in {x}?",
            "In {year}, what was the life expectancy at birth of the population of {x}?",
            "In {year}, how many years could a newborn expect to live in {x}?",
            "Give the {year} life expectancy at birth in {x}.",
            "What is the {year} figure for life expectancy at birth in {x}?",
        ),
        "fertility": (
            "What was the {year} total fertility rate of {x}?",
            "In {year}, how many children were born per woman in {x}?",
            "Give the {year} total fertility rate of {x}.",
            "How many children per woman does the World Factbook give, for {year}, in {x}?",
            "What is the {year} figure for children born per woman in {x}?",
        ),
        "urban share": (
            "What was the {year} urban share, in percent, of the population of {x}?",
            "In {year}, what share of the people lived in urban areas in {x}?",
            "Give the {year} urban share of the population of {x}.",
            "In {year}, what percentage of the population was urban in {x}?",
            "What was the {year} urban percentage of the population of {x}?",
        ),
        "physicians": (
            "How many physicians per 1,000 people were there in {year} in {x}?",
            "What was the {year} physician density per 1,000 population of {x}?",
            "In {year}, how many physicians were there per 1,000 inhabitants of {x}?",
            "Give the {year} number of physicians per 1,000 people in {x}.",
            "What is the {year} figure for physicians per 1,000 population in {x}?",
        ),
        "gdp": (
            "At the official exchange rate, what was the {year} GDP of {x}?",
            "In {year}, how large, at the official exchange rate, was the GDP of {x}?",
            "Give the {year} GDP, at the official exchange rate, of {x}.",
            "At the official exchange rate, how many dollars was the {year} GDP of {x}?",
            "What was the {year} GDP, at the official exchange rate, of {x}?",
        ),
        "airports": (
            "How many airports were there in {year} in {x}?",
            "What was the {year} number of airports in {x}?",
            "In {year}, how many airports were there in {x}?",
            "Give the {year} number of airports in {x}.",
            "How many airports does the World Factbook count, for {year}, in {x}?",
        ),
        "ports": (
            "How many ports were there in {year} in {x}?",
            "What was the {year} total number of ports in {x}?",
            "In {year}, how many ports were there in {x}?",
            "Give the {year} total number of ports of {x}.",
            "How many ports does the World Factbook count, for {year}, in {x}?",
        ),
        "railways": (
            "In {year}, how many kilometers of railways were there in {x}?",
            "In kilometers, what was the {year} total length of the railways of {x}?",
            "In {year}, how many kilometers long was the railway network of {x}?",
            "Give, in kilometers, the {year} total length of railways in {x}.",
            "How many kilometers long, in {year}, were the railways of {x}?",
        ),
        "border": (
            "How long is the land border between {x} and {y} in kilometers?",
            "How many kilometers of land border do {x} and {y} share?",
            "What is the length of the land border between {x} and {y} in kilometers?",
            "Give the length in kilometers of the land border of {x} with {y}.",
            "In kilometers, how long is the border between {x} and {y}?",
        ),
    }
)

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
