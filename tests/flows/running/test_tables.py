"""Tables are curated by several columns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows import curate
from assay.flows.cli import app
from assay.index.embedding.table import TableEmbedder
from assay.storage.errors import ColumnError, ConfigError


def table(rows: int = 120) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    job = rng.choice(["cook", "clerk", "smith"], rows)
    return pl.DataFrame(
        {
            "key": [f"k{i:03}" for i in range(rows)],
            "age": rng.integers(18, 80, rows),
            "pay": rng.normal(1000, 200, rows),
            "job": job,
            "note": ["x"] * rows,
        }
    )


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_from_the_command_line(tmp_path: Path, suffix: str) -> None:
    frame = table()
    path = tmp_path / f"people.{suffix}"
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path)
    arguments: list[Any] = ["curate", "--pool", path, "--id", "key", "--columns", "age,pay,job"]
    arguments += ["--store", tmp_path / "s", "--budget", 12, "--keep", "job", "--json"]
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["pool"], summary["samples"], summary["selected"]) == ("people", 120, 12)
    (folder,) = (tmp_path / "s" / "artifacts" / "vectors").iterdir()
    expected = TableEmbedder(["age", "pay", "job"]).fit(frame, ids=frame["key"]).encode(frame)
    np.testing.assert_array_equal(np.load(folder / "vectors.npy"), expected)
    again = CliRunner().invoke(app, list(map(str, arguments)))
    assert json.loads(again.stdout.splitlines()[-1])["computed"] is False
    out = tmp_path / "out.parquet"
    CliRunner().invoke(app, ["export", "--store", str(tmp_path / "s"), "--out", str(out)])
    rows = pl.read_parquet(out)
    assert rows["pay"].to_list() == [
        dict(frame.select("key", "pay").iter_rows())[key] for key in rows["key"]
    ]


def test_a_frame_with_a_target(tmp_path: Path) -> None:
    frame = table()
    wanted = frame.filter(pl.col("job") == "smith").head(10)
    result = curate(
        pool=frame, target=wanted, columns=["age", "pay", "job"], select="transport", budget=10,
        id="key", keep=["job"], store=str(tmp_path), scores=[],
    )  # fmt: skip
    jobs = result.sql(
        "SELECT job FROM latest_selection JOIN latest_samples USING (pool, sample_id)"
    )
    assert (jobs["job"] == "smith").all()


def test_columns_are_checked_before_any_work(tmp_path: Path) -> None:
    fixed: dict[str, Any] = {"pool": table(), "store": str(tmp_path / "s"), "id": "key"}
    with pytest.raises(ColumnError, match="agee"):
        curate(**fixed, columns=["agee"])
    with pytest.raises(ConfigError, match="`columns`"):
        curate(**fixed, columns=["age"], text="note")
    assert not (tmp_path / "s" / "artifacts").exists()
