"""Covered rows from a configuration: ids, a file of ids or SQL, and what a run stores of them."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows import CurationConfig, curate
from assay.flows.cli import app
from assay.flows.config.had import names_file, read_ids
from assay.flows.estimate.samples import sample_config
from assay.flows.stages.run import resolve_run
from assay.selection import SelectionPlan
from assay.storage.errors import ConfigError, IdError, InputError

RNG = np.random.default_rng(3)
CENTERS = RNG.normal(size=(8, 6)) * 4
X = CENTERS[RNG.integers(0, 8, 160)] + RNG.normal(size=(160, 6))
IDS = [f"r{i:03}" for i in range(160)]
COVERED = [IDS[i] for i in range(0, 160, 5)]
POOL = pl.DataFrame(
    {
        "id": IDS,
        "x": X.astype(np.float32).tolist(),
        "grade": [("good" if name in COVERED else None) for name in IDS],
        "site": RNG.choice(["a", "b"], 160),
    }
)


@pytest.fixture
def place(tmp_path):
    POOL.write_parquet(tmp_path / "pool.parquet")
    return tmp_path


def run(place, **plan):
    config = CurationConfig(
        pool=str(place / "pool.parquet"),
        id="id",
        vector="x",
        budget=20,
        select="facility_location",
        scores=(),
        store=str(place / "store"),
        plan=plan,
    )
    return curate(config)


def chosen(result):
    frame = result.sql("SELECT sample_id FROM latest_selection ORDER BY position")
    return frame["sample_id"].to_list()


def test_ids_a_file_and_sql_are_the_same_choice(place):
    (place / "had.txt").write_text("\n".join([*COVERED, "gone", ""]))
    pl.DataFrame({"id": COVERED, "note": "x"}).write_csv(place / "had.csv")
    plain = chosen(run(place))
    found = [
        chosen(run(place, covered=covered))
        for covered in (
            COVERED,
            str(place / "had.txt"),
            str(place / "had.csv"),
            "grade is not null",
        )
    ]
    assert found[0] == found[1] == found[2] == found[3] != plain
    assert len(found[0]) == 20
    assert not set(found[0]) & set(COVERED)


def test_a_run_stores_what_is_covered(place):
    result = run(place, covered=COVERED, filters=["site = 'a'"])
    told = result.sql("SELECT sample_id, selected, stage, reason FROM latest_decisions")
    assert told.height == 160
    covered = told.filter(reason="covered")
    # also those that a filter would leave out
    assert sorted(covered["sample_id"]) == COVERED
    assert not covered["selected"].any()
    metrics = dict(result.sql("SELECT name, value FROM metrics").iter_rows())
    assert metrics["covered"] == len(COVERED)
    assert metrics["objective_covered"] < metrics["objective"]
    ledger = result.sql("SELECT * FROM ledger WHERE name = 'facility_location_ratio'")
    alone = run(place, must_exclude=COVERED, filters=["site = 'a'"])
    before = alone.sql("SELECT * FROM ledger WHERE name = 'facility_location_ratio'")
    assert ledger["value"][0] > before["value"][0]
    assert result.run_id != alone.run_id


def test_a_file_that_changes_makes_another_run(place):
    (place / "had.txt").write_text("\n".join(COVERED))
    first = run(place, covered=str(place / "had.txt"))
    assert not run(place, covered=str(place / "had.txt")).computed
    (place / "had.txt").write_text("\n".join(COVERED[:3]))
    second = run(place, covered=str(place / "had.txt"))
    assert second.computed
    assert first.run_id != second.run_id
    moved = first.store.sql(f"SELECT * FROM diff('{first.run_id}', '{second.run_id}')")
    assert set(moved["change"]) <= {"in", "out"}


def test_the_command_line_takes_and_explains_covered_rows(place):
    arguments = ["curate", "--pool", str(place / "pool.parquet"), "--id", "id", "--vector", "x"]
    arguments += ["--budget", "20", "--store", str(place / "store"), "--scores", "pagerank"]
    result = CliRunner().invoke(app, [*arguments, "--covered", "grade is not null", "--json"])
    assert result.exit_code == 0, result.output
    reasons = {row["reason"]: row["n"] for row in json.loads(result.stdout)["reasons"]}
    assert reasons["covered"] == len(COVERED)
    assert reasons["selected"] == 20
    store = ["--store", str(place / "store")]
    told = CliRunner().invoke(app, ["explain", COVERED[0], *store])
    assert told.exit_code == 0
    assert "covered" in told.stdout


def test_what_can_not_be_covered_is_refused(place):
    with pytest.raises(IdError, match="'nobody'"):
        run(place, covered=["nobody"])
    (place / "others.txt").write_text("nobody\nelse\n")
    with pytest.raises(IdError, match="None of the 2 ids"):
        run(place, covered=str(place / "others.txt"))
    with pytest.raises(InputError, match=r"gone\.txt"):
        run(place, covered=str(place / "gone.txt"))
    with pytest.raises(ConfigError, match="is covered"):
        run(place, covered=COVERED, must_include=COVERED[:1])
    with pytest.raises(InputError, match="160 by covered"):
        run(place, covered=IDS)
    POOL.select(["site", "grade"]).write_csv(place / "two.csv")
    with pytest.raises(InputError, match="column of ids"):
        read_ids(str(place / "two.csv"), "id")


def test_the_sample_of_an_estimate_needs_neither_ids_nor_sources(place):
    config = CurationConfig(
        pool=str(place / "pool.parquet"),
        id="id",
        vector="x",
        budget=20,
        store=str(place / "store"),
        plan={"covered": COVERED, "mixture": {"a": 1, "b": 1}, "by": "site"},
    )
    plan = CurationConfig.build(sample_config(resolve_run(config), 160, 40)).plan
    assert (plan.covered, plan.mixture) == ((), None)


def test_what_names_a_file():
    assert names_file("s3://bucket/ids.parquet")
    assert names_file("labels/ids.csv.gz")
    assert not names_file("label <> 'a.csv'")
    assert not names_file("")


def test_covered_rows_stay_in_a_group_of_duplicates():
    plan = SelectionPlan(
        budget=2, selector="random", deduplicate=["exact_duplicates"], covered=["d", "a"]
    )
    plan.fit(texts=["one", "one", "two", "two", "two", "three"], ids=list("abcdef"))
    told = plan.decisions()["reason"].to_list()
    assert told[0] == told[3] == "covered"
    assert told[1] == told[2] == told[4] == "exact_duplicates"
    assert plan.indices_.tolist() == [5]


def test_constraints_are_about_what_is_handed_out():
    groups = np.array(list("aaaabbbb"))
    plan = SelectionPlan(
        budget=3, selector="top", by="group_id", minima={"a": 2}, covered=["0", "1"], weigh=True
    )
    plan.fit(X[:8], scores=np.arange(8.0), groups=groups, ids=[str(i) for i in range(8)])
    assert sorted(plan.indices_.tolist()) == [2, 3, 7]
    # covered rows stand for some of the pool
    assert plan.weights_.sum() <= 6
