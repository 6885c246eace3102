"""k-means centroids, and the nearest ones of every row."""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from assay.index.vectors._row_sums import add_to_cells
from assay.index.vectors.checks import Vectors
from assay.index.vectors.exact import (
    BlockScan,
    Progress,
    empty_lists,
    frozen,
    run_threads,
    unit_rows,
)
from assay.storage.disk.pages import mapping, release

LIST_SIZE = 500
SAMPLES_PER_LIST = 64
# rows at a time: their products with the centroids stay in the cache, and few of them are held
_CHUNK = 2_048
_COLUMNS = 1_024
# of k-means; cells that are far too large are cut up in one of them
_ITERATIONS = 6
_CUT_UP_IN = 2


def list_count(n: int, k: int = 1) -> int:
    """Return how many lists n rows are cut into: one per 500, sqrt(n) or 10 k rows."""
    return max(min(16, n), n // max(LIST_SIZE, isqrt(n), 10 * k))


def train_centroids(sample: Vectors, count: int, metric: str, *, threads: int = 1) -> Vectors:
    """Return centroids of `sample` by k-means (spherical for the cosine), float32[lists, d].

    The first `count` rows of the sample are the seeds. In the third iteration, cells with more than
    four times their share of the rows are cut up and empty ones moved there, so that no list grows
    much longer than the others; so a few more than `count` may come back.
    """
    cosine = metric == "cosine"
    sample = unit_rows(sample) if cosine else sample
    centroids = sample[:count].copy()
    for iteration in range(_ITERATIONS):
        cells = assign(sample, centroids, metric, 1, threads=threads)[:, 0]
        sizes, full, means = means_of_cells(sample, cells, len(centroids))
        centroids[full] = means
        if iteration == _CUT_UP_IN:
            order = np.argsort(cells, kind="stable")
            starts = np.cumsum(sizes) - sizes
            share = len(sample) / len(centroids)
            pieces = np.where(sizes > 4 * share, np.ceil(sizes / (2 * share)).astype(int) - 1, 0)
            seeds = np.concatenate(
                [order[starts[c] : starts[c] + pieces[c]] for c in np.flatnonzero(pieces)]
                or [order[:0]]
            )
            centroids = np.concatenate([centroids[full], sample[seeds]])
        if cosine:
            centroids = unit_rows(centroids)
    return centroids


def means_of_cells(
    X: Vectors, cells: NDArray[np.integer], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return how many rows each of `count` cells has, the cells that have any, and their means."""
    sizes = np.bincount(cells, minlength=count)
    full = np.flatnonzero(sizes)
    sums = np.zeros((count, X.shape[1]))
    add_to_cells(frozen(X), frozen(cells), sums)
    return sizes, full, sums[full] / sizes[full, None]


def assign(
    X: Vectors,
    centroids: Vectors,
    metric: str,
    probes: int,
    *,
    take: NDArray[np.int64] | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> NDArray[np.int32]:
    """Return the `probes` nearest centroids of every row (of X[take]), nearest first.

    Centroids are compared by the cosine for the cosine metric and by distance for the others.
    """
    n = len(X) if take is None else len(take)
    searched = BlockScan(centroids, "cosine" if metric == "cosine" else "l2")
    out = np.empty((n, probes), np.int32)
    blocks = [(b, min(b + _COLUMNS, len(centroids))) for b in range(0, len(centroids), _COLUMNS)]

    mapped = mapping(X)
    # a mapped file is best read from its beginning to its end
    order = np.arange(n) if take is None or mapped is None else np.argsort(take, kind="stable")

    def work(begin: int) -> None:
        part = order[begin : begin + _CHUNK]
        rows = X[begin : begin + _CHUNK] if take is None else X[take[part]]
        release(mapped)
        if probes == 1 and len(blocks) == 1:
            out[part, 0] = searched.nearest(rows)
            return
        keys, nearest = empty_lists(len(rows), probes)
        nobody = np.full(len(rows), -1)
        searched.scan(rows, np.arange(len(rows)), nobody, blocks, keys, nearest)
        out[part] = nearest

    run_threads(work, range(0, n, _CHUNK), threads, "assign", progress)
    return out
