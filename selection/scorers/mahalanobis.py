"""Distance from the mean, in units of the spread along each direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from assay.index.threads import one_thread
from assay.index.vectors.checks import equal_rows
from assay.selection.contract.inputs import Floats, Inputs
from assay.selection.scorers.known import KnownRowsScorer, known_rows


class Mahalanobis(KnownRowsScorer):
    r"""Mahalanobis distance from the mean, with a shrunk covariance.

    .. math::
        m_i = \sqrt{(x_i - \mu)^\top \Sigma^{-1} (x_i - \mu)}, \quad
        \Sigma = (1 - \delta) S + \delta\, \frac{\operatorname{tr} S}{d} I

    with S the covariance and the share delta by Ledoit and Wolf, in closed form: what minimizes the
    expected squared error of Sigma. Copies of a row count once in the mean and the covariance.
    With a reference (or a target) mean and covariance are those of its rows: what is known is fitted,
    what is new is scored.

    Attributes
    ----------
    scores_ : float64[n]
        Higher = further out. 0 for all where no row differs from another.
    report_ : dict
        `shrinkage` (delta), `mean`, `duplicates`, `reference_rows` (with a reference).

    Notes
    -----
    One ellipsoid for all rows: fit for vectors of one kind, not for many clusters, where
    `Outlierness` and `LocalOutlierFactor` go by the surroundings of each row. Time
    O(n d^2 + d^3), memory O(n d + d^2).

    Claims
    ------
    paper
        A covariance shrunk to the identity by a share in closed form is better conditioned and
        nearer.
    here
        Distance under that covariance.
    deviates
        Copies count once.
    measured
        AUROC .806 on 14 sets (`judging.md`).

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
        X = inputs.moved_vectors()[0] if inputs.target is None else inputs.vectors()
        first = equal_rows(X, np.arange(len(X))).first
        with one_thread():  # sums that do not depend on the number of threads
            fitted = X[first] if inputs.target is None else known_rows(inputs)
            mean = fitted.mean(axis=0, dtype=np.float64)
            ellipsoid = Ellipsoid.of(fitted - mean)
            along = ellipsoid.along(X - mean)
        scores = np.sqrt(np.einsum("ij,ij->i", along, along))
        return scores, {
            "shrinkage": ellipsoid.shrinkage,
            "mean": float(scores.mean()),
            "duplicates": inputs.n - len(first),
            **({} if inputs.target is None else {"reference_rows": len(fitted)}),
        }


@dataclass(frozen=True, eq=False)
class Ellipsoid:
    """What makes the shrunk covariance of centered rows the identity."""

    directions: Floats
    shrinkage: float

    @classmethod
    def of(cls, centered: Floats) -> Self:
        """Fit it; directions without spread are left out."""
        covariance, shrinkage = shrunk_covariance(centered)
        values, directions = np.linalg.eigh(covariance)
        usable = values > values[-1] * len(values) * np.finfo(np.float64).eps
        scale = np.where(usable, 1 / np.sqrt(np.where(usable, values, 1)), 0)
        return cls(directions * scale, shrinkage)

    def along(self, centered: NDArray[Any]) -> Floats:
        """Return rows in units of the spread along each direction."""
        return np.asarray(centered @ self.directions)


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
