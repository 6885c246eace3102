"""Mixtures in a run: from the command line, in the store, and refused before any work."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows import CurationConfig, curate
from assay.flows.cli import app
from assay.storage.errors import ConfigError, InputError

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


def runs_table(where, best="law", n=60):
    rng = np.random.default_rng(4)
    names = ["code", "law", "web"]
    weights = rng.dirichlet(np.ones(3), n)
    loss = 3 - 0.4 * np.log(weights[:, names.index(best)] + 0.01)
    frame = pl.DataFrame(dict(zip(names, weights.T, strict=True)) | {"loss": loss})
    frame.write_csv(where)
    return frame


def test_a_mixture_is_learned_from_runs_on_the_command_line_and_in_a_file(place):
    runs_table(place / "runs.csv")
    arguments = ["curate", "--pool", str(place / "pool.parquet"), "--id", "id", "--vector", "x"]
    arguments += [
        "--budget",
        "30",
        "--store",
        str(place / "store"),
        "--keep",
        "site",
        "--by",
        "site",
    ]
    arguments += ["--mixture-from-runs", str(place / "runs.csv"), "--metric", "loss"]
    arguments += ["--option", "mixture.bootstraps=20", "--save-config", str(place / "run.toml")]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    rows = {row["site"]: row["chosen"] for row in summary["shares"]["site"]}
    assert rows["law"] > 18
    assert sum(rows.values()) == 30
    metrics = summary["metrics"]
    assert metrics["learned_mixture.rank_correlation"]["value"] > 0.9
    assert metrics["learned_mixture.sources.law.low"]["value"] > 0.3
    again = CliRunner().invoke(app, ["curate", str(place / "run.toml"), "--json"])
    assert json.loads(again.stdout)["run_id"] == summary["run_id"]
    # other runs in the same file are another run
    runs_table(place / "runs.csv", best="web")
    other = json.loads(
        CliRunner().invoke(app, ["curate", str(place / "run.toml"), "--json"]).stdout
    )
    assert other["run_id"] != summary["run_id"]
    assert {row["site"]: row["chosen"] for row in other["shares"]["site"]}["web"] > 18


def test_the_mixture_command_shows_what_would_be_learned(place):
    runs_table(place / "runs.csv")
    call = ["mixture", str(place / "runs.csv"), "--metric", "loss"]
    shown = CliRunner().invoke(app, call)
    assert shown.exit_code == 0, shown.output
    assert "rank_correlation" in shown.output
    call += ["--size", "web=90,law=24", "--size", "code=6", "--budget", "60", "--json"]
    rows = json.loads(CliRunner().invoke(app, call).stdout)
    assert rows["report"]["runs"] == 60
    caps = {row["source"]: row["cap"] for row in rows["rows"]}
    assert caps == {"web": 1.0, "law": 0.4, "code": 0.1}
    assert all(row["share"] <= row["cap"] for row in rows["rows"])
    # the loss of a model on a source goes with its error; here weights stand in for losses
    models = CliRunner().invoke(
        app, ["mixture", str(place / "runs.csv"), "--models", "--metric", "loss", "--json"]
    )
    assert json.loads(models.stdout)["report"]["models"] == 60


def test_tables_that_teach_nothing_are_refused_before_any_work(place):
    few = runs_table(place / "runs.csv", n=60).head(20)
    few.write_csv(place / "few.csv")
    plan = {"by": "site", "mixture_options": {"metric": "loss"}}
    with pytest.raises(InputError, match="from 20 runs"):
        run(place, budget=10, plan=plan | {"mixture_from_runs": str(place / "few.csv")})
    both = {"mixture_from_runs": str(place / "runs.csv"), "mixture": "even"}
    with pytest.raises(ConfigError, match="one of mixture"):
        run(place, budget=10, plan=plan | both)
    with pytest.raises(ConfigError, match="name its column"):
        run(place, budget=10, plan={"by": "site", "mixture_from_models": str(place / "runs.csv")})
    assert not (place / "store" / "artifacts").exists()
