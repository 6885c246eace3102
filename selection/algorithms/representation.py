"""How much of the pool each chosen row stands for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import int64
from numpy.typing import ArrayLike, NDArray

from assay.index.search.vector_index import VectorIndex
from assay.selection.contract.inputs import Floats, Graph, Inputs, Rows
from assay.storage.compiling import njit, prefetch
from assay.storage.errors import InputError, MissingInputError
from assay.storage.limits import check_parameters

Similarities = NDArray[np.float32]

METRICS = ("cosine", "l2")
# how often, per row of the pool, a row may go before others where regions grow on a graph
_AHEAD = 8
# how many rows ahead of the one in work memory is asked for, and at which bytes of its edges
_ROWS_AHEAD, _LINES = 8, (0, 64)
# rows searched together
_PART = 16_384


def representation_weights(
    chosen: ArrayLike,
    X: Any = None,
    graph: Any = None,
    ids: Any = None,
    *,
    metric: str = "cosine",
) -> tuple[Floats, Rows, Similarities]:
    r"""Return how many rows of the pool each chosen row stands for.

    Every row of the pool belongs to the chosen row nearest to it, chosen rows to themselves. Of
    chosen rows that are as near the one with the least id counts.

    With vectors, near is by `metric`: up to 50,000 chosen rows exactly, beyond by an approximate
    search. Where a graph of that metric is given too, the first chosen row on a row's list of
    neighbors is taken, and only rows without one are searched: as exact as those lists are. With a
    graph alone, it is the path, past no other chosen row, whose edges have the
    greatest product of weights (each at most 1); rows that no path joins to a chosen row have similarity 0 and are dealt out
    to the chosen rows in turn, in order of id, so that the weights sum to n all the same.

    Parameters
    ----------
    chosen : int array of shape (m,)
        Different rows of the pool, as given.
    X : array of shape (n, d), optional
    graph : SimilarityGraph of the n rows, optional
    ids : n unique texts or whole numbers, optional
        Where None, those of the graph; else the positions.
    metric : {"cosine", "l2"}, default "cosine"
        Of the vectors.

    Returns
    -------
    weights : float64[m]
        Rows of the pool that each chosen row stands for, itself included: whole numbers >= 1 that
        sum to n exactly.
    nearest : int64[n]
        The chosen row (a row of the pool) that stands for each row.
    similarity : float32[n]
        To that row: the cosine, 1 / (1 + distance) for l2, or the product of weights along the
        path; 1 for chosen rows.

    Raises
    ------
    MissingInputError
        Neither `X` nor `graph` was given.
    InputError
        `chosen` is empty, repeats a row or holds one that is not in the pool.
    ConfigError
        Unknown metric.

    Notes
    -----
    Vectors: time O(n m d) up to 50,000 chosen rows, beyond that of an inverted file index, for the
    rows that the graph's lists leave; memory that of the chosen vectors. Graph: labels are corrected
    from all chosen rows at once, the nearest mostly first: a row passes on its label once or twice
    where a tenth of the pool is chosen, about three times where few are; time O(edges) for those,
    memory 22 bytes per row. Never n * m.

    Examples
    --------
    >>> weights, nearest, _ = representation_weights([0, 2], [[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    >>> weights.tolist(), nearest.tolist()
    ([2.0, 2.0], [0, 0, 2, 2])
    """
    if X is None and graph is None:
        raise MissingInputError(
            "Who stands for whom needs vectors or a graph; pass X of shape (n, d), or "
            "graph=SimilarityGraph.from_vectors(X, ids=ids)."
        )
    check_parameters(metric=(metric, *METRICS))
    inputs = Inputs(X=X, graph=graph, ids=ids)
    rows = _checked(chosen, inputs.n)
    rank = np.arange(inputs.n)
    if inputs.order is not None:
        rank[inputs.order] = np.arange(inputs.n)
    canonical = np.sort(rank[rows])
    if X is not None:
        lists = inputs.graph if lists_nearest(graph, metric) else None
        owner, similarity = _by_vectors(inputs.vectors(), canonical, metric, lists)
    else:
        owner, similarity = _by_graph(inputs.graph, canonical)
    nearest = inputs.as_given(inputs.given_rows(canonical[owner]))
    weights = np.bincount(nearest, minlength=inputs.n)[rows].astype(np.float64)
    return weights, nearest, inputs.as_given(similarity)


def lists_nearest(graph: Graph | None, metric: str) -> bool:
    """Return whether the neighbors that a graph lists are the nearest rows by a metric."""
    return graph is not None and graph.metric == metric and not graph.robust


def propagate(values: ArrayLike, chosen: ArrayLike, nearest: ArrayLike) -> NDArray[Any]:
    """Carry values of the chosen rows to all rows of the pool, each from its nearest chosen row.

    Parameters
    ----------
    values : array of shape (m, ...)
        One entry per chosen row: predictions, learnt weights, labels.
    chosen : int array of shape (m,)
    nearest : int array of shape (n,)
        As `representation_weights` returns it.

    Returns
    -------
    array of shape (n, ...), of the type of `values`

    Raises
    ------
    InputError
        There is not one entry per chosen row.

    Examples
    --------
    >>> propagate(["b", "a"], chosen=[2, 0], nearest=[0, 0, 2, 2]).tolist()
    ['a', 'a', 'b', 'b']
    """
    learnt, rows = np.asarray(values), np.asarray(chosen, dtype=np.int64)
    if learnt.ndim == 0 or len(learnt) != len(rows):
        raise InputError(
            f"There are {learnt.size if learnt.ndim == 0 else len(learnt)} values for {len(rows)} "
            "chosen rows; pass one per chosen row, in the order of indices_."
        )
    owners = np.asarray(nearest, dtype=np.int64)
    place = np.zeros(len(owners), dtype=np.int64)
    place[rows] = np.arange(len(rows))
    carried: NDArray[Any] = learnt[place[owners]]
    return carried


def _checked(chosen: ArrayLike, n: int) -> Rows:
    rows = np.asarray(chosen)
    if rows.ndim != 1 or not len(rows) or rows.dtype.kind not in "iu":
        raise InputError(
            "chosen must be at least one row number of the pool, such as indices_ of a selector."
        )
    if rows.min() < 0 or rows.max() >= n or len(np.unique(rows)) < len(rows):
        raise InputError(f"chosen must be different row numbers from 0 to {n - 1}.")
    return rows.astype(np.int64)


def _by_vectors(
    X: Similarities, chosen: Rows, metric: str, lists: Any
) -> tuple[Rows, Similarities]:
    """Return the place in `chosen` of each row's nearest one, and the similarity."""
    owner = np.empty(len(X), dtype=np.int64)
    similarity = np.ones(len(X), dtype=np.float32)
    others = np.ones(len(X), dtype=bool)
    others[chosen] = False
    rest = np.flatnonzero(others)
    if lists is not None:
        rest = rest[_by_lists(lists, chosen, rest, owner, similarity)]
    if not len(rest):
        owner[chosen] = np.arange(len(chosen))
        return owner, similarity
    index = VectorIndex.from_vectors(X[chosen], metric=metric)
    for begin in range(0, len(rest), _PART):
        part = rest[begin : begin + _PART]
        values, places = index.search(X[part], 1)
        owner[part] = places[:, 0]
        similarity[part] = values[:, 0] if metric == "cosine" else 1 / (1 + values[:, 0])
    owner[chosen] = np.arange(len(chosen))
    return owner, similarity


def _by_lists(
    lists: Any, chosen: Rows, rest: Rows, owner: Rows, similarity: Similarities
) -> NDArray[np.bool_]:
    """Fill in what the lists of neighbors tell; return which of the rows `rest` they don't."""
    place = np.full(len(owner) + 1, -1, dtype=np.int32)
    place[chosen] = np.arange(len(chosen))
    missing = np.ones(len(rest), dtype=bool)
    for begin in range(0, len(rest), _PART):
        part = rest[begin : begin + _PART]
        places = place[lists.neighbors[part]]
        first = (places >= 0).argmax(axis=1)
        listed = places[np.arange(len(part)), first] >= 0
        rows, first = part[listed], first[listed]
        owner[rows] = places[listed, first]
        similarity[rows] = lists.similarities[rows, first]
        missing[begin : begin + _PART] = ~listed
    return missing


def _by_graph(graph: Any, chosen: Rows) -> tuple[Rows, Similarities]:
    """Return the place in `chosen` of each row's nearest one along the edges, and the product."""
    owner, logs = _spread(np.asarray(graph.indptr), graph.indices, graph.weights, chosen)
    alone = np.flatnonzero(owner < 0)
    owner[alone] = np.arange(len(alone)) % len(chosen)
    return owner, np.exp(logs).astype(np.float32)


@njit(cache=True, nogil=True)
def _spread(indptr: Any, indices: Any, weights: Any, chosen: Any) -> Any:  # pragma: no cover
    """Grow the regions of all chosen rows; owners and logs of the products.

    A row whose label has changed waits in a ring to pass it on. One that is nearer than the first goes
    before it, so that most rows pass on their final label only.
    """
    n = len(indptr) - 1
    logs = np.full(n, -np.inf)
    owner = np.full(n, -1, dtype=np.int64)
    is_chosen = np.zeros(n, dtype=np.bool_)
    waits = np.zeros(n, dtype=np.bool_)
    size = 1
    while size < n:
        size *= 2
    ring, last = np.empty(size, dtype=np.int32), size - 1
    first, waiting = 0, len(chosen)
    # going first could make others wait without end, so it is allowed only so often
    ahead = _AHEAD * n
    for at in range(len(chosen)):
        row = chosen[at]
        ring[at], logs[row], owner[row], is_chosen[row] = row, 0.0, at, True
    bounds, ends, values = indptr.ctypes.data, indices.ctypes.data, weights.ctypes.data
    while waiting:
        row = ring[first]
        if waiting > _ROWS_AHEAD:
            later = int64(ring[(first + _ROWS_AHEAD) & last])
            prefetch(bounds + later * indptr.itemsize)  # type: ignore[call-arg]
            edge = int64(indptr[ring[(first + _ROWS_AHEAD // 2) & last]])
            for line in _LINES:
                prefetch(ends + edge * indices.itemsize + line)
                prefetch(values + edge * weights.itemsize + line)
        first = (first + 1) & last
        waiting -= 1
        waits[row] = False
        here, of = logs[row], owner[row]
        for edge in range(indptr[row], indptr[row + 1]):
            other, weight = indices[edge], weights[edge]
            if is_chosen[other] or here < logs[other] or weight <= 0:
                continue
            log = here + math.log(min(1.0, weight))
            if log < logs[other] or (log == logs[other] and of >= owner[other]):
                continue
            logs[other], owner[other] = log, of
            if waits[other]:
                continue
            waits[other] = True
            if waiting and ahead and log > logs[ring[first]]:
                first = (first - 1) & last
                ring[first] = other
                ahead -= 1
            else:
                ring[(first + waiting) & last] = other
            waiting += 1
    return owner, logs
