"""Saturated coverage: every row covered by several chosen ones, up to a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from assay.selection.algorithms.set_functions import (
    SATURATED_COVERAGE,
    SetFunction,
    column_sums,
    similarities,
)
from assay.selection.contract.inputs import Graph
from assay.selection.selectors.greedy import LazyGreedySelector
from assay.storage.limits import Limits, Number


@dataclass(kw_only=True, eq=False, repr=False)
class SaturatedCoverageSelector(LazyGreedySelector):
    r"""Greedy maximization of saturated coverage on the similarity graph.

    .. math:: f(S) = \sum_i \min\Big(\alpha \sum_j s_{ij},\; \sum_{j \in S} s_{ij}\Big)

    with s the similarity on the edges of the symmetrized graph, 0 where there is no edge (and for
    negative similarities), and s_ii the larger of 1 and the row's best edge. Unlike facility
    location, a row goes on counting after its best representative is in, until the share `alpha` of
    all its similarity is covered. f is monotone and submodular, so the greedy choice reaches at
    least 1 - 1/e of the best f of any subset of equal size.

    Parameters
    ----------
    alpha : float in (0, 1], default 0.25
        Share of a row's similarity beyond which it is covered. Small values spread the choice; at
        1 nothing saturates and the rows are ranked by their sums of similarity. On a graph of 15
        neighbors a quarter is about what the row itself and two or three neighbors give.

    Attributes
    ----------
    ranking_ : int64[n]
        Computed up to the budget by `fit`, and to the end when it is asked for. Once every row is
        covered, the rest follow in order of id.
    scores_ : float64[n]
        Gain of the row at the moment it is taken, which never increases along `indices_` (up to the
        last digit); for the other rows, if they were taken next.
    report_ : dict
        `objective` f(indices_), `objective_random` (a random subset of equal size),
        `objective_share` (of f over all rows), `evaluations` of a gain.

    Notes
    -----
    Time O(evaluations * mean degree), memory 55 bytes per row beside the graph.

    Claims
    ------
    paper
        The best summaries of the document understanding conferences of its time, by coverage and
        diversity.
    here
        The coverage term, by greedy choice.
    deviates
        No diversity reward and no query; pairs without an edge count as 0.
    measured
        Equal to plain greedy on small graphs; in two stages 100.0 % of its objective
        (`two_stage.md`).

    References
    ----------
    Lin, Bilmes, "A class of submodular functions for document summarization", 2011.

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> X = [[0.0, 1.0], [0.1, 1.0], [0.2, 1.0], [1.0, 0.0], [1.0, 0.1]]
    >>> graph = SimilarityGraph.from_vectors(X, k=2)
    >>> SaturatedCoverageSelector(budget=2).fit(graph=graph).indices_.tolist()
    [2, 3]
    """

    limits: ClassVar[Limits] = {
        "alpha": (Number("(0, 1]"),),
    }

    alpha: float = 0.25

    def set_function(self, graph: Graph) -> SetFunction:
        indptr, indices, weights, own = similarities(graph)
        limits = float(self.alpha) * column_sums(indptr, weights, own)
        whole = float(limits.sum())
        return SetFunction(SATURATED_COVERAGE, indptr, indices, weights, own, limits, whole=whole)
