"""Semantic duplicates: rows whose vectors lie so close that they say the same."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from assay.selection.contract.inputs import Floats, Graph, Inputs, Rows
from assay.selection.steps.deduplication import Deduplicator
from assay.storage.compiling import njit
from assay.storage.errors import ConfigError, InputError

# share of the usual distance to the last neighbour that counts as none
_CLOSE = 0.25


class SemanticDuplicates(Deduplicator):
    r"""Rows joined in the similarity graph to a keeper that is at least `threshold` similar.

    Rows are gone through in order of their claim to be a keeper; one is left out where an earlier
    keeper is among its neighbours, or has it among its own, at a similarity of at least `threshold`.
    In the end it belongs to the most similar of all keepers that it is joined to. Groups are stars:
    two rows left out for one keeper may be less alike.

    Parameters
    ----------
    threshold : float or "auto", default "auto"
        Least similarity on the graph's scale (the cosine; 1 / (1 + distance) for l2). 0.9 is usual
        for vectors of sentence models under the cosine. Other vectors have other scales, so "auto"
        counts as duplicates what is closer than a quarter of the median distance to the k-th
        neighbour, where the distance is 1 - s for similarities up to 1 that may be negative, and
        1 / s - 1 for those of l2.

    Attributes
    ----------
    keep_, keeper_, similarity_, report_
        See `Deduplicator`. `report_` adds `threshold` (as used) and `pairs` (joined that closely).

    Raises
    ------
    MissingInputError
        `graph` was not given.
    ConfigError
        `threshold` is not a number or "auto".
    InputError
        "auto" on a graph of inner products, which have no distance.

    Notes
    -----
    O(n k) time and memory. A row with more than k copies is only joined to k of them: let exact
    duplicates go first.

    References
    ----------
    Abbas et al., "SemDeDup: data-efficient learning at web-scale through semantic deduplication",
    2023 (there within clusters, and compared with rows that were themselves dropped).

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> X = [[0.0, 1.0], [0.01, 1.0], [0.5, 1.0], [1.0, 0.0]]
    >>> graph = SimilarityGraph.from_vectors(X, k=2)
    >>> SemanticDuplicates(threshold=0.99).fit(graph=graph).keeper_.tolist()
    [0, 0, 2, 3]
    """

    duplicate_kind: ClassVar[str] = "semantic"

    def __init__(self, *, threshold: float | Literal["auto"] = "auto") -> None:
        self.threshold = threshold

    def _keepers(self, inputs: Inputs, order: Rows) -> tuple[Rows, Floats, dict[str, Any]]:
        assert inputs.graph is not None
        threshold = _threshold(self.threshold, inputs.graph)
        indptr, columns, weights = _close_pairs(inputs.graph, threshold, inputs.n)
        keeper, similarity = _stars(indptr, columns, weights, order)
        return keeper, similarity, {"threshold": threshold, "pairs": len(columns) // 2}


def _threshold(threshold: Any, graph: Graph) -> float:
    if isinstance(threshold, str) and threshold == "auto":
        found = np.asarray(graph.similarities, dtype=np.float64)
        there = np.asarray(graph.neighbors) >= 0
        if not there.any():
            return 1.0
        if found[there].max() > 1 + 1e-6:
            raise InputError(
                "threshold='auto' needs similarities of at most 1, and the graph has inner "
                "products; pass a number."
            )
        last = np.take_along_axis(found, np.maximum(there.sum(axis=1, keepdims=True), 1) - 1, 1)
        usual = float(np.median(last[there.any(axis=1)]))
        if getattr(graph, "metric", "cosine") == "l2":
            return 1 / (1 + _CLOSE * (1 / usual - 1))
        return 1 - _CLOSE * (1 - usual)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float | np.number):
        raise ConfigError(f"threshold is {threshold!r}; pass a similarity or 'auto'.")
    return float(threshold)


def _close_pairs(
    graph: Graph, threshold: float, n: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    """Return, in both directions, the pairs of neighbours that are similar enough."""
    neighbors = np.asarray(graph.neighbors)
    similarities = np.asarray(graph.similarities, dtype=np.float64)
    row, place = np.nonzero((neighbors >= 0) & (similarities >= threshold - 1e-9))
    column, value = neighbors[row, place], similarities[row, place]
    low, high = np.minimum(row, column), np.maximum(row, column)
    _, first = np.unique(low.astype(np.int64) * n + high, return_index=True)
    low, high, value = low[first], high[first], value[first]
    ends = (np.concatenate([low, high]), np.concatenate([high, low]))
    pairs = coo_array((np.concatenate([value, value]), ends), shape=(n, n)).tocsr()
    return pairs.indptr, pairs.indices, pairs.data


@njit(cache=True, nogil=True)
def _stars(indptr: Any, columns: Any, weights: Any, order: Any) -> Any:  # pragma: no cover
    """Let each row become a keeper unless an earlier one is near; then join the nearest keepers."""
    n = len(indptr) - 1
    keeps = np.zeros(n, dtype=np.bool_)
    for row in order:
        near = False
        for edge in range(indptr[row], indptr[row + 1]):
            near |= keeps[columns[edge]]
        keeps[row] = not near
    keeper = np.arange(n)
    similarity = np.ones(n)
    for row in range(n):
        if keeps[row]:
            continue
        best, which = -np.inf, -1
        for edge in range(indptr[row], indptr[row + 1]):
            other = columns[edge]
            if keeps[other] and (weights[edge] > best or (weights[edge] == best and other < which)):
                best, which = weights[edge], other
        keeper[row], similarity[row] = which, best
    return keeper, similarity
