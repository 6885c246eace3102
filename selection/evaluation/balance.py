"""Balance of classes, copies left and the effective size of a weighted selection."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.selection.contract.inputs import Graph, Rows
from assay.storage.disk.pages import mapping, release

# rows whose edges are read at a time
_ROWS = 16_384


def balance(codes: NDArray[Any], rows: Rows, classes: int) -> dict[str, float]:
    r"""Return how the classes of some rows are balanced.

    Parameters
    ----------
    codes : int[n]
        Class of every row of the pool; -1 where it has none (such rows do not count).
    rows : int64[k]
    classes : int
        How many classes the pool has.

    Returns
    -------
    dict
        `entropy`: :math:`-\sum_c p_c \log p_c / \log C`, 1 = all classes alike (absent with one
        class); `largest_share`; `smallest_share` over the classes of the pool;
        `distance_to_pool`: total variation :math:`\frac{1}{2} \sum_c |p_c - q_c|`. Empty where no
        row has a class.

    Examples
    --------
    >>> import numpy as np
    >>> found = balance(np.array([0, 0, 0, 1]), np.array([0, 3]), 2)
    >>> found["entropy"], found["distance_to_pool"]
    (1.0, 0.25)
    """
    pool, held = codes[codes >= 0], codes[rows]
    held = held[held >= 0]
    if len(held) == 0:
        return {}
    p = np.bincount(held, minlength=classes) / len(held)
    q = np.bincount(pool, minlength=classes) / len(pool)
    figures: dict[str, float] = {}
    if classes > 1:
        present = p[p > 0]
        # + 0.0 turns the -0.0 of one class alone into 0.0
        figures["entropy"] = float(-(present * np.log(present)).sum() / np.log(classes)) + 0.0
    return figures | {
        "largest_share": float(p.max()),
        "smallest_share": float(p.min()),
        "distance_to_pool": float(np.abs(p - q).sum() / 2),
    }


def duplicates_left(contents: NDArray[Any], near: NDArray[np.bool_] | None = None) -> float:
    """Return the share of rows that have another row of equal content, or a near copy.

    Parameters
    ----------
    contents : array of shape (k,) or (k, words)
        One code or hash per row.
    near : bool[m], optional
        Whether each of the first m rows has a near copy; the share is then over these.

    Examples
    --------
    >>> import numpy as np
    >>> duplicates_left(np.array([1, 2, 2, 3]))
    0.5
    """
    _, code, times = np.unique(contents, axis=0, return_inverse=True, return_counts=True)
    copied = times[code.ravel()] > 1
    return float(copied.mean() if near is None else (copied[: len(near)] | near).mean())


def kish_size(weights: ArrayLike) -> float:
    r"""Return Kish's effective sample size :math:`(\sum w)^2 / \sum w^2` (0 of all zeros).

    References
    ----------
    Kish, "Survey sampling", 1965.

    Examples
    --------
    >>> kish_size([2.0, 2.0, 0.0])
    2.0
    """
    values = np.asarray(weights, dtype=np.float64)
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0:
        return 0.0
    values = values / largest
    return float(values.sum() ** 2 / (values**2).sum())


class Representation:
    r"""Share of facility location that a selection reaches on a similarity graph.

    .. math:: \frac{f(S)}{f(V)}, \quad f(S) = \sum_i \max_{j \in S} s_{ij}

    with s the similarity on the edges of the symmetrized graph, 0 where there is no edge (and for
    negative similarities), and s_ii the larger of 1 and the row's best edge: the objective of
    `FacilityLocationSelector`. V is all rows.

    Parameters
    ----------
    graph : SimilarityGraph

    Notes
    -----
    Time O(edges of the chosen rows + n log n), memory O(n + edges). Terms are added in order of
    size, so the order of the rows does not matter.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.index import SimilarityGraph
    >>> graph = SimilarityGraph.from_vectors([[0.0, 1.0], [0.0, 2.0], [1.0, 0.0]], k=1)
    >>> round(Representation(graph)(np.array([0, 2])), 6)
    1.0
    """

    def __init__(self, graph: Graph) -> None:
        self._indptr = np.asarray(graph.indptr, dtype=np.int64)
        self._indices = np.asarray(graph.indices)
        self._weights = np.asarray(graph.weights)
        n = len(self._indptr) - 1
        self._own = np.ones(n, dtype=np.float32)
        for begin in range(0, n, _ROWS):
            bounds = self._indptr[begin : begin + _ROWS + 1]
            filled = np.flatnonzero(np.diff(bounds))
            if len(filled):
                weights = self._weights[bounds[0] : bounds[-1]]
                best = np.maximum.reduceat(weights, bounds[:-1][filled] - bounds[0])
                self._own[begin + filled] = np.maximum(1, best)
        self._let_go()
        self._all = _total(self._own)

    def __call__(self, rows: Rows) -> float:
        """Return f(rows) / f(V)."""
        best = np.zeros(len(self._own), dtype=np.float32)
        best[rows] = self._own[rows]
        for begin in range(0, len(rows), _ROWS):
            part = rows[begin : begin + _ROWS]
            starts = self._indptr[:-1][part]
            degrees = self._indptr[1:][part] - starts
            ends = np.cumsum(degrees)
            places = np.repeat(starts - (ends - degrees), degrees) + np.arange(degrees.sum())
            np.maximum.at(best, self._indices[places], self._weights[places])
        self._let_go()
        return _total(best) / self._all

    def _let_go(self) -> None:
        for array in (self._indptr, self._indices, self._weights):
            release(mapping(array))


def _total(values: NDArray[np.float32]) -> float:
    return float(np.sort(values).sum(dtype=np.float64))
