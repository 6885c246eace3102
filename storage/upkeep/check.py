"""Looking through a whole store: checksums, counts, decisions, and what a killed process left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from assay.storage.disk.processes import process_lives as process_lives
from assay.storage.disk.processes import writer_lives
from assay.storage.errors import CorruptArtifactError, StoreError
from assay.storage.hashing.fingerprints import FINGERPRINT
from assay.storage.runs.catalogue import ARCHIVE, RUNS, list_runs, newest_runs, run_paths
from assay.storage.runs.publishing import LINK, PUBLISHED
from assay.storage.runs.recovery import leftovers
from assay.storage.runs.schema import TABLES, identifier
from assay.storage.store import ScoreStore

STRAY = "It is no part of the store; it is left alone. Move it elsewhere."
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
        "info" where nothing is wrong: the next run puts it right by itself.
    """

    where: str
    problem: str
    repaired: bool = False
    level: str = "damage"


def check_store(store: ScoreStore, *, repair: bool = False) -> list[Finding]:
    """Verify everything in a store.

    Every byte of every artifact against its checksums; every run file, kept or archived, by reading
    it whole (DuckDB keeps checksums of its blocks), one decision for each sample, scores and
    selections that belong to samples; that what runs refer to is there; notes of runs whose process
    is gone; the published file; files that a killed process left half-written.

    Parameters
    ----------
    store : ScoreStore
    repair : bool, default False
        Remove corrupt artifacts and half-written files (the next run makes the artifacts again),
        mark dead runs as failed, and publish anew where the published file is missing, damaged or
        behind. Run files are never touched: they can't be rebuilt without their pool. Waits until
        nothing else writes to the store.

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
        _remove_broken_notes(store)
        still = {finding.where for finding in _unsettled(store)}
        settled = [replace(f, repaired=f.where not in still) for f in unsettled]
        return [*_look(store, repair=True), *settled]


def _look(store: ScoreStore, *, repair: bool) -> Iterator[Finding]:
    yield from _artifacts(store, repair)
    yield from _runs(store)
    yield from _published(store, repair)


def _unsettled(store: ScoreStore) -> Iterator[Finding]:
    yield from _notes(store)
    for path in leftovers(store.path):
        yield Finding(_told(store, path), "A process was stopped while it wrote this.")


def _told(store: ScoreStore, path: Path) -> str:
    return path.relative_to(store.path).as_posix()


def _artifacts(store: ScoreStore, repair: bool) -> Iterator[Finding]:
    for kind, fingerprint in store.artifacts.listed():
        folder = store.artifacts.path(kind, fingerprint)
        try:
            store.artifacts.open(kind, fingerprint)
        except (CorruptArtifactError, StoreError) as error:
            if not FINGERPRINT.fullmatch(fingerprint) and not store.artifacts.is_ours(
                kind, fingerprint
            ):
                yield Finding(_told(store, folder), STRAY, level="info")
                continue
            mended = False
            if repair:
                with suppress(StoreError):  # it lies behind a symbolic link
                    store.artifacts.discard(kind, fingerprint)
                    mended = True
            yield Finding(_told(store, folder), str(error), mended)
        else:
            if not store.artifacts.is_ours(kind, fingerprint):
                yield Finding(_told(store, folder), _MIXED, level="info")
    for path in store.artifacts.strays():
        yield Finding(_told(store, path), STRAY, level="info")


def _runs(store: ScoreStore) -> Iterator[Finding]:
    for path in (p for folder in (RUNS, ARCHIVE) for p in run_paths(store.path / folder)):
        missing: list[str] = []
        try:
            with duckdb.connect(str(path), read_only=True) as con:
                problems = _run_problems(con)
                if path.parent.name == RUNS:
                    missing = _missing(store, con)
        except duckdb.Error as error:
            told = " ".join(str(error).split())
            problems = [
                f"It can't be read ({told}). Take it from a backup, or delete it and run again."
            ]
        for problem in problems:
            yield Finding(_told(store, path), problem)
        if missing:
            yield Finding(
                _told(store, path),
                f"Not in the store are {', '.join(missing)}, which it was made with; they are made "
                "again when a run needs them.",
                level="info",
            )


def _missing(store: ScoreStore, con: duckdb.DuckDBPyConnection) -> list[str]:
    """Return the artifacts that a run refers to and that are not there."""
    if not con.execute("FROM duckdb_tables() WHERE table_name = 'artifacts'").fetchall():
        return []  # the file of an older version
    rows = con.execute("SELECT DISTINCT kind, fingerprint FROM artifacts ORDER BY ALL").fetchall()
    return [f"{kind}/{name}" for kind, name in rows if not store.artifacts.exists(kind, name)]


def _read_whole(con: duckdb.DuckDBPyConnection) -> set[str]:
    """Read every block of a file, and so check it; return the names of its tables."""
    tables = con.execute("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL")
    there = tables.fetchall()
    for schema, table in there:
        name = f"{identifier(schema)}.{identifier(table)}"
        con.execute(f"SELECT bit_xor(hash(t)) FROM {name} t").fetchall()
    return {table for _, table in there}


def _run_problems(con: duckdb.DuckDBPyConnection) -> list[str]:
    """Read a run file whole and return what does not fit."""

    def number(query: str) -> int:
        row = con.execute(query).fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    there = _read_whole(con)
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


def _notes(store: ScoreStore) -> Iterator[Finding]:
    for path in sorted((store.path / RUNS).glob("*.json")):
        try:
            note = json.loads(path.read_text())
            dead = note["status"] == "running" and writer_lives(note) is False
        except FileNotFoundError:
            continue  # its run is finished
        except (OSError, ValueError, KeyError, TypeError) as error:
            yield Finding(_told(store, path), f"The note can't be read ({error}).")
            continue
        if dead:
            yield Finding(
                _told(store, path),
                f"The run {note['run_id']} is noted as running, but its process is gone.",
            )


def _remove_broken_notes(store: ScoreStore) -> None:
    for path in (store.path / RUNS).glob("*.json"):
        try:
            note = json.loads(path.read_text())
            whole = bool(note["run_id"] and note["status"])
        except (OSError, ValueError, KeyError, TypeError):
            whole = False
        if not whole:
            path.unlink(missing_ok=True)


def _published(store: ScoreStore, repair: bool) -> Iterator[Finding]:
    if not run_paths(store.path / RUNS):
        return
    latest = store.path / PUBLISHED / LINK
    problem, level = "", "damage"
    try:
        with duckdb.connect(str(latest.resolve()), read_only=True) as con:
            _read_whole(con)
            con.execute("FROM latest_selection").fetchall()
            held = {row[0] for row in con.execute("SELECT run_id FROM runs").fetchall()}
    except (duckdb.Error, OSError) as error:
        problem = f"The published file can't be read ({' '.join(str(error).split())})."
    else:
        with suppress(StoreError):  # a damaged run file, which is named above
            newest = {run.tables.run_id for run in newest_runs(list_runs(store.path))}
            if newest != held:
                problem, level = "The published file is not of the newest runs.", "info"
    if not problem:
        return
    mended = False
    if repair:
        if level == "damage":
            for old in (store.path / PUBLISHED).glob("latest*"):
                old.unlink()
        try:
            store.publish()
            mended = True
        except (StoreError, duckdb.Error):
            mended = False
    yield Finding(_told(store, latest), problem, mended, level)
