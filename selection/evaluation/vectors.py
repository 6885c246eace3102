"""Measures of a selection that need the vectors of the pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.index.vectors.checks import finite_rows
from assay.index.vectors.exact import unit_rows
from assay.index.vectors.mapped import take_rows
from assay.selection.algorithms.representation import lists_nearest
from assay.selection.contract.inputs import Floats, Rows
from assay.selection.contract.row_order import rows_by_content
from assay.selection.evaluation.coverage import coverage, nearest_distances
from assay.selection.evaluation.discrepancy import mean_between, mean_within, median_bandwidth
from assay.selection.evaluation.divergence import backed_off_divergence, cell_of, fit_cells
from assay.selection.evaluation.estimates import Estimate, Figure
from assay.selection.evaluation.spread import spread
from assay.storage.errors import InputError, NonFiniteError
from assay.storage.hashing.rows import first_rows, hash_rows

Vectors = NDArray[np.float32]
Measure = Callable[[Rows], Mapping[str, Figure]]

# rows of each side in a kernel sum
_KERNEL_ROWS = 2_048
# rows of each side that cells are fitted on
_FIT_ROWS = 5_000
_MOST_CELLS = 128
_BLOCK = 16_384
# chosen rows that distances are measured to at once
_CENTERS = 32_768


class Space:
    """The vectors of the pool, read a few rows at a time."""

    def __init__(self, X: Any, unit: bool) -> None:
        try:
            self._X = np.asarray(X)
            numeric = self._X.dtype.kind in "biuf"
        except (TypeError, ValueError) as error:
            raise InputError(f"X is not a numeric array: {error}.") from error
        if self._X.ndim != 2 or not numeric:
            raise InputError(
                f"X has shape {self._X.shape} and type {self._X.dtype}; pass vectors of shape "
                "(n, d), or texts."
            )
        self._unit = unit
        self.dimensions = self._X.shape[1]

    def rows(self, rows: Rows) -> Vectors:
        return self.vectors(take_rows(self._X, rows))

    def vectors(self, values: NDArray[Any]) -> Vectors:
        vectors = np.ascontiguousarray(values, dtype=np.float32)
        if not finite_rows(vectors).all():
            raise NonFiniteError("X holds NaN or infinite values; drop or impute those rows first.")
        return unit_rows(vectors) if self._unit else vectors

    def hashes(self, rows: Rows) -> NDArray[Any]:
        # + 0 makes -0.0 and 0.0 one
        return hash_rows(np.ascontiguousarray(take_rows(self._X, rows) + 0))


def vector_measures(
    space: Space, rows_measured: Rows, pool_noise: Floats, sample: int, graph: Any = None
) -> list[Measure]:
    queries = space.rows(rows_measured)
    listed = _lists_of(graph, rows_measured)
    n = len(pool_noise)
    held = first_rows(pool_noise, _KERNEL_ROWS)
    of_pool = space.rows(held)
    bandwidth = median_bandwidth(of_pool)
    within = mean_within(of_pool, bandwidth)

    def cover(rows: Rows) -> dict[str, Figure]:
        distances = np.empty(len(rows_measured))
        first = _first_listed(listed, rows)
        near = np.flatnonzero(first >= 0)
        apart = queries[near].astype(np.float64) - space.rows(first[near])
        distances[near] = np.sqrt((apart**2).sum(axis=1))
        far = np.flatnonzero(first < 0)
        if len(far):
            near_ones = [
                nearest_distances(queries[far], space.rows(rows[begin : begin + _CENTERS]))
                for begin in range(0, len(rows), _CENTERS)
            ]
            distances[far] = np.minimum.reduce(near_ones)
        figures = coverage(distances, np.isin(rows_measured, rows), n)
        return {f"coverage.{name}": value for name, value in figures.items()}

    def discrepancy(rows: Rows) -> dict[str, Figure]:
        some = rows[:_KERNEL_ROWS]
        vectors = space.rows(some)
        between = mean_between(vectors, of_pool, bandwidth, len(np.intersect1d(some, held)))
        value = mean_within(vectors, bandwidth) + within - 2 * between
        return {"cmmd_pool": _of_some(value, ((len(some), len(rows)), (len(held), n)))}

    def spread_of(rows: Rows) -> dict[str, Figure]:
        some = rows[:sample]
        figures = spread(space.rows(some))
        return {
            f"spread.{name}": _of_some(figure, [(len(some), len(rows))])
            for name, figure in figures.items()
        }

    return [cover, discrepancy, spread_of]


def _of_some(value: float, sides: Sequence[tuple[int, int]]) -> Figure:
    """Return a figure of some rows of each side, given as rows measured and rows there are."""
    sampled = [measured for measured, rows in sides if measured < rows]
    return Estimate(value, min(sampled)) if sampled else value


def _lists_of(graph: Any, rows: Rows) -> Rows:
    """Return each row with the rows nearest to it, nearest first, as far as the graph lists them."""
    itself = rows[:, None]
    if not (lists_nearest(graph, "cosine") or lists_nearest(graph, "l2")):
        return itself
    return np.hstack([itself, graph.neighbors[rows].astype(np.int64)])


def _first_listed(listed: Rows, rows: Rows) -> Rows:
    """Return the first of each line's rows that is among `rows`, -1 where none is."""
    present = np.isin(listed, rows) & (listed >= 0)
    first = listed[np.arange(len(listed)), present.argmax(axis=1)]
    return np.where(present.any(axis=1), first, -1)


def target_measures(
    space: Space, target: Vectors, pool_noise: Floats, noise: Floats
) -> list[Measure]:
    pool = first_rows(pool_noise, _FIT_ROWS)
    bandwidth = median_bandwidth(space.rows(pool[:_KERNEL_ROWS]))
    of_target = target[:_KERNEL_ROWS]
    within = mean_within(of_target, bandwidth)
    both = (space.rows(pool), target[:_FIT_ROWS])
    # pool and target by turns, as the first rows are where the cells start
    turns = np.argsort(np.concatenate([np.arange(len(side)) for side in both]), kind="stable")
    cells = min(_MOST_CELLS, max(2, len(target) // 10))
    centers = fit_cells(np.concatenate(both)[turns], cells)
    codes = np.empty(len(noise), dtype=np.int64)
    order = np.argsort(noise)
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        codes[block] = cell_of(space.rows(block), centers)

    def counts(of: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bincount(of, minlength=len(centers))

    wanted = counts(cell_of(target, centers))
    in_pool = counts(codes)
    before = backed_off_divergence(wanted, in_pool, in_pool)

    def divergence(rows: Rows) -> dict[str, float]:
        after = backed_off_divergence(wanted, counts(codes[rows]), in_pool)
        return {"kl_target": after, "kl_target_reduction": before - after}

    def discrepancy(rows: Rows) -> dict[str, Figure]:
        vectors = space.rows(rows[:_KERNEL_ROWS])
        between = mean_between(vectors, of_target, bandwidth)
        value = mean_within(vectors, bandwidth) + within - 2 * between
        sides = ((len(vectors), len(rows)), (len(of_target), len(target)))
        return {"cmmd_target": _of_some(value, sides)}

    return [divergence, discrepancy]


def target_vectors(target: Any, space: Space) -> Vectors:
    """Return the target's vectors in an order that depends on their contents only."""
    values = np.asarray(target)
    if values.ndim != 2 or values.shape[1] != space.dimensions or len(values) == 0:
        raise InputError(
            f"target has shape {values.shape}; X holds vectors of {space.dimensions} numbers, so "
            "pass the target's vectors, of shape (m, d)."
        )
    vectors = space.vectors(values)
    return vectors[rows_by_content(vectors)]
