"""Lazy greedy maximisation of a submodular function of sets of rows on a sparse graph."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from assay.selection.base import Choice, Outcome, Selector
from assay.selection.inputs import Floats, Graph, Inputs, Rows

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
    """

    kind: int
    indptr: NDArray[np.int64]
    indices: NDArray[Any]
    weights: NDArray[np.float32]
    own: NDArray[np.float32]
    limits: Floats
    least: float = 0.0
    whole: float | None = None

    def value(self, rows: Rows) -> float:
        """Return the function of a set of distinct rows."""
        return float(_value(*self[:6], self.nothing(), np.asarray(rows, dtype=np.int64)))

    def nothing(self) -> NDArray[Any]:
        """Return the state of the empty set: the best similarities are exact as float32."""
        return np.zeros(len(self.own), np.float32 if self.kind == FACILITY_LOCATION else np.float64)


class LazyRanking:
    """Greedy order of the rows, computed as far as it is asked for.

    Gains are evaluated lazily: a gain computed earlier is an upper bound, so only rows whose bound
    is the highest are evaluated again. Bounds lie in buckets of equal width, and only the bucket in
    work is a heap, small enough for the processor's cache. Memory 45 bytes per row.

    Attributes
    ----------
    order : int64[n]
        The rows in the order taken, as far as `extend` went.
    gains : float64[n]
        Gain when taken; of the other rows an upper bound.
    """

    def __init__(self, function: SetFunction) -> None:
        n = len(function.own)
        self.function = function
        self.state = function.nothing()
        self.order = np.empty(n, dtype=np.int64)
        self.gains = self.next_gains()
        self._evaluated = np.zeros(n, dtype=np.int32)
        width = float(self.gains.max()) - function.least
        self._scale = n / width if width > 0 else 0.0
        self._buckets: tuple[NDArray[np.int32], NDArray[np.int32]] = _fill(
            self.gains, function.least, self._scale
        )
        self._heap = np.empty(n), np.empty(n, dtype=np.int32)
        # rows taken, rows in the heap, bucket in work, evaluations
        self._progress = np.array([0, 0, n + 1, n])

    @property
    def evaluations(self) -> int:
        """How often a gain was evaluated."""
        return int(self._progress[3])

    def extend(self, stop: int) -> None:
        """Take rows until there are `stop`."""
        _extend(
            *self.function[:6], self.state, self.function.least, self._scale, self.gains,
            self._evaluated, *self._buckets, *self._heap, self.order, self._progress, stop,
        )  # fmt: skip

    def next_gains(self) -> Floats:
        """Return what each row would add to those taken."""
        found: Floats = _gains(*self.function[:6], self.state)
        return found


class LazyGreedySelector(Selector):
    """Base of the selectors that maximise a `SetFunction` greedily, one row after another.

    The order is computed up to the budget, and goes on when `ranking_` is asked for.
    """

    needs: ClassVar[tuple[str, ...]] = ("graph",)
    nested: ClassVar[bool] = True

    @abstractmethod
    def _function(self, graph: Graph) -> SetFunction:
        """Return the function to maximise."""

    @property
    def ranking_(self) -> Rows:  # type: ignore[override]
        """All rows in order of preference, int64[n]; every budget is a prefix."""
        check_is_fitted(self)
        ranking, given = self._ranked
        ranking.extend(len(ranking.order))
        return ranking.order.copy() if given is None else given[ranking.order]

    def _select(self, inputs: Inputs, budget: int) -> Choice:
        assert inputs.graph is not None
        function = self._function(inputs.graph)
        ranking = LazyRanking(function)
        ranking.extend(budget)
        self._ranked = ranking, inputs.order
        chosen = ranking.order[:budget].copy()
        gains = ranking.gains[chosen]
        scores = ranking.next_gains()
        scores[chosen] = gains
        taken = np.zeros(inputs.n, dtype=bool)
        taken[chosen] = True
        rest = np.flatnonzero(~taken)
        noise = inputs.noise(self.random_state, "random")
        random = np.argpartition(-noise, budget - 1)[:budget]
        objective = float(gains.sum())
        report = {
            "objective": objective,
            "objective_random": function.value(np.sort(random)),
            "evaluations": ranking.evaluations,
        }
        if function.whole is not None:
            report["objective_share"] = objective / function.whole
        detail = {"score": scores[rest], "threshold": np.full(len(rest), gains[-1])}
        return Choice(
            chosen=chosen,
            scores=scores,
            outcomes=[Outcome(rest, "select", "lower_gain", detail)],
            report=report,
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


def column_sums(
    indptr: NDArray[np.int64], weights: NDArray[np.float32], own: NDArray[np.float32]
) -> Floats:
    """Return the sum of the similarities of each row to all rows, itself included."""
    totals = np.concatenate([[0.0], np.cumsum(weights, dtype=np.float64)])
    sums: Floats = own + (totals[indptr[1:]] - totals[indptr[:-1]])
    return sums


@njit(cache=True, nogil=True)
def sift(keys: Any, rows: Any, place: int, size: int) -> None:  # pragma: no cover
    """Move an entry of a heap down to where it belongs: larger key first, then smaller row."""
    key, row = keys[place], rows[place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            keys[right] > keys[child] or (keys[right] == keys[child] and rows[right] < rows[child])
        ):
            child = right
        if keys[child] > key or (keys[child] == key and rows[child] < row):
            keys[place], rows[place] = keys[child], rows[child]
            place = child
        else:
            break
    keys[place], rows[place] = key, row


@njit(inline="always")
def _gain(
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
def _take(
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
def _value(
    kind: Any, indptr: Any, indices: Any, weights: Any, own: Any, limits: Any, state: Any, rows: Any
) -> Any:  # pragma: no cover
    """Sum up the gains of `rows`, taken one after another."""
    total = 0.0
    for row in rows:
        total += _gain(kind, indptr, indices, weights, own, limits, state, row)
        _take(kind, indptr, indices, weights, own, state, row)
    return total


@njit(cache=True, nogil=True)
def _gains(
    kind: Any, indptr: Any, indices: Any, weights: Any, own: Any, limits: Any, state: Any
) -> Any:  # pragma: no cover
    """Return what each row would add."""
    found = np.empty(len(own))
    for row in range(len(own)):
        found[row] = _gain(kind, indptr, indices, weights, own, limits, state, row)
    return found


@njit(cache=True, nogil=True)
def _bucket(gain: Any, least: Any, scale: Any, n: int) -> int:  # pragma: no cover
    return min(n, max(0, int((gain - least) * scale)))


@njit(cache=True, nogil=True)
def _fill(gains: Any, least: Any, scale: Any) -> Any:  # pragma: no cover
    """Put every row into its bucket: the first row of each, and the next one of each row."""
    n = len(gains)
    heads = np.full(n + 1, -1, dtype=np.int32)
    following = np.empty(n, dtype=np.int32)
    for row in range(n):
        bucket = _bucket(gains[row], least, scale, n)
        following[row] = heads[bucket]
        heads[bucket] = row
    return heads, following


@njit(cache=True, nogil=True)
def _extend(
    kind: Any, indptr: Any, indices: Any, weights: Any, own: Any, limits: Any, state: Any,
    least: Any, scale: Any, gains: Any, evaluated: Any, heads: Any, following: Any, keys: Any,
    rows: Any, order: Any, progress: Any, stop: Any,
) -> None:  # pragma: no cover  # fmt: skip
    """Take rows until there are `stop`."""
    n = len(own)
    taken, size, level, evaluations = progress
    while taken < stop:
        if size == 0:
            level -= 1
            row = heads[level]
            while row >= 0:
                keys[size], rows[size] = gains[row], row
                size += 1
                row = following[row]
            for place in range(size // 2 - 1, -1, -1):
                sift(keys, rows, place, size)
            continue
        row = rows[0]
        if evaluated[row] == taken:
            gains[row] = keys[0]
            order[taken] = row
            taken += 1
            _take(kind, indptr, indices, weights, own, state, row)
        else:
            gain = _gain(kind, indptr, indices, weights, own, limits, state, row)
            evaluated[row] = taken
            evaluations += 1
            bucket = _bucket(gain, least, scale, n)
            # rounding may raise a gain by its last digit
            if bucket >= level:
                keys[0] = gain
                sift(keys, rows, 0, size)
                continue
            gains[row] = gain
            following[row] = heads[bucket]
            heads[bucket] = row
        size -= 1
        keys[0], rows[0] = keys[size], rows[size]
        if size:
            sift(keys, rows, 0, size)
    progress[:] = taken, size, level, evaluations
