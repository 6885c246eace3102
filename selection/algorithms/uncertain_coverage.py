"""Rows that cover what a model is unsure of, beside rows that are covered already."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.index.threads import one_thread
from assay.selection.contract.inputs import Floats, Rows
from assay.storage.compiling import njit

Singles = NDArray[np.float32]

_BLOCK = 1_024
# bounds that are computed again at once
_AT_ONCE = 64
# squared distances below this share of the rows' squared lengths are rounding errors
_ROUNDING = 1e-6


class Covering(NamedTuple):
    """What `cover` chose.

    Attributes
    ----------
    chosen : int64[budget]
        In the order taken.
    gains : float64[n]
        What each chosen row added; of the others an upper bound of what they would add.
    objective, covered : float
        The weighted mean coverage by the covered and chosen rows, and by the covered ones alone.
    width : float
        The kernel's.
    """

    chosen: Rows
    gains: Floats
    objective: float
    covered: float
    width: float


def cover(
    X: Singles, weights: Floats, had: Rows, free: Rows, budget: int, noise: Floats, points: int
) -> Covering:
    """Choose rows that cover the others best, greedily; see `NextBatchSelector`.

    Parameters
    ----------
    X : float32[n, d]
    weights : float64[n]
        How much it is worth that a row is covered.
    had, free : int64
        The rows that are covered already, and those that may be chosen.
    budget : int
        How many to choose.
    noise : float64[n]
        In (0, 1): the rows where it is least are the points that have to be covered.
    points : int
        How many of these there are.

    Notes
    -----
    Gains computed earlier are upper bounds, so only the rows with the highest bounds are compared
    with the points again. Memory 4 MB for each thousand points and 16 bytes per row.
    """
    n = len(X)
    order = np.argsort(noise, kind="stable")
    at = np.sort(order[:points])
    with one_thread():  # sums that do not depend on the number of threads
        lengths = np.einsum("ij,ij->i", X, X)
        P, own = np.ascontiguousarray(X[at].T), lengths[at]
        tiny = max(_ROUNDING * float(own.mean()), float(np.finfo(np.float32).tiny))

        def squares(rows: Rows) -> Singles:
            distances: Singles = X[rows] @ P
            distances *= -2
            distances += own
            distances += lengths[rows][:, None]
            np.maximum(distances, 0, out=distances)
            return distances

        # before anything is covered, as many rows at random say how dense coverage will be
        sample = had if len(had) else order[:budget]
        nearest = np.full(len(at), np.inf, dtype=np.float32)
        for rows in _blocks(sample):
            np.minimum(nearest, squares(rows).min(axis=0), out=nearest)
        width = np.float32(max(float(np.median(nearest)), tiny))
        state = np.exp(-nearest / width) if len(had) else np.zeros(len(at), np.float32)
        worth = weights[at] / max(float(weights[at].sum()), np.finfo(np.float64).tiny)
        before = float(worth @ state)

        def kernel(rows: Rows) -> Singles:
            distances = squares(rows)
            distances /= -width
            np.exp(distances, out=distances)
            return distances

        gains = np.full(n, -1.0)
        for rows in _blocks(free):
            gains[rows] = _gains(kernel(rows), state, worth)
        chosen, added = np.empty(budget, dtype=np.int64), np.zeros(n)
        for place in range(budget):
            row = _best(gains, lambda rows: _gains(kernel(rows), state, worth))
            chosen[place], added[row] = row, gains[row]
            gains[row] = -1.0
            np.maximum(state, kernel(np.array([row]))[0], out=state)
    gains[chosen] = added[chosen]
    gains[had] = 0.0
    return Covering(chosen, gains, float(worth @ state), before, float(width))


def _best(gains: Floats, evaluate: Any) -> int:
    """Return the row with the highest gain, ties by row; `gains` holds upper bounds."""
    fresh = np.zeros(len(gains), dtype=bool)
    count = min(_AT_ONCE, len(gains))
    while True:
        top = np.sort(np.argpartition(-gains, count - 1)[:count])
        row = int(top[np.argmax(gains[top])])
        # of equal gains the first row's counts, wherever argpartition cut
        row = int(np.argmax(gains == gains[row]))
        if fresh[row]:
            return row
        stale = np.union1d(top[~fresh[top] & (gains[top] >= 0)], [row])
        gains[stale] = np.minimum(gains[stale], evaluate(stale))
        fresh[stale] = True


def _blocks(rows: Rows) -> list[Rows]:
    return [rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK)]


@njit(cache=True, nogil=True)
def _gains(kernel: Any, state: Any, worth: Any) -> Any:  # pragma: no cover
    """Return what each row of a block adds to the coverage of the points."""
    gains = np.empty(len(kernel))
    for row in range(len(kernel)):
        total = 0.0
        for point in range(len(state)):
            more = kernel[row, point] - state[point]
            if more > 0:
                total += more * worth[point]
        gains[row] = total
    return gains
