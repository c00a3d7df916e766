"""What the Factbook says, as typed facts: entry x attribute -> value, and the passage in which it stands.

A text that its parser does not know is left out, never guessed at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from palaestra.envs.search.factbook import parsers as read
from palaestra.envs.search.factbook.passages import Corpus, Path

__all__ = ["ATTRIBUTES", "Attribute", "Fact", "read_facts", "search_words"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One value of one attribute of one entry.

    Attributes:
        code: The entry.
        attribute: Key of `ATTRIBUTES`.
        answer: The value as an answer, as the text has it ("38,394 sq km", "Thimphu").
        passage: Id of the passage that holds the whole field.
        number: The value as a number, in the attribute's unit, where it is one.
        year: The year of the figure, where the text gives one.
        items: The members, where the value is a list.
        aliases: Other right answers.
        text: The whole field.
    """

    code: str
    attribute: str
    answer: str
    passage: str
    number: float | None = None
    year: int | None = None
    items: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Attribute:
    """Where a value stands and how it is read.

    Attributes:
        path: Section, field, subfield.
        label: What it is called in queries and reasoning.
        parse: Text of the field -> the parts of a `Fact` that it fills, or None if the text does not fit.
    """

    path: Path
    label: str
    parse: Callable[[str], dict[str, object] | None]

    @property
    def query(self) -> str:
        """Words that find the field of a country: section, field and subfield, and what stands beside them."""
        return search_words(self.path)


_BESIDE: Mapping[str, str] = MappingProxyType(
    {  # field -> words that its passage holds besides; the figures themselves say too little
        "Area": "land water sq km",
        "Airports": "heliports",
        "Capital": "geographic coordinates time difference",
        "Coastline": "km",
        "Exchange rates": "per US dollar",
        "Land boundaries": "coastline km",
        "Population": "male female nationality",
        "Urbanization": "rate of urbanization",
    }
)


def search_words(path: Path) -> str:
    """The words of a path, each once, and those that stand beside its field."""
    words = f"{' '.join(path)} {_BESIDE.get(path[1], '')}".replace(" - ", " ").split()
    return " ".join(dict.fromkeys(words))


_NAME = r"(?P<answer>[A-Z][^;,()\d/]*)"
_PEOPLE, _GEO, _GOV, _ECON = "People and Society", "Geography", "Government", "Economy"

ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType(
    {
        "capital": Attribute(
            (_GOV, "Capital", "name"),
            "capital",
            read.whole_text(
                r"(?P<answer>(?!no |none)[A-Z][^\W\d]*(?:[ '.-]+[^\W\d]+)*?(?:, D\.C\.)?)"
                r"(?: \((?P<alias>[A-Z][\w' -]+?(?:, [A-Z]\w+)*)\)| \((?:on|located on) [^()]+\)| \(city\))?"
            ),
        ),
        "long name": Attribute(
            (_GOV, "Country name", "conventional long form"), "official long-form name", read.whole_text(_NAME)
        ),
        "local name": Attribute(
            (_GOV, "Country name", "local short form"),
            "local short-form name",
            read.whole_text(r"(?P<answer>[A-Z][\w' -]+)"),
        ),
        "former names": Attribute((_GOV, "Country name", "former"), "former name", read.former_names),
        "currency": Attribute((_ECON, "Exchange rates", "Currency"), "currency", read.currency),
        "internet code": Attribute(
            ("Communications", "Internet country code"),
            "internet country code",
            read.whole_text(r"(?P<answer>\.(?P<alias>[a-z]{2}))"),
        ),
        "aircraft prefix": Attribute(
            ("Transportation", "Civil aircraft registration country code prefix"),
            "civil aircraft registration prefix",
            read.whole_text(r"(?P<answer>[A-Z0-9]{1,3})"),
        ),
        "anthem": Attribute((_GOV, "National anthem(s)", "title"), "national anthem", read.anthem),
        "symbol": Attribute(
            (_GOV, "National symbol(s)"),
            "national symbol",
            read.whole_text(r"(?P<answer>[A-Z]?[a-z-]+(?: [A-Z]?[a-z-]+){0,3})"),
        ),
        "adjective": Attribute(
            (_PEOPLE, "Nationality", "adjective"),
            "nationality adjective",
            read.whole_text(r"(?P<answer>[A-Z][A-Za-z' -]+)"),
        ),
        "independence": Attribute((_GOV, "Independence"), "independence", read.independence),
        "independent from": Attribute((_GOV, "Independence"), "independence", read.former_ruler),
        "holiday": Attribute((_GOV, "National holiday"), "national holiday", read.holiday),
        "government type": Attribute(
            (_GOV, "Government type"), "government type", read.whole_text(r"(?P<answer>[a-z]+(?: [a-z]+){1,5})")
        ),
        "chief of state": Attribute((_GOV, "Executive branch", "chief of state"), "chief of state", read.office_holder),
        "head of government": Attribute(
            (_GOV, "Executive branch", "head of government"), "head of government", read.office_holder
        ),
        "legislature": Attribute(
            (_GOV, "Legislative branch", "legislature name"),
            "legislature",
            read.whole_text(r"(?P<alias0>[A-Z][A-Za-z' ]+) \((?P<answer>[A-Z][^()/;,]+)\)"),
        ),
        "time zone": Attribute(
            (_GOV, "Capital", "time difference"),
            "time difference of the capital",
            read.whole_text(r"(?P<answer>UTC[+-]\d{1,2}(?::\d\d)?) \([^()]+\)"),
        ),
        "official language": Attribute(
            (_PEOPLE, "Languages", "Languages"), "official language", read.official_language
        ),
        "export partners": Attribute((_ECON, "Exports - partners"), "export partners", read.partner_shares),
        "import partners": Attribute((_ECON, "Imports - partners"), "import partners", read.partner_shares),
        "exports": Attribute((_ECON, "Exports - commodities"), "export commodities", read.ranked_list(5)),
        "imports": Attribute((_ECON, "Imports - commodities"), "import commodities", read.ranked_list(5)),
        "crops": Attribute((_ECON, "Agricultural products"), "agricultural products", read.ranked_list(8)),
        "highest point": Attribute((_GEO, "Elevation", "highest point"), "highest point", read.peak),
        "peak height": Attribute((_GEO, "Elevation", "highest point"), "highest point", read.peak_meters),
        "mean elevation": Attribute((_GEO, "Elevation", "mean elevation"), "mean elevation", read.figure(" m")),
        "area": Attribute((_GEO, "Area", "total"), "total area", read.figure(" sq km")),
        "coastline": Attribute((_GEO, "Coastline"), "coastline", read.figure(" km", r"(?: \([^()]*\))?")),
        "land boundaries": Attribute((_GEO, "Land boundaries", "total"), "land boundaries, total", read.figure(" km")),
        "forest": Attribute((_GEO, "Land use", "forest"), "land use, forest", read.figure("%")),
        "farmland": Attribute((_GEO, "Land use", "agricultural land"), "land use, agricultural land", read.figure("%")),
        "population": Attribute((_PEOPLE, "Population", "total"), "population, total", read.figure()),
        "median age": Attribute((_PEOPLE, "Median age", "total"), "median age, total", read.figure(" years")),
        "life expectancy": Attribute(
            (_PEOPLE, "Life expectancy at birth", "total population"), "life expectancy at birth", read.figure(" years")
        ),
        "fertility": Attribute(
            (_PEOPLE, "Total fertility rate"), "total fertility rate", read.figure("", " children born/woman")
        ),
        "urban share": Attribute(
            (_PEOPLE, "Urbanization", "urban population"), "urban population", read.figure("%", " of total population")
        ),
        "physicians": Attribute(
            (_PEOPLE, "Physician density"), "physician density", read.figure("", " physicians/1,000 population")
        ),
        "internet users": Attribute(
            ("Communications", "Internet users", "percent of population"), "internet users", read.figure("%")
        ),
        "gdp": Attribute(
            (_ECON, "GDP (official exchange rate)"), "GDP (official exchange rate)", read.figure(money=True)
        ),
        "gdp per head": Attribute(
            (_ECON, "Real GDP per capita", "Real GDP per capita 2024"),
            "real GDP per capita 2024",
            read.figure(money=True),
        ),
        "inflation": Attribute(
            (_ECON, "Inflation rate (consumer prices)", "Inflation rate (consumer prices) 2024"),
            "inflation rate 2024",
            read.figure("%"),
        ),
        "unemployment": Attribute(
            (_ECON, "Unemployment rate", "Unemployment rate 2024"), "unemployment rate 2024", read.figure("%")
        ),
        "airports": Attribute(("Transportation", "Airports"), "airports", read.figure()),
        "heliports": Attribute(("Transportation", "Heliports"), "heliports", read.figure()),
        "ports": Attribute(("Transportation", "Ports", "total ports"), "total ports", read.figure()),
        "ships": Attribute(("Transportation", "Merchant marine", "total"), "merchant marine, total", read.figure()),
        "railways": Attribute(("Transportation", "Railways", "total"), "railways, total", read.figure(" km")),
    }
)


def read_facts(corpus: Corpus) -> dict[tuple[str, str], Fact]:
    """Every fact that parses and stands whole in one passage, by entry and attribute."""
    facts: dict[tuple[str, str], Fact] = {}
    for (code, path), passage in corpus.place.items():
        for key in _BY_PATH.get(path, ()):
            text = corpus.text[code, path]
            parts = ATTRIBUTES[key].parse(text)
            if parts is not None:
                facts[code, key] = Fact(code=code, attribute=key, passage=passage, text=text, **parts)  # type: ignore[arg-type]
    return facts


def _by_path() -> Mapping[Path, tuple[str, ...]]:
    keys: dict[Path, tuple[str, ...]] = {}
    for key, attribute in ATTRIBUTES.items():
        keys[attribute.path] = (*keys.get(attribute.path, ()), key)
    return MappingProxyType(keys)


_BY_PATH = _by_path()
