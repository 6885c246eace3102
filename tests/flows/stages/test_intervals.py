"""What a run keeps of how sure its ledger is."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from assay.flows import CurationConfig, curate
from assay.flows.running.reports import write_report


def pool(folder: Path, rows: int) -> str:
    X = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    frame = pl.DataFrame(
        {"id": np.arange(rows), "x": X}, schema_overrides={"x": pl.Array(pl.Float32, 4)}
    )
    frame.write_parquet(folder / "pool.parquet")
    return str(folder / "pool.parquet")


def config(folder: Path, rows: int) -> CurationConfig:
    return CurationConfig.build(
        {
            "pool": pool(folder, rows),
            "id": "id",
            "vector": "x",
            "store": str(folder / "s"),
            "budget": 60,
        }
    )


def test_a_run_keeps_the_intervals_of_what_it_sampled(tmp_path: Path) -> None:
    result = curate(config(tmp_path, 6_000))
    told = result.sql("FROM ledger JOIN intervals USING (run_id, name)")
    rows = {row["name"]: row for row in told.iter_rows(named=True)}
    coverage = rows["coverage.auc"]
    assert coverage["measured"] == 5_000
    assert coverage["low"] < coverage["value"] < coverage["high"]
    # the sample is most of the pool: the standard error is a hundredth of the distances' spread
    assert coverage["high"] - coverage["low"] < 0.02 * coverage["value"]
    assert rows["cmmd_pool"]["low"] is None
    assert "facility_location_ratio" not in rows
    with duckdb.connect(
        str(next((tmp_path / "s" / "runs").glob("*.duckdb"))), read_only=True
    ) as con:
        assert len(con.sql("FROM intervals").fetchall()) == len(rows)
    pytest.importorskip("bokeh", reason="assay-curation[report] is not installed")
    write_report(result.store, tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text()
    assert f"{coverage['low']:.4g} to {coverage['high']:.4g}, 5,000 rows<" in html


def test_where_all_rows_are_measured_there_is_nothing_to_tell(tmp_path: Path) -> None:
    result = curate(config(tmp_path, 300))
    assert result.sql("FROM intervals").is_empty()
    assert not result.ledger().is_empty()
