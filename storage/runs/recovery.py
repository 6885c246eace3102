"""Repairs by the first writer after a crash: dead runs, and files left half-written."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from assay.storage.disk.atomic import (
    host_of,
    is_under_way,
    remove,
    this_host,
    write_json,
    writer_of,
)
from assay.storage.disk.boundaries import boundary
from assay.storage.disk.processes import process_began, process_lives, writer_lives
from assay.storage.runs.notes import read_notes
from assay.storage.runs.opening import find_run
from assay.storage.runs.requests import microseconds, read_requests, record_request
from assay.storage.runs.retention import finish_archiving

logger = logging.getLogger("assay.storage")

DEAD = "its process ended without a word"
# seconds by which the start of a process is known
_CLOCK = 2.0
# seconds after which what another host has not written to any more is taken for left behind
_ABANDONED = 86_400.0
# temporary names lie beside what is being written
_FOLDERS = ("", "artifacts", "runs", "published", "archive", "catalogue", "requests", "backup")


def leftovers(store: Path) -> list[Path]:
    """Return the temporary files and folders in a store that no living process is writing."""
    folders = [store / name for name in _FOLDERS]
    folders += (store / "artifacts").glob("*") if not folders[1].is_symlink() else []
    paths = []
    for folder in folders:
        # what lies behind a link is not ours to judge
        if not folder.is_dir() or (folder.is_symlink() and folder != store):
            continue
        for path in folder.glob(".*"):
            writer = writer_of(path)
            if writer is not None and not is_under_way(path) and not _writes(writer, path):
                paths.append(path)
    return sorted(paths)


def _writes(process: int, path: Path) -> bool:
    """Return whether the process named by a temporary file can be the one that writes it."""
    if host_of(path) not in (None, this_host()):
        # a worker of a cluster: it can't be looked up from here
        return not _abandoned(path)
    if process == os.getpid() or not process_lives(process):
        return False  # this process knows what it writes; the name is that of one before it
    began = process_began(process)
    try:
        return began is None or path.lstat().st_mtime > began - _CLOCK
    except FileNotFoundError:
        return True


def _abandoned(path: Path) -> bool:
    with suppress(OSError):
        newest = max(p.lstat().st_mtime for p in (path, *path.rglob("*")))
        return time.time() - newest > _ABANDONED
    return False


def dead_runs(store: Path, *, locked: bool = False) -> Iterator[dict[str, Any]]:
    """Yield the notes of runs that are noted as running, and whose process is gone.

    Parameters
    ----------
    store : Path
    locked : bool, default False
        The caller holds the write lock, without which nothing runs: whatever is noted as running is
        dead, also where its process can't be looked up (another host), or lives on without it (a
        worker of a cluster). Notes of versions that knew no such lock go by their process.
    """
    for note in read_notes(store / "runs"):
        with suppress(KeyError, TypeError, ValueError):
            if note["status"] != "running":
                continue
            if (locked and note.get("host")) or writer_lives(note) is False:
                yield note


def recover(store: Path) -> None:
    """Mark dead runs as failed, and end what they left undone; the write lock must be held."""
    for path in leftovers(store):
        with suppress(OSError):
            remove(path)
            boundary("leftover removed", path)
    for note in dead_runs(store, locked=True):
        path = store / "runs" / f"{note['run_id']}.json"
        run = find_run(store, note["run_id"])
        if run is not None:
            # killed between the run's file and the end of its note
            _record(store, run, note)
            path.unlink(missing_ok=True)
            boundary("note removed", path)
            continue
        mark_dead(path, note)
        logger.warning(
            "run %s of %s, begun %s: %s; it is marked as failed",
            note["run_id"], note.get("pool"), note.get("started_at"), DEAD,
        )  # fmt: skip
    finish_archiving(store)


def _record(store: Path, run: Path, note: dict[str, Any]) -> None:
    """Record which call asked for a finished run, as its note says."""
    recorded = read_requests(store).get(run.stem)
    if note["request"] is None or (recorded and recorded.number >= note["request"]):
        return
    at = datetime.fromisoformat(note["requested_at"] or note["started_at"])
    record_request(store, run, note["request"], microseconds(at))


def mark_dead(path: Path, note: dict[str, Any]) -> None:
    """Mark a run that is noted as running as failed."""
    write_json(path, note | {"status": "failed", "message": DEAD})
