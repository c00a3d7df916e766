"""Strict parsers of the Factbook's fields: a text fits a pattern whole, or nothing is made of it.

Each takes the cleaned text of a field and gives the parts of a `Fact` that it fills, or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType

from palaestra.envs.search.factbook.people import PERSON, person

__all__ = [
    "Parts",
    "anthem",
    "currency",
    "date_aliases",
    "figure",
    "former_names",
    "former_ruler",
    "holiday",
    "independence",
    "number_aliases",
    "office_holder",
    "official_language",
    "partner_shares",
    "peak",
    "peak_meters",
    "ranked_list",
    "whole_text",
]

Parts = dict[str, object] | None

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


def figure(unit: str = "", tail: str = "", *, money: bool = False) -> Callable[[str], Parts]:
    """A parser of a figure with a unit; `tail` is what may follow the unit but is no part of the answer."""
    sign = r"\$" if money else ""
    pattern = re.compile(f"{sign}{_FIGURE}{re.escape(unit)}(?:{tail}){_YEAR}(?: \\(landlocked\\))?")

    def parse(text: str) -> Parts:
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


def whole_text(pattern: str) -> Callable[[str], Parts]:
    """A parser of a string: the groups `answer`, `alias` and `year` of a pattern that fits the whole text."""
    compiled = re.compile(pattern)

    def parse(text: str) -> Parts:
        match = compiled.fullmatch(text)
        if not match:
            return None
        groups = match.groupdict()
        aliases = tuple(value for key, value in groups.items() if key.startswith("alias") and value)
        year = groups.get("year")
        return {"answer": match["answer"], "aliases": aliases, "year": int(year) if year else None}

    return parse


def peak(text: str) -> Parts:
    """The name of a highest point, where it has one ("Fako on Mont Cameroun 4,045 m")."""
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


def peak_meters(text: str) -> Parts:
    """The height of a highest point, named or not."""
    match = re.fullmatch(r"[^;\d]*[^;\d(] (?P<metres>-?[\d,]+) m(?: \([^)]*\))?", text)
    return figure(" m")(f"{match['metres']} m") if match else None


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


def independence(text: str) -> Parts:
    """A single date of independence ("5 July 1962 (from France)")."""
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


def former_ruler(text: str) -> Parts:
    """The state that a single independence was gained from."""
    parsed = independence(text)
    if parsed is None or not isinstance(parsed["items"], tuple):
        return None
    whom = str(parsed["items"][0]).removeprefix("the ")
    state = re.fullmatch(r"UK|US|[A-Z][a-z]+(?: [A-Z][a-z]+)?", whom)  # not "Belgium-administered UN trusteeship"
    return {"answer": whom} if state else None


def holiday(text: str) -> Parts:
    """The day of a single national holiday ("Independence Day, 5 July (1962)")."""
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


def currency(text: str) -> Parts:
    """A currency and its code ("ngultrum (BTN) per US dollar -")."""
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


def anthem(text: str) -> Parts:
    """The title of a single anthem, in quotation marks, and its translation."""
    match = re.fullmatch(r"[\"“](?P<title>[^\"“”]+?),?[\"”](?: \((?P<english>[^()\"]+)\))?", text)
    if not match:
        return None
    return {"answer": match["title"], "aliases": (match["english"],) if match["english"] else ()}


def partner_shares(text: str) -> Parts:
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


def ranked_list(least: int) -> Callable[[str], Parts]:
    """A ranked list of plain words with a year ("rice, milk, potatoes (2023)")."""

    def parse(text: str) -> Parts:
        body = re.fullmatch(r"(?P<list>[a-z][a-z ,/-]+) \((?P<year>\d{4})\)", text)
        items = tuple(body["list"].split(", ")) if body else ()
        if body is None or len(items) < least or len(set(items)) != len(items):
            return None
        return {"answer": items[0], "items": items, "year": int(body["year"])}

    return parse


def official_language(text: str) -> Parts:
    """The only language that is marked as official."""
    if text.count("(official") != 1 or "note" in text:
        return None
    match = re.search(r"(?:^|, )(?P<name>[A-Z][a-z]+(?: [A-Z][a-z]+)?)(?: \d[\d.]*%)? \(official\)", text)
    return {"answer": match["name"]} if match else None


def former_names(text: str) -> Parts:
    """Former names, where nothing but names is listed."""
    names = tuple(text.split(", "))
    if not all(re.fullmatch(r"[A-Z][A-Za-z' -]+", name) for name in names):
        return None
    return {"answer": names[0], "items": names}


def office_holder(text: str) -> Parts:
    """A single holder of an office, with title and date."""
    match = re.fullmatch(PERSON, text)
    return person(match) if match else None
