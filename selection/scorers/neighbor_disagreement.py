"""How far the neighbors of a row are of another class than it seems to be."""

from __future__ import annotations

import numpy as np

from assay.selection.algorithms.cross_fitting import commonest
from assay.selection.algorithms.neighbor_terms import neighbor_weights, with_labels
from assay.selection.contract.inputs import Floats, Inputs
from assay.selection.scorers.uncertainty import LabelModelScorer


class NeighborDisagreement(LabelModelScorer):
    r"""How far the neighbors are likely to be of another class than the model says of the row.

    .. math:: d_i = 1 - \frac{\sum_j w_{ij} \sum_c p_{ic} q_{jc}}{\sum_j w_{ij}}

    over the neighbors j in the symmetrized graph (negative similarities count as 0). q is the label
    of a labeled neighbor, and what the model predicts for another. Model and folds are those of
    `Uncertainty`. High at the border of two classes, and where a label is likely wrong.

    Attributes
    ----------
    scores_ : float64[n], from 0 to 1
        0 for rows without neighbors, and everywhere while fewer than two classes are labeled.

    Notes
    -----
    Cost: `Uncertainty`, and O(edges * classes).

    Claims
    ------
    paper
        None: a score of our own.
    here
        Expected share of neighbors of another class than the row is predicted to be of.
    deviates
        Nothing.
    measured
        Equal to brute force on 300 rows (test).

    Examples
    --------
    >>> from assay.index import SimilarityGraph
    >>> X = [[0.0, 1.0], [0.1, 1.0], [0.2, 1.0], [1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [1.0, 1.0]]
    >>> graph = SimilarityGraph.from_vectors(X, k=3)
    >>> scorer = NeighborDisagreement(folds=2).fit(X, ["a", "a", "a", "b", "b", "b", None], graph=graph)
    >>> int(scorer.scores_.argmax())
    6
    """

    def _values(self, inputs: Inputs, probabilities: Floats | None) -> Floats:
        if probabilities is None:
            return np.zeros(inputs.n)
        assert inputs.graph is not None
        assert inputs.known_labels is not None
        neighbors = with_labels(probabilities, commonest(inputs.known_labels))
        W = neighbor_weights(inputs.graph)
        sums = np.asarray(W.sum(axis=1)).ravel()
        agreement = np.einsum("ij,ij->i", probabilities, W @ neighbors)
        shares = agreement / np.where(sums > 0, sums, 1)
        return np.asarray(np.where(sums > 0, np.clip(1 - shares, 0, 1), 0.0))
