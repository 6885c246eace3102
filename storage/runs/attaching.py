"""Opening run files beside each other: attached read-only, and listed in `runs`."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb

from assay.storage.errors import StoreError
from assay.storage.runs.catalogue import RUNS, RunFile, find_run, list_runs, newest_runs
from assay.storage.runs.notes import read_notes
from assay.storage.runs.schema import RUN_COLUMNS, RunTables, literal, statements
from assay.storage.sql.sandbox import close_off

_RUN_NAMES = ", ".join(column.split()[0] for column in RUN_COLUMNS.split(", "))
_AS_JSON = {"TIMESTAMPTZ": "BIGINT", "JSON": "VARCHAR"}
# files that a process has open besides the runs
_OTHER_FILES = 128
# what is defined over more than the newest runs, and what lists the definitions themselves
_HISTORY = re.compile(
    r"\b(samples|scores|selections|decisions|feature_scores|metrics|ledger|artifacts|leaks"
    r"|duplicates|diff|_ranked_by|r_[0-9a-f]{16}|show|information_schema"
    r"|(duckdb|sqlite|pg|pragma)_\w+)\b",
    re.IGNORECASE,
)


def names_history(query: str) -> bool:
    """Say whether a query may be about more than the list of runs and the newest run of each pool.

    Examples
    --------
    >>> names_history("SELECT * FROM latest_scores"), names_history("FROM Scores")
    (False, True)
    """
    return _HISTORY.search(query) is not None


def connect_runs(
    store: Path,
    *,
    archived: bool = False,
    history: bool = True,
    only: Collection[str] | None = None,
) -> duckdb.DuckDBPyConnection:
    """Return an in-memory connection with the views over the runs of a store's folder, locked.

    Parameters
    ----------
    store : Path
    archived : bool, default False
        Over the archived runs too.
    history : bool, default True
        Otherwise only the newest run of each pool is opened, and only the list of runs and what
        speaks of the newest ones (`latest_*`, `explain`, `top`) is there: as quick after a year.
    only : collection of str, optional
        Ids: as if the store held these finished runs, kept or archived, and no others.
    """
    # before the runs: one that is finished in between is then in both, not in neither
    notes = read_notes(store / RUNS) if only is None else []
    con = duckdb.connect(":memory:")
    try:
        runs = list_runs(store, con, archived=archived, only=only)
        attached = attach_runs(con, store, runs if history else newest_runs(runs))
        make_run_tables(con)
        register_runs(con, runs)
        finished = {run.tables.run_id for run in runs}
        for note in notes:
            if note["run_id"] not in finished:
                register_note(con, note)
        for statement in statements(attached, history=history):
            con.execute(statement)
        close_off(con)
    except BaseException:
        con.close()
        raise
    return con


def attach_runs(
    con: duckdb.DuckDBPyConnection, store: Path, runs: Sequence[RunFile]
) -> list[RunTables]:
    """Attach run files read-only, wherever they are by now; return those that are there.

    Raises
    ------
    StoreError
        A file can't be opened.
    """
    allow_open_files(len(runs) + _OTHER_FILES)
    return [run.tables for run in runs if attach(con, store, run.path, files=len(runs))]


def attach(con: duckdb.DuckDBPyConnection, store: Path, path: Path, files: int = 1) -> bool:
    """Attach a run file as `r_<run_id>`, also where it is in the archive by now; say if it is there.

    `files` is how many are attached in all. Raises as `attach_runs`.
    """
    at: Path | None = path
    while at is not None:
        try:
            con.execute(f"ATTACH {literal(str(at))} AS r_{path.stem} (READ_ONLY)")
        except duckdb.Error as error:
            moved = find_run(store, path.stem)
            if moved == at:
                raise StoreError(_unopened(at, files, error)) from error
            at = moved
        else:
            return True
    return False


def _unopened(path: Path, files: int, error: duckdb.Error) -> str:
    told = " ".join(str(error).split())
    if "Too many open files" in told:
        return (
            f"{files} run files can't be open at once: {told}. Raise the limit of open files "
            "(`ulimit -n`), or keep fewer runs (`keep_runs`)."
        )
    return f"The run file {path} can't be opened: {told}"


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


def make_run_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Make the tables that `register_runs` and `register_note` fill, in the database in use."""
    con.execute(f"CREATE TABLE runs ({RUN_COLUMNS})")
    con.execute("CREATE TABLE _ranked_by (run_id VARCHAR, method VARCHAR)")


def register_runs(con: duckdb.DuckDBPyConnection, runs: Sequence[RunFile]) -> None:
    """List finished runs; their files are not needed."""
    fields = dict(column.split() for column in RUN_COLUMNS.split(", ")) | {"ranked_by": "VARCHAR"}
    shape = {name: _AS_JSON.get(type, type) for name, type in fields.items()}
    values = ", ".join(
        f"make_timestamptz(r.{name})" if fields[name] == "TIMESTAMPTZ" else f"r.{name}"
        for name in _RUN_NAMES.split(", ")
    )
    rows = json.dumps([{name: run.run[name] for name in shape} for run in runs])
    con.execute(
        "CREATE TEMP TABLE _listed AS SELECT unnest(from_json(?::JSON, ?)) AS r",
        [rows, json.dumps([shape])],
    )
    con.execute(f"INSERT INTO runs SELECT {values} FROM _listed")
    con.execute(
        "INSERT INTO _ranked_by SELECT r.run_id, r.ranked_by FROM _listed "
        "WHERE r.ranked_by IS NOT NULL"
    )
    con.execute("DROP TABLE _listed")


def register_note(con: duckdb.DuckDBPyConnection, note: dict[str, Any]) -> None:
    """List a run that is under way or failed."""
    con.execute(
        "INSERT INTO runs VALUES (?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?)",
        [
            note["run_id"],
            note["kind"],
            note["pool"],
            note["status"],
            note["started_at"],
            note["n_samples"],
            note["seed"],
            note["generation"],
            json.dumps(note["config"]),
            json.dumps(note["versions"]),
        ],
    )
