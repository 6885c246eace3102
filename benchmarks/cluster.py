"""20,000 documents on a Dask and a Ray cluster of 2 workers, beside one process; start-up left out.

Server and cluster are up, and every process has curated 2,000 documents before, so that imports and
compilation are left out. Runs take turns, each in an empty store. Data: `text_pool.parquet` in the
folder named by `ASSAY_TEST_DATA`, else in `../shared/data` beside the repository.

    python benchmarks/cluster.py [ROWS]
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from common.data import documents
from common.report import table, verdict, write

from assay.flows.config.curation import CLUSTERS, CurationConfig

WORKERS = 2
WARM = 2_000
ROUNDS = 2
AIM = 2.0


class Taken(NamedTuple):
    """Seconds on the clock, and CPU seconds of all processes."""

    wall: float
    cpu: float


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of all that it started and are there."""
    total = 0.0
    for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


@contextmanager
def cluster(engine: str) -> Iterator[dict[str, Any]]:
    """Start a cluster that outlives a run; yield the settings that lead to it."""
    settings: dict[str, Any] = {"engine": engine, "workers": WORKERS}
    if engine == "dask":
        from distributed import LocalCluster

        local = {"n_workers": WORKERS, "threads_per_worker": 1, "memory_limit": 0}
        with LocalCluster(**local, dashboard_address=None) as started:
            yield settings | {"engine_options": {"address": started.scheduler_address}}
        return
    import ray

    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
    try:
        yield settings
    finally:
        ray.shutdown()


def curated(pool: Path, store: Path, settings: dict[str, Any]) -> Taken:
    """Curate a pool, and return what that took."""
    from assay.flows.deployments import run_curation
    from assay.flows.running.runner import curate

    config = CurationConfig.build(
        {"pool": str(pool), "id": "id", "text": "text", "store": str(store), "name": "pool"}
        | settings
    )
    cpu, wall = cpu_seconds(), time.monotonic()
    run_curation(config) if settings else curate(config)
    return Taken(time.monotonic() - wall, cpu_seconds() - cpu)


def measured(rows: int, folder: Path) -> dict[str, list[Taken]]:
    """Curate everywhere in turns; return what each run took, those that warm up left out."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from tests.system.comparing import contents, differences

    pools = {"warm": folder / "warm.parquet", "whole": folder / "pool.parquet"}
    documents().sample(rows, seed=0).write_parquet(pools["whole"])
    documents().sample(WARM, seed=0).write_parquet(pools["warm"])
    with ExitStack() as stack:
        ways: dict[str, dict[str, Any]] = {"one process": {}}
        for engine in CLUSTERS:
            settings = stack.enter_context(cluster(engine))
            ways[engine] = settings
            ways[f"{engine}, shards of {rows // 4:,}"] = settings | {"shard_rows": rows // 4}
        for name, settings in ways.items():
            for again in range(2):
                print(
                    name,
                    curated(pools["warm"], folder / f"warm {name} {again}", settings),
                    file=sys.stderr,
                )
        taken: dict[str, list[Taken]] = {name: [] for name in ways}
        for turn in range(ROUNDS):
            for name, settings in ways.items():
                store = folder / f"{name} {turn}"
                taken[name].append(curated(pools["whole"], store, settings))
                print(name, taken[name][-1], file=sys.stderr)
                wrong = differences(contents(store), contents(folder / "one process 0"))
                if wrong:
                    raise RuntimeError(f"the runs differ: {wrong}")
    return taken


def report(rows: int, taken: dict[str, list[Taken]]) -> None:
    """Write the page."""
    alone = taken["one process"]
    lines = []
    for name, runs in taken.items():
        wall = statistics.median(run.wall for run in runs)
        cpu = statistics.median(run.cpu for run in runs)
        # rounds beside each other meet the same load
        ratios = [run.wall / one.wall for run, one in zip(runs, alone, strict=True)]
        ratio = statistics.median(ratios)
        lines.append(
            (
                name,
                f"{wall:.1f}",
                f"{cpu:.1f}",
                f"{ratio:.2f}",
                ", ".join(f"{value:.2f}" for value in ratios),
                "" if runs is alone else verdict(ratio <= AIM),
            )
        )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    head = ("run", "s", "CPU s of all processes", "time to that of one process", "rounds", "")
    text = f"""# A small run on a cluster

`python benchmarks/cluster.py`: 2 shared cores, load average {load} after it. {rows:,} documents,
default methods, an empty store each time, {WORKERS} workers of one thread. Server and cluster are up and
every process has curated {WARM:,} documents before, so that start-up, imports and compilation are left
out. {ROUNDS} rounds in turns, medians; the result of every run is that of one process, compared byte for
byte. Aim: at most {AIM:.0f} times the time of one process. With the default `shard_rows` all rows are one
shard.

{table(head, lines)}
"""
    write("cluster.md", text)


def main() -> None:
    """Measure and report."""
    rows = int(sys.argv[1].replace("_", "")) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory(prefix="assay-cluster-") as name:
        folder = Path(name)
        os.environ |= {
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_LOGGING_LEVEL": "ERROR",
            "NO_PROXY": "127.0.0.1",
            "RAY_USAGE_STATS_ENABLED": "0",
            # Ray starts workers in a package's folder otherwise
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        }
        report(rows, measured(rows, folder))


if __name__ == "__main__":
    main()
