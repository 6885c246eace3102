"""Opening run files: where they are, and what of them is believed.

A run file may come from anywhere. It is attached read-only, the connection is closed off, and only
then anything in it is read. One that is not as assay writes them is named and not used.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from assay.storage.errors import StoreError
from assay.storage.runs.schema import LATER_RUN_COLUMNS, RUN_COLUMNS, TABLES, literal

logger = logging.getLogger("assay.storage")

RUN_ID = re.compile(r"[0-9a-f]{16}")
RUNS, ARCHIVE = "runs", "archive"
FORBIDDEN = (
    "Permission denied. Nothing is wrong with it; let its owner give you the right to read it."
)
REMEDY = "`assay check --repair` moves it aside; the call that made it makes it again."
# what a process has open besides the runs
_OTHER_FILES = 128
_TYPES = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}


@dataclass(frozen=True)
class Misfit:
    """A run file, or a note of a run, that is not used, and why."""

    path: Path
    problem: str
    what: str = "run file"
    remedy: str = REMEDY

    def __str__(self) -> str:
        return f"The {self.what} {self.path} is not used: {self.problem} {self.remedy}"


_warned: set[tuple[str, str, int]] = set()


def warn_of(misfits: Iterable[Misfit]) -> None:
    """Name what is not used on the log, each file once for this process."""
    for misfit in misfits:
        with suppress(OSError):
            known = (str(misfit.path), misfit.problem, misfit.path.lstat().st_mtime_ns)
            if known not in _warned:
                _warned.add(known)
                logger.warning("%s", misfit)


def find_run(store: Path, run_id: str) -> Path | None:
    """Return the file of a finished run, kept or archived; None if it doesn't exist."""
    for folder in (RUNS, ARCHIVE):  # in the order in which a run moves
        path = store / folder / f"{run_id}.duckdb"
        if path.is_file():
            return path
    return None


def alias_of(path: Path) -> str:
    """Return the name under which a run file is attached."""
    return f"r_{path.stem}"


def attach(con: duckdb.DuckDBPyConnection, store: Path, paths: Sequence[Path]) -> list[Misfit]:
    """Attach run files read-only as `r_<run_id>`, wherever they are by now.

    Those that are gone meanwhile are left out.

    Raises
    ------
    StoreError
        The system does not let so many files be open at once, or this user read one of them.
    """
    allow_open_files(len(paths) + _OTHER_FILES)
    misfits = (_attach_one(con, store, path, len(paths)) for path in paths)
    return [misfit for misfit in misfits if misfit is not None]


def _attach_one(
    con: duckdb.DuckDBPyConnection, store: Path, path: Path, files: int
) -> Misfit | None:
    at: Path | None = path
    while at is not None:
        if os.path.lexists(at.with_name(f"{at.name}.wal")):
            return Misfit(at, f"{at.name}.wal beside it would change what it says.")
        try:
            con.execute(f"ATTACH {literal(str(at))} AS {alias_of(path)} (READ_ONLY)")
        except duckdb.Error as error:
            moved = find_run(store, path.stem)
            if moved != at:
                at = moved
                continue
            message = " ".join(str(error).split())
            if "Too many open files" in message:
                raise StoreError(
                    f"{files} run files can't be open at once: {message}. Raise the limit of open "
                    "files (`ulimit -n`), or keep fewer runs (`keep_runs`)."
                ) from error
            if not may_read(at):
                raise StoreError(f"The run file {at} can't be read: {FORBIDDEN}") from error
            return Misfit(at, f"it can't be opened ({message}).")
        return None
    return None


def may_read(path: Path) -> bool:
    """Say whether this user may read a file; also where there is none."""
    try:
        path.open("rb").close()
    except PermissionError:
        return False
    except OSError:
        pass
    return True


def allow_open_files(files: int) -> None:
    """Raise this process's own limit of open files to `files`, as far as the system lets it."""
    if sys.platform == "win32":
        return  # there are thousands
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        wanted = files if hard == resource.RLIM_INFINITY else min(files, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def unexpected(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return the faults of the run files attached to a locked-down connection, by alias.

    Only base tables are expected, with the columns and types that assay gives them.
    """
    problems = views_in(con)
    for alias, name in con.execute(_MACROS).fetchall():
        problems.setdefault(alias, _no_table("macro", name))
    shapes: dict[str, dict[str, dict[str, str]]] = {}
    for alias, table, column, type, generated in con.execute(_COLUMNS).fetchall():
        shapes.setdefault(alias, {}).setdefault(table, {})[column] = "" if generated else type
    objects = con.execute(
        "SELECT database_name FROM duckdb_databases() WHERE database_name[:2] = 'r_'"
    ).fetchall()
    for (alias,) in objects:
        problem = _misshapen(shapes.get(alias, {}))
        if problem:
            problems.setdefault(alias, problem)
    return problems


def views_in(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return which of the run files attached to a connection hold a view, by alias, in words."""
    rows = con.execute(_VIEWS).fetchall()
    return {alias: _no_table("view", name) for alias, name in rows}


def _no_table(what: str, name: str) -> str:
    return f"it holds the {what} {name!r}, and run files hold tables only."


_VIEWS = """
SELECT database_name, view_name FROM duckdb_views()
WHERE database_name[:2] = 'r_' AND NOT internal"""
_MACROS = """
SELECT database_name, function_name FROM duckdb_functions()
WHERE database_name[:2] = 'r_' AND NOT internal"""
_COLUMNS = """
SELECT c.database_name, c.table_name, c.column_name, c.data_type,
    c.is_generated OR c.column_default IS NOT NULL
FROM duckdb_columns() c JOIN duckdb_tables() t USING (database_oid, schema_oid, table_oid)
WHERE c.database_name[:2] = 'r_' AND c.schema_name = 'main' ORDER BY c.table_name, c.column_index"""


def _fields(columns: str) -> dict[str, str]:
    pairs = (column.split() for column in columns.split(", "))
    return {name: _TYPES.get(type, type) for name, type in pairs}


_EXPECTED = {table: _fields(columns) for table, columns in TABLES.items()}
_RUN = _fields(RUN_COLUMNS)
_RUN_LATER = _fields(LATER_RUN_COLUMNS)


def _misshapen(shape: dict[str, dict[str, str]]) -> str | None:
    """Describe the faults of a run file's tables."""
    run = {name: type for name, type in shape.get("run", {}).items() if name not in _RUN_LATER}
    later = {name: type for name, type in shape.get("run", {}).items() if name in _RUN_LATER}
    if run != _RUN or any(_RUN_LATER[name] != type for name, type in later.items()):
        return "it holds no table `run` as assay writes it."
    for table, expected in _EXPECTED.items():
        columns = shape.get(table)
        if columns is None:
            continue  # an earlier version's, or a run of a kind that has none
        fixed = {name: type for name, type in columns.items() if name in expected}
        kept = columns.keys() - fixed.keys()
        if fixed != expected or (kept and table != "samples") or "" in columns.values():
            return f"its table {table!r} has not the columns that assay gives it."
    return None
