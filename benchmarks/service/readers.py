"""Readers in a loop while runs are finished, published, archived and cleaned up after.

Reader processes query the newest runs and the whole history through `ScoreStore`, and the published
file through nothing but DuckDB. Each checks that what it sees is the state of one moment: the newest
views of a pool hold one run, every table of it the same night, a decision for every sample; and that
no pool ever goes back to an earlier night. A control without a writer tells what a read costs by itself.

    python -m service.readers [--readers 8] [--seconds 120] [--json]
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from common.process import FOLDER

from assay.storage import ScoreStore
from assay.storage.upkeep.gc import collect
from service.nights import info, run_id, tables

POOLS = ("one", "two")
ROWS, METHODS, KEEP = 1_000, 3, 3
_MOMENT = """
SELECT pool, run_id, n_samples, n_decisions, n_selected, n_selection, n_scores,
    [from_samples, from_selection, from_decisions, from_scores] AS nights
FROM (SELECT pool, run_id, count(*) AS n_samples, avg(night) AS from_samples
      FROM latest_samples GROUP BY ALL)
FULL JOIN (SELECT pool, run_id, count(*) AS n_decisions, count(*) FILTER (selected) AS n_selected,
      avg((detail->>'night')::INTEGER) AS from_decisions FROM latest_decisions GROUP BY ALL)
  USING (pool, run_id)
FULL JOIN (SELECT pool, run_id, count(*) AS n_selection, avg(weight) AS from_selection
      FROM latest_selection GROUP BY ALL) USING (pool, run_id)
FULL JOIN (SELECT pool, run_id, count(m0) AS n_scores, round(avg(m0), 6) AS from_scores
      FROM latest_scores GROUP BY ALL) USING (pool, run_id)
ORDER BY pool"""
_HISTORY = """
SELECT r.run_id, s.n, d.n, d.chosen, c.n, s.night
FROM (SELECT run_id FROM runs WHERE status = 'done') r
FULL JOIN (SELECT run_id, count(*) AS n, avg(night) AS night FROM samples GROUP BY ALL) s
  USING (run_id)
FULL JOIN (SELECT run_id, count(*) AS n, count(*) FILTER (selected) AS chosen
      FROM decisions GROUP BY ALL) d USING (run_id)
FULL JOIN (SELECT run_id, count(*) AS n FROM selections GROUP BY ALL) c USING (run_id)"""


class Mixed(AssertionError):
    """A reader saw what never was."""


def right(seen: Any, why: str, of: object) -> None:
    """Raise `Mixed` unless what was seen is right."""
    if not seen:
        raise Mixed(f"{why}: {of}")


class Reader:
    """One process that reads, checks and notes how long each read took."""

    def __init__(self, store: Path, seed: int) -> None:
        self.store = ScoreStore(store)
        self.random = random.Random(seed)
        self.newest: dict[str, dict[str, float]] = {}
        self.times: dict[str, list[tuple[float, float]]] = {}
        self.held: tuple[duckdb.DuckDBPyConnection, list[Any], float] | None = None

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note the seconds that the body took, and those of a processor that it used."""
        began, used = time.perf_counter(), time.process_time()
        yield
        taken = (time.perf_counter() - began, time.process_time() - used)
        self.times.setdefault(name, []).append(taken)

    def moment(self, name: str, rows: list[Any]) -> None:
        """Check that the newest views show one run of each pool, whole, and none before the last."""
        right([row[0] for row in rows] == list(POOLS), "not one newest run of each pool", rows)
        last = self.newest.setdefault(name, {})
        for pool, run, samples, decisions, selected, selection, scores, nights in rows:
            right(samples == decisions == scores == ROWS, "rows are missing", rows)
            right(selected == selection == ROWS // 10, "a selection is not whole", rows)
            right(len(set(nights)) == 1, "tables are of several nights", rows)
            right(run == run_id(int(nights[0]), pool), "a run holds another night", rows)
            right(nights[0] >= last.get(pool, 0), "an earlier night came back", rows)
            last[pool] = nights[0]

    def by_sql(self) -> None:
        """Read the newest runs through `ScoreStore.sql`."""
        with self.timed("newest runs, ScoreStore.sql"):
            rows = self.store.sql(_MOMENT).rows()
        self.moment("sql", rows)

    def by_published(self) -> None:
        """Read the published file by its link, with nothing but DuckDB."""
        path = self.store.path / "published" / "latest.duckdb"
        if self.random.random() < 0.5:
            # the file that it named a moment ago
            path = path.resolve()
            time.sleep(self.random.random() / 2)
        with (
            self.timed("published file, plain DuckDB"),
            duckdb.connect(str(path), read_only=True) as con,
        ):
            rows = con.execute(_MOMENT).fetchall()
            listed = con.execute("SELECT run_id FROM runs ORDER BY ALL").fetchall()
        self.moment("published", rows)
        right(sorted((row[1],) for row in rows) == listed, "it lists other runs", (rows, listed))

    def by_history(self) -> None:
        """Read every kept run, now and then the archived ones too, in one connection."""
        archived = self.random.random() < 0.2
        name = "every run and the archive" if archived else "every kept run"
        with (
            self.timed(f"{name}, ScoreStore.connect"),
            self.store.connect(all_runs=archived) as con,
        ):
            rows = con.execute(_HISTORY).fetchall()
            moment = con.execute(_MOMENT).fetchall()
            again = con.execute("SELECT run_id FROM runs WHERE status = 'done'").fetchall()
        for run, samples, decisions, chosen, selection, night in rows:
            right(samples == decisions == ROWS, "rows are missing", (run, rows))
            right(chosen == selection == ROWS // 10, "a selection is not whole", (run, rows))
            right(run in {run_id(int(night), pool) for pool in POOLS}, "another night", (run, rows))
        right(len({row[0] for row in rows}) == len(rows), "a run is there twice", rows)
        right(sorted(row[:1] for row in rows) == sorted(again), "runs change", (rows, again))
        self.moment("connect", moment)

    def by_held(self) -> None:
        """Query a connection that stays open for seconds: it shows one moment for all its life."""
        now = time.monotonic()
        if self.held is not None and now > self.held[2]:
            self.held[0].close()
            self.held = None
        if self.held is None:
            con = self.store.connect()
            self.held = (con, con.execute(_MOMENT).fetchall(), now + self.random.uniform(1, 5))
        con, before, _ = self.held
        with self.timed("newest runs, a connection that stays"):
            rows = con.execute(_MOMENT).fetchall()
        right(rows == before, "an open connection changed", (before, rows))

    def loop(self, seconds: float) -> dict[str, Any]:
        """Read for a while, each way at least once; return what was read and what went wrong."""
        ways = (self.by_sql, self.by_published, self.by_history, self.by_held)
        first = list(ways)
        errors = []
        until = time.monotonic() + seconds
        while first or time.monotonic() < until:
            try:
                (first.pop() if first else self.random.choice(ways))()
            except BaseException:
                errors.append(traceback.format_exc(limit=-4))
                if len(errors) >= 20:
                    break
        return {"times": self.times, "errors": errors}


def read_for(store: Path, readers: int, seconds: float) -> list[subprocess.Popen[str]]:
    """Start the readers."""
    command = [
        sys.executable,
        "-m",
        "service.readers",
        "--store",
        store.resolve(),
        "--seconds",
        seconds,
        "--reader",
    ]
    return [
        subprocess.Popen(
            [str(part) for part in (*command, seed)], cwd=FOLDER, stdout=subprocess.PIPE, text=True
        )
        for seed in range(readers)
    ]


def one_night(store: ScoreStore, night: int) -> None:
    """Finish, publish and archive as a run does; clean up every tenth night."""
    for pool in POOLS:
        store.finish(info(night, pool, ROWS), tables(night, ROWS, METHODS))
        store.publish()
        store.archive(pool, keep=KEEP)
    if night % 10 == 0:
        collect(store)


Times = dict[str, list[tuple[float, float]]]


def gathered(processes: list[subprocess.Popen[str]]) -> tuple[Times, list[str]]:
    """Wait for the readers; return the seconds of every read, and their errors."""
    times: Times = {}
    errors: list[str] = []
    for process in processes:
        told = process.communicate()[0]
        if process.returncode:
            errors.append(f"a reader ended with {process.returncode}")
            continue
        found = json.loads(told)
        errors += found["errors"]
        for name, taken in found["times"].items():
            times.setdefault(name, []).extend(taken)
    return times, errors


def soak(readers: int = 8, seconds: float = 120.0, control: float | None = None) -> dict[str, Any]:
    """Run the readers beside a writer for `seconds`, before that `control` seconds without one."""
    control = min(seconds / 2, 30.0) if control is None else control
    with tempfile.TemporaryDirectory() as folder:
        store = ScoreStore(Path(folder) / "store", create=True)
        night = 0
        for _ in range(KEEP + 2):
            night += 1
            one_night(store, night)
        quiet, errors = gathered(read_for(store.path, readers, control)) if control else ({}, [])
        processes = read_for(store.path, readers, seconds)
        first = night
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            night += 1
            one_night(store, night)
        busy, more = gathered(processes)
        return {
            "readers": readers,
            "seconds": seconds,
            "nights": night - first,
            "archived": len(list((store.path / "archive").glob("*.duckdb"))),
            "published": len(list((store.path / "published").glob("latest-*.duckdb"))),
            "errors": errors + more,
            "quiet": {name: summary(taken) for name, taken in sorted(quiet.items())},
            "busy": {name: summary(taken) for name, taken in sorted(busy.items())},
        }


def summary(taken: list[tuple[float, float]]) -> dict[str, float]:
    """Return how many reads there were; their median, 99th percentile, maximum and CPU in ms."""
    ordered = sorted(1000 * wall for wall, _ in taken)
    n = len(ordered)
    return {
        "reads": n,
        "median": ordered[n // 2],
        "p99": ordered[min(n - 1, int(0.99 * n))],
        "max": ordered[-1],
        "cpu": sorted(1000 * cpu for _, cpu in taken)[n // 2],
    }


def report(readers: int = 8, seconds: float = 120.0) -> str:
    """Run the loop and return its section in Markdown; raise `Mixed` where a read went wrong."""
    found = soak(readers, seconds)
    reads = int(sum(one["reads"] for one in found["busy"].values()))
    lines = [
        "## Readers while runs publish\n",
        f"{readers} reader processes for {seconds:.0f} s on 2 shared cores, while one writer finished, "
        f"published and archived {found['nights'] * len(POOLS)} runs of {ROWS:,} rows in "
        f"{len(POOLS)} pools (`keep_runs = {KEEP}`: {found['archived']} went to the archive) and "
        "cleaned up every tenth night.\n",
        f"**{reads:,} reads, {len(found['errors'])} errors or mixed states.**\n",
        "Milliseconds of a read, most of which it spends waiting for one of two cores that it shares "
        "with the others; CPU is what it used of them. The control is the same readers without a "
        "writer.\n",
        "| read | reads | median | 99% | max | CPU | control: median | 99% | max | CPU |",
        "| --- | " + " | ".join(["---:"] * 9) + " |",
    ]
    keys = ("median", "p99", "max", "cpu")
    for name, one in found["busy"].items():
        quiet = found["quiet"].get(name)
        control = [f"{quiet[key]:.0f}" if quiet else "" for key in keys]
        cells = [f"{one['reads']:.0f}", *(f"{one[key]:.0f}" for key in keys)]
        lines.append("| " + " | ".join([name, *cells, *control]) + " |")
    if found["errors"]:
        raise Mixed("\n".join([*lines, *found["errors"][:3]]))
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--control", type=float)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--store", type=Path)
    parser.add_argument("--reader", type=int)
    given = parser.parse_args()
    if given.reader is not None:
        print(json.dumps(Reader(given.store, given.reader).loop(given.seconds)))
    elif given.json:
        print(json.dumps(soak(given.readers, given.seconds, given.control)))
    else:
        print(report(given.readers, given.seconds))


if __name__ == "__main__":
    main()
