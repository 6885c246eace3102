"""The last stage of a plan: a selector, and what constraints make of its order of preference."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.selection import registry
from assay.selection.algorithms.representation import representation_weights
from assay.selection.contract.budgets import ShortfallWarning
from assay.selection.contract.inputs import Floats, Rows
from assay.selection.contract.outcomes import Outcome
from assay.selection.plan.blending import blend_scores
from assay.selection.plan.churn import Bound, bounded
from assay.selection.plan.constraints import Constraints, Taken, bounds, coded, take
from assay.selection.plan.fitted import Fitted
from assay.selection.plan.inputs import PlanInputs
from assay.selection.plan.mixing import MixingRules, constraints_of, described, mixture_of
from assay.selection.plan.outcomes import outcomes_of
from assay.selection.plan.stages import difficulty_of
from assay.storage.errors import BudgetError, ConfigError, MissingInputError

_NONE = np.empty(0, dtype=np.int64)
# rows * chosen * dimensions that are still searched exactly for the nearest chosen row
SEARCHED = 2e11


class Rules(MixingRules, Protocol):
    """The parameters of `SelectionPlan` that its last stage reads."""

    selector: str
    options: Mapping[str, Any] | None
    cutoff: float | Literal["auto", "contamination"] | None
    difficulty: str | None
    blend: Mapping[str, float] | None
    blend_method: Literal["rank", "z", "none", "rra", "median"]
    weigh: bool | Literal["noise"]
    strict: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanChoice:
    """Rows chosen of the whole pool, their weights, and an outcome for every row that was seen."""

    chosen: Rows
    weights: Floats
    scores: Floats
    outcomes: list[Outcome]
    report: dict[str, Any]


def choose(
    plan: Rules,
    pool: PlanInputs,
    rows: Rows,
    must: NDArray[np.bool_],
    covered: NDArray[np.bool_],
    cost: Floats | None,
    budget: float,
    bound: Bound | None = None,
    noise: Floats | None = None,
) -> PlanChoice:
    """Fit the plan's selector on `rows` and take from its order what the constraints allow."""
    mixture, groups = mixture_of(plan, pool, rows, covered, cost, budget)
    if mixture is None:
        constraints = _constraints(plan, pool, rows, must, covered, cost, budget)
    else:
        constraints = constraints_of(mixture, groups, rows, must, cost)
    entry = registry.entry(plan.selector, "selector")
    inputs = pool.given({*entry.needs, *entry.uses}, rows, selector=True)
    scores = _scores(plan, pool, rows)
    inputs["scores"] = scores
    had = np.flatnonzero(covered[rows])
    if len(had):
        inputs["covered"] = covered[rows]
    n_open = len(rows) - len(had)
    fitted = _fitted(plan, inputs, constraints, n_open)
    kept, barred, churn = _NONE, _NONE, {}
    if bound is not None:
        if not constraints.shape_the_order and not constraints.must.any():
            # draws with replacement are fewer rows than the budget
            constraints = replace(constraints, budget=len(fitted.taken.rows))
        held = bounded(
            fitted,
            bound,
            rows,
            inputs["ids"],
            counted=cost is None,
            refit=lambda held, start: _fitted(plan, inputs, constraints, n_open, held, start),
            meets=lambda selection: _least_met(selection.taken, constraints),
        )
        fitted, kept, barred, churn = held.fitted, held.kept, held.barred, held.report
    selector, taken = fitted.selector, fitted.taken
    selected = len(taken.rows)
    if len(taken.rows) == len(selector.indices_):
        selected = int(selector.report_["selected"])
    times = None
    if mixture is not None:
        # rows that count more than once are paid for as often
        times = mixture.times(groups[taken.rows]) if cost is None else None
        selected = selected if times is None else int(times.sum())
    shortfall = int(budget) - selected if cost is None else 0
    if shortfall > 0:
        message = (
            f"The budget is {int(budget)} rows but the plan leaves only {selected} of "
            f"{pool.n}: {shortfall} are missing"
        )
        if plan.strict:
            raise BudgetError(f"{message}; lower the budget, loosen it, or set strict=False.")
        warnings.warn(f"{message}.", ShortfallWarning, stacklevel=3)
    stands_for, nearest, similarity = _represented(
        pool, rows, np.concatenate([taken.rows, had]), inputs
    )
    if noise is not None:
        weights = noise[rows[taken.rows]]
    elif plan.weigh:
        if stands_for is None:
            raise MissingInputError("weigh=True needs vectors as X, or a graph.")
        weights = stands_for[: len(taken.rows)]
    else:
        weights = selector.weights_of(taken.rows)
    if times is not None:
        weights = weights * times
    everywhere = np.full(pool.n, np.nan)
    everywhere[rows] = selector.scores_
    spent = float(len(taken.rows) if cost is None else cost[rows[taken.rows]].sum())
    return PlanChoice(
        chosen=rows[taken.rows],
        weights=weights,
        scores=everywhere,
        outcomes=outcomes_of(
            fitted, constraints, kept, barred, rows, pool.ids, nearest, similarity
        ),
        report={
            **selector.report_,
            **churn,
            **(
                {} if mixture is None else described(mixture, groups, rows, taken.rows, times, cost)
            ),
            "rows": pool.n,
            "budget": int(budget) if cost is None else budget,
            "spent": spent,
            "selected": selected,
            "shortfall": max(0, shortfall),
        },
    )


def _represented(
    pool: PlanInputs, rows: Rows, chosen: Rows, inputs: dict[str, Any]
) -> tuple[Floats | None, Rows | None, NDArray[Any] | None]:
    """Return `representation_weights` by vectors, or by the graph where those cost too much."""
    X = pool.vectors(rows)
    graph = inputs["graph"]
    if X is not None and (graph is None or len(rows) * len(chosen) * X.shape[1] <= SEARCHED):
        return representation_weights(chosen, X=X, graph=graph, ids=inputs["ids"])
    if graph is None:
        return None, None, None
    return representation_weights(chosen, graph=graph, ids=inputs["ids"])


def _constraints(
    plan: Rules,
    pool: PlanInputs,
    rows: Rows,
    must: NDArray[np.bool_],
    covered: NDArray[np.bool_],
    cost: Floats | None,
    budget: float,
) -> Constraints:
    options: dict[str, Any] = {"budget": budget, "must": must[rows]}
    if cost is not None:
        options["cost"] = cost[rows]
    if plan.quotas or plan.minima:
        named = next((c for c in ("group_id", "label") if c in pool.ours.columns), None)
        name = plan.by or (f"assay.{named}" if named else None)
        if name is None:
            raise MissingInputError("Quotas and minima need groups: pass groups, or name `by`.")
        codes, names = coded(pool.column(name, "column of groups"))
        whole = cost is None
        options |= {
            # covered rows are not there to be taken
            "groups": np.where(covered, -1, codes)[rows],
            "names": names,
            "most": bounds(
                plan.quotas or {}, names, budget, default=math.inf, whole=whole, what="quotas"
            ),
            "least": bounds(
                plan.minima or {}, names, budget, default=0.0, whole=whole, what="minima"
            ),
        }
        if (options["least"] > options["most"]).any():
            worst = names[int(np.argmax(options["least"] > options["most"]))]
            raise BudgetError(f"The minimum of group {worst!r} is above its quota; change one.")
    return Constraints(**options)


def _scores(plan: Rules, pool: PlanInputs, rows: Rows) -> Floats | None:
    if plan.blend:
        parts = {name: pool.score(name)[rows] for name in plan.blend}
        return blend_scores(parts, plan.blend, method=plan.blend_method)
    values = difficulty_of(pool, plan.difficulty)
    return None if values is None else values[rows]


def _fitted(
    plan: Rules,
    inputs: dict[str, Any],
    constraints: Constraints,
    n: int,
    held: Rows = _NONE,
    start: Fitted | None = None,
) -> Fitted:
    """Fit for as many rows as the constraints need, at least for those of `start`."""
    entry = registry.entry(plan.selector, "selector")
    options = dict(plan.options or {})
    make = entry.load()
    known = registry.parameter_defaults(make)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ConfigError(
            f"{plan.selector} has no parameter {unknown[0]!r}; it has: {', '.join(known)}."
        )
    if plan.cutoff is not None and entry.has_cutoff:
        options.setdefault("cutoff", 0.0)
    must = np.flatnonzero(constraints.must)
    must = must[inputs["ids"].gather(must).arg_sort().to_numpy()]
    selector, size = (start.selector, start.size) if start else (None, _first_size(constraints, n))
    while True:
        if selector is None:
            selector = make(budget=size, random_state=plan.random_state, **options)
            with warnings.catch_warnings():
                # told for the whole plan
                warnings.simplefilter("ignore", ShortfallWarning)
                selector.fit(**inputs)
        order, taken = _walked(selector.indices_, must, constraints, held)
        if not len(must) and not len(held) and not constraints.shape_the_order:
            # draws with replacement are fewer rows than were asked for, and right so
            return Fitted(selector, order, taken, size)
        if selector.nested and len(order) < n and not _met(taken, constraints):
            # worked out only when it is asked for
            order, taken = _walked(selector.ranking_, must, constraints, held)
        if size == n or len(order) >= n or _met(taken, constraints):
            return Fitted(selector, order, taken, size)
        selector, size = None, min(n, 2 * size)


def _walked(order: Rows, must: Rows, constraints: Constraints, held: Rows) -> tuple[Rows, Taken]:
    """Return the order with the must-include rows first, and what is taken of it, `held` next."""
    order = np.concatenate([must, order[~constraints.must[order]]])
    if not len(held):
        return order, take(order, constraints)
    rest = ~constraints.must
    rest[held] = False
    held = held[~constraints.must[held]]
    return order, take(np.concatenate([must, held, order[rest[order]]]), constraints)


def _first_size(constraints: Constraints, n: int) -> int:
    if constraints.cost is None:
        return max(1, min(int(constraints.budget), n))
    mean = float(constraints.cost.mean())
    return n if mean == 0 else max(1, min(n, math.ceil(constraints.budget / mean)))


def _met(taken: Taken, constraints: Constraints) -> bool:
    """Return whether more of the order could not make the selection fuller."""
    cost = constraints.cost
    if cost is None and taken.missing > 0:
        return False
    if cost is not None and not len(taken.costly) and not len(taken.displaced):
        return False
    return _least_met(taken, constraints)


def _least_met(taken: Taken, constraints: Constraints) -> bool:
    """Return whether every group has its minimum, or all of its rows."""
    cost = constraints.cost
    if constraints.groups is None or constraints.least is None:
        return True
    groups, size = constraints.groups, len(constraints.least)
    unit = np.ones(len(groups)) if cost is None else cost
    of_group = groups >= 0
    available = np.bincount(groups[of_group], unit[of_group], size)
    mine = taken.rows[groups[taken.rows] >= 0]
    got = np.bincount(groups[mine], unit[mine], size)
    return bool((got >= np.minimum(constraints.least, available) * (1 - 1e-9)).all())
