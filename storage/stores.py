"""The score store: runs as immutable DuckDB files, and a read-only connection over them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from assay.storage.artifacts import ArtifactStore
from assay.storage.atomic import atomic_path, point, write_json
from assay.storage.errors import QueryError, StoreError
from assay.storage.locks import file_lock
from assay.storage.run_files import RESERVED_COLUMNS, RunInfo, RunTablesData, write_run
from assay.storage.views import RUN_COLUMNS, TABLES, RunTables, latest, literal, statements

if TYPE_CHECKING:
    import polars as pl

SCHEMA_VERSION = 1
_RUN_ID = re.compile(r"[0-9a-f]{16}")
_RUN_NAMES = ", ".join(column.split()[0] for column in RUN_COLUMNS.split(", "))
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
        if not _RUN_ID.fullmatch(run_id):
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
        note = {
            "run_id": info.run_id,
            "kind": info.kind,
            "pool": info.pool,
            "status": status,
            "started_at": info.started_at.isoformat(),
            "n_samples": info.n_samples,
            "seed": info.seed,
            "generation": info.generation,
            "config": info.config,
            "versions": info.versions,
            "process": os.getpid(),
            "message": message,
        }
        write_json(self._run_path(info.run_id, ".json"), note)

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
        folder = self.path / "published"
        with file_lock(self.path / "publish.lock"):
            published = self._published()
            with duckdb.connect(":memory:") as con:
                runs = self._attach(con)
                wanted = latest(runs) + latest(runs, "features")
                names = sorted(run.run_id for run in wanted)
                if published and self._holds(published[-1]) == names:
                    return published[-1]
                number = int(published[-1].stem.split("-")[1]) + 1 if published else 1
                target = folder / f"latest-{number}.duckdb"
                with atomic_path(target) as temporary:
                    con.execute(f"ATTACH {literal(str(temporary))} AS published")
                    self._copy(con, wanted)
                    con.execute("CHECKPOINT published")
                    con.execute("USE memory")
                    con.execute("DETACH published")
            point(folder / "latest.duckdb", target.name)
            # the one before stays for readers who are just opening it
            for old in published[:-1]:
                with suppress(OSError):
                    old.unlink()
        return target

    def _published(self) -> list[Path]:
        files = (self.path / "published").glob("latest-*.duckdb")
        return sorted(files, key=lambda p: int(p.stem.split("-")[1]))

    @staticmethod
    def _holds(published: Path) -> list[str]:
        try:
            with duckdb.connect(str(published), read_only=True) as con:
                return [r[0] for r in con.sql("SELECT run_id FROM runs ORDER BY 1").fetchall()]
        except duckdb.Error:
            return []

    @staticmethod
    def _copy(con: duckdb.DuckDBPyConnection, runs: Iterable[RunTables]) -> None:
        runs = list(runs)
        for run in runs:
            con.execute(f"CREATE SCHEMA published.{run.alias}")
            for table in ("run", *(t for t in TABLES if t in run.tables)):
                con.execute(
                    f"CREATE TABLE published.{run.alias}.{table} AS FROM {run.alias}.main.{table}"
                )
            con.execute(f"DETACH {run.alias}")
        con.execute("USE published")
        con.execute(f"CREATE TABLE runs ({RUN_COLUMNS})")
        con.execute("CREATE TABLE _ranked_by (run_id VARCHAR, method VARCHAR)")
        for run in runs:
            _register_run(con, run.alias)
        for statement in statements(runs):
            con.execute(statement)

    # --- reading ---------------------------------------------------------------------------

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return an in-memory connection with every view and macro over the runs, locked.

        It can read the store's tables and nothing else: files, extensions, attaching and settings
        are closed. Runs that finish later are seen by the next connection.
        """
        con = duckdb.connect(":memory:")
        runs = self._attach(con)
        con.execute(f"CREATE TABLE runs ({RUN_COLUMNS})")
        con.execute("CREATE TABLE _ranked_by (run_id VARCHAR, method VARCHAR)")
        for run in runs:
            _register_run(con, run.alias)
        finished = {run.run_id for run in runs}
        for note in self._notes():
            if note["run_id"] not in finished:
                _register_note(con, note)
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

    def _notes(self) -> list[dict[str, Any]]:
        notes = []
        for path in sorted((self.path / "runs").glob("*.json")):
            with suppress(OSError, ValueError):
                notes.append(json.loads(path.read_text()))
        return notes

    def _attach(self, con: duckdb.DuckDBPyConnection) -> list[RunTables]:
        runs = []
        for path in sorted((self.path / "runs").glob("*.duckdb")):
            if not _RUN_ID.fullmatch(path.stem):
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


def _register_run(con: duckdb.DuckDBPyConnection, alias: str) -> None:
    con.execute(f"INSERT INTO runs BY POSITION SELECT {_RUN_NAMES} FROM {alias}.run")
    con.execute(
        f"INSERT INTO _ranked_by SELECT run_id, ranked_by FROM {alias}.run "
        "WHERE ranked_by IS NOT NULL"
    )


def _register_note(con: duckdb.DuckDBPyConnection, note: dict[str, Any]) -> None:
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
