"""Distance from the mean, in units of the spread along each direction."""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from assay.index.vectors.checks import equal_rows
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs


class Mahalanobis(Scorer):
    r"""Mahalanobis distance from the mean, with a shrunk covariance.

    .. math::
        m_i = \sqrt{(x_i - \mu)^\top \Sigma^{-1} (x_i - \mu)}, \quad
        \Sigma = (1 - \delta) S + \delta\, \frac{\operatorname{tr} S}{d} I

    with S the covariance and the share delta by Ledoit and Wolf, in closed form: what minimizes the
    expected squared error of Sigma. Copies of a row count once in the mean and the covariance.

    Attributes
    ----------
    scores_ : float64[n]
        Higher = further out. 0 for all where no row differs from another.
    report_ : dict
        `shrinkage` (delta), `mean`, `duplicates`.

    Raises
    ------
    MissingInputError
        X was not given.

    Notes
    -----
    One ellipsoid for all rows: fit for vectors of one kind, not for many clusters, where
    `Outlierness` and `LocalOutlierFactor` go by the surroundings of each row. Time
    O(n d^2 + d^3), memory O(n d + d^2).

    References
    ----------
    Ledoit, Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004.

    Examples
    --------
    >>> X = [[0.0, 0.0], [1.0, 0.1], [2.0, -0.1], [3.0, 0.1], [1.5, 2.0]]
    >>> int(Mahalanobis().fit(X).scores_.argmax())
    4
    """

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        X, _ = inputs.moved_vectors()
        first = equal_rows(X, np.arange(len(X))).first
        with threadpool_limits(limits=1):  # sums that do not depend on the number of threads
            mean = X[first].mean(axis=0, dtype=np.float64)
            centered = X - mean
            covariance, shrinkage = shrunk_covariance(centered[first])
            values, directions = np.linalg.eigh(covariance)
            told = values > values[-1] * len(values) * np.finfo(np.float64).eps
            scale = np.where(told, 1 / np.sqrt(np.where(told, values, 1)), 0)
            along = centered @ (directions * scale)
        scores = np.sqrt(np.einsum("ij,ij->i", along, along))
        return scores, {
            "shrinkage": shrinkage,
            "mean": float(scores.mean()),
            "duplicates": inputs.n - len(first),
        }


def shrunk_covariance(centered: Floats) -> tuple[Floats, float]:
    r"""Return the Ledoit-Wolf covariance of centered rows, and its share of the identity.

    .. math::
        \delta = \frac{\min(\beta, \gamma)}{\gamma}, \quad
        \gamma = \lVert S - m I \rVert_F^2, \quad
        \beta = \frac{1}{n^2} \sum_i \lVert x_i x_i^\top - S \rVert_F^2, \quad
        m = \operatorname{tr} S / d
    """
    n, d = centered.shape
    S = centered.T @ centered / n
    mean = float(np.trace(S)) / d
    total = float((S**2).sum())
    gamma = total - d * mean**2
    fourth = float((np.einsum("ij,ij->i", centered, centered) ** 2).sum())
    beta = (fourth / n - total) / n
    shrinkage = min(max(beta, 0.0), gamma) / gamma if gamma > 0 else 0.0
    S *= 1 - shrinkage
    S[np.diag_indices(d)] += shrinkage * mean
    return S, shrinkage
