"""Forward search by distance correlation of several columns together (DisCo)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.index.threads import one_thread
from assay.selection.contract.inputs import Floats
from assay.selection.contract.row_order import rows_by_content
from assay.selection.tables.blocks import dense
from assay.storage.compiling import njit

NOTHING_NEW = 1e-10  # share of a column's variance that chosen columns leave


def forward_search(X: Any, y: NDArray[Any], steps: int, max_rows: int = 1024) -> Floats:
    """Scores of columns added one after the other by joint distance correlation with y.

    The distance correlation of several columns is taken after whitening. Squared distances of
    whitened columns add up over any orthonormal basis of their span, so that a candidate adds
    (q_i - q_j)^2, q being what the chosen columns leave of it, at unit variance.

    Parameters
    ----------
    X : array or csc_array of shape (n, d)
        Finite numbers; the rows that take part are made dense.
    y : int64[n] or float64[n]
        Integers are classes, floats numbers.
    steps : int
        How many columns are chosen at most.
    max_rows : int, default 1024
        Rows that take part: those whose contents hash smallest.

    Returns
    -------
    float64[d]
        Chosen columns lie in (1, 2], the first at 2; others have their joint distance correlation
        with the columns chosen, 0 where they add nothing to them.

    Notes
    -----
    O(steps d r^2) time for r rows; two arrays of r x r numbers and one of r x d.

    References
    ----------
    R. Das, G. Kasieczka, D. Shih, Feature selection with distance correlation, Physical Review D
    109, 2024.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.joint_dependence import forward_search
    >>> X = np.random.default_rng(0).integers(0, 2, (200, 3)).astype(float)
    >>> y = X[:, 0].astype(int) ^ X[:, 2].astype(int)
    >>> sorted(np.argsort(forward_search(X, y, 2))[1:].tolist())
    [0, 2]
    """
    rows = rows_by_content(X, y)[:max_rows]
    d = X.shape[1]
    Z = np.ascontiguousarray(dense(X[rows]).T, dtype=np.float64)
    Z -= Z.min(axis=1, keepdims=True)
    Z /= np.maximum(Z.max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    Z -= Z.mean(axis=1, keepdims=True)
    y = y[rows]
    differs = np.not_equal.outer(y, y) if y.dtype.kind in "iu" else np.abs(np.subtract.outer(y, y))
    other = differs.astype(np.float64)
    other /= max(other.max(), np.finfo(np.float64).tiny)
    row_other = other.sum(axis=1)
    squared = np.zeros_like(other)
    variance = np.square(Z).sum(axis=1)
    varies = variance > 0
    score, chosen = np.zeros(d), np.empty(0, dtype=np.int64)
    for _ in range(steps + 1):
        left = np.square(Z).sum(axis=1)
        candidates = np.flatnonzero(varies & (left > NOTHING_NEW * variance))
        candidates = np.setdiff1d(candidates, chosen)
        unit = Z[candidates] * np.sqrt(len(y) / left[candidates])[:, None]
        score[:] = 0.0
        score[candidates] = _joint_correlations(squared, unit, other, row_other)
        if len(chosen) == steps or not len(candidates):
            break
        best = candidates[score[candidates] >= score.max() * (1.0 - 1e-12)][0]
        chosen = np.append(chosen, best)
        q = Z[best] / np.sqrt(left[best])
        squared += len(y) * np.square(np.subtract.outer(q, q))
        with one_thread("blas"):
            Z -= np.outer(Z @ q, q)
    score[chosen] = 1.0 + np.arange(len(chosen), 0, -1) / max(len(chosen), 1)
    return score


@njit(cache=True, nogil=True)
def _joint_correlations(squared, unit, other, row_other):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the distance correlation with `other` of the chosen columns and each candidate."""
    m, n = unit.shape
    result = np.zeros(m)
    row = np.empty(n)
    total_other = row_other.sum()
    squares_other = 0.0
    for i in range(n):
        for j in range(n):
            squares_other += other[i, j] ** 2
    variance_other = (
        squares_other / n**2 + (total_other / n**2) ** 2 - 2.0 * (row_other**2).sum() / n**3
    )
    for c in range(m):
        row[:] = 0.0
        squares = product = 0.0
        for i in range(n):
            mine = 0.0
            for j in range(i):
                square = squared[i, j] + (unit[c, i] - unit[c, j]) ** 2
                distance = np.sqrt(square)
                squares += square
                product += distance * other[i, j]
                mine += distance
                row[j] += distance
            row[i] += mine
        total = row.sum()
        variance = 2.0 * squares / n**2 + (total / n**2) ** 2 - 2.0 * (row**2).sum() / n**3
        covariance = (
            2.0 * product / n**2 + total * total_other / n**4 - 2.0 * (row * row_other).sum() / n**3
        )
        if variance > 0.0 and variance_other > 0.0 and covariance > 0.0:
            result[c] = np.sqrt(min(covariance / np.sqrt(variance * variance_other), 1.0))
    return result
