"""What every sandbox does, written once: `conform(backend)` tries it all.

A behaviour that needs an ability which a backend does not claim is named as not applicable. Everything here is small:
no more than 64 processes, 256 MiB of memory and 64 MiB of disk.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from palaestra.envs.swe.sandboxes.base import MIB, WORK, Backend, ExecResult, Limits, Sandbox
from palaestra.errors import ConfigError, ToolError

__all__ = ["ABILITIES", "BEHAVIOURS", "Behaviour", "Finding", "conform"]

ABILITIES = {
    "shell": "real programs run, `/bin/sh` among them",
    "limits": "memory, processes and disk are bounded",
    "isolation": "nothing outside the sandbox can be reached",
}

_SMALL = Limits(timeout=20, memory=128 * MIB, processes=48, disk=64 * MIB, file_size=60 * MIB, cpu_seconds=20)
_SECRET = "palaestra-conformance-secret"


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """Something that every sandbox does."""

    name: str
    needs: frozenset[str]
    """Abilities without which it is not applicable."""
    check: Callable[[Backend], None]
    """Raises AssertionError where a backend does otherwise."""

    def missing(self, backend: Backend) -> frozenset[str]:
        """The abilities it needs that a backend lacks."""
        return self.needs - backend.abilities


@dataclasses.dataclass(frozen=True)
class Finding:
    """What became of one behaviour."""

    name: str
    verdict: str
    """`passed`, `failed` or `not applicable`."""
    reason: str = ""


def conform(backend: Backend) -> list[Finding]:
    """Tries every behaviour.

    Args:
        backend: What is to be tried.

    Returns:
        A finding for each of `BEHAVIOURS`, in their order.
    """
    findings = []
    for behaviour in BEHAVIOURS:
        if missing := behaviour.missing(backend):
            findings.append(Finding(behaviour.name, "not applicable", f"needs {', '.join(sorted(missing))}"))
            continue
        try:
            behaviour.check(backend)
        except Exception as error:  # whatever it is, it is not what was asked for
            findings.append(Finding(behaviour.name, "failed", f"{type(error).__name__}: {error}"))
        else:
            findings.append(Finding(behaviour.name, "passed"))
    return findings


# ---- the means


def _needs(*abilities: str) -> Callable[[Callable[[Backend], None]], Behaviour]:
    return lambda check: Behaviour(check.__name__.strip("_"), frozenset(abilities), check)


def _that(holds: object, what: object = "") -> None:
    if not holds:
        raise AssertionError(what)


def _same(found: object, wanted: object) -> None:
    if found != wanted:
        raise AssertionError(f"got {found!r:.500}, wanted {wanted!r:.500}")


def _refused(call: Callable[..., object], *arguments: Any, error: type[Exception] = ToolError, **options: Any) -> str:
    try:
        found = call(*arguments, **options)
    except error as refusal:
        _that(str(refusal), "a refusal without a word")
        return str(refusal)
    raise AssertionError(f"{arguments!r:.200} was not refused but gave {found!r:.200}")


def _sh(sandbox: Sandbox, script: str, timeout: float | None = None, stdin: bytes = b"") -> ExecResult:
    return sandbox.exec(["/bin/sh", "-c", script], timeout=timeout, stdin=stdin)


def _good(result: ExecResult) -> ExecResult:
    _that(result.ok, f"{result.ended} {result.exit_code}: {result.stderr[-500:]!r} {result.stdout[-200:]!r}")
    return result


def _limits(**changes: Any) -> Limits:
    return dataclasses.replace(_SMALL, **changes)


@contextlib.contextmanager
def _tree() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "package" / "deep").mkdir(parents=True)
        (root / "package" / "code.py").write_text("x = 1\n")
        (root / "package" / "deep" / "more.txt").write_text("more\n")
        (root / "read me.txt").write_text("hello\n")
        yield root


# ---- files


@_needs()
def _text_comes_back(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        text = "Grüße, 世界 🏛\r\n\ttabs\n".encode()
        sandbox.write_file("a.txt", text)
        _same(sandbox.read_file("a.txt"), text)


@_needs()
def _bytes_come_back(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        data = bytes(range(256)) * 5
        sandbox.write_file("a.bin", data)
        _same(sandbox.read_file("a.bin"), data)


@_needs()
def _empty_files_come_back(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        sandbox.write_file("empty", b"")
        _same(sandbox.read_file("empty"), b"")


@_needs()
def _files_of_50_megabytes_come_back(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        data = bytes(range(250)) * 200_000
        sandbox.write_file("large", data)
        _that(sandbox.read_file("large") == data, "50 MB came back otherwise")


@_needs()
def _odd_names_are_names(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        names = ["with space", "quo'te\"s", "-rf", "ünïcode-名前", "new\nline", "$HOME", "*", "a\\b", "..dots", "~"]
        for name in names:
            sandbox.write_file(name, name.encode())
        _same([sandbox.read_file(name).decode() for name in names], names)


@_needs()
def _overwriting_leaves_nothing_of_the_old(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        sandbox.write_file("a", b"long content")
        sandbox.write_file("a", b"short")
        _same(sandbox.read_file("a"), b"short")


@_needs()
def _folders_above_are_made(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        sandbox.write_file("a/b/c/d", b"1")
        sandbox.write_file("a/b/e", b"2")
        _same(sandbox.read_file("a/./b//c/d") + sandbox.read_file(f"{WORK}/a/b/e"), b"12")


@_needs()
def _missing_files_are_refused(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        _refused(sandbox.read_file, "nothing")
        _refused(sandbox.read_file, "nothing/below")


@_needs()
def _folders_are_no_files(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        sandbox.write_file("folder/file", b"")
        for path in ("folder", ".", WORK, ""):
            _refused(sandbox.read_file, path)
            _refused(sandbox.write_file, path, b"x")


@_needs()
def _files_are_no_folders(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        sandbox.write_file("file", b"x")
        _refused(sandbox.read_file, "file/below")
        _refused(sandbox.write_file, "file/below", b"x")
        _same(sandbox.read_file("file"), b"x")


@_needs()
def _paths_cannot_climb_out(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        for path in ("..", "../x", "a/../../x", f"{WORK}/../etc/passwd", "a/.."):
            _refused(sandbox.read_file, path)
            _refused(sandbox.write_file, path, b"x")


@_needs()
def _absolute_paths_outside_are_refused(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        for path in ("/etc/passwd", "/", "/workshop/x", "/tmp/x", "/proc/self/environ", "//etc/passwd"):
            _refused(sandbox.read_file, path)
            _refused(sandbox.write_file, path, b"x")


@_needs()
def _impossible_paths_are_refused(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        for path in ("a\0b", "\ud800", "x/" * 3000, "n" * 5000):
            _refused(sandbox.read_file, path)
            _refused(sandbox.write_file, path, b"x")


@_needs()
def _reading_is_bounded(backend: Backend) -> None:
    with backend.start(limits=_limits(read=1000)) as sandbox:
        sandbox.write_file("fits", b"x" * 1000)
        sandbox.write_file("large", b"x" * 1001)
        _same(len(sandbox.read_file("fits")), 1000)
        _refused(sandbox.read_file, "large")


@_needs()
def _written_files_are_bounded(backend: Backend) -> None:
    with backend.start(limits=_limits(file_size=1000)) as sandbox:
        sandbox.write_file("fits", b"x" * 1000)
        _refused(sandbox.write_file, "large", b"x" * 1001)


@_needs()
def _concurrent_writes_do_not_mix(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: sandbox.write_file(f"d/{n}", str(n).encode() * 1000), range(40)))
        found = list(pool.map(lambda n: sandbox.read_file(f"d/{n}"), range(40)))
        _same(found, [str(n).encode() * 1000 for n in range(40)])


# ---- trees, snapshots, forks


@_needs()
def _a_prepared_tree_is_there(backend: Backend) -> None:
    with _tree() as root:
        snapshot = backend.prepare(root)
    with backend.start(snapshot, _SMALL) as sandbox:
        _same(sandbox.read_file("package/code.py"), b"x = 1\n")
        _same(sandbox.read_file("read me.txt"), b"hello\n")
        sandbox.write_file("package/code.py", b"x = 2\n")
        _same(sandbox.read_file("package/code.py"), b"x = 2\n")
    snapshot.close()


@_needs()
def _a_prepared_tree_is_never_changed(backend: Backend) -> None:
    with _tree() as root:
        snapshot = backend.prepare(root)
        with backend.start(snapshot, _SMALL) as sandbox:
            sandbox.write_file("package/code.py", b"x = 2\n")
            sandbox.write_file("package/new", b"")
        _same((root / "package" / "code.py").read_text(), "x = 1\n")
        _that(not (root / "package" / "new").exists(), "a file appeared in the tree itself")
    with backend.start(snapshot, _SMALL) as sandbox:
        _same(sandbox.read_file("package/code.py"), b"x = 1\n")
        _refused(sandbox.read_file, "package/new")
    snapshot.close()


@_needs()
def _what_is_no_folder_cannot_be_prepared(backend: Backend) -> None:
    _refused(backend.prepare, "/nonexistent/palaestra", error=ConfigError)


@_needs()
def _sandboxes_share_nothing(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as one, backend.start(limits=_SMALL) as other:
        one.write_file("a", b"one")
        _refused(other.read_file, "a")


@_needs()
def _a_snapshot_stays_as_it_is(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        sandbox.write_file("a", b"before")
        snapshot = sandbox.snapshot()
        sandbox.write_file("a", b"after")
        sandbox.write_file("b", b"new")
        with backend.start(snapshot, _SMALL) as restored:
            _same(restored.read_file("a"), b"before")
            _refused(restored.read_file, "b")
        _same(sandbox.read_file("a"), b"after")
        snapshot.close()


@_needs()
def _a_snapshot_starts_many(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        sandbox.write_file("a", b"0")
        snapshot = sandbox.snapshot()
    for number in range(3):
        with backend.start(snapshot, _SMALL) as restored:
            _same(restored.read_file("a"), b"0")
            restored.write_file("a", str(number + 1).encode())
    snapshot.close()


@_needs()
def _closed_snapshots_are_refused(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        snapshot = sandbox.snapshot()
    snapshot.close()
    snapshot.close()
    _refused(backend.start, snapshot, error=ConfigError)


@_needs()
def _foreign_snapshots_are_refused(backend: Backend) -> None:
    class Other:
        def close(self) -> None:
            pass

    _refused(backend.start, Other(), error=ConfigError)


@_needs()
def _a_fork_goes_its_own_way(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        sandbox.write_file("a", b"common")
        with sandbox.fork() as fork:
            _same(fork.read_file("a"), b"common")
            fork.write_file("a", b"fork")
            sandbox.write_file("b", b"parent")
            _same(sandbox.read_file("a"), b"common")
            _refused(fork.read_file, "b")


@_needs()
def _forks_can_be_forked(backend: Backend) -> None:
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(backend.start(limits=_SMALL))
        for number in range(5):
            sandbox.write_file(str(number), b"x")
            sandbox = stack.enter_context(sandbox.fork())
        for number in range(5):
            _same(sandbox.read_file(str(number)), b"x")


@_needs()
def _a_fork_outlives_its_parent(backend: Backend) -> None:
    sandbox = backend.start(limits=_SMALL)
    sandbox.write_file("a", b"x")
    with sandbox.fork() as fork:
        sandbox.close()
        _same(fork.read_file("a"), b"x")
        _that(fork.exec(["true"]).ok)
        _same(fork.limits, _SMALL)


@_needs()
def _closing_twice_is_closing(backend: Backend) -> None:
    sandbox = backend.start(limits=_SMALL)
    sandbox.close()
    sandbox.close()


@_needs()
def _closed_sandboxes_refuse(backend: Backend) -> None:
    sandbox = backend.start(limits=_SMALL)
    sandbox.write_file("a", b"")
    sandbox.close()
    _refused(sandbox.exec, ["true"])
    _refused(sandbox.read_file, "a")
    _refused(sandbox.write_file, "a", b"")
    _refused(sandbox.snapshot)


# ---- commands


@_needs()
def _exit_codes_are_told(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        _same([sandbox.exec([name]).exit_code for name in ("true", "false")], [0, 1])
        _that(sandbox.exec(["true"]).ok and not sandbox.exec(["false"]).ok)


@_needs()
def _arguments_arrive_unchanged(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        words = ["a  b", "$HOME", "*", "'", '"', "\\", "ü 🏛", "", ";true", "--"]
        _same(_good(sandbox.exec(["echo", *words])).text, " ".join(words) + "\n")


@_needs()
def _standard_input_arrives(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        data = bytes(range(256)) * 3000
        _that(sandbox.exec(["cat"], stdin=data).stdout == data, "standard input came back otherwise")


@_needs()
def _unread_input_does_no_harm(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        _good(sandbox.exec(["true"], stdin=b"x" * 3_000_000))


@_needs()
def _a_missing_program_is_the_commands_result(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        result = sandbox.exec(["no-such-program"])
        _same((result.ended, result.exit_code), ("exit", 127))
        _that(b"no-such-program" in result.stderr)


@_needs()
def _what_is_no_command_is_refused(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        for command in ([], "true", [""], ["a\0b"], ["true", 1], ["x" * 140_000], ["x" * 100_000] * 12):
            _refused(sandbox.exec, command)


@_needs()
def _missing_users_are_refused(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        _that("agent" in _refused(sandbox.exec, ["true"], user="nosuchuser"))
        _refused(sandbox.exec, ["true"], user="root")
        _good(sandbox.exec(["true"], user="agent"))


@_needs()
def _bad_time_outs_are_refused(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        for timeout in (0, -1, float("nan"), float("inf")):
            _refused(sandbox.exec, ["true"], timeout=timeout)


@_needs()
def _bad_limits_are_refused(backend: Backend) -> None:
    for name, value in (("timeout", 0), ("memory", -1), ("processes", 1), ("output", float("nan")), ("disk", True)):
        _refused(_limits, **{name: value}, error=ConfigError)


@_needs()
def _folders_outside_are_refused(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        for cwd in ("..", "/", "/etc", "a/../.."):
            _refused(sandbox.exec, ["true"], cwd=cwd)


@_needs()
def _variables_arrive(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        lines = _good(sandbox.exec(["env"], env={"GREETING": "grüß dich = ja"})).text.splitlines()
        _that("GREETING=grüß dich = ja" in lines, lines)
        for name in ("", "A=B", "A\0"):
            _refused(sandbox.exec, ["true"], env={name: "x"})


@_needs()
def _a_time_out_is_a_result(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        began = time.monotonic()
        result = sandbox.exec(["sleep", "30"], timeout=0.2)
        _same((result.ended, result.exit_code), ("timeout", None))
        _that(time.monotonic() - began < 15)
        _good(sandbox.exec(["true"]))


@_needs()
def _the_limits_time_out_holds(backend: Backend) -> None:
    with backend.start(limits=_limits(timeout=0.2)) as sandbox:
        _same(sandbox.exec(["sleep", "30"]).ended, "timeout")


@_needs()
def _a_flood_is_a_result(backend: Backend) -> None:
    with backend.start(limits=_limits(output=10_000)) as sandbox:
        result = sandbox.exec(["cat"], stdin=b"x" * 1_000_000)
        _same((result.ended, len(result.stdout)), ("flood", 10_000))
        _same(len(_good(sandbox.exec(["cat"], stdin=b"x" * 10_000)).stdout), 10_000)


@_needs()
def _commands_run_at_once(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox, ThreadPoolExecutor(4) as pool:
        began = time.monotonic()
        list(pool.map(lambda _: _good(sandbox.exec(["sleep", "1"])), range(4)))
        _that(time.monotonic() - began < 3.9, "they ran one after the other")
        found = list(pool.map(lambda n: sandbox.exec(["echo", str(n)]).text, range(8)))
        _same(found, [f"{n}\n" for n in range(8)])


@_needs()
def _closing_ends_what_runs(backend: Backend) -> None:
    sandbox = backend.start(limits=_SMALL)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(sandbox.exec, ["sleep", "30"]) for _ in range(2)]
        time.sleep(0.5)
        began = time.monotonic()
        sandbox.close()
        _same([command.result(15).ended for command in running], ["closed", "closed"])
        _that(time.monotonic() - began < 10)


@_needs()
def _a_snapshot_waits_for_commands(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox, ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        running = pool.submit(sandbox.exec, ["sleep", "0.8"])
        time.sleep(0.3)
        snapshot = sandbox.snapshot()
        _that(time.monotonic() - began >= 0.75, "it did not wait")
        _good(running.result())
        snapshot.close()


# ---- real programs


@_needs("shell")
def _signals_are_told(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        _same([_sh(sandbox, text).exit_code for text in ("exit 7", "kill -TERM $$", "kill -KILL $$")], [7, 143, 137])


@_needs("shell")
def _the_two_outputs_are_apart(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        result = _sh(sandbox, "printf 'a\\000\\377'; printf e >&2")
        _same((result.stdout, result.stderr), (b"a\0\xff", b"e"))


@_needs("shell")
def _commands_and_calls_see_the_same_files(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        sandbox.write_file("d/a", b"one\n")
        _same(_good(_sh(sandbox, "cat d/a; echo two > d/b; rm d/a")).text, "one\n")
        _same(sandbox.read_file("d/b"), b"two\n")
        _refused(sandbox.read_file, "d/a")


@_needs("shell")
def _commands_run_in_their_folder(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        sandbox.write_file("d e/a", b"here")
        _same(_good(sandbox.exec(["cat", "a"], cwd="d e")).text, "here")
        _same(sandbox.exec(["true"], cwd="missing").exit_code, 126)
        _same(sandbox.exec(["true"], cwd="d e/a").exit_code, 126)


@_needs("shell")
def _scripts_need_the_right_to_run(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        sandbox.write_file("run.sh", b"#!/bin/sh\necho ran\n")
        _same(sandbox.exec(["./run.sh"]).exit_code, 126)
        _good(_sh(sandbox, "chmod +x run.sh"))
        _same(_good(sandbox.exec(["./run.sh"])).text, "ran\n")


@_needs("shell")
def _our_variables_stay_ours(backend: Backend) -> None:
    os.environ["PALAESTRA_CONFORMANCE"] = _SECRET
    try:
        with backend.start(limits=_SMALL) as sandbox:
            _that(_SECRET not in _good(sandbox.exec(["env"])).text, "a variable of ours is seen")
    finally:
        del os.environ["PALAESTRA_CONFORMANCE"]


@_needs("shell")
def _a_time_out_kills_grandchildren(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        script = "(sh -c 'sleep 1.2; echo late > late') & (sleep 1.2; echo late > late2) & sleep 30"
        _same(_sh(sandbox, script, timeout=0.4).ended, "timeout")
        time.sleep(1.2)
        _same(_good(_sh(sandbox, "ls")).text, "")


@_needs("shell")
def _what_a_command_leaves_running_ends_with_it(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        began = time.monotonic()
        _same(_good(_sh(sandbox, "(sleep 0.8; echo late > late) & echo done")).text, "done\n")
        _that(time.monotonic() - began < 10)
        time.sleep(1.0)
        _same(_good(_sh(sandbox, "ls")).text, "")


@_needs("shell")
def _output_before_a_time_out_is_kept(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        result = _sh(sandbox, "echo early; sleep 30", timeout=1.0)
        _same((result.ended, result.stdout), ("timeout", b"early\n"))


@_needs("shell")
def _endless_output_ends(backend: Backend) -> None:
    with backend.start(limits=_limits(output=100_000)) as sandbox:
        for script in ("yes", "yes >&2", "yes & yes >&2"):
            result = _sh(sandbox, script)
            _same((result.ended, len(result.stdout) + len(result.stderr)), ("flood", 100_000))


@_needs("shell")
def _a_fork_has_deletions_links_and_modes(backend: Backend) -> None:
    with _tree() as root:
        snapshot = backend.prepare(root)
    with backend.start(snapshot, _SMALL) as sandbox:
        _good(
            _sh(
                sandbox,
                "rm 'read me.txt'; rm -r package/deep; mkdir package/deep; echo other > package/deep/other; "
                "ln -s code.py package/link; ln package/code.py hard; mkdir -m 700 empty; "
                "echo run > tool; chmod 751 tool; mv package moved",
            )
        )
        shown = "find . -printf '%p %y %m %l\\n' | grep -v '^\\. ' | LC_ALL=C sort; cat moved/link moved/deep/*"
        seen = _good(_sh(sandbox, shown)).text
        _that("./empty d 700" in seen and "other" in seen and "more.txt" not in seen and "read me" not in seen, seen)
        with sandbox.fork() as fork:
            _same(_good(_sh(fork, shown)).text, seen)
            with fork.fork() as again:
                _same(_good(_sh(again, shown)).text, seen)
    snapshot.close()


@_needs("shell")
def _what_is_no_ordinary_file_is_refused_at_once(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        _good(_sh(sandbox, "mkfifo pipe; ln -s loop loop; ln -s nowhere dangling"))
        began = time.monotonic()
        _refused(sandbox.read_file, "pipe")
        _refused(sandbox.write_file, "pipe", b"x")
        _refused(sandbox.read_file, "loop")
        _refused(sandbox.read_file, "dangling")
        _that(time.monotonic() - began < 10, "it hung")


@_needs("shell")
def _links_within_are_followed(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        sandbox.write_file("d/a", b"x")
        _good(_sh(sandbox, "ln -s d e; ln -s a d/b"))
        _same(sandbox.read_file("e/b"), b"x")


@_needs("shell")
def _links_cannot_lead_out(backend: Backend) -> None:
    with tempfile.TemporaryDirectory() as folder, backend.start(limits=_SMALL) as sandbox:
        secret = Path(folder) / "secret"
        secret.write_text(_SECRET)
        _good(
            _sh(
                sandbox,
                f"ln -s /etc/passwd p; ln -s {secret} s; ln -s {folder} f; ln -s ../../../../../etc e; ln -s /proc q",
            )
        )
        for path in ("p", "s", "f/secret", "e/passwd", "q/self/environ", "q/1/root/etc/passwd"):
            _refused(sandbox.read_file, path)
        for path in ("s", "f/new", "e/new"):
            _refused(sandbox.write_file, path, b"x")
        _same([path.name for path in Path(folder).iterdir()], ["secret"])
        _same(secret.read_text(), _SECRET)


@_needs("shell")
def _sparse_files_are_bounded(backend: Backend) -> None:
    with backend.start(limits=_limits(read=MIB)) as sandbox:
        _good(_sh(sandbox, "truncate -s 50M sparse"))
        _refused(sandbox.read_file, "sparse")


@_needs("shell")
def _programs_cannot_write_larger_files(backend: Backend) -> None:
    with backend.start(limits=_limits(file_size=MIB)) as sandbox:
        _that(not _sh(sandbox, "head -c 3000000 /dev/zero > large").ok)
        _that(len(sandbox.read_file("large")) <= MIB)


@_needs("shell")
def _processor_time_is_bounded(backend: Backend) -> None:
    with backend.start(limits=_limits(cpu_seconds=1)) as sandbox:
        result = _sh(sandbox, "while :; do :; done")
        _that(result.exit_code in (137, 152), result)


@_needs("shell")
def _deep_folders_close(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        _good(_sh(sandbox, "for i in $(seq 120); do mkdir ddddddddddddddddddddddddddd; cd d*; done; chmod 0 ."))
    with backend.start(limits=_SMALL) as sandbox:
        _good(_sh(sandbox, "mkdir -p a/b; touch a/b/c; chmod 0 a/b a"))
        sandbox.fork().close()


# ---- limits


@_needs("shell", "limits")
def _fork_bombs_are_bounded(backend: Backend) -> None:
    bomb = "i=0; while [ $i -lt 60 ]; do sleep 20 & i=$((i+1)); done; echo all"
    with backend.start(limits=_limits(processes=24)) as sandbox, backend.start(limits=_SMALL) as other:
        result = _sh(sandbox, bomb, timeout=5)
        _that(not result.ok and b"all" not in result.stdout, "sixty processes started")
        _good(sandbox.exec(["true"]))
        _good(other.exec(["true"]))


@_needs("shell", "limits")
def _processes_of_all_commands_count_together(backend: Backend) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 3 & done; wait"
    with backend.start(limits=_limits(processes=24)) as sandbox, ThreadPoolExecutor(3) as pool:
        results = list(pool.map(lambda _: _sh(sandbox, script), range(3)))
        _that(not all(result.ok for result in results), "39 processes ran at once")
        _good(sandbox.exec(["true"]))


@_needs("shell", "limits")
def _memory_is_bounded(backend: Backend) -> None:
    with backend.start(limits=_limits(memory=64 * MIB)) as sandbox:
        result = _sh(sandbox, "head -c 150000000 /dev/zero | tail -n 1 | wc -c")
        _that(b"150000000" not in result.stdout, "150 MB were held")
        _good(sandbox.exec(["true"]))


@_needs("shell", "limits")
def _memory_of_all_processes_counts_together(backend: Backend) -> None:
    hog = "(head -c 30000000 /dev/zero; sleep 1.5) | tail -n 1 | wc -c &"
    with backend.start(limits=_limits(memory=64 * MIB)) as sandbox:
        result = _sh(sandbox, hog * 4 + " wait")
        _that(result.stdout.count(b"30000000") < 4, "120 MB were held")
        _good(sandbox.exec(["true"]))


@_needs("shell", "limits")
def _the_disk_is_bounded(backend: Backend) -> None:
    with backend.start(limits=_limits(disk=8 * MIB)) as sandbox:
        _that(not _sh(sandbox, "head -c 20000000 /dev/zero > fill").ok)
        _that("full" in _refused(sandbox.write_file, "more", b"x" * MIB))
        _good(_sh(sandbox, "true"))
        _good(_sh(sandbox, "rm fill"))
        sandbox.write_file("more", b"x" * MIB)


@_needs("shell", "limits")
def _temporary_files_count_as_disk(backend: Backend) -> None:
    with backend.start(limits=_limits(disk=8 * MIB)) as sandbox:
        for place in ("/tmp", "/dev/shm"):
            result = _sh(sandbox, f"head -c 20000000 /dev/zero > {place}/fill; rm -f {place}/fill; exit 3")
            _that(b"No space" in result.stderr, result)


@_needs("shell", "limits")
def _numbers_of_files_are_bounded(backend: Backend) -> None:
    with backend.start(limits=_limits(disk=2 * MIB)) as sandbox:
        result = _sh(sandbox, "i=0; while [ $i -lt 3000 ]; do : > $i || exit 5; i=$((i+1)); done")
        _that(not result.ok and b"No space" in result.stderr, result)


# ---- isolation


@_needs("shell", "isolation")
def _nothing_outside_can_be_written(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        for place in ("/", "/usr", "/usr/bin", "/etc", "/bin", "/dev", "/proc/sys/kernel", "/sys", "/var", "/home"):
            _that(not _sh(sandbox, f"echo x > {place}/palaestra-conformance").ok, place)
        for file in ("/etc/passwd", "/proc/sysrq-trigger", "/proc/sys/kernel/hostname", "/usr/bin/env"):
            _that(not _sh(sandbox, f"echo x >> {file}").ok, file)


@_needs("shell", "isolation")
def _the_hosts_files_are_not_there(backend: Backend) -> None:
    with tempfile.TemporaryDirectory() as folder, backend.start(limits=_SMALL) as sandbox:
        Path(folder, "secret").write_text(_SECRET)
        for path in (f"{folder}/secret", "/etc/shadow", "/root", str(Path.home()), "/proc/1/root/root"):
            _that(not sandbox.exec(["ls", path]).ok, path)
        _that(_SECRET not in _sh(sandbox, "cat /proc/*/environ /proc/*/cmdline 2>/dev/null").text)


@_needs("shell", "isolation")
def _other_processes_are_not_there(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox, ThreadPoolExecutor(1) as pool:
        running = pool.submit(sandbox.exec, ["sleep", "1"])
        _that(len(_good(_sh(sandbox, "echo /proc/[0-9]*")).text.split()) < 6, "processes of others are seen")
        _sh(sandbox, "kill -KILL -1 1 2 3 4")
        _good(running.result())
        _good(sandbox.exec(["true"]))


@_needs("shell", "isolation")
def _daemons_end_with_their_command(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        _good(_sh(sandbox, "setsid nohup sh -c 'sleep 0.8; echo late > late' >/dev/null 2>&1 < /dev/null & echo"))
        time.sleep(1.0)
        _same(_good(_sh(sandbox, "ls")).text, "")


@_needs("shell", "isolation")
def _there_is_no_network(backend: Backend) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, backend.start(limits=_SMALL) as sandbox:
        port = server.getsockname()[1]
        devices = _good(_sh(sandbox, "tail -n +3 /proc/net/dev | cut -d: -f1")).text.split()
        _same(devices, ["lo"])
        for host in ("127.0.0.1", "169.254.169.254", "192.0.2.1"):
            script = f"exec 3<>/dev/tcp/{host}/{port if host == '127.0.0.1' else 80}"
            _that(not sandbox.exec(["bash", "-c", script], timeout=5).ok, host)
        server.settimeout(0.05)
        _refused(server.accept, error=TimeoutError)


@_needs("shell", "isolation")
def _there_are_no_rights(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        lines = dict(line.split(":", 1) for line in _good(_sh(sandbox, "cat /proc/self/status")).text.splitlines())
        _same([int(lines[f"Cap{name}"], 16) for name in ("Inh", "Prm", "Eff", "Amb")], [0] * 4)
        _same(lines["NoNewPrivs"].strip(), "1")
        for attempt in (
            "mount -t tmpfs none /tmp",
            "mount --bind /usr /work",
            "umount /work",
            "unshare -U true",
            "unshare -m true",
            "unshare -n true",
            "mknod disk b 8 0",
            "chroot /work true",
            "chown 0 /tmp",
            "ln /usr/bin/env here",
            "nsenter -t 1 -m true",
            "hostname other",
        ):
            _that(not _sh(sandbox, attempt).ok, attempt)


@_needs("shell", "isolation")
def _set_user_id_gives_nothing(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        _good(_sh(sandbox, "cp /usr/bin/id mine; chmod 6755 mine"))
        _same(_good(_sh(sandbox, "./mine -u; id -u")).text.split(), ["1000", "1000"])
        _that(not sandbox.exec(["su", "-c", "true"], timeout=5).ok)


@_needs("shell", "isolation")
def _no_files_of_ours_are_open_there(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        _good(sandbox.exec(["true"]))
        found = _good(_sh(sandbox, "exec ls -l /proc/self/fd")).text
        kinds = sorted(line.split(" -> ")[1].split(":")[0] for line in found.splitlines() if " -> " in line)
        _that(len(kinds) == 4 and kinds[1:] == ["pipe"] * 3 and kinds[0].startswith("/proc"), kinds)


@_needs("shell", "isolation")
def _races_of_links_lead_nowhere(backend: Backend) -> None:
    with tempfile.TemporaryDirectory() as folder, backend.start(limits=_SMALL) as sandbox:
        Path(folder, "f").write_text(_SECRET)
        sandbox.write_file("d/f", b"mine")
        race = f"ln -s {folder} l; while :; do mv d e; mv l d; mv d l; mv e d; done"
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(_sh, sandbox, race, 3.0)
            until = time.monotonic() + 1.5
            while time.monotonic() < until:
                with contextlib.suppress(ToolError):
                    _same(sandbox.read_file("d/f"), b"mine")
                with contextlib.suppress(ToolError):
                    sandbox.write_file("d/f", b"mine")
            _same(running.result().ended, "timeout")
        _same(Path(folder, "f").read_text(), _SECRET)


@_needs("shell", "isolation")
def _the_terminal_cannot_be_typed_into(backend: Backend) -> None:
    with backend.start(limits=_SMALL) as sandbox:
        _that(not _sh(sandbox, "echo x > /dev/tty").ok)
        own = threading.get_native_id()
        _that(not _sh(sandbox, f"kill -0 {own}").ok)


BEHAVIOURS: tuple[Behaviour, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Behaviour))
"""All of them, in the order of this file."""
