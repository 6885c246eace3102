"""The rows of a graph that are nearest to a vector outside it, by comparing all."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.vectors.checks import Vectors, id_order

_CHUNK = 65_536


def nearest_to(
    vectors: Vectors, query: Vectors, k: int, metric: str, ids: pl.Series | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the positions of the k nearest rows, best first, and their distances; ties by id.

    Examples
    --------
    >>> X = np.array([[0.0], [3.0], [1.0]], np.float32)
    >>> [part.tolist() for part in nearest_to(X, np.array([2.0], np.float32), 2, "l2", None)]
    [[1, 2], [1.0, 1.0]]
    """
    query = query.astype(np.float64)
    distances = np.empty(len(vectors))
    for begin in range(0, len(vectors), _CHUNK):
        rows = vectors[begin : begin + _CHUNK].astype(np.float64)
        part = slice(begin, begin + len(rows))
        if metric == "l2":
            distances[part] = np.sqrt(np.square(rows - query).sum(axis=1))
            continue
        products = (rows * query).sum(axis=1)
        if metric == "cosine":
            lengths = np.sqrt(np.square(rows).sum(axis=1)) * np.sqrt(np.square(query).sum())
            products = np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)
        distances[part] = (1.0 if metric == "cosine" else 0.0) - products
    by_id = id_order(ids, len(vectors))
    nearest = by_id[np.argsort(distances[by_id], kind="stable")[:k]]
    return nearest, distances[nearest].astype(np.float32)
