"""The score store: runs as immutable DuckDB files, and a read-only connection over them."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from assay.storage.artifacts import ArtifactStore
from assay.storage.atomic import write_json
from assay.storage.attaching import (
    RUN_ID,
    attach_runs,
    make_run_tables,
    register_note,
    register_run,
)
from assay.storage.errors import QueryError, StoreError
from assay.storage.notes import read_notes, write_note
from assay.storage.publishing import publish_latest
from assay.storage.run_files import RunInfo, RunTablesData, write_run
from assay.storage.views import statements

if TYPE_CHECKING:
    import polars as pl

SCHEMA_VERSION = 1
_READS = ("SELECT", "EXPLAIN", "MULTI")  # MULTI is what DuckDB makes of PIVOT


class ScoreStore:
    """A folder of runs whose scores, selections and decisions are queried by SQL.

    Readers never wait and are never waited for: a finished run is a DuckDB file that is not written
    again, and a connection attaches these files read-only.

    Parameters
    ----------
    path : path-like
        The folder.
    create : bool, default False
        Allow a folder that is not there yet, or is empty; it is made by the first write.

    Raises
    ------
    StoreError
        If the folder is missing (and `create` is False), is not a store, or was written by a newer
        version of assay.

    Examples
    --------
    >>> import tempfile
    >>> store = ScoreStore(tempfile.mkdtemp(), create=True)
    >>> store.connect().sql("SELECT count(*) FROM latest_selection").fetchall()
    [(0,)]
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False) -> None:
        self.path = Path(path)
        self._check_folder(create)
        self.artifacts = ArtifactStore(self.path / "artifacts")

    def _check_folder(self, create: bool) -> None:
        marker = self.path / "store.json"
        if marker.is_file():
            try:
                version = json.loads(marker.read_text())["schema_version"]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise StoreError(f"{marker} can't be read as a store's marker: {error}.") from error
            if not isinstance(version, int) or version > SCHEMA_VERSION:
                raise StoreError(
                    f"The store {self.path} has schema version {version}; this assay reads up to "
                    f"{SCHEMA_VERSION}. Install the version of assay that wrote it, or a newer one."
                )
            return
        if self.path.exists() and not self.path.is_dir():
            raise StoreError(f"{self.path} is a file; a store is a folder. Name another one.")
        if self.path.is_dir() and any(self.path.iterdir()):
            raise StoreError(
                f"{self.path} is a folder that is not a store (it has no store.json). "
                "Name a store, or an empty or new folder to make one."
            )
        if not create:
            raise StoreError(
                f"There is no store at {self.path}. `assay curate ... --store {self.path}` makes one."
            )

    def make(self) -> None:
        """Make the folder into a store, unless it is one already."""
        try:
            for folder in ("artifacts", "runs", "published"):
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            if not (self.path / "store.json").exists():
                write_json(
                    self.path / "store.json",
                    {"format": "assay-store", "schema_version": SCHEMA_VERSION},
                )
        except OSError as error:
            raise StoreError(f"The store {self.path} can't be written: {error}.") from error

    def _run_path(self, run_id: str, suffix: str) -> Path:
        if not RUN_ID.fullmatch(run_id):
            raise StoreError(f"{run_id!r} is not a run id: 16 hexadecimal digits.")
        return self.path / "runs" / f"{run_id}{suffix}"

    # --- writing ---------------------------------------------------------------------------

    def is_finished(self, run_id: str) -> bool:
        """Say whether the run `run_id` is there, whole."""
        return self._run_path(run_id, ".duckdb").is_file()

    def has_begun(self, run_id: str) -> bool:
        """Say whether the run `run_id` is noted as under way or failed."""
        return self._run_path(run_id, ".json").is_file()

    def begin(self, info: RunInfo) -> None:
        """Note that a run is under way (it shows as 'running' until it is finished or failed)."""
        self.make()
        self._note(info, "running", None)

    def fail(self, info: RunInfo, message: str) -> None:
        """Note that a run failed, and why."""
        if not self.is_finished(info.run_id):
            self._note(info, "failed", message)

    def note_failed(self, note: dict[str, Any], message: str) -> None:
        """Mark a run that is noted as under way as failed."""
        changed = note | {"status": "failed", "message": message}
        write_json(self._run_path(note["run_id"], ".json"), changed)

    def _note(self, info: RunInfo, status: str, message: str | None) -> None:
        write_note(self._run_path(info.run_id, ".json"), info, status, message)

    def finish(self, info: RunInfo, data: RunTablesData) -> None:
        """Write the run's tables into its one immutable file; from then on it is finished."""
        self.make()
        write_run(self._run_path(info.run_id, ".duckdb"), info, datetime.now(UTC), data)
        with suppress(FileNotFoundError):
            self._run_path(info.run_id, ".json").unlink()

    def publish(self) -> Path:
        """Write the newest run of every pool into one file that any DuckDB can open by itself.

        Returns
        -------
        Path
            `published/latest-<n>.duckdb`; `published/latest.duckdb` points at it. Where the newest
            file already holds these runs it is returned as it is.
        """
        self.make()
        return publish_latest(self.path)

    # --- reading ---------------------------------------------------------------------------

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return an in-memory connection with every view and macro over the runs, locked.

        It can read the store's tables and nothing else: files, extensions, attaching and settings
        are closed. Runs that finish later are seen by the next connection.
        """
        con = duckdb.connect(":memory:")
        runs = attach_runs(con, self.path / "runs")
        make_run_tables(con)
        for run in runs:
            register_run(con, run.alias)
        finished = {run.run_id for run in runs}
        for note in read_notes(self.path / "runs"):
            if note["run_id"] not in finished:
                register_note(con, note)
        for statement in statements(runs):
            con.execute(statement)
        con.execute("SET enable_external_access = false")
        con.execute("SET lock_configuration = true")
        return con

    def sql(self, query: str) -> pl.DataFrame:
        """Run one reading statement and return its rows as a Polars frame.

        Raises
        ------
        QueryError
            If the statement is malformed, names what does not exist, or does more than read.
        """
        with self.connect() as con:
            try:
                parsed = con.extract_statements(query)
                if len(parsed) != 1:
                    raise QueryError(
                        f"One SQL statement is run at a time; {len(parsed)} were given."
                    )
                if parsed[0].type.name not in _READS:
                    raise QueryError(
                        f"Only reading is allowed here; {parsed[0].type.name} is not. "
                        "Use SELECT, WITH, FROM, PIVOT, DESCRIBE, SUMMARIZE or EXPLAIN."
                    )
                frame: pl.DataFrame = con.sql(query).pl()
            except duckdb.Error as error:
                raise QueryError(f"The query failed: {' '.join(str(error).split())}") from error
        return frame

    def run_table(self, run_id: str, query: str) -> pl.DataFrame:
        """Query the tables of one finished run (`run`, and those of `assay.storage.views.TABLES`).

        Samples are known there by `key`, their row number in the pool.
        """
        path = self._run_path(run_id, ".duckdb")
        if not path.is_file():
            raise StoreError(f"There is no finished run {run_id} in {self.path}.")
        with duckdb.connect(str(path), read_only=True) as con:
            frame: pl.DataFrame = con.sql(query).pl()
        return frame
