"""Looking through a whole store: checksums, counts, decisions, and what a killed process left."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from assay.storage.errors import CorruptArtifactError, StoreError
from assay.storage.stores import ScoreStore
from assay.storage.views import TABLES, identifier

# what is left beside a file that was being written
_TEMPORARY = ".*.tmp"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong in a store.

    Attributes
    ----------
    where : str
        The file or folder, relative to the store.
    problem : str
        What is wrong, and what to do about it.
    repaired : bool
        Whether it was mended.
    """

    where: str
    problem: str
    repaired: bool = False


def check_store(store: ScoreStore, *, repair: bool = False) -> list[Finding]:
    """Verify everything in a store.

    Every byte of every artifact against its checksums; every run file by reading it whole (DuckDB
    keeps checksums of its blocks), one decision for each sample, scores and selections that belong
    to samples; notes of runs whose process is gone; the published file; files that a killed process
    left half-written.

    Parameters
    ----------
    store : ScoreStore
    repair : bool, default False
        Remove corrupt artifacts and half-written files (the next run makes the artifacts again),
        mark dead runs as failed, and publish anew where the published file is missing or damaged.
        Run files are never touched: they can't be rebuilt without their pool.

    Returns
    -------
    list of Finding
        Empty where everything is right.

    Notes
    -----
    Reads the whole store once.
    """
    found = [
        *_artifacts(store, repair),
        *_runs(store),
        *_notes(store, repair),
        *_leftovers(store, repair),
    ]
    return [*found, *_published(store, repair)]


def _told(store: ScoreStore, path: Path) -> str:
    return path.relative_to(store.path).as_posix()


def _artifacts(store: ScoreStore, repair: bool) -> Iterator[Finding]:
    for folder in sorted((store.path / "artifacts").glob("*/*")):
        if not folder.is_dir() or folder.name.startswith("."):
            continue
        try:
            store.artifacts.open(folder.parent.name, folder.name)
        except (CorruptArtifactError, StoreError) as error:
            if repair:
                store.artifacts.discard(folder.parent.name, folder.name)
            yield Finding(_told(store, folder), str(error), repair)


def _runs(store: ScoreStore) -> Iterator[Finding]:
    for path in sorted((store.path / "runs").glob("*.duckdb")):
        try:
            with duckdb.connect(str(path), read_only=True) as con:
                problems = _run_problems(con)
        except duckdb.Error as error:
            told = " ".join(str(error).split())
            problems = [
                f"It can't be read ({told}). Take it from a backup, or delete it and run again."
            ]
        for problem in problems:
            yield Finding(_told(store, path), problem)


def _run_problems(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Read a run file whole and return what does not fit."""

    def number(query: str) -> int:
        row = con.execute(query).fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    there = {r[0] for r in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
    for table in sorted(there):
        # reads every block, and so checks it
        con.execute(f"SELECT bit_xor(hash(t)) FROM {identifier(table)} t").fetchall()
    kind = con.execute("SELECT kind, n_samples FROM run").fetchone()
    if kind is None:
        return ["It holds no run. Delete it and run again."]
    if kind[0] != "curate":
        return []
    problems = []
    samples = number("SELECT count(*) FROM samples")
    if samples != kind[1]:
        problems.append(f"It holds {samples} samples and says {kind[1]}.")
    decided = number("SELECT count(DISTINCT key) FROM decisions")
    if not samples == decided == number("SELECT count(*) FROM decisions"):
        problems.append(f"It does not hold one decision for each of its {samples} samples.")
    if number("SELECT count(*) FROM selections") != number(
        "SELECT count(*) FROM decisions WHERE selected"
    ):
        problems.append("Its selection is not what it decided.")
    for table in sorted(there & {t for t, columns in TABLES.items() if columns.startswith("key")}):
        if table != "samples" and number(
            f"SELECT count(*) FROM {table} WHERE key NOT IN (SELECT key FROM samples)"
        ):
            problems.append(f"Its table {table} names samples that it does not hold.")
    return problems


def _notes(store: ScoreStore, repair: bool) -> Iterator[Finding]:
    for path in sorted((store.path / "runs").glob("*.json")):
        try:
            note = json.loads(path.read_text())
            running = note["status"] == "running" and not process_lives(int(note["process"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            if repair:
                path.unlink()
            yield Finding(_told(store, path), f"The note can't be read ({error}).", repair)
            continue
        if running:
            if repair:
                store.note_failed(note, "its process ended without a word")
            yield Finding(
                _told(store, path),
                f"The run {note['run_id']} is noted as running, but its process is gone.",
                repair,
            )


def _leftovers(store: ScoreStore, repair: bool) -> Iterator[Finding]:
    for path in sorted(store.path.rglob(_TEMPORARY)):
        owner = path.name.rsplit(".", 2)[-2].split("-")[0]
        if owner.isdecimal() and process_lives(int(owner)):
            continue
        if repair:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield Finding(_told(store, path), "A process was stopped while it wrote this.", repair)


def _published(store: ScoreStore, repair: bool) -> Iterator[Finding]:
    if not any((store.path / "runs").glob("*.duckdb")):
        return
    latest = store.path / "published" / "latest.duckdb"
    try:
        with duckdb.connect(str(latest.resolve()), read_only=True) as con:
            con.execute("FROM latest_selection").fetchall()
        return
    except (duckdb.Error, OSError) as error:
        told = " ".join(str(error).split())
    mended = False
    if repair:
        for old in (store.path / "published").glob("latest*"):
            old.unlink()
        try:
            store.publish()
            mended = True
        except (StoreError, duckdb.Error):
            mended = False
    yield Finding(_told(store, latest), f"The published file can't be read ({told}).", mended)


def process_lives(process: int) -> bool:
    """Return whether a process of this machine is there."""
    if os.name == "nt":
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x1000, False, process)  # type: ignore[attr-defined,unused-ignore]
        if handle:
            ctypes.windll.kernel32.CloseHandle(handle)  # type: ignore[attr-defined,unused-ignore]
        return bool(handle)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
