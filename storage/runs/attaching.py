"""Opening run files beside each other: attached read-only, and listed in `runs`."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import duckdb

from assay.storage.errors import StoreError
from assay.storage.runs.catalogue import list_runs, newest_runs
from assay.storage.runs.facts import RunFile
from assay.storage.runs.notes import read_notes
from assay.storage.runs.opening import RUNS, Misfit, attach, views_in, warn_of
from assay.storage.runs.schema import RUNS_COLUMNS, statements
from assay.storage.sql.sandbox import close_off

_RUN_NAMES = ", ".join(column.split()[0] for column in RUNS_COLUMNS.split(", "))
_AS_JSON = {"TIMESTAMPTZ": "BIGINT", "JSON": "VARCHAR"}
# what is defined over more than the newest runs, and what lists the definitions themselves
_HISTORY = re.compile(
    r"\b(samples|scores|selections|decisions|feature_scores|metrics|ledger|intervals|artifacts|leaks"
    r"|duplicates|map|diff|_ranked_by|r_[0-9a-f]{16}|show|information_schema"
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
    runs = list_runs(store, archived=archived, only=only)
    while True:
        con = duckdb.connect(":memory:")
        try:
            opened, misfits = open_runs(con, store, runs if history else newest_runs(runs))
            if not misfits:
                _define(con, runs, opened, notes, history)
                return con
        except BaseException:
            con.close()
            raise
        con.close()
        if only is not None:
            raise StoreError(str(misfits[0]))
        # without them another run may be the newest of its pool
        warn_of(misfits)
        refused = {misfit.path.stem for misfit in misfits}
        runs = [run for run in runs if run.tables.run_id not in refused]


def _define(
    con: duckdb.DuckDBPyConnection,
    runs: Sequence[RunFile],
    opened: Sequence[RunFile],
    notes: Sequence[dict[str, Any]],
    history: bool,
) -> None:
    make_run_tables(con)
    register_runs(con, runs)
    finished = {run.tables.run_id for run in runs}
    for note in notes:
        if note["run_id"] not in finished:
            register_note(con, note)
    for statement in statements([run.tables for run in opened], history=history):
        con.execute(statement)


def open_runs(
    con: duckdb.DuckDBPyConnection, store: Path, runs: Sequence[RunFile], *, bounded: bool = True
) -> tuple[list[RunFile], list[Misfit]]:
    """Attach run files to a connection and close it off; return those that are as listed.

    Nothing of a file is read before the connection can reach nothing else. Files that are gone
    meanwhile are in neither list.

    Raises
    ------
    StoreError
        The system does not let so many files be open at once.
    """
    misfits = attach(con, store, [run.path for run in runs])
    close_off(con, bounded=bounded)
    # columns and macros were looked at when the files were listed
    problems = views_in(con)
    attached = {
        row[0] for row in con.execute("SELECT database_name FROM duckdb_databases()").fetchall()
    }
    fitting = []
    for run in runs:
        alias = run.tables.alias
        if alias in attached:
            problem = problems.get(alias) or _unlike(con, run)
            if problem is None:
                fitting.append(run)
            else:
                misfits.append(Misfit(run.path, problem))
    return fitting, misfits


def _unlike(con: duckdb.DuckDBPyConnection, run: RunFile) -> str | None:
    """Say that an attached file does not hold the run that it was listed as."""
    names = ("run_id", "kind", "pool", "generation", "n_samples", "seed")
    query = (
        f"SELECT {', '.join(names)}, epoch_us(finished_at) FROM {run.tables.alias}.main.run LIMIT 2"
    )
    try:
        rows = con.execute(query).fetchall()
    except duckdb.Error as error:
        return f"it can't be read ({' '.join(str(error).split())})."
    if rows != [(*(run.run[name] for name in names), run.run["finished_at"])]:
        return "it does not hold the run that it was listed as."
    return None


def make_run_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Make the table that `register_runs` and `register_note` fill, in the database in use."""
    con.execute(f"CREATE TABLE runs ({RUNS_COLUMNS})")


def register_runs(con: duckdb.DuckDBPyConnection, runs: Sequence[RunFile]) -> None:
    """List finished runs; their files are not needed."""
    fields = dict(column.split() for column in RUNS_COLUMNS.split(", "))
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
    con.execute("DROP TABLE _listed")


def register_note(con: duckdb.DuckDBPyConnection, note: dict[str, Any]) -> None:
    """List a run that is under way or failed."""
    con.execute(
        "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ?, ?)",
        [
            note["run_id"],
            note["kind"],
            note["of_run"],
            note["request"],
            note["requested_at"],
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
