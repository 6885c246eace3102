"""Sequential attention in its linear form: orthogonal matching pursuit with several outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from assay.index.threads import one_thread
from assay.selection.contract.inputs import Floats
from assay.selection.rankers.base import FeatureRanker
from assay.selection.tables.blocks import bounds
from assay.storage.errors import ConfigError

EXHAUSTED = 1e-10  # share of the target that counts as nothing
DEPENDENT = 1e-10  # share of a column that chosen columns leave and that counts as nothing
TIED = 1e-10


class SequentialAttention(FeatureRanker):
    """Rank columns by how well they explain what the columns chosen before leave unexplained.

    With the columns z_j centered and of unit length and the classes as indicator columns Y, step t
    takes the column of the largest |z_j' R|^2, R being the residual of the least squares fit of Y
    on the columns chosen so far. For linear models, sequential attention (a softmax mask, trained
    with the model, from which the heaviest column is taken) is this orthogonal matching pursuit.

    Parameters
    ----------
    n_features_to_select : int, float or "auto", optional
        How many columns to keep: a count, or a share in (0, 1]. Default: half of them. "auto":
        chosen by cross-validation (see `FeatureRanker`). As many (500 with "auto") are chosen by pursuit; each smaller
        count is a prefix.

    Attributes
    ----------
    scores_ : float64[d]
        For chosen columns the share of Y that was unexplained when they were chosen (the first: 1);
        for others the share that they would explain next, |z_j' R|^2 / |Y|^2. Columns that would
        explain nothing more come behind, by |z_j' Y|^2 / |Y|^2, scaled to at most 1e-10.

    Raises
    ------
    NonFiniteError
        X holds NaN or infinite values.
    InputError
        All rows have one class.

    Notes
    -----
    O(k n d) time, one copy of X in float64; sparse X takes O(k (z + k n)) time for z stored values
    and is never made dense. A copy of a chosen column explains nothing more and
    goes behind: this ranking avoids redundancy, unlike one of single columns.

    Claims
    ------
    paper
        Attention weights as a proxy for importance match the best; for linear models it is
        matching pursuit.
    here
        Orthogonal matching pursuit.
    deviates
        The linear case only: no network is trained.
    measured
        80.1 at k = 50 on nine sets (`features_quality.md`).

    References
    ----------
    T. Yasuda, M. Bateni, L. Chen, M. Fahrbach, G. Fu, V. Mirrokni, Sequential attention for feature
    selection, ICLR 2023. Y. C. Pati, R. Rezaiifar, P. S. Krishnaprasad, Orthogonal matching
    pursuit, Asilomar 1993.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection import SequentialAttention
    >>> a, b = np.repeat([0.0, 1], 4), np.tile([0.0, 1], 4)
    >>> X = np.column_stack([a + 0.1 * b, a + 0.11 * b, b])
    >>> SequentialAttention(n_features_to_select=2).fit(X, a.astype(int)).ranking_
    array([1, 3, 2])
    """

    def _score(self, X: Any, y: Any) -> Floats:
        Y = (y[:, None] == np.arange(len(self.classes_))).astype(np.float64)
        return orthogonal_matching_pursuit(X, Y, self._count_to_select(X.shape[1]))


def orthogonal_matching_pursuit(X: Any, Y: Floats, k: int) -> Floats:
    """Scores of columns for several outputs; see `SequentialAttention`.

    Parameters
    ----------
    X : array or csc_array of shape (n, d)
        Finite numbers.
    Y : float64[n, m]
        Outputs; they are centered, not scaled.
    k : int
        How many columns are chosen by pursuit.

    Returns
    -------
    float64[d]
        Descending in the order of choice.

    Raises
    ------
    ConfigError
        X and Y differ in length.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.sequential_attention import orthogonal_matching_pursuit
    >>> X = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    >>> orthogonal_matching_pursuit(X, X @ [[1.0], [2.0]], 2)
    array([0.2, 1. ])
    """
    if Y.ndim != 2 or X.shape[0] != len(Y):
        raise ConfigError(
            f"Y has shape {Y.shape}; it may be ({X.shape[0]}, outputs), a row for each."
        )
    Z: _Dense | _Sparse = _Sparse(X) if issparse(X) else _Dense(X)
    R = Y - Y.mean(axis=0)
    energy = float(np.square(R).sum())
    if energy == 0.0:
        return np.zeros(X.shape[1])
    with one_thread("blas"):
        return _pursue(Z, R / np.sqrt(energy), k)


class _Dense:
    """Columns, centered and of unit length; constant ones are 0."""

    def __init__(self, X: NDArray[Any]) -> None:
        Z = np.ascontiguousarray(X.T, dtype=np.float64)
        Z -= Z.min(axis=1, keepdims=True)
        span = Z.max(axis=1, keepdims=True)
        Z /= np.where(span > 0, span, 1.0)
        Z -= Z.mean(axis=1, keepdims=True)
        length = np.sqrt(np.square(Z).sum(axis=1, keepdims=True))
        Z /= np.where(span > 0, length, 1.0)
        self._rows = Z
        self.shape = Z.shape

    def row(self, j: int) -> Floats:
        row: Floats = self._rows[j].copy()
        return row

    def times(self, M: Floats) -> Floats:
        product: Floats = self._rows @ M
        return product


class _Sparse:
    """The same from a sparse matrix, whose zeros stay unstored: (X_j - mean_j) / length_j."""

    def __init__(self, X: Any) -> None:
        low, high = bounds(X)
        scale = np.maximum(np.maximum(np.abs(low), np.abs(high)), np.finfo(np.float64).tiny)
        count = np.diff(X.indptr)
        data = X.data / np.repeat(scale, count)
        n = X.shape[0]
        column = np.repeat(np.arange(X.shape[1]), count)
        mean = np.bincount(column, data, minlength=X.shape[1]) / n
        squares = np.bincount(column, np.square(data - mean[column]), minlength=X.shape[1])
        length = np.sqrt(squares + (n - count) * np.square(mean))
        unit = np.where(high > low, 1.0 / np.where(length > 0, length, 1.0), 0.0)
        self._mean = mean * unit
        self._rows = csr_array((data * unit[column], X.indices, X.indptr), shape=X.shape[::-1])
        self.shape = (X.shape[1], n)

    def row(self, j: int) -> Floats:
        dense: Floats = self._rows[[j]].toarray()[0] - self._mean[j]
        return dense

    def times(self, M: Floats) -> Floats:
        product: Floats = self._rows @ M
        product -= np.multiply.outer(self._mean, M.sum(axis=0))
        return product


def _pursue(Z: _Dense | _Sparse, R: Floats, k: int) -> Floats:
    """Z: columns as rows, of unit length; R: residual, of squared length 1."""
    d, n = Z.shape
    correlation = Z.times(R)
    gain = np.square(correlation).sum(axis=1)
    alone = gain.copy()
    basis = np.empty((min(k, n), n))
    scores = np.zeros(d)
    closed = np.zeros(d, dtype=bool)
    left, size = 1.0, 0
    while size < len(basis) and left > EXHAUSTED:
        gain[closed] = 0.0
        best = gain.max()
        if best <= EXHAUSTED * left:
            break
        take = int(np.flatnonzero(gain >= best * (1.0 - TIED))[0])
        closed[take] = True
        q = Z.row(take)
        for _ in range(2):  # once leaves rounding that grows with the steps
            q -= basis[:size].T @ (basis[:size] @ q)
        length = float(np.sqrt(np.square(q).sum()))
        if length**2 <= DEPENDENT:
            continue
        q /= length
        basis[size] = q
        scores[take] = left
        step = q @ R
        R = R - np.outer(q, step)
        left = float(np.square(R).sum())
        correlation -= np.outer(Z.times(q), step)
        gain = np.square(correlation).sum(axis=1)
        size += 1
    rest = scores == 0.0
    nothing = gain <= EXHAUSTED * left if left > EXHAUSTED else np.ones(d, dtype=bool)
    behind = EXHAUSTED * np.minimum(alone, 1.0) * (left if left > EXHAUSTED else 1.0)
    scores[rest] = np.where(nothing, behind, gain)[rest]
    return scores
