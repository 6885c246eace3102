"""The score store: what is written is what is read, by readers that can't write and never wait."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest

from assay.storage import ScoreStore
from assay.storage.errors import AssayError, QueryError, StoreError
from assay.storage.runs.run_file import RunInfo, RunTablesData
from tests.storage.nights import forget_records

START = datetime(2026, 1, 1, tzinfo=UTC)
RUN_A, RUN_B, RUN_F = "a" * 16, "b" * 16, "f" * 16


def info(run_id: str = RUN_A, *, kind: str = "curate", pool: str = "it's a pool") -> RunInfo:
    return RunInfo(
        run_id=run_id,
        kind=kind,
        pool=pool,
        started_at=START,
        n_samples=4,
        seed=7,
        generation="g1",
        config={"budget": 2},
        versions={"assay": "0"},
        ranked_by="importance",
        pool_fingerprint="p",
    )


def tables(chosen: tuple[int, ...] = (2, 0), n: int = 4, hashes: str = "abcdef") -> RunTablesData:
    samples = pl.DataFrame(
        {
            "sample_id": [f"s{i}" for i in range(n)],
            "source": ["memory"] * n,
            "row": range(n),
            "label": [None] * n,
            "group_id": [None] * n,
            "content_hash": list(hashes[:n]),
            "do main": ["x", "y"] * (n // 2) + ["x"] * (n % 2),
        },
        schema_overrides={"label": pl.String, "group_id": pl.String},
    )
    scored = pl.DataFrame({"key": range(n), "score": [0.5, 2.0, 2.0, -1.0, 0.0, 0.0][:n]})
    return RunTablesData(
        samples=samples,
        scores={"importance": scored, "page rank": scored.head(2)},
        selections=pl.DataFrame(
            {"key": chosen, "position": range(1, len(chosen) + 1), "weight": [1.0] * len(chosen)}
        ),
        decisions=pl.DataFrame(
            {
                "key": range(n),
                "selected": [i in chosen for i in range(n)],
                "stage": ["select"] * n,
                "reason": ["selected" if i in chosen else "not_drawn" for i in range(n)],
                "detail": [json.dumps({"i": i}) for i in range(n)],
            }
        ),
        metrics=pl.DataFrame({"name": ["kl"], "value": [1.0], "baseline": [2.0]}),
    )


@pytest.fixture
def store(tmp_path: Path) -> ScoreStore:
    store = ScoreStore(tmp_path / "store", create=True)
    store.finish(info(), tables())
    return store


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list that grows with every connection to DuckDB."""
    opened: list[None] = []
    connect = duckdb.connect

    def counted(*arguments: Any, **options: Any) -> duckdb.DuckDBPyConnection:
        opened.append(None)
        return connect(*arguments, **options)

    monkeypatch.setattr(duckdb, "connect", counted)
    return opened


def test_an_empty_store_answers_every_view(tmp_path: Path) -> None:
    store = ScoreStore(tmp_path, create=True)
    for view in ("runs", "samples", "scores", "selections", "decisions", "feature_scores"):
        assert store.sql(f"SELECT * FROM {view}").is_empty()
    for view in ("metrics", "latest_samples", "latest_scores", "latest_selection"):
        assert store.sql(f"SELECT * FROM {view}").is_empty()
    assert store.sql("FROM explain('x')").is_empty()
    assert store.sql("FROM top('importance', 3)").is_empty()
    with pytest.raises(QueryError, match="There is no run a"):
        store.sql("FROM diff('a', 'b')")
    assert list(tmp_path.iterdir()) == []


def test_views_have_the_columns_of_the_contract(store: ScoreStore) -> None:
    columns = {
        "runs": "run_id kind of_run request requested_at pool status started_at finished_at "
        "n_samples seed generation config versions",
        "scores": "run_id sample_id method score rank",
        "selections": "run_id sample_id position weight",
        "decisions": "run_id sample_id selected stage reason detail",
        "feature_scores": "run_id method feature score rank selected",
        "metrics": "run_id name value baseline",
        "latest_selection": "pool run_id sample_id position weight",
        "latest_decisions": "pool run_id sample_id selected stage reason detail",
        "explain('s1')": "pool run_id selected stage reason detail method score rank",
        f"diff('{RUN_A}', '{RUN_A[:6]}')": "sample_id change cause score_a score_b reason_a reason_b",
        "top('importance', 2)": "pool sample_id score rank",
    }
    for view, names in columns.items():
        assert store.sql(f"FROM {view}").columns == names.split()
    kept = ["label", "group_id", "content_hash", "do main"]
    assert store.sql("FROM samples").columns == [
        *["run_id", "pool", "sample_id", "source", "row"],
        *kept,
    ]
    assert store.sql("FROM latest_samples").columns[0] == "pool"
    assert store.sql("FROM latest_scores").columns == [
        *["pool", "run_id", "sample_id", "importance"],
        "page rank",
    ]


def test_what_was_written_is_read(store: ScoreStore) -> None:
    assert store.sql("FROM latest_selection ORDER BY position")["sample_id"].to_list() == [
        "s2",
        "s0",
    ]
    ranks = store.sql("SELECT sample_id FROM scores WHERE method = 'importance' ORDER BY rank")
    assert ranks["sample_id"].to_list() == ["s1", "s2", "s0", "s3"]  # a tie breaks by id
    wide = store.sql("FROM latest_scores ORDER BY sample_id")
    assert wide["page rank"].to_list() == [0.5, 2.0, None, None]
    explained = store.sql("FROM explain('s1')").rows(named=True)
    assert [e["method"] for e in explained] == ["importance", "page rank"]
    assert json.loads(explained[0]["detail"]) == {"i": 1}
    run = store.sql("FROM runs").row(0, named=True)
    assert (run["status"], run["seed"], json.loads(run["config"])) == ("done", 7, {"budget": 2})
    assert run["finished_at"] > run["started_at"]


def test_top_gives_the_first_of_a_method(store: ScoreStore) -> None:
    assert store.sql("FROM top('importance', 2)")["sample_id"].to_list() == ["s1", "s2"]


def test_diff_names_the_cause(store: ScoreStore) -> None:
    # s0 goes though nothing of it changed, s2 goes for its content, s4 is new, s3 comes in
    store.finish(info(RUN_B), tables(chosen=(3, 4), n=5, hashes="abXdef"))
    rows = store.sql(f"FROM diff('{RUN_A}', '{RUN_B}')").rows()
    found = {(r[0], r[1], r[2]) for r in rows}
    assert found == {
        ("s0", "out", "competition"),
        ("s2", "out", "content"),
        ("s3", "in", "competition"),
        ("s4", "in", "new"),
    }
    assert {r[0]: r[5:] for r in rows} == {
        "s0": ("selected", "not_drawn"),
        "s2": ("selected", "not_drawn"),
        "s3": ("not_drawn", "selected"),
        "s4": (None, "selected"),
    }
    back = {(r[0], r[2]) for r in store.sql(f"FROM diff('{RUN_B}', '{RUN_A}')").rows()}
    assert ("s4", "gone") in back


@pytest.mark.parametrize(
    ("before", "after", "cause"),
    [
        (0.5, 0.6, "score"),
        (1e-9, 2e-9, "score"),  # of a million rows whose scores sum to 1
        (0.5, 0.5 + 1e-8, "competition"),  # rounding
        (0.0, 1e-15, "competition"),
        (1e9, 1e9 + 1, "competition"),
        (None, 0.5, "score"),
        (0.5, None, "score"),
        (None, None, "competition"),
        (float("inf"), float("inf"), "competition"),
        (float("-inf"), 1.0, "score"),
    ],
)
def test_a_changed_score_is_more_than_rounding(tmp_path: Path, before, after, cause) -> None:
    store = ScoreStore(tmp_path, create=True)
    for run, chosen, score in ((RUN_A, 0, before), (RUN_B, 1, after)):
        data = tables(chosen=(chosen,))
        scored = pl.DataFrame({"key": [0, 2, 3], "score": [score, 1.0, 1.0]})
        data.scores = {"importance": scored.drop_nulls()}
        store.finish(info(run), data)
    rows = {row[0]: row[1:5] for row in store.sql(f"FROM diff('{RUN_A}', '{RUN_B}')").rows()}
    assert rows == {"s0": ("out", cause, before, after), "s1": ("in", "competition", None, None)}


def test_ranks_are_those_of_sorted_scores_then_ids(tmp_path: Path) -> None:
    store = ScoreStore(tmp_path / "store", create=True)
    draw = np.random.default_rng(0)
    n = 500
    data = tables()
    assert data.samples is not None
    assert data.decisions is not None
    data.samples = pl.concat([data.samples] * (n // 4)).with_columns(
        sample_id=pl.format("s{}", pl.int_range(n))
    )
    data.decisions = pl.concat([data.decisions] * (n // 4)).with_columns(
        key=pl.int_range(n), selected=pl.int_range(n).is_in([0, 2])
    )
    values = draw.choice([-np.inf, -1.5, -0.0, 0.0, 2.0, np.inf, *draw.normal(size=40)], n)
    keys = draw.permutation(n)[: n - 7]
    data.scores = {"importance": pl.DataFrame({"key": keys, "score": values[keys]})}
    store.finish(info(), data)
    found = store.sql("SELECT sample_id, rank FROM scores ORDER BY rank")
    best = sorted(keys, key=lambda key: (-values[key], f"s{key}"))
    assert found["sample_id"].to_list() == [f"s{key}" for key in best]
    assert found["rank"].to_list() == list(range(1, n - 6))


def test_diff_where_nothing_is_ranked(tmp_path: Path) -> None:
    store = ScoreStore(tmp_path, create=True)
    for run, chosen in ((RUN_A, 0), (RUN_B, 1)):
        data = tables(chosen=(chosen,))
        data.scores = {}
        store.finish(replace(info(run), ranked_by=None), data)
    rows = store.sql(f"FROM diff('{RUN_A}', '{RUN_B}')")
    assert set(rows["cause"]) == {"competition"}


def test_diff_takes_the_first_digits_of_runs(store: ScoreStore) -> None:
    store.finish(info(RUN_B), tables(chosen=(3, 4), n=5, hashes="abXdef"))
    whole = store.sql(f"FROM diff('{RUN_A}', '{RUN_B}')")
    assert whole.height
    assert store.sql(f"FROM diff('{RUN_A[:5]}', '{RUN_B[:3]}')").equals(whole)
    for wrong, problem in (("xyz", "There is no run xyz"), ("", "Several runs begin with")):
        with pytest.raises(QueryError, match=problem):
            store.sql(f"FROM diff('{RUN_A}', '{wrong}')")


def test_diff_says_what_refused_a_row(store: ScoreStore) -> None:
    data = tables(chosen=(0,))
    refused = pl.when(pl.col("key") == 2)
    data.decisions = data.decisions.with_columns(  # type: ignore[union-attr]
        stage=refused.then(pl.lit("filter")).otherwise("stage"),
        reason=refused.then(pl.lit("filter")).otherwise("reason"),
    )
    store.finish(info(RUN_B), data)
    row = store.sql(f"FROM diff('{RUN_A}', '{RUN_B}')").row(0, named=True)
    assert (row["sample_id"], row["reason_a"], row["reason_b"]) == ("s2", "selected", "filter")


def test_diff_of_rows_known_by_their_content(tmp_path: Path) -> None:
    """Without ids a changed row is another row: one is gone, one is new."""
    store = ScoreStore(tmp_path, create=True)
    for run, names in ((RUN_A, "aabc"), (RUN_B, "abcd")):
        data = tables(chosen=(0, 1, 3), hashes=names)
        seen = [names[:i].count(c) for i, c in enumerate(names)]
        ids = [c + (f"-{k + 1}" if k else "") for c, k in zip(names, seen, strict=True)]
        assert data.samples is not None
        data.samples = data.samples.with_columns(sample_id=pl.Series(ids))
        store.finish(info(run), data)
    rows = store.sql(f"FROM diff('{RUN_A}', '{RUN_B}')")["sample_id", "change", "cause"].rows()
    assert set(rows) == {
        ("a-2", "out", "gone"),
        ("b", "in", "competition"),
        ("c", "out", "score"),
        ("d", "in", "new"),
    }


def test_the_newest_run_of_a_pool(store: ScoreStore) -> None:
    frame = pl.DataFrame({"stage": ["embed"], "kind": ["vectors"], "fingerprint": ["f"]})
    for run, pool, kind in ((RUN_B, "p", "curate"), ("c" * 16, "p", "curate"), (RUN_F, "p", "no")):
        data = tables()
        data.artifacts = frame
        store.finish(info(run, pool=pool, kind=kind), data)
    store.begin(info("d" * 16, pool="p"))
    newest = store.newest_run("p")
    assert newest is not None
    finished = newest.pop("finished_at")
    assert abs(finished - datetime.now(UTC)) < timedelta(minutes=5)
    assert newest == {
        "run_id": "c" * 16,
        "kind": "curate",
        "pool": "p",
        "n_samples": 4,
        "seed": 7,
        "generation": "g1",
        "ranked_by": "importance",
        "config": {"budget": 2},
        "pool_fingerprint": "p",
        "artifacts": {"embed": ("vectors", "f")},
    }
    for before, run in ((None, "c" * 16), ("c" * 16, RUN_B), ("d" * 16, "c" * 16), (RUN_B, None)):
        found = store.newest_run("p", before=before)
        assert (found and found["run_id"]) == run
    assert store.newest_run("nowhere") is None
    assert store.newest_run("p", "no")["run_id"] == RUN_F  # type: ignore[index]
    with pytest.raises(StoreError, match="not a run id"):
        store.newest_run("p", before="../x")
    store.archive("p", keep=1)
    # one that went to the archive is not started from, but has a time
    assert store.newest_run("p", before=RUN_B) is None
    assert store.newest_run("p", before="c" * 16) is None


def test_a_run_file_without_artifacts_is_read(store: ScoreStore) -> None:
    """As earlier versions wrote them."""
    path = store.path / "runs" / f"{RUN_A}.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute("DROP TABLE artifacts")
        con.execute("ALTER TABLE run DROP COLUMN of_run")
    forget_records(store)
    newest = store.newest_run("it's a pool")
    assert newest is not None
    assert newest["artifacts"] == {}


def test_each_pool_has_its_own_newest_run(store: ScoreStore) -> None:
    store.finish(info(RUN_B), tables(chosen=(1,)))
    store.finish(info("c" * 16, pool="another"), tables(chosen=(3,)))
    latest = store.sql("SELECT pool, sample_id FROM latest_selection ORDER BY pool").rows()
    assert latest == [("another", "s3"), ("it's a pool", "s1")]


def test_feature_runs_are_no_pools(store: ScoreStore) -> None:
    frame = pl.DataFrame(
        {"method": ["ecfs"], "feature": ["f"], "score": [1.0], "rank": [1], "selected": [True]}
    )
    store.finish(info(RUN_F, kind="features"), RunTablesData(feature_scores=frame))
    assert store.sql("SELECT feature FROM feature_scores").item() == "f"
    assert store.sql("SELECT DISTINCT run_id FROM latest_selection").item() == RUN_A


def test_runs_under_way_and_failed_are_listed(store: ScoreStore) -> None:
    store.begin(info(RUN_B))
    assert store.sql(f"SELECT status FROM runs WHERE run_id = '{RUN_B}'").item() == "running"
    store.fail(info(RUN_B), "no more room")
    assert store.sql(f"SELECT status FROM runs WHERE run_id = '{RUN_B}'").item() == "failed"
    store.finish(info(RUN_B), tables())
    assert store.sql(f"SELECT status FROM runs WHERE run_id = '{RUN_B}'").item() == "done"
    assert not (store.path / "runs" / f"{RUN_B}.json").exists()


@pytest.mark.parametrize(
    "query",
    [
        "CREATE TABLE t (a INT)",
        "INSERT INTO runs VALUES (1)",
        "DELETE FROM scores",
        "COPY (SELECT 1) TO 'x.csv'",
        "ATTACH 'x.duckdb'",
        "INSTALL httpfs",
        "SET threads = 1",
        "SELECT 1; SELECT 2",
        "FROM read_csv('/etc/hostname')",
        "FROM '/etc/hostname'",
        "SELECT * FROM glob('*')",
        "FROM read_text('/etc/hostname')",
        "selec 1",
        "SELECT nothing FROM runs",
        "",
    ],
)
def test_only_reading_of_the_tables_is_allowed(store: ScoreStore, query: str) -> None:
    before = sorted((p, p.stat().st_mtime_ns) for p in store.path.rglob("*"))
    with pytest.raises(QueryError) as error:
        store.sql(query)
    assert "\n" not in str(error.value)
    assert sorted((p, p.stat().st_mtime_ns) for p in store.path.rglob("*")) == before


def test_a_connection_cannot_write_to_a_run(store: ScoreStore) -> None:
    con = store.connect()
    for statement in (
        f"DELETE FROM r_{RUN_A}.scores",
        f"CREATE TABLE r_{RUN_A}.t (a INT)",
        "SET enable_external_access = true",
        "ATTACH 'other.duckdb'",
        "COPY runs TO 'runs.csv'",
    ):
        with pytest.raises(duckdb.Error):
            con.execute(statement)
    assert con.sql("SELECT count(*) FROM scores").fetchall() == [(6,)]


@pytest.mark.parametrize("query", ["PIVOT scores ON method USING avg(score)", "DESCRIBE runs"])
def test_reading_in_other_words_is_allowed(store: ScoreStore, query: str) -> None:
    assert store.sql(query).height > 0


def test_the_published_file_stands_alone(store: ScoreStore, tmp_path: Path) -> None:
    published = store.publish()
    moved = tmp_path / "elsewhere.duckdb"
    moved.write_bytes(published.read_bytes())
    with duckdb.connect(str(moved), read_only=True) as con:
        assert con.sql("SELECT sample_id FROM latest_selection ORDER BY position").fetchall() == [
            ("s2",),
            ("s0",),
        ]
        assert len(con.sql("FROM explain('s1')").fetchall()) == 2
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{moved}' AS other (READ_ONLY)")
        assert con.sql("SELECT count(*) FROM other.scores").fetchall() == [(6,)]
    pointed = duckdb.connect(str(store.path / "published" / "latest.duckdb"), read_only=True)
    assert pointed.sql("SELECT count(*) FROM runs").fetchall() == [(1,)]


def test_publishing_again_writes_only_what_changed(store: ScoreStore) -> None:
    first = store.publish()
    assert store.publish() == first
    store.finish(info(RUN_B), tables(chosen=(1,)))
    second = store.publish()
    assert second != first
    with duckdb.connect(str(second), read_only=True) as con:
        assert con.sql("SELECT run_id FROM runs").fetchall() == [(RUN_B,)]


def test_publishing_opens_the_runs_once(store: ScoreStore, connections: list[None]) -> None:
    store.publish()
    assert len(connections) == 1


def test_an_opened_run_is_opened_once(store: ScoreStore, connections: list[None]) -> None:
    store.finish(info(RUN_B), tables(chosen=(1,)))
    connections.clear()
    with store.opened(RUN_A), store.opened(RUN_A):
        assert store.run_table(RUN_A, "SELECT run_id FROM run").item() == RUN_A
        assert store.run_table(RUN_A, "SELECT count(*) FROM samples").item() > 0
        assert len(connections) == 1
        assert store.run_table(RUN_B, "SELECT run_id FROM run").item() == RUN_B
        assert len(connections) == 2
    store.run_table(RUN_A, "SELECT run_id FROM run")
    assert len(connections) == 3
    with pytest.raises(StoreError), store.opened("0" * 16):
        pass


@pytest.mark.parametrize("spoil", ["decision", "selection"])
def test_a_run_with_missing_decisions_is_refused(tmp_path: Path, spoil: str) -> None:
    store = ScoreStore(tmp_path, create=True)
    data = tables()
    assert data.decisions is not None
    assert data.selections is not None
    if spoil == "decision":
        data.decisions = data.decisions.head(3)
    else:
        data.selections = data.selections.head(1)
    with pytest.raises(StoreError):
        store.finish(info(), data)
    assert not store.is_finished(RUN_A)
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_is_no_store_is_not_taken_for_one(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    for create in (False, True):
        with pytest.raises(StoreError, match="not a store"):
            ScoreStore(tmp_path, create=create)
    with pytest.raises(StoreError, match="is a file"):
        ScoreStore(tmp_path / "letter.txt", create=True)
    with pytest.raises(StoreError, match="no store"):
        ScoreStore(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("marker", ['{"schema_version": 99}', "{", "[]", '{"schema_version": "x"}'])
def test_a_newer_or_broken_store_is_refused(tmp_path: Path, marker: str) -> None:
    (tmp_path / "store.json").write_text(marker)
    with pytest.raises(StoreError):
        ScoreStore(tmp_path)


def test_a_damaged_run_file_is_named_and_left_out(
    store: ScoreStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.finish(info(RUN_B), tables(chosen=(1,)))
    (store.path / "runs" / f"{RUN_B}.duckdb").write_bytes(b"not a database")
    assert store.sql("SELECT DISTINCT run_id FROM latest_selection").item() == RUN_A
    with store.connect() as con:
        assert con.sql("SELECT DISTINCT run_id FROM samples").fetchall() == [(RUN_A,)]
    (named,) = {record.getMessage() for record in caplog.records}
    assert f"{RUN_B}.duckdb" in named
    assert "assay check --repair" in named
    for ask in (
        lambda: store.run_table(RUN_B, "FROM run"),
        lambda: store.sql("FROM runs", runs=[RUN_B]),
        lambda: store.is_finished(RUN_B),
        lambda: store.make_current(RUN_B),
    ):
        with pytest.raises(StoreError, match=rf"{RUN_B}.*assay check --repair"):
            ask()


@pytest.mark.parametrize("run_id", ["../../etc/passwd", "A" * 16, "a" * 15])
def test_run_ids_cannot_leave_the_store(store: ScoreStore, run_id: str) -> None:
    with pytest.raises(AssayError):
        store.run_table(run_id, "SELECT 1")


def test_times_keep_their_order_within_a_day(store: ScoreStore) -> None:
    started = store.sql("SELECT started_at FROM runs").item()
    assert abs(started - START) < timedelta(seconds=1)
