"""Notes of runs that are under way or failed: one JSON file each, until the run is finished."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from assay.storage.disk.atomic import write_json
from assay.storage.disk.processes import this_process
from assay.storage.runs.opening import RUN_ID, Misfit, warn_of
from assay.storage.runs.run_file import RunInfo

_INT64 = 2**63


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not any("\ud800" <= c <= "\udfff" for c in value)


def _is_count(value: Any) -> bool:
    return type(value) is int and -_INT64 <= value < _INT64


def _is_time(value: Any) -> bool:
    try:
        datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError, OSError):
        return False
    return True


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and _is_text(json.dumps(value, ensure_ascii=False))


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "run_id": _is_text,
    "kind": _is_text,
    "pool": _is_text,
    "status": lambda value: value in ("running", "failed"),
    "started_at": _is_time,
    "n_samples": _is_count,
    "seed": _is_count,
    "generation": _is_text,
    "config": _is_object,
    "versions": _is_object,
}
# missing in notes of earlier versions
_LATER: dict[str, Callable[[Any], bool]] = {
    "of_run": lambda value: value is None or _is_text(value),
    "request": lambda value: value is None or _is_count(value),
    "requested_at": lambda value: value is None or _is_time(value),
}


def write_note(
    path: Path,
    info: RunInfo,
    status: str,
    message: str | None,
    request: tuple[int, datetime] | None = None,
) -> None:
    """Record a run's id, its process, the call that asked for it, and its state."""
    note = {
        "run_id": info.run_id,
        "kind": info.kind,
        "of_run": info.of_run,
        "request": None if request is None else request[0],
        "requested_at": None if request is None else request[1].isoformat(),
        "pool": info.pool,
        "status": status,
        "started_at": info.started_at.isoformat(),
        "n_samples": info.n_samples,
        "seed": info.seed,
        "generation": info.generation,
        "config": info.config,
        "versions": info.versions,
        **this_process(),
        "message": message,
    }
    write_json(path, note)


def read_note(path: Path) -> dict[str, Any]:
    """Return the note in a file, complete.

    Raises
    ------
    OSError, ValueError
        It can't be read, or is no note of the run that its name says.
    """
    try:
        note = json.loads(path.read_bytes())
        if not isinstance(note, dict) or not note.keys() >= _FIELDS.keys():
            raise ValueError("it lacks keys that a note of a run has")
        complete: dict[str, Any] = {**dict.fromkeys(_LATER), **note}
        for key, fits in (_FIELDS | _LATER).items():
            if not fits(complete[key]):
                raise ValueError(f"its {key} is not what a note of a run holds")
        if complete["run_id"] != path.stem:
            raise ValueError(f"it is of the run {complete['run_id'][:40]}")
    except (RecursionError, TypeError) as error:
        raise ValueError("it is no note of a run") from error
    return complete


def note_paths(folder: Path) -> list[Path]:
    """Return the files of a folder that are named as notes are, in order of their runs' ids."""
    return sorted(path for path in folder.glob("*.json") if RUN_ID.fullmatch(path.stem))


def read_notes(folder: Path) -> list[dict[str, Any]]:
    """Return the notes in a folder that can be read, in order of their runs' ids.

    The others are named on the log.
    """
    notes = []
    for path in note_paths(folder):
        try:
            notes.append(read_note(path))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            problem = f"{str(error).rstrip('.')}."
            warn_of([Misfit(path, problem, "note", "`assay check --repair` moves it aside.")])
    return notes
