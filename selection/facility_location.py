"""Facility location: the rows that represent all others best."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numba import njit
from numpy.typing import NDArray

from assay.selection.base import Choice, Outcome, Selector
from assay.selection.inputs import Graph, Inputs, Rows

Singles = NDArray[np.float32]


class FacilityLocationSelector(Selector):
    r"""Greedy maximisation of facility location on the similarity graph.

    .. math:: f(S) = \sum_i \max_{j \in S} s_{ij}

    with s the similarity on the edges of the symmetrised graph, 0 where there is no edge (and
    for negative similarities), and s_ii the larger of 1 and the row's best edge: every row
    represents itself best. f is monotone and submodular, so the greedy choice reaches at least
    1 - 1/e of the best f of any subset of equal size. Gains are evaluated lazily (CELF): a gain
    computed earlier is an upper bound, so only rows at the top of a heap are evaluated again.

    Parameters
    ----------
    budget : int, float or str
        A count, or a share of all rows.
    random_state : int, default 0
        Used for the random subset of the report alone; the choice has nothing random. Equal
        gains are decided by id.
    strict : bool, default False
        No effect on the result here, as every row is usable.

    Attributes
    ----------
    indices_ : int64[budget]
    ranking_ : int64[n]
    weights_ : float64[budget], all 1
    scores_ : float64[n]
        Gain of the row at the moment it is taken, over the whole ranking: it never increases
        along `ranking_`.
    report_ : dict
        `objective` f(indices_), `objective_random` (a random subset of equal size),
        `objective_share` (of f over all rows), `evaluations` of a gain.

    Raises
    ------
    MissingInputError
        `graph` was not given.

    Notes
    -----
    Time O(evaluations * mean degree), with about 2 evaluations per row up to a budget of a tenth;
    memory O(n) beside the graph. The whole ranking is computed, so that any budget is a prefix.

    References
    ----------
    Nemhauser, Wolsey, Fisher, "An analysis of approximations for maximizing submodular set
    functions", 1978. Leskovec et al., "Cost-effective outbreak detection in networks", 2007.

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> X = [[0.0, 1.0], [0.1, 1.0], [0.2, 1.0], [1.0, 0.0], [1.0, 0.1]]
    >>> graph = SimilarityGraph.from_vectors(X, k=2)
    >>> FacilityLocationSelector(budget=2).fit(graph=graph).indices_.tolist()
    [2, 3]
    """

    needs: ClassVar[tuple[str, ...]] = ("graph",)
    nested: ClassVar[bool] = True

    def _select(self, inputs: Inputs, budget: int) -> Choice:
        assert inputs.graph is not None
        indptr, indices, weights, own = _similarities(inputs.graph)
        ranking, gains, evaluations = _greedy(indptr, indices, weights, own)
        chosen = ranking[:budget]
        rest = np.sort(ranking[budget:])
        threshold = np.full(len(rest), gains[chosen[-1]])
        rank = np.empty_like(ranking)
        rank[ranking] = np.arange(1, inputs.n + 1)
        noise = inputs.noise(self.random_state, "random")
        random = np.argsort(-noise, kind="stable")[:budget]
        objective = float(gains[chosen].sum())
        return Choice(
            chosen=chosen,
            ranking=ranking,
            scores=gains,
            outcomes=[
                Outcome(
                    rest,
                    "select",
                    "lower_gain",
                    {"score": gains[rest], "rank": rank[rest], "threshold": threshold},
                )
            ],
            report={
                "objective": objective,
                "objective_random": _objective(indptr, indices, weights, own, random),
                "objective_share": objective / float(gains.sum()),
                "evaluations": int(evaluations),
            },
        )


def _similarities(graph: Graph) -> tuple[NDArray[Any], NDArray[Any], Singles, Singles]:
    """Return CSR arrays without negative similarities, and each row's similarity to itself."""
    indptr = np.asarray(graph.indptr, dtype=np.int64)
    weights = np.maximum(np.asarray(graph.weights, dtype=np.float32), 0)
    own = np.ones(len(indptr) - 1, dtype=np.float32)
    filled = np.flatnonzero(np.diff(indptr))
    if len(filled):
        own[filled] = np.maximum(1, np.maximum.reduceat(weights, indptr[:-1][filled]))
    return indptr, np.asarray(graph.indices), weights, own


def _objective(
    indptr: NDArray[Any], indices: NDArray[Any], weights: Singles, own: Singles, rows: Rows
) -> float:
    """Return f(rows)."""
    best = np.zeros(len(own), dtype=np.float32)
    best[rows] = own[rows]
    of_row = np.repeat(np.isin(np.arange(len(own)), rows), np.diff(indptr))
    np.maximum.at(best, indices[of_row], weights[of_row])
    return float(best.sum(dtype=np.float64))


@njit(cache=True, nogil=True)
def _sift(heap: Any, gain: Any, place: int, size: int) -> None:  # pragma: no cover
    """Move the row at `place` down to where it belongs: larger gain first, then smaller row."""
    row = heap[place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size:
            left, right = heap[child], heap[child + 1]
            if gain[right] > gain[left] or (gain[right] == gain[left] and right < left):
                child += 1
        other = heap[child]
        if gain[other] > gain[row] or (gain[other] == gain[row] and other < row):
            heap[place] = other
            place = child
        else:
            break
    heap[place] = row


@njit(cache=True, nogil=True)
def _greedy(indptr: Any, indices: Any, weights: Any, own: Any) -> Any:  # pragma: no cover
    """Rank all rows by lazy greedy; also the gain of each when taken, and the evaluations."""
    n = len(own)
    best = np.zeros(n, dtype=np.float32)
    gain = own.astype(np.float64)
    for row in range(n):
        for edge in range(indptr[row], indptr[row + 1]):
            gain[row] += weights[edge]
    heap = np.arange(n).astype(np.int32)
    for place in range(n // 2 - 1, -1, -1):
        _sift(heap, gain, place, n)
    evaluated = np.zeros(n, dtype=np.int32)
    ranking = np.empty(n, dtype=np.int64)
    evaluations = n
    for taken in range(n):
        row = heap[0]
        while evaluated[row] != taken:
            total = float(own[row]) - float(best[row])
            for edge in range(indptr[row], indptr[row + 1]):
                more = float(weights[edge]) - float(best[indices[edge]])
                if more > 0:
                    total += more
            gain[row] = total
            evaluated[row] = taken
            evaluations += 1
            _sift(heap, gain, 0, n - taken)
            row = heap[0]
        ranking[taken] = row
        best[row] = own[row]
        for edge in range(indptr[row], indptr[row + 1]):
            if weights[edge] > best[indices[edge]]:
                best[indices[edge]] = weights[edge]
        last = n - taken - 1
        heap[0] = heap[last]
        if last:
            _sift(heap, gain, 0, last)
    return ranking, gain, evaluations
