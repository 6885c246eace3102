"""Local clusters by spreading mass along edges until every node can hold its share."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.index.algorithms.centrality import IndexArray
from assay.index.algorithms.personalized_pagerank import as_seeds, pagerank_push
from assay.storage.compiling import njit
from assay.storage.errors import ConfigError
from assay.storage.limits import Number, Whole, check_parameters

# of what the nodes of a component can hold, the most that is spread in it
_FILL = 0.9
# pushes per unit of mass after which the answer is taken as it is
_PUSHES = 5_000

METHODS = ("flow", "pagerank")
# runs of the diffusion until the neighborhood has its size
_ATTEMPTS = 5


def flow_diffusion(
    indptr: IndexArray,
    indices: IndexArray,
    weights: NDArray[np.floating],
    seeds: ArrayLike,
    *,
    mass: float,
    tol: float = 1e-3,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    r"""Spread `mass` from the seeds over a graph whose nodes hold 1 each.

    The potentials solve :math:`\min_{x \ge 0} \frac12 \sum_{ij} w_{ij} (x_i - x_j)^2 +
    \sum_i x_i (1 - \Delta_i)`, where :math:`\Delta` is the mass, in equal parts, at the seeds:
    :math:`w_{ij} (x_i - x_j)` is then the flow of least energy that leaves no node with more than
    1. A node above 1 spreads its excess :math:`e` over its edges by weight, which raises
    :math:`x_i` by :math:`e / \sum_j w_{ij}`, until there is none.

    Parameters
    ----------
    indptr, indices, weights : arrays
        An undirected graph; weights are above 0. The closer the rows, the higher they should be.
    seeds : one or more node numbers
    mass : float
        At most so many nodes get a potential above 0; a cluster of s nodes is found well with 2 s.
        In a component that holds less, it is cut to 90% of the component's nodes.
    tol : float, default 1e-3
        How far above 1 a node may stay.

    Returns
    -------
    nodes int64, potentials float64
        Where the potential is above 0, by descending potential, then by node.

    Raises
    ------
    ConfigError
        mass or tol out of range.
    InputError
        Seeds that are no nodes, or repeated.

    Notes
    -----
    Time and touched memory follow the mass and the degrees, not the size of the graph; at most
    5,000 pushes per unit of mass (long paths would need more, and are cut short).

    References
    ----------
    Fountoulakis, Wang and Yang, "p-norm flow diffusion for local graph clustering", ICML 2020.
    Yang and Fountoulakis, "Weighted flow diffusion for local graph clustering with node
    attributes: an algorithm and statistical guarantees", ICML 2023.

    Examples
    --------
    A path of five nodes: of a mass of 3 at the middle, 1 goes to each side.

    >>> indptr, indices = np.array([0, 1, 3, 5, 7, 8]), np.array([1, 0, 2, 1, 3, 2, 4, 3])
    >>> nodes, potentials = flow_diffusion(indptr, indices, np.ones(8), [2], mass=3)
    >>> nodes.tolist(), potentials.tolist()
    ([2], [1.0])
    """
    check_parameters(mass=(mass, Number("(0, inf)")), tol=(tol, Number("(0, inf)")))
    n = len(indptr) - 1
    start = as_seeds(seeds, n)
    # allocated here, since the system hands out pages of zeros only when they are touched
    queue, region = np.empty(n, np.int64), np.zeros(n, np.int64)
    masses = _feasible(indptr, indices, start, float(mass), _FILL, region, queue)
    held, potentials, sums = np.zeros(n), np.zeros(n), np.zeros(n)
    waiting, touched = np.zeros(n, np.bool_), np.empty(n, np.int64)
    pushes = int(_PUSHES * max(mass, 1.0))
    count = _spread(
        indptr, indices, weights, start, masses, tol, pushes, held, potentials, sums, waiting,
        queue, touched,
    )  # fmt: skip
    nodes = touched[:count]
    nodes = np.sort(nodes[potentials[nodes] > 0])
    order = np.argsort(-potentials[nodes], kind="stable")
    return nodes[order], potentials[nodes[order]]


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
        'pagerank' by personalized PageRank per weight of a node's edges (`pagerank_push`).

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
    check_parameters(method=(method, *METHODS), size=(size, Whole(1)))
    n = len(indptr) - 1
    start = as_seeds(seeds, n)
    if size < len(start):
        raise ConfigError(
            f"size is {size!r}; pass at least one row for each of the {len(start)} seeds."
        )
    near = _nearest_by_hops(indptr, indices, start, size, np.zeros(n, np.bool_))
    strength = float(np.mean([weights[indptr[s] : indptr[s + 1]].sum() for s in start]))
    members = start
    for effort in 2.0 * size * 2.0 ** np.arange(_ATTEMPTS):
        if len(members) >= len(near) or not strength > 0:
            break
        if method == "flow":
            nodes, _ = flow_diffusion(indptr, indices, weights, start, mass=effort)
        else:
            precision = 1.0 / (effort * strength)
            nodes, _ = pagerank_push(indptr, indices, weights, start, precision=precision)
        members = np.concatenate([start, nodes[~np.isin(nodes, start)]])
    return np.concatenate([members, near[~np.isin(near, members)]])[:size]


@njit(cache=True, nogil=True)
def _feasible(indptr, indices, seeds, mass, fill, region, queue):  # type: ignore[no-untyped-def]
    """Return the mass for each seed, so that no component gets more than `fill` of its nodes.

    Looks at no more nodes than twice the mass from a seed; region[i] - 1 is the number of the seed
    from which node i was found.
    """
    count = len(seeds)
    each = mass / count
    holds = np.zeros(count)
    masses = np.zeros(count)
    for s in range(count):
        if region[seeds[s]] == 0:
            region[seeds[s]] = s + 1
            queue[0] = seeds[s]
            head, size = 0, 1
            # meeting an earlier region that was not searched to its end: a large component
            large = False
            while head < size and not large:
                u = queue[head]
                head += 1
                for e in range(indptr[u], indptr[u + 1]):
                    v = indices[e]
                    if region[v] == 0:
                        region[v] = s + 1
                        queue[size] = v
                        size += 1
                    elif region[v] != s + 1:
                        large = True
                large |= size >= 2.0 * mass
            holds[s] = np.inf if large else fill * size
        masses[region[seeds[s]] - 1] += each
    out = np.empty(count)
    for s in range(count):
        r = region[seeds[s]] - 1
        out[s] = each * min(1.0, holds[r] / masses[r])
    return out


@njit(cache=True, nogil=True)
def _spread(  # type: ignore[no-untyped-def]
    indptr, indices, weights, seeds, masses, tol, pushes, held, potentials, sums, waiting, queue,
    touched,
):  # fmt: skip
    """Fill in the potentials; return how many nodes `touched` then lists."""
    n = len(held)
    count = 0
    head, length = 0, 0
    for s in range(len(seeds)):
        u = seeds[s]
        held[u] = masses[s]
        touched[count] = u
        count += 1
        for e in range(indptr[u], indptr[u + 1]):
            sums[u] += weights[e]
        if held[u] > 1.0 + tol and sums[u] > 0.0:
            queue[length] = u
            waiting[u] = True
            length += 1
    while length > 0 and pushes > 0:
        u = queue[head]
        head = head + 1 if head + 1 < n else 0
        length -= 1
        pushes -= 1
        waiting[u] = False
        rise = (held[u] - 1.0) / sums[u]
        potentials[u] += rise
        held[u] = 1.0
        for e in range(indptr[u], indptr[u + 1]):
            v = indices[e]
            if sums[v] == 0.0:
                touched[count] = v
                count += 1
                for f in range(indptr[v], indptr[v + 1]):
                    sums[v] += weights[f]
            held[v] += rise * weights[e]
            if not waiting[v] and held[v] > 1.0 + tol:
                waiting[v] = True
                at = head + length
                queue[at if at < n else at - n] = v
                length += 1
    return count


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
