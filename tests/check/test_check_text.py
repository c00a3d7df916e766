from __future__ import annotations

from palaestra.harness.check import check


def test_the_good_text_environment_is_green() -> None:
    certificate = check("checked_text:checked/Lookup-v0", fuzz=500)
    assert {result.name: result.detail for result in certificate.failed} == {}
