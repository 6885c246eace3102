"""What `assay plan` costs beside the run it foretells, and how near it comes: CPU time and memory.

Documents are those of `scale.py`. Each command runs in a process of its own, the kernels compiled before;
CPU seconds are those of all its processes (`getrusage` of the children).

    python benchmarks/plan_cost.py [ROWS ...]
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from pathlib import Path

from common.report import table, write
from scale import GIB, made_of_halves, watched

SIZES = (10_000, 100_000, 300_000)
NOTE = (
    "The aim is a tenth of the run. What can't shrink is one process that imports what a run imports, "
    "the first call of every stage, and three small fits of the embedder; up to 10,000 rows the sample is "
    "the whole pool, and the plan is a run. What memory may be told for a row was set with runs of 100,000 "
    "to 10,000,000 of these documents in sight, so that they don't prove it."
)


def spent() -> float:
    """Return the CPU seconds of all processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measured(rows: int, folder: Path) -> list[str]:
    """Plan and run one size, and return its line."""
    made_of_halves(rows, folder / "pool.parquet")
    config = {"pool": str(folder / "pool.parquet"), "id": "id", "text": "text"}
    config["store"] = str(folder / "store")
    lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items())
    (folder / "c.toml").write_text(lines)
    assay = [sys.executable, "-m", "assay.flows.cli"]
    began = spent()
    out, _, _ = watched([*assay, "plan", str(folder / "c.toml"), "--json"])
    planned, plan_cost = json.loads(out), spent() - began
    began = spent()
    _, peak, _ = watched([*assay, "curate", str(folder / "c.toml")])
    run_cost = spent() - began
    return [
        f"{rows:,}",
        " and ".join(f"{size:,}" for size in planned["sampled"]),
        f"{plan_cost:.1f}",
        f"{run_cost:.1f}",
        f"{plan_cost / run_cost:.2f}",
        f"{planned['cpu_seconds'] / run_cost:.2f}",
        f"{planned['memory'] / GIB:.2f}",
        f"{peak / GIB:.2f}",
        f"{planned['memory'] / peak:.2f}",
    ]


def main() -> None:
    """Measure every size, and report."""
    sizes = [int(text.replace("_", "")) for text in sys.argv[1:]] or SIZES
    lines = []
    for rows in sizes:
        with tempfile.TemporaryDirectory(prefix="assay-plan-") as folder:
            lines.append(measured(rows, Path(folder)))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    head = ("rows", "samples", "plan, CPU s", "run, CPU s", "plan / run", "CPU s told / taken")
    head = (*head, "GiB told", "GiB taken", "told / taken")
    write(
        "plan_cost.md",
        f"# What a plan costs\n\n`python benchmarks/plan_cost.py`, load average {load} after it.\n\n"
        f"{table(head, lines)}\n\n{NOTE}\n",
    )


if __name__ == "__main__":
    main()
