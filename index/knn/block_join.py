"""Approximate k-nearest-neighbor graph: int8 codes meet cell by cell, as far as a plan says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from assay.index.knn.cells import Cells, Visits, find_visits, train_cells
from assay.index.knn.exact_join import exact_join
from assay.index.knn.layout import Layout, Lists, encoded, put
from assay.index.knn.planning import EVERYTHING, Plan, make_plan
from assay.index.knn.tournament import run_pairs
from assay.index.vectors import _scan_kernels as kernels
from assay.index.vectors._code_kernels import cell_means
from assay.index.vectors.centroids import SAMPLES_PER_LIST, list_count
from assay.index.vectors.checks import Vectors
from assay.index.vectors.codes import empty_code_lists
from assay.index.vectors.exact import (
    RECALL_SAMPLE,
    Progress,
    Recall,
    recall_interval,
    run_threads,
    unit_rows,
)
from assay.index.vectors.mapped import ordered_rows, scratch_room, take_rows
from assay.storage.disk.pages import mapping, release
from assay.storage.hashing.rows import first_rows

PERFECT = Recall(1.0, 1.0, 1.0)
# lists of codes are longer than those asked for
_SPARE = 6
# where more of all pairs would meet, all of them do, once each
_MOST_PAIRS = 0.4
_MOST_ROUNDS = 5
_GROUPS_PER_THREAD = 8
_MOST_GROUPS = 48
# cells whose means are taken before pages of their rows are let go
_MEANS = 64
# rows whose lists are finished at a time, and how many such parts there are at most
_PART, _MOST_PARTS = 4_096, 64


@dataclass(frozen=True)
class Join:
    """Lists of neighbors and how they were found.

    Attributes
    ----------
    keys, rows : float64[n, k], int32[n, k]
    centroids : float32[cells, d]
        Means of the rows of each cell.
    recall : Recall
    rounds : int
        Joins that it took: usually 1; 0 if all pairs were compared.
    probes : int
        Cells that a row meets, its own among them, on average and rounded up.
    cells : int32[n]
    """

    keys: NDArray[np.float64]
    rows: NDArray[np.int32]
    centroids: Vectors
    recall: Recall
    rounds: int
    probes: int
    cells: NDArray[np.int32]


@dataclass(frozen=True)
class Cut:
    """Rows laid out cell by cell: bounds int64[cells + 1], and own float32[n], see `Cells.assign`."""

    layout: Layout
    own: NDArray[np.float32]
    bounds: NDArray[np.int64]
    cells: Cells

    def visits(self, tau: float, threads: int = 1, progress: Progress | None = None) -> Visits:
        """Return which rows visit which cells."""
        everyone = slice(0, len(self.layout))
        visits = find_visits(
            self.layout.codes, self.own, self.bounds, self.cells, tau, everyone,
            threads=threads, progress=progress,
        )  # fmt: skip
        return Visits.of(visits, len(self.cells))

    def meets_nearly_all(self, visits: Visits) -> bool:
        """Return whether so many pairs would meet that all of them are cheaper."""
        pairs = float(np.diff(visits.starts) @ np.diff(self.bounds))
        return pairs > _MOST_PAIRS * float(len(self.layout)) ** 2

    def probes(self, visits: Visits) -> int:
        """Return how many cells a row meets on average, rounded up."""
        return 1 + -(-int(visits.starts[-1]) // len(self.layout))


def sampled(noise: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows on which the recall is planned and measured."""
    return np.argsort(noise, kind="stable")[-RECALL_SAMPLE:]


def training_rows(noise: NDArray[np.float64], k: int) -> tuple[NDArray[np.int64], int]:
    """Return the rows that train the cells, seeds first, and how many cells there should be."""
    count = list_count(len(noise), k)
    return first_rows(noise, count * SAMPLES_PER_LIST), count


def cut(
    layout: Layout,
    own: NDArray[np.float32],
    cell: NDArray[np.int32],
    cells: Cells,
    scratch: str | Path | None = None,
) -> tuple[Cut, NDArray[np.int64]]:
    """Lay rows out by their cells; return also the order in which they lie.

    With `scratch` the vectors and codes are copied to nameless files in that folder.
    """
    order = np.argsort(cell, kind="stable")
    X, at, codes = layout.X, layout.at[order], None
    if scratch is not None:
        room = scratch_room((len(at), X.shape[1]), np.float32, scratch)
        X, at = take_rows(X, at, room), np.arange(len(at))
        codes = scratch_room(layout.codes.codes.shape, np.int8, scratch)
    laid = Layout(
        X, at, layout.squares[order], order.astype(np.int32),
        layout.codes.take(order, codes), layout.metric,
    )  # fmt: skip
    release(mapping(laid.codes.codes))
    bounds = np.searchsorted(cell[order], np.arange(len(cells) + 1))
    return Cut(laid, own[order], bounds, cells), order


def means_of(cells_cut: Cut) -> Vectors:
    """Return the mean of each cell's rows, for the cosine of their directions and of length 1."""
    layout = cells_cut.layout
    cosine = layout.metric == "cosine"
    weights = 1 / np.sqrt(layout.squares) if cosine else np.ones(len(layout))
    means = np.zeros((len(cells_cut.cells), layout.X.shape[1]))
    for begin in range(0, len(means), _MEANS):
        part = slice(begin, begin + _MEANS)
        bounds = cells_cut.bounds[begin : begin + _MEANS + 1]
        cell_means(layout.exact[1], layout.at, weights, bounds, means[part])
        release(mapping(layout.X))
    return unit_rows(means.astype(np.float32)) if cosine else means.astype(np.float32)


def list_width(n: int, k: int) -> int:
    """Return how long lists of codes are."""
    return min(k + _SPARE, n - 1)


def seek(steps: Steps, plan: Plan, target_recall: float) -> tuple[Recall, int]:
    """Join as far as planned, and further while the recall is below the target."""
    tau, rounds = plan.tau(target_recall), 0
    while True:
        recall = steps.join(tau)
        if recall is None:
            return PERFECT, 0
        rounds += 1
        if recall.low >= target_recall or tau >= EVERYTHING or rounds == _MOST_ROUNDS:
            return recall, rounds
        tau = plan.more(tau, target_recall, recall)


class Steps(Protocol):
    """What a join is made of: done in one piece, or shard by shard."""

    def join(self, tau: float) -> Recall | None:
        """Let rows meet as far as tau, and measure the recall; None where all pairs should meet."""


class _Whole:
    """The steps of a join in one piece."""

    def __init__(
        self,
        cells_cut: Cut,
        k: int,
        sample: NDArray[np.int64],
        worst: NDArray[np.float64],
        threads: int,
        progress: Progress | None,
    ) -> None:
        self._cut, self._k, self._sample, self._worst = cells_cut, k, sample, worst
        self._threads, self._progress = threads, progress
        n = len(cells_cut.layout)
        groups = min(_GROUPS_PER_THREAD * threads, _MOST_GROUPS, len(cells_cut.cells))
        cells = np.searchsorted(cells_cut.bounds[:-1], np.linspace(0, n, groups + 1)[1:-1])
        self._ends = np.concatenate([[0], cells, [len(cells_cut.cells)]])
        self._lists = empty_code_lists(n, list_width(n, k))
        self._joined = False
        self.visits: Visits | None = None

    def join(self, tau: float) -> Recall | None:
        cells_cut, threads, progress = self._cut, self._threads, self._progress
        visits = self.visits = cells_cut.visits(tau, threads, progress)
        if cells_cut.meets_nearly_all(visits):
            return None
        first = not self._joined
        scanned = cells_cut.layout.codes.scanned()
        mapped = mapping(cells_cut.layout.codes.codes)

        def meet(pair: tuple[int, int]) -> None:
            one, other = pair
            everyone = 0, len(cells_cut.layout)
            tasks = [(kernels.TRIANGLE, one, everyone)] if one == other and first else []
            for guests, hosts in {(one, other), (other, one)}:
                rows = (
                    cells_cut.bounds[self._ends[guests]],
                    cells_cut.bounds[self._ends[guests + 1]],
                )
                tasks.append((kernels.AMONG, hosts, rows))
            for how, hosts, rows in tasks:
                kernels.meet_cells(
                    *scanned, cells_cut.bounds, self._ends[hosts], self._ends[hosts + 1],
                    visits.starts, visits.rows, *rows, how, *self._lists,
                )  # fmt: skip
            release(mapped)

        run_pairs(meet, len(self._ends) - 1, threads, "join", progress)
        self._joined = True
        keys, _ = self._finish(self._sample, slice(0, len(cells_cut.layout)), visits)
        return recall_interval((keys <= self._worst).mean(axis=1), len(cells_cut.layout))

    def _finish(self, which: NDArray[np.int64], rows: slice, visits: Visits) -> Lists:
        limits, _, listed = self._lists
        cells_cut = self._cut
        return cells_cut.layout.finish(
            which, limits[which], listed[which], self._k, cells_cut.bounds, visits, rows
        )

    def lists(self) -> Lists:
        """Return the exact lists of all rows."""
        n, visits = len(self._cut.layout), self.visits
        assert visits is not None
        # no join comes after this: the keys of codes make room for exact ones
        self._lists = self._lists[0], np.empty((0, 0), np.float32), self._lists[2]
        lists = np.empty((n, self._k)), np.empty((n, self._k), np.int32)
        part = max(_PART, -(-n // _MOST_PARTS))

        def work(begin: int) -> None:
            rows = slice(begin, min(begin + part, n))
            put(lists, rows, self._finish(np.arange(rows.start, rows.stop), rows, visits))

        run_threads(work, range(0, n, part), self._threads, "rank", self._progress)
        return lists


def block_join(
    X: Vectors,
    take: NDArray[np.int64],
    k: int,
    *,
    metric: str,
    noise: NDArray[np.float64],
    squares: NDArray[np.float64],
    target_recall: float = 0.95,
    threads: int = 1,
    progress: Progress | None = None,
    scratch: str | Path | None = None,
) -> Join:
    """Find about the k nearest neighbors of each of the rows X[take] among them.

    1. Rows become int8 codes, whose keys are compared in registers (see `assay.index.vectors.codes`).
    2. The true neighbors of 1,000 rows are found, by codes and then exactly.
    3. k-means over codes cuts the rows into cells of about 500 (or sqrt(n), or 10 k, if that is
       more), each row in that of its nearest centroid.
    4. Row i *visits* a cell if the plane half-way between that cell's centroid and its own one is at
       most tau away from it. A pair meets if both lie in one cell or one visits the other's. So the
       recall at every tau is known from the sample before any work is done; the least tau that
       reaches the target is taken.
    5. Cells meet their own rows and their visitors, every pair for both sides; lists hold k + 6.
    6. What is listed gets exact keys. Rows whose codes can't tell what is beyond their lists meet
       their cells once more, and every pair that is near enough gets its exact key.
    7. The recall is measured on the sampled rows. Should it be below the target, tau grows.

    A row that has met fewer than k others is searched exactly. Where visits would make up more than
    .4 of all pairs, all pairs are compared instead, and the result is exact.

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
    squares : float64[n]
        Squared lengths of the rows.
    target_recall : float
        Between 0 and 1.
    threads : int
        Groups of cells joined at the same time; does not change the result.
    progress : callable, optional
        Called with (stage, done, total).
    scratch : path, optional
        Folder for copies of the vectors and codes, as nameless files (default: the vectors stay
        where they are, codes are in memory).

    Returns
    -------
    Join
        Lists by position in `take`, centroids, recall, rounds, probes, and the cell of each row.

    Notes
    -----
    With cells of B rows and p visits per row it compares n p B pairs of codes, and n * (n / B) for
    the assignment. Memory beside X: n d bytes of codes (twice while they are laid out), 8 (k + 6)
    for the lists of each row and 12 k for its exact list, 4 to 12 for each visit.

    The set of pairs that meet depends on tau and the cells only, and a list holds the least (key,
    row) of the pairs that were met. So the result depends on `take`, not on the order of X, nor on
    the number of threads. The keys of codes are the same on every processor, so that the same pairs
    meet; exact keys may differ there in the last bit.

    References
    ----------
    The codes' rotation: Suresh, Yu, Kumar and McMahan, "Distributed mean estimation with limited
    communication", ICML 2017.
    """
    n = len(take)
    before = encoded(X, take, squares, metric, threads=threads, scratch=scratch)
    codes = before.codes
    sample = sampled(noise)
    true_keys, true = before.search(sample, k, threads=threads)
    if progress is not None:
        progress("search", 1, 1)
    training, count = training_rows(noise, k)
    cells = train_cells(codes.take(training), count, threads)
    own, cell = cells.assign(codes, threads)
    if progress is not None:
        progress("assign", n, n)
    plan = make_plan(codes, cells, cell, own, sample, true)
    cells_cut, order = cut(before, own, cell, cells, scratch)
    del before, codes
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    worst = true_keys[:, -1:] + 1e-12 * np.abs(true_keys[:, -1:])
    steps = _Whole(cells_cut, k, place[sample], worst, threads, progress)
    recall, rounds = seek(steps, plan, target_recall)
    if rounds == 0:
        lists = exact_join(cells_cut.layout, k, threads=threads, progress=progress)
        probes = len(cells)
    else:
        lists = steps.lists()
        probes = cells_cut.probes(steps.visits) if steps.visits is not None else 1
    centroids = means_of(cells_cut)
    del steps, cells_cut
    keys, rows = by_position(lists, order)
    return Join(keys, rows, centroids, recall, rounds, probes, cell)


def by_position(lists: Lists, order: NDArray[np.int64]) -> Lists:
    """Return lists of laid out rows as lists of the rows in the order before."""
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    number = np.append(order, -1).astype(np.int32)
    keys, rows = lists
    return ordered_rows(keys, place), ordered_rows(rows, place, lambda part: number[part])
