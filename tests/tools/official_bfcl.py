"""BFCL's own verdicts, run as a script in a process of its own: `python official_bfcl.py JOB.json VERDICTS.json`.

The job is `{category: [[case id, text], ...]}`. The verdicts are, for each text, true, false, or the name of the
exception with which the checker itself stopped; beside them stand the prompts of each category's cases. The heavy
modules around decoders and checkers are replaced by stubs.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any


class _AnyModel(dict):
    """Answers any model's name; functions' names keep their dots."""

    def __missing__(self, name: str) -> Any:
        return types.SimpleNamespace(underscore_to_dot=False)


def _stub(name: str, **attributes: Any) -> None:
    module = types.ModuleType(name)
    vars(module).update(attributes)
    sys.modules[name] = module


def load() -> tuple[Any, Any, Any]:
    """The official runner, the decoders, and the data access."""
    os.environ["BFCL_PROJECT_ROOT"] = tempfile.mkdtemp()  # it makes folders when it is imported
    anything = lambda *args, **kwargs: None  # noqa: E731
    _stub("bfcl_eval.constants.model_config", MODEL_CONFIG_MAPPING=_AnyModel())
    _stub("bfcl_eval.eval_checker.eval_runner_helper")
    _stub("bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker", multi_turn_checker=anything)
    sys.modules["bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker"].multi_turn_irrelevance_checker = anything
    _stub("bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils", is_empty_execute_response=anything)
    _stub("bfcl_eval.model_handler.base_handler", BaseHandler=object)
    _stub("dotenv", load_dotenv=anything)
    _stub("tqdm", tqdm=anything)
    _stub(
        "tenacity",
        retry=anything,
        retry_if_exception_message=anything,
        retry_if_exception_type=anything,
        wait_random_exponential=anything,
    )
    import bfcl_eval.eval_checker.eval_runner as runner
    import bfcl_eval.model_handler.utils as decoders
    import bfcl_eval.utils as access

    return runner, decoders, access


class Official:
    """Judges texts as the leaderboard's runner does with a model that is prompted."""

    def __init__(self) -> None:
        self.runner, self.decoders, self.access = load()
        self.decode_ast = self.decoders.default_decode_ast_prompting
        self._entries: dict[str, dict[str, Any]] = {}

    def entries(self, category: str) -> dict[str, Any]:
        """Case and accepted answers by id."""
        if category not in self._entries:
            cases = self.access.load_dataset_entry(category, include_language_specific_hint=False)
            answers = [{}] * len(cases)
            if "relevance" not in category:
                answers = self.access.load_ground_truth_entry(category)
            self._entries[category] = {
                case["id"]: (case, answer.get("ground_truth")) for case, answer in zip(cases, answers, strict=True)
            }
        return self._entries[category]

    def setting(self, category: str, case_id: str) -> tuple[Any, Any, bool]:
        """Language, return format, and whether calls are tagged."""
        runner = self.runner
        if category == "format_sensitivity":
            given, tagged, *_ = self.decoders.parse_prompt_variation_params(case_id.split(":")[1])
            return runner.Language.PYTHON, runner.ReturnFormat(given), tagged
        name = "JAVASCRIPT" if "javascript" in category else "JAVA" if "java" in category else "PYTHON"
        return runner.Language[name], runner.ReturnFormat[name], False

    def verdict(self, category: str, case_id: str, text: str) -> Any:
        """True, False, or the name of the exception that escaped."""
        case, answers = self.entries(category)[case_id]
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                if "relevance" in category:
                    judge = self.runner._evaluate_single_relevance_entry
                    return judge(self, case_id, text, case, "any", category)["valid"]
                language, returned, tagged = self.setting(category, case_id)
                judge = self.runner._evaluate_single_ast_entry
                result = judge(self, case_id, text, answers, case, "any", category, language, returned, tagged)
                return result["valid"]
        except Exception as error:
            return type(error).__name__

    def execution_strings(self, text: str) -> list[str] | None:
        """The calls in a step of a conversation as it would run them; None where it cannot be decoded."""
        try:
            return self.decoders.default_decode_execute_prompting(text)
        except Exception:
            return None

    def prompts(self, category: str) -> dict[str, list[Any]]:
        """What a model is told first, by case id."""
        tell = self.decoders.system_prompt_pre_processing_chat_model
        cases = self.access.load_dataset_entry(category)
        cases = cases[:: 7 if category == "format_sensitivity" else 1]  # of 5,200
        return {case["id"]: tell(case["question"][0], case["function"], case["id"]) for case in cases}


def main(job: Path, verdicts: Path) -> None:
    official = Official()
    asked = json.loads(job.read_text(encoding="utf-8"))
    given, seconds = {}, time.perf_counter()
    for category, texts in asked.items():
        given[category] = [official.verdict(category, case_id, text) for case_id, text in texts]
    seconds = time.perf_counter() - seconds
    runs = {}
    for category in ("parallel_multiple", "simple_python"):
        runs[category] = [official.execution_strings(text) for _, text in asked.get(category, ())]
    prompts = {category: official.prompts(category) for category in asked}
    found = {"verdicts": given, "seconds": seconds, "prompts": prompts, "execution": runs}
    verdicts.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
