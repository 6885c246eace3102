"""What the codes of rows can tell about exact keys: limits below which a pair stays in question."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay.index.vectors.codes import Codes, Keys

Floats = NDArray[np.float64]

# of `likely`: standard deviations of the codes' rounding
_DEVIATIONS = 3.0
# a code this much worse than the median one is odd; so many may be
_ODD, _FEW = 4.0, 0.002
_ROUNDING = 2e-6


def likely(
    codes: Codes, which: NDArray[np.int64], worst: Floats, metric: str, squares: Floats
) -> Keys:
    """Return keys of codes below which pairs may be nearer than exact keys, at 3 deviations.

    `worst` are exact keys of the rows `which`, and `squares` their squared lengths. What rounding
    loses is taken as spread evenly over the coordinates.
    """
    error = codes.errors[which].astype(np.float64)
    d, power = codes.dimension, codes.power
    if metric == "ip":
        length = np.sqrt(squares) * power
        spread = _DEVIATIONS * np.sqrt(2.0) * length * error / np.sqrt(d)
        return _above(2 * (worst * power * power + spread))
    lost = 2 * error * error
    spread = np.sqrt(lost / d)
    distance = _distance(worst, metric, codes)
    limits = (distance + _DEVIATIONS * spread) ** 2 + lost * (1 + _DEVIATIONS * np.sqrt(2 / d))
    return _above(limits)


def sure(
    codes: Codes,
    which: NDArray[np.int64],
    worst: Floats,
    metric: str,
    squares: Floats,
    *,
    most_error: float,
    longest: float,
) -> Keys:
    """Return keys of codes above which no pair is nearer than exact keys (triangle inequality).

    `most_error` bounds the error of the other rows' codes and `longest` their length.
    """
    error = codes.errors[which].astype(np.float64)
    power = codes.power
    if metric == "ip":
        length, longest = np.sqrt(squares) * power, longest * power
        lost = length * most_error + longest * error + error * most_error
        return _above(2 * (worst * power * power + lost + 10 * _ROUNDING * longest * length))
    length = np.sqrt(codes.squares[which].astype(np.float64))
    apart = _distance(worst, metric, codes) + error + most_error
    # a row that is so near is at most so much longer
    return _above(apart**2 + _ROUNDING * (2 * length + apart) ** 2)


def odd_rows(codes: Codes) -> NDArray[np.int64]:
    """Return the few rows whose codes are far worse than the others': no bound should rest on them."""
    infinite = ~np.isfinite(codes.errors)
    odd = infinite | (codes.errors > _ODD * _median(codes.errors[~infinite]))
    return np.flatnonzero(odd if odd.mean() <= _FEW else infinite)


def _median(values: Keys) -> float:
    return float(np.median(values)) if len(values) else 0.0


def _distance(worst: Floats, metric: str, codes: Codes) -> Floats:
    """Return distances between scaled rows; for the cosine with the rounding of float64 added."""
    if metric == "l2":
        return np.sqrt(np.maximum(worst, 0.0)) * codes.power
    rounded = (codes.dimension + 8) * 2.0**-51
    return np.sqrt(np.maximum(2.0 + 2.0 * worst, 0.0) + rounded)


def _above(keys: Floats) -> Keys:
    with np.errstate(over="ignore"):
        return np.nextafter(keys.astype(np.float32), np.float32(np.inf))
