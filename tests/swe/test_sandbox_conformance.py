"""Every backend shows every behaviour, or names it as not applicable; and each behaviour can turn red."""

import collections
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from palaestra.envs.swe.sandboxes.base import Backend, Limits, Sandbox
from palaestra.envs.swe.sandboxes.bubblewrap import Bubblewrap
from palaestra.envs.swe.sandboxes.conformance import ABILITIES, BEHAVIOURS, conform
from palaestra.envs.swe.sandboxes.fake import Fake, FakeSandbox
from palaestra.envs.swe.sandboxes.local import UnsafeLocal
from palaestra.errors import ConfigError, EpisodeFailure, ToolError

BY_NAME = {behaviour.name: behaviour for behaviour in BEHAVIOURS}
CASES = [
    (backend, behaviour)
    for backend in ("fake", "unsafe-local", "bubblewrap", "bubblewrap-rlimits")
    for behaviour in BEHAVIOURS
    if backend != "bubblewrap-rlimits" or "limits" in behaviour.needs  # the rest is the same there
]


def test_there_are_many_behaviours():
    assert len(BY_NAME) == len(BEHAVIOURS) >= 80
    assert all(behaviour.needs <= set(ABILITIES) for behaviour in BEHAVIOURS)
    assert Bubblewrap.abilities == set(ABILITIES)


@pytest.mark.parametrize(("name", "behaviour"), CASES, ids=[f"{name}-{case.name}" for name, case in CASES])
def test_behaviour(name, behaviour, backend_of):
    backend = backend_of(name)
    if missing := behaviour.missing(backend):
        pytest.skip(f"{name}: not applicable, needs {', '.join(sorted(missing))}")
    behaviour.check(backend)


def test_the_backends_speak_the_protocol(backend_of):
    for name in ("fake", "unsafe-local", "bubblewrap"):
        backend: Backend = backend_of(name)
        with backend.start() as sandbox:
            assert isinstance(sandbox, Sandbox)
            assert sandbox.limits == Limits()


def test_findings_name_what_is_not_applicable():
    findings = collections.Counter(finding.verdict for finding in conform(Fake()))
    assert set(findings) == {"passed", "not applicable"}
    assert findings["passed"] == sum(not behaviour.needs for behaviour in BEHAVIOURS) >= 40


def test_local_is_off_by_default():
    with pytest.raises(ConfigError, match="trusted=True"):
        UnsafeLocal()
    assert "unsafe" in UnsafeLocal.name


def test_an_ordinary_user_has_them_too(backend_of):
    backend_of("bubblewrap")
    if os.getuid() != 0:
        pytest.skip("NOT ROOT: the other tests are those of an ordinary user already")
    uid = 10_000 + os.getpid() % 50_000  # of this run alone: its folder and its processes are counted by user
    candidates = [path for path in (sys.executable, shutil.which("python3", path="/usr/bin")) if path]
    python = next((path for path in candidates if _runs_as(uid, path)), None)
    if python is None:
        pytest.skip(f"NO PYTHON THAT AN ORDINARY USER CAN RUN among {candidates}")
    script = Path(__file__).with_name("sandboxes_as_user.py")
    done = subprocess.run([sys.executable, str(script), str(uid), python], capture_output=True, check=True, timeout=280)
    findings = json.loads(done.stdout)
    assert [finding for finding in findings if finding["verdict"] != "passed"] == []
    assert len(findings) == len(BEHAVIOURS)


def _runs_as(uid, python):
    try:
        return subprocess.run([python, "-c", ""], user=uid, group=uid, extra_groups=[], check=False).returncode == 0
    except OSError:
        return False


# ---- planted bugs


def _without(*words):
    """Leaves out arguments of bwrap, each with its value where one is given as 'name value'."""

    def mutate(monkeypatch):
        whole = Bubblewrap._arguments

        def fewer(self, limits, store):
            text = "\n".join(whole(self, limits, store)) + "\n"
            for word in words:
                assert word.replace(" ", "\n") + "\n" in text, word
                text = text.replace(word.replace(" ", "\n") + "\n", "")
            return text.split("\n")[:-1]

        monkeypatch.setattr(Bubblewrap, "_arguments", fewer)

    return mutate


def _with_limits(**changes):
    def mutate(monkeypatch):
        start = Bubblewrap.start

        def lifted(self, snapshot=None, limits=None):
            return start(self, snapshot, dataclasses.replace(limits or Limits(), **changes))

        monkeypatch.setattr(Bubblewrap, "start", lifted)

    return mutate


@pytest.mark.parametrize(
    ("mutate", "behaviour"),
    [
        (_without("--unshare-net"), "there_is_no_network"),
        (_without("--disable-userns"), "there_are_no_rights"),
        (_without("--unshare-pid"), "other_processes_are_not_there"),
        (_without("--clearenv"), "our_variables_stay_ours"),
        (_with_limits(processes=None), "fork_bombs_are_bounded"),
        (_with_limits(memory=None), "memory_is_bounded"),
        (_with_limits(disk=256 << 20), "the_disk_is_bounded"),
        (_with_limits(disk=256 << 20), "numbers_of_files_are_bounded"),
        (_with_limits(file_size=None), "programs_cannot_write_larger_files"),
        (_with_limits(cpu_seconds=None, timeout=3), "processor_time_is_bounded"),
    ],
    ids=lambda value: value if isinstance(value, str) else "bug",
)
def test_a_planted_bug_turns_a_behaviour_red(mutate, behaviour, monkeypatch, bubblewrap):
    if behaviour == "our_variables_stay_ours":
        from palaestra.envs.swe.sandboxes import bubblewrap as module

        popen = subprocess.Popen  # the keeper has an empty environment: a second wall, taken down here
        monkeypatch.setattr(
            module.subprocess,
            "Popen",
            lambda *args, **options: popen(*args, **{**options, "env": {"A": "palaestra-conformance-secret"}}),
        )
    mutate(monkeypatch)
    with pytest.raises((AssertionError, EpisodeFailure)):
        BY_NAME[behaviour].check(bubblewrap)


@pytest.mark.parametrize(
    ("method", "bug", "behaviour"),
    [
        ("read_file", lambda self, path: self._files.get(path, b""), "missing_files_are_refused"),
        ("write_file", lambda self, path, data: None, "text_comes_back"),
        ("fork", lambda self: self, "a_fork_goes_its_own_way"),
        ("close", lambda self: None, "closed_sandboxes_refuse"),
    ],
)
def test_a_planted_bug_in_the_fake_turns_a_behaviour_red(method, bug, behaviour, monkeypatch):
    monkeypatch.setattr(FakeSandbox, method, bug)
    with pytest.raises((AssertionError, ToolError)):
        BY_NAME[behaviour].check(Fake())
