"""`assay gc`, `keep_runs` and `--all-runs`, from the command line and from Python."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows import cli, curate, rank_features
from assay.flows.commands.service import print_cleaning
from assay.flows.config.curation import CurationConfig
from assay.flows.config.features import FeatureConfig
from assay.flows.printing.summary import print_curation
from assay.flows.running.results import curation_summary
from assay.storage import ScoreStore
from assay.storage.errors import ConfigError

POOL = pl.DataFrame({"id": range(60), "text": [f"about {i % 9} things and {i}" for i in range(60)]})
SMALL = {"dimensions": 8, "buckets": 2**10}


def night(store: Path, number: int, **settings: Any) -> Any:
    """Curate a pool that lacks another row every night."""
    given: dict[str, Any] = {
        "pool": POOL.filter(pl.col("id") != number), "name": "docs", "id": "id", "text": "text",
        "budget": 6, "scores": ["pagerank"], "select": "random", "embedding": SMALL,
        "store": str(store), "keep_runs": 2,
    }  # fmt: skip
    return curate(**given | settings)


def assay(*arguments: object) -> Any:
    done = CliRunner().invoke(cli.app, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """Return a store in which a pool was curated on four nights and two are kept, and the results."""
    store = tmp_path_factory.mktemp("nights") / "store"
    return store, [night(store, number) for number in range(4)]


def test_keep_runs_is_no_part_of_a_run(tmp_path: Path) -> None:
    for config in (CurationConfig, FeatureConfig):
        assert config.model_fields["keep_runs"].default == 90
        with pytest.raises(ConfigError, match="keep_runs"):
            config.build({"label": "y", "keep_runs": 0})
    first = night(tmp_path, 0)
    again = night(tmp_path, 0, keep_runs=50)
    assert first.run_id == again.run_id
    assert not again.computed


def test_older_runs_go_to_the_archive(nights: tuple[Path, list[Any]]) -> None:
    store, results = nights
    runs = [result.run_id for result in results]
    listed = json.loads(assay("runs", "--store", store, "--json").stdout)["rows"]
    assert {row["run_id"] for row in listed} == set(runs[2:])
    all_of_them = json.loads(assay("runs", "--store", store, "--all-runs", "--json").stdout)["rows"]
    assert {row["run_id"] for row in all_of_them} == set(runs)
    query = "SELECT count(DISTINCT run_id) AS n FROM decisions"
    assert json.loads(assay("sql", query, "--store", store, "--json").stdout)["rows"] == [{"n": 2}]
    counted = assay("sql", query, "--store", store, "--all-runs", "--json").stdout
    assert json.loads(counted)["rows"] == [{"n": 4}]


def test_an_archived_run_is_finished_and_becomes_the_current_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = [night(tmp_path, number) for number in range(3)]
    again = night(tmp_path, 0)
    assert (again.run_id, again.computed) == (results[0].run_id, False)
    print_curation(again)
    assert "Nothing changed" in capsys.readouterr().out
    assert curation_summary(again)["selected"] == 6
    listed = json.loads(assay("runs", "--store", tmp_path, "--json").stdout)["rows"]
    assert [row["run_id"] for row in listed] == [results[0].run_id, results[2].run_id]
    assert again.sql("SELECT DISTINCT run_id FROM latest_selection").item() == again.run_id


def test_an_archived_run_is_named_with_all_runs(
    nights: tuple[Path, list[Any]], tmp_path: Path
) -> None:
    store, results = nights
    runs = [result.run_id for result in results]
    told = assay("diff", runs[0], runs[3], "--store", store, "--json").stdout
    assert {"sample_id", "change", "cause"} <= set(json.loads(told)["columns"])
    out = tmp_path / "subset.parquet"
    named = ("--run", runs[0], "--store", store, "--out", out)
    assert CliRunner().invoke(cli.app, ["export", *map(str, named)]).exit_code != 0
    assay("export", *named, "--all-runs")
    assert pl.read_parquet(out).height == 6


def test_feature_runs_are_kept_apart(tmp_path: Path) -> None:
    results = []
    for number in range(3):
        table = pl.DataFrame({"a": [0, 0, 1, number] * 5, "y": ["n", "n", "p", "p"] * 5})
        results.append(
            rank_features(table=table, name="t", label="y", k=1, store=str(tmp_path), keep_runs=1)
        )
    store = ScoreStore(tmp_path)
    assert store.sql("SELECT run_id FROM runs")["run_id"].to_list() == [results[2].run_id]
    assert store.sql("FROM feature_scores", all_runs=True)["run_id"].n_unique() == 3


def test_gc_leaves_what_the_kept_runs_need(tmp_path: Path) -> None:
    store = tmp_path / "store"
    results = [night(store, number) for number in range(3)]
    would = json.loads(assay("gc", "--store", store, "--dry-run", "--json").stdout)
    assert would["dry_run"]
    assert {one["what"] for one in would["removed"]} == {"artifact"}
    freed = json.loads(assay("gc", "--store", store, "--json").stdout)
    assert freed["removed"] == would["removed"]
    assert freed["bytes"] == sum(one["bytes"] for one in freed["removed"]) > 0
    assert not any((store / one["where"]).exists() for one in freed["removed"])
    assert sum("frames" in one["where"] for one in freed["removed"]) == 1
    assert "nothing to remove" in assay("gc", "--store", store).stdout
    checked = json.loads(assay("check", "--store", store, "--json").stdout)
    assert not [f for f in checked["findings"] if f["level"] == "damage"]
    assay("export", "--store", store, "--run", results[1].run_id, "--out", tmp_path / "a.csv")
    # the next night starts from what was kept
    assert night(store, 4).computed
    assert ScoreStore(store).sql("SELECT count(*) FROM latest_decisions").item() == 59


def test_gc_tells_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    removed = [
        {"what": "artifact", "where": "artifacts/graph/a", "bytes": 3 * 2**30},
        {"what": "artifact", "where": "artifacts/graph/b", "bytes": 2**20},
        {"what": "leftover", "where": "runs/.x.1-2.tmp", "bytes": 10},
    ]
    found = {"store": "s", "dry_run": True, "bytes": 3 * 2**30 + 2**20 + 10, "removed": removed}
    print_cleaning(found)
    told = capsys.readouterr().out
    assert "2 artifacts that no kept run refers to: 3.0 GiB" in told
    assert "artifacts/graph/b" in told
    assert "nothing was removed" in told
    print_cleaning(found | {"dry_run": False})
    assert "3.0 GiB freed." in capsys.readouterr().out
