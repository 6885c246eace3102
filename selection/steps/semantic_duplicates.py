"""Semantic duplicates: rows whose vectors are so similar that they say the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from assay.selection.algorithms.near_copies import Similarities, copy_threshold, stars
from assay.selection.contract.inputs import Floats, Graph, Inputs, Rows
from assay.selection.steps.deduplication import Deduplicator
from assay.storage.limits import Limits, Number


@dataclass(kw_only=True, eq=False, repr=False)
class SemanticDuplicates(Deduplicator):
    r"""Rows joined in the similarity graph to a keeper that is at least `threshold` similar.

    Rows are gone through in order of their claim to be a keeper; one is left out where an earlier
    keeper is among its neighbors, or has it among its own, at a similarity of at least `threshold`.
    In the end it belongs to the most similar of all keepers that it is joined to. Groups are stars:
    two rows left out for one keeper may be less alike.

    Parameters
    ----------
    threshold : float or "auto", default "auto"
        Least similarity on the graph's scale (the cosine; 1 / (1 + distance) for l2). 0.9 is usual
        for vectors of sentence models under the cosine. Other vectors have other scales, so "auto"
        counts as duplicates what is closer than a quarter of the median distance to the k-th
        neighbor, where the distance is 1 - s for similarities up to 1 that may be negative, and
        1 / s - 1 for those of l2. Where that neighbor is itself one of many copies, which lie close
        together and far from all others, the distance to the rows behind them is taken.

    Attributes
    ----------
    keep_, keeper_, similarity_, report_
        See `Deduplicator`. `report_` adds `threshold` (as used), `pairs` (joined that closely) and `crowded`
        (rows compared beyond their neighbors).

    Raises
    ------
    ConfigError
        `threshold` is not a number or "auto".
    InputError
        "auto" on a graph of inner products, which have no distance.

    Notes
    -----
    O(n k) time and memory where no row has more copies than the graph has neighbors. Rows whose
    whole list is that similar are compared with all keepers of their kind, in blocks: their number
    times that of those keepers, at the cost of a matrix product. That needs the vectors: X, or those
    that the graph holds; without either, a cluster of more copies than k keeps several rows.

    Claims
    ------
    paper
        SemDeDup: half of LAION can go with little loss.
    here
        Neighbors in the graph above a threshold.
    deviates
        Compared with rows that stay, not with dropped ones; by graph, not inside clusters; the
        threshold may be found.
    measured
        B-cubed F1 .916 with central keepers, .899 by id; components at their best .906
        (`judging.md`).

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

    limits: ClassVar[Limits] = {
        "threshold": (Number("(-inf, inf)"), "auto"),
    }

    threshold: float | Literal["auto"] = "auto"

    def _keepers(self, inputs: Inputs, order: Rows) -> tuple[Rows, Floats, dict[str, Any]]:
        graph = inputs.graph
        assert graph is not None
        vectors = inputs.graph_vectors()
        among = None if vectors is None else Similarities(vectors, inputs.metric)
        if isinstance(self.threshold, str) and self.threshold == "auto":
            threshold = copy_threshold(
                graph,
                inputs.metric,
                inputs.noise(0, "semantic_duplicates"),
                among,
            )
        else:
            threshold = float(self.threshold)
        indptr, columns, weights = _close_pairs(graph, threshold, inputs.n)
        crowded = _crowded(graph, threshold)
        keeper, similarity = stars(
            indptr,
            columns,
            weights,
            order,
            threshold=threshold - 1e-9,
            crowded=crowded,
            among=among,
        )
        report = {"threshold": threshold, "pairs": len(columns) // 2}
        return keeper, similarity, {**report, "crowded": int(crowded.sum())}


def _crowded(graph: Graph, threshold: float) -> NDArray[np.bool_]:
    """Return the rows whose whole list is that similar: they may have more copies than neighbors."""
    present = np.asarray(graph.neighbors) >= 0
    far = np.asarray(graph.similarities, dtype=np.float64) < threshold - 1e-9
    crowded: NDArray[np.bool_] = np.logical_not((present & far).any(axis=1))
    return crowded


def _close_pairs(
    graph: Graph, threshold: float, n: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
    """Return, in both directions, the pairs of neighbors that are similar enough."""
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
