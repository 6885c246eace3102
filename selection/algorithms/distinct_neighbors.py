"""The nearest rows of every row that differ from it and from each other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from assay.index.knn.nearest_neighbors import nearest_neighbors
from assay.index.vectors.checks import equal_rows
from assay.selection.contract.inputs import Floats, Graph, Inputs
from assay.storage.limits import Whole, check_parameters

_BLOCK = 4_096
# rows closer than this times their length differ by rounding
_ROUNDING = 4 * float(np.finfo(np.float32).eps)
# times that such rows are joined and the others searched again
_ROUNDS = 4


@dataclass(frozen=True, eq=False)
class DistinctNeighbors:
    """Neighbor lists over the distinct rows of a pool.

    Attributes
    ----------
    vectors : float32[m, d]
        The distinct rows (but for float32's rounding), of length 1 for the cosine.
    place : int64[n]
        Distinct row of every row.
    rows : int64[m, k]
        Nearest first; -1 where there are fewer.
    distances : float64[m, k]
        Euclidean; inf where there are fewer.
    searched : bool
        Whether the graph's lists did not do.
    unit : float
        What differences of `vectors` are to be multiplied by.
    """

    vectors: NDArray[np.float32]
    place: NDArray[np.int64]
    rows: NDArray[np.int64]
    distances: Floats
    searched: bool
    unit: float = 1.0


def distinct_neighbors(inputs: Inputs, k: int, metric: str = "auto") -> DistinctNeighbors:
    """Return the k nearest distinct rows of every distinct row, see `Inputs.metric_of`.

    Copies, and rows that differ by no more than float32's rounding, would be each other's neighbors
    at distance 0 and make a row look as if it lay in a dense region. The graph's lists are taken, without copies, where they leave k neighbors to
    every row; else, without a graph, and where its metric is another, the distinct rows are
    searched. Distances are Euclidean, under the cosine between rows scaled to length 1.

    Raises
    ------
    ConfigError
        `k` is no whole number from 1 on.

    Notes
    -----
    From the graph O(n k d), else the cost of a graph over the distinct rows.
    """
    check_parameters(k=(k, Whole(1)), metric=(metric, "auto", "cosine", "l2"))
    cosine = inputs.metric_of(metric) == "cosine"
    X, unit = inputs.compared_vectors("cosine" if cosine else "l2")
    groups = equal_rows(X, np.arange(len(X)))
    place = np.empty(len(X), dtype=np.int64)
    place[groups.members] = np.repeat(np.arange(len(groups.first)), np.diff(groups.starts))
    first = np.asarray(groups.first, dtype=np.int64)
    neighbors = _searched(inputs, X, place, first, k, cosine)
    for _ in range(_ROUNDS):
        joined = _leaders(neighbors)
        leads = joined == np.arange(len(joined))
        if leads.all():
            break
        number = np.cumsum(leads) - 1
        place, first = number[joined][place], first[leads]
        neighbors = _searched(inputs, X, place, first, k, cosine)
    return replace(neighbors, distances=neighbors.distances * unit, unit=unit)


def _leaders(neighbors: DistinctNeighbors) -> NDArray[np.int64]:
    """Return for each distinct row the one it counts as: the first row next to it, or itself."""
    own = np.arange(len(neighbors.rows))
    length = np.linalg.norm(neighbors.vectors.astype(np.float64), axis=1)
    close = (neighbors.rows >= 0) & (neighbors.distances <= _ROUNDING * length[:, None])
    lowest = np.where(close, neighbors.rows, len(own)).min(axis=1, initial=len(own))
    lowest = np.minimum(lowest, own)
    leads = lowest == own
    return np.where(leads[lowest], lowest, own)


def _searched(
    inputs: Inputs,
    X: NDArray[np.float32],
    place: NDArray[np.int64],
    first: NDArray[np.int64],
    k: int,
    cosine: bool,
) -> DistinctNeighbors:
    """Return the neighbors among the rows `first`, for which all others stand (`place`)."""
    distinct = np.ascontiguousarray(X[first])
    wanted = min(k, len(distinct) - 1)
    if wanted == 0:
        empty = np.full((len(distinct), 1), -1)
        return DistinctNeighbors(distinct, place, empty, np.full(empty.shape, np.inf), False)
    rows = None
    # edges that were given say nothing of what is near
    graph = None if inputs.graph is None or inputs.graph.robust == "edges" else inputs.graph
    if graph is not None and cosine == (inputs.metric_of("auto") == "cosine"):
        rows = _without_copies(graph, place, first, wanted)
    searched = rows is None
    if rows is None:
        ids = inputs.ids.gather(first)
        metric = "cosine" if cosine else "l2"
        rows = nearest_neighbors(distinct, ids, k=wanted, metric=metric).neighbors.astype(np.int64)
    distances = _distances(distinct, rows)
    nearer = np.argsort(distances, axis=1, kind="stable")
    rows = np.take_along_axis(rows, nearer, axis=1)
    distances = np.take_along_axis(distances, nearer, axis=1)
    return DistinctNeighbors(distinct, place, rows, distances, searched)


def _without_copies(
    graph: Graph, place: NDArray[np.int64], first: NDArray[np.int64], k: int
) -> NDArray[np.int64] | None:
    """Return the first k distinct neighbors in the graph's lists, None where some row has fewer."""
    neighbors = np.asarray(graph.neighbors)[first]
    lists = np.where(neighbors >= 0, place[neighbors], -1)
    m, width = lists.shape
    if width < k:
        return None
    # in each row, all but the first occurrence of a value are left out
    by_value = np.argsort(lists, axis=1, kind="stable")
    ordered = np.take_along_axis(lists, by_value, axis=1)
    again = np.zeros(lists.shape, dtype=bool)
    np.put_along_axis(again, by_value[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    usable = (lists >= 0) & ~again & (lists != np.arange(m)[:, None])
    if (usable.sum(axis=1) < k).any():
        return None
    kept = np.argsort(~usable, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(lists, kept, axis=1)


def _distances(X: NDArray[np.float32], rows: NDArray[np.int64]) -> Floats:
    out = np.empty(rows.shape)
    for begin in range(0, len(X), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        apart = X[part, None, :] - X[rows[part]].astype(np.float64)
        out[part] = np.sqrt(np.einsum("ijk,ijk->ij", apart, apart))
    out[rows < 0] = np.inf
    return out


def filled(values: Floats) -> Floats:
    """Return values with those that are not finite replaced by the largest finite one (else 0)."""
    finite = np.isfinite(values)
    return np.where(finite, values, values[finite].max(initial=0.0))
