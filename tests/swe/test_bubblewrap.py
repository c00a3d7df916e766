"""What bubblewrap's sandboxes do beyond the behaviours of all: refusals, outside causes, and what is left behind."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from palaestra.envs.swe.sandboxes import bubblewrap as module
from palaestra.envs.swe.sandboxes import cgroups
from palaestra.envs.swe.sandboxes.base import MIB, Limits
from palaestra.envs.swe.sandboxes.bubblewrap import Bubblewrap
from palaestra.envs.swe.sandboxes.store import Store
from palaestra.errors import ConfigError, EpisodeFailure

SMALL = Limits(timeout=20, memory=128 * MIB, processes=48, disk=16 * MIB)


def children(pid):
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def keepers(zygote):
    return [keeper for between in children(zygote) for keeper in children(between)]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(holds, seconds=10.0):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def groups():
    found = []
    for _, homes in cgroups.find_hierarchies().values():
        for home in homes:
            found += home.glob("palaestra-*")
    return found


def test_without_the_program_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConfigError, match="apt-get install bubblewrap"):
        Bubblewrap()


@pytest.mark.usefixtures("bubblewrap")
def test_what_cannot_be_given_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="not a folder"):
        Bubblewrap(binds=[tmp_path / "missing"])
    with pytest.raises(ConfigError, match="rlimits"):
        Bubblewrap(bounds="none")


@pytest.mark.usefixtures("bubblewrap")
def test_a_limit_that_cannot_be_held_is_refused():
    with Bubblewrap(bounds="rlimits") as backend, pytest.raises(ConfigError, match=r"cpus=0\.5 cannot be held"):
        backend.start(limits=Limits(cpus=0.5))


def test_processes_are_refused_on_old_kernels(bubblewrap, monkeypatch):
    monkeypatch.setattr(module, "_kernel", lambda: (5, 10))
    monkeypatch.setattr(cgroups, "find_hierarchies", dict)
    with pytest.raises(ConfigError, match=r"Linux 5\.14"):
        bubblewrap.start(limits=SMALL)


def test_a_mount_that_fails_is_refused_with_its_reason(bubblewrap, monkeypatch):
    bubblewrap._ready()
    monkeypatch.setattr(bubblewrap._store, "path", bubblewrap._store.path / "gone")
    (bubblewrap._store.path).mkdir()
    with pytest.raises(ConfigError, match=r"cannot be started on this machine: .*mount tmpfs"):
        bubblewrap.start(limits=SMALL)
    monkeypatch.undo()
    bubblewrap.start(limits=SMALL).close()


def test_processors_are_bounded_by_control_groups(bubblewrap):
    try:
        sandbox = bubblewrap.start(limits=Limits(cpus=0.2))
    except ConfigError as error:
        pytest.skip(f"NO CONTROL GROUPS FOR PROCESSORS: {error}")
    with sandbox:
        assert "cpu" in sandbox.bounded_by
        script = "while :; do :; done & sleep 1.5; kill $!; wait $!; times"
        user = sandbox.exec(["sh", "-c", script]).text.split()[2]  # of the children: minutes m seconds s
        assert float(user.split("m")[1].rstrip("s")) < 0.8


@pytest.mark.usefixtures("bubblewrap")
def test_further_folders_can_be_read(tmp_path):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a").write_text("readable")
    tmp_path.chmod(0o755)
    with Bubblewrap(binds=[tmp_path / "given"], env={"COLOUR": "red"}) as backend, backend.start() as sandbox:
        assert sandbox.exec(["cat", str(tmp_path / "given" / "a")]).text == "readable"
        assert not sandbox.exec(["touch", str(tmp_path / "given" / "b")]).ok
        assert "COLOUR=red" in sandbox.exec(["env"]).text


def test_the_network_is_there_when_granted(bubblewrap):
    with bubblewrap.start(limits=Limits(network=True)) as sandbox:
        devices = sandbox.exec(["cat", "/proc/net/dev"]).text.count(":")
        assert devices == Path("/proc/net/dev").read_text().count(":")


def test_without_a_bound_the_changes_lie_on_the_disk(bubblewrap):
    with bubblewrap.start(limits=Limits(disk=None)) as sandbox:
        sandbox.write_file("a", b"x")
        assert sandbox.exec(["sh", "-c", "cat a; mkdir b; mv a b/a"]).text == "x"
        with sandbox.fork() as fork:
            assert fork.read_file("b/a") == b"x"
        assert list(bubblewrap._store.path.glob("c*"))
    assert not list(bubblewrap._store.path.glob("c*"))


def test_a_fork_costs_its_changes(bubblewrap, tmp_path):
    for number in range(300):
        (tmp_path / str(number)).write_bytes(b"x" * 1000)
    base = bubblewrap.prepare(tmp_path)
    with bubblewrap.start(base, SMALL) as sandbox:
        sandbox.write_file("7", b"changed")
        sandbox.exec(["rm", "8"])
        snapshot = sandbox.snapshot()
        top, *below = snapshot.names
        assert below == list(base.names)
        assert sorted(path.name for path in (bubblewrap._store.path / top).iterdir()) == ["7", "8"]
        snapshot.close()
        assert not (bubblewrap._store.path / top).exists()


def test_many_layers_become_one(bubblewrap, monkeypatch):
    monkeypatch.setattr(module, "_MOST_LAYERS", 3)
    sandbox = bubblewrap.start(limits=SMALL)
    for number in range(5):
        sandbox.write_file(str(number), b"x")
        fork = sandbox.fork()
        sandbox.close()
        sandbox = fork
        assert len(sandbox._layers.names) <= 3
    assert sorted(sandbox.exec(["ls"]).text.split()) == list("01234")
    assert len(list(bubblewrap._store.path.glob("l*"))) - 1 <= 3  # and the file `lock`


def test_what_kills_a_keeper_fails_the_episode_and_no_other(bubblewrap):
    with bubblewrap.start(limits=SMALL) as other, bubblewrap.start(limits=SMALL) as sandbox:
        keeper = max(keepers(bubblewrap._zygote._popen.pid))
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(sandbox.exec, ["sleep", "30"])
            wait_until(lambda: children(keeper))
            os.kill(keeper, signal.SIGKILL)
            with pytest.raises(EpisodeFailure, match="keeper ended while a command ran"):
                running.result()
        for call in (lambda: sandbox.exec(["true"]), lambda: sandbox.read_file("a"), sandbox.snapshot):
            with pytest.raises(EpisodeFailure) as failure:
                call()
            assert failure.value.cause == "infrastructure"
        assert other.exec(["true"]).ok


def test_others_start_after_the_zygote_was_killed(bubblewrap):
    sandbox = bubblewrap.start(limits=SMALL)
    bubblewrap._zygote._popen.kill()
    bubblewrap._zygote._popen.wait()
    with pytest.raises(EpisodeFailure):
        for _ in range(100):  # the kernel kills the keeper within moments
            sandbox.exec(["sleep", "0.1"])
    with bubblewrap.start(limits=SMALL) as fresh:
        assert fresh.exec(["true"]).ok


def test_closing_leaves_nothing_behind(bubblewrap, tmp_path):
    before = set(groups())
    mounts = Path("/proc/self/mountinfo").read_text()
    with Bubblewrap(store=tmp_path if os.getuid() else None) as backend:
        sandboxes = [backend.start(limits=SMALL) for _ in range(3)]
        sandboxes[0].exec(["sh", "-c", "setsid sleep 30 & mkdir -m 0 locked; echo x > f"])
        sandboxes[0].fork()
        zygote, path = backend._zygote._popen.pid, backend._store.path
        kept = keepers(zygote)
        assert len(kept) == 4
        assert Path("/proc/self/mountinfo").read_text() == mounts
    assert not path.exists()
    wait_until(lambda: not any(alive(pid) for pid in (zygote, *kept)))
    assert set(groups()) <= before
    assert Path("/proc/self/mountinfo").read_text() == mounts


_HARNESS = """
import sys, threading
from palaestra.envs.swe.sandboxes.bubblewrap import Bubblewrap
backend = Bubblewrap()
sandboxes = [backend.start(), backend.start()]
threads = [threading.Thread(target=s.exec, args=(["sh", "-c", "setsid sleep 77 & sleep 78"],)) for s in sandboxes]
[thread.start() for thread in threads]
snapshot = backend.start().snapshot()
print(backend._store.path, backend._zygote._popen.pid, flush=True)
[thread.join() for thread in threads]
"""


def test_a_killed_harness_leaves_nothing_after_the_next_start(bubblewrap):
    harness = subprocess.Popen([sys.executable, "-c", _HARNESS], stdout=subprocess.PIPE, text=True)
    with harness:
        path, zygote = harness.stdout.readline().split()
        zygote = int(zygote)
        wait_until(lambda: sum(len(children(keeper)) for keeper in keepers(zygote)) >= 2)
        family = [zygote]
        for pid in family:
            family += children(pid)
        assert len(family) >= 8
        harness.kill()
    wait_until(lambda: not any(alive(pid) for pid in family))
    assert Path(path).exists()
    with Bubblewrap() as backend:
        backend.start().close()
        assert not Path(path).exists()
        assert not [group for group in groups() if f"-{harness.pid}." in group.name]


@pytest.mark.usefixtures("bubblewrap")
def test_a_harness_that_forgets_to_close_leaves_nothing():
    script = _HARNESS.split("threads =")[0] + "print(backend._store.path)"
    path = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert path and not Path(path).exists()


def test_stores_of_the_living_are_left_alone(tmp_path):
    one = Store(tmp_path)
    other = Store(tmp_path)
    assert one.path.exists()
    other.close()
    os.close(one._lock)  # as its end would
    Store(tmp_path).close()
    assert not one.path.exists()


def test_groups_of_version_1_and_2_are_found(tmp_path):
    (tmp_path / "cgroup").write_text("5:cpu,cpuacct:/docker/x\n4:memory:/docker/x\n0::/user.slice/a.scope\n")
    mounts = (
        "30 25 0:26 /docker/x /cg/memory rw - cgroup cgroup rw,memory\n"
        "31 25 0:27 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        f"32 25 0:28 / {tmp_path} rw - cgroup2 cgroup2 rw\n"
    )
    home = tmp_path / "user.slice" / "a.scope"
    home.mkdir(parents=True)
    (home / "cgroup.controllers").write_text("cpu memory pids\n")
    assert cgroups.find_hierarchies(tmp_path, mounts) == {
        "memory": (1, [Path("/cg/memory")]),
        "cpu": (1, [Path("/cg/cpu/docker/x")]),
        "pids": (2, [home, home.parent]),
    }


def test_groups_of_version_2_lie_beside_our_own(tmp_path):
    home = tmp_path / "slice" / "scope"
    home.mkdir(parents=True)
    (home / "cgroup.subtree_control").mkdir()  # cannot be written, as where processes are in the group itself
    (home.parent / "cgroup.subtree_control").write_text("memory pids")
    hierarchies = {name: (2, [home, home.parent]) for name in ("memory", "pids")}
    made = cgroups.made_group("3", "17.4", hierarchies, memory=1000, processes=9, cpus=1.0)
    folder = home.parent / "palaestra-17.4-3"
    assert made.held == {"memory", "pids"}
    assert (folder / "memory.max").read_text() == "1000"
    assert (folder / "pids.max").read_text() == "9"
    (folder / "memory.events").write_text("oom 3\noom_kill 2\n")
    assert made.memory_kills() == 2


def test_groups_of_the_dead_are_removed(tmp_path):
    for name in ("palaestra-17.4-1", "palaestra-17.5-1", "other"):
        (tmp_path / name).mkdir()
    cgroups.reap({"memory": (1, [tmp_path])}, {"17.5"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "palaestra-17.5-1"]
