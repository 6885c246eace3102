"""PageRank of walks that start at given nodes, over the whole graph or near them only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.index.algorithms.centrality import IndexArray, pagerank
from assay.storage.compiling import njit
from assay.storage.errors import InputError
from assay.storage.limits import Number, check_parameters


def as_seeds(seeds: ArrayLike, n: int) -> NDArray[np.int64]:
    """Check that `seeds` are one or more different nodes of a graph of n."""
    nodes = np.atleast_1d(np.asarray(seeds))
    if nodes.ndim != 1 or not len(nodes) or nodes.dtype.kind not in "iu":
        raise InputError("Seeds must be one or more node numbers.")
    if nodes.min() < 0 or nodes.max() >= n:
        raise InputError(f"Seeds must be node numbers from 0 to {n - 1}.")
    if len(np.unique(nodes)) < len(nodes):
        raise InputError("Seeds must be different nodes; drop the repeated ones.")
    return nodes.astype(np.int64)


def personalized_pagerank(
    indptr: IndexArray,
    indices: IndexArray,
    weights: NDArray[np.floating],
    seeds: ArrayLike,
    *,
    alpha: float = 0.85,
    tol: float = 1e-8,
    symmetric: bool = False,
) -> NDArray[np.float64]:
    """Return the PageRank of walks that start, each equally often, at the seeds.

    It is `centrality.pagerank` with equal shares at the seeds, for all nodes and as exact as `tol`
    says. `pagerank_push` only visits the nodes near the seeds.

    Parameters
    ----------
    indptr, indices, weights : arrays
        The graph; weights are not negative.
    seeds : one or more node numbers
    alpha, tol, symmetric
        See `centrality.pagerank`.

    Examples
    --------
    A path of three nodes, from its first:

    >>> indptr, indices = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1])
    >>> personalized_pagerank(indptr, indices, np.ones(4), [0]).round(3).tolist()
    [0.345, 0.459, 0.195]
    """
    n = len(indptr) - 1
    start = np.zeros(n)
    start[as_seeds(seeds, n)] = 1.0
    return pagerank(
        indptr, indices, weights, alpha=alpha, tol=tol, personalization=start, symmetric=symmetric
    )


def pagerank_push(
    indptr: IndexArray,
    indices: IndexArray,
    weights: NDArray[np.floating],
    seeds: ArrayLike,
    *,
    alpha: float = 0.85,
    precision: float = 1e-5,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    r"""Approximate the personalized PageRank near the seeds, from below.

    Every node keeps a residual :math:`r`, at first the seeds' shares. A node u with
    :math:`r_u > \varepsilon d_u` moves :math:`(1 - \alpha) r_u` to its score and
    :math:`\alpha r_u w_{uv} / d_u` to the residual of each neighbor v, until there is none.

    Parameters
    ----------
    indptr, indices, weights : arrays
        An undirected graph; weights are above 0, :math:`d` are their sums.
    seeds : one or more node numbers
        A seed without edges keeps its share.
    alpha : float, default 0.85
        Chance to follow an edge, from 0 up to but not including 1.
    precision : float, default 1e-5
        :math:`\varepsilon`: a score is too low by at most :math:`\varepsilon d_u`.

    Returns
    -------
    nodes int64, scores float64
        Where the score is above 0, by descending score per :math:`d`, then by node.

    Raises
    ------
    ConfigError
        alpha or precision out of range.
    InputError
        Seeds that are no nodes, or repeated.

    Notes
    -----
    The nodes visited have at most :math:`1 / (\varepsilon (1 - \alpha))` weight in all, whatever
    the size of the graph.

    References
    ----------
    Andersen, Chung and Lang, "Local graph partitioning using PageRank vectors", FOCS 2006.

    Examples
    --------
    >>> indptr, indices = np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1])
    >>> nodes, scores = pagerank_push(indptr, indices, np.ones(4), [0], precision=1e-6)
    >>> nodes.tolist(), scores.round(3).tolist()
    ([0, 1, 2], [0.345, 0.459, 0.195])
    """
    check_parameters(alpha=(alpha, Number("[0, 1)")), precision=(precision, Number("(0, inf)")))
    n = len(indptr) - 1
    start = as_seeds(seeds, n)
    # allocated here, since the system hands out pages of zeros only when they are touched
    scores, residuals, sums = np.zeros(n), np.zeros(n), np.zeros(n)
    waiting, queue, touched = np.zeros(n, np.bool_), np.empty(n, np.int64), np.empty(n, np.int64)
    count = _push(
        indptr, indices, weights, start, alpha, precision, scores, residuals, sums, waiting,
        queue, touched,
    )  # fmt: skip
    nodes = touched[:count]
    nodes = np.sort(nodes[scores[nodes] > 0])
    reached_scores = scores[nodes]
    order = np.argsort(-reached_scores / np.where(sums[nodes] > 0, sums[nodes], 1.0), kind="stable")
    return nodes[order], reached_scores[order]


@njit(cache=True, nogil=True)
def _push(  # type: ignore[no-untyped-def]
    indptr, indices, weights, seeds, alpha, precision, scores, residuals, sums, waiting, queue,
    touched,
):  # fmt: skip
    """Fill in scores and residuals; return how many nodes `touched` then lists."""
    n = len(scores)
    count = 0
    head, length = 0, 0
    for seed in seeds:
        residuals[seed] = 1.0 / len(seeds)
        touched[count] = seed
        count += 1
        for e in range(indptr[seed], indptr[seed + 1]):
            sums[seed] += weights[e]
        if sums[seed] == 0.0:
            scores[seed] = residuals[seed]
        elif residuals[seed] > precision * sums[seed]:
            queue[length] = seed
            waiting[seed] = True
            length += 1
    while length > 0:
        u = queue[head]
        head = head + 1 if head + 1 < n else 0
        length -= 1
        waiting[u] = False
        scores[u] += (1.0 - alpha) * residuals[u]
        flow = alpha * residuals[u] / sums[u]
        residuals[u] = 0.0
        for e in range(indptr[u], indptr[u + 1]):
            v = indices[e]
            if sums[v] == 0.0:
                touched[count] = v
                count += 1
                for f in range(indptr[v], indptr[v + 1]):
                    sums[v] += weights[f]
            residuals[v] += flow * weights[e]
            if not waiting[v] and residuals[v] > precision * sums[v]:
                waiting[v] = True
                at = head + length
                queue[at if at < n else at - n] = v
                length += 1
    return count
