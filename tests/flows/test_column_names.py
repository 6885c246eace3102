"""Columns of any name go through curate, sql, export, explain and diff; or are refused at once."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from assay.flows.export.write import export
from assay.flows.printing.explaining import explanation
from assay.flows.report.differences import difference
from assay.flows.running.runner import curate
from assay.storage import ScoreStore
from assay.storage.errors import AssayError, ConfigError
from assay.storage.names import EXPORT_NAMES, SAMPLE_NAMES, VIEW_NAMES, fold
from assay.storage.runs.schema import RUNS_COLUMNS, TABLES

N = 8
RESERVED = {*SAMPLE_NAMES, *VIEW_NAMES, *EXPORT_NAMES, "knn_density"}
INSIDE = {part.split()[0] for columns in TABLES.values() for part in columns.split(", ")}
NAMES = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=5
) | st.sampled_from(
    [
        *sorted(INSIDE | RESERVED),
        "Key",
        "LABEL",
        "Weight",
        "problem",
        "kept.key",
        "value",
        "chosen",
        "share",
        "select",
        "^a$",
        "*",
        "a,b",
        'a"b',
        "a'b",
        "a.b",
        "assay",
        "assay.label",
        "group by",
        "é",
        "É",
        "__row",
    ]
)
SETTINGS: dict[str, Any] = {"id": "id", "text": "text", "select": "random", "budget": 4}


def frame_of(columns: dict[str, list[Any]]) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(40)]
    texts = [" ".join(rng.choice(words, 6)) for _ in range(N)]
    return pl.DataFrame({"id": range(N), "text": texts, **columns})


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@settings(max_examples=12, deadline=None)
@given(kept=NAMES.filter(lambda n: n not in ("id", "text")), other=NAMES)
def test_a_kept_column_of_any_name(
    tmp_path_factory: pytest.TempPathFactory, kept: str, other: str
) -> None:
    folder = tmp_path_factory.mktemp("names")
    columns: dict[str, list[Any]] = {kept: [i % 2 for i in range(N)]}
    if other not in ("id", "text", kept):
        columns[other] = [1 - i % 2 for i in range(N)]
    frame_of(columns).write_parquet(folder / "p.parquet")
    store = ScoreStore(folder / "s", create=True)

    def run(seed: int) -> Any:
        return curate(
            pool=str(folder / "p.parquet"), keep=[kept], scores=["knn_density"], seed=seed,
            store=str(folder / "s"), plan={"filters": [f"{quoted(kept)} = 1"]}, **SETTINGS,
        )  # fmt: skip

    if fold(kept) in RESERVED:
        with pytest.raises(ConfigError, match="can't be kept"):
            run(0)
        assert not (folder / "s" / "runs").exists()
        return
    one, two = run(0), run(1)
    rows = store.sql(f"SELECT sample_id, {quoted(kept)} AS k FROM latest_samples ORDER BY row")
    assert rows["k"].to_list() == columns[kept]
    chosen = two.sql("SELECT sample_id FROM latest_selection ORDER BY position")["sample_id"]
    assert sorted(chosen) == [str(i) for i in range(1, N, 2)]
    assert export(store, folder / "o.parquet", run=two.run_id) == 4
    out = pl.read_parquet(folder / "o.parquet")
    assert out.get_column(kept).to_list() == [1] * 4
    assert len({fold(name) for name in out.columns[-3:]} | {fold(kept)}) == 4
    assert explanation(store, "1")[0]["selected"]
    assert difference(store, one.run_id, two.run_id).rows.height == 0


def test_columns_named_as_those_of_every_table_are_kept_and_published(tmp_path: Path) -> None:
    inside = {part.split()[0] for part in RUNS_COLUMNS.split(", ")} | INSIDE
    names = sorted(name for name in inside if fold(name) not in RESERVED | {"id", "text"})
    assert {"selected", "reason", "stage", "detail", "status", "kind", "x"} <= set(names)
    frame_of({name: [f"{name}-{row}" for row in range(N)] for name in names}).write_parquet(
        tmp_path / "p.parquet"
    )
    result = curate(
        pool=str(tmp_path / "p.parquet"), keep=names, scores=["knn_density"],
        store=str(tmp_path / "s"), **SETTINGS,
    )  # fmt: skip
    queries = [
        f"SELECT sample_id, {', '.join(map(quoted, names))} FROM latest_samples ORDER BY row",
        "SELECT * FROM explain('3') ORDER BY method",
        "SELECT * FROM top('knn_density', 3)",
        f"SELECT * FROM diff('{result.run_id}', '{result.run_id}')",
        *(f"SELECT count(*) FROM {view}" for view in ("latest_scores", "latest_decisions", "runs")),
    ]
    with duckdb.connect(str(tmp_path / "s/published/latest.duckdb"), read_only=True) as published:
        for query in queries:
            assert published.sql(query).pl().equals(result.sql(query)), query
    rows = result.sql(queries[0])
    assert rows["selected"].to_list() == [f"selected-{row}" for row in range(N)]
    assert export(result.store, tmp_path / "o.csv") == 4


@pytest.mark.parametrize("name", ["source", "label", "row", "group_id", "Label", "knn_density"])
def test_the_pools_own_column_is_meant(tmp_path: Path, name: str) -> None:
    values = ["spam"] * 3 + ["good"] * (N - 3)
    frame = frame_of({name: values, "cls": ["x", "y"] * (N // 2), "cost": [1.0] * N})
    frame.write_parquet(tmp_path / "p.parquet")
    result = curate(
        pool=str(tmp_path / "p.parquet"), label="cls", scores=["knn_density"],
        expressions={"spam": f"({name} = 'spam')::int + 10 * (assay.label = 'y')::int"},
        plan={
            "filters": ["assay.label <> 'z'"], "by": name, "quotas": {"spam": 1}, "cost": "COST",
        },
        store=str(tmp_path / "s"), **SETTINGS,
    )  # fmt: skip
    chosen = result.sql("SELECT sample_id FROM latest_selection")["sample_id"].cast(int)
    assert sum(values[at] == "spam" for at in chosen) == 1
    scores = result.sql("SELECT spam FROM latest_scores ORDER BY sample_id")["spam"].to_list()
    assert scores == [(v == "spam") + 10 * (at % 2) for at, v in enumerate(values)]


@pytest.mark.parametrize(
    "name", ["PageRank", "key", "POOL", "run_id", "Sample_ID", "position", "label", "random", ""]
)
def test_a_score_of_ones_own_with_a_name_of_ours(tmp_path: Path, name: str) -> None:
    frame = frame_of({})
    with pytest.raises(ConfigError, match="expression"):
        curate(
            pool=frame, scores=["knn_density"], expressions={name: "length(text)"},
            store=str(tmp_path / "s"), **SETTINGS,
        )  # fmt: skip
    twice = {"words": "1", "Words": "2"}
    with pytest.raises(AssayError, match="another expression"):
        curate(
            pool=frame, scores=["knn_density"], expressions=twice, store=str(tmp_path / "s"),
            **SETTINGS,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())  # refused before any work: not even a store was made
    good = curate(
        pool=frame, scores=["knn_density"], expressions={"n": "1"}, store=str(tmp_path / "s"),
        **SETTINGS,
    )  # fmt: skip
    before = sorted((tmp_path / "s").rglob("*"))
    with pytest.raises(ConfigError, match="expression"):
        curate(
            pool=frame, scores=["knn_density"], expressions={"n": "1", name: "2"}, seed=1,
            store=str(tmp_path / "s"), **SETTINGS,
        )  # fmt: skip
    assert sorted((tmp_path / "s").rglob("*")) == before
    assert good.store.sql("SELECT run_id FROM runs").item() == good.run_id


def test_a_result_answers_for_its_own_run(tmp_path: Path) -> None:
    for pool in ("a", "b"):
        frame_of({"k": [pool] * N if pool == "a" else [[1]] * N}).write_parquet(
            tmp_path / f"{pool}.parquet"
        )
    results = [
        curate(
            pool=str(tmp_path / f"{pool}.parquet"), keep=["k"], scores=["knn_density"],
            store=str(tmp_path / "s"), **SETTINGS,
        )
        for pool in ("a", "b")
    ]  # fmt: skip
    for pool, result in zip("ab", results, strict=True):
        assert result.sql("SELECT DISTINCT pool FROM latest_samples").item() == pool
        assert result.sql("SELECT count(*) FROM latest_selection").item() == 4
    whole = ScoreStore(tmp_path / "s").sql("SELECT DISTINCT pool, k FROM latest_samples ORDER BY 1")
    assert whole.rows() == [("a", "a"), ("b", "[1]")]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "jsonl"])
def test_columns_that_differ_by_case_are_told_apart_or_refused(tmp_path: Path, suffix: str) -> None:
    columns: dict[str, list[Any]] = {
        "Price": [1.0] * N, "price": [10.0] * N, "Topic": ["a"] * 2 + ["b"] * 6, "topic": ["x", "y"] * 4,
    }  # fmt: skip
    frame, path = frame_of(columns), tmp_path / f"p.{suffix}"
    write = {"parquet": frame.write_parquet, "csv": frame.write_csv, "jsonl": frame.write_ndjson}
    write[suffix](path)

    def run(budget: int = 4, **options: Any) -> Any:
        given = {**SETTINGS, "budget": budget, "scores": ["knn_density"], **options}
        return curate(pool=str(path), store=str(tmp_path / "s"), **given)

    def chosen(result: Any) -> list[int]:
        rows = result.sql("SELECT sample_id FROM latest_selection")["sample_id"]
        return sorted(rows.cast(int).to_list())

    for cost, count in (("Price", 7), ("price", 2)):
        budget = 7 if cost == "Price" else 20
        assert len(chosen(run(budget, plan={"cost": cost}))) == count
    for by, values, least in (("Topic", columns["Topic"], "a"), ("topic", columns["topic"], "y")):
        one = chosen(run(plan={"by": by, "quotas": {least: 0}}))
        assert len(one) == 4
        assert least not in {values[row] for row in one}
    for label in ("Topic", "topic"):
        labels = run(label=label).sql("SELECT label FROM latest_samples ORDER BY row")["label"]
        assert labels.to_list() == columns[label]
    runs = len(ScoreStore(tmp_path / "s").sql("SELECT run_id FROM runs"))
    for options, name in (
        ({"plan": {"cost": "PRICE"}}, "PRICE"),
        ({"plan": {"by": "TOPIC", "quotas": {"a": 0}}}, "TOPIC"),
        ({"label": "TOPIC"}, "TOPIC"),
    ):
        with pytest.raises(AssayError, match=f"'{name}'") as refused:
            run(**options)
        assert name.title() in str(refused.value)
        assert "\n" not in str(refused.value)
    assert len(ScoreStore(tmp_path / "s").sql("SELECT run_id FROM runs")) == runs


# a kept column of one pool, night after night: in every order some pair has no common type but text
NIGHTS: dict[str, list[Any]] = {
    "whole": [1] * N,
    "real": [0.5] * N,
    "text": ["x"] * N,
    "day": [dt.date(2024, 2, 29)] * N,
    "list": [[1, 2]] * N,
    "struct": [{"a": 1}] * N,
    "flag": [True, None] * (N // 2),
    "none": [None] * N,
    "bytes": [b"\xff\x00"] * N,
}


@settings(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.permutations(sorted(NIGHTS)).map(lambda kinds: kinds[:3]))
def test_a_kept_column_whose_type_changes_from_night_to_night(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("nights")
    results = []
    for kind in kinds:
        frame_of({"k": NIGHTS[kind]}).write_parquet(folder / "p.parquet")
        results.append(
            curate(
                pool=str(folder / "p.parquet"), keep=["k"], scores=["knn_density"],
                store=str(folder / "s"), **SETTINGS,
            )
        )  # fmt: skip
    store = ScoreStore(folder / "s")
    assert len({result.run_id for result in results}) == 3
    assert store.sql("SELECT count(DISTINCT pool) FROM runs").item() == 1
    with duckdb.connect(str(folder / "s/published/latest.duckdb"), read_only=True) as published:
        views = [row[0] for row in published.sql("SHOW TABLES").fetchall()]
        assert {"latest_samples", "latest_scores", "latest_selection", "samples"} <= set(views)
        for view in views:
            latest = published.sql(f"SELECT * FROM {view}").pl()
            assert store.sql(f"SELECT * FROM {view}").height >= latest.height, view
    counts = store.sql("SELECT run_id, count(k) FROM samples GROUP BY ALL").rows()
    held = {kind: sum(value is not None for value in NIGHTS[kind]) for kind in kinds}
    assert dict(counts) == {r.run_id: held[kind] for r, kind in zip(results, kinds, strict=True)}
    for result, kind in zip(results, kinds, strict=True):
        rows = result.sql("SELECT k FROM latest_samples")["k"]
        assert rows.count() == held[kind]
    change = difference(store, results[0].run_id, results[2].run_id)
    assert change.rows.height == 0
    assert export(store, folder / "o.parquet", run=results[2].run_id) == 4
