"""Reasons for the rows that a plan's selector saw: the selector's own, or the plan's."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.contract.inputs import Rows
from assay.selection.contract.outcomes import Field, Named, Outcome
from assay.selection.plan.churn import BARRED, KEPT
from assay.selection.plan.constraints import Constraints
from assay.selection.plan.fitted import Fitted

# why the plan passes over a row: the first of these is that it does not
_PASSED = ("", "quota", "cost", "displaced", "budget", "barred")


def outcomes_of(
    fitted: Fitted,
    constraints: Constraints,
    kept: Rows,
    barred: Rows,
    rows: Rows,
    ids: pl.Series,
    nearest: Rows | None,
    similarity: NDArray[Any] | None,
) -> list[Outcome]:
    """Return the selector's outcomes in the pool's rows, changed where constraints decided."""
    selector, order, taken, _ = fitted
    n = len(rows)
    bound = np.zeros(n, dtype=bool)
    bound[kept] = True
    position = np.zeros(n, dtype=np.int32)
    position[taken.rows] = np.arange(1, len(taken.rows) + 1)
    place = np.full(n, n, dtype=np.int32)
    place[order] = np.arange(len(order))
    last = place[taken.rows[~bound[taken.rows]]].max(initial=-1)
    # by place in _PASSED
    passed = np.zeros(n, dtype=np.int8)
    own = np.zeros(n, dtype=bool)
    own[selector.indices_] = True
    for why, which in (
        ("quota", taken.full),
        ("cost", taken.costly),
        ("displaced", taken.displaced),
    ):
        # behind the last row taken the selector's own reason stands
        passed[which[(place[which] < last) | own[which]]] = _PASSED.index(why)
    # the selector was asked for more rows than were needed in the end
    displaced, budget = _PASSED.index("displaced"), _PASSED.index("budget")
    passed[(passed == displaced) & (place > last)] = budget
    passed[barred] = _PASSED.index("barred")

    def beside(which: Rows, detail: dict[str, Field]) -> dict[str, Field]:
        if nearest is None or similarity is None:
            return detail
        near = Named(ids, rows[nearest[which]].astype(np.int32))
        return {**detail, "nearest": near, "similarity": similarity[which]}

    outcomes = []
    for outcome in selector.outcomes():
        if outcome.reason == "covered":
            outcomes.append(outcome._replace(rows=rows[outcome.rows]))
            continue
        free = passed[outcome.rows] == 0
        mine = position[outcome.rows] > 0
        by_bound = bound[outcome.rows]
        for keep, reason in (
            (mine & ~by_bound, "selected"),
            (by_bound, "churn"),
            (~mine & free, outcome.reason),
        ):
            which, detail = outcome.rows, dict(outcome.detail)
            if not keep.all():
                which = which[keep]
                detail = {name: values[keep] for name, values in detail.items()}
            if reason in ("selected", "churn"):
                detail = {**detail, "position": position[which], "score": selector.scores_[which]}
                stage = "select"
                if reason == "churn":
                    stage = "churn"
                    detail["bound"] = np.full(len(which), KEPT)
                    # the selector may have been asked for more rows than were needed
                    if outcome.reason != "selected":
                        detail["otherwise"] = np.full(len(which), outcome.reason)
            else:
                detail, stage = beside(which, detail), outcome.stage
            outcomes.append(Outcome(rows[which], stage, reason, detail))
    for code, why in enumerate(_PASSED[1:], 1):
        which = np.flatnonzero((passed == code) & (position == 0))
        detail = beside(which, {"score": selector.scores_[which], "place": place[which] + 1})
        if why == "quota" and len(which):
            detail |= _full(constraints, which)
        if why == "barred":
            detail["bound"] = np.full(len(which), BARRED)
        reason = "displaced" if why == "barred" else why
        outcomes.append(Outcome(rows[which], "select", reason, detail))
    return outcomes


def _full(constraints: Constraints, rows: Rows) -> dict[str, NDArray[Any]]:
    """Return the group of each row, and the most that it may have, in rows or in cost."""
    assert constraints.groups is not None
    assert constraints.most is not None
    group = constraints.groups[rows]
    most = constraints.most[group]
    return {
        "group": np.asarray(constraints.names, dtype=object)[group],
        "limit": most.astype(np.int64) if constraints.cost is None else most,
    }
