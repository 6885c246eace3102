"""The cells of a join: k-means over codes, and which other cells each row visits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.index.vectors import _scan_kernels as kernels
from assay.index.vectors._code_kernels import cell_sums, deal
from assay.index.vectors._tile_kernels import pack
from assay.index.vectors.codes import Codes, encode_points, nearest_codes
from assay.index.vectors.exact import Progress, run_threads

_ITERATIONS = 6
# a cell of more than so many times its share of the rows is cut up
_CROWDED = 3.0
_LEAF = 4
_ROOM = 16


@dataclass(frozen=True)
class Cells:
    """Centroids as codes, in an order in which near ones are near, and their distances."""

    centroids: Codes
    apart: NDArray[np.float32]

    @classmethod
    def of(cls, centroids: Codes) -> Cells:
        """Measure the distances, from integers, so that they are the same on every machine."""
        points = centroids.codes[:, : centroids.dimension].astype(np.float64)
        products = (points @ points.T).astype(np.float32)
        shift, scale = centroids.facts
        keys = (shift[:, None] + shift) - (np.float32(2) * scale[:, None] * scale) * products
        return cls(centroids, np.sqrt(np.maximum(keys, np.float32(0))))

    def __len__(self) -> int:
        return len(self.centroids)

    def assign(
        self, codes: Codes, threads: int = 1
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Return the squared distance to the nearest centroid of each row, and its number."""
        own, cells = nearest_codes(codes.by_distance(), self.centroids, 1, threads=threads)
        # a row so far out that its code is infinite is nowhere near any
        return own[:, 0], np.maximum(cells[:, 0], 0)


def train_cells(sample: Codes, count: int, threads: int = 1) -> Cells:
    """Return cells by k-means over a sample of codes, whose first `count` rows are the seeds.

    In the third of 6 iterations cells with more than three times their share of the rows are cut up
    and empty ones go, so that a few more or fewer than `count` may come back.
    """
    sample = sample.by_distance()
    points = sample.decoded(slice(0, count))
    for iteration in range(_ITERATIONS):
        _, nearest = nearest_codes(sample, encode_points(points), 1, threads=threads)
        cells = np.maximum(nearest[:, 0], 0)
        sums, sizes = np.zeros_like(points), np.zeros(len(points), np.int64)
        cell_sums(sample.codes, sample.facts[1], cells, sums, sizes)
        points = np.where((sizes > 0)[:, None], sums / np.maximum(sizes, 1)[:, None], points)
        if iteration == 2:
            order = np.argsort(cells, kind="stable")
            starts = np.cumsum(sizes) - sizes
            share = len(sample) / len(points)
            crowded = sizes > _CROWDED * share
            pieces = np.where(crowded, np.ceil(sizes / (_CROWDED / 2 * share)).astype(int) - 1, 0)
            seeds = [order[starts[c] : starts[c] + pieces[c]] for c in np.flatnonzero(pieces)]
            cut = sample.decoded(np.concatenate(seeds or [order[:0]]))
            points = np.concatenate([points[sizes > 0], cut])
    return Cells.of(encode_points(points[_near_together(points)]))


def _near_together(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return an order of points in which near ones stand near: halves along their longest extent."""
    parts = [np.arange(len(points))]
    while max(map(len, parts)) > _LEAF:
        parts = [half for part in parts for half in _halves(points, part)]
    return np.concatenate(parts)


def _halves(points: NDArray[np.float64], part: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    if len(part) <= _LEAF:
        return [part]
    here = points[part]
    one = here[np.argmax(((here - here.mean(axis=0)) ** 2).sum(axis=1))]
    other = here[np.argmax(((here - one) ** 2).sum(axis=1))]
    along = (here * (other - one)).sum(axis=1)
    order = part[np.argsort(along, kind="stable")]
    return [order[: len(order) // 2], order[len(order) // 2 :]]


@dataclass(frozen=True)
class Visits:
    """Which rows visit each cell: rows[starts[c] : starts[c + 1]], ascending."""

    starts: NDArray[np.int64]
    rows: NDArray[np.int32]

    @classmethod
    def of(cls, parts: list[tuple[NDArray[np.int32], NDArray[np.int32]]], cells: int) -> Visits:
        """Put (rows, cells) of several slices together."""
        starts = np.zeros(cells + 1, np.int64)
        for _, where in parts:
            starts[1:] += np.bincount(where, minlength=cells)
        np.cumsum(starts, out=starts)
        dealt = np.empty(starts[-1], np.int32)
        ends, ascending = starts[:-1].copy(), True
        for rows, where in parts:
            ascending &= deal(rows, where, starts, ends, dealt)
        if not ascending:
            dealt = dealt[np.lexsort((dealt, np.repeat(np.arange(cells), np.diff(starts))))]
        return cls(starts, dealt)


def find_visits(
    codes: Codes,
    own: NDArray[np.float32],
    bounds: NDArray[np.int64],
    cells: Cells,
    tau: float,
    rows: slice,
    *,
    threads: int = 1,
    progress: Progress | None = None,
) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """Return parts (rows, cells): which of the rows, laid out cell by cell, visit which others.

    A row visits a cell if the plane half-way between its centroid and that of the row's own cell is
    at most `tau` away, own[i] being the squared distance to the latter.
    """
    kind, steps, *arrays = codes.scanned()
    columns = pack(kind, cells.centroids.codes, steps)
    low = int(np.searchsorted(bounds, rows.start, side="right")) - 1
    high = int(np.searchsorted(bounds, rows.stop, side="left"))
    by_cell: dict[int, tuple[NDArray[np.int32], NDArray[np.int32]]] = {}

    def work(cell: int) -> None:
        begin, end = max(int(bounds[cell]), rows.start), min(int(bounds[cell + 1]), rows.stop)
        if begin >= end:
            return
        furthest = own[bounds[cell] : bounds[cell + 1]].max(initial=0.0)
        radius = np.float32(np.sqrt(max(0.0, float(furthest))) * 1.0001)
        room = max(64, _ROOM * (end - begin))
        while True:
            out = np.empty(room, np.int32), np.empty(room, np.int32)
            count = kernels.visits(
                kind, steps, *arrays, own, begin, end, cell, cells.apart[cell], np.float32(tau),
                radius, columns, cells.centroids.facts, *out,
            )  # fmt: skip
            if count <= room:
                break
            room = count
        by_cell[cell] = out[0][:count].copy(), out[1][:count].copy()

    run_threads(work, range(low, high), threads, "visit", progress)
    return [by_cell[cell] for cell in sorted(by_cell)]
