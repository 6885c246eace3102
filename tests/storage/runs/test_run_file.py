"""A run is written a part at a time; what is read of it is the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from assay.storage.errors import StoreError
from assay.storage.runs import run_file
from assay.storage.runs.run_file import RunInfo, RunTablesData, write_run

START = datetime(2026, 1, 1, tzinfo=UTC)
N = 11


def info(n: int) -> RunInfo:
    return RunInfo("r", "curate", "pool", START, n, 7, "g", {}, {})


def data(n: int, decisions: pl.DataFrame | pl.LazyFrame) -> RunTablesData:
    samples = pl.DataFrame(
        {
            "sample_id": [f"é{i}" for i in range(n)],
            "source": ["memory"] * n,
            "row": range(n),
            "label": [None if i % 3 else "a" for i in range(n)],
            "group_id": [None] * n,
            "content_hash": [f"{i:032x}" for i in range(n)],
            "kind": [f"k{i % 4}" for i in range(n)],
            "empty": [None] * n,
            "parts": [[i] * (i % 3) for i in range(n)],
        },
        schema_overrides={
            "label": pl.String,
            "group_id": pl.String,
            "kind": pl.Categorical,
            "parts": pl.List(pl.Int64),
        },
    )
    scores = pl.DataFrame({"key": range(n), "score": [float(i % 4) for i in range(n)]})
    chosen = pl.DataFrame({"key": range(min(n, 2)), "position": range(1, min(n, 2) + 1)})
    return RunTablesData(
        samples=samples,
        scores={"s": scores},
        selections=chosen.with_columns(weight=1.0),
        decisions=decisions,
    )


def decided(n: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "key": range(n),
            "selected": [i < 2 for i in range(n)],
            "stage": ["select"] * n,
            "reason": ["selected" if i < 2 else "not_drawn" for i in range(n)],
            "detail": [f'{{"i":{i}}}' for i in range(n)],
        },
        schema_overrides={"selected": pl.Boolean},
    )


def read(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with duckdb.connect(str(path), read_only=True) as con:
        tables = [name for (name,) in con.execute("SHOW TABLES").fetchall() if name != "run"]
        told = {name: con.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}
        told |= {f"{n}?": con.execute(f'DESCRIBE "{n}"').fetchall() for n in tables}
        return told


@pytest.mark.parametrize("n", [0, 1, 3, N])
@pytest.mark.parametrize("part", [1, 3, N])
def test_parts_are_the_whole(n, part, tmp_path, monkeypatch) -> None:
    write_run(tmp_path / "whole.duckdb", info(n), START, data(n, decided(n)))
    decided(n).write_parquet(tmp_path / "decisions.parquet")
    lazy = pl.scan_parquet(tmp_path / "decisions.parquet")
    monkeypatch.setattr(run_file, "_PART", part)
    write_run(tmp_path / "parts.duckdb", info(n), START, data(n, lazy))
    whole = read(tmp_path / "whole.duckdb")
    assert len(whole["samples"]) == len(whole["decisions"]) == n
    assert read(tmp_path / "parts.duckdb") == whole


def test_lazy_decisions_are_checked_as_others_are(tmp_path) -> None:
    with pytest.raises(StoreError, match="exactly one decision for each of its 11"):
        write_run(tmp_path / "a.duckdb", info(N), START, data(N, decided(N).lazy().head(4)))
    assert not (tmp_path / "a.duckdb").exists()
