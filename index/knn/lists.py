"""The lists of a block join: the k best so far of rows that are laid out cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.index.vectors import _knn_kernels as kernels
from assay.index.vectors.centroids import assign
from assay.index.vectors.checks import Vectors
from assay.index.vectors.exact import (
    COLUMN_BLOCK,
    QUERY_BLOCK,
    BlockScan,
    Progress,
    empty_lists,
    exact_knn,
    run_threads,
)
from assay.index.vectors.mapped import release

BREADTH = 24


@dataclass(frozen=True)
class Layout:
    """The rows of a join, laid out cell by cell.

    Attributes
    ----------
    searched : BlockScan
        Their vectors; its `rank` says which row of `take` each is.
    met : int32[n, probes]
        The nearest cells of each row, nearest first.
    centroids : float32[cells, d]
    sample : int64[m]
        The rows on which the recall is measured.
    """

    searched: BlockScan
    met: NDArray[np.int32]
    centroids: Vectors
    sample: NDArray[np.int64]


class Lists:
    """The k best so far of the rows first, first + 1, ... of a layout (default: of all)."""

    def __init__(
        self,
        layout: Layout,
        k: int,
        threads: int,
        progress: Progress | None = None,
        *,
        first: int = 0,
        count: int | None = None,
    ) -> None:
        self._layout = layout
        self.searched = layout.searched
        self.first = first
        count = len(layout.met) if count is None else count
        self.keys, self.rows = empty_lists(count, k)
        self.met = layout.met[first : first + count, :0]
        self.cells = layout.met[:, 0].copy()
        self.bounds = np.searchsorted(self.cells, np.arange(len(layout.centroids) + 1))
        self._threads = threads
        self._progress = progress

    def nearest(self, probes: int) -> NDArray[np.int32]:
        """Return the nearest cells of the rows."""
        part = slice(self.first, self.first + len(self.rows))
        known = self._layout.met
        if probes <= known.shape[1]:
            return np.ascontiguousarray(known[part, :probes])
        return assign(
            self.searched.X[part],
            self._layout.centroids,
            self.searched.metric,
            probes,
            threads=self._threads,
            progress=self._progress,
        )

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
                    itself = slots + self.first
                    self.searched.scan(
                        self.searched.X[itself], slots, itself, blocks, self.keys, self.rows
                    )

            run_threads(work, range(len(self.bounds) - 1), self._threads, "join", self._progress)
        self.met = met

    def expand(self, everyone: NDArray[np.int32] | None = None) -> None:
        """Try the neighbors of neighbors, and of the rows on whose lists a row stands.

        `everyone` are the lists of all rows, where these are not all.
        """
        everyone = self.rows if everyone is None else everyone
        k = self.keys.shape[1]
        places = np.arange(len(everyone))
        starts, sources = kernels.reverse_lists(everyone, places)
        own = places[self.first : self.first + len(self.rows)]
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
                everyone,
                starts,
                sources,
                min(k, BREADTH),
                own[part],
                len(self.bounds) - 1,
                self.keys[part],
                rows[part],
            )
            release(self.searched.mapped)

        run_threads(work, range(0, len(own), 2_048), self._threads, "expand", self._progress)
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
