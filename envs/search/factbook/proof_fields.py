"""Where the proof reads what, and how a field's text gives its value. For `proof` alone, not for the generator."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

__all__ = ["DATED", "FIELDS", "MENTIONED", "SAYS", "starts"]

FIELDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {  # word of the forms -> the field's line: heading and label, or the label alone
        "adjective": ("Nationality", "adjective"),
        "aircraft prefix": ("", "Civil aircraft registration country code prefix"),
        "airports": ("", "Airports"),
        "anthem": ("National anthem(s)", "title"),
        "area": ("Area", "total"),
        "borders": ("Land boundaries", "border countries"),
        "capital": ("Capital", "name"),
        "chief of state": ("Executive branch", "chief of state"),
        "coastline": ("", "Coastline"),
        "crops": ("", "Agricultural products"),
        "currency": ("Exchange rates", "Currency"),
        "currency code": ("Exchange rates", "Currency"),
        "export partners": ("", "Exports - partners"),
        "exports": ("", "Exports - commodities"),
        "farmland": ("Land use", "agricultural land"),
        "fertility": ("", "Total fertility rate"),
        "forest": ("Land use", "forest"),
        "former names": ("Country name", "former"),
        "gdp": ("", "GDP (official exchange rate)"),
        "gdp per head": ("Real GDP per capita", "Real GDP per capita 2024"),
        "government type": ("", "Government type"),
        "head of government": ("Executive branch", "head of government"),
        "heliports": ("", "Heliports"),
        "highest point": ("Elevation", "highest point"),
        "holiday": ("", "National holiday"),
        "import partners": ("", "Imports - partners"),
        "imports": ("", "Imports - commodities"),
        "independence": ("", "Independence"),
        "independent from": ("", "Independence"),
        "inflation": ("Inflation rate (consumer prices)", "Inflation rate (consumer prices) 2024"),
        "internet code": ("", "Internet country code"),
        "internet users": ("Internet users", "percent of population"),
        "land boundaries": ("Land boundaries", "total"),
        "legislature": ("Legislative branch", "legislature name"),
        "life expectancy": ("Life expectancy at birth", "total population"),
        "local name": ("Country name", "local short form"),
        "long name": ("Country name", "conventional long form"),
        "mean elevation": ("Elevation", "mean elevation"),
        "median age": ("Median age", "total"),
        "official language": ("Languages", "Languages"),
        "peak height": ("Elevation", "highest point"),
        "physicians": ("", "Physician density"),
        "population": ("Population", "total"),
        "ports": ("Ports", "total ports"),
        "railways": ("Railways", "total"),
        "ships": ("Merchant marine", "total"),
        "symbol": ("", "National symbol(s)"),
        "time zone": ("Capital", "time difference"),
        "unemployment": ("Unemployment rate", "Unemployment rate 2024"),
        "urban share": ("Urbanization", "urban population"),
    }
)

DATED = frozenset(
    {"airports", "crops", "export partners", "exports", "farmland", "fertility", "forest", "gdp", "import partners"}
    | {"imports", "life expectancy", "median age", "physicians", "population", "ports", "railways", "urban share"}
)
"""Fields whose questions must say the year."""


def starts(text: str, answer: str) -> bool:
    """Whether a text begins with an answer, as whole words and whatever the case."""
    return re.match(re.escape(answer.casefold()) + r"(?![\w])", text.casefold()) is not None


SAYS: Mapping[str, Callable[[str, str], bool]] = MappingProxyType(
    {  # field -> whether its text gives the answer as the value, where that is not simply how it starts
        "anthem": lambda text, answer: starts(text.lstrip('"“'), answer),
        "chief of state": lambda text, answer: f"{answer} (since".casefold() in text.casefold() and ";" not in text,
        "head of government": lambda text, answer: f"{answer} (since".casefold() in text.casefold() and ";" not in text,
        "holiday": lambda text, answer: (
            text.count("19") + text.count("(") > 0 and f", {answer} (" in text and ";" not in text
        ),
        "legislature": lambda text, answer: text.endswith(f" ({answer})"),
        "official language": lambda text, answer: (
            re.search(rf"\b{re.escape(answer)}( [\d.]+%)? \(official\)", text) is not None
            and text.count("(official") == 1
        ),
        "peak height": lambda text, answer: re.search(rf" {re.escape(answer)}( \([^)]*\))?$", text) is not None,
        "independent from": lambda text, answer: (
            re.search(rf"\(from (the )?{re.escape(answer)}\)$", text) is not None and ";" not in text
        ),
    }
)

MENTIONED: Mapping[str, str] = MappingProxyType(
    {  # codes that `MENTIONS` uses -> titles of the passages
        "ac": "Antigua and Barbuda",
        "ae": "United Arab Emirates",
        "bf": "Bahamas",
        "bk": "Bosnia and Herzegovina",
        "cf": "Republic of the Congo",
        "cg": "Democratic Republic of the Congo",
        "ez": "Czechia",
        "ga": "Gambia",
        "iv": "Côte d'Ivoire",
        "ks": "South Korea",
        "mk": "North Macedonia",
        "nl": "Netherlands",
        "nz": "New Zealand",
        "sc": "Saint Kitts and Nevis",
        "st": "Saint Lucia",
        "td": "Trinidad and Tobago",
        "uk": "United Kingdom",
        "us": "United States",
        "vc": "Saint Vincent and the Grenadines",
        "vt": "Vatican City",
    }
)
