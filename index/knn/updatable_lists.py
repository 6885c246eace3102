"""Lists of neighbors that are updated in place: entered again and given their copies."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.knn.layout import CODES_FROM, Layout, Lists
from assay.index.vectors import _knn_kernels as kernels
from assay.index.vectors.checks import Vectors, equal_rows, id_order
from assay.index.vectors.code_search import exact_knn
from assay.index.vectors.codes import encode, frame_of
from assay.index.vectors.exact import (
    COLUMN_BLOCK,
    BlockScan,
    Recall,
    distances_of,
    empty_lists,
    frozen,
    recall_interval,
    run_threads,
)

Keys = NDArray[np.float64]
Rows = NDArray[np.integer]

_CHUNK = 2_048
_SEARCHED = 65_536
_MEASURED = 200


def keys_above(distances: NDArray[np.float32], metric: str) -> Keys:
    """Return keys a little above those that were rounded to `distances`."""
    above = np.nextafter(distances, np.float32(np.inf)).astype(np.float64)
    if metric == "l2":
        return above * above * (1.0 + 1e-15)
    return above - (1.0 - 1e-15) if metric == "cosine" else above


def _greatest(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the places of the greatest values, as a stable sort has them at its end."""
    places = np.arange(len(values))
    if len(values) > count:
        places = np.flatnonzero(values >= np.partition(values, -count)[-count])
    return places[np.argsort(values[places], kind="stable")[-count:]]


class NeighborLists:
    """The lists of all rows, changed row by row; keys are those of `_knn_kernels`.

    Parameters
    ----------
    X : float32[n, d]
        All rows, those that are to be removed too.
    neighbors, distances : int32[n, k], float32[n, k]
        Taken over and written to.
    metric : {'cosine', 'l2', 'ip'}
    ids : Series of str, optional
    threads : int
    gone : bool[n], optional
        Rows that no list may hold from now on.
    new : bool[n], optional
        Rows that have no lists yet, where none are gone.
    """

    def __init__(
        self,
        X: Vectors,
        neighbors: NDArray[np.int32],
        distances: NDArray[np.float32],
        metric: str,
        ids: pl.Series | None,
        threads: int,
        gone: NDArray[np.bool_] | None = None,
        new: NDArray[np.bool_] | None = None,
    ) -> None:
        self.order = id_order(ids, len(X))
        rank = np.empty(len(X), np.int32)
        rank[self.order] = np.arange(len(X), dtype=np.int32)
        self.searched = BlockScan(X, metric, rank)
        self.metric = metric
        self.rows = neighbors
        self.distances = distances
        self.changed = np.zeros(len(X), bool)
        self.threads = threads
        present = np.ones(len(X), bool) if metric != "cosine" else self.searched.squares > 0
        self.listed = present if gone is None else present & ~gone
        # the rows that lists held before
        self.known = present if new is None else present & ~new

    @property
    def k(self) -> int:
        return int(self.rows.shape[1])

    def enter(self, which: Rows, keys: Keys, rows: NDArray[np.int32]) -> None:
        """Let the rows `which` have these lists."""
        self.changed[which] |= (self.rows[which] != rows).any(axis=1)
        self.rows[which] = rows
        self.distances[which] = distances_of(keys, self.metric)

    def leave_out(self, which: Rows, gone: NDArray[np.bool_]) -> None:
        """Take the rows that are `gone` off the lists of `which`, which are to be entered again."""
        rows = np.where(gone[self.rows[which]], -1, self.rows[which])
        left = np.argsort(rows < 0, axis=1, kind="stable")
        self.rows[which] = np.take_along_axis(rows, left, axis=1)
        self.changed[which] = True

    def rank(self, which: Rows, candidates: Rows, lists: Lists | None = None) -> Lists:
        """Return the k best of candidates[s], and of given lists, for each row which[s] (-1: none).

        The lists given hold k rows each, and are written to.
        """
        searched = self.searched
        keys, rows = empty_lists(len(which), self.k) if lists is None else lists

        def work(begin: int) -> None:
            part = slice(begin, begin + _CHUNK)
            kernels.rank_candidates(
                searched.code,
                frozen(searched.X[which[part]]),
                searched.squares[which[part]],
                candidates[part].astype(np.int64),
                searched.X,
                searched.squares,
                searched.rank,
                keys[part],
                rows[part],
            )

        run_threads(work, range(0, len(which), _CHUNK), self.threads)
        return keys, rows

    def merge(self, keys: Keys, rows: NDArray[np.int32]) -> tuple[Keys, NDArray[np.int32]]:
        """Return the k best of each line of entries, which are different rows (-1: none)."""
        rank = np.append(self.searched.rank, np.int32(2**31 - 1))[rows]
        best = np.lexsort((rank, keys), axis=1)[:, : self.k]
        return np.take_along_axis(keys, best, axis=1), np.take_along_axis(rows, best, axis=1)

    def search(
        self, which: Rows, among: NDArray[np.bool_] | None = None
    ) -> tuple[Keys, NDArray[np.int32]]:
        """Return the lists of the rows `which` among all listed (or known) rows, exactly."""
        X, rank = self.searched.X, self.searched.rank
        among = self.listed if among is None else among
        if float(len(which)) * among.sum() * X.shape[1] >= CODES_FROM:
            layout = self._coded.first(int(among.sum()))
            keys, places = layout.search(self.place[which], self.k, threads=self.threads)
            return keys, np.append(layout.at, -1).astype(np.int32)[places]
        keys, rows = empty_lists(len(which), self.k)
        listed = np.flatnonzero(among)
        for begin in range(0, len(listed), _SEARCHED):
            part = listed[begin : begin + _SEARCHED]
            place = np.minimum(np.searchsorted(part, which), len(part) - 1)
            near = exact_knn(
                X[which],
                BlockScan(X[part], self.metric, rank[part]),
                self.k,
                itself=np.where(part[place] == which, place, -1),
                threads=self.threads,
            )
            neighbors = np.append(part, -1).astype(np.int32)[near[1]]
            keys, rows = self.merge(np.hstack([keys, near[0]]), np.hstack([rows, neighbors]))
        return keys, rows

    def recall(self, noise: NDArray[np.float64], among: NDArray[np.bool_] | None = None) -> Recall:
        """Measure the recall on the 200 rows without copies whose noise is greatest.

        Lists are compared with the nearest of all listed rows (or of all known ones).
        """
        among = self.listed if among is None else among
        sizes = np.bincount(self.group[among], minlength=len(among))
        pool = np.flatnonzero(among & (sizes[self.group] == 1))
        if not len(pool):
            pool = np.flatnonzero(among)
        sample = pool[_greatest(noise[pool], _MEASURED)]
        worst = self.search(sample, among)[0][:, -1:]
        keys, _ = self.rank(sample, self.rows[sample])
        near = keys <= worst + 1e-12 * np.abs(worst)
        return recall_interval(near.mean(axis=1), len(pool))

    def offer(self, pairs: list[tuple[Rows, Rows]]) -> Rows:
        """Let the rows of each pair's first part list the near ones of its second; return which do.

        The second parts ascend.
        """
        offered: list[tuple[Rows, NDArray[np.int32]] | None] = [None] * len(pairs)

        def work(at: int) -> None:
            offered[at] = self._nearer(*pairs[at])

        run_threads(work, range(len(pairs)), self.threads)
        hits = [pair for pair in offered if pair is not None]
        if not hits:
            return np.empty(0, np.int64)
        return self.enter_offered(*(np.concatenate(part) for part in zip(*hits, strict=True)))

    def enter_offered(self, hit: Rows, offered: NDArray[np.int32]) -> Rows:
        """Let each row hit[s] list the near ones of offered[s] (-1: none); return those rows.

        A row may stand several times in `hit`.
        """
        order = np.argsort(hit, kind="stable")
        which, first, counts = np.unique(hit[order], return_index=True, return_counts=True)
        slots = np.empty(len(hit), np.int64)
        slots[order] = np.arange(len(hit)) - np.repeat(first, counts)
        width = offered.shape[1]
        beside = np.full((len(which), counts.max(initial=0), width), -1, np.int32)
        beside[np.searchsorted(which, hit), slots] = offered
        lists = self.rank(which, beside.reshape(len(which), counts.max(initial=0) * width))
        bound = keys_above(self.distances[which, -1], self.metric)
        near = lists[0][:, 0] <= bound
        which, lists = which[near], (lists[0][near], lists[1][near])
        self.enter(which, *self.rank(which, self.rows[which], lists))
        return which

    def _nearer(self, which: Rows, offered: Rows) -> tuple[Rows, NDArray[np.int32]]:
        """Return those rows of `which` that some offered ones are near enough to, and these."""
        columns = BlockScan(self.searched.X[offered], self.metric)
        # one more stands for the last row on each list now, behind offered ones that are as near
        columns.rank = np.append(self.searched.rank[offered], np.int32(2**31 - 1))
        shape = len(which), self.k
        bound = keys_above(self.distances[which, -1:], self.metric)
        keys = np.broadcast_to(bound, shape).copy()
        last = np.where(self.rows[which, -1:] < 0, -1, len(offered)).astype(np.int32)
        rows = np.broadcast_to(last, shape).copy()
        place = np.minimum(np.searchsorted(offered, which), len(offered) - 1)
        itself = np.where(offered[place] == which, place, -1)
        ends = range(0, len(offered), COLUMN_BLOCK)
        blocks = [(b, min(b + COLUMN_BLOCK, len(offered))) for b in ends]
        columns.scan(self.searched.X[which], np.arange(len(which)), itself, blocks, keys, rows)
        entered = (rows >= 0) & (rows < len(offered))
        hit = np.flatnonzero(entered.any(axis=1))
        named = np.append(offered, -1).astype(np.int32)
        return which[hit], named[np.where(entered[hit], rows[hit], -1)]

    @cached_property
    def _coded(self) -> Layout:
        """Known and listed rows as codes, first those that are both."""
        searched = self.searched
        take = self.order[self.listed[self.order]]
        frame = frame_of(searched.X, take, searched.squares[take], self.metric)
        # in order of row, as a mapped file is read
        at = np.concatenate(
            [
                np.flatnonzero(self.known & self.listed),
                np.flatnonzero(self.known ^ self.listed),
            ]
        )
        squares = searched.squares[at]
        codes = encode(searched.X, at, squares, frame, threads=self.threads)
        return Layout(searched.X, at, squares, searched.rank[at], codes, self.metric)

    @cached_property
    def layout(self) -> Layout:
        """All listed rows as codes."""
        return self._coded.first(int(self.listed.sum()))

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """Where listed rows stand in the layout."""
        place = np.full(len(self.rows), -1, np.int64)
        place[self._coded.at] = np.arange(len(self._coded))
        return place

    @cached_property
    def _groups(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        groups = equal_rows(self.searched.X, self.order, self.searched.squares)
        members = self.order[groups.members]
        group = np.empty(len(members), np.int64)
        group[members] = np.repeat(np.arange(len(groups.starts) - 1), np.diff(groups.starts))
        members = members[self.listed[members]]
        sizes = np.bincount(group[members], minlength=len(groups.starts) - 1)
        return group, np.concatenate([[0], np.cumsum(sizes)]), members

    @property
    def group(self) -> NDArray[np.int64]:
        """The number of every row's group of equal rows."""
        return self._groups[0]

    @cached_property
    def crowded(self) -> NDArray[np.bool_]:
        """Which rows are equal to some other listed row."""
        group, starts, _ = self._groups
        return (np.diff(starts) > 1)[group]

    def copies(self, which: Rows) -> Rows:
        """Return the listed rows that equal some of the rows `which`, these among them."""
        group, starts, members = self._groups
        wanted = np.zeros(len(starts) - 1, bool)
        wanted[group[which]] = True
        return members[wanted[group[members]]]

    def enter_with_copies(self, which: Rows, sources: Rows) -> None:
        """Give each row which[s] the best of the rows that equal sources[s, ...] (-1: none)."""
        group, starts, members = self._groups
        offsets = np.arange(self.k + 1)
        for begin in range(0, len(which), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            groups = np.sort(np.where(sources[part] < 0, -1, group[sources[part]]), axis=1)
            groups[:, 1:][groups[:, 1:] == groups[:, :-1]] = -1
            first = starts[groups][..., None] + offsets
            present = (first < starts[groups + 1][..., None]) & (groups >= 0)[..., None]
            candidates = np.where(present, members[np.where(present, first, 0)], -1)
            candidates = candidates.reshape(len(groups), -1)
            candidates[candidates == which[part, None]] = -1
            self.enter(which[part], *self.rank(which[part], candidates))
