"""The rows in a FAISS index, and their positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from assay.index.search.coding import Coding
from assay.index.search.kinds import (
    ADDED,
    DEFAULT_PROBES,
    FLAT_UP_TO,
    add_rows,
    new_index,
    read_rows,
    reserve_lists,
    search_among,
    search_approximately,
    stored_rows,
)
from assay.index.search.mapped_lists import CheckedLists
from assay.index.search.streamed import StreamedLists
from assay.index.threads import thread_count
from assay.index.vectors.checks import Vectors
from assay.index.vectors.code_search import exact_knn
from assay.index.vectors.exact import BlockScan, unit_rows

EXACT_UP_TO = FLAT_UP_TO
DEAD_SHARE = 0.2
Rows = Callable[[NDArray[np.int64]], Vectors]


def _none() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass
class StoredRows:
    """The rows of an index: found, added and removed by position.

    Attributes
    ----------
    kind, metric : str
    index : faiss.Index
        May hold rows that were removed (hnsw): those under no label.
    centroids : float32[lists, d], or None
    labels : int64[n]
        The label in FAISS of every entry, ascending.
    positions : int64[n]
        The position that each entry stands for, 0 .. n - 1 in any order.
    lists : CheckedLists, or None
        Where the lists are mapped, what checks them before they are read.
    coding : Coding
        What rows become in FAISS.
    streamed : StreamedLists, or None
        What is written in place of the rows in FAISS, which then holds none.
    """

    kind: str
    metric: str
    index: Any
    centroids: Vectors | None = None
    labels: NDArray[np.int64] = field(default_factory=_none)
    positions: NDArray[np.int64] = field(default_factory=_none)
    lists: CheckedLists | None = None
    coding: Coding = field(default_factory=Coding)
    streamed: StreamedLists | None = None
    _rank: NDArray[np.int32] | None = None
    _searched: BlockScan | None = None

    @classmethod
    def empty(
        cls, kind: str, metric: str, dimension: int, centroids: Vectors | None, coding: Coding
    ) -> StoredRows:
        """Return rows of `dimension` columns, none yet."""
        index = new_index(kind, metric, dimension, centroids, coding)
        return cls(kind, metric, index, centroids, coding=coding)

    def __len__(self) -> int:
        return len(self.labels)

    def default_probes(self, k: int) -> int:
        """Return the lists or the breadth of a search for k rows among all there are."""
        return DEFAULT_PROBES if self.kind == "ivf" else max(64, 2 * k)

    def append(
        self, X: Vectors, order: NDArray[np.int64], cells: NDArray[np.integer] | None = None
    ) -> None:
        """Enter X[order], in the lists cells[order] if given; row i of X gets the position i after
        those there are."""
        if self.coding.coded and self.metric != "cosine":
            self._reach(X)
        listed = None if cells is None else cells[order]
        if listed is not None and not len(self):
            reserve_lists(self.index, np.bincount(listed[listed >= 0], minlength=1))
        if self.metric == "cosine":
            self._enter(lambda part: unit_rows(X[order[part]]), len(order), listed)
        else:
            self._enter(lambda part: X[order[part]], len(order), listed)
        self.positions = np.concatenate([self.positions, order + len(self.positions)])

    def stream(self, X: Vectors, order: NDArray[np.int64], cells: NDArray[np.integer]) -> None:
        """Enter X[order] in the lists `cells` of an empty index that is only to be written."""
        assert self.centroids is not None
        self.streamed = StreamedLists(X, order, cells, self.centroids, self.metric)
        self.index.ntotal = len(order)
        self.labels, self.positions = np.arange(len(order)), order

    def write(self, path: Path) -> None:
        """Write FAISS's file of the index."""
        if self.streamed is None:
            faiss.write_index(self.index, str(path))
        else:
            self.streamed.write(path)

    def remove(self, gone: NDArray[np.bool_]) -> None:
        """Take out the positions that are `gone`; later ones move up."""
        entries = np.flatnonzero(gone[self.positions])
        if self.kind != "hnsw":
            self.index.remove_ids(np.ascontiguousarray(self.labels[entries]))
        moved = np.cumsum(~gone) - 1
        self.positions = moved[np.delete(self.positions, entries)]
        self.labels = np.delete(self.labels, entries)
        if self.kind == "flat":
            # FAISS numbers the rows of a flat index anew
            self.labels = np.arange(len(self.positions))
        self._rank = self._searched = None

    @property
    def worn(self) -> bool:
        """Whether so many removed rows are still in FAISS that it should be built again."""
        return len(self) < (1 - DEAD_SHARE) * float(self.index.ntotal)

    def build_again(self, order: NDArray[np.int64]) -> None:
        """Enter the rows at the positions `order`, all there are, into a new index."""
        labels = np.empty_like(self.labels)
        labels[self.positions] = self.labels
        self._move(labels[order], self.coding)
        self.positions = order

    def _reach(self, X: Vectors) -> None:
        """Widen the range of the codes, if need be, so that the rows X are in it."""
        wider = self.coding.reaching(X)
        if wider.reach > self.coding.reach and len(self):
            self._move(self.labels, wider)

    def _move(self, labels: NDArray[np.int64], coding: Coding) -> None:
        """Enter the rows of labels into a new index."""
        old, was = self.index, self.coding
        self.index = new_index(self.kind, self.metric, old.d, self.centroids, coding)
        self.labels, self.coding = _none(), coding
        self._enter(lambda part: was.decode(read_rows(old, labels[part])), len(labels))

    def search(
        self,
        Q: Vectors,
        k: int,
        probes: int | None,
        allowed: NDArray[np.bool_] | None,
        order: Callable[[], NDArray[np.int64]],
        vectors: Rows | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return keys float64[m, k] and positions.

        `order` returns the positions in the order in which rows with equal keys are listed. It is
        called when rows were added or removed. `vectors` returns the rows of positions: what the
        codes say is near is compared by them.
        """
        entries = slice(None) if allowed is None else np.flatnonzero(allowed[self.positions])
        labels, positions = self.labels[entries], self.positions[entries]
        if not len(labels):
            return np.full((len(Q), k), np.inf), np.full((len(Q), k), -1)
        if self._rank is None:
            by_position = np.empty(len(self), np.int32)
            by_position[order()] = np.arange(len(self), dtype=np.int32)
            self._rank = by_position[self.positions]
        rank = self._rank[entries]
        read = self._reading(vectors)
        if allowed is None and self.kind == "flat" and not self.coding.coded:
            if self._searched is None:
                self._searched = BlockScan(stored_rows(self.index), self.metric, rank)
            keys, rows = exact_knn(Q, self._searched, k, threads=thread_count())
            places = rows.astype(np.int64)
        elif allowed is not None and (self.kind == "flat" or len(labels) <= EXACT_UP_TO):
            if self.lists is not None:
                self.lists.check_all()
            keys, places = search_among(Q, k, self.metric, labels, rank, read)
        else:
            if probes is None:
                probes = ceil(self.default_probes(k) * self.index.ntotal / len(labels))
            keys, places = search_approximately(
                self.index,
                Q,
                k,
                probes,
                self.metric,
                self.centroids,
                labels,
                rank,
                read,
                self.coding,
                None if self.lists is None else self.lists.check,
            )
        return keys, np.where(places < 0, -1, positions[places])

    def _reading(self, vectors: Rows | None) -> Rows:
        """Return what reads the rows of labels: from `vectors`, or what the index holds of them."""
        if vectors is None or not self.coding.coded:
            return lambda labels: self.coding.decode(read_rows(self.index, labels))
        return lambda labels: vectors(self.positions[np.searchsorted(self.labels, labels)])

    def _enter(
        self,
        rows: Callable[[slice], Vectors],
        count: int,
        cells: NDArray[np.integer] | None = None,
    ) -> None:
        start = int(self.labels[-1]) + 1 if len(self.labels) else 0
        if self.kind == "hnsw":
            # which counts removed rows too
            start = self.index.ntotal
        labels = np.arange(start, start + count)
        for begin in range(0, count, ADDED):
            part = slice(begin, begin + ADDED)
            of = None if cells is None else cells[part]
            add_rows(
                self.index, rows(part), labels[part], self.metric, self.centroids, self.coding, of
            )
        self.labels = np.concatenate([self.labels, labels])
        self._rank = self._searched = None
