"""The certificate of an environment: `palaestra check ID`."""

from __future__ import annotations

from palaestra.harness.check.certificate import Certificate, CheckResult
from palaestra.harness.check.runner import CHECKS, Check, check

__all__ = ["CHECKS", "Certificate", "Check", "CheckResult", "check"]
