"""Approximate k-nearest-neighbor graph by a blocked join over k-means lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from assay.index.knn.lists import Layout, Lists
from assay.index.vectors.centroids import SAMPLES_PER_LIST, assign, list_count, train_centroids
from assay.index.vectors.checks import Vectors
from assay.index.vectors.exact import RECALL_SAMPLE, BlockScan, Progress, Recall, RecallProbe
from assay.index.vectors.mapped import scratch_vectors, take_rows

COMPARED = 4_000
# so far below the target, expansion is not worth its time before more cells are met
HOPELESS = 0.15


@dataclass(frozen=True)
class Join:
    """Lists of neighbors and how they were found."""

    keys: NDArray[np.float64]
    rows: NDArray[np.int32]
    centroids: Vectors
    recall: Recall
    rounds: int
    probes: int
    cells: NDArray[np.int32]


class Steps(Protocol):
    """What a join is made of: done in one piece, or shard by shard."""

    def join(self, probes: int) -> Recall:
        """Let every row meet its nearest cells, and measure the recall."""

    def expand(self) -> Recall:
        """Try neighbors of neighbors, and measure the recall."""


class _Whole:
    """The steps of a join in one piece."""

    def __init__(self, lists: Lists, truth: RecallProbe) -> None:
        self._lists, self._truth = lists, truth

    def join(self, probes: int) -> Recall:
        self._lists.join(self._lists.nearest(probes))
        return self._truth.measure(self._lists.keys)

    def expand(self) -> Recall:
        self._lists.expand()
        return self._truth.measure(self._lists.keys)


def first_probes(n: int, lists: int, k: int) -> int:
    """Return how many cells each of n rows meets at first, where there are so many lists."""
    return min(max(4, COMPARED // (n // list_count(n, k))), lists)


def seek(steps: Steps, probes: int, lists: int, target_recall: float) -> tuple[Recall, int, int]:
    """Join and expand until the recall is good enough; return it, the rounds and the probes."""
    rounds = 0
    while True:
        joined = recall = steps.join(probes)
        if probes == lists:
            break
        if joined.mean >= target_recall - HOPELESS:
            for _ in range(2):
                before = recall
                recall = steps.expand()
                rounds += 1
                # a second expansion brings about a quarter of what the first one brought
                hope = recall.low + (recall.mean - before.mean) / 4
                if recall.low >= target_recall or hope < target_recall:
                    break
        if recall.low >= target_recall:
            break
        probes = min(2 * probes, lists)
    return recall, rounds, probes


def join_centroids(
    X: Vectors,
    take: NDArray[np.int64],
    k: int,
    metric: str,
    noise: NDArray[np.float64],
    threads: int,
) -> Vectors:
    """Train the centroids of a join."""
    count = list_count(len(take), k)
    training = take_rows(X, take[np.argsort(noise, kind="stable")[: count * SAMPLES_PER_LIST]])
    return train_centroids(training, count, metric, threads=threads)


def lay_out(
    X: Vectors,
    take: NDArray[np.int64],
    met: NDArray[np.int32],
    centroids: Vectors,
    metric: str,
    noise: NDArray[np.float64],
    room: Vectors | None = None,
) -> tuple[Layout, NDArray[np.int64]]:
    """Lay the rows X[take] out by their nearest cells; return also where each of them is."""
    order = np.argsort(met[:, 0], kind="stable")
    searched = BlockScan(take_rows(X, take[order], room), metric, rank=order.astype(np.int32))
    place = np.empty(len(take), np.int64)
    place[order] = np.arange(len(take))
    sample = place[np.argsort(noise, kind="stable")[-RECALL_SAMPLE:]]
    return Layout(searched, met[order], centroids, sample), place


def finish(
    keys: NDArray[np.float64],
    rows: NDArray[np.int32],
    place: NDArray[np.int64],
    rank: NDArray[np.int32],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Return lists of laid out rows as lists of the rows of `take`."""
    keys, found = keys[place], rows[place]
    rows = rank[found]
    rows[found < 0] = -1
    return keys, rows


def block_join(
    X: Vectors,
    take: NDArray[np.int64],
    k: int,
    *,
    metric: str,
    noise: NDArray[np.float64],
    target_recall: float = 0.95,
    threads: int = 1,
    progress: Progress | None = None,
    scratch: str | Path | None = None,
) -> Join:
    """Find about the k nearest neighbors of each of the rows X[take] among them.

    1. k-means centroids of a sample, one per 500 rows (or per sqrt(n) or 10 k, if that is more).
    2. The rows are laid out by nearest centroid. In pass p every row meets the rows of its p-th
       nearest centroid: one matrix product per cell, fused with the insertion into the row's k
       best. The first pass makes the k-th keys so tight that the later ones nearly only compare.
       There are as many passes (probes) as make up about 4,000 rows.
    3. Expansion: neighbors of neighbors, and of rows on whose lists a row stands, are tried.
    4. Recall is measured on 1,000 rows that are searched exactly. While the lower end of its
       interval is below `target_recall`, there is one more expansion (where that can be enough),
       then twice the probes, in the end all cells.

    A row whose list is still short is searched exactly.

    Parameters
    ----------
    X : float32[m, d]
        Finite vectors.
    take : int64[n]
        The rows to join, distinct, in an order that doesn't depend on the order of X.
    k : int
        Neighbors per row, 1 <= k < n.
    metric : {'cosine', 'l2', 'ip'}
    noise : float64[n]
        One random number per row of `take`: the smallest train, the greatest measure the recall.
    target_recall : float
        Between 0 and 1.
    threads : int
        Lists joined at the same time; does not change the result.
    progress : callable, optional
        Called with (stage, done, total).
    scratch : path, optional
        Folder for the copy of the vectors, as a nameless file (default: memory).

    Returns
    -------
    Join
        Lists by position in `take`, centroids, recall, rounds of expansion, probes, and the cell of
        each row of `take`.

    Notes
    -----
    With lists of B rows the join takes n * probes * B * d operations of BLAS and the assignment
    n * (n / B) * d. Memory is one copy of the vectors, 16 bytes per entry of the lists while they
    are expanded, 4 per entry reversed, and 4 * probes per row.

    Keys are exact whatever is approximated, so that a list holds the best of the rows met, by key
    and then by order in `take`. The result depends on `take`, not on the order of X, nor on the
    number of threads.
    """
    n = len(take)
    centroids = join_centroids(X, take, k, metric, noise, threads)
    probes = first_probes(n, len(centroids), k)
    met = assign(X, centroids, metric, probes, take=take, threads=threads, progress=progress)
    cells = met[:, 0].copy()
    room = None if scratch is None else scratch_vectors(n, X.shape[1], scratch)
    layout, place = lay_out(X, take, met, centroids, metric, noise, room)
    del met
    lists = Lists(layout, k, threads, progress)
    truth = RecallProbe(layout.searched, layout.sample, k, threads, progress)
    recall, rounds, probes = seek(_Whole(lists, truth), probes, len(centroids), target_recall)
    lists.complete()
    keys, found, rank = lists.keys, lists.rows, layout.searched.rank
    # the copy of the vectors goes before lists are copied
    del lists, layout, truth, room
    keys, rows = finish(keys, found, place, rank)
    return Join(keys, rows, centroids, recall, rounds, probes, cells)
