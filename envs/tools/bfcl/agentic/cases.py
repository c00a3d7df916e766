"""The cases of the agentic categories, read from the installed package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from palaestra.envs.tools.bfcl.data import constants, read_rows, release_prefix
from palaestra.errors import DataError, UnknownNameError

__all__ = ["AGENTIC", "MEMORY", "WEB_SEARCH", "AgenticCase", "agentic_cases"]

MEMORY = ("memory_kv", "memory_rec_sum")
WEB_SEARCH = ("web_search_base", "web_search_no_snippet")
AGENTIC = (*MEMORY, *WEB_SEARCH)

_PROMPTS = "constants/default_prompts.py"

Conversation = tuple[tuple[Mapping[str, str], ...], ...]


@dataclass(frozen=True, eq=False)
class AgenticCase:
    """One question.

    Attributes:
        id: As published, with the category in it, e.g. "memory_kv_3-customer-3".
        category: One of `AGENTIC`.
        scenario: Who speaks, for memory; "" for web search.
        conversations: What the user says, per conversation and turn, as messages with role and content: first those in
            which he tells about himself, then the one in which he asks.
        functions: Docs of the functions, as published.
        classes: Name of the application.
        config: Its scenario by name. Read only.
        answers: The accepted ones.
    """

    id: str
    category: str
    scenario: str
    conversations: tuple[Conversation, ...]
    functions: tuple[dict[str, Any], ...]
    classes: tuple[str, ...]
    config: Mapping[str, Any]
    answers: tuple[str, ...]

    @property
    def long_context(self) -> bool:
        """Whether results carry long texts and lists: never."""
        return False

    @property
    def question(self) -> str:
        """What is asked."""
        return self.conversations[-1][0][-1]["content"]

    @property
    def turns(self) -> int:
        """How often the user speaks, in all conversations."""
        return sum(map(len, self.conversations))

    def instructions(self, memory: str | None) -> str | None:
        """What a conversation's system message says besides the functions; None where it says nothing.

        Args:
            memory: What the memory shows; None where there is none.
        """
        if memory is None:
            return None
        words = constants(_PROMPTS)
        whole = "rec_sum" in self.category
        template: str = words[f"MEMORY_BACKEND_INSTRUCTION_{'UNIFIED' if whole else 'CORE_ARCHIVAL'}"]
        return template.format(scenario_setting=words["MEMORY_AGENT_SETTINGS"][self.scenario], memory_content=memory)


@lru_cache(maxsize=8)
def _told(scenario: str) -> tuple[Conversation, ...]:
    rows = read_rows(f"memory_prereq_conversation/memory_{scenario}.json")
    return tuple(tuple(tuple(turn) for turn in row["question"]) for row in rows)


@lru_cache(maxsize=len(AGENTIC))
def agentic_cases(category: str, release: str = "v4") -> Mapping[str, AgenticCase]:
    """All cases of a category by id, in the published order.

    Args:
        category: One of `AGENTIC`.
        release: Of the benchmark.

    Raises:
        UnknownNameError: There is no such category or release.
        MissingExtraError: The package `bfcl-eval` is not installed.
        DataError: Its files are not what they should be.
    """
    if category not in AGENTIC:
        raise UnknownNameError("agentic category of BFCL", category, AGENTIC)
    kind = "memory" if category in MEMORY else "web_search"
    file = f"{release_prefix(release)}_{kind}.json"
    answers = {row["id"]: row["ground_truth"] for row in read_rows(f"possible_answer/{file}")}
    docs = category if category in MEMORY else "web_search"
    functions = tuple(read_rows(f"multi_turn_func_doc/{docs}.json"))
    name = f"MemoryAPI_{category.removeprefix('memory_')}" if category in MEMORY else "WebSearchAPI"
    config = {} if category in MEMORY else {name: {"show_snippet": category == "web_search_base"}}
    form = {"role": "system", "content": constants(_PROMPTS)["ADDITIONAL_SYSTEM_PROMPT_FOR_AGENTIC_RESPONSE_FORMAT"]}
    cases = {}
    for row in read_rows(file):
        try:
            scenario = row["scenario"] if category in MEMORY else ""
            asked = ((form, *row["question"][0]),)
            key = row["id"].replace(kind, category)
            told = _told(scenario) if scenario else ()
            accepted = tuple(answers[row["id"]])
        except (KeyError, IndexError) as error:
            raise DataError(file, f"a row lacks {error}; reinstall: pip install --no-deps bfcl-eval") from error
        cases[key] = AgenticCase(key, category, scenario, (*told, asked), functions, (name,), config, accepted)
    return cases
