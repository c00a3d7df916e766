"""What a check of an environment leaves behind: one result a check, and the certificate that holds them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, get_args

from palaestra.errors import RecordError

__all__ = ["Certificate", "CheckResult", "CheckStatus", "versions"]

CheckStatus = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found.

    Attributes:
        name: Name of the check.
        status: `passed`, `failed`, or `skipped` (it does not apply here; the detail says why).
        detail: For a person. Of a failed check: what was expected, what was seen, and the likely cause.
        seconds: Wall time.
    """

    name: str
    status: CheckStatus
    detail: str
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object with the four fields."""
        return {
            "name": self.name,
            "status": self.status,
            "detail": self.detail.encode("utf-8", "backslashreplace").decode(),
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True, slots=True)
class Certificate:
    """The results of all checks of one environment.

    Attributes:
        env_id: Id of the environment.
        versions: Versions of what it was checked with, by package; also `python` and `platform`.
        results: One result a check, in the order they ran.
        settings: `env_kwargs`, `seed` and `fuzz` of the check.
    """

    env_id: str
    versions: Mapping[str, str]
    results: tuple[CheckResult, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no check failed. Skipped checks count for nothing."""
        return not self.failed

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return tuple(result for result in self.results if result.status == "failed")

    def to_json(self) -> dict[str, Any]:
        """A JSON object; values of settings that JSON has no word for are written as their `repr`."""
        return {
            "env_id": self.env_id,
            "passed": self.passed,
            "versions": dict(self.versions),
            "settings": {key: _plain(value) for key, value in self.settings.items()},
            "results": [result.to_json() for result in self.results],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Certificate:
        """The inverse of `to_json`.

        Raises:
            RecordError: The data are no certificate.
        """
        try:
            results = tuple(CheckResult(**result) for result in data["results"])
            found = cls(str(data["env_id"]), dict(data["versions"]), results, dict(data["settings"]))
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"This is no certificate of palaestra check: {type(error).__name__}: {error}.") from error
        strange = {result.status for result in results} - set(get_args(CheckStatus))
        if strange:
            raise RecordError(f"A certificate's results are passed, failed or skipped; this one has {sorted(strange)}.")
        return found

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Writes the certificate as indented JSON; missing folders are made.

        Returns:
            The path.
        """
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(self.to_json(), indent=2, sort_keys=True) + "\n", encoding="utf-8")
        return target


def _plain(value: Any) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        return repr(value)


def versions() -> dict[str, str]:
    """Versions of Python, the platform, palaestra, and what its interfaces are made of."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("palaestra", "gymnasium", "pettingzoo", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
