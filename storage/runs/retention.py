"""Retention: the newest runs of a pool are kept at hand, older ones go to the archive."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from assay.storage.disk.atomic import atomic_path
from assay.storage.disk.boundaries import boundary
from assay.storage.runs.catalogue import list_runs, newest_runs
from assay.storage.runs.opening import ARCHIVE, RUNS


def archive_runs(store: Path, pool: str, kind: str, keep: int) -> list[str]:
    """Move a pool's runs beyond the newest `keep` of a kind to the archive; return their ids.

    A run is in one place or the other at any moment, and readers who have its file open keep it.
    Windows does not let an open file be moved: it stays until the next call.

    Raises
    ------
    ValueError
        `keep` is below 1.
    """
    if keep < 1:
        raise ValueError(f"keep_runs is {keep}; at least 1 run of a pool is kept.")
    runs = [r for r in list_runs(store) if (r.tables.pool, r.tables.kind) == (pool, kind)]
    runs.sort(key=lambda r: r.tables.age, reverse=True)
    moved = []
    for run in reversed(runs[keep:]):
        with suppress(FileNotFoundError, PermissionError):
            _move(run.path, store / ARCHIVE)
            boundary("run archived", run.path)
            moved.append(run.tables.run_id)
    return moved


def finish_archiving(store: Path) -> list[str]:
    """Archive what the newest run of every pool would have archived, had it not been stopped.

    What counts is the `keep_runs` of its configuration.
    """
    moved = []
    for run in newest_runs(list_runs(store, complete=True)):
        with suppress(ValueError, TypeError, AttributeError):
            keep = json.loads(run.run["config"]).get("keep_runs")
            if type(keep) is int and keep >= 1:
                moved += archive_runs(store, run.tables.pool, run.tables.kind, keep)
    return moved


def bring_back(store: Path, path: Path) -> Path:
    """Move a run file from the archive back to the runs at hand; return where it is then."""
    _move(path, store / RUNS)
    boundary("run brought back", path)
    return store / RUNS / path.name


def _move(path: Path, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    target = folder / path.name
    try:
        os.replace(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # the folder is on another disk: there is a copy before the original goes
        with atomic_path(target) as temporary:
            shutil.copy2(path, temporary)
        path.unlink()
