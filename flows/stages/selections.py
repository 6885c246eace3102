"""Selections: the files of one, and the one that a run's own replaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assay.flows.stages.artifacts import write_report
from assay.flows.stages.run import Run
from assay.storage.disk.parquet import write_parts


def write_selection(
    out: Path, frame: pl.DataFrame, rows: pl.DataFrame, plan: Any, leaks: pl.DataFrame
) -> None:
    """Write what a fitted plan chose and decided.

    Parameters
    ----------
    out : Path
    frame : DataFrame
        The samples, with `key` and `problem`.
    rows : DataFrame
        Those of them that have content: the pool of the plan.
    plan : SelectionPlan
    leaks : DataFrame
        By sample_id.
    """
    key = rows["key"].to_numpy()
    chosen = np.asarray(plan.indices_)
    pl.DataFrame(
        {
            "key": key[chosen],
            "position": np.arange(1, len(chosen) + 1),
            "weight": np.asarray(plan.weights_, dtype=np.float64),
        }
    ).write_parquet(out / "selections.parquet")
    _write_decisions(out, frame, key, plan)
    named = plan.duplicates_.join(rows.select("sample_id", "key"), on="sample_id")
    named.drop("sample_id").write_parquet(out / "duplicates.parquet")
    named = leaks.join(rows.select("sample_id", "key"), on="sample_id")
    named.drop("sample_id").write_parquet(out / "leaks.parquet")
    np.save(out / "scores.npy", np.asarray(plan.scores_, dtype=np.float64))
    np.save(out / "kept.npy", plan.kept_)
    write_report(out / "report.json", plan.report_)


def _write_decisions(out: Path, frame: pl.DataFrame, key: np.ndarray, plan: Any) -> None:
    """Write one decision for each row of the pool, in order of the key, a part at a time."""
    explained = plan.explained()

    def part(begin: int, end: int) -> pl.DataFrame:
        rows = frame.slice(begin, end - begin)
        left_out = rows.filter(pl.col("problem").is_not_null()).select(
            pl.lit(False).alias("selected"),
            pl.lit("read").alias("stage"),
            pl.col("problem").alias("reason"),
            pl.lit("{}").alias("detail"),
            "key",
        )
        low, high = np.searchsorted(key, (begin, end))
        if low == high:
            return left_out
        decided: pl.DataFrame = explained.rows(int(low), int(high))
        own = decided.with_columns(pl.Series("key", key[low:high])).select(left_out.columns)
        return pl.concat([own, left_out]).sort("key")

    write_parts(out / "decisions.parquet", frame.height, part)


def previous_selection(run: Run) -> list[str] | None:
    """Return the ids that the pool's last run chose, None where nothing bounds their replacement."""
    return None if run.config.plan.churn is None else replaced_selection(run)


def replaced_selection(run: Run) -> list[str]:
    """Return the ids that the pool's last run chose, in order; none where there was no run."""
    store = run.store
    previous = store.newest_run(run.config.name or "pool", before=run.run_id)
    if previous is None:
        return []
    chosen = store.run_table(
        previous["run_id"], "SELECT sample_id FROM selections JOIN samples USING (key) ORDER BY 1"
    )
    return chosen["sample_id"].to_list()
