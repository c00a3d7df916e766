"""BFCL's single-turn cases: questions, functions, accepted answers, and the prompt formats of format sensitivity."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from palaestra.envs.tools.bfcl.checker import Language
from palaestra.envs.tools.bfcl.data import data_folder, read_rows, release_prefix
from palaestra.errors import DataError

__all__ = ["DEFAULT_FORMAT", "SINGLE_TURN", "Case", "PromptFormat", "load_cases", "sensitivity_formats"]

NON_LIVE = (
    "simple_python",
    "simple_java",
    "simple_javascript",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
)
LIVE = (
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
    "live_relevance",
)
SINGLE_TURN = (*NON_LIVE, *LIVE, "format_sensitivity")
"""The categories whose cases are one question and one reply."""


@dataclass(frozen=True, slots=True)
class PromptFormat:
    """One way to ask: how calls are to be written, how functions are shown, and in what words.

    Attributes:
        calls: `python`, `json`, `verbose_xml` or `concise_xml`; of the categories of other languages `java` or
            `javascript`, which are prompted for as `python`.
        tagged: Whether calls must stand between `<TOOLCALL>` and `</TOOLCALL>`.
        functions: `python`, `xml` or `json`.
        markup: `plaintext` or `markdown`.
        style: `classic` or `experimental`.
    """

    calls: str = "python"
    tagged: bool = False
    functions: str = "json"
    markup: str = "plaintext"
    style: str = "classic"

    @property
    def name(self) -> str:
        """As BFCL writes it, in the ids of its cases."""
        return (
            f"ret_fmt={self.calls}&tool_call_tag={self.tagged}&func_doc_fmt={self.functions}"
            f"&prompt_fmt={self.markup}&style={self.style}"
        )


DEFAULT_FORMAT = PromptFormat()


def sensitivity_formats() -> tuple[PromptFormat, ...]:
    """The 26 formats in which format sensitivity asks every one of its questions, in order."""
    grid = product(("python", "json", "verbose_xml", "concise_xml"), (True, False), ("python", "xml", "json"))
    return (
        *(PromptFormat(calls, tagged, functions) for calls, tagged, functions in grid),
        PromptFormat(markup="markdown"),
        PromptFormat(style="experimental"),
    )


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    Attributes:
        id: As published.
        category: As published.
        language: Of its functions.
        messages: What is said before the reply, each with `role` and `content`.
        functions: On offer, in BFCL's schema, as the checker needs them.
        answers: The calls wanted, each `{name: {argument: [accepted value, ...]}}`; None in the relevance categories,
            where only whether there is a call counts.
        format: How it is asked.
        source: Id of the question that it repeats; its own, but for format sensitivity.
    """

    id: str
    category: str
    language: Language
    messages: tuple[Mapping[str, str], ...]
    functions: tuple[Mapping[str, Any], ...]
    answers: tuple[Mapping[str, Mapping[str, Sequence[Any]]], ...] | None
    format: PromptFormat
    source: str

    @property
    def return_format(self) -> str:
        """The format in which the reply is read."""
        relevance = "relevance" in self.category  # always read as Python
        return self.language if self.language != "python" and not relevance else self.format.calls

    @property
    def kind(self) -> str:
        """What the checker goes by: the category of the question."""
        return self.source.rpartition("_")[0]


def load_cases(category: str, release: str = "v4") -> tuple[Case, ...]:
    """The cases of one of the categories in `SINGLE_TURN`, in their published order.

    Raises:
        DataError: The package's files are not what they should be.
        MissingExtraError: The package is not installed.
        UnknownNameError: There is no such release.
    """
    prefix = release_prefix(release)
    if category == "format_sensitivity":
        return tuple(_sensitivity(prefix))
    rows = read_rows(f"{prefix}_{category}.json")
    if "relevance" in category:
        return tuple(_case(row, category, None) for row in rows)
    name = f"possible_answer/{prefix}_{category}.json"
    answers = read_rows(name)
    if [row["id"] for row in rows] != [row["id"] for row in answers]:
        raise DataError(data_folder() / name, f"its ids are not those of {prefix}_{category}.json")
    return tuple(_case(row, category, answer["ground_truth"]) for row, answer in zip(rows, answers, strict=True))


def _case(row: Mapping[str, Any], category: str, answers: Sequence[Any] | None) -> Case:
    language: Language = (
        "javascript" if "javascript" in category else "java" if "java" in category else "python"  # in this order
    )
    return Case(
        id=row["id"],
        category=category,
        language=language,
        messages=tuple(row["question"][0]),
        functions=tuple(row["function"]),
        answers=None if answers is None else tuple(answers),
        format=DEFAULT_FORMAT,
        source=row["id"],
    )


def _sensitivity(prefix: str) -> Iterator[Case]:
    chosen = _chosen_ids(prefix)
    number = 0
    for category, ids in chosen.items():
        for case in load_cases(category):
            if case.id not in ids:
                continue
            for form in sensitivity_formats():
                yield Case(
                    id=f"format_sensitivity_{number}:{form.name}:{case.id}",
                    category="format_sensitivity",
                    language=case.language,
                    messages=case.messages,
                    functions=case.functions,
                    answers=case.answers,
                    format=form,
                    source=case.id,
                )
                number += 1


def _chosen_ids(prefix: str) -> dict[str, frozenset[str]]:
    path = data_folder() / f"{prefix}_format_sensitivity.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read ({error}); reinstall: pip install --no-deps bfcl-eval") from error
    return {category: frozenset(ids) for category, ids in data.items() if ids}
