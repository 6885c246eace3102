"""A stable selection: a bound on how many of yesterday's rows another selection replaces."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.contract.budgets import as_number
from assay.selection.contract.inputs import Floats, Rows
from assay.selection.plan.fitted import Fitted
from assay.storage.errors import ConfigError

Mask = NDArray[np.bool_]
_ROUNDING = 2.0**-50
KEPT = "kept: the bound on replaced rows"
BARRED = "would have come in but for the bound on replaced rows"


def parse_churn(churn: Any) -> int | float:
    """Return `churn` as a count (int) or a share (float), whatever form it was given in.

    Parameters
    ----------
    churn : int, float or str
        A count (0 or more; 1 is one row), a share of the budget (a float from 0.0 to 1.0: 1.0 is no
        bound), or either as text: "20", "0.1", "10%".

    Raises
    ------
    ConfigError
        `churn` is none of these.

    Examples
    --------
    >>> parse_churn("10%"), parse_churn(20), parse_churn(0.0)
    (0.1, 20, 0.0)
    """
    value = as_number(churn) if isinstance(churn, str) else churn
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= 0:
        return int(value)
    if isinstance(value, Real) and not isinstance(value, Integral) and 0 <= float(value) <= 1:
        return float(value)
    raise ConfigError(
        f"churn is {churn!r}; it may be a count of rows (whole number >= 0), a share of the budget "
        "(a float from 0.0 to 1.0) or text such as '20' or '10%'."
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Bound:
    """How many of yesterday's rows may be replaced.

    Attributes
    ----------
    previous : bool[n]
        Yesterday's rows, as far as the pool still has them.
    total : int
        How many rows were chosen yesterday.
    limit : int
        How many of those that can still be chosen may be replaced.
    """

    previous: Mask
    total: int
    limit: int

    @classmethod
    def of(cls, churn: Any, previous: Sequence[Any], ids: pl.Series, budget: int | None) -> Bound:
        """Return the bound that `churn` means.

        Parameters
        ----------
        churn : int, float or str
            See `parse_churn`. A share means ``floor(share * budget)`` rows.
        previous : sequence of ids
        ids : Series of n texts
            Of the pool.
        budget : int, optional
            In rows; None: the budget is a cost, and a share is one of yesterday's rows.
        """
        value = parse_churn(churn)
        known = pl.Series("sample_id", list(previous)).cast(pl.String).unique()
        of = len(known) if budget is None else budget
        limit = value if isinstance(value, int) else math.floor(value * of * (1 + _ROUNDING))
        return cls(
            previous=ids.is_in(known.implode()).to_numpy(), total=len(known), limit=int(limit)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Bounded:
    """Effect of a bound on a selection: rows it `kept`, rows it `barred`, and the figures."""

    fitted: Fitted
    kept: Rows
    barred: Rows
    report: dict[str, int]


def bounded(
    free: Fitted,
    bound: Bound,
    rows: Rows,
    ids: pl.Series,
    *,
    counted: bool,
    refit: Callable[[Rows, Fitted], Fitted],
    meets: Callable[[Fitted], bool],
) -> Bounded:
    r"""Return a selection that replaces at most `bound.limit` rows of yesterday's.

    With :math:`U` yesterday's rows among `rows`, :math:`m` the size of the selection without a bound
    and :math:`L` the limit, at least :math:`\min(|U|, m) - L` rows of :math:`U` are chosen. Those of
    the selection without a bound stay; what is missing is made up by the best of the others: rows
    that the selector asked for, then by its score, rows behind its own cutoff last, ties by id. They
    take the places of the new rows that the selector prefers least.

    Constraints come before the bound: where must-include rows, quotas or minima leave no room even
    when yesterday's rows are asked first, fewer stay, and the report counts them as forced.

    Parameters
    ----------
    free : Fitted
        The selection without a bound, in numbers of `rows`.
    bound : Bound
    rows : int64[m]
        Rows of the pool that the selector sees.
    ids : Series of m texts
        Theirs.
    counted : bool
        Whether the budget is in rows; else in cost, and :math:`m` above is :math:`|U|`.
    refit : callable
        ``refit(held, fitted)`` walks the order with the rows `held` ahead of all but the must-include
        ones, and asks the selector for more rows where it has to.
    meets : callable
        Whether the minima are met.

    Returns
    -------
    Bounded
        Its `report` holds `churn_limit`, `churn_previous` (rows chosen yesterday), `churn_forced`
        (those that could not stay: gone, unusable, refused or without room), `churn_replaced` (those
        that could, and were), and `churn_kept` (rows that are in because of the bound).

    Notes
    -----
    One or two walks more than without a bound, and only where it is passed: O(n log n).
    """
    usable, cut = _standing(free.selector, len(rows))
    mine = bound.previous[rows] & usable
    first = free.taken.rows
    stay = first[mine[first]]
    n_mine = int(mine.sum())
    places = min(n_mine, len(first)) if counted else n_mine
    wanted = places - bound.limit
    kept = barred = np.empty(0, dtype=np.int64)
    selection = free
    if len(stay) < wanted:
        dropped = _best_first(free, np.flatnonzero(mine & ~_mask(first, len(rows))), cut, ids)
        full = refit(np.concatenate([stay, dropped]), free)
        held = full.taken.rows[mine[full.taken.rows]][:wanted]
        # in rows the first one always does; sums of costs have no room for every exchange
        options = [refit(held, full), full, free]
        if meets(free):
            options = [option for option in options if meets(option)]
        selection = max(options, key=lambda option: min(wanted, mine[option.taken.rows].sum()))
        chosen = _mask(selection.taken.rows, len(rows))
        kept = dropped[chosen[dropped]]
        barred = np.sort(first[~chosen[first]])
        in_order = _ordered(selection, kept, free)
        selection = selection._replace(taken=selection.taken._replace(rows=in_order))
    n_kept = int(mine[selection.taken.rows].sum())
    no_room = max(0, wanted - n_kept)
    report = {
        "churn_limit": bound.limit,
        "churn_previous": bound.total,
        "churn_forced": bound.total - n_mine + no_room,
        "churn_replaced": max(0, places - n_kept - no_room),
        "churn_kept": len(kept),
    }
    return Bounded(fitted=selection, kept=kept, barred=barred, report=report)


def _mask(rows: Rows, n: int) -> Mask:
    mask = np.zeros(n, dtype=bool)
    mask[rows] = True
    return mask


def _standing(selector: Any, n: int) -> tuple[Mask, Mask]:
    """Return which rows the selector can choose, and which it cut off."""
    usable, cut = np.ones(n, dtype=bool), np.zeros(n, dtype=bool)
    for outcome in selector.outcomes():
        if outcome.stage == "read" or outcome.reason == "covered":
            usable[outcome.rows] = False
        elif outcome.stage == "cutoff":
            cut[outcome.rows] = True
    return usable, cut


def _best_first(free: Fitted, rows: Rows, cut: Mask, ids: pl.Series) -> Rows:
    place = np.full(len(cut), len(cut), dtype=np.int64)
    place[free.order] = np.arange(len(free.order))
    scores: Floats = np.asarray(free.selector.scores_, dtype=np.float64)[rows]
    worth = np.where(np.isnan(scores), -np.inf, scores)
    by_id = ids.gather(rows).rank("ordinal").to_numpy()
    return rows[np.lexsort((by_id, -worth, place[rows], cut[rows]))]


def _ordered(selection: Fitted, kept: Rows, free: Fitted) -> Rows:
    """Return the rows chosen in the selector's order, those that the bound kept behind the others."""
    n = len(selection.selector.scores_)
    place = np.full(n, 3 * n, dtype=np.int64)
    place[selection.order] = n + np.arange(len(selection.order))
    place[free.order] = np.arange(len(free.order))
    place[kept] = 2 * n + np.arange(len(kept))
    chosen = selection.taken.rows
    return chosen[np.argsort(place[chosen], kind="stable")]
