"""Scores of a row's place in the similarity graph: centrality, density and local structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from assay.index.algorithms import centrality
from assay.selection.algorithms.difficulty import last_similarities
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs
from assay.storage.limits import Limits, Number


@dataclass(kw_only=True, eq=False, repr=False)
class PageRank(Scorer):
    """PageRank on the weighted, symmetrized similarity graph.

    The share of time that a walk spends on each row which follows an edge, in proportion to its
    similarity, with probability `alpha`, and else jumps to any row.

    Parameters
    ----------
    alpha : float in [0, 1), default 0.85
        The usual value: 6.7 steps between jumps on average.
    tol : float, default 1e-10
        L1 change at which to stop.

    Attributes
    ----------
    scores_ : float64[n], sums to 1
        Higher = in the middle of more, and more similar, rows.
    report_ : dict
        `largest_share` (the largest score times n).

    Notes
    -----
    Formula and cost: `assay.index.algorithms.centrality.pagerank`. Negative similarities count as 0.

    Claims
    ------
    paper
        A page's importance is the share of a random surfer's time.
    here
        Weighted PageRank on the symmetrized graph, as networkx has it.
    deviates
        Undirected similarity edges instead of links, so that it is close to the degree.
    measured
        AUROC .614 for outliers, as low scores, on 14 sets (`judging.md`); equal to networkx
        (test).

    References
    ----------
    Page, Brin, Motwani, Winograd, "The PageRank citation ranking", 1999.

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> X = [[0.0, 1.0], [0.1, 1.0], [0.2, 1.0], [1.0, 0.0]]
    >>> graph = SimilarityGraph.from_vectors(X, k=2)
    >>> round(float(PageRank().fit(graph=graph).scores_.sum()), 6)
    1.0
    """

    limits: ClassVar[Limits] = {
        "alpha": (Number("[0, 1)"),),
        "tol": (Number("(0, inf)"),),
    }

    alpha: float = 0.85
    tol: float = 1e-10

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        assert inputs.graph is not None
        graph = inputs.graph
        weights = graph.weights
        if weights.min(initial=0) < 0:
            weights = np.maximum(weights, 0)
        scores = centrality.pagerank(
            graph.indptr, graph.indices, weights, alpha=self.alpha, tol=self.tol, symmetric=True
        )
        return scores, {"largest_share": float(scores.max() * inputs.n)}


class CoreNumber(Scorer):
    """Core number of each row: the largest k such that it is in the graph's k-core.

    The k-core is the largest subgraph in which every row has at least k neighbors. Rows on the
    fringe and small tight clusters get small numbers, rows inside dense regions large ones.

    Attributes
    ----------
    scores_ : float64[n]
        Whole numbers. Higher = deeper inside the graph.
    report_ : dict
        `largest`.

    Notes
    -----
    Time and memory O(edges). Similarities are not used, edges alone.

    Claims
    ------
    paper
        Nested cores of minimal degree, in time O(edges).
    here
        Exactly that.
    deviates
        Similarities are not used.
    measured
        AUROC .500 for outliers (`judging.md`): on graphs of neighbors it hardly varies; equal to
        networkx (test).

    References
    ----------
    Seidman, "Network structure and minimum degree", 1983. Batagelj, Zaversnik, "An O(m)
    algorithm for cores decomposition of networks", 2003.

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> graph = SimilarityGraph.from_vectors([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]], k=1)
    >>> CoreNumber().fit(graph=graph).scores_.tolist()
    [1.0, 1.0, 1.0]
    """

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        assert inputs.given_graph is not None
        # no order of rows changes a core number
        graph = inputs.given_graph
        cores = inputs.in_order(centrality.core_number(graph.indptr, graph.indices))
        return cores.astype(np.float64), {"largest": int(cores.max())}


class Hubness(Scorer):
    """How many rows have this row among their k nearest neighbors (its k-occurrence).

    Attributes
    ----------
    scores_ : float64[n]
        Whole numbers with mean k at most. 0: an anti-hub, that no row is near to.
    report_ : dict
        `skewness` of the scores (0 = no hubs), `antihubs` (rows with 0), `largest`.

    Notes
    -----
    Time and memory O(n k).

    Claims
    ------
    paper
        In many dimensions few points are the neighbors of very many.
    here
        The count of lists that a row stands in.
    deviates
        Copies are counted as the graph has them.
    measured
        Facility location chooses 100 rows of 67 to 85 lists each where random has 15
        (`default_selector.md`); AUROC .599 for outliers.

    References
    ----------
    Radovanović, Nanopoulos, Ivanović, "Hubs in space: popular nearest neighbors in
    high-dimensional data", 2010.

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> graph = SimilarityGraph.from_vectors([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]], k=1)
    >>> Hubness().fit(graph=graph).scores_.tolist()
    [1.0, 2.0, 0.0]
    """

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        assert inputs.given_graph is not None
        lists = centrality.hubness(inputs.given_graph.neighbors)
        counts = inputs.in_order(lists).astype(np.float64)
        centered = counts - counts.mean()
        spread = counts.std()
        skewness = float((centered**3).mean() / spread**3) if spread > 0 else 0.0
        return counts, {
            "skewness": skewness,
            "antihubs": int((counts == 0).sum()),
            "largest": int(counts.max()),
        }


class KNNDensity(Scorer):
    """Similarity of each row to its k-th nearest neighbor.

    The k-th, not the mean over k: a few copies of a row then only move on which neighbor is its
    k-th, and with k or more the score is the similarity to a copy, which is bounded.

    Attributes
    ----------
    scores_ : float64[n]
        Higher = in a denser region. A row with fewer than k neighbors gets its last one's
        similarity; one without neighbors the lowest score of the others.
    report_ : dict
        `k`, `mean`, `isolated` (rows without a neighbor).

    Notes
    -----
    Time and memory O(n k).

    Claims
    ------
    paper
        A density estimate by the distance to the k-th neighbor.
    here
        The similarity to the k-th neighbor.
    deviates
        A similarity, not a density: no constant and no power of the dimension.
    measured
        AUROC .784 for outliers, as low scores (`judging.md`).

    References
    ----------
    Loftsgaarden, Quesenberry, "A nonparametric estimate of a multivariate density function", 1965.

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> X = [[0.0, 1.0], [0.1, 1.0], [0.2, 1.0], [1.0, 0.0]]
    >>> int(KNNDensity().fit(graph=SimilarityGraph.from_vectors(X, k=2)).scores_.argmin())
    3
    """

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        assert inputs.given_graph is not None
        last, listed = last_similarities(inputs.given_graph)
        scores = inputs.in_order(last)
        return scores, {
            "k": int(inputs.given_graph.neighbors.shape[1]),
            "mean": float(scores.mean()),
            "isolated": int((~listed).sum()),
        }


class Degree(Scorer):
    """Number of rows that a row is joined to in the symmetrized graph.

    Attributes
    ----------
    scores_ : float64[n]
        Whole numbers: neighbors of the row, and rows that it is a neighbor of.
    report_ : dict
        `mean`, `largest`.

    Notes
    -----
    Time and memory O(n).

    Claims
    ------
    paper
        None: the count of edges.
    here
        Exactly that.
    deviates
        Nothing.
    measured
        AUROC .591 for outliers, as low scores (`judging.md`).

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> graph = SimilarityGraph.from_vectors([[0.0, 1.0], [0.1, 1.0], [1.0, 0.0]], k=1)
    >>> Degree().fit(graph=graph).scores_.tolist()
    [1.0, 2.0, 1.0]
    """

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        assert inputs.given_graph is not None
        degrees = inputs.in_order(np.diff(inputs.given_graph.indptr)).astype(np.float64)
        return degrees, {"mean": float(degrees.mean()), "largest": int(degrees.max())}


class ClusteringCoefficient(Scorer):
    """Share of the pairs of a row's neighbors that are joined themselves.

    Attributes
    ----------
    scores_ : float64[n], from 0 to 1
        Higher = the row lies inside a clique-like group; low = between groups. 0 with fewer than
        two neighbors.
    report_ : dict
        `mean`.

    Notes
    -----
    Formula and cost: `assay.index.algorithms.clustering.clustering`. Similarities are not used, edges alone.

    Claims
    ------
    paper
        Small worlds have many triangles and short paths.
    here
        The local coefficient.
    deviates
        Similarities are not used.
    measured
        AUROC .355 for outliers, as low scores: outliers' neighbors are joined (`judging.md`).

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

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        from assay.index.algorithms.clustering import clustering

        assert inputs.graph is not None
        scores = clustering(inputs.graph.indptr, inputs.graph.indices)
        return scores, {"mean": float(scores.mean())}


@dataclass(kw_only=True, eq=False, repr=False)
class Eigenvector(Scorer):
    """Eigenvector centrality on the weighted, symmetrized graph, component by component.

    On graphs of nearest neighbors it is mostly carried by one dense cluster of each component:
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
    ConvergenceError
        ARPACK does not converge.

    Notes
    -----
    Formula and cost: `assay.index.algorithms.eigenvector.eigenvector_centrality`. Negative similarities count
    as 0.

    Claims
    ------
    paper
        Status is the sum of the status of those one is joined to.
    here
        Leading eigenvector of each component.
    deviates
        By component, so that small ones count.
    measured
        AUROC .777 for outliers, as low scores (`judging.md`).

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

    limits: ClassVar[Limits] = {
        "tol": (Number("(0, inf)"),),
    }

    tol: float = 1e-8

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        from assay.index.algorithms.eigenvector import eigenvector_centrality

        assert inputs.graph is not None
        graph = inputs.graph
        weights = np.maximum(graph.weights, 0)
        centrality_ = eigenvector_centrality(graph.indptr, graph.indices, weights, tol=self.tol)
        return centrality_.scores, {
            "participation": float(centrality_.participation),
            "components": len(centrality_.eigenvalues),
        }
