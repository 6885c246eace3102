"""New rows for a similarity graph, and rows that leave it: `SimilarityGraph` calls these.

Each returns the nearest neighbors of the new graph, its vectors and its ids; the graph given stays
as it is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.graph.hybrid_edges import HYBRID
from assay.index.knn.nearest_neighbors import NearestNeighbors
from assay.index.knn.updates import insert_rows, measured_recall, remove_rows
from assay.index.vectors.checks import Vectors, as_ids, as_vectors, check_width, find_ids
from assay.storage.errors import IdError, InputError

# graphs whose edges are not those of their lists, by what their report says
_FIXED: dict[str | None, str] = {
    "edges": "of given edges",
    "context": "made with robust='context'",
    HYBRID: "of vectors and words",
}


class Graph(Protocol):
    """A graph of nearest neighbors that can be updated."""

    metric: str
    vectors: Vectors | None
    sample_ids: pl.Series | None
    report_: dict[str, Any]

    def __len__(self) -> int: ...

    def lists(self) -> NearestNeighbors:
        """Return the neighbors as `nearest_neighbors` returned them."""


class Update(NamedTuple):
    """The neighbors, vectors and ids of an updated graph."""

    lists: NearestNeighbors
    vectors: Vectors
    sample_ids: pl.Series | None


def insert(graph: Graph, X_new: Any, ids: Any, vectors: Any, threads: int | None) -> Update:
    """Append rows; see `SimilarityGraph.insert`."""
    n = len(graph)
    X_new = as_vectors(X_new, ids=ids, what="new vectors")
    X = _present_vectors(graph, vectors, n + len(X_new))
    check_width(X_new, X.shape[1])
    if len(X) == n:
        X = np.concatenate([X, X_new])
    elif not np.array_equal(X[n:], X_new):
        raise InputError("The vectors behind those of the graph are not the new ones.")
    named = as_ids(ids, len(X_new))
    if (named is None) != (graph.sample_ids is None):
        raise IdError("New rows need ids where the graph has ids, and can't have them otherwise.")
    if named is not None and graph.sample_ids is not None:
        named = as_ids(pl.concat([graph.sample_ids, named]), len(X))
    lists = insert_rows(X, named, graph.lists(), np.arange(n), metric=graph.metric, threads=threads)
    return _update(graph, lists, X, named, inserted=len(X_new))


def remove(graph: Graph, ids: Any, vectors: Any, threads: int | None) -> Update:
    """Drop rows; see `SimilarityGraph.remove`."""
    n = len(graph)
    X = _present_vectors(graph, vectors, n)
    gone = find_ids(graph.sample_ids, n, ids)
    if gone.all():
        raise InputError("No row would be left; a graph needs at least one.")
    lists = remove_rows(
        X, graph.sample_ids, graph.lists(), gone, metric=graph.metric, threads=threads
    )
    named = None if graph.sample_ids is None else graph.sample_ids.filter(pl.Series(~gone))
    return _update(graph, lists, X[~gone], named, removed=int(gone.sum()))


def update(
    graph: Graph,
    X: Any,
    rows: NDArray[np.integer],
    before: Any,
    ids: Any,
    threads: int | None,
) -> Update:
    """Drop and append rows, and put them in the order of X; see `SimilarityGraph.updated`."""
    X = as_vectors(X, ids=ids)
    rows = np.asarray(rows, np.int64)
    before = _present_vectors(graph, before, len(graph))
    named = as_ids(ids, len(X))
    if (named is None) != (graph.sample_ids is None):
        raise IdError("Rows need ids where the graph has ids, and can't have them otherwise.")
    place = np.full(len(graph), -1)
    place[rows[rows >= 0]] = np.flatnonzero(rows >= 0)
    kept = place >= 0
    if not kept.any():
        raise InputError("None of the graph's rows is left; build a new graph.")
    lists = graph.lists()
    how: dict[str, Any] = {"metric": graph.metric, "threads": threads, "measured": True}
    if not kept.all():
        lists = remove_rows(before, graph.sample_ids, lists, ~kept, **how)
    known = place[kept]
    if len(X) > len(known):
        lists = insert_rows(X, named, lists, known, **how)
    elif not np.array_equal(known, np.arange(len(X))):
        lists = _reordered(lists, known)
    built = lists.report.get("built_recall")
    if "built_recall" not in graph.report_:
        # it stands behind the counts, where the next updates leave it
        others = {name: value for name, value in lists.report.items() if name != "built_recall"}
        lists = replace(lists, report=others)
    if built is None:
        of = before, graph.sample_ids, graph.lists()
        built = measured_recall(*of, metric=graph.metric, threads=threads)
    return _update(
        graph,
        lists,
        X,
        named,
        inserted=int((rows < 0).sum()),
        removed=int((~kept).sum()),
        built_recall=built,
    )


def _present_vectors(graph: Graph, vectors: Any, most: int) -> Vectors:
    """Return `vectors`, or those that the graph holds, for its rows or for `most` rows."""
    origin = _FIXED.get(graph.report_.get("robust")) or _FIXED.get(graph.report_.get("kind"))
    if origin is not None:
        raise InputError(f"A graph {origin} can't be updated; build it again.")
    present = graph.vectors if vectors is None else as_vectors(vectors)
    if present is None:
        raise InputError("This graph holds no vectors: pass those of its rows as `vectors`.")
    if len(present) not in (len(graph), most):
        raise InputError(
            f"There are {len(present)} vectors for the {len(graph)} rows of the graph."
        )
    return present


def _update(
    graph: Graph, lists: NearestNeighbors, X: Vectors, ids: pl.Series | None, **counts: float
) -> Update:
    before = {name: graph.report_.get(name) for name in ("n", "edges", "recall")}
    report = lists.report | {"n": len(X), "inserted": 0, "removed": 0, **counts}
    report |= {"parent": before, "updates": 1 + graph.report_.get("updates", 0)}
    return Update(replace(lists, report=report), X, ids)


def _reordered(lists: NearestNeighbors, order: NDArray[np.int64]) -> NearestNeighbors:
    """Return the lists with row g at ``order[g]``."""
    inverse = np.argsort(order)
    moved = np.append(order, -1).astype(np.int32)
    return replace(
        lists,
        neighbors=moved[lists.neighbors[inverse]],
        distances=lists.distances[inverse],
        cells=None if lists.cells is None else lists.cells[inverse],
    )
