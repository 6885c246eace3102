"""Scores of the shape of the graph round a row: degree, clustering, eigenvector centrality."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs


class Degree(Scorer):
    """Number of rows that a row is joined to in the symmetrised graph.

    Attributes
    ----------
    scores_ : float64[n]
        Whole numbers: neighbours of the row, and rows that it is a neighbour of.
    report_ : dict
        `mean`, `largest`.

    Raises
    ------
    MissingInputError
        `graph` was not given.

    Notes
    -----
    Time and memory O(n).

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> graph = SimilarityGraph.from_vectors([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]], k=1)
    >>> Degree().fit(graph=graph).scores_.tolist()
    [1.0, 2.0, 1.0]
    """

    needs: ClassVar[tuple[str, ...]] = ("graph",)
    points: ClassVar[Literal["easier", "harder"]] = "easier"

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        assert inputs.graph is not None
        degrees = np.diff(inputs.graph.indptr).astype(np.float64)
        return degrees, {"mean": float(degrees.mean()), "largest": int(degrees.max())}


class ClusteringCoefficient(Scorer):
    """Share of the pairs of a row's neighbours that are joined themselves.

    Attributes
    ----------
    scores_ : float64[n], from 0 to 1
        Higher = the row lies inside a clique-like group; low = between groups. 0 with fewer than
        two neighbours.
    report_ : dict
        `mean`.

    Raises
    ------
    MissingInputError
        `graph` was not given.

    Notes
    -----
    Formula and cost: `assay.index.algorithms.clustering.clustering`. Similarities are not used, edges alone.

    References
    ----------
    Watts, Strogatz, "Collective dynamics of small-world networks", 1998.

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> X = [[0.0, 1.0], [0.1, 1.0], [0.2, 1.0], [1.0, 0.0]]
    >>> graph = SimilarityGraph.from_vectors(X, k=2)
    >>> ClusteringCoefficient().fit(graph=graph).scores_.round(2).tolist()
    [1.0, 0.67, 0.67, 1.0]
    """

    needs: ClassVar[tuple[str, ...]] = ("graph",)
    points: ClassVar[Literal["easier", "harder"]] = "easier"

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        from assay.index.algorithms.clustering import clustering

        assert inputs.graph is not None
        scores = clustering(inputs.graph.indptr, inputs.graph.indices)
        return scores, {"mean": float(scores.mean())}


class Eigenvector(Scorer):
    """Eigenvector centrality on the weighted, symmetrised graph, component by component.

    On graphs of nearest neighbours it is mostly carried by one dense cluster of each component:
    `report_["participation"]` is the number of rows that carry it, and PageRank the better default.

    Parameters
    ----------
    tol : float, default 1e-8
        Residual, relative to the eigenvalue, at which to stop.

    Attributes
    ----------
    scores_ : float64[n]
        Not negative; squares sum to 1.
    report_ : dict
        `participation` (rows that carry the scores; n where all score equally), `components`.

    Raises
    ------
    MissingInputError
        `graph` was not given.
    ConvergenceError
        ARPACK does not converge.

    Notes
    -----
    Formula and cost: `assay.index.algorithms.eigenvector.eigenvector_centrality`. Negative similarities count
    as 0.

    References
    ----------
    Bonacich, "Factoring and weighting approaches to status scores and clique identification", 1972.

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> X = [[0.0, 1.0], [0.1, 1.0], [0.2, 1.0], [1.0, 0.0]]
    >>> graph = SimilarityGraph.from_vectors(X, k=2)
    >>> int(Eigenvector().fit(graph=graph).scores_.argmin())
    3
    """

    needs: ClassVar[tuple[str, ...]] = ("graph",)
    points: ClassVar[Literal["easier", "harder"]] = "easier"

    def __init__(self, *, tol: float = 1e-8) -> None:
        self.tol = tol

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        from assay.index.algorithms.eigenvector import eigenvector_centrality

        assert inputs.graph is not None
        graph = inputs.graph
        weights = np.maximum(graph.weights, 0)
        found = eigenvector_centrality(graph.indptr, graph.indices, weights, tol=self.tol)
        return found.scores, {
            "participation": float(found.participation),
            "components": len(found.eigenvalues),
        }
