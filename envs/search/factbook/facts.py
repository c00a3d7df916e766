"""What the Factbook says, as typed facts: entry x attribute -> value, and the passage in which it stands.

The parsers are strict: a text that does not match its pattern whole is left out, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from palaestra.envs.search.factbook.passages import Corpus, Path
from palaestra.envs.search.factbook.people import PERSON, person

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


_POWER = {"": 0, " million": 6, " billion": 9, " trillion": 12}  # of ten
_FIGURE = r"(?P<figure>-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)(?P<scale> million| billion| trillion)?"
_YEAR = r"(?: \((?P<year>\d{4})(?: est\.)?\))?"


def number_aliases(figure: str, scale: str, unit: str, money: str) -> tuple[str, ...]:
    """Ways of writing a number: with and without separators, unit and scale word.

    Args:
        figure: Digits with separators ("1,136", "3.019").
        scale: "" or a leading space and the word (" billion").
        unit: The unit with the space before it, if any (" km", "%").
        money: "$" or "".
    """
    plain = figure.replace(",", "")
    figures = [figure, plain]
    whole = float(f"{plain}e{_POWER[scale]}")
    if scale and whole == int(whole):
        figures = [f"{figure}{scale}", f"{int(whole):,}", f"{int(whole)}"]
    elif scale:
        figures = [f"{figure}{scale}"]
    long_units = {
        " km": (" kilometers", " kilometres"),
        " sq km": (" square kilometers", " square kilometres", " km2", " km²"),
        " m": (" meters", " metres"),
        "%": (" percent", " per cent"),
        " years": (" years old",),
        "$": (),
    }
    forms = []
    for written in figures:
        forms += [f"{money}{written}{end}" for end in ("", unit, *long_units.get(unit, ()))]
        if money:
            forms += [written, f"{written} dollars", f"{written} US dollars"]
    return tuple(dict.fromkeys(forms))


def _number(unit: str = "", tail: str = "", *, money: bool = False) -> Callable[[str], dict[str, object] | None]:
    """A parser of a figure with a unit; `tail` is what may follow the unit but is no part of the answer."""
    sign = r"\$" if money else ""
    pattern = re.compile(f"{sign}{_FIGURE}{re.escape(unit)}(?:{tail}){_YEAR}(?: \\(landlocked\\))?")

    def parse(text: str) -> dict[str, object] | None:
        match = pattern.fullmatch(text)
        if not match:
            return None
        scale = match["scale"] or ""
        dollar = "$" if money else ""
        answer = f"{dollar}{match['figure']}{scale}{unit}"
        return {
            "answer": answer,
            "number": float(f"{match['figure']}e{_POWER[scale]}".replace(",", "")),
            "year": int(match["year"]) if match["year"] else None,
            "aliases": number_aliases(match["figure"], scale, unit, dollar),
        }

    return parse


def _whole(pattern: str) -> Callable[[str], dict[str, object] | None]:
    """A parser of a string: the groups `answer`, `alias` and `year` of a pattern that fits the whole text."""
    compiled = re.compile(pattern)

    def parse(text: str) -> dict[str, object] | None:
        match = compiled.fullmatch(text)
        if not match:
            return None
        groups = match.groupdict()
        aliases = tuple(value for key, value in groups.items() if key.startswith("alias") and value)
        year = groups.get("year")
        return {"answer": match["answer"], "aliases": aliases, "year": int(year) if year else None}

    return parse


def _peak(text: str) -> dict[str, object] | None:
    match = re.fullmatch(r"(?P<name>[^\d;,()]+?)(?: \((?P<other>[^()]*)\))? (?P<metres>-?[\d,]+) m", text)
    if not match or re.search(r"\bunnamed\b|\blocation\b|\bpoint\b|\belevation\b|\brange\b|^[a-z]", match["name"]):
        return None
    other = match["other"] or ""
    aliases = [other] if re.fullmatch(r"(?:[A-Z][\w.'-]+ ?)+", other) else []
    for sep in (" on ",):
        if sep in match["name"]:
            aliases.append(match["name"].split(sep)[0])
    for long, short in (("Mount ", "Mt. "), ("Mt. ", "Mount ")):
        if match["name"].startswith(long):
            aliases.append(short + match["name"].removeprefix(long))
            aliases.append(match["name"].removeprefix(long))
    return {"answer": match["name"], "aliases": tuple(aliases)}


def _peak_metres(text: str) -> dict[str, object] | None:
    match = re.fullmatch(r"[^;\d]*[^;\d(] (?P<metres>-?[\d,]+) m(?: \([^)]*\))?", text)
    return _number(" m")(f"{match['metres']} m") if match else None


_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"


def date_aliases(day: str, month: str, year: str = "") -> tuple[str, ...]:
    """Ways of writing a date ("5 July 1962" -> "July 5, 1962", "July 5 1962", "5th July 1962", "1962-07-05")."""
    number = int(day)
    end = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    tail = f" {year}" if year else ""
    forms = [f"{month} {day}{',' if year else ''}{tail}", f"{day}{end} {month}{tail}", f"{month} {day}{end}{tail}"]
    forms += [f"{day} of {month}{tail}", f"{day}{end} of {month}{tail}"]
    if year:
        forms.append(f"{year}-{_MONTHS.split('|').index(month) + 1:02d}-{number:02d}")
    return tuple(forms)


def _independence(text: str) -> dict[str, object] | None:
    match = re.fullmatch(
        rf"(?P<day>\d{{1,2}}) (?P<month>{_MONTHS}) (?P<year>\d{{4}}) \(from (?P<whom>[^();,]+)\)", text
    )
    if not match:
        return None
    return {
        "answer": f"{match['day']} {match['month']} {match['year']}",
        "aliases": date_aliases(match["day"], match["month"], match["year"]),
        "items": (match["whom"],),
        "number": float(match["year"]),
    }


def _former_ruler(text: str) -> dict[str, object] | None:
    parsed = _independence(text)
    if parsed is None or not isinstance(parsed["items"], tuple):
        return None
    whom = str(parsed["items"][0]).removeprefix("the ")
    state = re.fullmatch(r"UK|US|[A-Z][a-z]+(?: [A-Z][a-z]+)?", whom)  # not "Belgium-administered UN trusteeship"
    return {"answer": whom} if state else None


def _holiday(text: str) -> dict[str, object] | None:
    match = re.fullmatch(
        rf"(?P<name>[^,;()]+)(?: \([^()]*\))?, (?P<day>\d{{1,2}}) (?P<month>{_MONTHS}) \(\d{{4}}\)", text
    )
    if not match:
        return None
    return {
        "answer": f"{match['day']} {match['month']}",
        "aliases": date_aliases(match["day"], match["month"]),
        "items": (match["name"],),
    }


_FRANCS = MappingProxyType(
    {  # how the two CFA francs are called outside the Factbook
        "XOF": ("CFA franc", "CFA francs", "West African CFA franc", "West African CFA francs"),
        "XAF": ("CFA franc", "CFA francs", "Central African CFA franc", "Central African CFA francs"),
    }
)


def _currency(text: str) -> dict[str, object] | None:
    match = re.fullmatch(r"(?P<name>[A-Za-z][A-Za-z ]+) \((?P<code>[A-Z]{3})\) per US dollar -", text)
    if not match:
        return None
    name, code = match["name"], match["code"]
    aliases = [code, *_FRANCS.get(code, ())]
    head, _, last = name.rpartition(" ")
    if head and last.endswith("s") and not last.endswith("ss"):
        aliases.append(f"{head} {last[:-1]}")
    elif name in ("euros", "nairas", "cedis", "laris", "leones", "pulas", "dobras", "afghanis", "bolivianos"):
        aliases.append(name[:-1])
    return {"answer": name, "aliases": tuple(aliases), "items": (code,)}


def _anthem(text: str) -> dict[str, object] | None:
    match = re.fullmatch(r"[\"“](?P<title>[^\"“”]+?),?[\"”](?: \((?P<english>[^()\"]+)\))?", text)
    if not match:
        return None
    return {"answer": match["title"], "aliases": (match["english"],) if match["english"] else ()}


def _shares(text: str) -> dict[str, object] | None:
    """A list of countries with whole percentages and a year, largest first ("India 92%, Italy 4% (2023)")."""
    body = re.fullmatch(r"(?P<list>.+) \((?P<year>\d{4})\)", text)
    if not body:
        return None
    listed = re.sub(r"\b(Gambia|Bahamas), The\b", r"The \1", body["list"])
    listed = re.sub(r"\bCongo, Republic of the\b", "Republic of the Congo", listed)
    names, shares = [], []
    for part in listed.split(", "):
        match = re.fullmatch(r"(?P<name>[A-Z][A-Za-z.&' -]*?) (?P<share>\d{1,3})%", part)
        if not match:
            return None
        names.append(match["name"])
        shares.append(int(match["share"]))
    if len(names) != 5 or shares != sorted(shares, reverse=True):
        return None
    # whole percentages: one point apart may be a tie in truth
    clear = shares[0] - shares[1] >= 2
    return {
        "answer": names[0] if clear else "",
        "items": tuple(names),
        "year": int(body["year"]),
        "number": float(shares[0]),
    }


def _ranked(least: int) -> Callable[[str], dict[str, object] | None]:
    """A ranked list of plain words with a year ("rice, milk, potatoes (2023)")."""

    def parse(text: str) -> dict[str, object] | None:
        body = re.fullmatch(r"(?P<list>[a-z][a-z ,/-]+) \((?P<year>\d{4})\)", text)
        items = tuple(body["list"].split(", ")) if body else ()
        if body is None or len(items) < least or len(set(items)) != len(items):
            return None
        return {"answer": items[0], "items": items, "year": int(body["year"])}

    return parse


def _official_language(text: str) -> dict[str, object] | None:
    if text.count("(official") != 1 or "note" in text:
        return None
    match = re.search(r"(?:^|, )(?P<name>[A-Z][a-z]+(?: [A-Z][a-z]+)?)(?: \d[\d.]*%)? \(official\)", text)
    return {"answer": match["name"]} if match else None


def _divisions(text: str) -> dict[str, object] | None:
    match = re.match(
        r"(?P<count>\d+) (?P<noun>[a-z]+s|[a-z]+ (?:divisions|districts|councils))(?: \([^()]*\))?[;:] ", text
    )
    if not match or "*" in text or re.search(r"\d+ [a-z]", text[match.end() :]):
        return None
    return {"answer": match["count"], "number": float(match["count"]), "items": (match["noun"],)}


def _former_names(text: str) -> dict[str, object] | None:
    names = tuple(text.split(", "))
    if not all(re.fullmatch(r"[A-Z][A-Za-z' -]+", name) for name in names):
        return None
    return {"answer": names[0], "items": names}


def _official(text: str) -> dict[str, object] | None:
    match = re.fullmatch(PERSON, text)
    return person(match) if match else None


_NAME = r"(?P<answer>[A-Z][^;,()\d/]*)"
_PEOPLE, _GEO, _GOV, _ECON = "People and Society", "Geography", "Government", "Economy"

ATTRIBUTES: Mapping[str, Attribute] = MappingProxyType(
    {
        "capital": Attribute(
            (_GOV, "Capital", "name"),
            "capital",
            _whole(
                r"(?P<answer>(?!no |none)[A-Z][^\W\d]*(?:[ '.-]+[^\W\d]+)*?(?:, D\.C\.)?)"
                r"(?: \((?P<alias>[A-Z][\w' -]+?(?:, [A-Z]\w+)*)\)| \((?:on|located on) [^()]+\)| \(city\))?"
            ),
        ),
        "long name": Attribute(
            (_GOV, "Country name", "conventional long form"), "official long-form name", _whole(_NAME)
        ),
        "local name": Attribute(
            (_GOV, "Country name", "local short form"), "local short-form name", _whole(r"(?P<answer>[A-Z][\w' -]+)")
        ),
        "former names": Attribute((_GOV, "Country name", "former"), "former name", _former_names),
        "currency": Attribute((_ECON, "Exchange rates", "Currency"), "currency", _currency),
        "internet code": Attribute(
            ("Communications", "Internet country code"),
            "internet country code",
            _whole(r"(?P<answer>\.(?P<alias>[a-z]{2}))"),
        ),
        "aircraft prefix": Attribute(
            ("Transportation", "Civil aircraft registration country code prefix"),
            "civil aircraft registration prefix",
            _whole(r"(?P<answer>[A-Z0-9]{1,3})"),
        ),
        "anthem": Attribute((_GOV, "National anthem(s)", "title"), "national anthem", _anthem),
        "symbol": Attribute(
            (_GOV, "National symbol(s)"), "national symbol", _whole(r"(?P<answer>[A-Z]?[a-z-]+(?: [A-Z]?[a-z-]+){0,3})")
        ),
        "adjective": Attribute(
            (_PEOPLE, "Nationality", "adjective"), "nationality adjective", _whole(r"(?P<answer>[A-Z][A-Za-z' -]+)")
        ),
        "independence": Attribute((_GOV, "Independence"), "independence", _independence),
        "independent from": Attribute((_GOV, "Independence"), "independence", _former_ruler),
        "holiday": Attribute((_GOV, "National holiday"), "national holiday", _holiday),
        "government type": Attribute(
            (_GOV, "Government type"), "government type", _whole(r"(?P<answer>[a-z]+(?: [a-z]+){1,5})")
        ),
        "chief of state": Attribute((_GOV, "Executive branch", "chief of state"), "chief of state", _official),
        "head of government": Attribute(
            (_GOV, "Executive branch", "head of government"), "head of government", _official
        ),
        "legislature": Attribute(
            (_GOV, "Legislative branch", "legislature name"),
            "legislature",
            _whole(r"(?P<alias0>[A-Z][A-Za-z' ]+) \((?P<answer>[A-Z][^()/;,]+)\)"),
        ),
        "time zone": Attribute(
            (_GOV, "Capital", "time difference"),
            "time difference of the capital",
            _whole(r"(?P<answer>UTC[+-]\d{1,2}(?::\d\d)?) \([^()]+\)"),
        ),
        "official language": Attribute((_PEOPLE, "Languages", "Languages"), "official language", _official_language),
        "export partners": Attribute((_ECON, "Exports - partners"), "export partners", _shares),
        "import partners": Attribute((_ECON, "Imports - partners"), "import partners", _shares),
        "exports": Attribute((_ECON, "Exports - commodities"), "export commodities", _ranked(5)),
        "imports": Attribute((_ECON, "Imports - commodities"), "import commodities", _ranked(5)),
        "crops": Attribute((_ECON, "Agricultural products"), "agricultural products", _ranked(8)),
        "highest point": Attribute((_GEO, "Elevation", "highest point"), "highest point", _peak),
        "peak height": Attribute((_GEO, "Elevation", "highest point"), "highest point", _peak_metres),
        "mean elevation": Attribute((_GEO, "Elevation", "mean elevation"), "mean elevation", _number(" m")),
        "area": Attribute((_GEO, "Area", "total"), "total area", _number(" sq km")),
        "coastline": Attribute((_GEO, "Coastline"), "coastline", _number(" km", r"(?: \([^()]*\))?")),
        "land boundaries": Attribute((_GEO, "Land boundaries", "total"), "land boundaries, total", _number(" km")),
        "forest": Attribute((_GEO, "Land use", "forest"), "land use, forest", _number("%")),
        "farmland": Attribute((_GEO, "Land use", "agricultural land"), "land use, agricultural land", _number("%")),
        "population": Attribute((_PEOPLE, "Population", "total"), "population, total", _number()),
        "median age": Attribute((_PEOPLE, "Median age", "total"), "median age, total", _number(" years")),
        "life expectancy": Attribute(
            (_PEOPLE, "Life expectancy at birth", "total population"), "life expectancy at birth", _number(" years")
        ),
        "fertility": Attribute(
            (_PEOPLE, "Total fertility rate"), "total fertility rate", _number("", " children born/woman")
        ),
        "urban share": Attribute(
            (_PEOPLE, "Urbanization", "urban population"), "urban population", _number("%", " of total population")
        ),
        "physicians": Attribute(
            (_PEOPLE, "Physician density"), "physician density", _number("", " physicians/1,000 population")
        ),
        "internet users": Attribute(
            ("Communications", "Internet users", "percent of population"), "internet users", _number("%")
        ),
        "gdp": Attribute((_ECON, "GDP (official exchange rate)"), "GDP (official exchange rate)", _number(money=True)),
        "gdp per head": Attribute(
            (_ECON, "Real GDP per capita", "Real GDP per capita 2024"), "real GDP per capita 2024", _number(money=True)
        ),
        "inflation": Attribute(
            (_ECON, "Inflation rate (consumer prices)", "Inflation rate (consumer prices) 2024"),
            "inflation rate 2024",
            _number("%"),
        ),
        "unemployment": Attribute(
            (_ECON, "Unemployment rate", "Unemployment rate 2024"), "unemployment rate 2024", _number("%")
        ),
        "airports": Attribute(("Transportation", "Airports"), "airports", _number()),
        "heliports": Attribute(("Transportation", "Heliports"), "heliports", _number()),
        "ports": Attribute(("Transportation", "Ports", "total ports"), "total ports", _number()),
        "ships": Attribute(("Transportation", "Merchant marine", "total"), "merchant marine, total", _number()),
        "railways": Attribute(("Transportation", "Railways", "total"), "railways, total", _number(" km")),
        "divisions": Attribute((_GOV, "Administrative divisions"), "administrative divisions", _divisions),
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
