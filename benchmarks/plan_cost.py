"""What `assay plan` costs beside the run it foretells, and how near it comes: CPU time and memory.

Documents are those of `scale.py`; beside them 60,000 vectors of images (CIFAR-10, 192 dimensions) and 52,002
instructions with their answers (Alpaca), where the folder of test data holds them. Each command runs in a process of its own, the kernels compiled before;
CPU seconds are those of all its processes (`getrusage` of the children).

    python benchmarks/plan_cost.py [ROWS ...]
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from common.data import data_folder
from common.report import table, write
from scale import GIB, made_of_halves, watched

SIZES = (10_000, 100_000, 300_000, 1_000_000)
NOTE = (
    "The aim is a tenth of the run. What can't shrink is one process that imports what a run imports, "
    "the first call of every stage, two more of each by which growth is told from what is loaded once, and "
    "the reading of the pool for the sample; up to 10,000 rows the sample is the whole pool, and the plan is a "
    "run. How stages grow, and what memory may be told for a row, was set with runs of 30,000 to 1,000,000 of "
    "these documents, the vectors and the instructions in sight, so that they don't prove it."
)


def other_pools(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield pools of another kind: a name, and the settings."""
    data = data_folder()
    vectors, texts = data / "cifar10_vectors.parquet", data / "alpaca_52k.parquet"
    path = folder / "pool.parquet"
    if vectors.exists():
        frame = pl.read_parquet(vectors).with_columns(id=pl.concat_str("split", pl.lit(" "), "idx"))
        wide = pl.Array(pl.Float32, 192)
        frame.select("id", pl.col("vec").cast(wide)).write_parquet(path)
        yield "60,000 vectors", {"pool": str(path), "id": "id", "vector": "vec"}
    if texts.exists():
        joined = pl.concat_str("instruction", "input", "output", separator=" ")
        pl.read_parquet(texts).select("id", text=joined).write_parquet(path)
        yield "52,002 instructions", {"pool": str(path), "id": "id", "text": "text"}


def spent() -> float:
    """Return the CPU seconds of all processes that were started here and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measured(name: str, settings: dict[str, str], folder: Path) -> list[str]:
    """Plan and run one pool, and return its line."""
    config = {**settings, "store": str(folder / "store")}
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
        name,
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
            pool = Path(folder, "pool.parquet")
            made_of_halves(rows, pool)
            settings = {"pool": str(pool), "id": "id", "text": "text"}
            lines.append(measured(f"{rows:,}", settings, Path(folder)))
    with tempfile.TemporaryDirectory(prefix="assay-plan-") as folder:
        for place, (name, settings) in enumerate(other_pools(Path(folder))):
            own = Path(folder, str(place))
            own.mkdir()
            lines.append(measured(name, settings, own))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    head = ("pool", "samples", "plan, CPU s", "run, CPU s", "plan / run", "CPU s told / taken")
    head = (*head, "GiB told", "GiB taken", "told / taken")
    write(
        "plan_cost.md",
        f"# What a plan costs\n\n`python benchmarks/plan_cost.py`, load average {load} after it.\n\n"
        f"{table(head, lines)}\n\n{NOTE}\n",
    )


if __name__ == "__main__":
    main()
