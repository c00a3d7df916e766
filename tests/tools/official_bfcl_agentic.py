"""BFCL's own agentic half, run as a script in a process of its own: `python official_bfcl_agentic.py JOB OUT`.

The job has `verdicts`, `{category: [[case id, steps], ...]}`, and `courses`, `{category: [[case id, conversations],
...]}`, where a conversation is a list of calls as text. Given are verdicts (`true`, or the kind of error), what the
courses' calls give, the system message of every conversation and the memory at the end, and all prompts of questions.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from official_bfcl import _stub, load

_UTILS = "bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils"


class OfficialAgentic:
    """The official verdicts, memories and prompts."""

    def __init__(self) -> None:
        self.runner, self.decoders, self.access = load()
        del sys.modules[_UTILS]  # here the real one is needed
        self.utils = importlib.import_module(_UTILS)
        self.runner.is_empty_execute_response = self.utils.is_empty_execute_response
        _stub("overrides", final=lambda method: method)
        self._entries: dict[str, dict[str, Any]] = {}
        self._answers: dict[str, dict[str, list[str]]] = {}

    def decode_execute(self, text: str, has_tool_call_tag: bool) -> list[str]:
        """What handlers of models that are prompted do."""
        return self.decoders.default_decode_execute_prompting(text, has_tool_call_tag)

    def entries(self, category: str) -> dict[str, Any]:
        """Cases and the conversations before them, by id."""
        if category not in self._entries:
            found = self.access.load_dataset_entry(category)
            self._entries[category] = {entry["id"]: entry for entry in found}
        return self._entries[category]

    def verdict(self, category: str, case_id: str, steps: list[str]) -> Any:
        """True, or the kind of error."""
        if category not in self._answers:
            rows = self.access.load_ground_truth_entry(category)
            self._answers[category] = {row["id"]: row["ground_truth"] for row in rows}
        wanted = self._answers[category][case_id.replace(category, "memory" if "memory" in category else "web_search")]
        judge = self.runner._evaluate_single_agentic_entry
        result = judge(self, case_id, [steps], wanted, {"question": []}, "any", category)
        return True if result["valid"] else result["error"]["error_type"]

    def course(self, category: str, number: int, case_id: str, talks: list[list[str]], folder: Path) -> dict[str, Any]:
        """A question with the conversations before it: shown memories, results, and the memory at the end."""
        every = self.entries(category)
        entries = [every[key] for key in every[case_id]["depends_on"]] + [every[case_id]]
        entries = copy.deepcopy(entries)
        self.access.populate_initial_settings_for_memory_test_cases(entries, folder / str(number))
        shown, results = [], []
        for entry, calls in zip(entries, talks, strict=True):
            kind = entry["id"].rsplit("_", 1)[0]

            def run(
                calls: list[str], entry: dict[str, Any] = entry, model: str = f"{category}_{number}"
            ) -> tuple[list[str], dict[str, Any]]:
                return self.utils.execute_multi_turn_func_call(
                    calls, entry["initial_config"], entry["involved_classes"], model, entry["id"]
                )

            memory = next(iter(run([])[1].values()))
            asked = self.decoders.add_memory_instruction_system_prompt(
                entry["question"], kind, entry["scenario"], memory
            )
            shown.append(asked[0][0]["content"])
            results.append(run(calls)[0])
            if "prereq" in entry["id"]:
                memory._flush_memory_to_local_file()
        names = ("core_memory", "archival_memory", "memory")
        return {"shown": shown, "results": results, "memory": {k: v for k, v in vars(memory).items() if k in names}}

    def prompts(self, category: str) -> dict[str, Any]:
        """What a model that is prompted is told first, by case; the memory is not in it."""
        tell = self.decoders.system_prompt_pre_processing_chat_model
        cases = copy.deepcopy([case for key, case in self.entries(category).items() if "prereq" not in key])
        return {case["id"]: tell(case["question"][0], case["function"], case["id"]) for case in cases}


def main(job: Path, out: Path) -> None:
    official = OfficialAgentic()
    asked = json.loads(job.read_text(encoding="utf-8"))
    found: dict[str, Any] = {"verdicts": {}, "courses": {}, "prompts": {}}
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        for category, pairs in asked["verdicts"].items():
            found["verdicts"][category] = [official.verdict(category, key, steps) for key, steps in pairs]
            found["prompts"][category] = official.prompts(category)
        for category, courses in asked["courses"].items():
            found["courses"][category] = [
                official.course(category, number, key, talks, Path(folder))
                for number, (key, talks) in enumerate(courses)
            ]
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
