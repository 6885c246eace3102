"""Facility location: the rows that represent all others best."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from assay.selection.algorithms.set_functions import (
    FACILITY_LOCATION,
    SetFunction,
    least_edges,
    similarities,
)
from assay.selection.contract.inputs import Graph
from assay.selection.selectors.greedy import LazyGreedySelector
from assay.storage.limits import Limits, Number


@dataclass(kw_only=True, eq=False, repr=False)
class FacilityLocationSelector(LazyGreedySelector):
    r"""Greedy maximization of facility location on the similarity graph.

    .. math:: f(S) = \sum_i \max\Big(0,\; \max_{j \in S} s_{ij} - c \min_j s_{ij}\Big)

    with s the similarity on the edges of the symmetrized graph (0 where it is negative), s_ii the
    larger of 1 and the row's best edge, so that every row represents itself best, and c = `elsewhere`.
    With c = 0, the default, f is the sum of each row's similarity to its nearest chosen row, 0 where
    there is no edge between them. f is monotone and submodular, so the greedy choice reaches at least
    1 - 1/e of the best f of any subset of equal size. Gains are evaluated lazily (CELF): a gain
    computed earlier is an upper bound, so only rows at the top of a heap are evaluated again.

    Parameters
    ----------
    elsewhere : float in [0, 1], default 0
        What a chosen row without an edge to another is taken to be to it, as a share of the other's
        least similar edge. At 0, a row with no chosen neighbor counts as not represented at all,
        which spreads small choices; towards 1 the choice is nearer to that on all pairs (see
        below), since chosen rows beyond the edges represent the row, too.
    budget
    random_state : int, default 0
        Used for the random subset of the report alone; the choice has nothing random. Equal
        gains are decided by id.
    strict : bool, default False
        No effect on the result here, as every row is usable.

    Attributes
    ----------
    indices_ : int64[budget]
    ranking_
    weights_ : float64[budget], all 1
    scores_
    report_ : dict
        `objective` f(indices_), `objective_random` (a random subset of equal size),
        `objective_share` (of f over all rows), `evaluations` of a gain.

    Raises
    ------
    MissingInputError
        `graph` was not given.

    Notes
    -----
    Time O(evaluations * mean degree), with about 4 evaluations per row up to a tenth of the rows and
    7 for all of them; memory 45 bytes per row beside the graph.

    Claims
    ------
    paper
        Greedy reaches 1 - 1/e of the best; lazy evaluation is up to 700 times faster.
    here
        The lazy greedy, exactly, on the graph's edges.
    deviates
        Pairs without an edge count as 0: 99.49 % of the dense objective on 10,000 images at
        k = 15, a tenth chosen; 99.58 % with `elsewhere=0.5` and 99.98 % with 1.
    measured
        145 to 1,136 times as fast as apricot, 576 times as submodlib, with the same gains
        (`samples.md`); +0.4 points over random on average, -12 at worst, on short texts
        (`default_selector.md`).

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

    limits: ClassVar[Limits] = {
        "elsewhere": (Number("[0, 1]"),),
    }

    elsewhere: float = 0.0

    def set_function(self, graph: Graph) -> SetFunction:
        indptr, indices, weights, own = similarities(graph)
        start = None
        whole = float(own.sum(dtype=np.float64))
        if self.elsewhere:
            start = np.float32(self.elsewhere) * least_edges(indptr, weights)
            whole -= float(start.sum(dtype=np.float64))
        return SetFunction(
            FACILITY_LOCATION, indptr, indices, weights, own, np.empty(0), whole=whole, start=start
        )
