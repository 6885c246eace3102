"""A classifier that judges rows by what a model learns from their labels: ridge on random features."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from assay.selection.contract.inputs import Floats, Rows
from assay.storage.errors import InputError

_RELU_FEATURES = 320
# tried as penalties on squared coefficients: too small a one makes errors rise where rows are about as
# many as features
_PENALTIES = (1.0, 10.0, 100.0, 1_000.0)


class RidgeJudge:
    """Ridge regression of one-hot labels on a one, the vectors and 320 random ReLU features of them.

    Vectors are centered and divided by their mean standard deviation over the rows `scale`. The penalty
    on squared coefficients is that of 1, 10, 100 and 1,000 with the least squared error of rows left
    out one by one.

    Parameters
    ----------
    read : function of row numbers to float[rows, d]
    codes : int[n]
        The class of each row, -1 where it has none.
    scale : int[m]
        Rows that the vectors are scaled by.
    random_state : int, default 0

    Notes
    -----
    Time O(rows f^2 + f^3) for f = d + 321 features.
    """

    def __init__(
        self,
        read: Callable[[Rows], NDArray[np.floating]],
        codes: NDArray[np.integer],
        scale: Rows,
        random_state: int = 0,
    ) -> None:
        self._read, self._codes = read, np.asarray(codes)
        sample = np.asarray(read(scale), dtype=np.float64)
        if sample.ndim != 2:
            raise InputError(
                f"X has shape {sample.shape}; a judge learns from vectors of shape (n, d)."
            )
        self._center = sample.mean(axis=0)
        self._spread = float(sample.std(axis=0).mean()) or 1.0
        rng = np.random.default_rng([random_state, 320])
        d = sample.shape[1]
        self._turn = rng.standard_normal((d, _RELU_FEATURES)) / np.sqrt(d)
        self._shift = rng.uniform(-1, 1, _RELU_FEATURES)
        self._classes = int(self._codes.max(initial=0)) + 1

    @property
    def size(self) -> int:
        """The number of features of a row."""
        return 1 + len(self._center) + _RELU_FEATURES

    def features(self, rows: Rows) -> Floats:
        """Return float64[rows, d + 321]."""
        X = (np.asarray(self._read(rows), dtype=np.float64) - self._center) / self._spread
        hidden = np.maximum(X @ self._turn + self._shift, 0)
        return np.hstack([np.ones((len(X), 1)), X, hidden])

    def fit(self, rows: Rows, features: Floats | None = None) -> Floats:
        """Return the coefficients learned from the rows that have a label."""
        labeled = self._codes[rows] >= 0
        F = self.features(rows[labeled]) if features is None else features[labeled]
        onehot = np.eye(self._classes)[self._codes[rows[labeled]]]
        values, axes = eigh(F.T @ F)
        turned = F @ axes
        fitted = turned.T @ onehot
        squares = np.square(turned)

        def left_out(penalty: float) -> float:
            weights = 1 / (np.maximum(values, 0) + penalty)
            misses = onehot - turned @ (weights[:, None] * fitted)
            misses /= np.maximum(1 - squares @ weights, 1e-9)[:, None]
            return float(np.square(misses).sum())

        penalty = min(_PENALTIES, key=left_out)
        return np.asarray(axes @ (fitted / (np.maximum(values, 0) + penalty)[:, None]))

    def right(
        self, coefficients: Floats, rows: Rows, features: Floats | None = None
    ) -> NDArray[np.bool_]:
        """Return which rows the model gives their label."""
        F = self.features(rows) if features is None else features
        return np.asarray((F @ coefficients).argmax(axis=1) == self._codes[rows])
