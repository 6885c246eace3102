"""The main job on 253,562 real documents: wall time, memory, and the target domain's share.

For each target domain 200 of its documents are the target and all others the pool; a twentieth of
the pool is chosen. Data: `text_pool.parquet` in the folder named by `ASSAY_TEST_DATA`, else in
`../shared/data` beside the repository.

    python benchmarks/main_job.py > benchmarks/results/main_job.md
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from common.data import data_folder

DOMAINS = (
    "health_qa",
    "assistant_queries",
    "code_java",
    "tech_specs",
    "biochem_sentences",
    "medical_abstracts",
    "news",
)


def curate(pool: Path, target: Path, store: Path) -> tuple[dict, float]:
    """Run `assay curate` in a process of its own; return its summary and wall seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "assay.flows.cli", "curate", "--pool", pool, "--id", "id"),
            *("--text", "text", "--keep", "domain", "--target", target, "--budget", "5%"),
            *("--store", store, "--json"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return json.loads(done.stdout), time.perf_counter() - began


def main() -> None:
    """Print the table."""
    documents = pl.read_parquet(data_folder() / "text_pool.parquet")
    print("# The main job on 253,562 documents, 5% chosen\n")
    print(f"`python benchmarks/main_job.py`, {os.cpu_count()} cores\n")
    print("| target domain | chosen | in the pool | share | random | ratio | first s | again s |")
    print("| --- " * 8 + "|")
    for domain in DOMAINS:
        target = documents.filter(pl.col("domain") == domain).sample(200, seed=0)
        pool = documents.join(target.select("id"), on="id", how="anti", maintain_order="left")
        with tempfile.TemporaryDirectory() as folder:
            paths = Path(folder, "pool.parquet"), Path(folder, "target.parquet")
            pool.write_parquet(paths[0])
            target.write_parquet(paths[1])
            summary, first = curate(*paths, Path(folder, "store"))
            again = curate(*paths, Path(folder, "store"))[1]
        row = next(r for r in summary["shares"]["domain"] if r["domain"] == domain)
        print(
            f"| {domain} | {row['chosen']:,} | {row['pool']:,} | {row['share']:.3f} "
            f"| {row['random_share']:.3f} | {row['share'] / row['random_share']:.1f} "
            f"| {first:.0f} | {again:.1f} |",
            flush=True,
        )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"\nPeak resident memory of a run: {peak:.2f} GiB.")


if __name__ == "__main__":
    main()
