"""The stage that selects: budget, selector, one decision for every row of the pool."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assay.flows.plans import Plan
from assay.flows.progress import logger, step
from assay.flows.revisions import REVISIONS
from assay.flows.stages import (
    Ref,
    _stage,
    folder,
    inputs,
    load_samples,
    load_scores,
    usable,
    write_report,
)
from assay.selection.budgets import ShortfallWarning, resolve_budget
from assay.storage.fingerprints import fingerprint


def select(plan: Plan, samples: Ref, vectors: Ref, graph: Ref, scores: dict[str, Ref]) -> Ref:
    """Choose the rows, in order of preference, and decide for every row of the pool."""
    from assay.selection import registry

    config = plan.config
    difficulty = scores.get(config.difficulty) if config.difficulty else None
    ref = Ref(
        "selection",
        fingerprint(
            REVISIONS["select"],
            plan.select,
            config.options,
            config.budget,
            samples,
            vectors,
            graph,
            difficulty,
            config.difficulty,
            plan.target_fingerprint,
            config.seed,
        ),
    )

    def make(out: Path) -> None:
        frame = load_samples(plan, samples)
        rows = usable(frame)
        entry = registry.entry(plan.select, "selector")
        with step(f"select {plan.select}", None):
            given = inputs(plan, {*entry.needs, *entry.uses}, samples, vectors, graph)
            if difficulty is not None:
                values = load_scores(plan, difficulty)
                scorer = registry.get(str(config.difficulty), "scorer")
                given["scores"] = -values if scorer.points == "easier" else values
            selector = _fit(plan, frame.height, rows.height, given)
        _write(out, frame, rows, selector)

    return _stage(plan, "select", ref, make)


def _fit(plan: Plan, n: int, n_usable: int, given: dict[str, Any]) -> Any:
    from assay.selection import registry

    config = plan.config
    wanted = resolve_budget(config.budget, n)
    if wanted > n_usable:
        logger.warning(
            "the budget is %s rows, but only %s of the pool's %s are usable: all of them are chosen",
            f"{wanted:,}",
            f"{n_usable:,}",
            f"{n:,}",
        )
    make = registry.get(plan.select, "selector")
    selector = make(budget=min(wanted, n_usable), random_state=config.seed, **config.options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ShortfallWarning)  # said above, over the whole pool
        selector.fit(**given)
    selector.report_["budget"] = wanted
    selector.report_["shortfall"] = wanted - len(selector.indices_)
    return selector


def _write(out: Path, frame: pl.DataFrame, rows: pl.DataFrame, selector: Any) -> None:
    key = rows["key"].to_numpy()
    chosen = np.asarray(selector.indices_)
    pl.DataFrame(
        {
            "key": key[chosen],
            "position": np.arange(1, len(chosen) + 1),
            "weight": np.asarray(selector.weights_, dtype=np.float64),
        }
    ).write_parquet(out / "selections.parquet")
    decided = selector.decisions().with_columns(pl.Series("key", key))
    left_out = frame.filter(pl.col("problem").is_not_null()).select(
        pl.lit(False).alias("selected"),
        pl.lit("read").alias("stage"),
        pl.col("problem").alias("reason"),
        pl.lit("{}").alias("detail"),
        "key",
    )
    pl.concat([decided.select(left_out.columns), left_out]).sort("key").write_parquet(
        out / "decisions.parquet"
    )
    np.save(out / "scores.npy", np.asarray(selector.scores_, dtype=np.float64))
    write_report(out / "report.json", selector.report_)


def load_selection(
    plan: Plan, ref: Ref
) -> tuple[pl.DataFrame, pl.DataFrame, np.ndarray, dict[str, Any]]:
    """Return the selections, the decisions, the selector's own scores and its report."""
    at = folder(plan, ref)
    return (
        pl.read_parquet(at / "selections.parquet"),
        pl.read_parquet(at / "decisions.parquet"),
        np.load(at / "scores.npy"),
        json.loads((at / "report.json").read_text()),
    )
