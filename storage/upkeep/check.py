"""Looking through a whole store: checksums, counts, decisions, and what a killed process left."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from assay.storage.disk.atomic import set_aside
from assay.storage.disk.processes import writer_lives
from assay.storage.errors import CorruptArtifactError, StoreError
from assay.storage.hashing.fingerprints import FINGERPRINT
from assay.storage.runs.catalogue import list_runs, newest_runs, run_paths
from assay.storage.runs.facts import CATALOGUE, RunFile, read_note
from assay.storage.runs.migrations import SCHEMA_VERSION, schema_version
from assay.storage.runs.notes import note_paths
from assay.storage.runs.notes import read_note as read_run_note
from assay.storage.runs.opening import RUN_ID, RUNS, may_read
from assay.storage.runs.publishing import (
    LINK,
    PUBLISHED,
    is_intact,
    is_whole,
    points_at,
    published_files,
    read_record,
    remove_published,
    shows,
)
from assay.storage.runs.recovery import leftovers
from assay.storage.runs.requests import (
    REQUESTS,
    broken_requests,
    read_requests,
    record_request,
    request_files,
)
from assay.storage.store import ASIDE, ScoreStore
from assay.storage.upkeep.run_files import inspect_runs, misplaced

_STRAY = "It is no part of the store; it is left alone. Move it elsewhere."
_NOT_WRITTEN = "This note is not as it was written, so it is not used; it can be made again."
_MIXED = "It holds files that assay did not write, so `assay gc` leaves all of it alone."


@dataclass(frozen=True)
class Finding:
    """Something about a store that is not as it was written.

    Attributes
    ----------
    where : str
        The file or folder, relative to the store.
    problem : str
        What is wrong, and what to do about it.
    repaired : bool
        Whether it was mended.
    level : {"damage", "info"}
        "info" where nothing is wrong: the next run puts it right by itself, or it is not ours.
    """

    where: str
    problem: str
    repaired: bool = False
    level: str = "damage"


def check_store(store: ScoreStore, *, repair: bool = False) -> list[Finding]:
    """Verify everything in a store.

    Every byte of every artifact and run file, kept or archived, against its checksums; that a run
    file holds the run that its name says, tables of the columns that assay writes and nothing else,
    one decision for each sample, scores and selections that belong to samples; the catalogue and
    the records of requests against the runs; that what runs refer to is there; notes of runs whose
    process is gone; the published file; files that a killed process left half-written, and what is
    no part of the store.

    Parameters
    ----------
    store : ScoreStore
    repair : bool, default False
        Remove corrupt artifacts and half-written files (the next run makes the artifacts again),
        mark dead runs as failed, make the catalogue again, move run files that are not as they were
        written to `backup/aside` (back to its own name where it is whole and was only misplaced), and
        publish anew where the published file is missing, damaged or behind. Nothing is removed that
        assay can't prove to have written. Waits until nothing else writes to the store.

    Returns
    -------
    list of Finding
        Empty where everything is right.

    Notes
    -----
    Reads the whole store once.
    """
    if not repair:
        return [*_look(store, repair=False), *_unsettled(store)]
    unsettled = [*_unsettled(store)]
    # whoever comes to write ends dead runs and removes what they left
    with store.writing("check --repair"):
        for path, _ in (*_broken_notes(store), *_false_notes(store)):
            set_aside(path, store.path / ASIDE)
        list_runs(store.path, archived=True, complete=True)
        still = {finding.where for finding in _unsettled(store)}
        settled = [replace(f, repaired=f.where not in still) for f in unsettled]
        return [*_look(store, repair=True), *settled]


def _look(store: ScoreStore, *, repair: bool) -> Iterator[Finding]:
    yield from _artifacts(store, repair)
    yield from _runs(store, repair)
    yield from _requests(store, repair)
    yield from _published(store, repair)


def _unsettled(store: ScoreStore) -> Iterator[Finding]:
    yield from _notes(store)
    for path, problem in _false_notes(store):
        yield Finding(_within(store, path), problem)
    for path in leftovers(store.path):
        yield Finding(_within(store, path), "A process was stopped while it wrote this.")


def _within(store: ScoreStore, path: Path) -> str:
    return path.relative_to(store.path).as_posix()


def _artifacts(store: ScoreStore, repair: bool) -> Iterator[Finding]:
    for kind, fingerprint in store.artifacts.listed():
        folder = store.artifacts.path(kind, fingerprint)
        ours = store.artifacts.is_ours(kind, fingerprint)
        try:
            store.artifacts.open(kind, fingerprint)
        except (CorruptArtifactError, StoreError) as error:
            if not ours and not FINGERPRINT.fullmatch(fingerprint):
                yield Finding(_within(store, folder), _STRAY, level="info")
                continue
            mended = False
            if repair:
                with suppress(StoreError):  # it lies behind a symbolic link
                    store.artifacts.discard(kind, fingerprint)
                    mended = True
            yield Finding(_within(store, folder), str(error), mended)
        else:
            if not ours and not store.artifacts.root.is_symlink():
                yield Finding(_within(store, folder), _MIXED, level="info")
    for path in store.artifacts.strays():
        yield Finding(_within(store, path), _STRAY, level="info")


def _runs(store: ScoreStore, repair: bool) -> Iterator[Finding]:
    broken: dict[Path, list[str]] = {}
    for path, run, problems in inspect_runs(store.path):
        if problems and not may_read(path):
            yield from (Finding(_within(store, path), problem) for problem in problems)
        elif problems:
            broken[path] = problems
        missing = _missing(store, run) if run is not None and path.parent.name == RUNS else []
        if missing:
            yield Finding(
                _within(store, path),
                f"Not in the store are {', '.join(missing)}, which it was made with; they are made "
                "again when a run needs them.",
                level="info",
            )
    moved = {path: set_aside(path, store.path / ASIDE) for path in broken if repair}
    for path, aside in moved.items():
        log = path.with_name(f"{path.name}.wal")
        if os.path.lexists(log):
            set_aside(log, aside.parent)
    for aside in moved.values():
        own = misplaced(store.path, aside)
        if own is not None:
            os.rename(aside, store.path / RUNS / own)
    for path, problems in broken.items():
        for problem in problems:
            yield Finding(_within(store, path), problem, repair)


def _missing(store: ScoreStore, run: RunFile) -> list[str]:
    """Return the artifacts that a run refers to and that don't exist."""
    refs = sorted({(kind, name) for _, kind, name in run.artifacts})
    return [f"{kind}/{name}" for kind, name in refs if not store.artifacts.exists(kind, name)]


def _requests(store: ScoreStore, repair: bool) -> Iterator[Finding]:
    numbers = {path: (number, run_id) for path, number, run_id in request_files(store.path)}
    for path in broken_requests(store.path):
        number, run_id = numbers[path]
        if repair:
            set_aside(path, store.path / ASIDE)
            # the number is that of the file's name; when it was asked for is not known any more
            if run_id not in read_requests(store.path):
                for run in list_runs(store.path, only=[run_id]):
                    record_request(store.path, run.path, number, run.tables.finished_at)
        yield Finding(
            _within(store, path),
            "This record of a request is not as it was written, so it is not used.",
            repair,
        )
    for path in _others(store.path / REQUESTS, numbers):
        yield Finding(_within(store, path), _STRAY, level="info")
    known = {*(path.stem for path in published_files(store.path))}
    for path in _others(store.path / CATALOGUE, ()):
        if path.suffix != ".json" or not (path.stem in known or RUN_ID.fullmatch(path.stem)):
            yield Finding(_within(store, path), _STRAY, level="info")


def _others(folder: Path, known: Container[Path]) -> list[Path]:
    paths = sorted(folder.glob("[!.]*")) if folder.is_dir() else []
    return [path for path in paths if path not in known]


def _false_notes(store: ScoreStore) -> Iterator[tuple[Path, str]]:
    """Yield the notes of the catalogue that are not as they were written, and why."""
    if schema_version(store.path) < SCHEMA_VERSION:
        return  # of another form
    for path in sorted((store.path / CATALOGUE).glob("*.json")):
        if RUN_ID.fullmatch(path.stem):
            problem = _note_problem(store, path)
            if problem:
                yield path, problem
    for published in published_files(store.path):
        path = store.path / CATALOGUE / f"{published.stem}.json"
        if path.exists() and read_record(store.path, published) is None:
            yield path, _NOT_WRITTEN


def _note_problem(store: ScoreStore, path: Path) -> str | None:
    """Describe the faults of a run's note: its form, or that the run's file contradicts it."""
    try:
        note = read_note(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return _NOT_WRITTEN
    for run_file, run, problems in inspect_runs(store.path, only=path.stem):
        if run is None or problems:
            continue  # named already
        held = {key: run.run[key] for key in note["run"] if key in run.run}
        if held != note["run"] or note["file"]["size"] != run_file.stat().st_size:
            return "This note says something else than the run's file; it can be made again."
    return None


def _broken_notes(store: ScoreStore) -> Iterator[tuple[Path, str]]:
    for path in note_paths(store.path / RUNS):
        try:
            read_run_note(path)
        except FileNotFoundError:
            continue  # its run is finished
        except (OSError, ValueError) as error:
            yield path, f"The note can't be read ({str(error)[:200]})."


def _notes(store: ScoreStore) -> Iterator[Finding]:
    broken = dict(_broken_notes(store))
    for path in note_paths(store.path / RUNS):
        if path in broken:
            yield Finding(_within(store, path), broken[path])
            continue
        with suppress(OSError, ValueError, KeyError, TypeError):
            note = read_run_note(path)
            if note["status"] == "running" and writer_lives(note) is False:
                yield Finding(
                    _within(store, path),
                    f"The run {note['run_id']} is noted as running, but its process is gone.",
                )


def _published(store: ScoreStore, repair: bool) -> Iterator[Finding]:
    if not run_paths(store.path / RUNS):
        return
    latest = store.path / PUBLISHED / LINK
    try:
        newest = newest_runs(list_runs(store.path))
    except StoreError:
        return  # a run may not be read, and is named
    files = published_files(store.path)
    for path in files:
        if read_record(store.path, path) is None:
            problem = "It has no record of its checksums; the next publication takes its place."
            yield Finding(_within(store, path), problem, level="info")
        elif not is_intact(store.path, path):
            mended = False
            if repair:
                remove_published(store.path, path)
                mended = _publish(store)
            yield Finding(
                _within(store, path), "The published file is not as it was written.", mended
            )
    files = published_files(store.path)
    if not files or not latest.exists():
        problem, level = "There is no published file.", "damage"
    elif not points_at(latest, files[-1]):
        problem = f"It is not the newest published file, {files[-1].name}."
        # earlier versions made a symbolic link
        level = "info" if latest.is_symlink() else "damage"
    elif not is_whole(store.path, latest, files[-1]):
        problem, level = (
            f"It is a copy of {files[-1].name} that is not as that was written.",
            "damage",
        )
    elif not shows(store.path, files[-1], newest):
        problem, level = "The published file is not of the newest runs.", "info"
    else:
        return
    yield Finding(_within(store, latest), problem, repair and _publish(store), level)


def _publish(store: ScoreStore) -> bool:
    try:
        store.publish()
    except (StoreError, duckdb.Error):
        return False
    return True
