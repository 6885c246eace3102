"""Budgets by a learning curve, and flips of a selection that another replaces."""

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
from assay.selection.evaluation.budget_curve import learning_curve
from assay.storage.errors import BudgetError, ConfigError


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(2)
    y = rng.integers(0, 3, 600)
    X = (np.eye(3, 6)[y] * 1.5 + rng.normal(size=(600, 6))).astype(np.float32)
    path = tmp_path_factory.mktemp("best") / "pool.parquet"
    ids = [f"r{i:03}" for i in range(600)]
    pl.DataFrame({"id": ids, "v": X.tolist(), "label": y}).write_parquet(path)
    return path


def command(*words: Any) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_budget_is_read_from_the_curve(pool: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        f"pool = '{pool}'\nid = 'id'\nvector = 'v'\nlabel = 'label'\nselect = 'random'\n"
        "scores = []\nbudget = '95%-of-best'\n"
    )
    store = tmp_path / "s"
    done = command("curate", config, "--store", store, "--json")
    assert done.exit_code == 0, done.output
    frame = pl.read_parquet(pool)
    curve = learning_curve(
        frame["v"].list.to_array(6).to_numpy().astype(np.float32),
        frame["label"].to_numpy(),
        ids=frame["id"],
    )
    from assay.storage import ScoreStore

    query = ScoreStore(store).sql
    assert query("SELECT count(*) FROM latest_selection").item() == curve.budget(0.95)
    metrics = dict(query("SELECT name, value FROM metrics").iter_rows())
    assert metrics["learning_curve.rows"] == metrics["budget"] == curve.budget(0.95)
    assert metrics["learning_curve.best_rows"] == curve.reach == 600
    told = command("plan", config, "--curve", "--json")
    found = json.loads(told.stdout.splitlines()[-1])
    assert {b["budget"]: b["rows"] for b in found["budgets"]}["95%-of-best"] == curve.budget(0.95)
    assert f"{curve.budget(0.95):,} rows" in command("plan", config, "--curve").stdout
    shown = command("curate", config, "--store", store)
    assert "95%-of-best" in shown.stdout


def test_what_a_budget_of_best_needs_is_said_before_any_work(pool: Path, tmp_path: Path) -> None:
    how: dict[str, Any] = {
        "pool": str(pool),
        "id": "id",
        "vector": "v",
        "store": str(tmp_path / "s"),
    }
    with pytest.raises(ConfigError, match="--label"):
        curate(**how, budget="95%-of-best")
    with pytest.raises(ConfigError, match="cost"):
        curate(**how, label="label", budget="95%-of-best", plan={"cost": "label"})
    with pytest.raises(BudgetError, match="95%-of-best"):
        curate(**how, label="label", budget="120%-of-best")
    assert not (tmp_path / "s" / "artifacts").exists()
    refused = command("plan", tmp_path / "none.toml", "--curve")
    assert refused.exit_code != 0


def test_a_replaced_selection_is_judged_by_its_flips(pool: Path, tmp_path: Path) -> None:
    how: dict[str, Any] = {
        "pool": str(pool), "id": "id", "vector": "v", "store": str(tmp_path / "s"), "label": "label",
        "select": "random", "scores": [], "budget": 200,
    }  # fmt: skip
    first = curate(**how, seed=1)
    assert "negative_flips" not in first.ledger()["name"]
    second = curate(**how, seed=1, plan={"filters": ["id <> 'r000'"], "churn": 5})
    (row,) = second.ledger().filter(name="negative_flips").to_dicts()
    assert 0 <= row["value"] < row["baseline"]
