"""How much a row adds to the size of the space that the rows span: weighting vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from assay.selection.algorithms.distinct_neighbors import DistinctNeighbors, distinct_neighbors
from assay.selection.contract.inputs import Floats, Inputs
from assay.selection.scorers.metric import MetricScorer
from assay.storage.limits import Limits, Number, Whole

_BLOCK = 2_048
# on the diagonal, so that rows that nearly coincide can be told apart
_JITTER = 1e-8


@dataclass(kw_only=True, eq=False, repr=False)
class Weighting(MetricScorer):
    r"""Weight of a row in the weighting vector of its surroundings.

    .. math:: \zeta_{ab} = e^{-t\, d_{ab}}, \quad \zeta\, w = \mathbf{1}

    solved for each row over itself and its k nearest distinct rows; the score is the row's own
    entry of w. The sum of w over a whole space is its magnitude, the effective number of rows.
    Rows at the boundary have large weights, rows inside small ones, which others stand for.

    Parameters
    ----------
    k : int, default 10
        Rows beside the row itself in each system; with k = n - 1 the weights are the exact ones.
    t : float, optional
        Scale of the distances. By default 1 over the median distance to the k-th neighbor, so that
        the scores do not depend on the unit of the vectors.

    Attributes
    ----------
    scores_ : float64[n]
        Higher = nearer to the boundary. Copies of a row have the weight of one; a row without
        neighbors has weight 1.
    report_ : dict
        `k`, `t`, `mean`, `magnitude` (the sum over distinct rows), `duplicates`, `searched`.

    Notes
    -----
    Distances and neighbors: `Outlierness`. Time O(n k^2 (d + k)), memory O(n (k + d)).

    Claims
    ------
    paper
        Weighting vectors show the boundary of a set of points.
    here
        Each row's weight in its own neighborhood.
    deviates
        Local systems of k rows instead of one of n.
    measured
        AUROC .745 for outliers (`judging.md`); over all rows equal to the weighting vector (test).

    References
    ----------
    Bunch, Kline, Dickinson, Bhat, Fung, "Weighting vectors for machine learning: numerical
    harmonic analysis applied to boundary detection", 2021.

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> X = [[0.0], [1.0], [2.0], [3.0], [4.0]]
    >>> graph = SimilarityGraph.from_vectors(X, k=4, metric="l2")
    >>> Weighting(k=4, t=1.0).fit(X, graph=graph).scores_.round(3).tolist()
    [0.731, 0.462, 0.462, 0.462, 0.731]
    """

    limits: ClassVar[Limits] = {
        "k": (Whole(1),),
        "t": (Number("(0, inf)"), None),
    }

    k: int = 10
    t: float | None = None
    metric: Literal["auto", "cosine", "l2"] = "auto"

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        neighbors = distinct_neighbors(inputs, self.k, self.metric)
        t = self._scale(neighbors)
        own = local_weights(neighbors, t)
        scores = own[neighbors.place]
        return scores, {
            "k": int(neighbors.rows.shape[1]),
            "t": t,
            "mean": float(scores.mean()),
            "magnitude": float(own.sum()),
            "duplicates": inputs.n - len(own),
            "searched": neighbors.searched,
        }

    def _scale(self, neighbors: DistinctNeighbors) -> float:
        if self.t is None:
            last = np.where(neighbors.rows >= 0, neighbors.distances, 0).max(axis=1)
            usual = float(np.median(last))
            return 1 / usual if usual > 0 else 1.0
        return float(self.t)


def local_weights(neighbors: DistinctNeighbors, t: float) -> Floats:
    """Return for each distinct row its weight among itself and its neighbors."""
    m, k = neighbors.rows.shape
    out = np.empty(m)
    for begin in range(0, m, _BLOCK):
        rows = neighbors.rows[begin : begin + _BLOCK]
        members = np.column_stack([np.arange(begin, begin + len(rows)), rows])
        points = neighbors.vectors[members].astype(np.float64)
        points -= points[:, :1]
        squares = np.einsum("ijk,ijk->ij", points, points)
        apart = squares[:, :, None] + squares[:, None, :]
        apart -= 2 * np.matmul(points, points.transpose(0, 2, 1))
        kernel = np.exp(-t * neighbors.unit * np.sqrt(np.maximum(apart, 0)))
        # a missing neighbor is infinitely far from all others
        listed = members >= 0
        kernel *= listed[:, :, None] & listed[:, None, :]
        kernel[:, np.arange(k + 1), np.arange(k + 1)] = 1 + _JITTER
        right = listed[:, :, None].astype(np.float64)
        out[begin : begin + len(rows)] = np.linalg.solve(kernel, right)[:, 0, 0]
    return out
