"""Nights in a row: how many of the rows chosen the night before are replaced."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from assay.flows import CurationConfig, curate
from assay.flows.cli import main
from assay.flows.stages.run import resolve_run
from assay.flows.stages.selections import previous_selection
from assay.storage.errors import ConfigError

WORDS = ["graph", "index", "score", "pool", "target", "sample", "budget", "table", "query"]
RNG = np.random.default_rng(1)
POOL = pl.DataFrame(
    {
        "id": [f"d{i:03}" for i in range(160)],
        "text": [" ".join(RNG.choice(WORDS, RNG.integers(3, 12))) for _ in range(160)],
    }
)
# of the rows chosen the first night so many are gone, and one is emptied
GONE, NEW = 10, 40


def night(folder, pool, *, churn=None, budget=30, **settings):
    pool.write_parquet(folder / "pool.parquet")
    rules = {} if churn is None else {"plan": {"churn": churn, **settings.pop("plan", {})}}
    config = CurationConfig.build(
        {
            "pool": str(folder / "pool.parquet"),
            "store": str(folder / "store"),
            "id": "id",
            "text": "text",
            "budget": budget,
            "select": "facility_location",
            "scores": ["pagerank"],
            **rules,
            **settings,
        }
    )
    return curate(config), config


def chosen(result) -> set[str]:
    query = "SELECT sample_id FROM selections JOIN samples USING (key)"
    return set(result.store.run_table(result.run_id, query)["sample_id"])


def metrics(result) -> dict[str, float]:
    frame = result.store.run_table(result.run_id, "SELECT name, value FROM metrics")
    return {name: value for name, value in frame.iter_rows() if name.startswith("churn_")}


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Where the first night is, the rows that it chose, and the pool of the second."""
    folder = tmp_path_factory.mktemp("nights")
    first, _ = night(folder, POOL)
    before = sorted(chosen(first))
    later = POOL.filter(~pl.col("id").is_in(before[:GONE]))
    later = later.with_columns(
        text=pl.when(pl.col("id") == before[GONE]).then(pl.lit("")).otherwise("text")
    )
    new = pl.DataFrame(
        {
            "id": [f"n{i:03}" for i in range(NEW)],
            "text": [" ".join(RNG.choice([*WORDS, "night"], 9)) for _ in range(NEW)],
        }
    )
    return folder, set(before), pl.concat([later, new])


def test_a_night_replaces_no_more_than_the_bound(nights, tmp_path) -> None:
    folder, before, later = nights
    free, _ = night(tmp_path, later)
    usable = set(later.filter(pl.col("text") != "")["id"]) & before
    assert len(usable - chosen(free)) > 3
    bounded, config = night(folder, later, churn=0.1)
    told = metrics(bounded)
    assert len(usable - chosen(bounded)) == told["churn_replaced"] == told["churn_limit"] == 3
    assert told["churn_forced"] == GONE + 1
    assert told["churn_previous"] == len(chosen(bounded)) == 30
    kept = bounded.sql("SELECT sample_id, detail FROM latest_decisions WHERE reason = 'churn'")
    assert set(kept["sample_id"]) <= before & chosen(bounded)
    assert kept.height == told["churn_kept"] > 0
    barred = bounded.sql(
        "SELECT detail FROM latest_decisions WHERE detail LIKE '%but for the bound%'"
    )
    assert barred.height == kept.height
    # the same night again
    again, _ = night(folder, later, churn=0.1)
    assert (again.computed, again.run_id) == (False, bounded.run_id)
    # killed before it was finished, and run again: the same night before it, the same rows
    assert previous_selection(resolve_run(config)) == sorted(before)
    rows = bounded.store.run_table(bounded.run_id, "FROM selections")
    (bounded.store.path / "runs" / f"{bounded.run_id}.duckdb").unlink()
    anew, _ = night(folder, later, churn=0.1)
    assert anew.computed
    assert anew.run_id == bounded.run_id
    assert anew.store.run_table(anew.run_id, "FROM selections").equals(rows)


def test_must_keep_rows_stay(tmp_path) -> None:
    must = ["d005", "d120", "d121"]
    first, _ = night(tmp_path, POOL, churn=0, plan={"must_include": must})
    assert metrics(first)["churn_previous"] == 0
    second, _ = night(
        tmp_path, POOL.reverse(), churn=0, budget=12, plan={"must_include": [*must, "d007"]}
    )
    assert {*must, "d007"} <= chosen(second)
    assert len(chosen(second) & chosen(first)) >= 11


def test_the_first_run_and_no_bound_are_as_ever(tmp_path) -> None:
    _, config = night(tmp_path, POOL)
    assert previous_selection(resolve_run(config)) is None
    _, config = night(tmp_path, POOL, churn="20%", name="another")
    assert config.plan.churn == 0.2
    assert previous_selection(resolve_run(config)) == []


@pytest.mark.parametrize("churn", [-1, 2.5, "much"])
def test_what_is_no_bound_is_refused(churn) -> None:
    with pytest.raises(ConfigError, match=r"plan\.churn"):
        CurationConfig.build({"plan": {"churn": churn}})


def test_the_command_takes_and_tells_it(nights, capsys, monkeypatch, tmp_path) -> None:
    *_, later = nights
    common = ["--id", "id", "--text", "text", "--budget", "30", "--select", "facility_location"]
    common += ["--scores", "pagerank", "--store", str(tmp_path / "store"), "--churn", "10%"]
    for pool in (POOL, later):
        pool.write_parquet(tmp_path / "pool.parquet")
        arguments = ["assay", "curate", "--pool", str(tmp_path / "pool.parquet"), *common]
        monkeypatch.setattr("sys.argv", arguments)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "Of the 30 rows chosen before, " in said
    monkeypatch.setattr("sys.argv", [*arguments, "--json"])
    with pytest.raises(SystemExit):
        main()
    told = json.loads(capsys.readouterr().out)
    assert told["metrics"]["churn_replaced"]["value"] <= told["metrics"]["churn_limit"]["value"]
