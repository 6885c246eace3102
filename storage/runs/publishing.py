"""Publishing: the newest run of every pool in one file that any DuckDB can open by itself."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import duckdb

from assay.storage.disk.atomic import atomic_path, point
from assay.storage.disk.boundaries import boundary
from assay.storage.disk.locks import file_lock
from assay.storage.runs.attaching import attach_runs, make_run_tables, register_runs
from assay.storage.runs.catalogue import RunFile, list_runs, newest_runs
from assay.storage.runs.schema import TABLES, RunTables, literal, statements

PUBLISHED, LINK = "published", "latest.duckdb"
# for how many seconds a published file stays after a newer one: who has just read the link opens it
GRACE = 60.0


def publish_latest(store: Path, *, grace: float = GRACE) -> Path:
    """Write `published/latest-<n>.duckdb` of a store's folder; see `ScoreStore.publish`.

    Costs the newest runs, whatever the history: only their files are opened.
    """
    link = store / PUBLISHED / LINK
    with file_lock(store / "publish.lock"):
        wanted = newest_runs(list_runs(store, complete=True))
        published = published_files(store)
        if published and _holds(published[-1]) == sorted(run.tables.run_id for run in wanted):
            target = published[-1]
        else:
            number = _number(published[-1]) + 1 if published else 1
            target = link.with_name(f"latest-{number}.duckdb")
            _write(store, target, wanted)
        if not _points_at(link, target):
            # Windows does not let go of a link that is open: the next call points it on
            with suppress(PermissionError):
                point(link, target.name)
        for old in outdated(store, grace=grace):
            with suppress(OSError):
                old.unlink()
                boundary("published file removed", old)
    return target


def published_files(store: Path) -> list[Path]:
    """Return the published files of a store's folder, the oldest first."""
    files = (store / PUBLISHED).glob("latest-*.duckdb")
    return sorted((path for path in files if _number(path) > 0), key=_number)


def outdated(store: Path, *, grace: float = GRACE) -> list[Path]:
    """Return the published files that no reader can be about to open.

    Who opens `latest.duckdb` reads the link first and opens the file that it names a moment later.
    So the newest two stay, and every file for `grace` seconds after the next one was there. Who has
    a file open keeps it, for what is removed is its name (Windows refuses; the next call removes it).
    """
    files = published_files(store)
    pointed = (store / PUBLISHED / LINK).resolve()
    now = time.time()
    found = []
    for old, newer in pairwise(files[:-1]):
        with suppress(OSError):
            if old != pointed and now - newer.stat().st_mtime > grace:
                found.append(old)
    return found


def _number(path: Path) -> int:
    digits = path.stem.removeprefix("latest-")
    return int(digits) if digits.isdecimal() else 0


def _points_at(link: Path, target: Path) -> bool:
    try:
        if link.is_symlink():
            return os.readlink(link) == target.name
        # a copy, where there are no links
        copied, of = link.stat(), target.stat()
    except OSError:
        return False
    return copied.st_size == of.st_size and copied.st_mtime >= of.st_mtime


def _holds(published: Path) -> list[str]:
    try:
        with duckdb.connect(str(published), read_only=True) as con:
            return [r[0] for r in con.sql("SELECT run_id FROM runs ORDER BY 1").fetchall()]
    except duckdb.Error:
        return []


def _write(store: Path, target: Path, wanted: Sequence[RunFile]) -> None:
    with duckdb.connect(":memory:") as con, atomic_path(target) as temporary:
        con.execute(f"ATTACH {literal(str(temporary))} AS published")
        attached = {run.run_id for run in attach_runs(con, store, wanted)}
        _copy(con, [run for run in wanted if run.tables.run_id in attached])
        con.execute("CHECKPOINT published")
        con.execute("USE memory")
        con.execute("DETACH published")


def _copy(con: duckdb.DuckDBPyConnection, runs: Sequence[RunFile]) -> None:
    tables: list[RunTables] = [run.tables for run in runs]
    for run in tables:
        con.execute(f"CREATE SCHEMA published.{run.alias}")
        for table in ("run", *(t for t in TABLES if t in run.tables)):
            con.execute(
                f"CREATE TABLE published.{run.alias}.{table} AS FROM {run.alias}.main.{table}"
            )
        con.execute(f"DETACH {run.alias}")
    con.execute("USE published")
    make_run_tables(con)
    register_runs(con, runs)
    for statement in statements(tables):
        con.execute(statement)
