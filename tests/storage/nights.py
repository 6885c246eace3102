"""Stores of many small runs, as nights leave them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from assay.storage import ScoreStore
from assay.storage.runs.run_file import RunInfo, RunTablesData

START = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = {"curate": "c", "features": "f"}


def night_id(night: int, pool: str = "docs", kind: str = "curate") -> str:
    """Return the id of the run of a night."""
    return f"{sum(pool.encode()):08x}{KINDS[kind]}{night:07x}"


def info(
    night: int, pool: str = "docs", kind: str = "curate", config: Mapping[str, Any] | None = None
) -> RunInfo:
    """Return who and what the run of a night is."""
    return RunInfo(
        run_id=night_id(night, pool, kind),
        kind=kind,
        pool=pool,
        started_at=START + timedelta(days=night),
        n_samples=4,
        seed=0,
        generation="g",
        config=dict(config or {}),
        versions={},
        ranked_by="size" if kind == "curate" else None,
        pool_fingerprint=f"{pool}{night}",
    )


def tables(night: int, refers: Mapping[str, tuple[str, str]] | None = None) -> RunTablesData:
    """Return four samples, of which the night's number decides which one is chosen."""
    chosen = night % 4
    return RunTablesData(
        samples=pl.DataFrame(
            {
                "sample_id": ["a", "b", "c", "d"],
                "source": ["memory"] * 4,
                "row": range(4),
                "label": [None] * 4,
                "group_id": [None] * 4,
                "content_hash": ["0", "1", "2", "3"],
                "odd name": ["x", "y", "x", "y"],
            },
            schema_overrides={"label": pl.String, "group_id": pl.String},
        ),
        scores={"size": pl.DataFrame({"key": range(4), "score": [0.0, 1.0, 2.0, float(night)]})},
        selections=pl.DataFrame({"key": [chosen], "position": [1], "weight": [1.0]}),
        decisions=pl.DataFrame(
            {
                "key": range(4),
                "selected": [i == chosen for i in range(4)],
                "stage": ["select"] * 4,
                "reason": ["selected" if i == chosen else "not_drawn" for i in range(4)],
                "detail": ["{}"] * 4,
            }
        ),
        metrics=pl.DataFrame({"name": ["night"], "value": [float(night)], "baseline": [0.0]}),
        artifacts=pl.DataFrame(
            [(stage, *ref) for stage, ref in (refers or {}).items()],
            schema={"stage": pl.String, "kind": pl.String, "fingerprint": pl.String},
            orient="row",
        ),
    )


def forget_records(store: ScoreStore) -> None:
    """Take away what ties run files to their checksums, as in a store of an earlier version."""
    for folder in ("catalogue", "requests"):
        shutil.rmtree(store.path / folder)


def run_night(store: ScoreStore, night: int, pool: str = "docs") -> str:
    """Finish the run of a night, and return its id."""
    store.finish(info(night, pool), tables(night))
    return night_id(night, pool)


def rank_night(store: ScoreStore, night: int, pool: str = "docs") -> str:
    """Finish the feature run of a night, and return its id."""
    frame = pl.DataFrame(
        {"method": ["ecfs"], "feature": ["f"], "score": [1.0], "rank": [1], "selected": [True]}
    )
    store.finish(info(night, pool, "features"), RunTablesData(feature_scores=frame))
    return night_id(night, pool, "features")
