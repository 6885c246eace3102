"""Lazy greedy maximization of a submodular function of sets of rows on a sparse graph."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.selection.algorithms.heaps import sift
from assay.selection.algorithms.set_functions import GRAPH_CUT, SetFunction, gain_of, take
from assay.selection.base import Selector
from assay.selection.contract.inputs import Floats, Graph, Inputs, Rows
from assay.selection.contract.outcomes import Choice, Outcome
from assay.selection.contract.parameters import check_is_fitted
from assay.storage.compiling import njit, prefetch

# rows of a bucket whose edges are asked for before they are read
_AHEAD = 8


class LazyRanking:
    """Greedy order of the rows, computed as far as it is asked for.

    Gains are evaluated lazily: a gain computed earlier is an upper bound, so only rows whose bound
    is among the highest are evaluated again. Bounds lie in buckets of equal width. The rows of the
    highest bucket are evaluated together, so that the kernel can prefetch their edges; those whose
    gain stays in that bucket form a heap, small enough for the processor's cache. Memory 45 bytes
    per row.

    Parameters
    ----------
    function : SetFunction
    free : bool[n], optional
        The rows that may be taken; all where None.

    Attributes
    ----------
    order : int64[free rows]
        The rows in the order taken, as far as `extend` went.
    gains : float64[n]
        Gain when taken; of the other rows an upper bound.
    """

    def __init__(self, function: SetFunction, free: NDArray[np.bool_] | None = None) -> None:
        n = len(function.own)
        free = np.ones(n, dtype=bool) if free is None else free
        self.function = function
        self.state = function.nothing()
        self.order = np.empty(int(free.sum()), dtype=np.int64)
        self.gains = self.next_gains()
        # of the rows in the heap, how many rows were taken when their gain was evaluated
        self._evaluated = np.empty(n, dtype=np.int32)
        width = float(self.gains.max(where=free, initial=function.least)) - function.least
        self._scale = n / width if width > 0 else 0.0
        self._buckets: tuple[NDArray[np.int32], NDArray[np.int32]] = _fill(
            self.gains, function.least, self._scale, free
        )
        self._heap = np.empty(n), np.empty(n, dtype=np.int32)
        # rows taken, rows in the heap, bucket in work, evaluations
        self._progress = np.array([0, 0, n + 1, n])

    @property
    def evaluations(self) -> int:
        """How often a gain was evaluated."""
        return int(self._progress[3])

    def extend(self, stop: int) -> None:
        """Take rows until `stop` are taken."""
        _extend(
            *self.function[:6], self.state, self.function.least, self._scale, self.gains,
            self._evaluated, *self._buckets, *self._heap, self.order, self._progress, stop,
        )  # fmt: skip

    def next_gains(self) -> Floats:
        """Return what each row would add to those taken."""
        return self.function.gains(self.state)


class LazyGreedySelector(Selector):
    """Base of the selectors that maximize a `SetFunction` greedily, one row after another.

    With covered rows it goes on from them: gains are what a row adds to theirs, and the objectives
    reported are those of both together. The order is computed up to the budget, and goes on when
    `ranking_` is asked for.

    Parameters
    ----------
    random_state : int, default 0
        Used for the random subset of the report alone. Equal gains are decided by id.

    Attributes
    ----------
    ranking_ : int64[n]
        Computed up to the budget by `fit`, and to the end when it is asked for.
    scores_ : float64[n]
        Gain of the row at the moment it is taken, which never increases along `indices_`; for the
        other rows, if they were taken next.
    """

    @abstractmethod
    def set_function(self, graph: Graph) -> SetFunction:
        """Return the function to maximize."""

    @property
    def ranking_(self) -> Rows:  # type: ignore[override]
        """All rows but the covered ones in order of preference; every budget is a prefix."""
        check_is_fitted(self)
        ranking, as_given = self._ranked
        ranking.extend(len(ranking.order))
        return ranking.order.copy() if as_given is None else as_given[ranking.order]

    def _select(self, inputs: Inputs, budget: int) -> Choice:
        assert inputs.graph is not None
        function, had = self.set_function(inputs.graph).after(inputs.covered_rows)
        ranking = LazyRanking(function, ~inputs.covered)
        ranking.extend(budget)
        self._ranked = ranking, inputs.order
        chosen = ranking.order[:budget].copy()
        gains = ranking.gains[chosen]
        scores = ranking.next_gains()
        scores[chosen] = gains
        taken = np.zeros(inputs.n, dtype=bool)
        taken[chosen] = True
        rest = np.flatnonzero(~taken)
        random = inputs.random_rows(self.random_state, budget)
        objective = had + float(gains.sum())
        report = {
            "objective": objective,
            "objective_random": had + function.value(random),
            "evaluations": ranking.evaluations,
        }
        if inputs.covered.any():
            report["objective_covered"] = had
        if function.whole is not None:
            # where all rows add nothing, any of them add all there is
            report["objective_share"] = objective / function.whole if function.whole > 0 else 1.0
        detail = {"score": scores[rest], "threshold": np.full(len(rest), gains[-1])}
        return Choice(
            chosen=chosen,
            scores=scores,
            outcomes=[Outcome(rest, "select", "lower_gain", detail)],
            report=report,
        )


@njit(cache=True, nogil=True)
def _bucket(gain: Any, least: Any, scale: Any, n: int) -> int:  # pragma: no cover
    return min(n, max(0, int((gain - least) * scale)))


@njit(cache=True, nogil=True)
def _fill(gains: Any, least: Any, scale: Any, free: Any) -> Any:  # pragma: no cover
    """Put every free row into its bucket: the first row of each, and the next one of each row."""
    n = len(gains)
    heads = np.full(n + 1, -1, dtype=np.int32)
    following = np.empty(n, dtype=np.int32)
    for row in range(n):
        if not free[row]:
            continue
        bucket = _bucket(gains[row], least, scale, n)
        following[row] = heads[bucket]
        heads[bucket] = row
    return heads, following


@njit(inline="always")
def _prefetch_edges(indptr: Any, indices: Any, weights: Any, row: Any) -> None:  # pragma: no cover
    """Ask for the first edges of a row: two cache lines of each array."""
    edge = indptr[row]
    ends, values = indices.ctypes.data + indices.itemsize * edge, weights.ctypes.data + 4 * edge
    prefetch(ends)  # type: ignore[call-arg]
    prefetch(ends + 60)
    prefetch(values)
    prefetch(values + 60)


@njit(cache=True, nogil=True)
def _extend(
    kind: Any, indptr: Any, indices: Any, weights: Any, own: Any, limits: Any, state: Any,
    least: Any, scale: Any, gains: Any, evaluated: Any, heads: Any, following: Any, keys: Any,
    rows: Any, order: Any, progress: Any, stop: Any,
) -> None:  # pragma: no cover  # fmt: skip
    """Take rows until `stop` are taken."""
    n = len(own)
    reads_edges = kind != GRAPH_CUT
    taken, size, level, evaluations = progress
    while taken < stop:
        if size == 0:
            level -= 1
            count = 0
            row = heads[level]
            while row >= 0:
                rows[count] = row
                count += 1
                prefetch(indptr.ctypes.data + indptr.itemsize * row)  # type: ignore[call-arg]
                row = following[row]
            if reads_edges:
                for place in range(min(count, _AHEAD)):
                    _prefetch_edges(indptr, indices, weights, rows[place])
            for place in range(count):
                if reads_edges and place + _AHEAD < count:
                    _prefetch_edges(indptr, indices, weights, rows[place + _AHEAD])
                row = rows[place]
                gain = gain_of(kind, indptr, indices, weights, own, limits, state, row)
                evaluations += 1
                bucket = _bucket(gain, least, scale, n)
                # rounding may raise a gain by its last digit
                if bucket >= level:
                    keys[size], rows[size] = gain, row
                    evaluated[row] = taken
                    size += 1
                else:
                    following[row] = heads[bucket]
                    heads[bucket] = row
            for place in range(size // 2 - 1, -1, -1):
                sift(keys, rows, place, size)
            continue
        row = rows[0]
        if evaluated[row] == taken:
            gains[row] = keys[0]
            order[taken] = row
            taken += 1
            take(kind, indptr, indices, weights, own, state, row)
        else:
            gain = gain_of(kind, indptr, indices, weights, own, limits, state, row)
            evaluations += 1
            bucket = _bucket(gain, least, scale, n)
            if bucket >= level:
                keys[0] = gain
                evaluated[row] = taken
                sift(keys, rows, 0, size)
                continue
            following[row] = heads[bucket]
            heads[bucket] = row
        size -= 1
        keys[0], rows[0] = keys[size], rows[size]
        if size:
            sift(keys, rows, 0, size)
    progress[:] = taken, size, level, evaluations
