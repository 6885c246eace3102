"""Looking into every run file of a store, as far as there is something to see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import duckdb

from assay.storage.disk.checksums import CheckedFile
from assay.storage.errors import CorruptArtifactError
from assay.storage.runs.attaching import open_runs
from assay.storage.runs.catalogue import run_paths
from assay.storage.runs.facts import RunFile, describe
from assay.storage.runs.opening import (
    ARCHIVE,
    FORBIDDEN,
    REMEDY,
    RUNS,
    find_run,
    may_read,
)
from assay.storage.runs.requests import read_requests
from assay.storage.runs.schema import TABLES, identifier


def inspect_runs(
    store: Path, only: str | None = None
) -> Iterator[tuple[Path, RunFile | None, list[str]]]:
    """Yield every run file, its run (None: it can't be read), and its faults."""
    requests = read_requests(store)
    for path in (p for folder in (RUNS, ARCHIVE) for p in run_paths(store / folder)):
        if only is not None and path.stem != only:
            continue
        if path.parent.name == ARCHIVE and (store / RUNS / path.name).exists():
            yield path, None, [f"There is a run of this id in {RUNS}/ too. {REMEDY}"]
            continue
        if not may_read(path):
            yield path, None, [f"It can't be read: {FORBIDDEN}"]
            continue
        described, misfits = describe(store, [path], requests, thoroughly=only is None)
        run = described[0] if described else None
        problems = [
            f"{misfit.problem[:1].upper()}{misfit.problem[1:]} {REMEDY}" for misfit in misfits
        ]
        if run is not None and only is None:
            problems = _read_whole(store, run)
        yield path, run, problems


def misplaced(store: Path, path: Path) -> str | None:
    """Return the name under which a run file belongs, None where it is not one that was misplaced.

    It is one where its bytes are those on record for a run whose file is missing.
    """
    for run_id, request in read_requests(store).items():
        if request.file is None or find_run(store, run_id) is not None:
            continue
        with suppress(CorruptArtifactError, OSError, KeyError, TypeError, ValueError):
            CheckedFile(path, request.file, "").check()
            return f"{run_id}.duckdb"
    return None


def _read_whole(store: Path, run: RunFile) -> list[str]:
    """Read every block of a file, and so check it; return what does not fit."""
    with duckdb.connect(":memory:") as con:
        opened, misfits = open_runs(con, store, [run], bounded=False)
        if misfits:
            return [f"{misfits[0].problem} {REMEDY}"]
        if not opened:
            return []
        try:
            con.execute(f"USE {run.tables.alias}")
            for table in sorted(run.tables.tables):
                con.execute(f"SELECT bit_xor(hash(t)) FROM {identifier(table)} t").fetchall()
            return _problems(con, run)
        except duckdb.Error as error:
            return [f"It can't be read ({' '.join(str(error).split())}). {REMEDY}"]


def _problems(con: duckdb.DuckDBPyConnection, run: RunFile) -> list[str]:
    def number(query: str) -> int:
        row = con.execute(query).fetchone()
        return int(row[0]) if row and row[0] is not None else 0

    if run.tables.kind != "curate":
        return []
    problems = []
    samples = number("SELECT count(*) FROM samples")
    if samples != run.run["n_samples"]:
        problems.append(f"It holds {samples} samples and says {run.run['n_samples']}.")
    decided = number("SELECT count(DISTINCT key) FROM decisions")
    if not samples == decided == number("SELECT count(*) FROM decisions"):
        problems.append(f"It does not hold one decision for each of its {samples} samples.")
    if number("SELECT count(*) FROM selections") != number(
        "SELECT count(*) FROM decisions WHERE selected"
    ):
        problems.append("Its selection is not what it decided.")
    with_key = {table for table, columns in TABLES.items() if columns.startswith("key")}
    for table in sorted(run.tables.tables & with_key):
        if table != "samples" and number(
            f"SELECT count(*) FROM {table} WHERE key NOT IN (SELECT key FROM samples)"
        ):
            problems.append(f"Its table {table} names samples that it does not hold.")
    return [f"{problem} {REMEDY}" for problem in problems]
