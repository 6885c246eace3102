"""Difficulty from how the probability of the label moved over a training log: data maps and windows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from assay.selection.contract.inputs import Floats, Labels
from assay.selection.scorers.training_dynamics import FromTrainingLog, label_probabilities
from assay.selection.scorers.training_logs import TrainingLog
from assay.storage.limits import Limits, Whole


class Confidence(FromTrainingLog):
    r"""Mean probability of the label over the epochs of a training log (dataset cartography).

    .. math:: \hat\mu_i = \frac1E \sum_t p_t(y_i \mid x_i)

    Low where a row is hard to learn, or its label wrong. As a top-k hard rows lose 20 to 40 points
    where 90 % is pruned: use it as the difficulty of `ccs`.

    Attributes
    ----------
    scores_ : float64[n], from 0 to 1
        Higher = easier. A row without a label gets the probability of its likeliest class.

    Notes
    -----
    Time and memory O(n epochs classes).

    Claims
    ------
    paper
        Maps of confidence and variability show easy, ambiguous and hard rows; the hard ones hold
        label errors.
    here
        The mean over all epochs.
    deviates
        Nothing.
    measured
        Equal to its definition by plain loops (test).

    References
    ----------
    Swayamdipta et al., "Dataset cartography: mapping and diagnosing datasets with training dynamics",
    2020.

    Examples
    --------
    >>> import polars as pl
    >>> log = pl.DataFrame({"sample_id": ["a", "b"], "1": [[0.6, 0.4]] * 2, "2": [[1.0, 0.0]] * 2})
    >>> Confidence(log=log).fit(ids=["a", "b"], y=["0", "1"]).scores_.round(6).tolist()
    [0.8, 0.2]
    """

    def _of(self, log: TrainingLog, labels: Labels | None) -> tuple[Floats, dict[str, Any]]:
        return label_probabilities(log, labels, "Confidence").mean(axis=1), {}


@dataclass(kw_only=True, eq=False, repr=False)
class Variability(FromTrainingLog):
    r"""Standard deviation of the label's probability over epochs, of all or of windows of them.

    .. math:: \hat\sigma_i = \sqrt{\tfrac1E \sum_t (p_t(y_i \mid x_i) - \hat\mu_i)^2}

    High where a row is ambiguous. With `window` J it is the mean of the standard deviations over all
    runs of J epochs (there with J - 1 in the denominator), which is Dyn-Unc. As a top-k such rows lose
    20 to 40 points where 90 % is pruned: use it as the difficulty of `ccs`.

    Parameters
    ----------
    window : int, optional
        Epochs of a run, 10 in Dyn-Unc; at most those of the log are taken.

    Attributes
    ----------
    scores_ : float64[n]
        Higher = harder. A row without a label is judged by its likeliest class.

    Notes
    -----
    Time and memory O(n epochs (classes + window)).

    Claims
    ------
    paper
        Cartography: training on ambiguous rows generalizes better out of distribution. Dyn-Unc: a
        quarter of ImageNet can go without loss.
    here
        Both, by `window`.
    deviates
        No top-k by itself: a score for any selector.
    measured
        Equal to its definitions by plain loops (test).

    References
    ----------
    Swayamdipta et al., "Dataset cartography", 2020. He, Yang, Huang, Zhao, "Large-scale dataset pruning
    with dynamic uncertainty", 2024 (windows).

    Examples
    --------
    >>> import polars as pl
    >>> log = pl.DataFrame({"sample_id": ["a", "b"], "1": [[0.6, 0.4], [1.0, 0.0]], "2": [[1.0, 0.0]] * 2})
    >>> Variability(log=log).fit(ids=["a", "b"], y=["0", "1"]).scores_.round(6).tolist()
    [0.2, 0.0]
    """

    limits: ClassVar[Limits] = {"window": (Whole(2), None)}

    window: int | None = None

    def _of(self, log: TrainingLog, labels: Labels | None) -> tuple[Floats, dict[str, Any]]:
        own = label_probabilities(log, labels, "Variability")
        if self.window is None or own.shape[1] < 2:
            return own.std(axis=1), {}
        return _runs(own, self.window).std(axis=2, ddof=1).mean(axis=1), {}


@dataclass(kw_only=True, eq=False, repr=False)
class DUAL(FromTrainingLog):
    r"""Difficulty times uncertainty of the label's probability, over runs of epochs.

    .. math:: \mathrm{DUAL}_i = \frac{1}{E - J + 1} \sum_k (1 - \bar p_{ik})\, s_{ik}

    with the mean and the standard deviation (J - 1 in the denominator) of p over the k-th run of J
    epochs. As a top-k such rows lose 20 to 40 points where 90 % is pruned: use it as the difficulty of
    `ccs`.

    Parameters
    ----------
    window : int, default 10
        J; at most the epochs of the log.

    Attributes
    ----------
    scores_ : float64[n]
        Higher = harder. A row without a label is judged by its likeliest class.

    Notes
    -----
    Of a log of one epoch all scores are 0. Time and memory O(n epochs (classes + window)).

    Claims
    ------
    paper
        Finds what matters early in training, at 15 % of the cost; with Beta sampling better than
        others at high pruning rates.
    here
        The score of the whole log given.
    deviates
        No Beta sampling: the strata of `ccs` stand for it.
    measured
        Equal to its definition by plain loops (test).

    References
    ----------
    Cho, Shin, Kim, Yun, "Lightweight dataset pruning without full training via example difficulty and
    prediction uncertainty", 2025.

    Examples
    --------
    >>> import polars as pl
    >>> log = pl.DataFrame({"sample_id": ["a", "b"], "1": [[0.5, 0.5], [0.0, 1.0]], "2": [[0.5, 0.5], [1.0, 0.0]]})
    >>> DUAL(log=log).fit(ids=["a", "b"], y=["0", "1"]).scores_.round(4).tolist()
    [0.0, 0.3536]
    """

    limits: ClassVar[Limits] = {"window": (Whole(2),)}

    window: int = 10

    def _of(self, log: TrainingLog, labels: Labels | None) -> tuple[Floats, dict[str, Any]]:
        own = label_probabilities(log, labels, "DUAL")
        if own.shape[1] < 2:
            return np.zeros(len(own)), {}
        runs = _runs(own, self.window)
        return ((1 - runs.mean(axis=2)) * runs.std(axis=2, ddof=1)).mean(axis=1), {}


def _runs(probabilities: Floats, window: int) -> Floats:
    """Return all runs of `window` epochs, float64[n, runs, window]; one run of a shorter log."""
    return sliding_window_view(probabilities, min(window, probabilities.shape[1]), axis=1)
