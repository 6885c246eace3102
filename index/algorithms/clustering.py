"""Triangles, squares and trusses of an undirected graph in compressed sparse rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay.index.algorithms.centrality import IndexArray
from assay.storage.compiling import njit


def triangles(indptr: IndexArray, indices: IndexArray) -> NDArray[np.int64]:
    """Count each node's triangles.

    Parameters
    ----------
    indptr, indices : arrays
        An undirected graph (every edge in both rows) without edges from a node to itself.

    Returns
    -------
    int64[n]

    Notes
    -----
    Edges are directed from the end of lower degree to the other, so that no node has more than
    ``sqrt(2 m)`` of them. A triangle is then a pair of edges u -> v -> w that meet an edge u -> w,
    and is found once. Time is at most m ** 1.5 for m edges (on graphs of nearest neighbors it
    grows with n k^2), memory 4 bytes per edge and 28 per node.

    References
    ----------
    Schank and Wagner, "Finding, counting and listing all triangles in large graphs, an
    experimental study", WEA 2005. Chiba and Nishizeki, "Arboricity and subgraph listing
    algorithms", SIAM Journal on Computing 14, 1985.

    Examples
    --------
    A triangle with a tail:

    >>> indptr, indices = np.array([0, 2, 4, 7, 8]), np.array([1, 2, 0, 2, 0, 1, 3, 2])
    >>> triangles(indptr, indices).tolist()
    [1, 1, 1, 0]
    """
    indptr = np.asarray(indptr, np.int64)
    degree = np.diff(indptr)
    order = np.argsort(degree, kind="stable").astype(np.int32)
    starts, ahead = _directed_by_degree(indptr, np.ascontiguousarray(indices), order)
    counts = np.empty(len(degree), np.int64)
    counts[order] = _count_triangles(starts, ahead)
    return counts


def clustering(indptr: IndexArray, indices: IndexArray) -> NDArray[np.float64]:
    r"""Return the share of each node's pairs of neighbors that are neighbors themselves.

    :math:`c_i = 2 t_i / (d_i (d_i - 1))` with the number of triangles :math:`t_i` and the degree
    :math:`d_i`; 0 where there are fewer than two neighbors.

    Parameters
    ----------
    indptr, indices : arrays
        An undirected graph without edges from a node to itself.

    Returns
    -------
    float64[n], from 0 to 1.

    Notes
    -----
    Cost: see `triangles`.

    References
    ----------
    Watts and Strogatz, "Collective dynamics of 'small-world' networks", Nature 393, 1998.

    Examples
    --------
    >>> indptr, indices = np.array([0, 2, 4, 7, 8]), np.array([1, 2, 0, 2, 0, 1, 3, 2])
    >>> clustering(indptr, indices).round(2).tolist()
    [1.0, 1.0, 0.33, 0.0]
    """
    pairs = _pairs(indptr)
    shares: NDArray[np.float64] = np.zeros(len(pairs))
    np.divide(2.0 * triangles(indptr, indices), pairs, out=shares, where=pairs > 0)
    return shares


def transitivity(indptr: IndexArray, indices: IndexArray) -> float:
    r"""Return the share of all paths of two edges whose ends are neighbors.

    :math:`2 \sum_i t_i / \sum_i d_i (d_i - 1)`; 0 where there is no such path.

    Examples
    --------
    >>> indptr, indices = np.array([0, 2, 4, 7, 8]), np.array([1, 2, 0, 2, 0, 1, 3, 2])
    >>> transitivity(indptr, indices)
    0.6
    """
    paths = int(_pairs(indptr).sum())
    return 2 * int(triangles(indptr, indices).sum()) / paths if paths else 0.0


def square_clustering(indptr: IndexArray, indices: IndexArray) -> NDArray[np.float64]:
    r"""Return the share of each node's possible squares that exist.

    Over the pairs u, w of neighbors of i, with :math:`q_{uw}` common neighbors besides i and
    :math:`\theta_{uw}` = 1 where they are neighbors: :math:`\sum q_{uw} / \sum (d_u + d_w - 2 -
    2\theta_{uw} - q_{uw})`; 0 where no square is possible.

    Parameters
    ----------
    indptr, indices : arrays
        An undirected graph without edges from a node to itself.

    Returns
    -------
    float64[n], from 0 to 1.

    Notes
    -----
    Time is the sum over all edges of the degree of their end; memory 8 bytes per node.

    References
    ----------
    Lind, Gonzalez and Herrmann, "Cycles and clustering in bipartite networks", Physical Review E
    72, 2005. Zhang et al., "Clustering coefficient and community structure of bipartite networks",
    Physica A 387, 2008.

    Examples
    --------
    A square:

    >>> indptr, indices = np.array([0, 2, 4, 6, 8]), np.array([1, 3, 0, 2, 1, 3, 0, 2])
    >>> square_clustering(indptr, indices).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    shares: NDArray[np.float64] = _square_shares(
        np.asarray(indptr, np.int64), np.ascontiguousarray(indices)
    )
    return shares


def truss_edges(indptr: IndexArray, indices: IndexArray, k: int) -> NDArray[np.bool_]:
    """Mark the entries of the k-truss: edges that lie in k - 2 or more of its triangles.

    Parameters
    ----------
    indptr, indices : arrays
        An undirected graph without edges from a node to itself.
    k : int

    Returns
    -------
    bool[entries]

    Notes
    -----
    Edges of too few triangles are dropped until none is left to drop; each pass costs the sum over
    all edges of the degree of their end.

    References
    ----------
    Cohen, "Trusses: cohesive subgraphs for social network analysis", 2005.

    Examples
    --------
    A triangle with a tail:

    >>> indptr, indices = np.array([0, 2, 4, 7, 8]), np.array([1, 2, 0, 2, 0, 1, 3, 2])
    >>> truss_edges(indptr, indices, 3).tolist()
    [True, True, True, True, True, True, False, False]
    """
    kept = np.ones(len(indices), np.bool_)
    pointers, columns = np.asarray(indptr, np.int64), np.ascontiguousarray(indices)
    while _drop_loose_edges(pointers, columns, k - 2, kept):
        pass
    return kept


def _pairs(indptr: IndexArray) -> NDArray[np.int64]:
    """Return how many ordered pairs of neighbors each node has."""
    starts = np.asarray(indptr, np.int64)
    degree = starts[1:] - starts[:-1]
    return degree * (degree - 1)


@njit(cache=True, nogil=True)
def _directed_by_degree(indptr, indices, order):  # type: ignore[no-untyped-def]
    """Renumber the nodes by their place in `order` and keep the edges to later ones, ascending."""
    n = len(order)
    place = np.empty(n, np.int32)
    for at in range(n):
        place[order[at]] = at
    starts = np.zeros(n + 1, np.int64)
    for i in range(n):
        for e in range(indptr[i], indptr[i + 1]):
            if place[indices[e]] > place[i]:
                starts[place[i] + 1] += 1
    for at in range(n):
        starts[at + 1] += starts[at]
    filled = starts[:-1].copy()
    ahead = np.empty(starts[n], np.int32)
    # walking the ends in ascending order leaves every row sorted
    for at in range(n):
        node = order[at]
        for e in range(indptr[node], indptr[node + 1]):
            other = place[indices[e]]
            if other < at:
                ahead[filled[other]] = at
                filled[other] += 1
    return starts, ahead


@njit(cache=True, nogil=True)
def _count_triangles(starts, ahead):  # type: ignore[no-untyped-def]
    n = len(starts) - 1
    counts = np.zeros(n, np.int64)
    met = np.full(n, -1, np.int32)
    for u in range(n):
        if starts[u + 1] - starts[u] < 2:
            continue
        for e in range(starts[u], starts[u + 1]):
            met[ahead[e]] = u
        for e in range(starts[u], starts[u + 1]):
            v = ahead[e]
            closed = 0
            for f in range(starts[v], starts[v + 1]):
                w = ahead[f]
                if met[w] == u:
                    counts[w] += 1
                    closed += 1
            counts[v] += closed
            counts[u] += closed
    return counts


@njit(cache=True, nogil=True)
def _square_shares(indptr, indices):  # type: ignore[no-untyped-def]
    n = len(indptr) - 1
    shares = np.zeros(n)
    # how many neighbors each node has in common with the node at hand
    common = np.zeros(n, np.int64)
    for v in range(n):
        degree = indptr[v + 1] - indptr[v]
        if degree < 2:
            continue
        ends = 0
        for e in range(indptr[v], indptr[v + 1]):
            u = indices[e]
            ends += indptr[u + 1] - indptr[u]
            for f in range(indptr[u], indptr[u + 1]):
                common[indices[f]] += 1
        common[v] = 0
        closed = 0
        for e in range(indptr[v], indptr[v + 1]):
            closed += common[indices[e]]
        squares = 0
        for e in range(indptr[v], indptr[v + 1]):
            u = indices[e]
            for f in range(indptr[u], indptr[u + 1]):
                x = indices[f]
                squares += common[x] * (common[x] - 1)
                common[x] = 0
        squares //= 2
        possible = ends * (degree - 1) - degree * (degree - 1) - closed - squares
        if possible > 0:
            shares[v] = squares / possible
    return shares


@njit(cache=True, nogil=True)
def _drop_loose_edges(indptr, indices, least, kept):  # type: ignore[no-untyped-def]
    """Drop the edges that lie in fewer than `least` triangles of kept edges; return their number."""
    n = len(indptr) - 1
    met = np.full(n, -1, np.int64)
    loose = np.zeros(len(kept), np.bool_)
    dropped = 0
    for u in range(n):
        for e in range(indptr[u], indptr[u + 1]):
            if kept[e]:
                met[indices[e]] = u
        for e in range(indptr[u], indptr[u + 1]):
            if not kept[e]:
                continue
            v = indices[e]
            closed = 0
            for f in range(indptr[v], indptr[v + 1]):
                if kept[f] and met[indices[f]] == u:
                    closed += 1
            if closed < least:
                loose[e] = True
                dropped += 1
    for e in range(len(kept)):
        if loose[e]:
            kept[e] = False
    return dropped
