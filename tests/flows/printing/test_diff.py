"""`assay diff`: which runs are meant, what is said of them, what is handed out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assay.flows.cli import main
from assay.flows.report.differences import difference
from assay.storage import ScoreStore
from assay.storage.errors import ColumnError, ConfigError, StoreError
from assay.storage.runs.run_file import RunTablesData
from tests.storage.test_store import info, tables

ONE, TWO, THREE, OTHER, RANKED = "1" * 16, "12" * 8, "3" * 16, "4" * 16, "5" * 16


@pytest.fixture
def store(tmp_path: Path) -> ScoreStore:
    store = ScoreStore(tmp_path / "store", create=True)
    store.finish(info(ONE, pool="p"), tables(chosen=(0, 1, 2)))
    store.finish(info(TWO, pool="p"), tables(chosen=(0, 1, 3)))
    store.finish(info(THREE, pool="p"), tables(chosen=(0, 4, 3), n=5, hashes="abcdX"))
    return store


@pytest.fixture
def ranked(store: ScoreStore) -> ScoreStore:
    frame = pl.DataFrame(
        {"method": ["ecfs"], "feature": ["f"], "score": [1.0], "rank": [1], "selected": [True]}
    )
    store.finish(info(RANKED, kind="features", pool="p"), RunTablesData(feature_scores=frame))
    return store


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ((), (TWO, THREE)),
        (("previous", "latest"), (TWO, THREE)),
        (("latest", "previous"), (THREE, TWO)),
        (("previous", TWO), (ONE, TWO)),
        ((ONE, "latest"), (ONE, THREE)),
        (("11", "3"), (ONE, THREE)),
        ((THREE, THREE), (THREE, THREE)),
        (("latest", "latest"), (THREE, THREE)),
    ],
)
def test_runs_by_name(ranked, asked, meant) -> None:
    found = difference(ranked, *asked)
    assert (found.run_a["run_id"], found.run_b["run_id"]) == meant
    if meant == (TWO, THREE):
        assert set(found.rows["sample_id", "change", "cause"].rows()) == {
            ("s4", "in", "new"),
            ("s1", "out", "competition"),
        }
        assert found.stayed == 2
    if meant[0] == meant[1]:
        assert found.rows.is_empty()
        assert found.stayed == 3


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        (("previous", ONE), ConfigError, "first of the pool"),
        (("1", "3"), ConfigError, "2 runs begin with 1"),
        ((RANKED, THREE), ConfigError, "'features' run"),
        (("beef", THREE), ColumnError, "beef"),
        (("", THREE), ColumnError, "run"),
        (("'; DROP TABLE runs", THREE), ColumnError, "DROP"),
    ],
)
def test_runs_that_cannot_be_meant(ranked, asked, kind, said) -> None:
    with pytest.raises(kind, match=said):
        difference(ranked, *asked)


def test_runs_that_are_not_finished(store) -> None:
    store.begin(info(OTHER, pool="p"))
    with pytest.raises(ConfigError, match="running"):
        difference(store, OTHER, THREE)
    with pytest.raises(StoreError, match="no finished"):
        difference(ScoreStore(store.path.parent / "empty", create=True))
    with pytest.raises(StoreError, match="nowhere"):
        difference(store, pool="nowhere")


def test_several_pools(store) -> None:
    store.finish(info(OTHER, pool="q"), tables())
    with pytest.raises(ConfigError, match="--pool"):
        difference(store)
    assert difference(store, pool="p").run_b["run_id"] == THREE
    assert difference(store, "previous", "3").run_a["run_id"] == TWO
    assert difference(store, THREE, OTHER).run_b["pool"] == "q"


def test_archived_runs_are_found(store) -> None:
    store.archive("p", keep=1)
    assert difference(store, ONE, TWO).rows.height == 2
    assert difference(store).run_a["run_id"] == TWO


def called(capsys: Any, monkeypatch: Any, *arguments: Any) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["assay", "diff", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_command_prints_and_exports(store, capsys, monkeypatch, tmp_path) -> None:
    at = ["--store", store.path]
    code, out, _ = called(capsys, monkeypatch, *at)
    assert code == 0
    assert f"From run {TWO} to run {THREE} of p: 1 rows came in, 1 went out, 2 stayed." in out
    assert out.index("By cause:") < out.index("s4")
    code, out, _ = called(capsys, monkeypatch, ONE, TWO, *at, "--json")
    told = json.loads(out)
    assert (told["run_a"], told["in"], told["out"], told["stayed"]) == (ONE, 1, 1, 2)
    assert told["causes"][0] == {"change": "in", "cause": "competition", "rows": 1}
    assert [row["sample_id"] for row in told["rows"]] == ["s3", "s2"]
    rows = store.sql(f"FROM diff('{ONE}', '{TWO}')")
    for name, read in (
        ("d.parquet", pl.read_parquet),
        ("d.csv", pl.read_csv),
        ("d.json", lambda path: pl.DataFrame(json.loads(path.read_text())["rows"])),
    ):
        code, out, _ = called(capsys, monkeypatch, ONE, TWO, *at, "--out", tmp_path / name)
        assert code == 0
        assert "By cause:" in out
        assert "s3" not in out
        assert read(tmp_path / name).select(rows.columns).rows() == rows.rows()
    code, out, _ = called(capsys, monkeypatch, ONE, TWO, *at, "--format", "csv")
    assert out.splitlines()[0] == ",".join(rows.columns)
    code, out, _ = called(capsys, monkeypatch, ONE, ONE, *at)
    assert (code, "0 rows came in, 0 went out, 3 stayed." in out) == (0, True)
    code, _, err = called(capsys, monkeypatch, "beef", ONE, *at)
    assert (code, "beef" in err) == (2, True)


def test_another_score_is_no_changed_score(store) -> None:
    for run, method, score in ((OTHER, "pagerank", 3.0), (RANKED, "importance", 4.0)):
        data = tables(chosen=(0, 1, 2) if run == OTHER else (0, 1, 3))
        scored = pl.DataFrame({"key": range(4), "score": [score] * 4})
        data.scores = {method: scored, "both": scored}
        store.finish(replace(info(run, pool="p"), ranked_by=method), data)
    found = difference(store, OTHER, RANKED).rows
    assert set(found["cause"]) == {"competition"}
    assert found["score_a"].null_count() == 2
    assert found["score_b"].to_list() == [4.0, 4.0]
