"""Centralities of a graph in compressed sparse rows.

A graph is `indptr` (n + 1), `indices` and, where weights count, `weights`: row i holds the edges
that leave node i. An undirected graph holds every edge in both rows.
"""

from __future__ import annotations

from math import ceil, log

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from assay.storage.errors import ConfigError, InputError

IndexArray = NDArray[np.int32] | NDArray[np.int64]


def pagerank(
    indptr: IndexArray,
    indices: IndexArray,
    weights: NDArray[np.floating],
    *,
    alpha: float = 0.85,
    tol: float = 1e-8,
    personalization: ArrayLike | None = None,
) -> NDArray[np.float64]:
    r"""Stationary distribution of a walk that now and then starts anew.

    :math:`x = \alpha (P^\top x + m(x)\, p) + (1 - \alpha)\, p`, where :math:`P` holds the weights
    divided by their row's sum, :math:`p` says where walks start, and :math:`m(x)` is the mass on
    nodes that no edge leaves.

    Parameters
    ----------
    indptr, indices, weights : arrays
        The graph; weights are not negative.
    alpha : float, default 0.85
        Chance to follow an edge, from 0 up to but not including 1; 0.85 is the authors'.
    tol : float, default 1e-8
        Iteration stops when the sum of absolute changes is at most `tol`, whatever n is. The error
        is then at most ``tol * alpha / (1 - alpha)``.
    personalization : array of n numbers, optional
        Where walks start, up to a factor (default: everywhere alike).

    Returns
    -------
    float64[n], with sum 1.

    Raises
    ------
    ConfigError
        alpha or tol out of range.
    InputError
        A personalization of another length, negative, or all zero.

    Notes
    -----
    One iteration costs a pass over the edges and there are at most ``log(tol / 2) / log(alpha)``
    (118 with the defaults), since each shrinks the change by alpha. Memory is 8 bytes per edge.

    References
    ----------
    Page, Brin, Motwani and Winograd, "The PageRank citation ranking: bringing order to the web",
    Stanford InfoLab, 1999.

    Examples
    --------
    A path of three nodes:

    >>> indptr, indices = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1])
    >>> pagerank(indptr, indices, np.ones(4)).round(3).tolist()
    [0.257, 0.486, 0.257]
    """
    if not 0 <= alpha < 1:
        raise ConfigError(f"alpha must be at least 0 and below 1, not {alpha!r}.")
    if not tol > 0:
        raise ConfigError(f"tol must be above 0, not {tol!r}.")
    n = len(indptr) - 1
    start = np.full(n, 1.0 / n)
    if personalization is not None:
        given = np.asarray(personalization, dtype=np.float64)
        if (
            given.shape != (n,)
            or not np.isfinite(given).all()
            or (given < 0).any()
            or not given.any()
        ):
            raise InputError(
                f"personalization must be {n} numbers from 0 that are not all 0, one per node."
            )
        start = given / given.sum()
    graph = sparse.csr_array((np.asarray(weights, np.float64), indices, indptr), shape=(n, n))
    out = np.asarray(graph.sum(axis=1)).ravel()
    share = np.divide(1.0, out, out=np.zeros(n), where=out > 0)
    dangling = out <= 0
    backward = graph.T
    rank = start.copy()
    steps = 1 if alpha == 0 else ceil(log(min(tol, 1.0) / 2) / log(alpha)) + 1
    for _ in range(steps):
        previous = rank
        rank = alpha * (backward @ (previous * share) + previous[dangling].sum() * start)
        rank += (1 - alpha) * start
        rank /= rank.sum()
        if np.abs(rank - previous).sum() <= tol:
            break
    return rank


def connected_components(indptr: IndexArray, indices: IndexArray) -> NDArray[np.int32]:
    """Label the parts between which there is no path, directions ignored.

    Returns
    -------
    int32[n]
        0, 1, ... in order of each part's first node.

    Notes
    -----
    One pass over nodes and edges; memory is 9 bytes per edge.

    Examples
    --------
    >>> connected_components(np.array([0, 1, 1, 2]), np.array([2, 0])).tolist()
    [0, 1, 0]
    """
    n = len(indptr) - 1
    graph = sparse.csr_array((np.ones(len(indices), np.int8), indices, indptr), shape=(n, n))
    _, labels = sparse.csgraph.connected_components(graph, directed=False)
    _, first, found = np.unique(labels, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int32)
    order[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return order[found]


def core_number(indptr: IndexArray, indices: IndexArray) -> NDArray[np.int32]:
    """Return the largest k for which each node lies in a subgraph of minimum degree k.

    Parameters
    ----------
    indptr, indices : arrays
        An undirected graph without edges from a node to itself.

    Returns
    -------
    int32[n]

    Notes
    -----
    Nodes are taken out by degree, kept sorted in buckets: time and memory grow with nodes + edges.

    References
    ----------
    Batagelj and Zaversnik, "An O(m) algorithm for cores decomposition of networks", 2003,
    arXiv:cs/0310049.

    Examples
    --------
    A triangle with a tail:

    >>> core_number(np.array([0, 2, 4, 7, 8]), np.array([1, 2, 0, 2, 0, 1, 3, 2])).tolist()
    [2, 2, 2, 1]
    """
    cores: NDArray[np.int32] = _core_number(
        np.asarray(indptr, np.int64), np.ascontiguousarray(indices)
    )
    return cores


@njit(cache=True, nogil=True)
def _core_number(indptr, indices):  # type: ignore[no-untyped-def]
    n = len(indptr) - 1
    degree = np.empty(n, np.int32)
    for i in range(n):
        degree[i] = indptr[i + 1] - indptr[i]
    # starts[k]: where nodes of degree k begin in `order`
    starts = np.zeros(n + 1, np.int64)
    for i in range(n):
        starts[degree[i] + 1] += 1
    for k in range(n):
        starts[k + 1] += starts[k]
    order = np.empty(n, np.int64)
    place = np.empty(n, np.int64)
    filled = starts.copy()
    for i in range(n):
        place[i] = filled[degree[i]]
        order[place[i]] = i
        filled[degree[i]] += 1
    for at in range(n):
        node = order[at]
        for e in range(indptr[node], indptr[node + 1]):
            other = indices[e]
            if degree[other] > degree[node]:
                # swap with the first of its bucket, then move the bucket's start past it
                k = degree[other]
                head = starts[k]
                swapped = order[head]
                order[head], order[place[other]] = other, swapped
                place[swapped], place[other] = place[other], head
                starts[k] += 1
                degree[other] -= 1
    return degree


def hubness(neighbors: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return on how many nodes' lists of neighbours each node stands (its k-occurrence).

    Parameters
    ----------
    neighbors : int[n, k]
        Directed nearest neighbours, -1 where there are fewer.

    References
    ----------
    Radovanovic, Nanopoulos and Ivanovic, "Hubs in space: popular nearest neighbors in
    high-dimensional data", JMLR 11, 2010.

    Examples
    --------
    >>> hubness(np.array([[1], [0], [1]])).tolist()
    [1, 2, 0]
    """
    return np.bincount(neighbors[neighbors >= 0], minlength=len(neighbors))
