"""Breadth-first search of a graph in compressed sparse rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.index.algorithms.centrality import IndexArray
from assay.index.algorithms.personalized_pagerank import as_seeds
from assay.storage.compiling import njit
from assay.storage.limits import Whole, check_parameters


class BreadthFirst(NamedTuple):
    """Result of `breadth_first`: one entry for each node reached, in the order of the visits."""

    nodes: NDArray[np.int64]
    distances: NDArray[np.int64]
    parents: NDArray[np.int64]


def breadth_first(
    indptr: IndexArray, indices: IndexArray, sources: ArrayLike, *, depth: int | None = None
) -> BreadthFirst:
    """Visit the nodes around the sources in order of their distance in edges.

    Parameters
    ----------
    indptr, indices : arrays
        The graph; a directed one is followed along its edges.
    sources : one or more node numbers
    depth : int, optional
        The greatest distance to visit (default: any).

    Returns
    -------
    BreadthFirst
        `nodes`, their `distances` and `parents`, int64 each; the parent of a source is -1.

    Raises
    ------
    ConfigError
        A negative depth.
    InputError
        Sources that are no nodes, or repeated.

    Notes
    -----
    Nodes of one distance come in the order of their parents, then of the parent's edges. Time
    follows the nodes and edges reached; memory is 16 bytes per node of the graph, touched only
    where nodes are reached, and 24 per node reached.

    Examples
    --------
    A path of three nodes, from its middle:

    >>> nodes, distances, parents = breadth_first(np.array([0, 1, 3, 4]), np.array([1, 0, 2, 1]), 1)
    >>> nodes.tolist(), distances.tolist(), parents.tolist()
    ([1, 0, 2], [0, 1, 1], [-1, 1, 1])
    """
    n = len(indptr) - 1
    check_parameters(depth=(depth, Whole(0), None))
    start = as_seeds(sources, n)
    # allocated here, since the system hands out pages of zeros only when they are touched
    seen, order = np.zeros(n, np.bool_), np.empty(n, np.int64)
    distances, parents = np.empty(n, np.int64), np.empty(n, np.int64)
    limit = n if depth is None else min(depth, n)
    count = _visit(indptr, indices, start, limit, seen, order, distances, parents)
    return BreadthFirst(order[:count], distances[:count], parents[:count])


@njit(cache=True, nogil=True)
def _visit(indptr, indices, sources, limit, seen, order, distances, parents):  # type: ignore[no-untyped-def]
    """Fill in the three arrays in the order of the visits; return how many nodes were reached."""
    count = 0
    for source in sources:
        seen[source] = True
        order[count], distances[count], parents[count] = source, 0, -1
        count += 1
    head = 0
    while head < count and distances[head] < limit:
        u = order[head]
        for e in range(indptr[u], indptr[u + 1]):
            v = indices[e]
            if not seen[v]:
                seen[v] = True
                order[count], distances[count], parents[count] = v, distances[head] + 1, u
                count += 1
        head += 1
    return count
