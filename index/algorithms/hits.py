"""Hubs and authorities of a graph in compressed sparse rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.sparse import linalg

from assay.index.algorithms.centrality import IndexArray
from assay.storage.errors import ConvergenceError


def hits(
    indptr: IndexArray,
    indices: IndexArray,
    weights: NDArray[np.floating],
    *,
    start: ArrayLike | None = None,
    max_iter: int = 100,
    tol: float = 1e-8,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Return the hubs and authorities: good hubs lead to good authorities.

    The authorities :math:`a` are the first right singular vector of the adjacency matrix
    :math:`A`, and the hubs are :math:`A a`; in an undirected graph they point the same way. Where
    the largest singular value is not simple, as in a path, the result depends on `start`.

    Parameters
    ----------
    indptr, indices, weights : arrays
        The graph.
    start : array of n numbers, optional
        Where the iteration starts (default: all nodes alike).
    max_iter, tol
        Of ARPACK.

    Returns
    -------
    hubs float64[n], authorities float64[n], not scaled

    Raises
    ------
    ConvergenceError
        No convergence within `max_iter` iterations.

    References
    ----------
    Kleinberg, "Authoritative sources in a hyperlinked environment", Journal of the ACM 46, 1999.

    Examples
    --------
    A triangle, and a node that hangs on one of its corners:

    >>> indptr, indices = np.array([0, 2, 4, 7, 8]), np.array([1, 2, 0, 2, 0, 1, 3, 2])
    >>> hubs, authorities = hits(indptr, indices, np.ones(8))
    >>> (hubs / hubs.sum()).round(3).tolist()
    [0.27, 0.27, 0.315, 0.145]
    """
    n = len(indptr) - 1
    adjacency = sparse.csr_array((np.asarray(weights, np.float64), indices, indptr), shape=(n, n))
    first = np.full(n, n**-0.5) if start is None else np.asarray(start, np.float64)
    try:
        _, _, vectors = linalg.svds(adjacency, k=1, v0=first, maxiter=max_iter, tol=tol)
    except linalg.ArpackNoConvergence as error:
        raise ConvergenceError(
            f"HITS did not converge in {max_iter} iterations; raise max_iter or tol."
        ) from error
    authorities = vectors.ravel()
    return adjacency @ authorities, authorities
