"""A budget in rows or in cost, shared by groups: which rows of an order are taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.contract.budgets import parse_budget, resolve_budget
from assay.selection.contract.inputs import Floats, Rows
from assay.storage.errors import BudgetError, ConfigError, InputError

# sums of many costs differ by rounding from what the user added up
_SLACK = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class Constraints:
    """What a selection must keep to. Budget and bounds are in rows, or in cost where there is one.

    Attributes
    ----------
    budget : float
    cost : float64[n] or None
        Finite and not negative; None: every row costs 1.
    groups : int[n] or None
        Group of every row, -1 for none.
    names : list of str
        The groups' names.
    most, least : float64[groups] or None
        Bounds of each group.
    must : bool[n]
        Rows that are taken whatever their group.
    """

    budget: float
    must: NDArray[np.bool_]
    cost: Floats | None = None
    groups: NDArray[Any] | None = None
    names: Sequence[str] = ()
    most: Floats | None = None
    least: Floats | None = None

    @property
    def shape_the_order(self) -> bool:
        """Whether more than the first rows of an order may be needed."""
        return self.cost is not None or self.groups is not None


class Taken(NamedTuple):
    """Rows taken, in order of preference, and why others of the order were passed over.

    `full` were of a group that had its most, `costly` did not fit into what was left of the budget,
    and `displaced` came too late because other rows had to be taken.
    """

    rows: Rows
    full: Rows
    costly: Rows
    displaced: Rows
    missing: float


def take(order: Rows, constraints: Constraints) -> Taken:
    """Walk down an order of preference and take what fits.

    Must-include rows come first; then each group's first rows until its least is reached; then the
    order, as far as groups and budget allow. In cost, a row that does not fit is passed over and
    cheaper ones behind it may still be taken.

    Raises
    ------
    BudgetError
        The must-include rows or the groups' least exceed the budget, or a group holds too little.

    Notes
    -----
    O(len(order)) memory and O(len(order) log len(order)) time; in cost, once more for each row that
    is passed over while something still fits.
    """
    c = constraints
    must = order[c.must[order]]
    others = order[~c.must[order]]
    order = np.concatenate([must, others])
    cost = np.ones(len(order)) if c.cost is None else c.cost[order]
    used = float(cost[: len(must)].sum())
    if used > c.budget * (1 + _SLACK):
        raise BudgetError(
            f"The must-include rows come to {used:g}, over the budget of {c.budget:g}; "
            "raise the budget, or include fewer."
        )
    first = np.arange(len(order)) < len(must)
    allowed, needed = _by_group(order, cost, first, c)
    taken = first.copy()
    left = c.budget - used
    for part in (allowed & needed & ~first, allowed & ~needed & ~first):
        rows = np.flatnonzero(part)
        fits, left = _fit(cost[rows], left)
        taken[rows[fits]] = True
    out = ~taken
    costly = out & allowed & (cost > left * (1 + _SLACK)) if c.cost is not None else out & False
    return Taken(
        rows=order[taken],
        full=order[out & ~allowed],
        costly=order[costly],
        displaced=order[out & allowed & ~costly],
        missing=max(0.0, left),
    )


def _by_group(
    order: Rows, cost: Floats, first: NDArray[np.bool_], c: Constraints
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which places of the order its group lets in, and which its group's least needs."""
    allowed, needed = np.ones(len(order), dtype=bool), np.zeros(len(order), dtype=bool)
    if c.groups is None or c.most is None or c.least is None:
        return allowed, needed
    group = c.groups[order]
    by_group = np.argsort(group, kind="stable")
    sums = np.cumsum(cost[by_group])
    starts = np.flatnonzero(np.diff(group[by_group], prepend=-2))
    sizes = np.diff(starts, append=len(order))
    before = np.repeat(sums[starts] - cost[by_group][starts], sizes)
    upto = np.empty(len(order))
    upto[by_group] = sums - before
    of_group = group >= 0
    held = np.bincount(group[of_group], weights=cost[of_group], minlength=len(c.most))
    forced = np.bincount(group[of_group & first], cost[of_group & first], len(c.most))
    for g in np.flatnonzero(forced > c.most * (1 + _SLACK))[:1]:
        raise BudgetError(
            f"The must-include rows of group {c.names[g]!r} come to {forced[g]:g}, over its quota of "
            f"{c.most[g]:g}; raise the quota, or include fewer."
        )
    least = np.minimum(c.least, held)
    if least.sum() > c.budget * (1 + _SLACK):
        raise BudgetError(
            f"The groups' minima come to {least.sum():g}, over the budget of {c.budget:g}; "
            "lower them, or raise the budget."
        )
    allowed[of_group] = upto[of_group] <= c.most[group[of_group]] * (1 + _SLACK)
    needed[of_group] = (upto - cost)[of_group] < least[group[of_group]] * (1 - _SLACK)
    return allowed, needed


def _fit(cost: Floats, left: float) -> tuple[Rows, float]:
    """Return the places taken, in order, where what doesn't fit is passed over; and what is left."""
    taken: list[Rows] = []
    places = np.arange(len(cost))
    while len(places):
        sums = np.cumsum(cost[places])
        end = int(np.searchsorted(sums, left * (1 + _SLACK), side="right"))
        if end:
            taken.append(places[:end])
            left -= float(sums[end - 1])
        places = places[end:]
        places = places[cost[places] <= left * (1 + _SLACK)]
    return (np.concatenate(taken) if taken else np.empty(0, dtype=np.int64)), left


def total_budget(budget: Any, n: int, cost: Floats | None) -> float:
    """Return the budget in rows, or in cost: a share is one of the whole pool.

    Raises
    ------
    BudgetError
        It is malformed or more than the pool holds.
    """
    if cost is None:
        return float(resolve_budget(budget, n))
    value = parse_budget(budget)
    total = float(cost.sum())
    wanted = float(value) if isinstance(value, int) else value * total
    if wanted > total * (1 + _SLACK):
        raise BudgetError(
            f"The budget is {wanted:g} but the pool's cost is {total:g} in all; give at most that, "
            "or a share such as 0.1."
        )
    return wanted


def checked_cost(values: Any, name: str) -> Floats:
    """Return costs as float64, refused where they or their sum are no finite number >= 0."""
    try:
        cost = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"The cost {name!r} is not numeric: {error}.") from error
    bad = np.flatnonzero(~(np.isfinite(cost) & (cost >= 0)))
    if len(bad):
        raise InputError(
            f"The cost {name!r} is missing, negative or not finite in {len(bad)} rows, first in row "
            f"{bad[0]}; pass a finite cost >= 0 for every row."
        )
    with np.errstate(over="ignore"):
        total = cost.sum()
    if not np.isfinite(total):
        raise InputError(
            f"The cost {name!r} adds up to more than a 64-bit float holds (its largest value is "
            f"{cost.max():g}). Divide the costs, and the budget if it is a sum of costs, by a constant."
        )
    return cost


def bounds(
    wanted: Mapping[str, int | float],
    groups: Sequence[str],
    budget: float,
    *,
    default: float,
    whole: bool,
    what: str,
) -> Floats:
    """Return a bound for every group: a number, or a share of the budget; ``"*"`` is for the others.

    `whole` rounds shares down to whole rows.

    Raises
    ------
    ConfigError
        A group named is not there, or a bound is neither a whole number >= 0 nor a share.
    """
    limits = np.full(len(groups), default)
    place = {name: at for at, name in enumerate(groups)}
    if "*" in wanted:
        limits[:] = _bound(wanted["*"], budget, "*", whole, what)
    for name, value in wanted.items():
        if name == "*":
            continue
        if name not in place:
            shown = ", ".join(groups[:10]) + (", ..." if len(groups) > 10 else "")
            raise ConfigError(
                f"{what} names the group {name!r}, which no row has; there are: {shown}."
            )
        limits[place[name]] = _bound(value, budget, name, whole, what)
    return limits


def _bound(value: Any, budget: float, name: str, whole: bool, what: str) -> float:
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= 0:
        return float(value)
    if isinstance(value, float) and 0 <= value <= 1:
        # 0.29 * 100 is 28.999999999999996
        return math.floor(value * budget * (1 + 2**-50)) if whole else value * budget
    raise ConfigError(
        f"{what} of group {name!r} is {value!r}; pass a whole number >= 0 or a share of the budget "
        "(a float from 0.0 to 1.0)."
    )


def coded(values: Any) -> tuple[NDArray[np.int64], list[str]]:
    """Return groups as codes into their sorted names, -1 for none."""
    series = pl.Series("group", values)
    if series.dtype.is_float():
        series = series.fill_nan(None)
    series = series.cast(pl.String)
    names = series.drop_nulls().unique().sort()
    codes = series.replace_strict(
        names, np.arange(len(names)), default=-1, return_dtype=pl.Int64
    ).to_numpy()
    return codes, names.to_list()
