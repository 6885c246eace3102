"""Weights that undo label noise, and the rows that they leave out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.selection import registry
from assay.selection.contract.inputs import Floats
from assay.selection.contract.outcomes import Outcome
from assay.selection.plan.inputs import PlanInputs
from assay.storage.errors import MissingInputError

SCORE = "noise_weight"
# share of the mean weight below which a row counts for nothing, and is left out
LEAST = 1e-3


def unreliable(
    pool: PlanInputs, random_state: int, must: NDArray[np.bool_], alive: NDArray[np.bool_]
) -> tuple[Outcome, Floats, dict[str, Any]]:
    """Leave out the rows whose label is certainly wrong, or missing; also every row's weight.

    The weights are the score `noise_weight` where there is one, else estimated from the vectors or
    texts, and the labels.

    Raises
    ------
    MissingInputError
        There is neither such a score nor labels.
    """
    report: dict[str, Any] = {}
    if SCORE in pool.scores:
        weights = pool.score(SCORE)
    else:
        if not pool.labeled().any():
            raise MissingInputError(
                "weigh='noise' estimates how often labels are wrong, and no row has a label: pass "
                f"labels as y, or a score of the name {SCORE!r}."
            )
        entry = registry.entry(SCORE, "scorer")
        scorer = registry.get(SCORE, "scorer")(random_state=random_state)
        inputs = pool.given({*entry.needs, *entry.uses}, np.arange(pool.n))
        scorer.fit(**{name: inputs[name] for name in ("X", "y", "graph", "ids")})
        weights = scorer.scores_
        report = {"noise": {"rate": scorer.report_["noise"]}}
    out = np.flatnonzero((weights < LEAST) & alive & ~must)
    alive[out] = False
    detail = {"value": weights[out], "threshold": np.full(len(out), LEAST)}
    return Outcome(out, "cutoff", "label_noise", detail), weights, report
