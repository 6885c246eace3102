"""Approximate k-nearest-neighbour graph by a blocked join over k-means lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.index import _knn_kernels as kernels
from assay.index.centroids import SAMPLES_PER_LIST, assign, list_count, train_centroids
from assay.index.knn_exact import (
    COLUMN_BLOCK,
    QUERY_BLOCK,
    RECALL_SAMPLE,
    BlockScan,
    Progress,
    Recall,
    RecallProbe,
    empty_lists,
    exact_knn,
    run_threads,
)
from assay.index.mapped import release, scratch_vectors, take_rows
from assay.index.vectors import Vectors

COMPARED = 4_000
BREADTH = 24
# so far below the target, expansion is not worth its time before more cells are met
HOPELESS = 0.15


@dataclass(frozen=True)
class Join:
    """Lists of neighbours and how they were found."""

    keys: NDArray[np.float64]
    rows: NDArray[np.int32]
    centroids: Vectors
    recall: Recall
    rounds: int
    probes: int
    cells: NDArray[np.int32]


class _Lists:
    """The k best of every row so far, over rows that are laid out cell by cell."""

    def __init__(
        self,
        searched: BlockScan,
        met: NDArray[np.int32],
        cell_count: int,
        k: int,
        threads: int,
        progress: Progress | None,
    ) -> None:
        self.searched = searched
        self.keys, self.rows = empty_lists(len(met), k)
        self.met = met[:, :0]
        self.cells = met[:, 0].copy()
        self.bounds = np.searchsorted(self.cells, np.arange(cell_count + 1))
        self._threads = threads
        self._progress = progress

    def join(self, met: NDArray[np.int32]) -> None:
        """Let every row meet the rows of the cells met[i] that it has not met yet, one at a time.

        In one pass a row is in one block only, so that blocks can be joined at the same time.
        """
        for p in range(self.met.shape[1], met.shape[1]):
            order = np.argsort(met[:, p], kind="stable")
            starts = np.searchsorted(met[order, p], np.arange(len(self.bounds)))

            def work(
                cell: int,
                order: NDArray[np.int64] = order,
                starts: NDArray[np.int64] = starts,
            ) -> None:
                begin, end = int(self.bounds[cell]), int(self.bounds[cell + 1])
                blocks = [(b, min(b + COLUMN_BLOCK, end)) for b in range(begin, end, COLUMN_BLOCK)]
                for s in range(starts[cell], starts[cell + 1], QUERY_BLOCK):
                    slots = order[s : min(s + QUERY_BLOCK, starts[cell + 1])]
                    self.searched.scan(
                        self.searched.X[slots], slots, slots, blocks, self.keys, self.rows
                    )

            run_threads(work, range(len(self.bounds) - 1), self._threads, "join", self._progress)
        self.met = met

    def expand(self) -> None:
        """Try the neighbours of neighbours, and of the rows on whose lists a row stands."""
        n, k = self.keys.shape
        places = np.arange(n)
        starts, sources = kernels.reverse_lists(self.rows, places)
        rows = self.rows.copy()

        def work(begin: int) -> None:
            part = slice(begin, begin + 2_048)
            kernels.expand(
                self.searched.code,
                self.searched.X,
                self.searched.squares,
                self.searched.rank,
                self.cells,
                self.met[part],
                self.rows,
                starts,
                sources,
                min(k, BREADTH),
                places[part],
                len(self.bounds) - 1,
                self.keys[part],
                rows[part],
            )
            release(self.searched.mapped)

        run_threads(work, range(0, n, 2_048), self._threads, "expand", self._progress)
        self.rows = rows

    def complete(self) -> None:
        """Search rows whose lists are still short exactly."""
        short = np.flatnonzero(self.rows[:, -1] < 0)
        if len(short):
            self.keys[short], self.rows[short] = exact_knn(
                self.searched.X[short],
                self.searched,
                self.keys.shape[1],
                itself=short,
                threads=self._threads,
            )


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
    """Find about the k nearest neighbours of each of the rows X[take] among them.

    1. k-means centroids of a sample, one per 500 rows (or per sqrt(n) or 10 k, if that is more).
    2. The rows are laid out by nearest centroid. In pass p every row meets the rows of its p-th
       nearest centroid: one matrix product per cell, fused with the insertion into the row's k
       best. The first pass makes the k-th keys so tight that the later ones nearly only compare.
       There are as many passes (probes) as make up about 4,000 rows.
    3. Expansion: neighbours of neighbours, and of rows on whose lists a row stands, are tried.
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
        Neighbours per row, 1 <= k < n.
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
    count = list_count(n, k)
    by_noise = np.argsort(noise, kind="stable")
    training = take_rows(X, take[by_noise[: count * SAMPLES_PER_LIST]])
    centroids = train_centroids(training, count, metric, threads=threads)
    probes = min(max(4, COMPARED // (n // count)), len(centroids))
    met = assign(X, centroids, metric, probes, take=take, threads=threads, progress=progress)
    cells = met[:, 0].copy()

    order = np.argsort(met[:, 0], kind="stable")
    rank = order.astype(np.int32)
    met = met[order]
    room = None if scratch is None else scratch_vectors(n, X.shape[1], scratch)
    searched = BlockScan(take_rows(X, take[order], room), metric, rank=rank)
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    lists = _Lists(searched, met, len(centroids), k, threads, progress)
    truth = RecallProbe(searched, place[by_noise[-RECALL_SAMPLE:]], k, threads, progress)

    rounds = 0
    while True:
        lists.join(met)
        joined = recall = truth.measure(lists.keys)
        if probes == len(centroids):
            break
        if joined.mean >= target_recall - HOPELESS:
            for _ in range(2):
                before = recall
                lists.expand()
                rounds += 1
                recall = truth.measure(lists.keys)
                # a second expansion brings about a quarter of what the first one brought
                hope = recall.low + (recall.mean - before.mean) / 4
                if recall.low >= target_recall or hope < target_recall:
                    break
        if recall.low >= target_recall:
            break
        probes = min(2 * probes, len(centroids))
        met = assign(searched.X, centroids, metric, probes, threads=threads, progress=progress)

    lists.complete()
    keys, found = lists.keys, lists.rows
    # the copy of the vectors goes before lists are copied
    del lists, searched, room
    keys, found = keys[place], found[place]
    rows = rank[found]
    rows[found < 0] = -1
    return Join(keys, rows, centroids, recall, rounds, probes, cells)
