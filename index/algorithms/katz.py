"""Katz's centrality of a graph in compressed sparse rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from assay.index.algorithms.centrality import IndexArray
from assay.storage.errors import ConvergenceError
from assay.storage.limits import Whole, check_parameters


def katz(
    indptr: IndexArray,
    indices: IndexArray,
    weights: NDArray[np.floating],
    *,
    alpha: float = 0.1,
    beta: ArrayLike = 1.0,
    start: ArrayLike | None = None,
    max_iter: int = 1_000,
    tol: float = 1e-6,
) -> NDArray[np.float64]:
    r"""Weigh the walks that arrive at each node by their length.

    :math:`x = \alpha A^\top x + \beta`, iterated until the sum of absolute changes is below
    ``n * tol``.

    Parameters
    ----------
    indptr, indices, weights : arrays
        The graph.
    alpha : float, default 0.1
        Must be below the inverse of the largest eigenvalue, or nothing converges.
    beta : float or array of n numbers, default 1
    start : array of n numbers, optional
    max_iter : int, default 1000
    tol : float, default 1e-6

    Returns
    -------
    float64[n], not scaled

    Raises
    ------
    ConfigError
        A number of iterations below 0.
    ConvergenceError
        No convergence within `max_iter` iterations.

    References
    ----------
    Katz, "A new status index derived from sociometric analysis", Psychometrika 18, 1953.

    Examples
    --------
    >>> katz(np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1]), np.ones(4)).round(3).tolist()
    [1.122, 1.224, 1.122]
    """
    check_parameters(max_iter=(max_iter, Whole(0)))
    n = len(indptr) - 1
    adjacency = sparse.csr_array((np.asarray(weights, np.float64), indices, indptr), shape=(n, n))
    arriving = adjacency.T.tocsr()
    offset = np.broadcast_to(np.asarray(beta, np.float64), n)
    scores: NDArray[np.float64] = np.zeros(n) if start is None else np.asarray(start, np.float64)
    for _ in range(max_iter):
        updated = alpha * (arriving @ scores) + offset
        change = np.abs(updated - scores).sum()
        scores = updated
        if change < n * tol:
            return scores
    raise ConvergenceError(
        f"Katz's centrality did not converge in {max_iter} iterations: alpha={alpha!r} must be below "
        "the inverse of the largest eigenvalue."
    )
