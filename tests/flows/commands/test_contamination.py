"""`assay contamination` from a file to a table, a file or JSON."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.selection.evaluation.contamination_effects import contamination_effect


def test_the_table_is_written_where_asked_and_nothing_is_written_over(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    span = rng.integers(0, 30, 300)
    results = pl.DataFrame(
        {"span": span, "correct": rng.random(300) < np.where(span > 15, 0.9, 0.5)}
    )
    given, out = tmp_path / "results.csv", tmp_path / "effects.parquet"
    results.write_csv(given)
    call = ["contamination", str(given), "--permutations", "50", "--json", "--out"]
    done = CliRunner().invoke(app, [*call, str(out)])
    assert done.exit_code == 0, done.output
    expected = contamination_effect(results, permutations=50, random_state=0)
    assert pl.read_parquet(out).rows() == expected.rows()
    assert len(json.loads(done.stdout)["rows"]) == expected.height
    before = given.read_bytes()
    # neither a file that is there, nor what is read
    for taken in ([str(out)], [str(given), "--overwrite"]):
        assert CliRunner().invoke(app, [*call, *taken]).exit_code != 0
    assert given.read_bytes() == before
