"""Centralities of a graph in compressed sparse rows.

A graph is `indptr` (n + 1), `indices` and, where weights count, `weights`: row i holds the edges
that leave node i. An undirected graph holds every edge in both rows.

Arrays may be memory-mapped: PageRank of an undirected graph, components and core numbers then read
the edges block by block and hold none of them, and the result is the same to the bit. PageRank, which
reads them some thirty times, takes up to 256 MiB of them into memory.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil, log, sqrt

import numpy as np
from numba import int64, uint32
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from assay.index.algorithms.blocks import EdgeBlocks, held, row_parts
from assay.storage.compiling import njit, prefetch
from assay.storage.disk.pages import mapping
from assay.storage.errors import InputError
from assay.storage.limits import Number, check_parameters

# entries of a graph that ranks are asked for before they are added
_AHEAD = 64
# nodes whose entries are asked for before they are peeled
_NODES_AHEAD = 8

IndexArray = NDArray[np.int32] | NDArray[np.int64]


def pagerank(
    indptr: IndexArray,
    indices: IndexArray,
    weights: NDArray[np.floating],
    *,
    alpha: float = 0.85,
    tol: float = 1e-8,
    personalization: ArrayLike | None = None,
    symmetric: bool = False,
) -> NDArray[np.float64]:
    r"""Stationary distribution of a random walk with restarts.

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
        is then at most ``tol * alpha / (1 - alpha) ** 2`` and mostly below tol.
    personalization : array of n numbers, optional
        Where walks start, up to a factor (default: everywhere alike).
    symmetric : bool, default False
        Say that the graph is undirected, which saves turning its edges round.

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
    Gauss-Seidel sweeps in order of the nodes: each is a pass over the edges that uses the ranks it
    has just found, which takes about half as many as the power iteration. Of an undirected graph each
    rank is moved further than that, by the factor :math:`2 / (1 + \sqrt{1 - \alpha^2})` (successive
    overrelaxation), until the changes are at most `tol`; the last sweeps are plain ones, so that the
    bound holds. 100,000 documents with 15 neighbors and a tol of 1e-10 take 27 sweeps, 51 without
    it. Memory: 24 bytes per node (with `personalization` 32), and the turned
    edges unless the graph is said to be symmetric.

    References
    ----------
    Page, Brin, Motwani and Winograd, "The PageRank citation ranking: bringing order to the web",
    Stanford InfoLab, 1999. Young, "Iterative methods for solving partial difference equations of
    elliptic type", 1954 (overrelaxation).

    Examples
    --------
    A path of three nodes:

    >>> indptr, indices = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1])
    >>> pagerank(indptr, indices, np.ones(4)).round(3).tolist()
    [0.257, 0.486, 0.257]
    """
    check_parameters(alpha=(alpha, Number("[0, 1)")), tol=(tol, Number("(0, inf)")))
    n = len(indptr) - 1
    # without a personalization one number stands for all nodes
    start = np.full(1, 1.0 / n)
    if personalization is not None:
        restarts = np.asarray(personalization, dtype=np.float64)
        if (
            restarts.shape != (n,)
            or not np.isfinite(restarts).all()
            or (restarts < 0).any()
            or not restarts.any()
        ):
            raise InputError(
                f"personalization must be {n} numbers from 0 that are not all 0, one per node."
            )
        start = restarts / restarts.sum()
    weights = np.asarray(weights)
    leaving = EdgeBlocks(indptr, weights)
    share = np.zeros(n)
    for block in leaving:
        _inverse_sums(block.indptr, *block.arrays, block.first, share)
    if symmetric:
        arriving = EdgeBlocks(*held(indptr, indices, weights))
    else:
        backward = sparse.csr_array((weights, indices, indptr), shape=(n, n)).T.tocsr()
        arriving = EdgeBlocks(backward.indptr, backward.indices, backward.data)
    # without the mass on nodes that no edge leaves, the solution differs by a factor only
    rank: NDArray[np.float64] = np.empty(n)
    rank[:] = start
    flow = rank * share
    steps = 1 if alpha == 0 else ceil(log(min(tol, 1.0) * (1 - alpha) / 2) / log(alpha)) + 1
    # the best factor for the eigenvalues of an undirected graph, between -alpha and alpha
    farther = [2.0 / (1.0 + sqrt(1.0 - alpha**2))] if symmetric else []
    for factor in (*farther, 1.0):
        for _ in range(steps):
            change = 0.0
            for block in arriving:
                change = _sweep(
                    *(block.indptr, *block.arrays, block.first, share, start, alpha),
                    *(factor, rank, flow, change),
                )
            if change <= tol:
                break
    rank /= rank.sum()
    return rank


@njit(cache=True, nogil=True)
def _inverse_sums(indptr, weights, first, inverse):  # type: ignore[no-untyped-def]
    for i in range(len(indptr) - 1):
        total = 0.0
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            total += weights[e]
        if total > 0.0:
            inverse[first + i] = 1.0 / total


@njit(cache=True, nogil=True)
def _sweep(  # type: ignore[no-untyped-def]
    indptr, indices, weights, first, share, start, alpha, factor, rank, flow, change
):
    """Move each rank of a block by `factor` times what the newest ranks that lead to it say.

    flow holds rank * share. Returns `change` and what was added to it.
    """
    flows = flow.ctypes.data
    for i in range(len(indptr) - 1):
        arriving = 0.0
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            if e + _AHEAD < len(indices):
                prefetch(flows + int64(indices[e + _AHEAD]) * flow.itemsize)  # type: ignore[call-arg]
            arriving += weights[e] * flow[indices[e]]
        node = first + i
        restart = start[node] if len(start) > 1 else start[0]
        new = rank[node] + factor * (alpha * arriving + (1.0 - alpha) * restart - rank[node])
        change += abs(new - rank[node])
        rank[node] = new
        flow[node] = new * share[node]
    return change


def connected_components(indptr: IndexArray, indices: IndexArray) -> NDArray[np.int32]:
    """Label the connected components, ignoring directions.

    Returns
    -------
    int32[n]
        0, 1, ... in order of each part's first node.

    Notes
    -----
    Union-find: one pass over nodes and edges; memory is 4 bytes per node.

    Examples
    --------
    >>> connected_components(np.array([0, 1, 1, 2]), np.array([2, 0])).tolist()
    [0, 1, 0]
    """
    # each node points towards the first node of its part
    root: NDArray[np.int32] = np.arange(len(indptr) - 1, dtype=np.int32)
    for block in EdgeBlocks(indptr, indices):
        _join(block.indptr, *block.arrays, block.first, root)
    _number(root)
    return root


@njit(cache=True, nogil=True)
def _join(indptr, indices, first, root):  # type: ignore[no-untyped-def]
    """Let the nodes of a block and those that they lead to point towards one node."""
    for i in range(len(indptr) - 1):
        a = first + i
        while root[a] != a:
            root[a] = root[root[a]]
            a = root[a]
        for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
            b = indices[e]
            while root[b] != b:
                root[b] = root[root[b]]
                b = root[b]
            if a < b:
                root[b] = a
            elif b < a:
                root[a] = b
                a = b


@njit(cache=True, nogil=True)
def _number(root):  # type: ignore[no-untyped-def]
    """Replace the first node of each part by the part's number."""
    count = 0
    for i in range(len(root)):
        # what a node points to comes before it, and holds its label by now
        if root[i] == i:
            root[i] = count
            count += 1
        else:
            root[i] = root[root[i]]


def core_number(indptr: IndexArray, indices: IndexArray) -> NDArray[np.int32]:
    """Return each node's core number: the largest k such that it is in the k-core.

    Parameters
    ----------
    indptr, indices : arrays
        An undirected graph without edges from a node to itself; parallel edges each count.

    Returns
    -------
    int32[n]

    Notes
    -----
    In memory, nodes are peeled level by level: nodes of degree k are removed, then those whose degree
    falls to k by that, and k grows when none is left. Time O(nodes + edges).

    Peeling visits nodes in an order of its own, which reads a file many times. Memory-mapped edges are
    read in the order of nodes: a core number is the largest k such that k neighbors have a core number
    of at least k. Numbers start as degrees and are lowered to that, each node again only when fewer
    neighbors than its number support it. A node's number can't rise, so that the order changes
    nothing.

    Memory: 12 bytes per node either way.

    References
    ----------
    Seidman, "Network structure and minimum degree", 1983. Batagelj and Zaversnik, "An O(m) algorithm
    for cores decomposition of networks", 2003, arXiv:cs/0310049. Wen, Qin, Zhang, Lin and Yu, "I/O
    efficient core graph decomposition at web scale", ICDE 2016, arXiv:1511.00367.

    Examples
    --------
    A triangle with a tail:

    >>> core_number(np.array([0, 2, 4, 7, 8]), np.array([1, 2, 0, 2, 0, 1, 3, 2])).tolist()
    [2, 2, 2, 1]
    """
    core = np.diff(indptr).astype(np.int32)
    if mapping(indptr) is None and mapping(indices) is None:
        _peel(indptr, indices, core)
        return core
    support = np.full(len(core), -1, np.int32)
    blocks = EdgeBlocks(indptr, indices)
    waiting = np.empty(np.diff(blocks.starts).max(initial=0), np.int64)
    counts = np.zeros(int(core.max(initial=0)) + 1, np.int64)
    low = True
    while low:
        low = False
        for place, (first, end) in enumerate(pairwise(blocks.starts.tolist())):
            if (support[first:end] < core[first:end]).any():
                block = blocks[place]
                _lower(block.indptr, *block.arrays, first, core, support, waiting, counts)
                low = True
    return core


@njit(cache=True, nogil=True)
def _peel(indptr, indices, core):  # type: ignore[no-untyped-def]
    """Turn degrees into core numbers.

    Degrees can't be predicted, so no step branches on one: a node is always written behind the end of
    a list, and the end moves on only if the node belongs there.
    """
    n = len(core)
    removed = np.empty(n + 1, np.int32)
    # the nodes that were not removed before this level, in order
    left = np.arange(n, dtype=np.int32)
    columns = indices.ctypes.data
    level = done = end = 0
    while len(left):
        kept, least = 0, len(indices)
        for node in left:
            degree = core[node]
            removed[end] = node
            end += degree == level
            left[kept] = node
            kept += degree > level
            least = min(least, degree if degree > level else least)
        left = left[:kept]
        if done == end:
            level = least
            continue
        while done < end:
            node = removed[done]
            done += 1
            later = removed[min(done + _NODES_AHEAD, end - 1)]
            entries = columns + int64(indptr[later]) * indices.itemsize
            prefetch(entries)  # type: ignore[call-arg]
            prefetch(entries + 64)
            for e in range(indptr[node], indptr[node + 1]):
                # spares the check for an index that counts from the end
                other = uint32(indices[e])
                degree = core[other]
                core[other] = degree - (degree > level)
                removed[end] = other
                end += degree == level + 1
        level += 1


@njit(cache=True, nogil=True)
def _lower(indptr, indices, first, core, support, waiting, counts):  # type: ignore[no-untyped-def]
    """Lower the core numbers of a block's nodes until enough neighbors support each.

    support counts the neighbors whose number is at least a node's own; it is -1 before the node was
    looked at, and may be too small by then.
    """
    rows = len(indptr) - 1
    for begin in range(rows):
        if support[first + begin] >= core[first + begin]:
            continue
        waiting[0] = begin
        left = 1
        while left:
            left -= 1
            i = waiting[left]
            node = first + i
            old = core[node]
            for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
                counts[min(core[indices[e]], old)] += 1
            reached = 0
            new = old
            while new > 0:
                reached += counts[new]
                if reached >= new:
                    break
                new -= 1
            counts[: old + 1] = 0
            core[node] = new
            support[node] = reached
            if new == old:
                continue
            for e in range(indptr[i] - indptr[0], indptr[i + 1] - indptr[0]):
                other = indices[e]
                if new < core[other] <= old:
                    support[other] -= 1
                    inside = first <= other < first + rows
                    if inside and support[other] == core[other] - 1:
                        waiting[left] = other - first
                        left += 1


def hubness(neighbors: NDArray[np.integer]) -> NDArray[np.int64]:
    """Count how often each node appears in other nodes' neighbor lists (its k-occurrence).

    Parameters
    ----------
    neighbors : int[n, k]
        Directed nearest neighbors, -1 where there are fewer; read in parts where memory-mapped.

    References
    ----------
    Radovanovic, Nanopoulos and Ivanovic, "Hubs in space: popular nearest neighbors in
    high-dimensional data", JMLR 11, 2010.

    Examples
    --------
    >>> hubness(np.array([[1], [0], [1]])).tolist()
    [1, 2, 0]
    """
    counts: NDArray[np.int64] = np.zeros(len(neighbors), np.int64)
    for part in row_parts(neighbors):
        _count(part, counts)
    return counts


@njit(cache=True, nogil=True)
def _count(neighbors, counts):  # type: ignore[no-untyped-def]
    for i in range(neighbors.shape[0]):
        for at in range(neighbors.shape[1]):
            if neighbors[i, at] >= 0:
                counts[neighbors[i, at]] += 1
