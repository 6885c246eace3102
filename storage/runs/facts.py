"""What a run file holds, and the notes in which that is kept.

`catalogue/<run_id>.json` is made from the run file, ends in its own checksum, and serves only as
long as that file has the size, the time and the checksums that were noted. Moving a run to the
archive changes none of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from assay.storage.disk.atomic import write_bytes
from assay.storage.disk.checksums import CheckedFile, describe_file, stamp, unstamp
from assay.storage.errors import CorruptArtifactError
from assay.storage.runs.opening import ARCHIVE, Misfit, alias_of, attach, find_run, unexpected
from assay.storage.runs.requests import Request
from assay.storage.runs.run_file import kept_columns
from assay.storage.runs.schema import RunTables
from assay.storage.sql.sandbox import close_off

CATALOGUE = "catalogue"
_FORMAT = 2
# of the table `run`; times in microseconds since 1970
_RUN = {
    "run_id": "run_id",
    "kind": "kind",
    "of_run": "of_run",
    "pool": "pool",
    "status": "status",
    "started_at": "epoch_us(started_at)",
    "finished_at": "epoch_us(finished_at)",
    "n_samples": "n_samples",
    "seed": "seed",
    "generation": "generation",
    "config": "config::VARCHAR",
    "versions": "versions::VARCHAR",
    "ranked_by": "ranked_by",
    "pool_fingerprint": "pool_fingerprint",
}
_SHAPE = """
SELECT (SELECT list([column_name, data_type] ORDER BY column_index) FROM duckdb_columns()
        WHERE database_name = $1 AND table_name = 'samples'),
    (SELECT list(table_name ORDER BY table_name) FROM duckdb_tables() WHERE database_name = $1),
    (SELECT bool_or(column_name = 'of_run') FROM duckdb_columns()
     WHERE database_name = $1 AND table_name = 'run')"""
_CHANGED = "it is not as it was written: its checksum does not fit."
# files that were read whole and found to be as they were written
_checked: set[tuple[str, int, int, int]] = set()


@dataclass(frozen=True)
class RunFile:
    """One finished run: where its file is, what the views need to know of it, its row of `runs`.

    Attributes
    ----------
    path : Path
        Where the file was when the store was listed.
    tables : RunTables
    run : dict
        The columns of `runs` (times in microseconds since 1970, JSON as text), `ranked_by` and
        `pool_fingerprint`.
    artifacts : tuple of (stage, kind, fingerprint)
        What the run was made with.
    """

    path: Path
    tables: RunTables
    run: dict[str, Any]
    artifacts: tuple[tuple[str, str, str], ...] = ()


def note_run(store: Path, run: RunFile, request: Request | None) -> None:
    """Write the note of a run that is as recorded; a store that can't be written to goes without."""
    with suppress(OSError):
        (store / CATALOGUE).mkdir(exist_ok=True)
        status = run.path.stat()
        note = {
            "format": _FORMAT,
            "mtime_ns": status.st_mtime_ns,
            "file": (request and request.file) or describe_file(run.path, run.path.name),
            "run": {key: run.run[key] for key in _RUN},
            "methods": run.tables.methods,
            "kept": run.tables.kept,
            "tables": sorted(run.tables.tables),
            "artifacts": run.artifacts,
        }
        write_bytes(note_path(store, run.tables.run_id), stamp(note))


def note_path(store: Path, run_id: str) -> Path:
    """Return where the note of a run is or would be."""
    return store / CATALOGUE / f"{run_id}.json"


def read_note(path: Path) -> dict[str, Any]:
    """Return a note of the catalogue.

    Raises
    ------
    OSError, ValueError
        It can't be read, or does not match its checksum.
    """
    try:
        note = unstamp(path.read_bytes())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if note.get("format") != _FORMAT or note["run"]["run_id"] != path.stem:
        raise ValueError("it is of another format, or of another run")
    return note


def describe(
    store: Path,
    paths: Sequence[Path],
    requests: Mapping[str, Request],
    *,
    thoroughly: bool = False,
) -> tuple[list[RunFile], list[Misfit]]:
    """Look into run files; return what they hold, and those that are not as they were written.

    Unless `thoroughly`, the checksums of a file are read once in this process.
    """
    if not paths:
        return [], []
    runs: list[RunFile] = []
    with duckdb.connect(":memory:") as con:
        misfits = attach(con, store, paths)
        close_off(con, bounded=False)
        refused = {misfit.path.stem for misfit in misfits}
        problems = unexpected(con)
        attached = {
            row[0] for row in con.execute("SELECT database_name FROM duckdb_databases()").fetchall()
        }
        for path in paths:
            alias = alias_of(path)
            at = find_run(store, path.stem) or path
            if path.stem in refused or alias not in attached:
                continue  # gone meanwhile
            problem = problems.get(alias) or _altered(
                store, at, requests.get(path.stem), thoroughly
            )
            run = None
            if problem is None:
                try:
                    run = _look_into(con, at)
                except (duckdb.Error, ValueError, TypeError) as error:
                    problem = f"it can't be read ({' '.join(str(error).split())})."
                else:
                    problem = _named_wrongly(run)
            if run is None or problem is not None:
                misfits.append(Misfit(at, str(problem)))
            else:
                runs.append(run)
    return runs, misfits


def _look_into(con: duckdb.DuckDBPyConnection, path: Path) -> RunFile:
    alias = alias_of(path)
    columns, tables, later = con.execute(_SHAPE, [alias]).fetchall()[0]
    fields = _RUN if later else _RUN | {"of_run": "NULL"}
    rows = con.execute(
        f"SELECT {', '.join(fields.values())}, methods FROM {alias}.main.run"
    ).fetchall()
    if len(rows) != 1:
        raise ValueError(f"its table run holds {len(rows)} rows")
    artifacts = []
    if "artifacts" in tables:
        artifacts = con.execute(
            f"SELECT stage, kind, fingerprint FROM {alias}.main.artifacts ORDER BY ALL"
        ).fetchall()
    types = dict(columns or ())
    kept = [(name, types[name]) for name in kept_columns(types)]
    run = dict(zip(_RUN, rows[0], strict=False))
    json.loads(run["config"])
    return _run_file(path, run, rows[0][-1], kept, tables, artifacts)


def _named_wrongly(run: RunFile) -> str | None:
    row, name = run.run, run.path.stem
    if row["run_id"] != name:
        return f"it holds the run {row['run_id']}."
    if row["status"] != "done" or None in (row["kind"], row["pool"], row["finished_at"]):
        return "it does not say which finished run it holds."
    return None


def _altered(store: Path, path: Path, request: Request | None, thoroughly: bool) -> str | None:
    """Say that a run file is not the one that was written, where that is on record."""
    recorded = None if request is None else request.file
    entry = recorded or _noted_file(store, path)
    if entry is None:
        return None
    try:
        status = path.stat()
        known = (str(path), status.st_ino, status.st_size, status.st_mtime_ns)
        if thoroughly or known not in _checked:
            CheckedFile(path, entry, "").check()
            _checked.add(known)
    except (OSError, KeyError, TypeError, ValueError):
        return None if not path.exists() else _CHANGED
    except CorruptArtifactError:
        return _CHANGED
    return None


def _noted_file(store: Path, path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        file: dict[str, Any] = read_note(note_path(store, path.stem))["file"]
        return file
    return None


def noted(store: Path, path: Path, request: Request | None) -> RunFile | None:
    """Return a run as its note has it; None where that does not serve."""
    try:
        note = read_note(note_path(store, path.stem))
        status = _status(store, path)
        as_noted = (note["file"]["size"], note["mtime_ns"]) == (status.st_size, status.st_mtime_ns)
        recorded = None if request is None else request.file
        if not as_noted or recorded not in (None, note["file"]):
            return None
        if os.path.lexists(path.with_name(f"{path.name}.wal")):
            return None
        return _run_file(
            path, note["run"], note["methods"], note["kept"], note["tables"], note["artifacts"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _status(store: Path, path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        return (store / ARCHIVE / path.name).stat()


def _run_file(
    path: Path, run: dict[str, Any], methods: Any, kept: Any, tables: Any, artifacts: Any
) -> RunFile:
    return RunFile(
        path,
        RunTables(
            run_id=path.stem,
            kind=run["kind"],
            pool=run["pool"],
            finished_at=run["finished_at"],
            methods=tuple(methods),
            kept=tuple((name, type) for name, type in kept),
            tables=frozenset(tables),
            ranked_by=run["ranked_by"],
        ),
        run,
        tuple((stage, kind, name) for stage, kind, name in artifacts),
    )
