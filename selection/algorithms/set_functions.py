"""Submodular functions of sets of rows on a sparse graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.selection.contract.inputs import Floats, Graph, Rows
from assay.storage.compiling import njit

FACILITY_LOCATION, SATURATED_COVERAGE, GRAPH_CUT = range(3)


class SetFunction(NamedTuple):
    """A submodular function on a graph.

    Attributes
    ----------
    kind : int
        One of the constants of this module.
    indptr, indices, weights
        Edges as compressed sparse rows, weights float32, none negative.
    own : float32[n]
        Similarity of each row to itself.
    limits : float64[n]
        Saturated coverage: the most that a row can be covered. Graph cut: the gain of each row
        when it is the first. Facility location: not read.
    least : float
        A lower bound of all gains.
    whole : float or None
        The function of all rows, where it is the greatest value there is.
    covered : int or None
        Rows that edges lead to, where those are more than the rows that may be taken.
    start : array or None
        The state before any row is taken, such as that of rows that are had already; values are then
        what is added to it.
    """

    kind: int
    indptr: NDArray[np.int64]
    indices: NDArray[Any]
    weights: NDArray[np.float32]
    own: NDArray[np.float32]
    limits: Floats
    least: float = 0.0
    whole: float | None = None
    covered: int | None = None
    start: NDArray[Any] | None = None

    def value(self, rows: Rows) -> float:
        """Return the function of a set of distinct rows."""
        gains = self.along(rows)[0]
        # one after another, as greedy adds them up
        return float(gains.cumsum()[-1]) if len(gains) else 0.0

    def along(self, rows: Rows) -> tuple[Floats, NDArray[Any]]:
        """Return what each of `rows` adds to those before it, and the state they lead to."""
        state = self.nothing()
        return _along(*self[:6], state, np.asarray(rows, dtype=np.int64)), state

    def gains(self, state: NDArray[Any]) -> Floats:
        """Return what each row would add."""
        gains: Floats = _gains(*self[:6], state)
        return gains

    def nothing(self) -> NDArray[Any]:
        """Return the state before any row is taken: the best similarities are exact as float32."""
        if self.start is not None:
            return self.start.copy()
        rows = len(self.own) if self.covered is None else self.covered
        return np.zeros(rows, np.float32 if self.kind == FACILITY_LOCATION else np.float64)

    def after(self, rows: Rows) -> tuple[SetFunction, float]:
        """Return what is added to the function of `rows`, as a function, and their own value."""
        gains, state = self.along(rows)
        return self._replace(start=state), float(gains.sum())

    def restricted(self, rows: Rows) -> SetFunction:
        """Restrict the function to sets of `rows` (sorted), which are renumbered.

        All edges of the rows are kept, so its values are those over all rows; what it holds grows
        with these edges and not with the rows there are.
        """
        degrees = self.indptr[rows + 1] - self.indptr[rows]
        indptr = np.concatenate([[0], np.cumsum(degrees)])
        edges = np.repeat(self.indptr[rows] - indptr[:-1], degrees) + np.arange(indptr[-1])
        ends = self.indices[edges]
        others = np.zeros(len(self.own), dtype=bool)
        others[ends] = True
        others[rows] = False
        known = np.concatenate([rows, np.flatnonzero(others)])
        place = np.empty(len(self.own), dtype=np.int32)
        place[known] = np.arange(len(known), dtype=np.int32)
        return self._replace(
            indptr=indptr,
            indices=place[ends],
            weights=self.weights[edges],
            own=self.own[rows],
            limits=self.limits[known] if len(self.limits) else self.limits,
            whole=None,
            covered=len(known),
            start=None if self.start is None else self.start[known],
        )


def similarities(
    graph: Graph,
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
    """Return the edges without negative similarities, and each row's similarity to itself.

    That is the larger of 1 and the row's best edge: every row represents itself best.
    """
    indptr = np.asarray(graph.indptr, dtype=np.int64)
    weights = np.maximum(np.asarray(graph.weights, dtype=np.float32), 0)
    own = np.ones(len(indptr) - 1, dtype=np.float32)
    filled = np.flatnonzero(np.diff(indptr))
    if len(filled):
        own[filled] = np.maximum(1, np.maximum.reduceat(weights, indptr[:-1][filled]))
    return indptr, np.asarray(graph.indices), weights, own


def least_edges(indptr: NDArray[np.int64], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the weight of each row's least similar edge, 0 of a row without edges."""
    least = np.zeros(len(indptr) - 1, dtype=np.float32)
    filled = np.flatnonzero(np.diff(indptr))
    if len(filled):
        least[filled] = np.minimum.reduceat(weights, indptr[:-1][filled])
    return least


def column_sums(
    indptr: NDArray[np.int64], weights: NDArray[np.float32], own: NDArray[np.float32]
) -> Floats:
    """Return the sum of the similarities of each row to all rows, itself included."""
    totals = np.concatenate([[0.0], np.cumsum(weights, dtype=np.float64)])
    sums: Floats = own + (totals[indptr[1:]] - totals[indptr[:-1]])
    return sums


@njit(inline="always")
def gain_of(
    kind: Any, indptr: Any, indices: Any, weights: Any, own: Any, limits: Any, state: Any, row: Any
) -> Any:  # pragma: no cover
    """Return what `row` would add."""
    if kind == GRAPH_CUT:
        return limits[row] - 2 * state[row]
    here = np.float64(own[row])
    if kind == FACILITY_LOCATION:
        total = here - state[row]
        for edge in range(indptr[row], indptr[row + 1]):
            total += max(0.0, weights[edge] - state[indices[edge]])
    else:
        total = min(here, max(0.0, limits[row] - state[row]))
        for edge in range(indptr[row], indptr[row + 1]):
            other = indices[edge]
            total += min(np.float64(weights[edge]), max(0.0, limits[other] - state[other]))
    return total


@njit(inline="always")
def take(
    kind: Any, indptr: Any, indices: Any, weights: Any, own: Any, state: Any, row: Any
) -> None:  # pragma: no cover
    """Enter `row` into the set: how well each row is represented, or covered, or has been cut."""
    if kind == FACILITY_LOCATION:
        state[row] = own[row]
        for edge in range(indptr[row], indptr[row + 1]):
            if weights[edge] > state[indices[edge]]:
                state[indices[edge]] = weights[edge]
    else:
        state[row] += own[row]
        for edge in range(indptr[row], indptr[row + 1]):
            state[indices[edge]] += weights[edge]


@njit(cache=True, nogil=True)
def _along(
    kind: Any, indptr: Any, indices: Any, weights: Any, own: Any, limits: Any, state: Any, rows: Any
) -> Any:  # pragma: no cover
    """Take `rows` one after another; return what each adds."""
    gains = np.empty(len(rows))
    for place in range(len(rows)):
        gains[place] = gain_of(kind, indptr, indices, weights, own, limits, state, rows[place])
        take(kind, indptr, indices, weights, own, state, rows[place])
    return gains


@njit(cache=True, nogil=True)
def _gains(
    kind: Any, indptr: Any, indices: Any, weights: Any, own: Any, limits: Any, state: Any
) -> Any:  # pragma: no cover
    """Return what each row would add."""
    gains = np.empty(len(own))
    for row in range(len(own)):
        gains[row] = gain_of(kind, indptr, indices, weights, own, limits, state, row)
    return gains
