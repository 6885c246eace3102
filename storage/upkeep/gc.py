"""Clean-up: remove whatever nothing in a store refers to any more."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from assay.storage.disk.atomic import remove
from assay.storage.disk.boundaries import boundary
from assay.storage.disk.manifests import is_sealed
from assay.storage.disk.processes import writer_lives
from assay.storage.errors import CorruptArtifactError, StoreError
from assay.storage.runs.attaching import open_runs
from assay.storage.runs.catalogue import newest_runs, survey
from assay.storage.runs.facts import CATALOGUE, RunFile, read_note
from assay.storage.runs.migrations import BACKUP
from assay.storage.runs.notes import read_notes
from assay.storage.runs.opening import RUN_ID, RUNS, Misfit, find_run
from assay.storage.runs.publishing import outdated, remove_published
from assay.storage.runs.recovery import leftovers
from assay.storage.runs.requests import REQUESTS, broken_requests, request_files
from assay.storage.runs.schema import RunTables
from assay.storage.store import ScoreStore

logger = logging.getLogger("assay.storage")

# copies of frames that were handed in; a run names them by its configuration's paths
FRAMES = "frames"
_FRAME = re.compile(r"frames[/\\]+([a-z0-9_]{1,64})")


@dataclass(frozen=True)
class Garbage:
    """Something in a store that nothing refers to.

    Attributes
    ----------
    what : {"artifact", "leftover", "published", "note", "backup"}
    where : str
        The file or folder, relative to the store.
    bytes : int
        Its size.
    """

    what: str
    where: str
    bytes: int


@dataclass
class _Wanted:
    """What runs refer to: artifacts, whatever certain runs made, copies of frames.

    `all_known` is False where a run can't be read, so that no artifact is known to be unwanted.
    """

    all_known: bool = True
    artifacts: set[tuple[str, str]] = field(default_factory=set)
    makers: set[str] = field(default_factory=set)
    frames: set[str] = field(default_factory=set)

    def holds(self, store: ScoreStore, kind: str, fingerprint: str) -> bool:
        if not self.all_known or (kind, fingerprint) in self.artifacts:
            return True
        if kind == FRAMES:
            return fingerprint in self.frames
        with suppress(StoreError, CorruptArtifactError):
            return store.artifacts.made_by(kind, fingerprint).get("run") in self.makers
        return False


def collect(store: ScoreStore, *, dry_run: bool = False) -> list[Garbage]:
    """Remove what nothing in a store refers to; return it.

    Only what assay can prove to have written is removed: folders with a sealed manifest, inside the
    store and behind no symbolic link. `assay check` names the rest.

    Kept are the artifacts that a kept run (one in `runs/`, so the newest of every pool among them)
    refers to or made, those of a run that is under way, and of one that failed after the newest
    finished run of its pool, because it goes on where it was. Archived runs hold none: what they say
    is in their files. Removed with the others: what dead processes left half-written, published files
    that no reader can be about to open, notes of the catalogue and backups of migrations that are of
    no use any more. Runs are never removed. Where a run file is not as it was written, it is not known
    what it refers to: it is named on the log, and no artifact is removed.

    Parameters
    ----------
    store : ScoreStore
    dry_run : bool, default False
        Only say what would be removed; nothing is written, no lock is waited for.
    """
    if dry_run:
        return list(_find(store))
    abandoned = [_garbage(store, "leftover", path) for path in leftovers(store.path)]
    with store.writing() as lock:
        lock.say("gc")
        # whoever comes to write has removed what dead processes left
        removed = [g for g in abandoned if not (store.path / g.where).exists()]
        for garbage in list(_find(store)):
            if _remove(store, garbage):
                removed.append(garbage)
    return removed


def _find(store: ScoreStore) -> Iterator[Garbage]:
    wanted = _wanted(store)
    for kind, fingerprint in store.artifacts.listed():
        with suppress(FileNotFoundError):
            unwanted = not wanted.holds(store, kind, fingerprint)
            if unwanted and store.artifacts.is_ours(kind, fingerprint):
                yield _garbage(store, "artifact", store.artifacts.path(kind, fingerprint))
    for path in leftovers(store.path):
        yield _garbage(store, "leftover", path)
    for path in outdated(store.path):
        yield _garbage(store, "published", path)
    for path in _notes_of_gone_runs(store.path):
        yield _garbage(store, "note", path)
    for path in _old_backups(store.path):
        yield _garbage(store, "backup", path)


def _garbage(store: ScoreStore, what: str, path: Path) -> Garbage:
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    size = 0
    for file in files:
        with suppress(OSError):
            status = file.lstat()
            size += 0 if file.is_dir() else status.st_size
    return Garbage(what, path.relative_to(store.path).as_posix(), size)


def _remove(store: ScoreStore, garbage: Garbage) -> bool:
    path = store.path / garbage.where
    try:
        if garbage.what == "artifact":
            store.artifacts.discard(path.parent.name, path.name)
        elif garbage.what == "published":
            remove_published(store.path, path)
        else:
            remove(path)
    except FileNotFoundError:
        return False
    except PermissionError:
        return False  # open on Windows: the next call removes it
    boundary("garbage removed", path)
    return not path.exists()


def _wanted(store: ScoreStore) -> _Wanted:
    wanted = _Wanted()
    notes = read_notes(store.path / RUNS)
    runs, misfits = survey(store.path)
    referred, unreadable = _referred_to(store, runs)
    wanted.artifacts.update(referred)
    for misfit in (*misfits, *unreadable):
        wanted.all_known = False
        logger.warning("%s Until then no artifact is removed.", misfit)
    for run in runs:
        wanted.makers.add(run.tables.run_id)
        wanted.frames.update(_FRAME.findall(str(run.run["config"])))
    newest = {(run.tables.pool, run.tables.kind): run.tables for run in newest_runs(runs)}
    for note in notes:
        if _goes_on(note, newest):
            wanted.makers.add(note["run_id"])
            wanted.frames.update(_FRAME.findall(str(note["config"])))
    return wanted


def _referred_to(
    store: ScoreStore, runs: Sequence[RunFile]
) -> tuple[set[tuple[str, str]], list[Misfit]]:
    """Return what runs name as theirs, and the run files that can't be read.

    Runs of earlier versions name nothing, but made what is theirs.
    """
    referred: set[tuple[str, str]] = set()
    with duckdb.connect(":memory:") as con:
        opened, misfits = open_runs(con, store.path, runs)
        for run in opened:
            if "artifacts" not in run.tables.tables:
                continue
            try:
                query = f"SELECT kind, fingerprint FROM {run.tables.alias}.main.artifacts"
                referred.update(con.sql(query).fetchall())
            except duckdb.Error as error:
                problem = f"it can't be read ({' '.join(str(error).split())})."
                misfits.append(Misfit(run.path, problem))
    return referred, misfits


def _goes_on(note: dict[str, Any], newest: dict[tuple[str, str], RunTables]) -> bool:
    """Say whether a run that is not finished is under way, or may still be taken up again."""
    with suppress(KeyError, TypeError, ValueError):
        if note["status"] == "running" and writer_lives(note) is not False:
            return True
        last = newest.get((note["pool"], note["kind"]))
        if last is None:
            return True
        if note["request"] is not None and last.request is not None:
            return bool(note["request"] > last.request)
        return datetime.fromisoformat(note["started_at"]).timestamp() * 1e6 > last.finished_at
    return True


def _notes_of_gone_runs(store: Path) -> list[Path]:
    """Return the catalogue entries and requests of runs that no longer exist.

    The last request stays, so that no number is given twice; so does what is damaged.
    """
    notes = [] if (store / CATALOGUE).is_symlink() else sorted((store / CATALOGUE).glob("*.json"))
    gone = []
    for path in notes:
        with suppress(OSError, ValueError, KeyError, TypeError):
            if not path.is_symlink() and RUN_ID.fullmatch(path.stem) and read_note(path):
                gone += [path] if find_run(store, path.stem) is None else []
    if not (store / REQUESTS).is_symlink():
        broken = set(broken_requests(store))
        gone += [
            path
            for path, _, run_id in request_files(store)[:-1]
            if path not in broken and find_run(store, run_id) is None
        ]
    return gone


def _old_backups(store: Path) -> list[Path]:
    """Return the backups of migrations but for the newest of every schema version."""
    newest: dict[str, Path] = {}
    old: list[Path] = []
    folder = store / BACKUP
    if folder.is_symlink():
        return old
    for path in sorted(folder.glob("[0-9]*-*")):
        version = path.name.partition("-")[0]
        if not version.isdecimal() or not is_sealed(path, kind=BACKUP, version=int(version)):
            continue
        if version in newest:
            old.append(newest[version])
        newest[version] = path
    return old
