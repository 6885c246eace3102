"""Figures that come from a sample of rows, and the intervals that this gives them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from assay.selection.contract.inputs import Floats

# of a normal distribution, for an interval that holds 95 of 100
_TIMES = 1.959963984540054


class Estimate(NamedTuple):
    """A figure from a sample, the rows it was measured on, and its 95% interval (NaN: none known)."""

    value: float
    measured: int
    low: float = math.nan
    high: float = math.nan


# of all rows, or of a sample
Figure = float | Estimate


def value_of(figure: Figure) -> float:
    """Return the figure alone."""
    return figure.value if isinstance(figure, Estimate) else figure


def mean_of(values: Floats, n: int) -> Figure:
    r"""Return the mean of values that were measured on a random sample of n rows.

    .. math:: \bar x \pm 1.96 \, \frac{s}{\sqrt m} \sqrt{\frac{n - m}{n - 1}}

    the normal interval for m rows drawn without replacement; with m = n there is nothing to
    estimate, and the mean itself is returned.

    Examples
    --------
    >>> mean_of(np.array([1.0, 3.0]), 2)
    2.0
    >>> mean_of(np.array([1.0, 3.0]), 1_000_001)
    Estimate(value=2.0, measured=2, low=0.04..., high=3.95...)
    """
    m = len(values)
    mean = float(values.mean()) if m else math.nan
    if m >= n:
        return mean
    if m < 2:
        return Estimate(mean, m)
    half = _TIMES * float(values.std(ddof=1)) / math.sqrt(m) * _share_left(m, n)
    return Estimate(mean, m, mean - half, mean + half)


def quantile_of(ordered: Floats, portion: float, value: float, n: int) -> Figure:
    r"""Return a quantile of sorted values that were measured on a random sample of n rows.

    Its interval lies between the values of rank :math:`m p \pm 1.96 \sqrt{m p (1 - p)}`, narrower as
    the sample nears the whole (the normal form of the distribution-free interval).

    References
    ----------
    Hahn, Meeker, "Statistical intervals", 1991, section 5.2.

    Examples
    --------
    >>> quantile_of(np.arange(1_000.0), 0.5, 499.0, 10**9)
    Estimate(value=499.0, measured=1000, low=468.0, high=530.0)
    """
    m = len(ordered)
    if m >= n:
        return value
    half = _TIMES * math.sqrt(m * portion * (1 - portion)) * _share_left(m, n)
    low, high = math.floor(m * portion - half) - 1, math.ceil(m * portion + half) - 1
    at = np.clip([low, high], 0, m - 1)
    return Estimate(value, m, *(float(x) for x in ordered[at]))


def _share_left(m: int, n: int) -> float:
    """Return how much narrower an interval is because so much of the whole was seen."""
    return math.sqrt((n - m) / (n - 1))
