"""What every run file holds, noted beside the runs: they are listed without being opened.

`catalogue/<run_id>.json` is made from the run file and serves only as long as that file has the
size and the time that were noted. Moving a run to the archive changes neither. Where a note is
missing or serves no more, readers look into the run file, and the next writer makes the note anew.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from assay.storage.disk.atomic import write_json
from assay.storage.errors import StoreError
from assay.storage.runs.run_file import kept_columns
from assay.storage.runs.schema import RunTables, latest, literal

RUN_ID = re.compile(r"[0-9a-f]{16}")
RUNS, ARCHIVE, CATALOGUE = "runs", "archive", "catalogue"
_FORMAT = 1
_DESCRIBE = """
SELECT run_id, kind, pool, status, epoch_us(started_at), epoch_us(finished_at), n_samples, seed,
    generation, config::VARCHAR, versions::VARCHAR, ranked_by, methods,
    (SELECT list([column_name, data_type] ORDER BY column_index) FROM duckdb_columns()
     WHERE database_name = $1 AND table_name = 'samples'),
    (SELECT list(table_name ORDER BY table_name) FROM duckdb_tables() WHERE database_name = $1)
FROM {alias}.main.run"""
_RUN = (
    "run_id",
    "kind",
    "pool",
    "status",
    "started_at",
    "finished_at",
    "n_samples",
    "seed",
    "generation",
    "config",
    "versions",
    "ranked_by",
)


@dataclass(frozen=True)
class RunFile:
    """One finished run: where its file is, what the views need to know of it, its row of `runs`.

    Attributes
    ----------
    path : Path
        Where the file was when the store was listed.
    tables : RunTables
    run : dict
        The columns of `runs` (times in microseconds since 1970, JSON as text) and `ranked_by`.
    """

    path: Path
    tables: RunTables
    run: dict[str, Any]


def run_paths(folder: Path) -> list[Path]:
    """Return the run files of a folder, in order of their ids.

    The folder is read until two readings agree. A newer run may come, and an older one go to the
    archive, while it is read; the reading after that sees the newer one, so they are not both missed.
    """
    found: list[str] | None = None
    while True:
        again = sorted(_names(folder))
        if again == found:
            return [folder / name for name in found]
        found = again


def _names(folder: Path) -> Iterator[str]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            stem, dot, suffix = entry.name.partition(".")
            if dot and suffix == "duckdb" and RUN_ID.fullmatch(stem):
                yield entry.name


def find_run(store: Path, run_id: str) -> Path | None:
    """Return the file of a finished run, kept or archived; None where there is none."""
    for folder in (RUNS, ARCHIVE):  # in the order in which a run moves
        path = store / folder / f"{run_id}.duckdb"
        if path.is_file():
            return path
    return None


def list_runs(
    store: Path,
    con: duckdb.DuckDBPyConnection | None = None,
    *,
    archived: bool = False,
    complete: bool = False,
    only: Collection[str] | None = None,
) -> list[RunFile]:
    """Return the finished runs of a store's folder, in order of their ids.

    Parameters
    ----------
    store : Path
    con : DuckDBPyConnection, optional
        What to look into files by that have no note; it must not have attached them.
    archived : bool, default False
        The archived ones too.
    complete : bool, default False
        Write the notes that are missing: only for who may write.
    only : collection of str, optional
        Ids: these runs and no others, kept or archived.

    Raises
    ------
    StoreError
        A run file that has no note can't be read.
    """
    if only is not None:
        named = (find_run(store, run_id) for run_id in only)
        paths = {path.name: path for path in named if path is not None}
    else:
        paths = {path.name: path for path in run_paths(store / RUNS)}
        if archived:
            paths = {path.name: path for path in run_paths(store / ARCHIVE)} | paths
    found = []
    for path in (paths[name] for name in sorted(paths)):
        run = _noted(store, path)
        if run is None:
            run = describe(store, path, con)
            if run is not None and complete:
                note_run(store, run)
        if run is not None:
            found.append(run)
    return found


def newest_runs(runs: Sequence[RunFile]) -> list[RunFile]:
    """Return, for every pool, its newest run of each kind: curations first, in order of names."""
    by_id = {run.tables.run_id: run for run in runs}
    tables = [run.tables for run in runs]
    return [by_id[run.run_id] for run in latest(tables) + latest(tables, "features")]


def note_run(store: Path, run: RunFile) -> None:
    """Write the note of a run; a store that can't be written to goes without."""
    with suppress(OSError):
        (store / CATALOGUE).mkdir(exist_ok=True)
        status = run.path.stat()
        write_json(
            _note_path(store, run.path),
            {
                "format": _FORMAT,
                "size": status.st_size,
                "mtime_ns": status.st_mtime_ns,
                "run": run.run,
                "methods": run.tables.methods,
                "kept": run.tables.kept,
                "tables": sorted(run.tables.tables),
            },
        )


def describe(
    store: Path, path: Path, con: duckdb.DuckDBPyConnection | None = None
) -> RunFile | None:
    """Look into a run file, by a connection that has not attached it; None where it is gone.

    Raises
    ------
    StoreError
        The file can't be read.
    """
    if con is None:
        with duckdb.connect(":memory:") as own:
            return describe(store, path, own)
    alias = f"r_{path.stem}"
    try:
        con.execute(f"ATTACH {literal(str(path))} AS {alias} (READ_ONLY)")
        try:
            row = con.execute(_DESCRIBE.format(alias=alias), [alias]).fetchone()
        finally:
            con.execute(f"DETACH {alias}")
    except duckdb.Error as error:
        moved = find_run(store, path.stem)
        if moved != path:
            return None if moved is None else describe(store, moved, con)
        raise StoreError(
            f"The run file {path} can't be opened: {' '.join(str(error).split())}"
        ) from error
    if row is None:
        raise StoreError(f"The run file {path} is empty.")
    methods, columns, tables = row[len(_RUN) :]
    types = dict(columns or ())
    kept = [(name, types[name]) for name in kept_columns(types)]
    return _run_file(path, dict(zip(_RUN, row, strict=False)), methods, kept, tables)


def _note_path(store: Path, path: Path) -> Path:
    return store / CATALOGUE / f"{path.stem}.json"


def _noted(store: Path, path: Path) -> RunFile | None:
    try:
        note = json.loads(_note_path(store, path).read_bytes())
        status = _status(store, path)
        if (note["format"], note["size"], note["mtime_ns"]) != (
            _FORMAT,
            status.st_size,
            status.st_mtime_ns,
        ):
            return None
        return _run_file(path, note["run"], note["methods"], note["kept"], note["tables"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _status(store: Path, path: Path) -> os.stat_result:
    try:
        return path.stat()
    except FileNotFoundError:
        return (store / ARCHIVE / path.name).stat()


def _run_file(path: Path, run: dict[str, Any], methods: Any, kept: Any, tables: Any) -> RunFile:
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
        ),
        run,
    )
