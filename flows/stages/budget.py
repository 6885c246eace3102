"""How many rows a run is to choose, where a learning curve says so."""

from __future__ import annotations

from typing import Any

import polars as pl

from assay.flows.config.fields import best_share
from assay.flows.progress import logger, step
from assay.flows.stages.artifacts import load_vectors
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import Run


def asked_budget(run: Run, rows: pl.DataFrame, vectors: Ref) -> tuple[int | float, dict[str, Any]]:
    """Return the budget as a count or a share, and what is reported of the learning curve, if any."""
    budget, share = run.config.budget, best_share(run.config.budget)
    if share is None:
        assert not isinstance(budget, str)
        return budget, {}
    from assay.selection.evaluation.budget_curve import learning_curve

    with step("learning curve", None):
        curve = learning_curve(
            load_vectors(run, vectors),
            rows["label"].to_numpy(),
            ids=rows["sample_id"],
            random_state=run.config.seed,
        )
    count = curve.budget(share)
    accuracy, best = curve.accuracy(count), curve.accuracy(curve.reach)
    logger.info(
        "the budget %s is %s rows: a judge is expected to be right on %.1f %% of the rows, and on %.1f %% "
        "with %s rows",
        budget, f"{count:,}", 100 * accuracy, 100 * best, f"{curve.reach:,}",
    )  # fmt: skip
    reported = {
        "rows": count,
        "accuracy": accuracy,
        "best_rows": curve.reach,
        "best_accuracy": best,
    }
    return count, {"learning_curve": reported | {"a": curve.a, "b": curve.b, "c": curve.c}}
