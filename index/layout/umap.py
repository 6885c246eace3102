"""A map of a similarity graph: UMAP's layout of the stored neighbors."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from assay.index.layout._gradient_steps import optimize
from assay.storage.errors import InputError
from assay.storage.limits import MOST_ROUNDS, SEED, Whole, check_parameters

Coordinates = NDArray[np.float32]
# of the curve 1 / (1 + A d^2B) that UMAP fits for a spread of 1 and a least distance of 0.1
A, B = 1.576943460405378, 0.8950608781227859
NEGATIVE_SAMPLES = 5
_SMOOTHINGS = 60
_BISECTIONS = 30


def umap_layout(
    neighbors: NDArray[np.int32],
    distances: NDArray[np.float32],
    *,
    ids: pl.Series | None = None,
    dims: int = 2,
    random_state: int = 0,
    epochs: int | None = None,
    placed: ArrayLike | None = None,
) -> Coordinates:
    r"""Lay the nearest neighbors of some rows out so that they stay close.

    Minimizes UMAP's cross entropy between the graph and the map,

    .. math:: \sum_{ij} p_{ij} \log\frac{p_{ij}}{q_{ij}}
              + (1 - p_{ij}) \log\frac{1 - p_{ij}}{1 - q_{ij}},
              \qquad q_{ij} = \frac{1}{1 + a \lVert y_i - y_j \rVert^{2b}},

    by stochastic gradients with negative samples. The memberships p come from the distances of the
    stored neighbors, so no second search is needed.

    Parameters
    ----------
    neighbors : int32[n, k]
        The nearest rows of each row, best first, -1 where there are fewer.
    distances : float32[n, k]
        Their distances.
    ids : Series of str, optional
        The rows' ids; ties and random numbers go by their order.
    dims : int, default 2
        Dimensions of the map.
    random_state : int, default 0
        The seed. With ids, the map does not depend on the order of the rows; it never depends on
        threads.
    epochs : int, optional
        Passes over the edges: by default 200 up to 30,000 rows, fewer beyond, at least 30.
    placed : array of shape (n, dims), optional
        Coordinates of rows that must stay where they are; NaN in the rows to place. New rows are
        put among their placed neighbors, so a map does not change from night to night.

    Returns
    -------
    float32[n, dims]

    Raises
    ------
    ConfigError
        `dims` or `epochs` is below 1.
    InputError
        `placed` has another shape.

    Notes
    -----
    Cost: O(epochs * edges) on one thread. The first call on a machine compiles for some seconds.

    References
    ----------
    McInnes, Healy and Melville (2018), "UMAP: Uniform Manifold Approximation and Projection".

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> rows = np.random.default_rng(0).normal(size=(60, 4))
    >>> SimilarityGraph.from_vectors(rows, k=5, metric="l2").layout(epochs=20).shape
    (60, 2)
    """
    check_parameters(
        dims=(dims, Whole(1, 1_024)),
        epochs=(epochs, Whole(1, MOST_ROUNDS), None),
        random_state=(random_state, *SEED),
    )
    n = len(neighbors)
    order = np.arange(n) if ids is None else ids.arg_sort().to_numpy().astype(np.int64)
    start = None if placed is None else _checked_places(placed, n, dims)[order]
    if n == 0:
        return np.empty((0, dims), np.float32)
    memberships = _memberships(neighbors[order], distances[order], order)
    if epochs is None:
        epochs = max(30, min(200, 6_000_000 // n))
    random = np.random.default_rng(random_state)
    if start is None or np.isnan(start).all():
        moving: NDArray[np.bool_] = np.ones(n, bool)
        start = _smooth_start(memberships, dims, random)
    else:
        moving = np.asarray(np.isnan(start).any(axis=1), np.bool_)
        start = _among_neighbors(memberships, start, moving, random)
    result = np.empty((n, dims), np.float32)
    result[order] = _optimize(memberships, start, moving, epochs, random)
    return result


def _checked_places(placed: ArrayLike, n: int, dims: int) -> Coordinates:
    places = np.array(placed, dtype=np.float32)
    if places.shape != (n, dims):
        raise InputError(
            f"`placed` has the shape {places.shape}; it must hold one row of {dims} coordinates "
            f"for each of the {n} rows of the graph, NaN where a row is to be placed."
        )
    return places


def _memberships(
    neighbors: NDArray[np.int32], distances: NDArray[np.float32], order: NDArray[np.int64]
) -> sparse.csr_array:
    """Return the symmetric memberships of UMAP; the rows given, and the result's, are in `order`.

    A row is a member of its nearest row's neighborhood wholly, and of the others' less the farther
    they are; a bandwidth of its own makes its memberships sum to log2(k + 1).
    """
    n, k = neighbors.shape
    rank = np.empty(n, np.int64)
    rank[order] = np.arange(n)
    present = neighbors >= 0
    beyond = distances.astype(np.float64)
    # only differences within a row count
    nearest = np.where(present, beyond, np.inf).min(axis=1, initial=np.inf, keepdims=True)
    # equal rows do not count as the nearest
    apart = np.where(present & (beyond > np.minimum(nearest, 0)), beyond, np.inf)
    least = apart.min(axis=1, initial=np.inf, keepdims=True)
    beyond = np.where(present, beyond - np.where(np.isfinite(least), least, 0), np.inf)
    beyond = np.maximum(beyond, 0)
    widths = _bandwidths(beyond, float(np.log2(k + 1)))
    values = np.exp(-beyond / widths[:, None])
    rows = np.broadcast_to(np.arange(n)[:, None], neighbors.shape)[present]
    columns = rank[neighbors[present]]
    directed = sparse.coo_array((values[present], (rows, columns)), shape=(n, n)).tocsr()
    directed.eliminate_zeros()
    transposed = directed.T.tocsr()
    product = directed.multiply(transposed)
    symmetric = (directed + transposed - product).tocsr()
    symmetric.sort_indices()
    return symmetric


def _bandwidths(beyond: NDArray[np.float64], wanted: float) -> NDArray[np.float64]:
    """Return for each row the bandwidth at which its memberships sum to `wanted`, by bisection."""
    finite = np.isfinite(beyond)
    counts = np.maximum(finite.sum(axis=1), 1)
    means = np.where(finite, beyond, 0).sum(axis=1) / counts
    average = max(float(means.mean()) if len(means) else 0.0, 1e-12)
    low = np.full(len(beyond), 1e-3 * average)
    low = np.maximum(low, 1e-3 * means)
    high = np.maximum(means, low) * 1e3
    for _ in range(_BISECTIONS):
        middle = np.sqrt(low * high)
        short = np.exp(-beyond / middle[:, None]).sum(axis=1) < wanted
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    widths: NDArray[np.float64] = np.sqrt(low * high)
    return widths


def _smooth_start(
    memberships: sparse.csr_array, dims: int, random: np.random.Generator
) -> Coordinates:
    """Return coordinates that vary slowly along the edges: smoothed noise, made orthogonal."""
    n = memberships.shape[0]
    degrees = np.maximum(np.asarray(memberships.sum(axis=1)).ravel(), 1e-12)
    scale = 1 / np.sqrt(degrees)
    trivial = np.sqrt(degrees / degrees.sum())[:, None]
    block = random.standard_normal((n, dims))
    for _ in range(_SMOOTHINGS):
        block -= trivial * (trivial.T @ block)
        block = 0.5 * (block + scale[:, None] * (memberships @ (scale[:, None] * block)))
        if n > dims:
            block, _ = np.linalg.qr(block)
    block = scale[:, None] * block
    largest = np.abs(block).max() or 1.0
    noise = random.normal(scale=1e-4, size=block.shape)
    return np.ascontiguousarray(10 * block / largest + noise, dtype=np.float32)


def _among_neighbors(
    memberships: sparse.csr_array,
    start: Coordinates,
    moving: NDArray[np.bool_],
    random: np.random.Generator,
) -> Coordinates:
    """Put each row that moves at the weighted mean of its placed neighbors, in rounds."""
    places = np.where(moving[:, None], 0, start).astype(np.float64)
    known = ~moving
    while not known.all():
        weight = memberships @ known.astype(np.float64)
        reached = ~known & (weight > 0)
        if not reached.any():
            # rows without a path to a placed row go to the rim of the map
            middle = places[known].mean(axis=0)
            reach = np.abs(places[known] - middle).max() + 1
            angles = random.normal(size=(int((~known).sum()), places.shape[1]))
            angles /= np.linalg.norm(angles, axis=1, keepdims=True)
            places[~known] = middle + reach * angles
            break
        sums = memberships @ np.where(known[:, None], places, 0)
        places[reached] = sums[reached] / weight[reached, None]
        known |= reached
    places[moving] += random.normal(scale=1e-2, size=(int(moving.sum()), places.shape[1]))
    return places.astype(np.float32)


def _optimize(
    memberships: sparse.csr_array,
    start: Coordinates,
    moving: NDArray[np.bool_],
    epochs: int,
    random: np.random.Generator,
) -> Coordinates:
    """Run UMAP's gradient steps over the edges of the rows that move, on one thread."""
    edges = memberships.tocoo()
    largest = edges.data.max(initial=0)
    # rarer edges than once in all epochs would never be drawn
    kept = (edges.data >= largest / epochs) & moving[edges.row]
    heads, tails, weights = edges.row[kept], edges.col[kept], edges.data[kept]
    places = np.ascontiguousarray(start, dtype=np.float32)
    if len(heads):
        optimize(
            places,
            heads.astype(np.int32),
            tails.astype(np.int32),
            largest / weights,
            moving,
            A,
            B,
            epochs,
            NEGATIVE_SAMPLES,
            random.integers(1, 2**62, dtype=np.int64),
        )
    return places
