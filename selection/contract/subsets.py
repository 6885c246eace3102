"""Some of the rows of a pool: of its contents, its labels and its graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from scipy.sparse import issparse

from assay.index.ngrams.stream import BucketStream
from assay.selection.contract.inputs import Graph, GraphView, Rows
from assay.storage.errors import InputError
from assay.storage.interfaces import TakesRows


def rows_of(values: Any, rows: Rows) -> Any:
    """Return the given rows of an array or sparse matrix, a column, a frame, a stored stream or a sequence."""
    if values is None:
        return None
    if isinstance(values, pl.Series | pl.DataFrame | np.ndarray) or issparse(values):
        return values[rows]
    # `take` of a stored stream gives the n-grams themselves
    if isinstance(values, BucketStream):
        return values.select(rows)
    if isinstance(values, TakesRows):
        return values.take(rows)
    try:
        return [values[row] for row in rows.tolist()]
    except TypeError as error:
        raise InputError(
            f"Rows can't be taken from a {type(values).__name__}; pass an array, a column or a list."
        ) from error


def induced(graph: Graph, rows: Rows) -> Graph:
    """Return the graph of some rows (ascending) and of the edges between them.

    Neighbors that are left out leave their place to the next ones.
    """
    n = len(graph.indptr) - 1
    place = np.full(n + 1, -1, dtype=graph.indices.dtype)
    place[rows] = np.arange(len(rows))
    degrees = np.diff(graph.indptr)[rows]
    starts = graph.indptr[:-1][rows]
    ends = np.concatenate([[0], np.cumsum(degrees)])
    edges = np.repeat(starts - ends[:-1], degrees) + np.arange(ends[-1])
    columns = place[graph.indices[edges]]
    kept = columns >= 0
    indptr = np.concatenate([[0], np.cumsum(kept, dtype=np.int64)])[ends]
    neighbors = place[graph.neighbors[rows]]
    lost = neighbors < 0
    order = np.argsort(lost, axis=1, kind="stable")
    similarities = np.where(lost, -np.inf, graph.similarities[rows]).astype(np.float32)
    return GraphView(
        indptr=indptr,
        indices=columns[kept],
        weights=graph.weights[edges][kept],
        neighbors=np.take_along_axis(neighbors, order, axis=1),
        similarities=np.take_along_axis(similarities, order, axis=1),
        metric=graph.metric,
        robust=graph.robust,
    )
