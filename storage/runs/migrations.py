"""Bringing an older store to the present schema: step by step, with a backup of what changes."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assay.storage.disk.atomic import atomic_directory, write_json
from assay.storage.disk.boundaries import boundary
from assay.storage.disk.manifests import seal_folder
from assay.storage.errors import StoreError
from assay.storage.runs.catalogue import list_runs
from assay.storage.runs.facts import CATALOGUE
from assay.storage.runs.opening import RUN_ID
from assay.storage.runs.publishing import published_files, record_published
from assay.storage.runs.requests import next_request, record_request

logger = logging.getLogger("assay.storage")

SCHEMA_VERSION = 3
MARKER = "store.json"
BACKUP = "backup"
# what a note of the catalogue held before version 3
_NOTE_1 = {"format", "size", "mtime_ns", "run", "methods", "kept", "tables"}


def _notes_know_their_host(store: Path) -> None:
    """1 -> 2: notes say on which host their process runs, and when it began.

    Run files of version 2 hold the table `artifacts`; those of version 1 are read as they are.
    """
    for path in _notes(store):
        with suppress(OSError, ValueError, TypeError, RecursionError):  # `assay check` names it
            note = json.loads(path.read_text())
            write_json(path, {"host": None, "process_started": None} | note)


def _runs_know_their_requests(store: Path) -> None:
    """2 -> 3: which call asked for a run is on record, with the checksums of the run's file.

    The runs that are there get their numbers in the order in which they finished. Notes of the
    catalogue are of another form; those that are there are made again from the run files.
    """
    runs = sorted(list_runs(store, archived=True), key=lambda run: run.tables.age)
    for run in runs:
        if run.tables.request is None:
            record_request(store, run.path, next_request(store), run.tables.finished_at)
    for path in (store / CATALOGUE).glob("*.json"):
        with suppress(OSError, ValueError, RecursionError):
            if RUN_ID.fullmatch(path.stem) and json.loads(path.read_bytes()).keys() == _NOTE_1:
                path.unlink()
    list_runs(store, archived=True, complete=True)
    for path in published_files(store):
        record_published(store, path, [], written=path)


def _notes(store: Path) -> list[Path]:
    return sorted((store / "runs").glob("*.json"))


STEPS: dict[int, Callable[[Path], None]] = {
    1: _notes_know_their_host,
    2: _runs_know_their_requests,
}


def schema_version(store: Path) -> int:
    """Return the schema version of a store.

    Raises
    ------
    StoreError
        The marker can't be read, or the version is one that this assay does not know.
    """
    marker = store / MARKER
    try:
        version: Any = json.loads(marker.read_text())["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        whole = json.dumps({"format": "assay-store", "schema_version": SCHEMA_VERSION})
        raise StoreError(
            f"{marker} can't be read as a store's marker: {error}. Take it from a backup, or write "
            f"{whole} into it."
        ) from error
    if type(version) is not int or not min(STEPS) <= version <= SCHEMA_VERSION:
        raise StoreError(
            f"The store {store} has schema version {version}; this assay reads {min(STEPS)} to "
            f"{SCHEMA_VERSION}. Install the version of assay that wrote it, or a newer one."
        )
    return version


def migrate(store: Path) -> Path | None:
    """Bring a store whose write lock is held to `SCHEMA_VERSION`; return the backup's folder.

    What the steps change (the marker and the notes; run files and artifacts are never rewritten, and
    the catalogue and the requests are added) is first copied into `backup/<version>-<time>`. The marker is written last, so a process that is
    killed on the way leaves an older store, whose migration begins again and keeps the backup that
    was made first.
    """
    version = schema_version(store)
    if version == SCHEMA_VERSION:
        return None
    backup = _backup(store, version)
    for step in range(version, SCHEMA_VERSION):
        STEPS[step](store)
        boundary("migrated", store)
    marker = json.loads((store / MARKER).read_text())
    write_json(store / MARKER, marker | {"schema_version": SCHEMA_VERSION})
    logger.warning(
        "the store %s is brought from schema version %s to %s; what was changed is kept in %s",
        store, version, SCHEMA_VERSION, backup,
    )  # fmt: skip
    return backup


def _backup(store: Path, version: int) -> Path:
    """Copy what the steps change, unless an interrupted migration has done so."""
    changed = {path.relative_to(store) for path in (store / MARKER, *_notes(store))}
    folder = store / BACKUP
    for folder_before in sorted(folder.glob(f"{version}-*"), reverse=True):
        if all((folder_before / path).is_file() for path in changed):
            return folder_before
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    with atomic_directory(folder / f"{version}-{now}") as backup:
        for path in changed:
            (backup / path).parent.mkdir(exist_ok=True)
            shutil.copyfile(store / path, backup / path)
        seal_folder(backup, kind=BACKUP, version=version)
    return folder / f"{version}-{now}"
