"""Which run was asked for last: numbered records beside the run files, which never change.

`requests/<number>-<run_id>.json` says when a call last asked for a run, and what its file's
checksums are. The number comes from a counter, so no clock decides which run is the newest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from assay.storage.disk.atomic import write_bytes
from assay.storage.disk.boundaries import boundary
from assay.storage.disk.checksums import describe_file, stamp, unstamp

REQUESTS = "requests"
_NAME = re.compile(r"(\d{12,18})-([0-9a-f]{16})\.json")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Request:
    """The last call that asked for a finished run.

    Attributes
    ----------
    run_id : str
    number : int
        Greater than that of every earlier call.
    at : int
        When, in microseconds since 1970; shown, and never ordered by.
    file : dict or None
        Size and checksums of the run's file, as `describe_file` gives them; None where the process
        was killed before it recorded them.
    """

    run_id: str
    number: int
    at: int
    file: dict[str, Any] | None


def microseconds(at: datetime) -> int:
    """Return a time as microseconds since 1970."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def request_files(store: Path) -> list[tuple[Path, int, str]]:
    """Return the records of a store (path, number and run as their names say), the oldest first."""
    records = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(store / REQUESTS) as entries:
        for entry in entries:
            name = _NAME.fullmatch(entry.name)
            if name is not None:
                records.append((store / REQUESTS / entry.name, int(name[1]), name[2]))
    return sorted(records, key=lambda one: one[1:])


def read_requests(store: Path) -> dict[str, Request]:
    """Return the last request of every run; records that don't fit are left out."""
    while True:
        with suppress(FileNotFoundError):  # a newer one took its place while they were read
            return {request.run_id: request for _, request in _readable(store)}


def broken_requests(store: Path) -> list[Path]:
    """Return the records that don't fit their names or checksums."""
    records = request_files(store)
    sound = {path for path, _ in _readable(store)}
    return [path for path, _, _ in records if path not in sound and path.exists()]


def _readable(store: Path) -> Iterator[tuple[Path, Request]]:
    for path, number, run_id in request_files(store):
        with suppress(PermissionError, IsADirectoryError, ValueError, TypeError, RecursionError):
            request = Request(**unstamp(path.read_bytes()))
            if (request.number, request.run_id) == (number, run_id):
                yield path, request


def next_request(store: Path, noted: int = 0) -> int:
    """Return a number above those of all records, also damaged ones, and above `noted`."""
    return max([noted, *(number for _, number, _ in request_files(store))]) + 1


def record_request(store: Path, run: Path, number: int, at: int) -> None:
    """Record that a run was asked for; the write lock must be held.

    Parameters
    ----------
    store : Path
    run : Path
        The run's file.
    number, at : int
        As in `Request`.
    """
    (store / REQUESTS).mkdir(exist_ok=True)
    path = store / REQUESTS / f"{number:012d}-{run.stem}.json"
    content = {
        "run_id": run.stem,
        "number": number,
        "at": at,
        "file": describe_file(run, run.name),
    }
    write_bytes(path, stamp(content))
    boundary("request recorded", path)
    for old, _, run_id in request_files(store):
        if run_id == run.stem and old != path:
            old.unlink(missing_ok=True)
            boundary("request replaced", old)
