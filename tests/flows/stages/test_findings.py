"""What a run says of its pool in tables: slices, shortcuts, and what moved since another run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.flows.config.curation import CurationConfig
from assay.flows.running.results import RunResult
from assay.flows.running.runner import curate
from assay.flows.stages.run import resolve_run
from assay.selection.evaluation.shortcuts import find_shortcuts
from assay.selection.evaluation.slices import weak_slices
from assay.storage import ScoreStore
from assay.storage.errors import ColumnError, ConfigError
from assay.storage.runs.publishing import published_files
from assay.storage.upkeep.check import check_store

runner = CliRunner()
KINDS = ["a", "b", "c"]


def pool(seed: int, n: int = 600) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    kind = rng.choice(KINDS, n)
    label = np.where(kind == "a", "yes", rng.choice(["yes", "no"], n))
    words = np.array(["sun", "moon", "star", "tree", "lake"])
    texts = [" ".join(rng.choice(words, 6)) + f" {i}" for i in range(n)]
    return pl.DataFrame(
        {"id": [f"r{seed}-{i}" for i in range(n)], "text": texts, "kind": kind, "label": label,
         "loss": rng.random(n) + (kind == "b")}
    )  # fmt: skip


def night(folder: Path, frame: pl.DataFrame, **more: Any) -> RunResult:
    frame.write_parquet(folder / "pool.parquet")
    given: dict[str, Any] = {
        "pool": str(folder / "pool.parquet"),
        "id": "id",
        "text": "text",
        "label": "label",
        "keep": ("kind", "loss"),
        "budget": 60,
        "select": "random",
        "scores": ("label_agreement",),
        "plan": {"filters": ["kind <> 'c'"]},
        "embedding": {"dimensions": 8, "buckets": 2**10},
        "graph": {"k": 5},
        "store": str(folder / "store"),
    }
    return curate(**(given | more))


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[RunResult]]:
    folder = tmp_path_factory.mktemp("findings")
    found = {"slices": ("left", "loss", "neighbors", "label_agreement"), "shortcuts": True}
    return folder, [night(folder, pool(1)), night(folder, pool(2), **found)]


def test_slices_and_shortcuts_are_tables_and_a_metric(
    nights: tuple[Path, list[RunResult]],
) -> None:
    folder, (plain, asked) = nights
    store, frame = ScoreStore(folder / "store"), pool(2)
    table = store.sql(f"FROM slices WHERE run_id = '{asked.run_id}'").drop("run_id")
    assert set(table["judged_by"]) >= {"left", "loss"}
    # by the function itself, over the same columns
    cut = frame.select("kind", pl.col("label"))
    expected = weak_slices(cut, frame["loss"]).frame
    got = table.filter(judged_by="loss").drop("judged_by")
    assert got.select(expected.columns).rows() == expected.rows()
    assert ["c"] in table.filter(judged_by="left")["values"].to_list()
    shares = store.sql(f"SELECT * EXCLUDE (run_id) FROM shortcuts WHERE run_id = '{asked.run_id}'")
    attributes = pl.DataFrame({"place": range(len(frame))})
    again = find_shortcuts(
        frame["text"], frame["label"], attributes=attributes, ids=frame["id"]
    ).frame
    assert shares["attribute"][0] == "(together)"
    np.testing.assert_allclose(shares["share"], again["share"], atol=1e-9)
    metrics = dict(
        store.sql(f"SELECT name, value FROM metrics WHERE run_id = '{asked.run_id}'").rows()
    )
    assert metrics["shortcuts.share"] == shares["share"][0]
    # the other run was not asked
    assert set(store.sql("SELECT run_id FROM slices")["run_id"]) == {asked.run_id}
    assert (
        "shortcuts.share"
        not in plain.sql(f"SELECT name FROM metrics WHERE run_id = '{plain.run_id}'")[
            "name"
        ].to_list()
    )


def test_a_run_that_asks_for_nothing_keeps_its_id(nights: tuple[Path, list[RunResult]]) -> None:
    folder, _ = nights
    given = {"pool": str(folder / "pool.parquet"), "id": "id", "text": "text", "label": "label"}
    ids = {
        resolve_run(CurationConfig.build(given | more | {"store": str(folder / "other")})).run_id
        for more in ({}, {"slices": ()}, {"shortcuts": False})
    }
    asked = {"shortcuts": True, "store": str(folder / "other")}
    assert len(ids) == 1
    assert resolve_run(CurationConfig.build(given | asked)).run_id not in ids


def test_what_moved_is_kept_as_a_run_of_its_own(nights: tuple[Path, list[RunResult]]) -> None:
    folder, (first, second) = nights
    call = ["diff", "--why", first.run_id, second.run_id, "--loss", "loss", "--save", "--json",
            "--store", str(folder / "store")]  # fmt: skip
    done = runner.invoke(app, call)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    store = ScoreStore(folder / "store")
    rows = store.sql("FROM latest_shift")
    columns = {row["column"]: row for row in told["columns"]}
    for row in rows.filter(kind="column").rows(named=True):
        assert row["drift"] == columns[row["name"]]["drift"]
        assert row["cost"] == columns[row["name"]]["cost"]
    costs = dict(rows.filter(kind="cost").select("name", "cost").rows())
    assert costs == {name: told["cost"][name] for name in ("change", "inputs", "labels")}
    assert rows.filter(kind="cell").height == len(told["cells"])
    (run,) = store.sql("SELECT kind, of_run, pool, status FROM runs WHERE kind = 'shift'").rows()
    assert run == ("shift", second.run_id, "pool", "done")
    # again is the same run; the published file and the check of the store know it
    assert runner.invoke(app, call).exit_code == 0
    assert store.sql("SELECT count(*) FROM runs WHERE kind = 'shift'").item() == 1
    with duckdb.connect(str(published_files(store.path)[-1]), read_only=True) as con:
        for view in ("latest_shift", "latest_slices", "latest_shortcuts"):
            assert con.sql(f"SELECT count(*) > 0, any_value(pool) FROM {view}").fetchall() == [
                (True, "pool")
            ]
    assert check_store(store) == []


def test_what_cannot_be_found_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ColumnError, match="no value to judge slices by 'lost'"):
        night(tmp_path, pool(3, 80), slices=("lost",))
    with pytest.raises(ConfigError, match="shortcuts = true measures what gives labels away"):
        night(tmp_path, pool(3, 80), shortcuts=True, label=None, scores=("pagerank",))
    call = ["diff", "a.csv", "b.csv", "--why", "--save"]
    assert "--save are for runs" in str(runner.invoke(app, call).exception)


def test_a_store_of_before_has_the_views_and_no_rows(tmp_path: Path) -> None:
    result = night(tmp_path, pool(4, 80))
    (path,) = (tmp_path / "store" / "runs").glob("*.duckdb")
    path.chmod(0o644)
    with duckdb.connect(str(path)) as con:
        for table in ("slices", "shortcuts", "shift"):
            con.execute(f"DROP TABLE {table}")
    for folder in ("catalogue", "requests"):
        for file in (tmp_path / "store" / folder).iterdir():
            file.unlink()
    store = ScoreStore(tmp_path / "store")
    for table in ("slices", "shortcuts", "shift"):
        assert store.sql(f"FROM {table}").is_empty()
        assert store.sql(f"FROM latest_{table}").is_empty()
    assert store.sql("FROM latest_selection").height == len(result.sql("FROM latest_selection"))
