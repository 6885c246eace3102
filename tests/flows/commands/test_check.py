"""`assay check`: what is damaged is named, what can be rebuilt is, and nothing else is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows import curate
from assay.flows.cli import app
from assay.index.blas import blas_report
from assay.storage import ScoreStore
from assay.storage.disk.processes import process_lives
from assay.storage.upkeep.check import check_store

POOL = pl.DataFrame({"id": range(60), "text": [f"about {i % 9} things and {i}" for i in range(60)]})


@pytest.fixture
def run(tmp_path):
    POOL.write_parquet(tmp_path / "pool.parquet")
    settings = {
        "pool": str(tmp_path / "pool.parquet"), "id": "id", "text": "text", "budget": 6,
        "store": str(tmp_path / "store"), "scores": ["pagerank"],
    }  # fmt: skip
    return curate(**settings), settings


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def chosen(result):
    return result.sql("SELECT sample_id, position FROM latest_selection ORDER BY position")


def test_a_sound_store_has_no_findings(run) -> None:
    result, _ = run
    assert check_store(result.store) == []
    printed = CliRunner().invoke(app, ["check", "--store", str(result.store.path)])
    assert printed.exit_code == 0
    assert "everything is as it was written" in printed.output
    assert "kernels" in printed.output


def test_damage_is_named_and_mended(run, tmp_path) -> None:
    result, settings = run
    before = chosen(result)
    store = result.store.path
    vectors = next((store / "artifacts" / "vectors").glob("*/vectors.npy"))
    data = bytearray(vectors.read_bytes())
    data[len(data) // 2] ^= 1
    vectors.write_bytes(data)
    graph = next((store / "artifacts" / "graph").iterdir())
    next(graph.glob("*.npy")).unlink()
    (store / "published" / "latest.duckdb").resolve().write_bytes(b"no database")
    gone = dead_process()
    (store / "runs" / f".x.duckdb.{gone}-12345678.tmp").write_bytes(b"half")
    (store / "runs" / f".y.duckdb.{os.getppid()}-12345678.tmp").write_bytes(b"being written")
    note = {
        "run_id": "0" * 16, "kind": "curate", "pool": "p", "status": "running", "process": gone,
        "started_at": "2026-01-01T00:00:00+00:00", "n_samples": 1, "seed": 0, "generation": "g",
        "config": {}, "versions": {}, "message": None,
    }  # fmt: skip
    (store / "runs" / f"{'0' * 16}.json").write_text(json.dumps(note))

    told = {finding.where: finding for finding in check_store(ScoreStore(store))}
    assert {where.split("/")[0] for where in told} == {"artifacts", "runs", "published"}
    assert len(told) == 5
    assert not any(finding.repaired for finding in told.values())
    assert any("vectors.npy" in finding.problem for finding in told.values())
    printed = CliRunner().invoke(app, ["check", "--store", str(store), "--json"])
    assert printed.exit_code == 1
    assert len(json.loads(printed.stdout)["findings"]) == 5

    mended = check_store(ScoreStore(store), repair=True)
    assert all(finding.repaired for finding in mended if finding.level == "damage")
    assert len([finding for finding in mended if finding.level == "damage"]) == 5
    # what was removed is made again by the next run that needs it
    left = check_store(ScoreStore(store))
    assert [(finding.where, finding.level) for finding in left] == [
        (f"runs/{result.run_id}.duckdb", "info")
    ]
    assert "vectors/" in left[0].problem
    assert "graph/" in left[0].problem
    assert CliRunner().invoke(app, ["check", "--store", str(store)]).exit_code == 0
    assert json.loads((store / "runs" / f"{'0' * 16}.json").read_text())["status"] == "failed"
    assert (store / "runs" / f".y.duckdb.{os.getppid()}-12345678.tmp").exists()
    assert chosen(result).equals(before)
    again = curate(**settings | {"seed": 1})
    assert again.computed
    assert chosen(again).height == 6


def test_a_damaged_run_is_named_and_moved_aside_whole(run) -> None:
    result, _ = run
    path = result.store.path / "runs" / f"{result.run_id}.duckdb"
    data = bytearray(path.read_bytes())
    data[4096 * 3 + 100 : 4096 * 3 + 400] = bytes(300)
    path.write_bytes(data[: len(data) - 50_000])
    damaged = path.read_bytes()
    where = f"runs/{result.run_id}.duckdb"
    assert where in [f.where for f in check_store(ScoreStore(result.store.path))]
    assert path.read_bytes() == damaged
    found = check_store(ScoreStore(result.store.path), repair=True)
    assert [f.repaired for f in found if f.where == where] == [True]
    assert not path.exists()
    aside = result.store.path / "backup" / "aside"
    assert damaged in [p.read_bytes() for p in aside.rglob("*") if p.is_file()]


def test_processes() -> None:
    assert process_lives(os.getpid())
    assert not process_lives(dead_process())


def test_blas_libraries_are_listed() -> None:
    found = blas_report()
    assert any("openblas" in library["library"] for library in found)
    assert all(isinstance(library["slow"], bool) for library in found)
