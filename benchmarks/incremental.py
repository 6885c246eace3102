"""What a night costs: a full run, one with 1% new rows, and one with 1% replaced and all reordered.

    python benchmarks/incremental.py [--rows 20000 100000]

CPU seconds by stage, imports and compilation left out (a small pool is run through both ways first).
Then what an update is worth: recall of the updated graph and of one built anew on the same pool, and
the rank correlation of their scores.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from _support import table, write
from scale import made_of_halves
from scipy.stats import spearmanr

from assay.flows import runner
from assay.flows.configuration import CurationConfig
from assay.flows.plans import make_plan

# what an update does not compute anew
UPDATED = ("fit", "embed", "graph", "index")


def cpu() -> float:
    """Return the CPU seconds of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def night(frame: pl.DataFrame, folder: Path, **more: Any) -> tuple[dict[str, float], Any]:
    """Run over a pool; return the CPU seconds of each stage, and the result."""
    frame.write_parquet(folder / "pool.parquet")
    spent: dict[str, float] = {}

    def call(stage: Callable[..., Any], *args: Any) -> Any:
        began = cpu()
        made = stage(*args)
        name = {"measure": "drift", "hash_texts": "hash"}.get(stage.__name__, stage.__name__)
        spent[name] = spent.get(name, 0.0) + cpu() - began
        return made

    began = cpu()
    given = {"pool": str(folder / "pool.parquet"), "id": "id", "text": "text", "budget": 0.1}
    plan = make_plan(CurationConfig.build(given | {"store": str(folder / "store")} | more))
    spent["plan"] = cpu() - began
    result = runner.run_plan(plan, call)
    spent["all"] = cpu() - began
    return spent, result


def replaced(frame: pl.DataFrame, count: int) -> pl.DataFrame:
    """Return the pool with `count` rows gone and as many new, in another order."""
    new = frame.head(count).with_columns(
        id=pl.lit("n") + pl.col("id").cast(pl.String), text=pl.col("text").str.reverse()
    )
    kept = frame.tail(-count).with_columns(pl.col("id").cast(pl.String))
    return pl.concat([kept, new]).sample(fraction=1, shuffle=True, seed=1)


def correlations(a: Any, b: Any) -> dict[str, float]:
    """Return the rank correlation of each score between two runs of one pool."""
    scores = [r.sql(f"SELECT * FROM scores WHERE run_id = '{r.run_id}'") for r in (a, b)]
    both = scores[0].join(scores[1], on=["sample_id", "method"])
    return {
        str(name[0]): float(spearmanr(of["score"], of["score_right"]).statistic)
        for name, of in both.group_by("method", maintain_order=True)
    }


def recall(result: Any) -> float:
    """Return the recall that the run's graph measured of itself."""
    query = f"SELECT value FROM metrics WHERE name = 'graph.recall' AND run_id = '{result.run_id}'"
    return float(result.sql(query).item())


def measured(rows: int, folder: Path) -> tuple[str, dict[str, float]]:
    """Run the nights of a pool of so many rows; return what they cost, in words and as shares."""
    made_of_halves(rows, folder / "all.parquet")
    pool = pl.read_parquet(folder / "all.parquet").with_columns(pl.col("id").cast(pl.String))
    one = rows // 100
    full, _ = night(pool.tail(-one), folder)
    grown, _ = night(pool, folder)
    changed, updated = night(replaced(pool, one), folder)
    _, rebuilt = night(replaced(pool, one), folder, refit=True)
    lines = []
    for name in full:
        share = f"{grown[name] / full[name]:.2f}" if full[name] > 0.02 else "-"
        lines.append([name, *(f"{spent[name]:.2f}" for spent in (full, grown, changed)), share])
    text = table(["stage", "full run", "1% new", "1% replaced, reordered", "1% new : full"], lines)
    alike = correlations(updated, rebuilt)
    ranks = ", ".join(f"{name} {value:.4f}" for name, value in alike.items())
    text += (
        f"\n\nGraph after two updates: recall {recall(updated):.3f}, built anew "
        f"{recall(rebuilt):.3f} (each measured on 200 to 1,000 rows). Rank correlation with the "
        f"scores of a new generation (embedder and graph anew): {ranks}."
    )
    shares = {
        "all": grown["all"] / full["all"],
        "updated": sum(grown[s] for s in UPDATED) / sum(full[s] for s in UPDATED),
    }
    return text, shares


def section(sizes: list[int] | None = None) -> str:
    """Return the report."""
    folder = Path(tempfile.mkdtemp(prefix="assay-nights-"))
    try:
        (folder / "warm").mkdir()
        measured(3_000, folder / "warm")
        told = ["# A night with 1% new rows", "CPU seconds in one process, numeric threads: 1."]
        for rows in sizes or [20_000]:
            at = folder / str(rows)
            at.mkdir()
            text, shares = measured(rows, at)
            goal = "met" if shares["all"] <= 0.1 else "not met"
            told += [
                f"## {rows:,} rows",
                text,
                f"A night with 1% new rows costs {shares['all']:.0%} of a full run (goal: at most "
                f"10%: {goal}); what is updated (embedder, vectors, graph, index) "
                f"{shares['updated']:.0%} of making it.",
            ]
            shutil.rmtree(at)
        return "\n\n".join(told)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 100_000])
    write("incremental.md", section(parser.parse_args().rows) + "\n")


if __name__ == "__main__":
    main()
