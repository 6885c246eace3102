"""Which run is the newest: the one that a call asked for last, whatever the clock says."""

from __future__ import annotations

import importlib
import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.storage import ScoreStore
from assay.storage.disk.boundaries import hooked
from assay.storage.errors import StoreError
from assay.storage.runs.requests import next_request, read_requests, request_files
from tests.storage.nights import info, night_id, run_night, tables

LATEST = "SELECT DISTINCT run_id FROM latest_decisions"


@pytest.fixture
def store(tmp_path: Path) -> ScoreStore:
    return ScoreStore(tmp_path / "store", create=True)


def current(store: ScoreStore) -> set[str]:
    """Return the newest run, which views, the published file and the next run must agree on."""
    seen = store.sql(LATEST).item()
    with store.connect() as con:
        assert con.sql(LATEST).fetchall() == [(seen,)]
    published = store.publish().with_name("latest.duckdb")
    with duckdb.connect(str(published), read_only=True) as con:
        assert con.sql(LATEST).fetchall() == [(seen,)]
        shown = con.sql("SELECT run_id, request, requested_at FROM runs").fetchall()
    newest = store.newest_run("docs")
    assert newest is not None
    assert newest["run_id"] == seen
    listed = store.sql("SELECT run_id, request FROM runs").rows()
    assert {row[:2] for row in shown} <= set(listed)
    assert seen in {row[0] for row in shown}
    return seen


def test_a_call_makes_its_run_the_current_one_again(store: ScoreStore) -> None:
    runs = [run_night(store, night) for night in range(3)]
    assert current(store) == runs[2]
    for run in (runs[0], runs[1], runs[0], runs[2]):
        made = store.make_current(run)
        assert made == {"kind": "curate", "pool": "docs"}
        assert current(store) == run
    assert [run for _, _, run in request_files(store.path)] == [runs[1], runs[0], runs[2]]


def test_a_call_for_the_current_run_changes_nothing(store: ScoreStore) -> None:
    run_night(store, 0)
    newest = run_night(store, 1)
    store.publish()
    before = sorted((p, p.stat().st_mtime_ns) for p in store.path.rglob("*"))
    store.make_current(newest)
    store.publish()
    assert sorted((p, p.stat().st_mtime_ns) for p in store.path.rglob("*")) == before


def test_each_pool_and_kind_has_its_current_run(store: ScoreStore) -> None:
    store.finish(info(0), tables(0))
    store.finish(info(1), tables(1))
    other = run_night(store, 5, "other")
    store.make_current(night_id(0))
    newest = dict(store.sql("SELECT DISTINCT pool, run_id FROM latest_decisions").rows())
    assert newest == {"docs": night_id(0), "other": other}


@pytest.mark.parametrize("kind", ["split", "map"])
def test_a_run_that_belongs_to_another_names_it(store: ScoreStore, kind: str) -> None:
    of = run_night(store, 0)
    own = replace(info(1), run_id="5" * 16, kind=kind, of_run=of)
    store.begin(own)
    shown = "SELECT kind, of_run, request, status FROM runs WHERE run_id = '5555555555555555'"
    assert store.sql(shown).rows() == [(kind, of, 2, "running")]
    store.finish(own, replace(tables(1)))
    assert store.sql(shown).rows() == [(kind, of, 2, "done")]
    assert current(store) == of
    assert store.newest_run("docs", kind)["run_id"] == "5" * 16  # type: ignore[index]
    with duckdb.connect(str(store.publish()), read_only=True) as con:
        assert con.sql(shown).fetchall() == [(kind, of, 2, "done")]


def test_an_archived_run_comes_back_and_the_least_asked_for_goes(store: ScoreStore) -> None:
    runs = [run_night(store, night) for night in range(4)]
    assert store.archive("docs", keep=2) == runs[:2]
    store.make_current(runs[1])
    assert current(store) == runs[1]
    assert (store.path / "runs" / f"{runs[1]}.duckdb").exists()
    assert store.archive("docs", keep=2) == [runs[2]]
    assert set(store.sql("SELECT run_id FROM runs")["run_id"]) == {runs[1], runs[3]}


@pytest.mark.parametrize("back", [timedelta(minutes=1), timedelta(days=4000)])
def test_a_clock_that_goes_back_decides_nothing(
    store: ScoreStore, monkeypatch: pytest.MonkeyPatch, back: timedelta
) -> None:
    first = run_night(store, 0)

    class Earlier(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) - back

    monkeypatch.setattr(importlib.import_module(ScoreStore.__module__), "datetime", Earlier)
    second = run_night(store, 1)
    assert current(store) == second
    assert store.archive("docs", keep=1) == [first]
    times = dict(store.sql("SELECT run_id, finished_at FROM runs", all_runs=True).rows())
    assert times[second] < times[first]


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(calls=st.lists(st.integers(0, 3), min_size=1, max_size=7), keep=st.integers(1, 3))
def test_any_history_of_calls(
    tmp_path_factory: pytest.TempPathFactory, calls: list[int], keep: int
) -> None:
    """The last call's run is the newest; at hand are the runs of the last different calls."""
    store = ScoreStore(tmp_path_factory.mktemp("calls") / "store", create=True)
    for night in calls:
        if store.is_finished(night_id(night)):
            store.make_current(night_id(night))
        else:
            run_night(store, night)
        store.archive("docs", keep=keep)
    last = list(dict.fromkeys(reversed(calls)))
    assert store.sql(LATEST).item() == night_id(last[0])
    at_hand = set(store.sql("SELECT run_id FROM runs")["run_id"])
    assert night_id(last[0]) in at_hand
    assert len(at_hand) == min(keep, len(last))
    everything = store.sql("SELECT run_id FROM runs ORDER BY request DESC", all_runs=True)
    assert everything["run_id"].to_list() == [night_id(night) for night in last]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("renewed", [False, True])
def test_killed_anywhere_the_next_writer_ends_what_was_begun(tmp_path: Path, renewed: bool) -> None:
    """The run whose file is there is the newest at once, and archiving is ended by any call."""

    def work(store: ScoreStore) -> None:
        if renewed:
            store.make_current(night_id(0))
        else:
            own = info(3, config={"keep_runs": 2})
            store.begin(own)
            store.finish(own, tables(3))
        store.publish()
        store.archive("docs", keep=2)

    def begun(name: str) -> ScoreStore:
        store = ScoreStore(tmp_path / name, create=True)
        for night in range(3):
            store.finish(info(night, config={"keep_runs": 2}), tables(night))
        store.archive("docs", keep=2)
        return store

    moments: list[str] = []
    with hooked(lambda moment, path: moments.append(f"{moment} {path.parent.name}")):
        work(begun("whole"))
    wanted = [at for at, m in enumerate(moments) if not m.startswith(("file begun", "file writ"))]
    for at in wanted[:: max(1, len(wanted) // 8)]:
        store = begun(f"killed {at}")
        passed = 0

        def hook(moment: str, path: Path, at: int = at) -> None:
            nonlocal passed
            passed += 1
            if passed > at:
                raise Killed

        with suppress(Killed), hooked(hook):
            work(store)
        own = night_id(0 if renewed else 3)
        seen = store.sql(LATEST).item()
        assert seen in (night_id(2), own), moments[at]
        if not renewed and (store.path / "runs" / f"{own}.duckdb").exists():
            assert seen == own, moments[at]
        for note in (store.path / "runs").glob("*.json"):
            dead = json.loads(note.read_text()) | {"process": 2**22 + 1, "process_started": None}
            note.write_text(json.dumps(dead))
        with store.writing("anything"):
            pass
        assert store.sql(LATEST).item() == seen, moments[at]
        assert len(list((store.path / "runs").glob("*.duckdb"))) == 2, moments[at]
        assert not list((store.path / "runs").glob("*.json")) or seen != own


def test_a_call_that_is_made_again_has_the_number_of_the_first(store: ScoreStore) -> None:
    run_night(store, 0)
    store.begin(info(1))
    store.fail(info(1), "stopped")
    store.begin(info(1))
    assert store.sql("SELECT request FROM runs WHERE status = 'running'").item() == 2
    store.fail(info(1), "stopped")
    run_night(store, 2)
    store.finish(info(1), tables(1))
    numbers = dict(store.sql("SELECT run_id, request FROM runs").rows())
    assert numbers == {night_id(0): 1, night_id(2): 3, night_id(1): 4}


def test_numbers_are_not_given_twice(store: ScoreStore) -> None:
    for night in range(3):
        run_night(store, night)
    last = request_files(store.path)[-1][0]
    last.write_bytes(b"damaged")
    assert next_request(store.path) == 4
    run_night(store, 7)
    assert store.sql("SELECT max(request) FROM runs").item() == 4


@pytest.mark.parametrize("spoil", ["digit", "renamed", "empty", "nested", "folder"])
def test_a_record_that_does_not_fit_is_not_believed(store: ScoreStore, spoil: str) -> None:
    runs = [run_night(store, night) for night in range(2)]
    path = request_files(store.path)[0][0]
    data = path.read_bytes()
    if spoil == "digit":
        path.write_bytes(data.replace(b'"number": 1', b'"number": 9'))
    elif spoil == "renamed":
        path.rename(path.with_name(f"{99:012d}-{runs[0]}.json"))
    elif spoil == "empty":
        path.write_bytes(b"")
    elif spoil == "nested":
        path.write_bytes(b"[" * 300_000)
    else:
        path.unlink()
        path.mkdir()
    assert set(read_requests(store.path)) == {runs[1]}
    assert store.sql(LATEST).item() == runs[1]
    assert (
        store.sql("SELECT run_id FROM runs WHERE request IS NULL")["run_id"].to_list() == runs[:1]
    )


def test_runs_without_requests_are_ordered_by_their_end(store: ScoreStore) -> None:
    runs = [run_night(store, night) for night in range(3)]
    for path, _, _ in request_files(store.path):
        path.unlink()
    assert store.sql(LATEST).item() == runs[2]
    # one that was asked for is newer than all of them
    store.make_current(runs[0])
    assert store.sql(LATEST).item() == runs[0]


def test_there_is_no_current_run_of_what_is_not_finished(store: ScoreStore) -> None:
    store.begin(info(0))
    with pytest.raises(StoreError, match="no finished run"):
        store.make_current(night_id(0))
    assert abs(store.sql("SELECT requested_at FROM runs").item() - datetime.now(UTC)) < timedelta(
        minutes=5
    )


def test_a_run_that_was_never_begun_has_a_request_too(store: ScoreStore) -> None:
    for night in (2, 1):
        store.finish(info(night), tables(night))
    numbers = dict(store.sql("SELECT run_id, request FROM runs").rows())
    assert numbers == {night_id(2): 1, night_id(1): 2}
    assert current(store) == night_id(1)
