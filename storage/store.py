"""The score store: runs as immutable DuckDB files, and a read-only connection over them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from assay.storage.disk.artifacts import ArtifactStore
from assay.storage.disk.atomic import write_json, writer_of
from assay.storage.disk.boundaries import boundary
from assay.storage.disk.locks import WriteLock, check_in_place, write_lock
from assay.storage.disk.refusals import refusals_explained
from assay.storage.errors import StoreError
from assay.storage.reading.locations import was_url
from assay.storage.runs.attaching import connect_runs
from assay.storage.runs.catalogue import finished_run, list_runs, newest_run, newest_runs
from assay.storage.runs.migrations import MARKER, SCHEMA_VERSION, migrate, schema_version
from assay.storage.runs.notes import read_notes, write_note
from assay.storage.runs.opening import ARCHIVE, RUN_ID
from assay.storage.runs.publishing import publish_latest
from assay.storage.runs.query_process import query_apart
from assay.storage.runs.querying import query_run, query_store, run_opened
from assay.storage.runs.recovery import recover
from assay.storage.runs.requests import microseconds, next_request, record_request
from assay.storage.runs.retention import archive_runs, bring_back
from assay.storage.runs.run_file import RunInfo, RunTablesData, write_run

if TYPE_CHECKING:
    import polars as pl

LOCK = "write.lock"
# what is damaged or of unknown origin is moved here, where it stood in the way
ASIDE = Path("backup", "aside")
_FOLDERS = ("artifacts", "runs", "published")


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
        self.artifacts = ArtifactStore(self.path / "artifacts", self.path / ASIDE)

    def _check_folder(self, create: bool) -> None:
        if (self.path / MARKER).is_file():
            schema_version(self.path)
            return
        if was_url(self.path):
            raise StoreError(f"{self.path} is a URL; a store is a folder of this machine.")
        if self.path.exists() and not self.path.is_dir():
            raise StoreError(f"{self.path} is a file; a store is a folder. Name another one.")
        # a process may have been killed before it made the marker
        strange = (p for p in self.path.glob("*") if writer_of(p) is None and p.name != LOCK)
        if any(strange):
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
        check_in_place(self.path / LOCK)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # before anything else: a folder without it is no store
            if not (self.path / MARKER).exists():
                marker = {"format": "assay-store", "schema_version": SCHEMA_VERSION}
                write_json(self.path / MARKER, marker)
            for folder in _FOLDERS:
                (self.path / folder).mkdir(exist_ok=True)
        except OSError as error:
            raise StoreError(f"The store {self.path} can't be written: {error}.") from error

    def _run_path(self, run_id: str, suffix: str) -> Path:
        if not RUN_ID.fullmatch(run_id):
            raise StoreError(f"{run_id!r} is not a run id: 16 hexadecimal digits.")
        return self.path / "runs" / f"{run_id}{suffix}"

    # --- writing ---------------------------------------------------------------------------

    @contextmanager
    def writing(
        self, what: str = "a write", run_id: str | None = None, *, wait: float | None = None
    ) -> Iterator[WriteLock]:
        """Be the only writer of this store; readers neither wait nor are waited for.

        Whoever comes first after a crash puts right what it left: runs that died are marked as
        failed, half-written files are removed. A store of an older schema is migrated.

        Parameters
        ----------
        what : str
            What the lock is taken for, for those who wait.
        run_id : str, optional
            For which run; `say` of the lock tells it later, where it is not known yet.
        wait : float, optional
            How many seconds to wait for another writer; see `assay.storage.disk.locks.write_lock`.

        Raises
        ------
        StoreError
            Another process is writing and the wait is over, or the store can't be written.
        """
        new = not (self.path / MARKER).exists()
        root = self.path.exists()
        with (
            refusals_explained(self.path),
            write_lock(self.path / LOCK, wait=wait, prepare=self.make) as lock,
        ):
            if lock.outermost:
                self.make()
                lock.say(what, run_id)
                migrate(self.path)
                recover(self.path)
            elif run_id is not None:
                lock.say(what, run_id)
            try:
                yield lock
            except Exception:
                # whatever could not be read or written then: the store is not there any more
                check_in_place(self.path / LOCK)
                raise
            finally:
                if new and lock.outermost:
                    self._unmake(root)

    def _unmake(self, keep_root: bool) -> None:
        """Remove a store that was created for a run that never happened."""
        with suppress(OSError):
            if {p.name for p in self.path.iterdir()} != {MARKER, LOCK, *_FOLDERS}:
                return
            if any(any((self.path / folder).iterdir()) for folder in _FOLDERS):
                return
            for folder in _FOLDERS:
                (self.path / folder).rmdir()
            (self.path / MARKER).unlink()
            # who waits for it makes the store again
            (self.path / LOCK).unlink()
            if not keep_root:
                self.path.rmdir()

    def is_finished(self, run_id: str) -> bool:
        """Return whether the run `run_id` exists and is complete, archived or not.

        Raises
        ------
        StoreError
            Its file is not as it was written; the message names it and what to do.
        """
        self._run_path(run_id, ".duckdb")
        return finished_run(self.path, run_id) is not None

    def has_begun(self, run_id: str) -> bool:
        """Say whether the run `run_id` is noted as under way or failed."""
        return self._run_path(run_id, ".json").is_file()

    def begin(self, info: RunInfo) -> None:
        """Note that a run is under way (it shows as 'running' until it is finished or failed)."""
        self.make()
        number, _ = self._request(info.run_id)
        self._note(info, "running", None, (number, datetime.now(UTC)))

    def fail(self, info: RunInfo, message: str) -> None:
        """Note that a run failed, and why."""
        if not self.is_finished(info.run_id):
            self._note(info, "failed", message, self._request(info.run_id))

    def _request(self, run_id: str) -> tuple[int, datetime]:
        """Return the number and time of the call that asks for a run now.

        A call that was stopped, and is made again with no other between, has the same number.
        """
        notes = {note["run_id"]: note for note in read_notes(self.path / "runs")}
        own = notes.pop(run_id, None)
        others = max((note["request"] or 0 for note in notes.values()), default=0)
        number = next_request(self.path, others)
        if own is None or own["request"] is None or own["request"] < number:
            return number, datetime.now(UTC)
        return own["request"], datetime.fromisoformat(own["requested_at"] or own["started_at"])

    def forget(self, run_id: str) -> None:
        """Remove the note of a run that another one takes the place of."""
        self._run_path(run_id, ".json").unlink(missing_ok=True)

    def note_failed(self, note: dict[str, Any], message: str) -> None:
        """Mark a run that is noted as under way as failed."""
        changed = note | {"status": "failed", "message": message}
        write_json(self._run_path(note["run_id"], ".json"), changed)

    def _note(
        self,
        info: RunInfo,
        status: str,
        message: str | None,
        request: tuple[int, datetime] | None,
    ) -> None:
        write_note(self._run_path(info.run_id, ".json"), info, status, message, request)

    def finish(self, info: RunInfo, data: RunTablesData) -> None:
        """Write the run's tables into its one immutable file; from then on it is finished."""
        self.make()
        path = self._run_path(info.run_id, ".duckdb")
        number, at = self._request(info.run_id)
        write_run(path, info, datetime.now(UTC), data)
        record_request(self.path, path, number, microseconds(at))
        with suppress(FileNotFoundError):
            self._run_path(info.run_id, ".json").unlink()
        boundary("note removed", self.path)
        # notes what the catalogue lacks
        list_runs(self.path, complete=True)

    def make_current(self, run_id: str) -> dict[str, Any]:
        """Make a finished run the newest of its pool and kind again: a call has asked for it.

        It comes back from the archive. Where it is the newest already, nothing changes.

        Returns
        -------
        dict
            The run's `kind` and `pool`.

        Raises
        ------
        StoreError
            There is no such run, or its file is not as it was written.
        """
        run = finished_run(self.path, run_id)
        if run is None:
            raise StoreError(f"There is no finished run {run_id} in {self.path}.")
        path = run.path
        if path.parent.name == ARCHIVE:
            path = bring_back(self.path, path)
        if run_id not in {newest.tables.run_id for newest in newest_runs(list_runs(self.path))}:
            number, at = self._request(run_id)
            record_request(self.path, path, number, microseconds(at))
        return {"kind": run.tables.kind, "pool": run.tables.pool}

    def publish(self) -> Path:
        """Write the newest run of every pool into one file that any DuckDB can open by itself.

        Returns
        -------
        Path
            `published/latest-<n>.duckdb`; `published/latest.duckdb` is the same file under a name
            that does not change. Where the newest file already holds these runs it is returned as
            it is.
        """
        self.make()
        return publish_latest(self.path)

    def archive(self, pool: str, kind: str = "curate", *, keep: int = 90) -> list[str]:
        """Move a pool's run files beyond the newest `keep` to the archive; return the runs' ids.

        Newest are those that calls asked for last.

        Archived runs stay what they are, and are queried with `all_runs`; what they cost is disk.
        """
        return archive_runs(self.path, pool, kind, keep)

    # --- reading ---------------------------------------------------------------------------

    def connect(self, *, all_runs: bool = False) -> duckdb.DuckDBPyConnection:
        """Return an in-memory connection with every view and macro over the runs, locked.

        It can read the store's tables and nothing else: files, extensions, attaching and settings
        are closed. Runs that finish later are seen by the next connection.

        Parameters
        ----------
        all_runs : bool, default False
            Over the archived runs too.
        """
        return connect_runs(self.path, archived=all_runs)

    def sql(
        self,
        query: str,
        *,
        all_runs: bool = False,
        runs: Collection[str] | None = None,
        printable: bool = False,
    ) -> pl.DataFrame:
        """Run one reading statement and return its rows as a Polars frame.

        A query over the list of runs and the newest run of each pool (`runs`, `latest_*`, `explain`,
        `top`) opens no other run, so it takes as long after a year of nights as on the first.

        Parameters
        ----------
        query : str
        all_runs : bool, default False
            Query the archived runs too.
        runs : collection of str, optional
            Ids of finished runs, kept or archived: as if the store held these and no others, which
            is quicker than to open all.
        printable : bool, default False
            Give dates, times and bytes as DuckDB's text of them, whatever they are nested in: dates
            may lie beyond what Python's can hold. Types that a frame can't hold always are text.

        Raises
        ------
        QueryError
            If the statement is malformed, names what does not exist, does more than read, or takes
            more time or memory than `assay.storage.sql.sandbox` allows.
        StoreError
            If one of `runs` is not there.

        Notes
        -----
        It runs in a process of its own, which is ended when it takes too much; that process is kept
        for the next query.
        """
        return self._query(query_apart, query, all_runs, runs, printable=printable)

    def trusted_sql(
        self, query: str, *, all_runs: bool = False, runs: Collection[str] | None = None
    ) -> pl.DataFrame:
        """Run a statement that no user wrote, in this process; otherwise as `sql`."""
        return self._query(query_store, query, all_runs, runs)

    def _query(
        self,
        ask: Callable[..., pa.Table],
        query: str,
        all_runs: bool,
        runs: Collection[str] | None,
        **how: Any,
    ) -> pl.DataFrame:
        import polars as pl

        for run_id in runs or ():
            self._run_path(run_id, "")
        only = None if runs is None else list(runs)
        answer = pl.from_arrow(ask(self.path, query, archived=all_runs, only=only, **how))
        assert isinstance(answer, pl.DataFrame)
        return answer

    def run_table(self, run_id: str, query: str) -> pl.DataFrame:
        """Query the tables of one finished run (`run`, and those of `assay.storage.runs.schema.TABLES`).

        Samples are known there by `key`, their row number in the pool.
        """
        self._run_path(run_id, ".duckdb")
        return query_run(self.path, run_id, query)

    def opened(self, run_id: str) -> AbstractContextManager[None]:
        """Return a context in which `run_table` opens the run once, rather than for every query.

        Raises
        ------
        StoreError
            There is no such run, or its file is not as it was written.
        """
        self._run_path(run_id, ".duckdb")
        return run_opened(self.path, run_id)

    def newest_run(
        self, pool: str, kind: str = "curate", *, before: str | None = None
    ) -> dict[str, Any] | None:
        """Return the newest finished run of a pool, or None: what the next one starts from.

        Parameters
        ----------
        pool : str
            The pool's name.
        kind : {"curate", "features"}
        before : str, optional
            A run id: only runs last asked for before it (all others, where it is not finished).

        Returns
        -------
        dict
            run_id, kind, pool, finished_at (UTC), n_samples, seed, generation, config (dict),
            pool_fingerprint, ranked_by, and artifacts: stage -> (kind, fingerprint), empty for run
            files of versions that did not note them. Newest is the run that a call asked for last.
            Costs some milliseconds, whatever the history.
        """
        if before is not None and not RUN_ID.fullmatch(before):
            raise StoreError(f"{before!r} is not a run id: 16 hexadecimal digits.")
        return newest_run(self.path, pool, kind, before)
