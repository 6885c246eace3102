"""Runs with synthetic scores, as nights leave them in a store."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl

from assay.storage.runs.run_file import RunInfo, RunTablesData


def run_id(night: int, pool: str) -> str:
    """Return the id of a night's run."""
    return f"{sum(pool.encode()):08x}{night:08x}"


def info(night: int, pool: str, rows: int) -> RunInfo:
    """Return who and what a night's run is, with a configuration of the usual length."""
    return RunInfo(
        run_id=run_id(night, pool),
        kind="curate",
        pool=pool,
        started_at=datetime.now(UTC),
        n_samples=rows,
        seed=0,
        generation="g",
        config={"pool": f"{pool}.parquet", "budget": 0.1} | {f"key{i}": "value" for i in range(60)},
        versions={f"package{i}": "1.2.3" for i in range(10)},
        ranked_by="m0",
        pool_fingerprint=f"{pool}{night}",
    )


def tables(night: int, rows: int, methods: int) -> RunTablesData:
    """Return a run of random scores; every table holds the number of the night.

    The samples keep it in a column, the selection as its weight, the decisions in their detail, and
    the scores of the first method as their sum divided by the number of rows.
    """
    rng = np.random.default_rng(night)
    keys = np.arange(rows)
    chosen = np.sort(rng.choice(rows, rows // 10, replace=False))
    selected = np.zeros(rows, dtype=bool)
    selected[chosen] = True
    halves = rng.integers(0, 2**62, (rows, 2))
    scores = rng.standard_normal((methods, rows))
    scores[0] += night - scores[0].mean()
    return RunTablesData(
        samples=pl.DataFrame(
            {
                "sample_id": [f"document-{i}" for i in range(rows)],
                "source": ["pool.parquet"] * rows,
                "row": keys,
                "label": pl.Series([None] * rows, dtype=pl.String),
                "group_id": pl.Series([None] * rows, dtype=pl.String),
                "content_hash": [f"{a:016x}{b:016x}" for a, b in halves.tolist()],
                "night": np.full(rows, night),
            }
        ),
        scores={f"m{i}": pl.DataFrame({"key": keys, "score": scores[i]}) for i in range(methods)},
        selections=pl.DataFrame(
            {
                "key": chosen,
                "position": np.arange(1, len(chosen) + 1),
                "weight": np.full(len(chosen), float(night)),
            }
        ),
        decisions=pl.DataFrame(
            {
                "key": keys,
                "selected": selected,
                "stage": ["select"] * rows,
                "reason": np.where(selected, "selected", "not_drawn"),
                "detail": [f'{{"night": {night}}}'] * rows,
            }
        ),
        metrics=pl.DataFrame({"name": ["night"], "value": [float(night)], "baseline": [0.0]}),
    )
