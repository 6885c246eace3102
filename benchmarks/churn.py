"""What a bound on replaced rows costs, and how long two selections take to compare.

    python benchmarks/churn.py [--rows 1000000]

Yesterday's rows are the best by a score that has changed since. Then two runs are written with six
scores each, of pools that differ in 1 % of their rows, and compared by `diff`. CPU seconds of all
threads, the least of three.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import polars as pl
from common.report import machine, table, write

from assay.selection import SelectionPlan
from assay.storage import ScoreStore
from assay.storage.runs.run_file import RunInfo, RunTablesData

RUN_A, RUN_B = "a" * 16, "b" * 16
METHODS = ("pagerank", "knn_density", "importance", "lof", "margin", "hubness")
CONSTRAINTS = {"none": {}, "quotas and a minimum": {"quotas": {"*": 0.3}, "minima": {"a": 0.1}}}


def seconds(call: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    """Return the CPU seconds of a call, the least of some, and what it gave."""
    took = []
    for _ in range(repeats):
        began = process_time()
        found = call()
        took.append(process_time() - began)
    return min(took), found


def plans(n: int) -> str:
    """Return what the plan takes without a bound and with several."""
    rng = np.random.default_rng(0)
    ids = pl.Series("id", np.arange(n)).cast(pl.String)
    scores, groups = rng.normal(size=n), pl.DataFrame({"g": rng.choice(list("abcd"), n)})
    budget = n // 10
    previous = ids.gather(np.argsort(-(scores + 0.2 * rng.normal(size=n)))[:budget])
    rows = []
    for name, rules in CONSTRAINTS.items():
        for churn in (None, 0.0, 0.05):
            plan = SelectionPlan(
                budget=budget, selector="top", churn=churn, previous=previous, by="g", **rules
            )
            took, made = seconds(partial(plan.fit, scores=scores, ids=ids, table=groups))
            told = made.report_.get
            rows.append(
                (name, churn, f"{took:.2f}", told("churn_replaced", ""), told("churn_kept", ""))
            )
    return table(("constraints", "churn", "CPU s", "replaced", "kept by the bound"), rows)


def run(n: int, first: int, seed: int) -> RunTablesData:
    """Return the tables of a run over the rows from `first` on, a tenth of them chosen."""
    rng = np.random.default_rng(seed)
    key = np.arange(n, dtype=np.int32)
    ids = pl.Series(np.arange(first, first + n)).cast(pl.String)
    chosen = rng.choice(n, n // 10, replace=False).astype(np.int32)
    selected = np.zeros(n, dtype=bool)
    selected[chosen] = True
    none = pl.Series([None] * n, dtype=pl.String)
    scores = np.arange(first, first + n) + (rng.random(n) < 0.3).astype(float)
    return RunTablesData(
        samples=pl.DataFrame(
            {"sample_id": ids, "source": "pool", "row": key, "label": none, "group_id": none}
        ).with_columns(content_hash=pl.col("sample_id") + "-" + pl.lit("0" * 24)),
        scores={m: pl.DataFrame({"key": key, "score": scores}) for m in METHODS},
        selections=pl.DataFrame(
            {"key": chosen, "position": np.arange(1, len(chosen) + 1), "weight": 1.0}
        ),
        decisions=pl.DataFrame(
            {"key": key, "selected": selected, "stage": "select", "detail": '{"score": 1.25}'}
        ).with_columns(
            reason=pl.when("selected").then(pl.lit("selected")).otherwise(pl.lit("lower_gain"))
        ),
    )


def compared(n: int) -> str:
    """Return what `diff` takes."""
    with tempfile.TemporaryDirectory() as folder:
        store = ScoreStore(Path(folder) / "store", create=True)
        for run_id, first in ((RUN_A, 0), (RUN_B, n // 100)):
            info = RunInfo(
                run_id=run_id,
                kind="curate",
                pool="pool",
                started_at=datetime.now(UTC),
                n_samples=n,
                seed=0,
                generation="",
                config={},
                versions={},
                ranked_by=METHODS[0],
            )
            store.finish(info, run(n, first, first))
        took, found = seconds(partial(store.sql, f"FROM diff('{RUN_A}', '{RUN_B}')"))
    causes = found.group_by("change", "cause").len("rows").sort("change", "cause")
    return f"`diff` gives {found.height:,} rows in {took:.2f} CPU s:\n\n" + table(
        causes.columns, causes.rows()
    )


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    n = parser.parse_args().rows
    about = (__doc__ or "").split("\n\n", 2)[2].strip()
    write(
        "churn.md",
        f"# A stable selection\n\n`python benchmarks/churn.py`, {machine()} (shared).\n\n{about}\n\n"
        f"## A plan over {n:,} rows, a tenth chosen\n\n{plans(n)}\n\n"
        f"## Two runs of {n:,} rows\n\n{compared(n)}\n",
    )


if __name__ == "__main__":
    main()
