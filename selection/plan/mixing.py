"""How a plan mixes sources: what their shares mean for the rows that its selector saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.algorithms.composition import estimate_composition
from assay.selection.algorithms.learned_mixture import LearnedMixture
from assay.selection.contract.inputs import Floats, Rows
from assay.selection.plan.constraints import Constraints, coded
from assay.selection.plan.inputs import PlanInputs
from assay.selection.plan.mixtures import Mixture, learner
from assay.storage.errors import BudgetError, ConfigError, MissingInputError

_NONE = np.empty(0, dtype=np.int64)


class MixingRules(Protocol):
    """The parameters of `SelectionPlan` that a mixture goes by."""

    by: str | None
    quotas: Mapping[str, int | float] | None
    minima: Mapping[str, int | float] | None
    mixture: Any
    mixture_from_runs: Any
    mixture_from_models: Any
    mixture_options: Mapping[str, Any] | None
    repeat: int
    rounding: Literal["largest_remainder", "dhondt"]
    random_state: int


def mixture_of(
    plan: MixingRules,
    pool: PlanInputs,
    rows: Rows,
    covered: NDArray[np.bool_],
    cost: Floats | None,
    budget: float,
) -> tuple[Mixture | None, Rows]:
    """Return the mixture, and the source of each of `rows` (-1: none that is wanted)."""
    learns = plan.mixture_from_runs is not None or plan.mixture_from_models is not None
    if plan.mixture is None and not learns:
        return None, _NONE
    if plan.quotas or plan.minima:
        raise ConfigError(
            "A plan has either a mixture, which fixes every source's part, or quotas and minima; "
            "leave one out."
        )
    if isinstance(plan.mixture, str) and plan.mixture == "target":
        return _of_target(plan, pool, rows, covered, cost, budget)
    ours = pool.ours.columns
    named = next((c for c in ("source", "group_id", "label") if c in ours), None)
    name = plan.by or ("source" if "source" in pool.own.columns else None)
    name = name or (f"assay.{named}" if named else None)
    if name is None:
        raise MissingInputError(
            "A mixture needs sources: pass groups, or name their column as `by`."
        )
    codes, names = coded(pool.column(name, "column of sources"))
    groups = np.where(covered, -1, codes)[rows]
    unit = np.ones(len(rows)) if cost is None else cost[rows]
    available = np.bincount(groups[groups >= 0], unit[groups >= 0], len(names)).astype(np.float64)
    repeat = plan.repeat if cost is None else 1
    learned = _learned(plan, names, available, budget, repeat) if learns else None
    shares = plan.mixture if learned is None else learned.shares
    mixture = Mixture.of(
        shares,
        names,
        available,
        budget,
        counted=cost is None,
        repeat=plan.repeat,
        rounding=plan.rounding,
    )
    if learned is not None:
        mixture = replace(mixture, learned=learned)
    return mixture, np.where(groups >= 0, groups, len(names))


def _learned(
    plan: MixingRules, names: Sequence[str], available: Floats, budget: float, repeat: int
) -> LearnedMixture:
    """Learn the mixture, within what the pool has of each source."""
    options = dict(plan.mixture_options or {})
    metric = options.pop("metric")
    table = pl.DataFrame(
        plan.mixture_from_models if plan.mixture_from_runs is None else plan.mixture_from_runs
    )
    sizes = dict(zip(names, available.tolist(), strict=True))
    sources = [n for n, dtype in table.schema.items() if dtype.is_numeric() and n != metric]
    unknown = [name for name in sources if name not in sizes]
    if unknown:
        shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        raise ConfigError(
            f"The table that the mixture is learned from has the column {unknown[0]!r}, which is no "
            f"source of the pool; there are: {shown}. Leave the column out, or store it as text."
        )
    # where the pool has too little for the budget, every source gives what it has
    most = repeat * sum(sizes[name] for name in sources)
    settings: dict[str, Any] = {
        "sizes": sizes,
        "budget": min(budget, most) or budget,
        "repeat": repeat,
        "random_state": plan.random_state,
        **options,
    }
    what: Literal["runs", "models"] = "models" if plan.mixture_from_runs is None else "runs"
    return learner(what)(table, metric, **settings)


def _of_target(
    plan: MixingRules,
    pool: PlanInputs,
    rows: Rows,
    covered: NDArray[np.bool_],
    cost: Floats | None,
    budget: float,
) -> tuple[Mixture, Rows]:
    """Return the mixture that the target has, and the source or cell of each of `rows`."""
    target, X = pool.target_and_rows(rows)
    name = plan.by or ("source" if "source" in pool.own.columns else None)
    y = None
    if name is not None:
        y = pool.column(name, "column of sources").cast(pl.String).gather(rows)
    composition = estimate_composition(
        X,
        y,
        target=target,
        ids=pool.ids.gather(rows),
        bootstraps=0,
        random_state=plan.random_state,
    )
    groups = np.where(covered[rows], -1, composition.codes)
    names = composition.frame["group"].cast(pl.String).to_list()
    shares = composition.frame["target_share"].to_list()
    unit = np.ones(len(rows)) if cost is None else cost[rows]
    available = np.bincount(groups[groups >= 0], unit[groups >= 0], len(names)).astype(np.float64)
    mixture = Mixture.of(
        dict(zip(names, shares, strict=True)),
        names,
        available,
        budget,
        counted=cost is None,
        repeat=plan.repeat,
        rounding=plan.rounding,
    )
    return mixture, np.where(groups >= 0, groups, len(names))


def constraints_of(
    mixture: Mixture, groups: Rows, rows: Rows, must: NDArray[np.bool_], cost: Floats | None
) -> Constraints:
    """Return the constraints that a mixture means: of each source its part, of the rest nothing."""
    part = np.append(mixture.distinct(), 0.0)
    over = np.bincount(groups[must[rows]], minlength=len(part)) > part
    if cost is None and over.any():
        place = int(np.argmax(over))
        name = [*mixture.names, "none"][place]
        raise BudgetError(
            f"The must-include rows of source {name!r} are more than the {int(part[place])} that the "
            "mixture gives it; raise its share, or include fewer."
        )
    return Constraints(
        budget=float(part.sum()),
        must=must[rows],
        cost=None if cost is None else cost[rows],
        groups=groups,
        names=[*mixture.names, "(none)"],
        most=part,
        least=part if cost is None else np.zeros(len(part)),
    )


def described(
    mixture: Mixture,
    groups: Rows,
    rows: Rows,
    taken: Rows,
    times: Rows | None,
    cost: Floats | None,
) -> dict[str, Any]:
    """Return what a report says of the mixture."""
    unit = np.ones(len(taken)) if cost is None else cost[rows[taken]]
    unit = unit if times is None else times.astype(np.float64)
    got = np.bincount(groups[taken], unit, len(mixture.names) + 1).astype(np.float64)
    report: dict[str, Any] = {"mixture": mixture.report(got[: len(mixture.names)])}
    if mixture.learned is not None:
        learned = mixture.learned
        intervals = {
            name: {"share": share, "low": low, "high": high, "effect": effect}
            for name, share, low, high, effect in learned.frame.select(
                "source", "share", "low", "high", "effect"
            ).iter_rows()
        }
        report["learned_mixture"] = {**learned.report_, "sources": intervals}
    return report
