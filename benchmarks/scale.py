"""10,000, 100,000 and 1,000,000 documents curated on one machine: time, memory and disk by stage.

Documents are made of halves of real ones (`text_pool.parquet` in the folder named by
`ASSAY_TEST_DATA`, else in `../shared/data` beside the repository). Every size runs in a process of
its own, after `assay plan` has said what it will take. A run that takes more than 16 GiB is stopped.
Sizes that `--kept` holds from before are reported, and not run again.

    OMP_NUM_THREADS=1 python benchmarks/scale.py [--rows ROWS ...] [--kept FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from common.data import documents
from common.report import save, table, verdict, write
from matplotlib import pyplot
from service.on_paper import on_paper

SIZES = (10_000, 100_000, 1_000_000)
GIB = 2**30
STOP = 16 * GIB
# rows of a pool that are made at a time
PART = 250_000


class Run(NamedTuple):
    """One size: the stages as measured, and what was planned."""

    rows: int
    stages: list[dict[str, Any]]
    wall: float
    peak: int
    disk: int
    planned: dict[str, Any]


def made_of_halves(rows: int, path: Path) -> None:
    """Write documents, each of the first half of one and the second of another."""
    texts = documents()["text"].to_list()
    words = [text.split(" ") for text in texts]
    first = [" ".join(w[: len(w) // 2]) for w in words]
    second = [" ".join(w[len(w) // 2 :]) for w in words]
    a, b = np.random.default_rng(1).integers(0, len(texts), (2, rows))
    schema = pa.schema([("id", pa.int64()), ("text", pa.large_string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for begin in range(0, rows, PART):
            end = min(begin + PART, rows)
            pairs = zip(a[begin:end].tolist(), b[begin:end].tolist(), strict=True)
            made = pa.array([f"{first[i]} {second[j]}" for i, j in pairs], pa.large_string())
            ids = pa.array(np.arange(begin, end))
            file.write_table(pa.Table.from_arrays([ids, made], schema=schema))


def watched(command: list[str]) -> tuple[str, int, float]:
    """Run a command; return what it printed, its peak of memory, and seconds on the clock."""
    began = time.monotonic()
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    status = Path(f"/proc/{running.pid}/status")
    peak = 0
    while running.poll() is None:
        held = [line for line in status.read_text().splitlines() if line.startswith("VmRSS")]
        peak = max(peak, int(held[0].split()[1]) * 1024 if held else 0)
        if peak > STOP:
            running.kill()
            raise SystemExit(f"stopped: {peak / GIB:.1f} GiB were taken")
        time.sleep(0.1)
    out = running.communicate()[0]
    if running.returncode:
        raise SystemExit(f"{command} ended with {running.returncode}")
    return out, peak, time.monotonic() - began


def measured(rows: int, folder: Path) -> Run:
    """Plan and run one size."""
    pool = folder / "pool.parquet"
    made_of_halves(rows, pool)
    config = {"pool": str(pool), "id": "id", "text": "text", "store": str(folder / "store")}
    (folder / "c.json").write_text(json.dumps(config))
    (folder / "c.toml").write_text("".join(f"{k} = {json.dumps(v)}\n" for k, v in config.items()))
    cli = [sys.executable, "-m", "assay.flows.cli", "plan", str(folder / "c.toml"), "--json"]
    planned = json.loads(subprocess.run(cli, capture_output=True, check=True).stdout)
    out, peak, wall = watched(
        [sys.executable, "-m", "assay.flows.estimate.measuring", str(folder / "c.json")]
    )
    stages = json.loads(out.splitlines()[-1])
    peak = max(peak, *(stage["memory"] for stage in stages))
    disk = sum(p.stat().st_size for p in (folder / "store").rglob("*") if p.is_file())
    return Run(rows, stages, wall, peak, disk, planned)


def by_stage(runs: list[Run]) -> str:
    """Return the table of stages: CPU seconds, seconds, peak memory so far, disk, of every size."""
    head = ["stage"]
    for run in runs:
        told = f"{run.rows:,}"
        head += [f"{told}: CPU s", "s", "GiB", "GiB so far", "disk MiB"]
    lines = []
    so_far = [0] * len(runs)
    for place, first in enumerate(runs[-1].stages):
        line = [first["stage"]]
        for column, run in enumerate(runs):
            stage = run.stages[place]
            so_far[column] = max(so_far[column], stage["memory"])
            line += [
                f"{stage['cpu_seconds']:.1f}",
                f"{stage['seconds']:.1f}",
                f"{stage['memory'] / GIB:.2f}",
                f"{so_far[column] / GIB:.2f}",
                f"{stage['disk'] / 2**20:.0f}",
            ]
        lines.append(line)
    line = ["whole"]
    for run in runs:
        cpu = sum(stage["cpu_seconds"] for stage in run.stages)
        peak = f"{run.peak / GIB:.2f}"
        line += [f"{cpu:.1f}", f"{run.wall:.1f}", peak, peak, f"{run.disk / 2**20:.0f}"]
    return table(head, [*lines, line])


def plans(runs: list[Run]) -> str:
    """Return the table of what was planned and what it came to."""
    head = (
        "rows",
        "samples",
        "GiB planned",
        "GiB taken",
        "ratio",
        "disk",
        "CPU s planned",
        "taken",
    )
    lines = []
    for run in runs:
        plan = run.planned
        cpu = sum(stage["cpu_seconds"] for stage in run.stages)
        lines.append(
            [
                f"{run.rows:,}",
                " and ".join(f"{n:,}" for n in plan["sampled"]),
                f"{plan['memory'] / GIB:.2f}",
                f"{run.peak / GIB:.2f}",
                f"{run.peak / plan['memory']:.2f}",
                f"{run.disk / plan['disk']:.2f}",
                f"{plan['cpu_seconds']:.0f}",
                f"{cpu:.0f}",
            ]
        )
    return table(head, lines)


def goals(runs: list[Run]) -> str:
    """Return how the goals came out."""
    largest = runs[-1]
    worst = max(abs(run.peak / run.planned["memory"] - 1) for run in runs)
    return table(
        ("goal", "aim", "found", ""),
        [
            (
                f"{largest.rows:,} documents in one process",
                "within 16 GiB",
                f"{largest.peak / GIB:.2f} GiB",
                verdict(largest.peak <= STOP),
            ),
            (
                "memory taken against planned, every size",
                "within 20%",
                f"{worst:.0%} off at most",
                verdict(worst <= 0.2),
            ),
        ],
    )


def plot(runs: list[Run]) -> str:
    """Draw CPU time and memory of the stages against the rows."""
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4))
    rows = [run.rows for run in runs]
    names = [stage["stage"] for stage in runs[-1].stages]
    large = sorted(range(len(names)), key=lambda place: -runs[-1].stages[place]["cpu_seconds"])[:8]
    for axis, key, scale, told in (
        (axes[0], "cpu_seconds", 1, "CPU s"),
        (axes[1], "memory", GIB, "GiB resident"),
    ):
        for place in sorted(large):
            values = [run.stages[place][key] / scale for run in runs]
            axis.plot(rows, values, marker="o", label=names[place])
        axis.set(xscale="log", yscale="log", xlabel="rows", ylabel=told)
    axes[0].legend(fontsize=7)
    axes[2].plot(rows, [run.peak / GIB for run in runs], marker="o", label="memory taken")
    axes[2].plot(rows, [run.planned["memory"] / GIB for run in runs], "x--", label="memory planned")
    axes[2].plot(rows, [run.disk / GIB for run in runs], marker="s", label="disk")
    axes[2].set(xscale="log", yscale="log", xlabel="rows", ylabel="GiB")
    axes[2].legend(fontsize=7)
    figure.tight_layout()
    return save(figure, "scale.png")


def main() -> None:
    """Run every size, and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=SIZES)
    parser.add_argument("--kept", type=Path, help="folder of what was measured, to go on from")
    given = parser.parse_args()
    runs = []
    for rows in given.rows:
        kept = None if given.kept is None else given.kept / f"{rows}.json"
        if kept is not None and kept.exists():
            runs.append(Run(**json.loads(kept.read_text())))
            continue
        with tempfile.TemporaryDirectory(prefix="assay-scale-") as folder:
            runs.append(measured(rows, Path(folder)))
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(runs[-1]._asdict()))
        print(f"{rows:,}: {runs[-1].wall:.0f} s, {runs[-1].peak / GIB:.2f} GiB", file=sys.stderr)
    report(runs)


def report(runs: list[Run]) -> None:
    """Write the report of some sizes, the largest last."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    text = f"""# Scale

`python benchmarks/scale.py --rows {" ".join(str(run.rows) for run in runs)}`, OMP_NUM_THREADS
{threads}: 2 shared cores, load average {load} after it. Documents made of halves of real ones, default
methods (hashed n-grams, 128 dimensions, 15 neighbors, PageRank, density, strata of clusters), a tenth
chosen, one process, empty store.

{goals(runs)}

## By stage

CPU seconds, seconds on the clock (the machine was shared, so they say little), the most memory
resident while the stage ran (all that was there before and mapped files included), the most of any
stage so far, and what the stage left in the store.

{by_stage(runs)}

{plot(runs)}

## What `assay plan` says

What it costs: `plan_cost.md`.

{plans(runs)}

{on_paper(runs[-1].rows, runs[-1].stages, runs[-1].disk)}
"""
    write("scale.md", text)


if __name__ == "__main__":
    main()
