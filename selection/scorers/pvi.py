"""How much what a row holds tells of its label: pointwise V-information."""

from __future__ import annotations

from typing import Any

import numpy as np

from assay.selection.algorithms.cross_fitting import Predictions
from assay.selection.contract.inputs import Floats, Inputs
from assay.selection.scorers.self_confidence import CrossFitted


class PVI(CrossFitted):
    r"""Pointwise V-information of a row about its label, in bits.

    .. math:: \mathrm{PVI}_i = -\log_2 g_0(y_i) + \log_2 g(y_i \mid x_i)

    where g is the out-of-fold model of `SelfConfidence` and g_0, which sees no input, predicts the
    share of each class. Their mean is the V-information: how much of the labels' entropy models of
    this family take off. Below 0 the model does worse with the row than without: a hard row or a
    wrong label. Unlike self-confidence, it is higher for a rare class at the same probability.

    Parameters
    ----------
    probabilities, folds, train_rows, random_state
        As in `SelfConfidence`.

    Attributes
    ----------
    scores_ : float64[n]
        A row without a label gets the mean over labels drawn from its prediction. Probabilities
        under g_0 / (n + 1), one row's worth, count as that much: no score is below -log2(n + 1).
    report_ : dict
        As in `SelfConfidence`, and of the labelled rows `v_information` and `label_entropy`, both
        in bits.

    Raises
    ------
    MissingInputError, InputError, ConfigError
        As in `SelfConfidence`.

    Notes
    -----
    Folds, model and cost: `SelfConfidence`.

    References
    ----------
    Ethayarajh, Choi, Swayamdipta, "Understanding dataset difficulty with V-usable information",
    2022.

    Examples
    --------
    >>> P = [[1.0, 0.0], [0.5, 0.5], [0.5, 0.5], [0.0, 1.0]]
    >>> scorer = PVI(probabilities=P).fit(y=[0, 0, 1, 1])
    >>> scorer.scores_.tolist(), scorer.report_["v_information"]
    ([1.0, 0.0, 0.0, 1.0], 0.5)
    """

    def _values(self, found: Predictions) -> Floats:
        shares = _shares(found)
        seen = np.maximum(shares, 1 / (len(found.probabilities) + 1))
        floor = seen / (len(found.probabilities) + 1)
        return np.asarray(np.log2(np.maximum(found.probabilities, floor)) - np.log2(seen))

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        scores, report = super()._score(inputs)
        assert inputs.labels is not None
        codes = inputs.labels.codes
        shares = np.bincount(codes[codes >= 0]) / (codes >= 0).sum()
        entropy = -(shares * np.log2(np.maximum(shares, 1e-300))).sum()
        report["v_information"] = float(scores[codes >= 0].mean())
        report["label_entropy"] = float(entropy)
        return scores, report


def _shares(found: Predictions) -> Floats:
    codes = found.labels.codes[found.labels.codes >= 0]
    return np.bincount(codes, minlength=found.probabilities.shape[1]) / len(codes)
