"""A store after 1, 10, 90, 200 and 400 nights: its size, and what publishing and querying cost.

Every night curates 100,000 rows with 6 scores (synthetic ones, through the storage API: finish,
publish, archive with `keep_runs = 90`). Nights that are not measured take over the file of the last
measured one under their own id and time, which saves the minutes of making random numbers; every
measured night is written anew. CPU time of all threads is given, because the machine is shared.

    python benchmarks/retention.py [--rows 100000] [--nights 400] > benchmarks/results/retention.md
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
from service.nights import info, run_id, tables

from assay.storage import ScoreStore
from assay.storage.runs.catalogue import list_runs
from assay.storage.runs.requests import microseconds, next_request, record_request

METHODS, KEEP, POOL = 6, 90, "docs"
MEASURED = (1, 10, 90, 200, 400)
SQL = {
    "`runs`, all columns": "FROM runs",
    "top 100 of a score": "FROM top('m0', 100)",
    "`explain` of a sample": "FROM explain('document-5')",
    "newest scores joined with samples": "SELECT avg(m0 + m1), count(*) FROM latest_scores "
    "JOIN latest_samples USING (pool, run_id, sample_id) WHERE row % 2 = 0",
}
CHOSEN = "SELECT run_id, count(*) FROM decisions WHERE selected GROUP BY ALL"


def cost(call: Callable[[], Any], repeat: int = 5, before: Callable[[], Any] | None = None) -> str:
    """Return the median CPU milliseconds of a call."""
    taken = []
    for _ in range(repeat + 1):
        if before is not None:
            before()
        began = time.process_time()
        call()
        taken.append(1000 * (time.process_time() - began))
    return f"{statistics.median(taken[1:]):.0f}"  # the first warms up


def size(folder: Path) -> str:
    """Return the size of a folder in MiB."""
    total = sum(p.lstat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink())
    return f"{total / 2**20:,.2f}"


def taken_over(store: ScoreStore, night: int, template: Path) -> None:
    """Finish a night with the tables of an earlier one, under its own id and time."""
    path = store.path / "runs" / f"{run_id(night, POOL)}.duckdb"
    copy = path.with_name(f".{path.name}.1-0.tmp")
    shutil.copyfile(template, copy)
    with duckdb.connect(str(copy)) as con:
        con.execute(
            "UPDATE run SET run_id = ?, started_at = now(), finished_at = now()", [path.stem]
        )
    copy.rename(path)
    record_request(store.path, path, next_request(store.path), microseconds(datetime.now(UTC)))
    list_runs(store.path, complete=True)
    store.archive(POOL, keep=KEEP)


def measure(store: ScoreStore, rows: int, night: int) -> dict[str, str]:
    """Run a night as it is, and return what everything costs after it."""
    found = {"finish: the run's own file": cost(lambda: finish(store, night, rows), 0 + 1)}

    def unpublish() -> None:
        for path in (store.path / "published").iterdir():
            path.unlink()

    found["publish"] = cost(store.publish, 3, unpublish)
    found["publish, nothing new"] = cost(store.publish)
    found["archive, nothing to move"] = cost(lambda: store.archive(POOL, keep=KEEP))
    found["what the next run starts from"] = cost(lambda: store.newest_run(POOL))
    for name, query in SQL.items():
        found[name] = cost(lambda query=query: store.trusted_sql(query))
    first, newest = run_id(1, POOL), run_id(night, POOL)
    found["scores of the first run"] = cost(
        lambda: store.trusted_sql("SELECT avg(score) FROM scores", runs=[first])
    )
    found["`diff` of the first run and the newest"] = cost(
        lambda: store.trusted_sql(f"FROM diff('{first}', '{newest}')", runs=[first, newest])
    )
    link = str(store.path / "published" / "latest.duckdb")

    def published() -> None:
        with duckdb.connect(link, read_only=True) as con:
            con.execute(SQL["top 100 of a score"]).fetchall()

    found["top 100, published file, plain DuckDB"] = cost(published)
    found["`connect()`: every kept run attached"] = cost(lambda: store.connect().close(), 3)
    found["chosen rows of every kept run"] = cost(lambda: store.trusted_sql(CHOSEN), 3)
    found["`runs --all-runs`"] = cost(lambda: store.trusted_sql("FROM runs", all_runs=True), 3)
    found["chosen rows of every run, `--all-runs`"] = cost(
        lambda: store.trusted_sql(CHOSEN, all_runs=True), 1
    )
    for folder in ("runs", "archive", "published", "catalogue"):
        found[f"`{folder}/`, MiB"] = size(store.path / folder)
    found["runs kept and archived"] = " + ".join(
        str(len(list((store.path / folder).glob("*.duckdb")))) for folder in ("runs", "archive")
    )
    return found


def finish(store: ScoreStore, night: int, rows: int) -> None:
    """Finish, publish and archive one night's run."""
    data = _made.get(night) or _made.setdefault(night, tables(night, rows, METHODS))
    store.finish(info(night, POOL, rows), data)
    store.archive(POOL, keep=KEEP)


_made: dict[int, Any] = {}
_TOLD = """
Publishing, the newest runs, single runs and `diff` cost the same after 400 nights as after one (what
differs is the machine's other work). What is asked of every kept run grows until there are
`keep_runs` of them and then no more; only `--all-runs` goes on growing. A second published file stays
beside the newest one for readers who are about to open it."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--nights", type=int, default=max(MEASURED))
    given = parser.parse_args()
    columns: dict[int, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        store = ScoreStore(Path(folder) / "store", create=True)
        template = Path(folder) / "template.duckdb"
        for night in range(1, given.nights + 1):
            if night in MEASURED:
                columns[night] = measure(store, given.rows, night)
                _made.clear()
                shutil.copyfile(store.path / "runs" / f"{run_id(night, POOL)}.duckdb", template)
                print(f"night {night}", file=sys.stderr)
            else:
                taken_over(store, night, template)
    print(f"# A store after {given.nights} nights\n")
    print(
        f"`python benchmarks/retention.py`, 2 shared cores. {given.rows:,} rows and {METHODS} scores a "
        f"night, one pool, `keep_runs = {KEEP}`. Nights that were not measured took over the tables of "
        "the last measured one under their own id and time. CPU milliseconds of all threads, median; "
        "each query with its own connection, as `ScoreStore.sql` makes it in a process of its own.\n"
    )
    print("| | " + " | ".join(f"night {night}" for night in columns) + " |")
    print("| --- | " + " | ".join("---:" for _ in columns) + " |")
    for name in next(iter(columns.values())):
        print(f"| {name} | " + " | ".join(column[name] for column in columns.values()) + " |")
    print(_TOLD)


if __name__ == "__main__":
    main()
