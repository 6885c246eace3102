"""How near a row's vector lies to those of some rows that were picked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.selection.contract.inputs import Floats, Inputs
from assay.selection.scorers.seeded import SeededScorer

# rows multiplied at a time
_ROWS = 65_536


class LikeVectors(SeededScorer):
    r"""The mean cosine of a row's vector with those of the seed rows.

    .. math:: s_i = \frac{1}{m} \sum_{j = 1}^{m} \cos(x_i, x_j)

    "More like these" by what the seeds have in common, where `like` follows the graph from each of
    them.

    Attributes
    ----------
    scores_ : float64[n], from -1 to 1
        Higher = nearer to the seeds.
    report_ : dict
        `seeds`.

    Notes
    -----
    The mean of cosines is the product with the mean of the seeds' unit vectors: O(n d), in float64. Rows
    and seeds of length 0 have the cosine 0.

    Claims
    ------
    paper
        Rocchio: the mean of the relevant documents as a query.
    here
        The mean cosine with the seeds.
    deviates
        No weight of the query itself or of documents that are not relevant.
    measured
        Share of the label of 5 seeds among the first 25: .837 on five text sets, `like` .745
        (`sparse_search.md`).

    References
    ----------
    Rocchio, "Relevance feedback in information retrieval", 1971.

    Examples
    --------
    >>> X = [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    >>> LikeVectors(seeds=[0, 2]).fit(X).scores_.round(2).tolist()
    [0.85, 0.35, 0.85]
    """

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        X = inputs.vectors()
        seeds = self._seed_rows(inputs)
        mean = _unit(X[seeds]).mean(axis=0)
        scores = np.empty(inputs.n)
        for start in range(0, inputs.n, _ROWS):
            rows = slice(start, start + _ROWS)
            # one sum for each row: its value does not depend on the rows beside it
            scores[rows] = np.einsum("ij,j->i", _unit(X[rows]), mean)
        return scores, {"seeds": len(seeds)}


def _unit(X: Any) -> np.ndarray:
    rows = np.asarray(X, dtype=np.float64)
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    return np.asarray(rows / np.where(length > 0, length, 1)[:, None])
