"""Notes of runs that are under way or failed: one JSON file each, until the run is finished."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from assay.storage.disk.atomic import write_json
from assay.storage.disk.processes import this_process
from assay.storage.runs.run_file import RunInfo

_KEYS = {
    *("run_id", "kind", "pool", "status", "started_at", "n_samples", "seed", "generation"),
    *("config", "versions"),
}


def write_note(path: Path, info: RunInfo, status: str, message: str | None) -> None:
    """Note who a run is, which process runs it, and how it stands."""
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
        **this_process(),
        "message": message,
    }
    write_json(path, note)


def read_notes(folder: Path) -> list[dict[str, Any]]:
    """Return the notes in a folder that can be read, in order of their runs' ids."""
    notes = []
    for path in sorted(folder.glob("*.json")):
        with suppress(OSError, ValueError, RecursionError):
            note = json.loads(path.read_text())
            if isinstance(note, dict) and note.keys() >= _KEYS and note["run_id"] == path.stem:
                notes.append(note)
    return notes
