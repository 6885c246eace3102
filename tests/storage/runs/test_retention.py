"""Retention: old runs step aside, readers never notice, and a night costs one run."""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

from assay.storage import ScoreStore
from assay.storage.disk.boundaries import hooked
from assay.storage.disk.checksums import stamp, unstamp
from assay.storage.errors import QueryError, StoreError
from assay.storage.runs import attaching, catalogue, facts, opening, publishing, retention
from assay.storage.runs.attaching import names_history
from tests.storage.nights import info, night_id, rank_night, run_night

NEWEST = "SELECT DISTINCT run_id FROM latest_decisions"


@pytest.fixture
def store(tmp_path: Path) -> ScoreStore:
    return ScoreStore(tmp_path / "store", create=True)


def listed(store: ScoreStore, **options: bool) -> set[str]:
    return set(store.sql("SELECT run_id FROM runs", **options)["run_id"])


def spoil(path: Path) -> None:
    """Damage a run file so that its size and time don't tell."""
    status = path.stat()
    path.write_bytes(b"\0" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_the_newest_runs_of_each_pool_and_kind_are_kept(store: ScoreStore) -> None:
    docs = [run_night(store, n) for n in range(5)]
    other = [run_night(store, n, "other") for n in range(2)]
    ranked = [rank_night(store, n) for n in range(3)]
    assert store.archive("docs", keep=2) == docs[:3]
    assert store.archive("docs", keep=2) == []
    assert listed(store) == {*docs[3:], *other, *ranked}
    assert store.archive("docs", "features", keep=1) == ranked[:2]
    assert listed(store) == {*docs[3:], *other, ranked[2]}
    assert listed(store, all_runs=True) == {*docs, *other, *ranked}
    assert store.sql(NEWEST + " WHERE pool = 'docs'").item() == docs[4]
    with pytest.raises(ValueError, match="at least 1"):
        store.archive("docs", keep=0)


def test_archived_runs_are_there_for_who_asks(store: ScoreStore) -> None:
    runs = [run_night(store, n) for n in range(4)]
    before = {
        query: store.sql(f"FROM ({query}) ORDER BY ALL")
        for query in ("FROM scores", "FROM decisions", "FROM samples", "FROM metrics")
    }
    store.archive("docs", keep=1)
    for query, frame in before.items():
        ordered = f"FROM ({query}) ORDER BY ALL"
        assert store.sql(ordered, all_runs=True).equals(frame)
        assert store.sql(ordered).equals(frame.filter(pl.col("run_id") == runs[-1]))
    assert store.is_finished(runs[0])
    assert store.run_table(runs[0], "SELECT value FROM metrics").item() == 0
    with store.connect(all_runs=True) as con:
        rows = con.sql(f"FROM diff('{runs[0]}', '{runs[3]}')").fetchall()
    assert {row[0] for row in rows} == {"a", "d"}
    with store.connect() as con:
        assert con.sql("SELECT count(*) FROM runs").fetchall() == [(1,)]
    some = {runs[1], runs[3]}
    assert set(store.sql("FROM runs", runs=some)["run_id"]) == some
    assert set(store.sql("SELECT run_id FROM decisions", runs=some)["run_id"]) == some
    assert store.sql(NEWEST, runs=runs[1:2]).item() == runs[1]
    for unknown in ("0" * 16, "../x"):
        with pytest.raises(StoreError):
            store.sql("FROM runs", runs=[unknown])


def test_publishing_and_newest_queries_open_no_older_run(
    store: ScoreStore, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [run_night(store, n) for n in range(3)]
    for run in runs[:2]:
        spoil(store.path / "runs" / f"{run}.duckdb")
    published = store.publish()
    with duckdb.connect(str(published), read_only=True) as con:
        assert con.sql("SELECT run_id, config FROM runs").fetchall() == [(runs[2], "{}")]
    assert store.sql("FROM top('size', 1)")["sample_id"].to_list() == ["c"]
    assert store.sql("FROM explain('a')").height == 1
    assert store.sql("SELECT status FROM runs")["status"].to_list() == ["done"] * 3
    assert store.sql("SELECT DISTINCT run_id FROM samples").item() == runs[2]
    for run in runs[:2]:
        assert f"{run}.duckdb is not used: it can't be opened" in caplog.text
    assert store.archive("docs", keep=1) == runs[:2]


@pytest.mark.parametrize("spoiled", ["gone", "stale", "broken", "older", "odd", "digit"])
def test_notes_of_the_catalogue_are_only_a_shortcut(store: ScoreStore, spoiled: str) -> None:
    runs = [run_night(store, n) for n in range(2)]
    views = ("runs", "samples", "latest_scores", "explain('a')")
    right = {view: store.sql(f"FROM {view} ORDER BY ALL") for view in views}
    note = store.path / "catalogue" / f"{runs[1]}.json"
    written = note.read_bytes()
    if spoiled == "gone":
        shutil.rmtree(note.parent)
    elif spoiled == "stale":
        os.utime(store.path / "runs" / f"{runs[1]}.duckdb", ns=(1, 1))
    elif spoiled == "broken":
        note.write_bytes(written[:40])
    elif spoiled == "older":
        note.write_bytes(stamp(unstamp(written) | {"format": 0}))
    elif spoiled == "digit":
        note.write_bytes(re.sub(rb'("finished_at": )1', rb"\g<1>2", written))
    else:
        note.write_text("[]")
    before = sorted((p, p.stat().st_mtime_ns) for p in store.path.rglob("*"))
    for view, frame in right.items():
        assert store.sql(f"FROM {view} ORDER BY ALL").equals(frame), view
    assert sorted((p, p.stat().st_mtime_ns) for p in store.path.rglob("*")) == before
    store.publish()
    assert facts.noted(store.path, store.path / "runs" / f"{runs[1]}.duckdb", None) is not None


def test_a_store_that_was_copied_is_read(store: ScoreStore, tmp_path: Path) -> None:
    run_night(store, 0)
    run_night(store, 1)
    store.archive("docs", keep=1)
    shutil.copytree(store.path, tmp_path / "copy", copy_function=shutil.copyfile)
    copy = ScoreStore(tmp_path / "copy")
    for view in ("runs", "samples"):
        query = f"FROM {view} ORDER BY ALL"
        assert copy.sql(query, all_runs=True).equals(store.sql(query, all_runs=True))


class Killed(BaseException):
    pass


def kill_at(number: int):
    seen = []

    def hook(moment: str, path: Path) -> None:
        seen.append(moment)
        if len(seen) == number:
            raise Killed

    return hook, seen


def nightly(store: ScoreStore, night: int) -> None:
    with store.writing():
        if store.is_finished(night_id(night)):
            store.make_current(night_id(night))
        else:
            store.begin(info(night))
            run_night(store, night)
        store.publish()
        store.archive("docs", keep=2)


def finished(store: ScoreStore) -> set[str]:
    return set(
        store.trusted_sql("SELECT run_id FROM runs WHERE status = 'done'", all_runs=True)["run_id"]
    )


def test_a_night_may_end_at_any_moment(tmp_path: Path) -> None:
    """After each moment the store answers as before the night or as after it, never else."""
    base = ScoreStore(tmp_path / "base", create=True)
    for night in range(3):
        nightly(base, night)
    assert len(list((base.path / "archive").iterdir())) == 1
    hook, moments = kill_at(0)
    shutil.copytree(base.path, tmp_path / "whole", symlinks=True)
    with hooked(hook):
        nightly(ScoreStore(tmp_path / "whole"), 3)
    assert {"run archived", "link renamed"} <= set(moments)
    for number in range(1, len(moments) + 1):
        shutil.copytree(base.path, tmp_path / "killed", symlinks=True)
        killed = ScoreStore(tmp_path / "killed")
        link = killed.path / "published" / "latest.duckdb"
        hook, _ = kill_at(number)
        with hooked(hook), pytest.raises(Killed):
            nightly(killed, 3)
        there = killed.is_finished(night_id(3))
        newest = night_id(3 if there else 2)
        with killed.connect() as con:
            assert con.sql(NEWEST).fetchall() == [(newest,)]
            nights = {row[0] for row in con.sql("SELECT run_id FROM samples").fetchall()}
        assert {newest, night_id(2)} <= nights <= {night_id(n) for n in (1, 2, 3)}
        assert finished(killed) == {night_id(n) for n in range(3 + there)}
        with duckdb.connect(str(link), read_only=True) as con:
            assert con.sql(NEWEST).fetchall()[0][0] in (night_id(2), newest)
        nightly(killed, 3)
        assert {p.stem for p in (killed.path / "runs").iterdir()} == {night_id(2), night_id(3)}
        assert len(list((killed.path / "archive").iterdir())) == 2
        with duckdb.connect(str(link), read_only=True) as con:
            assert con.sql(NEWEST).fetchall() == [(night_id(3),)]
        shutil.rmtree(killed.path)


def test_a_run_that_is_archived_while_it_is_attached_is_followed(
    store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_night(store, 0)
    listing = attaching.list_runs

    def then_archived(*args, **options):
        found = listing(*args, **options)
        run_night(store, 1)
        store.archive("docs", keep=1)
        return found

    monkeypatch.setattr(attaching, "list_runs", then_archived)
    for query in (NEWEST, "SELECT DISTINCT run_id FROM samples"):
        shutil.rmtree(store.path, ignore_errors=True)
        run_night(store, 0)
        assert store.trusted_sql(query).item() == night_id(0)
        assert not (store.path / "runs" / f"{night_id(0)}.duckdb").exists()


def test_a_run_that_is_deleted_while_it_is_attached_is_left_out(
    store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [run_night(store, n) for n in range(2)]
    listing = attaching.list_runs

    def then_deleted(*args, **options):
        found = listing(*args, **options)
        (store.path / "runs" / f"{runs[0]}.duckdb").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(attaching, "list_runs", then_deleted)
    found = store.trusted_sql("SELECT DISTINCT run_id FROM samples")
    assert found["run_id"].to_list() == [runs[1]]


def test_a_listing_in_the_middle_of_a_change_is_read_again(
    store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [run_night(store, n) for n in range(2)]
    reading = catalogue._names
    torn = iter([[], [f"{runs[0]}.duckdb"]])  # the older one was gone, the newer not yet seen
    monkeypatch.setattr(catalogue, "_names", lambda folder: next(torn, None) or reading(folder))
    assert [p.stem for p in catalogue.run_paths(store.path / "runs")] == runs


def test_an_open_run_that_cannot_be_moved_is_moved_next_time(
    store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [run_night(store, n) for n in range(3)]
    replace = os.replace

    def busy(source, target):
        if Path(source).stem == runs[0]:
            raise PermissionError(errno.EACCES, "in use")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(retention.os, "replace", busy)
        assert store.archive("docs", keep=1) == runs[1:2]
    assert listed(store) == {runs[0], runs[2]}
    assert store.archive("docs", keep=1) == runs[:1]


def test_an_archive_on_another_disk_gets_a_copy_first(
    store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [run_night(store, n) for n in range(2)]
    replace = os.replace

    def elsewhere(source, target):
        if Path(source).parent.name != Path(target).parent.name:
            raise OSError(errno.EXDEV, "another disk")
        replace(source, target)

    monkeypatch.setattr(retention.os, "replace", elsewhere)
    assert store.archive("docs", keep=1) == runs[:1]
    assert [p.stem for p in (store.path / "archive").iterdir()] == runs[:1]
    assert listed(store) == {runs[1]}
    assert listed(store, all_runs=True) == set(runs)


def test_a_reader_keeps_what_it_has_open(store: ScoreStore) -> None:
    runs = [run_night(store, n) for n in range(2)]
    with store.connect() as con:
        store.archive("docs", keep=1)
        shutil.rmtree(store.path / "archive")
        assert con.sql("SELECT count(*) FROM scores").fetchall() == [(8,)]
    assert listed(store, all_runs=True) == {runs[1]}


@pytest.mark.parametrize(
    ("query", "history"),
    [
        ("SELECT * FROM latest_scores JOIN latest_samples USING (pool, sample_id)", False),
        ("FROM explain('a')", False),
        ("FROM top('scores_of', 3)", False),
        ("SELECT * FROM runs", False),
        ("FROM Samples", True),
        ('FROM main."scores"', True),
        ("SHOW TABLES", True),
        ("SELECT * FROM information_schema.tables", True),
        ("SELECT * FROM duckdb_views()", True),
        ("FROM diff('a', 'b')", True),
        (f"FROM r_{'0' * 16}.run", True),
    ],
)
def test_which_queries_need_more_than_the_newest_runs(query: str, history: bool) -> None:
    assert names_history(query) is history


def test_a_query_sees_the_same_whatever_was_opened_for_it(store: ScoreStore) -> None:
    for night in range(2):
        run_night(store, night)
    with store.connect() as con:
        for query in (
            "SHOW TABLES",
            "SELECT count(*) FROM query_table('sam' || 'ples')",
            "SELECT run_id FROM runs ORDER BY ALL",
            "FROM latest_scores ORDER BY ALL",
            "SELECT count(*) FROM information_schema.tables",
        ):
            assert store.sql(query).rows() == con.sql(query).fetchall()
    with pytest.raises(QueryError, match="no_such_view"):
        store.sql("FROM no_such_view")


def test_queries_have_the_views_of_many_pools(store: ScoreStore) -> None:
    for pool in ("one", "two", 'it\'s a "pool"'):
        run_night(store, 0, pool)
        run_night(store, 1, pool)
    assert store.sql("SELECT DISTINCT pool, run_id FROM latest_scores").height == 3
    assert store.archive('it\'s a "pool"', keep=1) == [night_id(0, 'it\'s a "pool"')]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
def test_the_limit_of_open_files_is_no_limit_of_runs(
    store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for night in range(8):
        run_night(store, night)
    used = len(os.listdir("/dev/fd"))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, hard))
        assert store.trusted_sql("SELECT count(*) FROM samples").item() == 32
        # where the system does not let the limit be raised
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 4, hard))
        monkeypatch.setattr(opening, "allow_open_files", lambda files: None)
        with pytest.raises(StoreError, match="ulimit -n"):
            store.trusted_sql("SELECT count(*) FROM samples")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# --- published files ---------------------------------------------------------------------------


def published(store: ScoreStore) -> list[int]:
    return [int(p.stem.split("-")[1]) for p in publishing.published_files(store.path)]


def published_file(store: ScoreStore) -> Path:
    """Return the numbered file that `latest.duckdb` is."""
    return publishing.published_files(store.path)[-1]


def age(store: ScoreStore, *numbers: int) -> None:
    for number in numbers:
        path = store.path / "published" / f"latest-{number}.duckdb"
        old = path.stat().st_mtime - publishing.GRACE - 1
        os.utime(path, (old, old))


def test_a_published_file_stays_while_a_reader_may_be_about_to_open_it(store: ScoreStore) -> None:
    for night in range(4):
        run_night(store, night)
        store.publish()
    assert published(store) == [1, 2, 3, 4]  # in quick succession: all may have been resolved
    age(store, 1)
    store.publish()
    assert published(store) == [1, 2, 3, 4]  # it is old, but what follows it is not
    age(store, 2)
    store.publish()
    assert published(store) == [2, 3, 4]
    age(store, 3, 4)
    store.publish()
    assert published(store) == [3, 4]  # the newest two in any case


def test_who_read_the_link_before_a_publication_can_open_what_it_named(store: ScoreStore) -> None:
    run_night(store, 0)
    store.publish()
    for night in range(1, 3):
        resolved = published_file(store)
        for step in range(2):
            run_night(store, 10 * night + step)
            store.publish()
        with duckdb.connect(str(resolved), read_only=True) as con:
            assert con.sql("SELECT count(*) FROM latest_selection").fetchall() == [(1,)]


def test_a_crash_before_the_link_was_set_is_mended(store: ScoreStore) -> None:
    run_night(store, 0)
    first = store.publish()
    run_night(store, 1)

    def hook(moment: str, path: Path) -> None:
        if moment == "file done" and path.parent.name == "published":
            raise Killed

    with hooked(hook), pytest.raises(Killed):
        store.publish()
    link = store.path / "published" / "latest.duckdb"
    assert link.samefile(first)
    second = store.publish()
    assert link.samefile(second)
    assert second != first
    assert store.publish() == second


def no_links(*args: object, **options: object) -> None:
    raise OSError("no links here")


def test_where_there_are_no_links_a_copy_is_replaced(
    store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows without the right to make links; and a reader that has the copy open meanwhile."""
    monkeypatch.setattr(os, "link", no_links)
    link = store.path / "published" / "latest.duckdb"
    points = []
    setting = publishing.point
    monkeypatch.setattr(publishing, "point", lambda *a: (points.append(a), setting(*a)))

    def newest() -> str:
        with duckdb.connect(str(link), read_only=True) as con:
            return con.sql(NEWEST).fetchall()[0][0]

    run_night(store, 0)
    store.publish()
    store.publish()
    assert not link.samefile(published_file(store))
    assert len(points) == 1
    assert newest() == night_id(0)
    run_night(store, 1)

    def open_elsewhere(*args: object) -> None:
        raise PermissionError(errno.EACCES, "in use")

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "point", open_elsewhere)
        second = store.publish()
    assert newest() == night_id(0)
    assert store.publish() == second
    assert newest() == night_id(1)


def test_a_published_file_that_cannot_be_removed_waits(
    store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for night in range(3):
        run_night(store, night)
        store.publish()
    age(store, 1, 2, 3)

    def in_use(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "in use")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", in_use)
        store.publish()
    assert published(store) == [1, 2, 3]
    store.publish()
    assert published(store) == [2, 3]
