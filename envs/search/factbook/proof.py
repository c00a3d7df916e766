"""Proof by brute force that every question has one answer, from the passages alone.

The generator turns raw fields into typed facts and composes questions from them. The proof shares none of that: it
reads the passages as an agent would, line by line, and evaluates a question's `form` over every entry of the
Factbook. A form is a nested tuple; its words:

======================================  ================================================================
("entry", NAME)                         the entry of that name
("the", FIELD, TEXT)                    the only entry whose field contains the text
("neighbors", E)                        the countries that border E: all of them, and each lists E too
("longest" | "shortest", E)             the neighbor of E with the longest or shortest border, by 5 %
("only neighbor", E)                    the only country that borders E
("export partners", E)                  the five largest export partners of E
("export partner" | "import partner", E)  the largest one, by two percentage points
("ruler", E)                            the country from which E became independent
("among", E, ...)                       the entries themselves
("both", S, S, ...)                     what is in all the sets
("having", FIELD, "is" | "above", V, S) the members of S whose field is, or is by 10 % above, V
("most" | "least", FIELD, S)            the member of S with the largest or smallest figure, by 10 %, same year
("size", S)                             the number of members
("value", FIELD, E)                     what the field says
("border", E, E)                        the length of the border, on which both sides agree
======================================  ================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from palaestra.envs.search.factbook.names import MENTIONS, fold, normalise
from palaestra.envs.search.factbook.proof_fields import DATED, FIELDS, MENTIONED, SAYS, starts
from palaestra.envs.search.passages import Passage
from palaestra.tasks import Task

__all__ = ["Proof", "Refuted"]

_CLEAR_FIGURE, _CLEAR_BORDER, _CLEAR_SHARE = 1.1, 1.05, 2


class Refuted(Exception):
    """The text does not give a question one clear answer."""


class Proof:
    """Evaluates questions over a corpus.

    Args:
        passages: All passages of the corpus.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        wanted: dict[str, dict[str, list[str]]] = {}
        for key, (heading, label) in FIELDS.items():
            wanted.setdefault(heading, {}).setdefault(label, []).append(key)
        self._texts: dict[str, dict[str, tuple[str, str]]] = {key: {} for key in FIELDS}
        names: dict[str, None] = {}
        for passage in passages:
            name = passage.title.split(": ", 1)[0]
            names.setdefault(name)
            heading = ""
            for line in passage.text.split("\n"):
                if not line.startswith("- "):
                    heading = line.removesuffix(":") if line.endswith(":") else ""
                body = line.removeprefix("- ")
                for label, keys in wanted.get(heading if line.startswith("- ") else "", {}).items():
                    rest = body[len(label) + 2 :]
                    if body.startswith(f"{label}: ") and not (heading == "Land use" and ": " in rest):
                        for key in keys:
                            if name in self._texts[key]:
                                self._texts[key][name] = ("", "")  # said twice: no single place, no single value
                            else:
                                self._texts[key][name] = (rest, passage.id)
        self._names = tuple(names)
        self._normal = {name: normalise(name) for name in names}
        self._codes = {spoken: name for name in names for spoken in (name, f"The {name}", fold(name))}
        self._codes |= {spoken: MENTIONED[code] for spoken, code in MENTIONS.items()}
        self._listed = {name: self._border_list(name) for name in names}
        self._folded: dict[str, dict[str, str]] = {}
        self._touched: list[str] = []
        self._years: set[str] = set()

    # What the text says.

    def _text(self, key: str, name: str, *, touch: bool = True) -> str:
        text, passage = self._texts[key].get(name, ("", ""))
        if not text:
            raise Refuted(f"{name} has no {key}")
        if touch:
            self._touched.append(passage)
        return text

    def _border_list(self, name: str) -> dict[str, list[str]]:
        """Neighbor as printed -> lengths as printed."""
        text = self._texts["borders"].get(name, ("", ""))[0]
        found: dict[str, list[str]] = {}
        for part in re.split(r"(?:(?<=km)|(?<=\)))(?:;|,| and) (?=[A-Z])", text):
            match = re.match(r"(.+?) ([\d.,]*\d) km\b", part)
            if match:
                spoken = re.sub(r" \((?!Vatican City\))[^)]*\)$", "", match[1])
                found.setdefault(self._codes.get(spoken, spoken), []).append(match[2])
            elif part:
                found[part] = []
        return found

    def _number(self, key: str, name: str) -> tuple[float, str]:
        """A field's figure and its year ("" without)."""
        text = self._text(key, name)
        if key == "peak height":
            match = re.search(r"(-?[\d,.]+)() m\b(?!.* m\b)", text)
        else:
            match = re.match(r"-?\$?(-?[\d,]*\.?\d+)(?: (million|billion|trillion)\b)?", text)
        if match is None:
            raise Refuted(f"{name}: no figure in '{text}'")
        scale = {"million": 1e6, "billion": 1e9, "trillion": 1e12}.get(match[2] or "", 1.0)
        year = re.search(r"\((\d{4})\b[^()]*\)", text)
        self._years |= {year[1]} if year else set()
        return float(match[1].replace(",", "")) * scale, year[1] if year else ""

    def _partners(self, key: str, name: str) -> list[tuple[str, int]]:
        text = self._text(key, name)
        text = text.replace("Gambia, The", "The Gambia").replace("Bahamas, The", "The Bahamas")
        text = text.replace("Congo, Republic of the", "Republic of the Congo")
        found = re.findall(r"([A-Z][^,%]*?) (\d+)%", text)
        self._years |= set(re.findall(r"\((\d{4})\)$", text))
        return [(self._codes.get(spoken, spoken), int(share)) for spoken, share in found]

    # What forms mean.

    def _one(self, form: Any) -> str:
        """The single country that a form stands for."""
        found = self.evaluate(form)
        if not isinstance(found, frozenset) or len(found) != 1:
            raise Refuted(f"{form} stands for {found}, not for one country")
        return str(next(iter(found)))

    def _set(self, form: Any) -> list[str]:
        found = self.evaluate(form)
        if not isinstance(found, frozenset) or not found:
            raise Refuted(f"{form} is not a set of countries")
        return sorted(found)

    def evaluate(self, form: Any) -> frozenset[str] | int | tuple[str, str]:
        """What a form means.

        Args:
            form: See the module.

        Returns:
            Countries, a number, or a field's key and text.

        Raises:
            Refuted: The text leaves it open.
        """
        word, *rest = form
        if word == "entry":
            if rest[0] not in self._names:
                raise Refuted(f"no entry '{rest[0]}'")
            return frozenset({rest[0]})
        if word == "the":
            return frozenset({self._the(*rest)})
        if word in ("neighbors", "longest", "shortest", "only neighbor"):
            return self._around(word, self._one(rest[0]))
        if word == "export partners":
            return frozenset(self._known(name for name, _ in self._partners(word, self._one(rest[0]))))
        if word in ("export partner", "import partner"):
            shares = self._partners(f"{word}s", self._one(rest[0]))
            if len(shares) < 2 or shares[0][1] - max(share for _, share in shares[1:]) < _CLEAR_SHARE:
                raise Refuted(f"no clear first in {shares}")
            return frozenset(self._known([shares[0][0]]))
        if word == "ruler":
            return frozenset(self._known([self._ruler(self._one(rest[0]))]))
        if word == "among":
            return frozenset(self._one(each) for each in rest)
        if word == "both":
            return frozenset.intersection(*(frozenset(self._set(each)) for each in rest))
        if word == "having":
            key, how, value, members = rest
            return frozenset(name for name in self._set(members) if self._has(name, key, how, value))
        if word in ("most", "least"):
            return frozenset({self._extreme(word, rest[0], self._set(rest[1]))})
        if word == "size":
            found = self.evaluate(rest[0])
            if not isinstance(found, frozenset):
                raise Refuted(f"{rest[0]} is no set")
            return len(found)
        if word == "value":
            return (rest[0], self._text(rest[0], self._one(rest[1])))
        if word == "border":
            return ("border", self._length(self._one(rest[0]), self._one(rest[1])))
        raise Refuted(f"unknown word '{word}'")

    def _known(self, names: Iterable[str]) -> list[str]:
        kept = list(names)
        unknown = [name for name in kept if name not in self._names]
        if unknown:
            raise Refuted(f"no entries for {unknown}")
        return kept

    def _the(self, key: str, value: str) -> str:
        """The only entry whose field contains the value, as whole words and whatever the case."""
        needle = re.compile(rf"(?<!\w){re.escape(fold(value).casefold())}(?!\w)")
        if key not in self._folded:
            self._folded[key] = {name: fold(text).casefold() for name, (text, _) in self._texts[key].items()}
        found = [name for name, text in self._folded[key].items() if needle.search(text)]
        if len(found) != 1:
            raise Refuted(f"'{value}' stands in {key} of {found}")
        self._text(key, found[0])
        return found[0]

    def _around(self, word: str, name: str) -> frozenset[str]:
        self._text("borders", name)
        lists = self._listed
        others = self._known(lists[name])
        back = {other for other in self._names if name in lists[other] and other != "European Union"}
        if not others or back != set(others):
            raise Refuted(f"{name} lists {sorted(others)} and is listed by {sorted(back)}")
        total = self._number_untouched("land boundaries", name)
        kms = {other: [float(km.replace(",", "")) for km in lists[name][other]] for other in others}
        length = sum(sum(each) for each in kms.values())
        if abs(total - length) > max(10.0, 0.01 * length):
            raise Refuted(f"the borders of {name} add up to {length} km, not to {total} km")
        if word == "neighbors":
            return frozenset(others)
        if word == "only neighbor":
            if len(others) != 1:
                raise Refuted(f"{name} has {len(others)} neighbors")
            return frozenset(others)
        spans = {other: float(self._length(name, other).replace(",", "")) for other in others}
        order = sorted(spans, key=lambda other: spans[other], reverse=word == "longest")
        first, second = spans[order[0]], spans[order[1]]
        if max(first, second) < _CLEAR_BORDER * min(first, second):
            raise Refuted(f"the borders of {name} with {order[:2]} are too close")
        return frozenset({order[0]})

    def _number_untouched(self, key: str, name: str) -> float:
        before = len(self._touched)
        figure, _ = self._number(key, name)
        del self._touched[before:]
        return figure

    def _length(self, one: str, other: str) -> str:
        here, there = self._listed[one].get(other, []), self._listed[other].get(one, [])
        if len(here) != 1 or [km.replace(",", "") for km in here] != [km.replace(",", "") for km in there]:
            raise Refuted(f"{one} says {here} and {other} says {there}")
        self._text("borders", one)
        return here[0]

    def _ruler(self, name: str) -> str:
        text = self._text("independent from", name)
        match = re.search(r"\(from (?:the )?([^();,]+)\)$", text)
        if match is None or ";" in text:
            raise Refuted(f"{name}: '{text}' names no single state")
        return self._codes.get(match[1], match[1])

    def _has(self, name: str, key: str, how: str, value: Any) -> bool:
        if how == "above":
            figure, _ = self._number(key, name)
            if value / _CLEAR_FIGURE < figure < value * _CLEAR_FIGURE:
                raise Refuted(f"{name}: {figure} is too close to {value}")
            return bool(figure > value)
        text = self._text(key, name)
        if key == "coastline":
            return "landlocked" in text
        if key == "currency":
            return f"({value})" in text
        if key in ("export partners", "import partners"):
            shares = self._partners(key, name)
            if shares[0][1] - shares[1][1] < _CLEAR_SHARE:
                raise Refuted(f"{name}: no clear first in {shares}")
            return bool(shares[0][0] == value)
        if key == "independent from":
            return self._ruler(name) in (value, self._codes.get(value))
        if key == "official language":
            if text.count("(official") != 1:
                raise Refuted(f"{name} has several official languages")
            return re.search(rf"\b{re.escape(value)}( [\d.]+%)? \(official\)", text) is not None
        if key in ("exports", "imports", "crops"):
            return bool(text.split(", ")[0] == value)
        return bool(text == value)

    def _extreme(self, word: str, key: str, members: list[str]) -> str:
        figures = {name: self._number(key, name) for name in members}
        years = {year for _, year in figures.values()}
        if len(years) != 1 or len(members) < 2:
            raise Refuted(f"{key} of {members} is of the years {sorted(years)}")
        order = sorted(members, key=lambda name: figures[name][0], reverse=word == "most")
        first, second = figures[order[0]][0], figures[order[1]][0]
        if min(first, second) <= 0 or max(first, second) < _CLEAR_FIGURE * min(first, second):
            raise Refuted(f"{key} of {order[:2]} is too close: {first}, {second}")
        return order[0]

    # What a task claims.

    def problems(self, task: Task) -> list[str]:
        """What is wrong with a task's truth; nothing, if it is proven.

        Checked: the form has one meaning; the first answer is that meaning; no alias is another entry's name; every
        gold passage was read to get there, and, except where neighbors had to be ruled out, nothing else was;
        the year of a dated figure stands in the question.
        """
        self._touched, self._years = [], set()
        answers = task.truth["answers"]
        try:
            meaning = self.evaluate(task.truth["form"])
        except Refuted as refuted:
            return [str(refuted)]
        found = []
        if not self._agrees(meaning, answers[0]):
            found.append(f"the text says {meaning}, not '{answers[0]}'")
        if isinstance(meaning, frozenset):
            taken = {normal for name, normal in self._normal.items() if name not in meaning}
            found += [f"'{answer}' is another country" for answer in answers if normalise(answer) in taken]
        if isinstance(meaning, int):
            found += [
                f"'{answer}' is another number" for answer in answers if answer.isdigit() and int(answer) != meaning
            ]
        gold = [set(passages) for passages in task.truth["gold_passages"]]
        read = set(self._touched)
        found += [f"gold passages {sorted(group)} are not needed" for group in gold if not group & read]
        if task.metadata["kind"] != "intersection":
            found += [f"{passage} is needed, but not gold" for passage in sorted(read - set().union(*gold))]
        if isinstance(meaning, tuple) and meaning[0] in DATED:
            self._years |= set(re.findall(r"\((\d{4})(?: est\.)?\)$", meaning[1]))
        found += [
            f"a figure is of {year}, which the question does not say" for year in self._years if year not in task.prompt
        ]
        return found

    def _agrees(self, meaning: frozenset[str] | int | tuple[str, str], answer: str) -> bool:
        if isinstance(meaning, frozenset):
            return meaning == {answer}
        if isinstance(meaning, int):
            return answer == str(meaning)
        key, text = meaning
        if key == "border":
            return answer == f"{text} km"
        if key in ("export partners", "import partners", "independent from"):
            spoken = {spoken for spoken, name in self._codes.items() if name == answer} | {answer}
            if key == "independent from":
                return any(SAYS[key](text, each) for each in spoken)
            shares = [int(share) for share in re.findall(r" (\d+)%", text)]
            return any(starts(text, each) for each in spoken) and shares[0] - shares[1] >= _CLEAR_SHARE
        return SAYS.get(key, starts)(text, answer)
