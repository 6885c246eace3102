"""The finished runs of a store, listed without being opened where their notes serve.

Where a note is missing or does not fit, readers look into the run file, and the next writer makes the
note anew. So the notes are a cache that can always be made again from the run files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Container, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from assay.storage.errors import StoreError
from assay.storage.runs.facts import RunFile, describe, note_run, noted
from assay.storage.runs.notes import read_notes
from assay.storage.runs.opening import ARCHIVE, RUN_ID, RUNS, Misfit, find_run, warn_of
from assay.storage.runs.requests import Request, microseconds, read_requests
from assay.storage.runs.schema import latest

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def run_paths(folder: Path) -> list[Path]:
    """Return the run files of a folder, in order of their ids.

    The folder is read until two readings agree. A newer run may come, and an older one go to the
    archive, while it is read; the reading after that sees the newer one, so they are not both missed.
    """
    paths: list[str] | None = None
    while True:
        again = sorted(_names(folder))
        if again == paths:
            return [folder / name for name in paths]
        paths = again


def _names(folder: Path) -> Iterator[str]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            stem, dot, suffix = entry.name.partition(".")
            if dot and suffix == "duckdb" and RUN_ID.fullmatch(stem):
                yield entry.name


def list_runs(
    store: Path,
    *,
    archived: bool = False,
    complete: bool = False,
    only: Collection[str] | None = None,
) -> list[RunFile]:
    """Return the finished runs of a store's folder, in order of their ids.

    Run files that are not as they were written are named on the log and left out.

    Parameters
    ----------
    store : Path
    archived : bool, default False
        The archived ones too.
    complete : bool, default False
        Write the notes that are missing: only for who may write.
    only : collection of str, optional
        Ids: these runs and no others, kept or archived.

    Raises
    ------
    StoreError
        One of `only` is not as it was written.
    """
    runs, misfits = survey(store, archived=archived, complete=complete, only=only)
    if only is not None and misfits:
        raise StoreError(str(misfits[0]))
    warn_of(misfits)
    return runs


def survey(
    store: Path,
    *,
    archived: bool = False,
    complete: bool = False,
    only: Collection[str] | None = None,
) -> tuple[list[RunFile], list[Misfit]]:
    """Return the runs that `list_runs` lists, and the run files that it leaves out."""
    if only is not None:
        named = (find_run(store, run_id) for run_id in only)
        paths = {path.stem: path for path in named if path is not None}
    else:
        paths = {path.stem: path for path in run_paths(store / RUNS)}
        if archived:
            paths = {path.stem: path for path in run_paths(store / ARCHIVE)} | paths
    requests = _unrecorded(store, paths) | read_requests(store)
    runs = {run_id: noted(store, path, requests.get(run_id)) for run_id, path in paths.items()}
    unknown = [paths[run_id] for run_id, run in runs.items() if run is None]
    described, misfits = describe(store, unknown, requests)
    for run in described:
        if complete:
            note_run(store, run, requests.get(run.tables.run_id))
        runs[run.tables.run_id] = run
    present = (run for _, run in sorted(runs.items()) if run is not None)
    return [_requested(run, requests.get(run.tables.run_id)) for run in present], misfits


def _unrecorded(store: Path, run_ids: Container[str]) -> dict[str, Request]:
    """Return the requests of finished runs whose process was killed before they were recorded."""
    requests = {}
    for note in read_notes(store / RUNS):
        if note["run_id"] in run_ids and note["request"] is not None:
            at = microseconds(datetime.fromisoformat(note["requested_at"] or note["started_at"]))
            requests[note["run_id"]] = Request(note["run_id"], note["request"], at, None)
    return requests


def finished_run(store: Path, run_id: str) -> RunFile | None:
    """Return a finished run, kept or archived; None if it doesn't exist.

    Raises
    ------
    StoreError
        Its file is not as it was written.
    """
    runs = list_runs(store, only=[run_id])
    return runs[0] if runs else None


def newest_runs(runs: Sequence[RunFile]) -> list[RunFile]:
    """Return, for every pool, its newest run of each kind: curations first, in order of names."""
    by_id = {run.tables.run_id: run for run in runs}
    tables = [run.tables for run in runs]
    kinds = sorted({run.kind for run in tables}, key=lambda kind: (kind != "curate", kind))
    return [by_id[run.run_id] for kind in kinds for run in latest(tables, kind)]


def newest_run(
    store: Path, pool: str, kind: str = "curate", before: str | None = None
) -> dict[str, Any] | None:
    """Return the newest finished run of a pool in a store's folder; see `ScoreStore.newest_run`."""
    own = None if before is None else find_run(store, before)
    runs = list_runs(store, archived=own is not None and own.parent.name == ARCHIVE)
    limit = next((run.tables.age for run in runs if run.tables.run_id == before), None)
    wanted = (
        run
        for run in runs
        if (run.tables.pool, run.tables.kind) == (pool, kind)
        and (limit is None or run.tables.age < limit)
    )
    newest = max(wanted, key=lambda run: run.tables.age, default=None)
    if newest is None:
        return None
    keys = ("run_id", "kind", "pool", "n_samples", "seed", "generation", "ranked_by")
    return {key: newest.run[key] for key in keys} | {
        "finished_at": _EPOCH + timedelta(microseconds=newest.run["finished_at"]),
        "config": json.loads(newest.run["config"]),
        "pool_fingerprint": newest.run["pool_fingerprint"],
        "artifacts": {stage: (of, name) for stage, of, name in newest.artifacts},
    }


def _requested(run: RunFile, request: Request | None) -> RunFile:
    number, at = (None, None) if request is None else (request.number, request.at)
    row = run.run | {"request": number, "requested_at": at}
    return replace(run, tables=replace(run.tables, request=number), run=row)
