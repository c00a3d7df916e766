"""The table holds what the lines hold, whatever was recorded."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import palaestra_toys as toys
import pytest

from palaestra.errors import ConfigError
from palaestra.harness import run
from palaestra.harness.export import export

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NESTED = ("messages", "actions", "rewards", "terms", "calls")


def read(path):
    rows = pq.read_table(path).to_pylist()
    return [{**row, **{key: row[key] and json.loads(row[key]) for key in NESTED}} for row in rows]


def recorded(tmp_path, name, env, agent, **options):
    return run(env, agent, tmp_path / name, **options)


def test_it_holds_the_rows_of_jsonl_with_types_that_do_not_depend_on_them(tmp_path):
    def odd(view):  # no UTF-8 can hold a lone surrogate; a line break and a NUL must survive
        return f"think \ud800 \n \x00 {view.t}" if view.t < 2 else "4"

    runs = [
        recorded(tmp_path, "spoken", "toys/Sums-v0", toys.Speaker(odd), episodes=5),
        recorded(tmp_path, "arrays", "toys/Walk-v0", toys.Scripted("random"), episodes=5),
        recorded(tmp_path, "no-outcome", "CartPole-v1", toys.Scripted("random"), episodes=2),
    ]
    schemas = set()
    for number in range(len(runs)):
        count = export(runs[number : number + 1], "parquet", tmp_path / f"{number}.parquet")
        export(runs[number : number + 1], "jsonl", tmp_path / f"{number}.jsonl")
        lines = [json.loads(line) for line in (tmp_path / f"{number}.jsonl").read_text().splitlines()]
        assert read(tmp_path / f"{number}.parquet") == lines and count == len(lines) > 1
        schemas.add(pq.read_schema(tmp_path / f"{number}.parquet").remove_metadata())
    assert len(schemas) == 1  # so the files of several runs make one table
    export(runs, "parquet", tmp_path / "all.parquet")
    table = pq.read_table(tmp_path / "all.parquet")
    assert table.schema.field("outcome").type == pa.float64() and table.schema.field("seed").type == pa.int64()
    assert table["outcome"].null_count == 2 and table["messages"].null_count == 7
    assert "answers" not in str(table.to_pylist()) and "privileged" not in table.column_names


def test_many_rows_are_written_in_pieces(tmp_path):
    done = recorded(tmp_path, "many", "toys/Sums-v0", toys.Scripted("null"), samples=60)
    assert export([done], "parquet", tmp_path / "x.parquet") == 1200
    rows = read(tmp_path / "x.parquet")
    assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 2
    assert [row["episode_id"] for row in rows] == [entry.episode_id for entry in done.entries]


def test_nothing_to_write_leaves_what_was_there(tmp_path):
    done = recorded(
        tmp_path, "failed", "toys/Sums-v0", toys.Scripted("null"), env_kwargs={"trouble": "fail"}, tasks=["sum-01"]
    )
    (tmp_path / "x.parquet").write_text("before")
    with pytest.raises(ConfigError, match="nothing to export"):
        export([done], "parquet", tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").read_text() == "before"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp")]


def test_terms_of_single_precision_are_numbers(tmp_path):
    class Run:
        path = tmp_path

        def episodes(self):
            agent = toys.Speaker(lambda view: "4")
            for episode in recorded(tmp_path, "one", "toys/Sums-v0", agent, episodes=1).episodes():
                turns = [replace(turn, terms={"x": np.float32(0.5)}) for turn in episode.turns]
                yield replace(episode, turns=turns)

    export([Run()], "parquet", tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet")[0]["terms"] == [{"x": 0.5}]
