"""How new rows are beside what is had already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.index.threads import one_thread
from assay.index.vectors.checks import equal_rows
from assay.index.vectors.exact import unit_rows
from assay.selection.algorithms.cells import cluster
from assay.selection.algorithms.distance_to_known import (
    KnownDistances,
    discoveries,
    known_distances,
)
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs
from assay.selection.scorers.known import KnownRowsScorer, known_rows
from assay.selection.scorers.mahalanobis import Ellipsoid
from assay.storage.errors import InputError
from assay.storage.hashing.rows import uniform
from assay.storage.limits import Limits, Whole

# the false discovery rate at which rows are called new in the report
RATE = 0.05


@dataclass(kw_only=True, eq=False, repr=False)
class Novelty(KnownRowsScorer):
    r"""Distance of a row to the k-th nearest of the rows that are had already.

    .. math:: d_i = \lVert x_i - r_{(k)}(x_i) \rVert, \quad
              p_i = \frac{1 + \lvert \{ j : d_j \ge d_i \} \rvert}{m + 1}

    over the m distinct rows r of a reference, d_j being the distance of a reference row to the
    others. So p is the conformal p-value of "drawn as the reference was": uniform for such rows.

    Parameters
    ----------
    k : int, default 5
        One odd row in the reference then does not vouch for its like.
    metric : {"auto", "cosine", "l2"}, default "auto"
        "auto": that of the graph, and l2 without one.

    Attributes
    ----------
    scores_ : float64[n]
        d; Euclidean, under the cosine between rows scaled to length 1. Higher = newer.
    p_values_ : float64[n]
        p; the scorer `novelty_p` stores it.
    report_ : dict
        `k`, `reference_rows` (distinct), `new` (rows that Benjamini and Hochberg call new at a
        false discovery rate of .05), `mean`.

    Raises
    ------
    MissingInputError
        X or the reference was not given.

    Notes
    -----
    A search of n + m rows among m. In a run the target is the reference. A classifier of pool
    against reference, which `importance` is, can't find kinds that the reference lacks.

    Claims
    ------
    paper
        The k-th distance to known rows detects other distributions better than a model's logits
        (on trained features); conformal p-values bound false alarms.
    here
        Distance to known rows, with the p-value's rank and Benjamini-Hochberg.
    deviates
        On any vectors; the known rows are calibrated by leaving each one out.
    measured
        Mean AUROC .909 on 14 sets of ADBench, half of the normal rows known; pool-only .777
        (test).

    References
    ----------
    Sun, Ming, Zhu, Li, "Out-of-distribution detection with deep nearest neighbors", 2022. Bates,
    Candes, Lei, Romano, Sesia, "Testing for outliers with conformal p-values", 2023.

    Examples
    --------
    >>> known = [[0.0], [1.0], [2.0], [3.0]]
    >>> Novelty(k=1).fit([[0.5], [9.0]], reference=known).scores_.tolist()
    [0.5, 6.0]
    """

    limits: ClassVar[Limits] = {"k": (Whole(1),), "metric": ("auto", "cosine", "l2")}

    k: int = 5
    metric: Literal["auto", "cosine", "l2"] = "auto"

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        distances, p_values, report = self._compared(inputs)
        self.p_values_ = inputs.as_given(p_values)
        return distances.asked, report

    def _compared(self, inputs: Inputs) -> tuple[KnownDistances, Floats, dict[str, Any]]:
        X, known = inputs.vectors(), known_rows(inputs)
        if inputs.metric_of(self.metric) == "cosine":
            X, known = unit_rows(X), unit_rows(known)
        known_distances_ = known_distances(X, known, self.k)
        p_values = known_distances_.p_values()
        return (
            known_distances_,
            p_values,
            {
                "k": known_distances_.k,
                "reference_rows": len(known),
                "new": int(discoveries(p_values, RATE).sum()),
                "mean": float(known_distances_.asked.mean()),
            },
        )


class NoveltyP(Novelty):
    """Conformal p-value of a row under "drawn as the reference was": near 0 = new.

    Parameters
    ----------
    k, metric
        All as in `Novelty`.

    Attributes
    ----------
    scores_ : float64[n], in (0, 1]
        p of `Novelty`. Uniform for rows that are drawn as the reference was.

    Claims
    ------
    paper
        Conformal p-values are valid for any score.
    here
        The p-value of `novelty`.
    deviates
        Leave-one-out instead of a part held back.
    measured
        Uniform where pool and reference are one draw (test).

    Examples
    --------
    >>> known = [[0.0], [1.0], [2.0], [3.0]]
    >>> NoveltyP(k=1).fit([[0.5], [9.0]], reference=known).scores_.tolist()
    [1.0, 0.2]
    """

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        _, p_values, report = self._compared(inputs)
        return p_values, report


@dataclass(kw_only=True, eq=False, repr=False)
class NoveltyToLabeled(Scorer):
    """Distance of a row to the k-th nearest labeled one.

    Parameters
    ----------
    k : int, default 1
        With few labels the nearest one says most.
    metric : {"auto", "cosine", "l2"}, default "auto"
        "auto": that of the graph, and l2 without one.

    Attributes
    ----------
    scores_ : float64[n]
        As `Novelty` with the labeled rows as reference; of a labeled row to the others. 0 everywhere
        while no row has a label.
    report_ : dict
        `k`, `reference_rows` (distinct labeled rows), `mean`.

    Notes
    -----
    A search of n rows among the labeled ones.

    Claims
    ------
    paper
        None: k-center looks at the same distance.
    here
        Distance to the k-th nearest labeled row.
    deviates
        Labeled rows are measured to the others.
    measured
        Equal to brute force on 300 rows (test).

    Examples
    --------
    >>> NoveltyToLabeled().fit([[0.0], [1.0], [5.0]], ["a", None, None]).scores_.tolist()
    [0.0, 1.0, 5.0]
    """

    limits: ClassVar[Limits] = {"k": (Whole(1),), "metric": ("auto", "cosine", "l2")}

    k: int = 1
    metric: Literal["auto", "cosine", "l2"] = "auto"

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        labels = inputs.known_labels
        scores = np.zeros(inputs.n)
        if labels is None:
            return scores, {"k": self.k, "reference_rows": 0, "mean": 0.0}
        X = inputs.vectors()
        if inputs.metric_of(self.metric) == "cosine":
            X = unit_rows(X)
        at = np.flatnonzero(labels.codes >= 0)
        equal = equal_rows(X[at], np.arange(len(at)))
        distances = known_distances(X, np.ascontiguousarray(X[at[equal.first]]), self.k)
        scores = distances.asked
        of_group = distances.known if len(equal.first) > 1 else np.zeros(1)
        scores[at[equal.members]] = np.repeat(of_group, np.diff(equal.starts))
        return scores, {
            "k": distances.k,
            "reference_rows": len(equal.first),
            "mean": float(scores.mean()),
        }


@dataclass(kw_only=True, eq=False, repr=False)
class NoveltyMahalanobis(KnownRowsScorer):
    r"""Distance to the nearest class of what is had already, under one shared covariance.

    .. math:: m_i = \min_c \sqrt{(x_i - \mu_c)^\top \Sigma^{-1} (x_i - \mu_c)}

    with the means of the reference's classes and the Ledoit-Wolf covariance within them.

    Parameters
    ----------
    reference_labels : m labels, optional
        Of the reference's rows. Where None, k-means cells stand in for classes.
    cells : int, default 10
        How many.

    Attributes
    ----------
    scores_ : float64[n]
        Higher = newer.
    report_ : dict
        `classes`, `shrinkage`, `mean`, `reference_rows`.

    Raises
    ------
    MissingInputError
        X or the reference was not given.

    Notes
    -----
    O(m d^2 + d^3 + n (d^2 + c d)). On 14 sets of ADBench, half of the normal rows being known, its mean
    AUROC is .889 and that of `Novelty` .909; `Outlierness` without a reference reaches .777.

    Claims
    ------
    paper
        Class-conditional Gaussians of a network's features detect other distributions.
    here
        Least Mahalanobis distance under one covariance.
    deviates
        One layer of vectors; cells where there are no classes; no input perturbation.
    measured
        Mean AUROC .889 on 14 sets of ADBench, half of the normal rows known (test).

    References
    ----------
    Lee, Lee, Lee, Shin, "A simple unified framework for detecting out-of-distribution samples and
    adversarial attacks", 2018.

    Examples
    --------
    >>> known = [[0.0, 0.0], [0.2, 0.0], [5.0, 5.0], [5.2, 5.0]]
    >>> scorer = NoveltyMahalanobis(reference_labels=["a", "a", "b", "b"])
    >>> scorer.fit([[0.1, 0.0], [9.0, 9.0]], reference=known).scores_.argmax().item()
    1
    """

    limits: ClassVar[Limits] = {"cells": (Whole(1),)}

    reference_labels: ArrayLike | None = None
    cells: int = 10

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        X = inputs.vectors()
        known, codes = self._classes(inputs)
        counts = np.bincount(codes)
        with one_thread():  # sums that do not depend on the number of threads
            sums = np.zeros((len(counts), known.shape[1]))
            np.add.at(sums, codes, known.astype(np.float64))
            means = sums / counts[:, None]
            ellipsoid = Ellipsoid.of(known - means[codes])
            along = ellipsoid.along(X - means[0])
            centers = ellipsoid.along(means - means[0])
            squares = np.full(len(X), np.inf)
            for center in centers:
                apart = along - center
                squares = np.minimum(squares, np.einsum("ij,ij->i", apart, apart))
        scores = np.sqrt(squares)
        return scores, {
            "classes": len(counts),
            "shrinkage": ellipsoid.shrinkage,
            "mean": float(scores.mean()),
            "reference_rows": len(known),
        }

    def _classes(self, inputs: Inputs) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if self.reference_labels is None:
            known = known_rows(inputs)
            return known, cluster(known, self.cells, "l2", uniform(known, 0)).of_row
        known = np.asarray(inputs.target, dtype=np.float32)
        labels = np.asarray(self.reference_labels)
        if known.ndim != 2 or labels.shape != known.shape[:1]:
            raise InputError(
                f"reference_labels has shape {labels.shape} and the reference {known.shape}; pass one "
                "label per row of the reference."
            )
        order = np.argsort(uniform(known, 0), kind="stable")
        codes = np.unique(labels, return_inverse=True)[1]
        return known[order], codes[order]
