"""`assay agreement`: of files, and of runs before and after another embedder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.flows.running.runner import curate
from assay.selection.evaluation.agreement import embedder_agreement


def command(*words: Any) -> Any:
    return CliRunner().invoke(app, ["agreement", *(str(word) for word in words)])


def test_two_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, Z = rng.normal(size=(90, 4)).astype(np.float32), rng.normal(size=(90, 5)).astype(np.float32)
    np.save(tmp_path / "old.npy", X)
    np.save(tmp_path / "new.npy", Z)
    done = command(tmp_path / "old.npy", tmp_path / "new.npy", "--k", 5, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.splitlines()[-1])
    expected = embedder_agreement(X, Z, k=5)
    assert found["neighbors"] == pytest.approx(expected.neighbors, abs=0.02)
    assert found["cka"] == pytest.approx(expected.cka, abs=1e-9)
    assert "CKA" in command(tmp_path / "old.npy", tmp_path / "new.npy").stdout
    refused = command(tmp_path / "old.npy", "latest")
    assert "two of a kind" in str(refused.exception)


def test_two_runs_over_the_rows_that_both_have(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    words = np.array(
        ["graph", "index", "score", "pool", "target", "sample", "budget", "table", "query", "night"]
    )
    texts = [" ".join(rng.choice(words, 6)) for _ in range(120)]
    pool = tmp_path / "pool.parquet"
    pl.DataFrame({"id": [f"r{i}" for i in range(120)], "text": texts}).write_parquet(pool)
    how: dict[str, Any] = {
        "pool": str(pool),
        "id": "id",
        "text": "text",
        "store": str(tmp_path / "s"),
    }
    how |= {"budget": 10, "select": "random", "scores": []}
    curate(**how, embedding={"dimensions": 8})
    pl.DataFrame({"id": [f"r{i}" for i in range(20, 120)], "text": texts[20:]}).write_parquet(pool)
    curate(**how, embedding={"dimensions": 16})
    done = command("--store", tmp_path / "s", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["common"] == found["rows"] == 100
    assert 0.2 < found["neighbors"] < 1
    assert 0.5 < found["cka"] < 1
