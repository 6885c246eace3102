"""Some rows meet the rows of some cells, by codes, and enter each other's lists."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay.index.knn.block_join import list_width
from assay.index.knn.cells import Visits
from assay.index.knn.layout import Layout
from assay.index.knn.updatable_lists import NeighborLists, Rows, keys_above
from assay.index.vectors import _scan_kernels as kernels
from assay.index.vectors.code_limits import likely


class CellMeeting:
    """Rows that lie in cells, as int8 codes, for others to meet.

    Parameters
    ----------
    lists : NeighborLists
        Those that are improved.
    members : int64[m]
        The rows that can be met, and those that meet them.
    cells : int32[n]
        The cell of every member.
    count : int
        How many cells there are.
    """

    def __init__(
        self, lists: NeighborLists, members: Rows, cells: NDArray[np.int32], count: int
    ) -> None:
        self._lists = lists
        inside = np.zeros(len(lists.rows), bool)
        inside[members] = True
        by_id = lists.order[inside[lists.order]]
        self._rows = by_id[np.argsort(cells[by_id], kind="stable")]
        self._bounds = np.searchsorted(cells[self._rows], np.arange(count + 1))
        whole = lists.layout
        at = lists.place[self._rows]
        self._layout = Layout(
            whole.X, self._rows, whole.squares[at], lists.searched.rank[self._rows],
            whole.codes.take(at), whole.metric,
        )  # fmt: skip

    def meet(self, guests: Rows, met: NDArray[np.int32], *, both: bool = False) -> None:
        """Let the members guests[s] meet the cells met[s], their own first.

        The guests list the best of what they met and of what they listed before; with `both`, so do
        the rows that they met.
        """
        lists, layout = self._lists, self._layout
        place = np.empty(len(lists.rows), np.int64)
        place[self._rows] = np.arange(len(self._rows))
        at = place[guests]
        visits = self._visits(at, met)
        old = np.ones(len(layout), bool)
        old[at] = False
        limits = np.where(old, np.float32(-np.inf), np.float32(np.inf))
        if both:
            worst = keys_above(lists.distances[self._rows[old], -1], lists.metric)
            limits[old] = likely(
                layout.codes, np.flatnonzero(old), worst, lists.metric, layout.squares[old]
            )
        # a full list of keys at the limit, which nearer rows push out
        width = list_width(len(layout), lists.k)
        keys = np.repeat(limits, width).reshape(-1, width)
        rows = np.full(keys.shape, -1, np.int32)
        kernels.meet_cells(
            *layout.codes.scanned(), self._bounds, 0, len(self._bounds) - 1, visits.starts,
            visits.rows, 0, len(layout), kernels.AMONG, limits, keys, rows,
        )  # fmt: skip
        others = self._visits(at, met[:, 1:])
        found, nearest = layout.finish(
            at, limits[at], rows[at], lists.k, self._bounds, others, slice(0, len(layout))
        )
        named = np.append(self._rows, -1).astype(np.int32)
        lists.enter(guests, *lists.rank(guests, lists.rows[guests], (found, named[nearest])))
        if both:
            lists.offer(self._doubtful(old & (rows[:, -1] >= 0), visits))
            near = np.flatnonzero(old & (rows >= 0).any(axis=1))
            # guests too far out to have a code are met by their own lists alone
            coded = np.repeat(np.isfinite(layout.codes.errors[at]), lists.k)
            back = ~coded & (nearest.ravel() >= 0) & old[nearest.ravel()]
            offered = np.full((int(back.sum()), rows.shape[1]), -1, np.int32)
            offered[:, 0] = np.repeat(guests, lists.k)[back]
            lists.enter_offered(
                np.concatenate([self._rows[near], self._rows[nearest.ravel()[back]]]),
                np.concatenate([named[rows[near]], offered]),
            )

    def _doubtful(self, full: NDArray[np.bool_], visits: Visits) -> list[tuple[Rows, Rows]]:
        """Return cell by cell the rows whose lists of codes may be too short, and what they met."""
        starts, bounds = visits.starts, self._bounds
        cells = np.unique(np.searchsorted(bounds, np.flatnonzero(full), side="right")) - 1
        return [
            (
                self._rows[bounds[c] + np.flatnonzero(full[bounds[c] : bounds[c + 1]])],
                np.sort(self._rows[visits.rows[starts[c] : starts[c + 1]]]),
            )
            for c in cells
        ]

    def _visits(self, at: Rows, met: NDArray[np.int32]) -> Visits:
        rows = np.repeat(at, met.shape[1]).astype(np.int32)
        return Visits.of([(rows, met.ravel())], len(self._bounds) - 1)
