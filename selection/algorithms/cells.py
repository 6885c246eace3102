"""Cells of similar rows: k-means of a pool, the same for any order of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.index.threads import thread_count
from assay.index.vectors.centroids import assign, means_of_cells
from assay.index.vectors.exact import unit_rows
from assay.selection.contract.inputs import Floats, derived_seed
from assay.storage.hashing.rows import first_rows, uniform

Vectors = NDArray[np.float32]
_CHUNK = 65_536
# fewer rows are compared sooner than a thread has started
_ALONE = 4_096
# rows trained on, per cell
PER_CELL = 32
# more cells than this are made in two steps
AT_ONCE = 1_024
# the golden section, whose multiples spread evenly over (0, 1)
_TURN = 0.6180339887498949
# rows differ by rounding alone below this part of the largest squared length
_SAME = 1e-12


class Cells(NamedTuple):
    """Centroids float32[cells, d] and the nearest one of every row; no cell is empty."""

    centroids: Vectors
    of_row: NDArray[np.int64]


def prepared(X: Vectors, metric: str) -> Vectors:
    """Return the rows that are clustered: of length 1 for the cosine, as they are for l2."""
    return unit_rows(X) if metric == "cosine" else X


def cluster(
    X: Vectors, count: int, metric: str, noise: Floats, *, iterations: int = 6, resampling: int = 0
) -> Cells:
    """Cluster `prepared` rows into at most `count` cells.

    Parameters
    ----------
    X : float32[n, d]
        In canonical order.
    count : int
        Fewer cells come back where fewer rows differ.
    metric : {"cosine", "l2"}
    noise : float64[n]
        Decides the seeds, and the 32 rows per cell that are trained on.
    iterations : int
    resampling : int
        Rounds in which k-means is done again on the rows nearest to each centroid alone, equally
        many of each cell, so that centroids move from where rows are dense to where there are any.

    Notes
    -----
    Seeds are drawn in proportion to their squared distance to those drawn before, in batches that
    double. More than 1,024 cells are made in two steps: sqrt(count) cells, each of which is cut into
    its share of `count` by its rows; a row is then in the nearest cell of its part. Where a row
    meets c centroids (`count` of them, or 2 sqrt(count) in two steps), time is
    O((iterations + resampling + 1) * min(n, 32 count) * c * d) and one pass of n * c * d.

    References
    ----------
    Arthur, Vassilvitskii, "k-means++: the advantages of careful seeding", 2007. Bahmani et al.,
    "Scalable k-means++", 2012 (batches).
    """
    count = min(count, len(X))
    if count > AT_ONCE:
        return _in_two_steps(X, count, metric, noise, iterations=iterations, resampling=resampling)
    rows = np.sort(first_rows(-noise, PER_CELL * count))
    sample, luck = X[rows], noise[rows]
    centroids = _lloyd(sample, _seeds(sample, count, metric, luck), metric, iterations)
    for _ in range(resampling):
        cells = nearest(sample, centroids, metric)
        per_cell = max(2, len(sample) // (4 * len(centroids)))
        near = places(cells, _squares(sample, centroids, cells)) < per_cell
        seeds = _seeds(sample[near], count, metric, luck[near])
        centroids = _lloyd(sample[near], seeds, metric, max(1, iterations // 2))
    cells = nearest(X, centroids, metric)
    full, of_row = np.unique(cells, return_inverse=True)
    return Cells(centroids[full], of_row.astype(np.int64))


def _in_two_steps(
    X: Vectors, count: int, metric: str, noise: Floats, *, iterations: int, resampling: int
) -> Cells:
    parts = cluster(
        X, round(count**0.5), metric, noise, iterations=iterations, resampling=resampling
    )
    order = np.argsort(parts.of_row, kind="stable")
    ends = np.cumsum(np.bincount(parts.of_row))
    # rounded so that they sum to `count`
    shares = np.diff(np.rint(ends * (count / len(X))).astype(np.int64), prepend=0)
    centroids: list[Vectors] = []
    of_row = np.empty(len(X), dtype=np.int64)
    begin = numbered = 0
    for end, share in zip(ends, np.maximum(shares, 1), strict=True):
        rows = order[begin:end]
        cells = cluster(
            X[rows], int(share), metric, noise[rows], iterations=iterations, resampling=resampling
        )
        of_row[rows] = cells.of_row + numbered
        centroids.append(cells.centroids)
        begin, numbered = end, numbered + len(cells.centroids)
    return Cells(np.concatenate(centroids), of_row)


def nested_clusters(
    X: Vectors,
    counts: Sequence[int],
    metric: str,
    noise: Floats,
    *,
    random_state: int,
    stream: str,
    iterations: int = 6,
    resampling: int = 0,
) -> list[Cells]:
    """Cluster `prepared` rows, then the centroids found, and so on: the finest cells first.

    Parameters
    ----------
    counts : sequence of int
        Clusters per level, falling.
    random_state, stream
        Decide the seeds of every level above the first, see `Inputs.noise`.
    X, metric, noise, iterations, resampling
        As for `cluster`.
    """
    levels: list[Cells] = []
    rows = X
    for level, count in enumerate(counts):
        if level:
            seed = derived_seed(random_state, f"{stream}/{level}")
            noise = uniform([str(row) for row in range(len(rows))], seed)
        levels.append(
            cluster(rows, count, metric, noise, iterations=iterations, resampling=resampling)
        )
        rows = levels[-1].centroids
    return levels


def nearest(X: Vectors, centroids: Vectors, metric: str) -> NDArray[np.int64]:
    """Return the nearest centroid of every row, the earlier one of two as near."""
    threads = thread_count() if len(X) > _ALONE else 1
    centroid = assign(X, centroids, metric, 1, threads=threads)
    return centroid[:, 0].astype(np.int64)


def places(cells: NDArray[np.int64], keys: Floats) -> NDArray[np.int64]:
    """Return each row's place in its cell, 0 for the smallest key, ties by row."""
    order = np.lexsort((keys, cells))
    sizes = np.bincount(cells)
    place = np.empty(len(cells), dtype=np.int64)
    place[order] = np.arange(len(cells)) - (np.cumsum(sizes) - sizes)[cells[order]]
    return place


def _seeds(X: Vectors, count: int, metric: str, noise: Floats) -> Vectors:
    """Draw at most `count` different rows, each batch in proportion to the squared distances."""
    new = X[np.argmax(noise)][None]
    batches = [new]
    same = _SAME * float(np.einsum("ij,ij->i", X, X).max())
    squares = np.full(len(X), np.inf)
    luck = noise
    drawn = 1
    while drawn < count:
        squares = np.minimum(squares, _squares(X, new, nearest(X, new, metric)))
        away = np.flatnonzero(squares > same)
        if not len(away):
            break
        # the least of exponential clocks, whose rates are the squares; the noise turns each time
        luck = (luck + _TURN) % 1.0
        clocks = -np.log1p(-luck[away]) / squares[away]
        new = X[away[np.argsort(clocks, kind="stable")[: min(drawn, count - drawn)]]]
        batches.append(new)
        drawn += len(new)
    return np.concatenate(batches)


def _lloyd(X: Vectors, centroids: Vectors, metric: str, iterations: int) -> Vectors:
    """Move centroids to the means of their cells; empty ones to the rows furthest from theirs."""
    centroids = centroids.copy()
    for _ in range(iterations):
        cells = nearest(X, centroids, metric)
        sizes, full, means = means_of_cells(X, cells, len(centroids))
        empty = np.flatnonzero(sizes == 0)
        if len(empty):
            squares = _squares(X, centroids, cells)
            far = np.argsort(-squares, kind="stable")[: len(empty)]
            far = far[squares[far] > 0]
            centroids[empty[: len(far)]] = X[far]
        centroids[full] = means
        if metric == "cosine":
            centroids = unit_rows(centroids)
    return centroids


def _squares(X: Vectors, centroids: Vectors, cells: NDArray[np.int64]) -> Floats:
    """Return each row's squared distance to its centroid."""
    squares = np.empty(len(X))
    for begin in range(0, len(X), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        apart = X[part] - centroids[cells[part]]
        squares[part] = np.einsum("ij,ij->i", apart, apart, dtype=np.float64)
    return squares
