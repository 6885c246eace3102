"""A pool on 4 workers of Dask and of Ray, each held to 1.2 GiB: what every process holds, by stage.

Documents are made of halves of real ones, as in `scale.py`. Every run is a process of its own with an
empty store; all its processes are watched from outside. One worker is killed while it works on a shard.
The tables and artifacts of every run are compared with those of one process with the same settings. Runs
that `--kept` holds from before are reported, and not run again.

    OMP_NUM_THREADS=1 python benchmarks/cluster_scale.py [--rows ROWS ...] [--engines ENGINE ...]
        [--select METHOD] [--limit GIB] [--resident] [--kept FOLDER] [--page NAME]

A worker whose anonymous memory passes the limit is killed. With `--resident` Dask's own limit holds too, to
which mapped files count: pages that the system would take back when it needs them.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from common.report import table, verdict, write
from scale import made_of_halves

SIZES = (100_000, 300_000)
ENGINES = ("process", "dask", "ray")
WORKERS = 4
MIB, GIB = 2**20, 2**30
# what a process may hold for each row of the pool outside a shard's task
AIM = 120
# a worker is ended at this share of its limit, as Dask's are
SHARE = 0.95
KILLED_AT = "join"
PAUSE = 0.1
# their memory depends on the rows of a shard, and not on those of the pool
SHARD_TASKS = frozenset(
    {"encode", "hash_shard", "assign_cells", "visits", "join", "weigh", "split_texts"}
)
# stages that stay in the driving process
DRIVING = frozenset({"read", "persist", "publish"})
# when and where something was done is not what was done
LEFT_OUT = {"started_at", "finished_at", "requested_at", "versions", "config"}
TWO_STAGE = {
    "select": "two_stage",
    "options": {"selector": "facility_location", "shards": 8, "oversampling": 3.0, "fan_in": 4},
}


class Run(NamedTuple):
    """One run: what each kind of process held by stage, and what the store holds."""

    rows: int
    engine: str
    wall: float
    cpu: float
    failed: str
    killed: str
    # "kind: stage" -> most bytes of anonymous memory, most bytes resident
    held: dict[str, tuple[int, int]]
    digests: dict[str, str]


class Steps(logging.Handler):
    """Notes when each step of the driving process ended, and how long it took."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        """Note a line that says that a step is done."""
        name, _, took = record.getMessage().partition(": done in ")
        if took:
            now = time.time()
            with self._path.open("a") as file:
                file.write(json.dumps([name, now - float(took.split()[0]), now]) + "\n")


@contextmanager
def cluster(engine: str, own_limit: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Start a cluster whose workers tell what they do; yield the settings that lead to it."""
    settings: dict[str, Any] = {"engine": engine, "workers": WORKERS}
    if engine == "dask":
        from distributed import Client, LocalCluster, WorkerPlugin

        class Told(WorkerPlugin):  # type: ignore[misc]
            """Writes the stage that a worker runs into a file named by its process."""

            def transition(self, key: str, start: str, finish: str, **_: Any) -> None:
                if "executing" in (start, finish):
                    stage = str(key).rsplit("-", 1)[0] if finish == "executing" else "idle"
                    (folder / str(os.getpid())).write_text(stage)

        local = {"n_workers": WORKERS, "threads_per_worker": 1, "memory_limit": own_limit}
        with (
            LocalCluster(**local, dashboard_address=None) as started,
            Client(started.scheduler_address) as client,
        ):
            client.register_plugin(Told())
            yield settings | {"engine_options": {"address": started.scheduler_address}}
        return
    ray: Any = importlib.import_module("ray")
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    try:
        yield settings
    finally:
        ray.shutdown()


def work(folder: Path) -> None:
    """Curate as the configuration in a folder says; the process that is watched."""
    keys = json.loads((folder / "config.json").read_text())
    engine, own_limit = keys.pop("engine"), keys.pop("own_limit")
    logger = logging.getLogger("assay")
    logger.addHandler(Steps(folder / "steps"))
    logger.setLevel(logging.INFO)
    from assay.flows.config.curation import CurationConfig

    if engine == "process":
        from assay.flows.running.runner import curate

        curate(CurationConfig.build(keys))
        return
    from assay.flows.deployments import run_curation

    with cluster(engine, own_limit, folder / "stages") as settings:
        run_curation(CurationConfig.build(keys | settings))


def kind_and_stage(process: psutil.Process, folder: Path) -> tuple[str, str]:
    """Return what a process is, and what it does where it tells."""
    line = process.cmdline()
    told = folder / "stages" / str(process.pid)
    if told.exists():
        return "worker", told.read_text() or "idle"
    if line and line[0].startswith("ray::") and "agent" not in line[0].lower():
        return "worker", line[0].removeprefix("ray::").split("(")[0].strip().lower()
    joined = " ".join(line)
    if "uvicorn" in joined or "prefect" in joined:
        return "Prefect's server", ""
    return "others", ""


def memory(pid: int) -> tuple[int, int]:
    """Return a process's anonymous and resident bytes."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return tuple(int(status.get(name, "0 kB").split()[0]) * 1024 for name in ("RssAnon", "VmRSS"))  # type: ignore[return-value]


class Watch:
    """Samples all processes of a run, and kills a worker in the middle of it."""

    def __init__(self, process: psutil.Process, folder: Path, engine: str, limit: int) -> None:
        self._process, self._folder = process, folder
        self._engine, self._limit = engine, limit
        self.killed = ""
        self.held: dict[str, tuple[int, int]] = {}
        self._cpu: dict[int, float] = {}
        self._driver: list[tuple[float, int, int]] = []

    def look(self) -> None:
        """Take one sample."""
        try:
            self._driver.append((time.time(), *memory(self._process.pid)))
            others = self._process.children(recursive=True)
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            return
        for process in (self._process, *others):
            try:
                times = process.cpu_times()
                self._cpu[process.pid] = times.user + times.system
                if process.pid == self._process.pid:
                    continue
                kind, stage = kind_and_stage(process, self._folder)
                anon, resident = memory(process.pid)
            except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                continue
            self._note(f"{kind}: {stage}", anon, resident)
            if kind != "worker":
                continue
            if stage == KILLED_AT and not self.killed:
                self.killed = f"one while it did {stage!r}"
                process.send_signal(signal.SIGKILL)
            elif 0 < self._limit * SHARE < anon:
                self.killed += f", one over its limit while it did {stage!r}"
                process.send_signal(signal.SIGKILL)

    @property
    def cpu(self) -> float:
        """CPU seconds of all processes that were seen."""
        return sum(self._cpu.values())

    def end(self) -> None:
        """Say what the driving process did when it was looked at."""
        path = self._folder / "steps"
        lines = path.read_text().splitlines() if path.exists() else []
        steps = [json.loads(line) for line in lines]
        for at, anon, resident in self._driver:
            # of steps within steps, the one that began last
            during = [(begun, name) for name, begun, ended in steps if begun <= at <= ended]
            name = max(during)[1] if during else "between steps"
            if self._engine != "process" and name not in DRIVING:
                name = "waiting for workers"
            self._note(f"driver: {name}", anon, resident)

    def _note(self, name: str, anon: int, resident: int) -> None:
        before = self.held.get(name, (0, 0))
        self.held[name] = (max(before[0], anon), max(before[1], resident))


def digests(store: Path) -> dict[str, str]:
    """Return a digest of every artifact's file and of every table of a store.

    Times, versions and configurations are left out: they say where and when, not what.
    """
    import duckdb

    found = {}
    for path in sorted((store / "artifacts").rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                found[path.relative_to(store).as_posix()] = hashlib.file_digest(
                    file, lambda: hashlib.blake2b(digest_size=16)
                ).hexdigest()
    for path in sorted((store / "runs").glob("*.duckdb")):
        with duckdb.connect(str(path), read_only=True, config={"threads": 1}) as con:
            tables = con.execute(
                "SELECT schema_name, table_name, list(column_name) FROM duckdb_columns() "
                "WHERE NOT internal GROUP BY ALL ORDER BY ALL"
            )
            for schema, name, columns in tables.fetchall():
                kept = ", ".join(f'"{column}"' for column in sorted({*columns} - LEFT_OUT))
                rows = f'SELECT {kept} FROM "{schema}"."{name}"'
                sums = con.execute(
                    f"SELECT count(*), sum(hash(t)), bit_xor(hash(t)) FROM ({rows}) t"
                )
                found[f"runs/{path.stem}.{schema}.{name}"] = str(sums.fetchone())
    return found


def measured(rows: int, engine: str, pool: Path, given: argparse.Namespace) -> Run:
    """Curate a pool with one engine, and watch it."""
    limit = int(given.limit * GIB)
    with tempfile.TemporaryDirectory(prefix="assay-cluster-scale-") as name:
        folder = Path(name)
        (folder / "stages").mkdir()
        keys: dict[str, Any] = {
            "pool": str(pool),
            "id": "id",
            "text": "text",
            "store": str(folder / "store"),
        }
        keys |= {"name": "pool", "engine": engine}
        keys["own_limit"] = limit if given.resident else 0
        keys |= TWO_STAGE if given.select == "two_stage" else {}
        (folder / "config.json").write_text(json.dumps(keys))
        environment = os.environ | {
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_LOGGING_LEVEL": "ERROR",
            "NO_PROXY": "127.0.0.1",
            "RAY_USAGE_STATS_ENABLED": "0",
            # Ray starts workers in a package's folder otherwise
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        }
        began = time.monotonic()
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, __file__, "--work", str(folder)],
                stdout=log,
                stderr=log,
                env=environment,
            )
            watch = Watch(psutil.Process(process.pid), folder, engine, limit)
            while process.poll() is None:
                watch.look()
                time.sleep(PAUSE)
        wall = time.monotonic() - began
        watch.end()
        failed = ""
        if process.returncode:
            lines = (folder / "log").read_text(errors="replace").strip().splitlines()
            failed = lines[-1] if lines else str(process.returncode)
            print("\n".join(lines[-25:]), file=sys.stderr)
        # where its own limit holds, Dask says which workers it restarts
        restarts = (folder / "log").read_text(errors="replace").count("memory budget. Restarting")
        watch.killed += ", one by Dask's own limit" * restarts
        found = {} if failed else digests(folder / "store")
        return Run(rows, engine, wall, watch.cpu, failed, watch.killed, watch.held, found)


def growth(small: Run, large: Run, place: int) -> dict[str, float]:
    """Return by kind of process and stage how many bytes a row more memory grew by."""
    more = large.rows - small.rows
    return {
        name: (held[place] - small.held[name][place]) / more
        for name, held in large.held.items()
        if name in small.held and more
    }


def by_stage(runs: list[Run]) -> str:
    """Return the table of what each process held at most, by stage, and of how that grew."""
    rows = [run.rows for run in runs]
    head = ["process and stage"]
    for count in rows:
        head += [f"{count:,}: anonymous MiB", "resident MiB"]
    head += ["anonymous bytes a row", "resident bytes a row", ""]
    anon, resident = (growth(runs[0], runs[-1], place) for place in (0, 1))
    lines = []
    names = dict.fromkeys(name for run in runs for name in run.held)
    for name in sorted(names, key=lambda name: (name.split(":")[0], -anon.get(name, 0))):
        line = [name.removesuffix(": ")]
        for run in runs:
            held = run.held.get(name)
            line += ["", ""] if held is None else [f"{bytes_ / MIB:.0f}" for bytes_ in held]
        stage = name.split(": ", 1)[1]
        judged = name.startswith(("worker", "driver")) and stage not in SHARD_TASKS
        if name in anon:
            line += [f"{anon[name]:.0f}", f"{resident[name]:.0f}"]
            line += [verdict(anon[name] <= AIM) if judged else ""]
        else:
            line += ["", "", ""]
        lines.append(line)
    return table(head, lines)


def whole(runs: list[Run], limit: float) -> str:
    """Return the table of all runs."""
    lines = []
    for run in runs:
        alone = next((r for r in runs if (r.rows, r.engine) == (run.rows, "process")), None)
        equal = "" if run.engine == "process" else "not compared"
        if run.engine != "process" and alone and alone.digests and run.digests:
            names = run.digests.keys() | alone.digests.keys()
            wrong = sorted(n for n in names if run.digests.get(n) != alone.digests.get(n))
            equal = "yes, every file and table" if not wrong else f"**no**: {', '.join(wrong)}"
        most = {
            kind: max(
                (held[0] for name, held in run.held.items() if name.startswith(kind)), default=0
            )
            for kind in ("worker", "driver")
        }
        lines.append(
            (
                f"{run.rows:,}, {run.engine}",
                f"{run.wall:.0f}",
                f"{run.cpu:.0f}",
                f"{most['driver'] / GIB:.2f}",
                f"{most['worker'] / GIB:.2f}" if most["worker"] else "",
                textwrap.shorten(run.failed, 120) or "done",
                run.killed or "none",
                equal,
            )
        )
    head = (
        "run", "s", "CPU s", "driver, GiB anonymous", "a worker at most", "ended",
        f"workers killed (limit {limit:g} GiB)", "equal to one process",
    )  # fmt: skip
    return table(head, lines)


def report(runs: list[Run], given: argparse.Namespace) -> None:
    """Write the page."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    parts = []
    for engine in dict.fromkeys(run.engine for run in runs):
        own = sorted((run for run in runs if run.engine == engine), key=lambda run: run.rows)
        parts.append(f"\n## {engine}\n\n{by_stage(own)}\n")
    command = (
        f"--rows {' '.join(map(str, given.rows))} --engines {' '.join(given.engines)} "
        f"--limit {given.limit:g}{' --resident' if given.resident else ''}"
    )
    pages = "Pages of mapped files count towards the memory that Dask measures"
    if given.resident:
        pages += (
            f", whose own limit was {given.limit:g} GiB, too: it restarts a worker at 95% of that."
        )
    else:
        pages += "; `cluster_scale_resident.md` was made with its own limit."
    text = f"""# A pool on workers that hold little

`python benchmarks/cluster_scale.py {command} --select {given.select}`: 2 shared cores, load average
{load} after it. Documents made of halves of real ones, {WORKERS} workers of one thread. A worker whose
anonymous memory passes {SHARE:.0%} of {given.limit:g} GiB is killed. One worker is killed in any case, while
it does {KILLED_AT!r}.

{whole(runs, given.limit)}

What each process held at most while it ran a stage, sampled every {PAUSE} s: anonymous memory, and all that
is resident, to which mapped files count, whose pages the system takes back when it needs them. The last
columns are how that grew with the rows, from the smallest to the largest pool. Aim: outside a shard's
task at most {AIM} bytes of anonymous memory a row. A worker runs one task after another: what earlier ones
left in it (the line `idle`) counts in every line.

{pages}

{"".join(parts)}"""
    write(f"{given.page}.md", text)


def main() -> None:
    """Run every size with every engine, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--engines", nargs="+", default=ENGINES, choices=ENGINES)
    parser.add_argument("--select", choices=("default", "two_stage"), default="default")
    parser.add_argument("--limit", type=float, default=1.2, help="GiB of a worker; 0: none")
    parser.add_argument("--resident", action="store_true", help="Dask's own limit too")
    parser.add_argument("--kept", type=Path, help="folder of what was measured, to go on from")
    parser.add_argument("--page", default="cluster_scale")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        work(given.work)
        return
    runs = []
    with tempfile.TemporaryDirectory(prefix="assay-cluster-pool-") as name:
        for rows in given.rows:
            pool = Path(name) / f"pool {rows}.parquet"
            for engine in given.engines:
                kept = None
                if given.kept is not None:
                    kept = given.kept / f"{given.select}-{engine}-{rows}.json"
                if kept is not None and kept.exists():
                    runs.append(Run(**json.loads(kept.read_text())))
                    continue
                if not pool.exists():
                    made_of_halves(rows, pool)
                runs.append(measured(rows, engine, pool, given))
                if kept is not None:
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    kept.write_text(json.dumps(runs[-1]._asdict()))
                print(f"{rows:,} {engine}: {runs[-1].wall:.0f} s", file=sys.stderr)
    report(runs, given)


if __name__ == "__main__":
    main()
