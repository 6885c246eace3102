"""How a total is shared out over bins: strata, clusters, classes or groups."""

from __future__ import annotations

from numbers import Integral
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.selection.contract.inputs import Floats
from assay.storage.errors import BudgetError, ConfigError
from assay.storage.limits import check_parameters

Rule = Literal["even", "proportional", "largest_remainder", "dhondt"]
Counts = NDArray[np.int64]

# quotas are computed to a relative error far below this, so equal remainders are seen as equal
_DECIMALS = 9
# lesser weights, as parts of the largest, count as this
_LEAST = 2.0**-500


def allocate(
    counts: ArrayLike,
    total: int,
    *,
    rule: Rule = "even",
    weights: ArrayLike | None = None,
    minima: ArrayLike | None = None,
    maxima: ArrayLike | None = None,
) -> Counts:
    r"""Share `total` out over bins, within their bounds and exactly.

    With bounds :math:`l_i` (minima) and :math:`h_i` (the lesser of size and maximum), shares are

    - even (water-filling): :math:`\mathrm{clip}(c, l_i, h_i)` for the highest level c that does
      not exceed the total; what is left goes, one each, to the bins with the highest
      :math:`h_i > c`, later bins first.
    - largest_remainder (proportional is the same): :math:`\mathrm{clip}(\lambda w_i, l_i, h_i)`
      for the :math:`\lambda` at which these sum to the total, rounded down; what is left goes,
      one each, to the largest remainders, earlier bins first.
    - dhondt (greatest divisors): beyond the minima, one at a time to the bin with the largest
      :math:`w_i / (s_i + 1)` for the share :math:`s_i` that it has, earlier bins first.

    Parameters
    ----------
    counts : int array of shape (bins,)
        Size of each bin, never exceeded.
    total : int
        What to share out.
    rule : {"even", "proportional", "largest_remainder", "dhondt"}, default "even"
        D'Hondt favors heavy bins a little, and no share falls when the total grows; largest
        remainder keeps every unbounded share within 1 of its exact quota.
    weights : array of shape (bins,), optional
        What the rules other than even share by, finite and >= 0 (default: `counts`). A bin of
        weight 0 gets its minimum.
    minima, maxima : int array of shape (bins,) or a single int, optional
        Bounds of the shares; a maximum above the size of its bin means the size.

    Returns
    -------
    int64 array of shape (bins,)

    Raises
    ------
    BudgetError
        The total is no whole number, is below the minima's sum or above what the bins may take, or
        a minimum is above what its bin may take; the message says which.
    ConfigError
        An unknown rule, weights that can't be used, or arrays of other lengths.

    Notes
    -----
    No loop over the units shared out: levels and thresholds are found by bisection. Time O(64
    bins + bins log bins), memory O(bins). Numbers up to 2^53 are exact.

    References
    ----------
    Balinski, Young, "Fair representation: meeting the ideal of one man, one vote", 1982.

    Examples
    --------
    >>> allocate([10, 1, 10], 9).tolist()
    [4, 1, 4]
    >>> allocate([60, 30, 10], 7, rule="dhondt").tolist()
    [5, 2, 0]
    >>> allocate([60, 30, 10], 7, rule="largest_remainder", minima=1).tolist()
    [4, 2, 1]
    """
    check_parameters(rule=(rule, *get_args(Rule)))
    sizes = _whole("counts", counts)
    low = _bounds("minima", minima, sizes, 0)
    high = np.minimum(sizes, _bounds("maxima", maxima, sizes, sizes))
    if isinstance(total, bool) or not isinstance(total, Integral):
        raise BudgetError(f"The total is {total!r}; pass a whole number.")
    total = int(total)
    _check_bounds(low, high, sizes, total)
    if rule == "even":
        if weights is not None:
            raise ConfigError(
                "weights have no part in the rule even; leave them out or pass another rule."
            )
        return _even(low, high, total)
    weight = _weights(weights, sizes)
    high = np.where(weight > 0, high, low)
    if total > high.sum():
        raise BudgetError(
            f"The total is {total} but bins with a weight above 0 (and the minima of the others) "
            f"take at most {high.sum()}; lower the total, or give more bins a weight."
        )
    # a power of two, so that equal quotients stay equal
    weight = np.ldexp(weight, -np.frexp(weight.max(initial=0))[1])
    weight = np.where(weight > 0, np.maximum(weight, _LEAST), weight)
    if rule == "dhondt":
        return _dhondt(weight, low, high, total)
    return _largest_remainder(weight, low, high, total)


def _even(low: Counts, high: Counts, total: int) -> Counts:
    """Fill up to the highest level that the total reaches, then one more where there is room."""
    below, above = 0, int(high.max(initial=0)) + 1
    while above - below > 1:
        level = (below + above) // 2
        if np.clip(level, low, high).sum() <= total:
            below = level
        else:
            above = level
    shares: Counts = np.clip(np.full(len(low), below), low, high)
    by_size = np.argsort(high, kind="stable")
    open_bins = by_size[(low <= below)[by_size] & (high > below)[by_size]]
    shares[open_bins[len(open_bins) - int(total - shares.sum()) :]] += 1
    return shares


def _largest_remainder(weight: Floats, low: Counts, high: Counts, total: int) -> Counts:
    """Round the bounded quotas down, then one more each for the largest remainders."""
    quotas = _quotas(weight, low, high, total)
    shares = np.clip(np.floor(quotas).astype(np.int64), low, high)
    remainders = np.where(shares < high, np.round(quotas - shares, _DECIMALS), -np.inf)
    shares[np.argsort(-remainders, kind="stable")[: int(total - shares.sum())]] += 1
    return shares


def _quotas(weight: Floats, low: Counts, high: Counts, total: int) -> Floats:
    """Return clip(factor * weight, low, high) for the factor at which they sum to `total`."""
    quotas = low.astype(np.float64)
    bins = np.flatnonzero(weight)
    if not len(bins):
        return quotas
    weight, low, high = weight[bins], low[bins], high[bins]
    wanted = total - (quotas.sum() - low.sum())
    # between two corners, where bins meet a bound, the same bins are free
    corners = np.unique(np.concatenate([low / weight, high / weight]))
    first, last = 0, len(corners)
    while last - first > 1:
        middle = (first + last) // 2
        if np.clip(corners[middle] * weight, low, high).sum() <= wanted:
            first = middle
        else:
            last = middle
    here = np.clip(corners[first] * weight, low, high)
    free = (low / weight <= corners[first]) & (high / weight > corners[first])
    if free.any():
        here[free] = weight[free] * ((wanted - here[~free].sum()) / weight[free].sum())
    quotas[bins] = np.clip(here, low, high)
    return quotas


def _dhondt(weight: Floats, low: Counts, high: Counts, total: int) -> Counts:
    """Take all quotients above a threshold, then the largest of those around it."""
    below, above = 0.0, 2.0
    few, many = low, high
    for _ in range(1_100):
        if many.sum() - few.sum() <= 2 * len(low):
            break
        threshold = (below + above) / 2
        shares = _above(weight, threshold, low, high)
        if shares.sum() <= total:
            above, few = threshold, shares
        else:
            below, many = threshold, shares
    bins = np.repeat(np.arange(len(low)), many - few)
    first = np.cumsum(many - few) - (many - few)
    seats = few[bins] + 1 + np.arange(len(bins)) - first[bins]
    quotients = weight[bins] / seats
    taken = bins[np.lexsort((bins, -quotients))[: int(total - few.sum())]]
    return few + np.bincount(taken, minlength=len(low)).astype(np.int64)


def _above(weight: Floats, threshold: float, low: Counts, high: Counts) -> Counts:
    """Return how many of the quotients weight / 1, weight / 2, ... are at least `threshold`."""
    shares = np.minimum(np.floor(weight / threshold), high)
    # the division may have been rounded over a whole number
    shares += (weight / (shares + 1) >= threshold) & (shares < high)
    shares -= (shares > 0) & (weight / np.maximum(shares, 1) < threshold)
    return np.clip(shares.astype(np.int64), low, high)


def _whole(name: str, values: Any) -> Counts:
    """Return whole numbers >= 0 as int64."""
    numbers = np.asarray(values)
    if numbers.size == 0:
        numbers = numbers.astype(np.int64)
    if numbers.dtype.kind not in "iu" or numbers.ndim > 1 or (numbers < 0).any():
        raise ConfigError(f"{name} must be whole numbers >= 0, one per bin; given: {values!r}.")
    return numbers.astype(np.int64)


def _bounds(name: str, values: Any, sizes: Counts, default: Any) -> Counts:
    bounds = _whole(name, default if values is None else values)
    if bounds.ndim and len(bounds) != len(sizes):
        raise ConfigError(f"{name} has {len(bounds)} values for {len(sizes)} bins; pass one each.")
    return np.broadcast_to(bounds, sizes.shape)


def _weights(weights: Any, sizes: Counts) -> Floats:
    weight = np.asarray(sizes if weights is None else weights, dtype=np.float64)
    if weight.shape != sizes.shape or not np.isfinite(weight).all() or (weight < 0).any():
        raise ConfigError(
            f"weights must be one finite number >= 0 for each of {len(sizes)} bins; "
            f"given: {weights!r}."
        )
    return weight


def _check_bounds(low: Counts, high: Counts, sizes: Counts, total: int) -> None:
    crossed = np.flatnonzero(low > high)
    if len(crossed):
        bin_ = crossed[0]
        raise BudgetError(
            f"The minimum of bin {bin_} is {low[bin_]} but it may take at most {high[bin_]} "
            f"(its size is {sizes[bin_]}); lower that minimum."
        )
    if total < low.sum():
        what = f"the minima sum to {low.sum()}" if low.sum() else "it may not be negative"
        raise BudgetError(f"The total is {total} but {what}; raise the total.")
    if total > high.sum():
        raise BudgetError(
            f"{total} rows can't be shared out over bins that take at most {high.sum()} in all "
            f"(sizes sum to {sizes.sum()}); lower the total, or raise the maxima."
        )
