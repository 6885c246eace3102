"""The nodes that belong with given nodes: local clusters of a wanted size."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from assay.index.algorithms.centrality import IndexArray
from assay.index.algorithms.flow_diffusion import flow_diffusion
from assay.index.algorithms.personalised_pagerank import as_seeds, pagerank_push
from assay.storage.errors import ConfigError

METHODS = ("flow", "pagerank")
_ATTEMPTS = 5


def neighborhood(
    indptr: IndexArray,
    indices: IndexArray,
    weights: NDArray[np.floating],
    seeds: ArrayLike,
    size: int,
    *,
    method: str = "flow",
) -> NDArray[np.int64]:
    """Return the seeds, then the nodes that belong with them most, `size` in all.

    Parameters
    ----------
    indptr, indices, weights : arrays
        An undirected graph; weights are above 0.
    seeds : one or more node numbers
    size : int
        How many nodes; fewer come back where fewer can be reached from the seeds.
    method : {'flow', 'pagerank'}, default 'flow'
        'flow' ranks by the potentials of `flow_diffusion`, which stops at thin places of the graph;
        'pagerank' by personalised PageRank per weight of a node's edges (`pagerank_push`).

    Returns
    -------
    int64[<= size]

    Raises
    ------
    ConfigError
        An unknown method, or a size below the number of seeds.
    InputError
        Seeds that are no nodes, or repeated.

    Notes
    -----
    The diffusion is run with a mass of twice the size, then up to four times with twice as much as
    long as too few nodes are found; what is missing then comes in order of the number of edges
    from the seeds. Time follows the size and the degrees, not the number of nodes.

    Examples
    --------
    Two triangles and an edge between them:

    >>> indptr = np.array([0, 2, 4, 7, 10, 12, 14])
    >>> indices = np.array([1, 2, 0, 2, 0, 1, 3, 2, 4, 5, 3, 5, 3, 4])
    >>> neighborhood(indptr, indices, np.ones(14), [0], size=3).tolist()
    [0, 1, 2]
    """
    if method not in METHODS:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}, not {method!r}.")
    n = len(indptr) - 1
    start = as_seeds(seeds, n)
    if size < len(start):
        raise ConfigError(f"size must be at least the number of seeds, {len(start)}, not {size!r}.")
    near = _nearest_by_hops(indptr, indices, start, size, np.zeros(n, np.bool_))
    strength = float(np.mean([weights[indptr[s] : indptr[s + 1]].sum() for s in start]))
    found = start
    for effort in 2.0 * size * 2.0 ** np.arange(_ATTEMPTS):
        if len(found) >= len(near) or not strength > 0:
            break
        if method == "flow":
            nodes, _ = flow_diffusion(indptr, indices, weights, start, mass=effort)
        else:
            precision = 1.0 / (effort * strength)
            nodes, _ = pagerank_push(indptr, indices, weights, start, precision=precision)
        found = np.concatenate([start, nodes[~np.isin(nodes, start)]])
    return np.concatenate([found, near[~np.isin(near, found)]])[:size]


@njit(cache=True, nogil=True)
def _nearest_by_hops(indptr, indices, seeds, size, seen):  # type: ignore[no-untyped-def]
    """Return the seeds, then the nodes around them in order of their distance in edges."""
    out = np.empty(min(size, len(seen)), np.int64)
    count = 0
    for seed in seeds:
        out[count] = seed
        seen[seed] = True
        count += 1
    head = 0
    while head < count and count < len(out):
        u = out[head]
        head += 1
        for e in range(indptr[u], indptr[u + 1]):
            v = indices[e]
            if not seen[v] and count < len(out):
                seen[v] = True
                out[count] = v
                count += 1
    return out[:count].copy()
