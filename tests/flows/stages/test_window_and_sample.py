"""The selectors window and sample in runs: from the command line to weights, reasons and explain."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.storage import ScoreStore


def assay(*arguments):
    told = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert told.exit_code == 0, f"{told.output} {told.exception}"
    return told.stdout


def test_window_and_sample_run_and_explain_themselves(tmp_path):
    rng = np.random.default_rng(0)
    n = 200
    kind = rng.integers(0, 2, n)
    X = rng.normal(size=(n, 4)) + 3 * kind[:, None]
    pool = tmp_path / "pool.parquet"
    pl.DataFrame(
        {"id": [f"r{i:03}" for i in range(n)], "v": X, "kind": kind, "hard": rng.random(n)}
    ).write_parquet(pool)
    common = (
        "curate", "--pool", pool, "--id", "id", "--vector", "v", "--keep", "hard", "--budget", 20,
        "--store", tmp_path / "s", "--expression", "difficult=hard", "--difficulty", "difficult",
        "--json",
    )  # fmt: skip
    assay(*common, "--label", "kind", "--select", "window", "--option", "margin=0")
    store = ScoreStore(tmp_path / "s")
    made = store.sql("select reason, count(*) as n from latest_decisions group by all")
    reasons = dict(made.iter_rows())
    assert reasons.pop("selected") == 20
    assert sum(reasons.values()) == n - 20
    allowed = {"harder_than_window", "easier_than_window"}, {"hard_cutoff", "not_drawn"}
    assert any(set(reasons) <= each for each in allowed)
    one = "select sample_id, reason from latest_decisions where not selected limit 1"
    left, reason = store.sql(one).row(0)
    assert reason in assay("explain", left, "--store", tmp_path / "s", "--json")

    config = tmp_path / "sample.toml"
    config.write_text(
        f'pool = "{pool}"\nid = "id"\nvector = "v"\nbudget = 20\nselect = "sample"\nscores = []\n'
        f'store = "{tmp_path / "t"}"\ndifficulty = "difficult"\n'
        '[expressions]\ndifficult = "hard"\n[options]\nexponent = 2.0\n'
    )
    assay("curate", config, "--json")
    store = ScoreStore(tmp_path / "t")
    weights = store.sql("select weight from latest_selection").to_series()
    assert weights.min() > 1
    assert 0.3 * n < weights.sum() < 3 * n
    told = json.loads(assay("explain", "r000", "--store", tmp_path / "t", "--json"))
    assert "probability" in json.dumps(told)
