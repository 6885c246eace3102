"""Opening run files beside each other: attached read-only, described, and listed in `runs`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import duckdb

from assay.storage.errors import StoreError
from assay.storage.run_files import RESERVED_COLUMNS
from assay.storage.views import RUN_COLUMNS, RunTables, literal

RUN_ID = re.compile(r"[0-9a-f]{16}")
_RUN_NAMES = ", ".join(column.split()[0] for column in RUN_COLUMNS.split(", "))


def attach_runs(con: duckdb.DuckDBPyConnection, folder: Path) -> list[RunTables]:
    """Attach the run files of a folder read-only, and say what is in them."""
    runs = []
    for path in sorted(folder.glob("*.duckdb")):
        if not RUN_ID.fullmatch(path.stem):
            continue
        alias = f"r_{path.stem}"
        try:
            con.execute(f"ATTACH {literal(str(path))} AS {alias} (READ_ONLY)")
        except duckdb.Error as error:
            if not path.exists():
                continue
            raise StoreError(
                f"The run file {path} can't be opened: {' '.join(str(error).split())}"
            ) from error
        runs.append(_describe(con, path.stem, alias))
    return runs


def make_run_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Make the tables that `register_run` and `register_note` fill, in the database in use."""
    con.execute(f"CREATE TABLE runs ({RUN_COLUMNS})")
    con.execute("CREATE TABLE _ranked_by (run_id VARCHAR, method VARCHAR)")


def _describe(con: duckdb.DuckDBPyConnection, run_id: str, alias: str) -> RunTables:
    row = con.execute(
        f"SELECT kind, pool, epoch_us(finished_at), methods FROM {alias}.main.run"
    ).fetchone()
    if row is None:
        raise StoreError(f"The run file of {run_id} is empty.")
    columns = con.execute(f"DESCRIBE {alias}.main.samples").fetchall()
    tables = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = ?", [alias]
    ).fetchall()
    return RunTables(
        run_id=run_id,
        kind=row[0],
        pool=row[1],
        finished_at=row[2],
        methods=tuple(row[3]),
        kept=tuple((c[0], c[1]) for c in columns if c[0] not in RESERVED_COLUMNS),
        tables=frozenset(t[0] for t in tables),
    )


def register_run(con: duckdb.DuckDBPyConnection, alias: str) -> None:
    """List an attached run."""
    con.execute(f"INSERT INTO runs BY POSITION SELECT {_RUN_NAMES} FROM {alias}.run")
    con.execute(
        f"INSERT INTO _ranked_by SELECT run_id, ranked_by FROM {alias}.run "
        "WHERE ranked_by IS NOT NULL"
    )


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
