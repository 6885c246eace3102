"""Retention: the newest runs of a pool are kept at hand, older ones go to the archive."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from assay.storage.disk.atomic import atomic_path
from assay.storage.disk.boundaries import boundary
from assay.storage.runs.catalogue import ARCHIVE, list_runs


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
    runs.sort(key=lambda r: (r.tables.finished_at, r.tables.run_id), reverse=True)
    moved = []
    for run in reversed(runs[keep:]):
        with suppress(FileNotFoundError, PermissionError):
            _move(run.path, store / ARCHIVE)
            moved.append(run.tables.run_id)
    return moved


def _move(path: Path, archive: Path) -> None:
    archive.mkdir(exist_ok=True)
    target = archive / path.name
    try:
        os.replace(path, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # the archive is on another disk: there is a copy before the original goes
        with atomic_path(target) as temporary:
            shutil.copy2(path, temporary)
        path.unlink()
    boundary("run archived", target)
