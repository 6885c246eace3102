"""Publishing: the newest run of every pool in one file that any DuckDB can open by itself.

What stands in the file is public: the tables and views that users query, and no others. A file is
known by its record in the catalogue, which holds its checksums and which runs it is made of.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb

from assay.storage.disk.atomic import atomic_path, point, write_bytes
from assay.storage.disk.boundaries import boundary
from assay.storage.disk.checksums import CheckedFile, describe_file, stamp, unstamp
from assay.storage.disk.locks import file_lock
from assay.storage.errors import CorruptArtifactError
from assay.storage.runs.attaching import make_run_tables, open_runs, register_runs
from assay.storage.runs.catalogue import list_runs, newest_runs
from assay.storage.runs.facts import CATALOGUE, RunFile
from assay.storage.runs.opening import Misfit, warn_of
from assay.storage.runs.published_schema import published_tables, published_views
from assay.storage.runs.run_file import STORAGE_VERSION
from assay.storage.runs.schema import RunTables, literal

PUBLISHED, LINK = "published", "latest.duckdb"
# for how many seconds a published file stays after a newer one: who has just read its name opens it
GRACE = 60.0
# nobody can write to it or lock others out, whoever opens it and however
MODE = 0o444


def publish_latest(store: Path, *, grace: float = GRACE) -> Path:
    """Write `published/latest-<n>.duckdb` of a store's folder; see `ScoreStore.publish`.

    Costs the newest runs, whatever the history: only their files are opened.
    """
    link = store / PUBLISHED / LINK
    with file_lock(store / "publish.lock"):
        target = _current(store, list_runs(store, complete=True))
        if not points_at(link, target) or not is_whole(store, link, target):
            # Windows does not let go of a file that is open: the next call points it on
            with suppress(PermissionError):
                point(link, target.name)
        for old in outdated(store, grace=grace):
            with suppress(OSError):
                remove_published(store, old)
    return target


def _current(store: Path, runs: Sequence[RunFile]) -> Path:
    """Return the published file of the newest of these runs; write it first if needed."""
    published = published_files(store)
    newest = published[-1] if published else None
    number = _number(newest) + 1 if newest is not None else 1
    target = store / PUBLISHED / f"latest-{number}.duckdb"
    while True:
        wanted = newest_runs(runs)
        if newest is not None and _holds(store, newest, wanted):
            return newest
        try:
            _write(store, target, wanted)
        except _UnfitError as unfit:
            # without them another run may be the newest of its pool
            warn_of(unfit.misfits)
            refused = {misfit.path.stem for misfit in unfit.misfits}
            runs = [run for run in runs if run.tables.run_id not in refused]
        else:
            return target


def published_files(store: Path) -> list[Path]:
    """Return the published files of a store's folder, the oldest first."""
    folder = store / PUBLISHED
    if folder.is_symlink():
        return []
    files = (path for path in folder.glob("latest-*.duckdb") if not path.is_symlink())
    return sorted((path for path in files if _number(path) > 0), key=_number)


def outdated(store: Path, *, grace: float = GRACE) -> list[Path]:
    """Return the published files that no reader can be about to open.

    Who has read the name of a file opens it a moment later. So the newest two stay, and every file
    for `grace` seconds after the next one was there. Who has a file open keeps it, for what is removed
    is its name (Windows refuses; the next call removes it). A file without a record is not ours.
    """
    files = published_files(store)
    link = store / PUBLISHED / LINK
    now = time.time()
    outdated_files = []
    for old, newer in pairwise(files[:-1]):
        with suppress(OSError):
            waited = now - newer.stat().st_mtime > grace
            if waited and not points_at(link, old) and read_record(store, old) is not None:
                outdated_files.append(old)
    return outdated_files


def remove_published(store: Path, path: Path) -> None:
    """Remove a published file, then its record."""
    path.unlink()
    boundary("published file removed", path)
    _record_path(store, path).unlink(missing_ok=True)


def _number(path: Path) -> int:
    digits = path.stem.removeprefix("latest-")
    return int(digits) if digits.isdecimal() and digits.isascii() else 0


def points_at(link: Path, target: Path) -> bool:
    """Return whether `latest.duckdb` is the file `target`, or a copy if links are unsupported."""
    try:
        if link.is_symlink():
            return False  # of an earlier version: opened through it, a file bears the target's name
        own, of = link.stat(), target.stat()
    except OSError:
        return False
    same = (own.st_dev, own.st_ino) == (of.st_dev, of.st_ino)
    copied = own.st_size == of.st_size and own.st_mtime >= of.st_mtime
    return same or (own.st_nlink == 1 and copied)


def is_whole(store: Path, link: Path, target: Path) -> bool:
    """Return whether `latest.duckdb` is the file `target`, or a copy that is as that was written.

    In a store that was copied, and where links are unsupported, it is a file of its own.
    """
    if link.samefile(target):
        return True
    record = read_record(store, target)
    try:
        CheckedFile(link, {} if record is None else record["file"], "").check()
    except (OSError, KeyError, TypeError, CorruptArtifactError):
        return False
    return True


# --- records -----------------------------------------------------------------------------------


def _record_path(store: Path, published: Path) -> Path:
    return store / CATALOGUE / f"{published.stem}.json"


def record_published(
    store: Path, published: Path, runs: Sequence[RunFile], *, written: Path
) -> None:
    """Record what a published file holds, and its checksums; it may be `written` under another name."""
    (store / CATALOGUE).mkdir(exist_ok=True)
    content = {
        "mtime_ns": written.stat().st_mtime_ns,
        "file": describe_file(written, published.name),
        "runs": _shown(runs),
    }
    write_bytes(_record_path(store, published), stamp(content))


def read_record(store: Path, published: Path) -> dict[str, Any] | None:
    """Return the record of a published file, None if no record matches it."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        record = unstamp(_record_path(store, published).read_bytes())
        if record["file"]["name"] == published.name:
            return record
    return None


def is_intact(store: Path, published: Path, *, thoroughly: bool = True) -> bool:
    """Say whether a published file is as it was written.

    Unless `thoroughly`, its checksums are read only where its size or time are not as recorded.
    """
    record = read_record(store, published)
    if record is None:
        return False
    try:
        status = published.stat()
        as_recorded = (record["file"]["size"], record["mtime_ns"]) == (
            status.st_size,
            status.st_mtime_ns,
        )
        if thoroughly or not as_recorded:
            CheckedFile(published, record["file"], "").check()
    except (OSError, KeyError, TypeError, CorruptArtifactError):
        return False
    return not os.path.lexists(published.with_name(f"{published.name}.wal"))


def _shown(runs: Sequence[RunFile]) -> list[list[Any]]:
    return sorted([run.tables.run_id, run.tables.request] for run in runs)


def shows(store: Path, published: Path, runs: Sequence[RunFile]) -> bool:
    """Return whether a published file was built from these runs, with these requests."""
    record = read_record(store, published)
    return record is not None and record["runs"] == _shown(runs)


def _holds(store: Path, published: Path, runs: Sequence[RunFile]) -> bool:
    return shows(store, published, runs) and is_intact(store, published, thoroughly=False)


# --- writing -----------------------------------------------------------------------------------


class _UnfitError(Exception):
    """Run files can't be opened, or are not as they were listed."""

    def __init__(self, misfits: Sequence[Misfit]) -> None:
        super().__init__(*map(str, misfits))
        self.misfits = misfits


def _write(store: Path, target: Path, runs: Sequence[RunFile]) -> None:
    # one thread writes the rows in their order, with the least work
    one = duckdb.connect(":memory:", config={"threads": 1})
    with one as con, atomic_path(target) as temporary:
        con.execute(
            f"ATTACH {literal(str(temporary))} AS published "
            f"(STORAGE_VERSION {literal(STORAGE_VERSION)})"
        )
        opened, misfits = open_runs(con, store, runs, bounded=False)
        if misfits:
            raise _UnfitError(misfits)
        con.begin()
        _fill(con, opened)
        con.commit()
        con.execute("CHECKPOINT published")
        con.execute("USE memory")
        con.execute("DETACH published")
        if os.name != "nt":  # Windows neither flushes nor replaces what is read-only
            temporary.chmod(MODE)
        # a kill between the two leaves a record without a file, which the next publication replaces
        record_published(store, target, opened, written=temporary)


def _fill(con: duckdb.DuckDBPyConnection, runs: Sequence[RunFile]) -> None:
    tables: list[RunTables] = [run.tables for run in runs]
    con.execute("USE published")
    make_run_tables(con)
    register_runs(con, runs)
    for table in published_tables(tables):
        described = con.execute(f"DESCRIBE {table.columns}").fetchall()
        con.execute(table.definition({name: type for name, type, *_ in described}))
        for rows in table.rows:
            con.execute(f"INSERT INTO {table.name} BY NAME {rows}")
    for statement in published_views(tables):
        con.execute(statement)
