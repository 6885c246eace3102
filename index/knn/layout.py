"""Rows laid out for a join, with the steps that exact and approximate searches share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.index.knn.cells import Visits
from assay.index.vectors import _scan_kernels as kernels
from assay.index.vectors._knn_kernels import METRICS
from assay.index.vectors.checks import Vectors
from assay.index.vectors.code_limits import likely, odd_rows, sure
from assay.index.vectors.codes import Codes, encode, frame_of, nearest_codes
from assay.index.vectors.exact import empty_lists, frozen, run_alone
from assay.storage.disk.pages import mapping, release

Lists = tuple[NDArray[np.float64], NDArray[np.int32]]
Rows = NDArray[np.int64]

# from so many steps on, exact search goes by codes
CODES_FROM = 1e9
# candidates of a search of all codes
_CANDIDATES = 64
_PART = 4_096
# a part reads all codes once more
_LEAST_PART = 240
_COLUMNS = 8_192


@dataclass(frozen=True)
class Layout:
    """Rows in some order: place i holds the vector X[at[i]].

    Attributes
    ----------
    X : float32[m, d]
    at : int64[n]
    squares : float64[n]
        Squared lengths.
    rank : int32[n]
        Order in which rows with equal keys are listed.
    codes : Codes
    metric : {'l2', 'cosine', 'ip'}
    """

    X: Vectors
    at: Rows
    squares: NDArray[np.float64]
    rank: NDArray[np.int32]
    codes: Codes
    metric: str

    def __len__(self) -> int:
        return len(self.at)

    def first(self, count: int) -> Layout:
        """Return the first rows, as a view of the codes."""
        part = slice(0, count)
        return Layout(
            self.X, self.at[part], self.squares[part], self.rank[part], self.codes.take(part),
            self.metric,
        )  # fmt: skip

    @cached_property
    def exact(self) -> tuple[Any, ...]:
        """What kernels need for exact keys."""
        return METRICS[self.metric], frozen(self.X), self.at, self.squares, self.rank

    @cached_property
    def _odd(self) -> Rows:
        return odd_rows(self.codes)

    @cached_property
    def _bounds(self) -> dict[str, float]:
        usual = np.delete(np.arange(len(self)), self._odd)
        return {
            "most_error": float(self.codes.errors[usual].max(initial=0.0)),
            "longest": float(np.sqrt(self.squares[usual].max(initial=0.0))),
        }

    def rank_lists(self, which: Rows, candidates: NDArray[np.int32], k: int) -> Lists:
        """Return the k best of candidates[s] (-1: no more) for the rows `which`, by exact keys."""
        lists = empty_lists(len(which), k)
        kernels.rank_lists(*self.exact, which, candidates, *lists)
        release(mapping(self.X))
        return lists

    def unsafe(
        self, which: Rows, last: NDArray[np.float32], worst: NDArray[np.float64]
    ) -> tuple[Any, Any]:
        """Return which rows' lists of codes are too short to be sure of, and the keys to look up to.

        `last` are the last keys of these lists, and `worst` the exact keys to beat.
        """
        limits = likely(self.codes, which, worst, self.metric, self.squares[which])
        return ~(last > limits), limits

    def prove(self, which: Rows, last: NDArray[np.float32], lists: Lists) -> None:
        """Make exact lists of the rows `which` complete, of whose codes keys up to `last` were met."""
        if not len(which):
            return
        keys, rows = lists
        kernels.rank_others(*self.exact, which, self._odd, keys, rows)
        # a row too far out to have a code meets everybody
        lost = np.flatnonzero(~np.isfinite(self.codes.errors[which]))
        if len(lost):
            mine = keys[lost], rows[lost]
            kernels.rank_others(*self.exact, which[lost], np.arange(len(self)), *mine)
            keys[lost], rows[lost] = mine
        limits = np.full(len(self), -np.inf, np.float32)
        limits[which] = sure(
            self.codes, which, keys[:, -1], self.metric, self.squares[which], **self._bounds
        )
        left = which[~(last > limits[which])]
        places = np.zeros(len(self), np.int64)
        places[which] = np.arange(len(which))
        mapped = mapping(self.X)
        for begin in range(0, len(self), _COLUMNS):
            kernels.scan_exactly(
                *self.codes.scanned(), left, limits, begin, min(begin + _COLUMNS, len(self)),
                *self.exact, places, keys, rows,
            )  # fmt: skip
            release(mapped)

    def search(self, which: Rows, k: int, *, threads: int = 1) -> Lists:
        """Return the k nearest of all other rows, exactly, for the rows `which`."""
        lists = empty_lists(len(which), k)
        size = min(_PART, max(_LEAST_PART, -(-len(which) // threads)))
        wide = min(max(_CANDIDATES, 2 * k), len(self))
        # candidates lie anywhere in a mapped file, and each may bring megabytes of pages beside it
        ranked = size if mapping(self.X) is None else 1

        def work(begin: int) -> None:
            part = which[begin : begin + size]
            keys, nearest = nearest_codes(self.codes.take(part), self.codes, wide)
            mine = empty_lists(len(part), k)
            for first in range(0, len(part), ranked):
                some = slice(first, first + ranked)
                put(mine, some, self.rank_lists(part[some], nearest[some], k))
            last = keys[:, -1] if wide < len(self) else np.full(len(part), np.inf, np.float32)
            # codes of rows that are far out compare with nothing
            self.prove(part, np.where(nearest[:, -1] < 0, np.float32(-np.inf), last), mine)
            put(lists, slice(begin, begin + size), mine)

        run_alone(work, range(0, len(which), size), threads)
        return lists

    def finish(
        self,
        which: Rows,
        last: NDArray[np.float32],
        candidates: NDArray[np.int32],
        k: int,
        bounds: NDArray[np.int64],
        visits: Visits,
        rows: slice,
    ) -> Lists:
        """Return exact lists of the rows `which`, all in `rows`, from their lists of codes.

        Rows whose list of codes is too short to be sure meet their cells once more, and those that
        have met fewer than k rows all rows.
        """
        lists = self.rank_lists(which, candidates, k)
        keys, neighbors = lists
        doubtful, limits = self.unsafe(which, last, keys[:, -1])
        doubtful &= neighbors[:, -1] >= 0
        if doubtful.any():
            unsafe = np.zeros(len(self), bool)
            unsafe[which] = doubtful
            within = np.full(len(self), -np.inf, np.float32)
            within[which] = limits
            places = np.zeros(len(self), np.int64)
            places[which] = np.arange(len(which))
            kernels.look_again(
                *self.codes.scanned(), bounds, visits.starts, visits.rows, rows.start, rows.stop,
                unsafe, within, *self.exact, places, keys, neighbors,
            )  # fmt: skip
            release(mapping(self.X))
        short = np.flatnonzero(neighbors[:, -1] < 0)
        if len(short):
            keys[short], neighbors[short] = self.search(which[short], k)
        return lists


def put(lists: Lists, where: Any, piece: Lists) -> None:
    """Write a piece into lists."""
    lists[0][where], lists[1][where] = piece


def encoded(
    X: Vectors,
    take: Rows,
    squares: NDArray[np.float64],
    metric: str,
    *,
    threads: int = 1,
    scratch: str | Path | None = None,
) -> Layout:
    """Return the rows X[take] with their codes, in the order given."""
    frame = frame_of(X, take, squares, metric)
    codes = encode(X, take, squares, frame, threads=threads, scratch=scratch)
    return Layout(X, take, squares, np.arange(len(take), dtype=np.int32), codes, metric)
