"""Mixtures in a run: from the command line, in the store, and refused before any work."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows import CurationConfig, curate
from assay.flows.cli import app
from assay.storage.errors import ConfigError

RNG = np.random.default_rng(8)
POOL = pl.DataFrame(
    {
        "id": [f"r{i:03}" for i in range(120)],
        "x": RNG.normal(size=(120, 5)).astype(np.float32).tolist(),
        "site": ["web"] * 90 + ["law"] * 24 + ["code"] * 6,
        "tokens": RNG.integers(1, 20, 120),
    }
)


@pytest.fixture
def place(tmp_path):
    POOL.write_parquet(tmp_path / "pool.parquet")
    return tmp_path


def run(place, **settings):
    config = CurationConfig(
        pool=str(place / "pool.parquet"),
        id="id",
        vector="x",
        keep="site",
        select="facility_location",
        scores=(),
        store=str(place / "store"),
        **settings,
    )
    return curate(config)


def test_the_command_line_mixes_sources(place):
    arguments = ["curate", "--pool", str(place / "pool.parquet"), "--id", "id", "--vector", "x"]
    arguments += [
        "--budget",
        "40",
        "--store",
        str(place / "store"),
        "--keep",
        "site",
        "--by",
        "site",
    ]
    arguments += ["--mixture", "web=50%,law=0.25,code=0.25", "--repeat", "2", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    rows = {row["site"]: row["chosen"] for row in summary["shares"]["site"]}
    # six rows of code, of which four count twice
    assert rows == {"web": 20, "law": 10, "code": 6}
    metrics = summary["metrics"]
    assert metrics["mixture.code.selected"]["value"] == 10
    assert metrics["shortfall"]["value"] == 0


def test_weights_and_shortfalls_are_stored(place):
    mixture = {"code": 1, "law": 1}
    repeated = run(place, budget=20, plan={"by": "site", "mixture": mixture, "repeat": 4})
    weights = repeated.sql(
        "SELECT site, sum(weight) AS w, count(*) AS n FROM latest_selection "
        "JOIN latest_samples USING (pool, sample_id) GROUP BY 1 ORDER BY 1"
    )
    assert weights.rows() == [("code", 10.0, 6), ("law", 10.0, 10)]
    short = run(place, budget=20, plan={"by": "site", "mixture": mixture})
    metrics = dict(short.sql("SELECT name, value FROM metrics").iter_rows())
    assert metrics["shortfall"] == 4
    assert metrics["mixture.code.shortfall"] == 4
    assert short.run_id != repeated.run_id
    tokens = run(place, budget=200, plan={"by": "site", "mixture": mixture, "cost": "tokens"})
    spent = dict(tokens.sql("SELECT name, value FROM metrics").iter_rows())
    assert 80 < spent["mixture.law.selected"] <= 100
    assert spent["mixture.code.selected"] <= 100


def test_wrong_mixtures_are_refused(place):
    with pytest.raises(ConfigError, match="needs a target"):
        run(place, budget=10, plan={"by": "site", "mixture": "target"})
    with pytest.raises(ConfigError, match="either a mixture"):
        run(place, budget=10, plan={"by": "site", "mixture": "even", "quotas": {"web": 3}})
    with pytest.raises(ConfigError, match="'music'"):
        run(place, budget=10, plan={"by": "site", "mixture": {"music": 1}})
