"""How closely a row belongs with some rows that were picked by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from assay.index.algorithms.flow_diffusion import flow_diffusion, neighborhood
from assay.index.algorithms.personalized_pagerank import personalized_pagerank
from assay.selection.contract.inputs import Floats, Inputs
from assay.selection.scorers.seeded import SeededScorer
from assay.storage.errors import ConfigError
from assay.storage.limits import Limits, Number, Whole


@dataclass(kw_only=True, eq=False, repr=False)
class Like(SeededScorer):
    r"""How closely a row belongs with the seed rows: "more like these", without a target.

    With ``method="pagerank"``, the share of its time that a random walk on the similarity graph
    spends at a row if it starts at the seeds and returns to them with probability
    :math:`1 - \alpha`, each equally often:

    .. math:: p = (1 - \alpha) s + \alpha P^\top p

    With ``method="flow"``, the potential of the row when `size` units of mass flow from the seeds
    and every row holds one; it stops at thin places of the graph. With ``method="cluster"``, the
    rows of the seeds' local cluster of `size` rows in order of how much they belong to it, as
    numbers that fall evenly from 1; 0 outside.

    Parameters
    ----------
    method : {"pagerank", "flow", "cluster"}, default "pagerank"
        PageRank orders all rows that the seeds can reach; the flow only reaches rows near them;
        the cluster holds `size` rows exactly, where the seeds reach so many.
    alpha : float, default 0.85
        Of PageRank: lower values stay nearer to the seeds.
    size : int, optional
        About how many rows the flow reaches, or how many the cluster holds; 20 for each seed by
        default.

    Attributes
    ----------
    scores_ : float64[n]
        Higher = more like the seeds; 0 where no path leads to them. The seeds are among the highest.

    Notes
    -----
    PageRank: time O(edges) for each of some 50 rounds. Flow: time grows with `size`. Negative
    similarities count as no edge.

    Claims
    ------
    paper
        PageRank: personalized by the start. Flow diffusion: better local clusters than by random
        walks, with fewer parameters.
    here
        Personalized PageRank, 2-norm flow diffusion, or a local cluster.
    deviates
        The norm of the flow is 2; similarities are the weights.
    measured
        Checked on small graphs (tests); no selection benchmark.

    References
    ----------
    Page, Brin, Motwani, Winograd, "The PageRank citation ranking", 1999. Fountoulakis, Wang, Yang,
    "p-norm flow diffusion for local graph clustering", 2020.

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> X = [[0.0, 1.0], [0.1, 1.0], [0.2, 1.0], [1.0, 0.0], [1.0, 0.1]]
    >>> graph = SimilarityGraph.from_vectors(X, ids=list("abcde"), k=2)
    >>> Like(seeds=["e"]).fit(graph=graph).scores_.argsort()[-2:].tolist()
    [3, 4]
    """

    limits: ClassVar[Limits] = {
        "method": ("pagerank", "flow", "cluster"),
        "alpha": (Number("[0, 1)"),),
        "size": (Whole(1), None),
    }

    method: Literal["pagerank", "flow", "cluster"] = "pagerank"
    alpha: float = 0.85
    size: int | None = None

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        assert inputs.graph is not None
        graph = inputs.graph
        seeds = self._seed_rows(inputs)
        weights = np.maximum(graph.weights, 0).astype(np.float64)
        if self.method == "pagerank":
            scores = personalized_pagerank(
                graph.indptr, graph.indices, weights, seeds, alpha=self.alpha, symmetric=True
            )
        else:
            size = 20 * len(seeds) if self.size is None else int(self.size)
            if size < len(seeds):
                raise ConfigError(f"size is {self.size!r}; pass at least one row for each seed.")
            # an edge without weight carries nothing
            weights = np.maximum(weights, np.finfo(np.float32).tiny)
            scores = np.zeros(inputs.n)
            if self.method == "flow":
                nodes, potentials = flow_diffusion(
                    graph.indptr, graph.indices, weights, seeds, mass=float(size)
                )
                scores[nodes] = potentials
            else:
                nodes = neighborhood(graph.indptr, graph.indices, weights, seeds, size)
                scores[nodes] = 1 - np.arange(len(nodes)) / len(nodes)
        return np.asarray(scores, dtype=np.float64), {
            "seeds": len(seeds),
            "reached": int((scores > 0).sum()),
        }
