"""Whitening: coordinates in which the pooled rows have unit variance in every direction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from assay.index.threads import one_thread, thread_count
from assay.index.vectors.code_search import exact_knn
from assay.index.vectors.exact import BlockScan, unit_rows
from assay.selection.contract.inputs import Floats

Vectors = NDArray[np.float32]
_CHUNK = 16_384


class Whitening(NamedTuple):
    """The mean of the pooled rows and the lower Cholesky factor of their covariance."""

    mean: Floats
    factor: Floats

    def apply(self, X: Vectors) -> Vectors:
        """Return (X - mean) L^-T, float32[n, d]."""
        whitened = np.empty(X.shape, dtype=np.float32)
        with one_thread("blas"):
            for part in _parts(len(X)):
                centered = X[part] - self.mean
                whitened[part] = solve_triangular(self.factor, centered.T, lower=True).T
        return whitened

    def directions(self, X: Vectors) -> Vectors:
        """Return the whitened rows scaled to length 1; a row at the mean stays zero."""
        return unit_rows(self.apply(X))


def fit_whitening(pools: Sequence[Vectors], eps: float = 1e-5) -> Whitening:
    r"""Fit the whitening of all rows of several arrays taken together.

    .. math:: L L^T = \frac{1}{n} \sum_i (x_i - m)(x_i - m)^T + \varepsilon I

    Parameters
    ----------
    pools : arrays of shape (n_i, d)
    eps : float, default 1e-5
        Added to every variance, so that directions without variance are not blown up.

    Notes
    -----
    Time O(n d^2 + d^3), memory O(d^2). In float64 with one thread, so that threads change no bit.
    """
    n = sum(len(X) for X in pools)
    mean = np.zeros(pools[0].shape[1])
    covariance = eps * np.eye(len(mean))
    with one_thread("blas"):
        for X in pools:
            mean += X.sum(axis=0, dtype=np.float64) / n
        for X in pools:
            for part in _parts(len(X)):
                centered = X[part] - mean
                covariance += centered.T @ centered / n
        return Whitening(mean, cholesky(covariance, lower=True))


def directions(X: Vectors, target: Vectors, *, whiten: bool, eps: float) -> tuple[Vectors, Vectors]:
    """Return the rows of pool and target scaled to length 1, whitened together if so asked."""
    if not whiten:
        return unit_rows(X), unit_rows(target)
    whitening = fit_whitening([X, target], eps)
    return whitening.directions(X), whitening.directions(target)


def nearest_cosine(X: Vectors, target: Vectors) -> Floats:
    """Return the cosine of every row, scaled to length 1, to the target row nearest to it."""
    keys, _ = exact_knn(X, BlockScan(target, "cosine"), 1, threads=thread_count())
    return -keys[:, 0]


def _parts(n: int) -> Iterator[slice]:
    return (slice(begin, begin + _CHUNK) for begin in range(0, n, _CHUNK))
