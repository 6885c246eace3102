"""What out-of-fold models say about a row's label: self-confidence, margin and PVI."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from assay.selection.algorithms.cross_fitting import Predictions, predictions
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs
from assay.storage.errors import MissingInputError
from assay.storage.limits import SEED, Limits, Whole


@dataclass(kw_only=True, eq=False, repr=False)
class CrossFitted(Scorer):
    """Base of the scores that are made of out-of-fold probabilities and labels.

    A subclass implements `_values`: float64[n, classes], what a row would score with each label.

    Parameters
    ----------
    probabilities : array or polars.DataFrame of shape (n, classes), optional
        Out-of-fold probabilities of the user's own model, in the order of the rows given. Columns
        of a frame are named after the classes; those of an array are the labels 0, 1, ... where
        labels are such numbers, else the labels sorted as texts. X is not needed then.
    folds : int, default 5
        Each model sees 80% of the rows: more folds cost more and see little more.
    train_rows : int, default 50,000
        Most rows that a model is fitted on, so that the cost of fitting is bounded.
    random_state : int, default 0
        Seed of the folds.

    Attributes
    ----------
    report_ : dict
        `mean`, `classes`, `unlabeled`, `accuracy` (how often the likeliest class is the label),
        `fitted` (False where probabilities were given).

    Raises
    ------
    MissingInputError
        X (without `probabilities`) or y was not given, or classes have no column.
    InputError
        The probabilities do not fit the rows, or do not sum to 1.
    """

    limits: ClassVar[Limits] = {
        "folds": (Whole(2),),
        "train_rows": (Whole(2),),
        "random_state": SEED,
    }

    probabilities: Any = None
    folds: int = 5
    train_rows: int = 50_000
    random_state: int = 0

    @abstractmethod
    def _values(self, predicted: Predictions) -> Floats:
        """Return what each row would score with each of the labels."""

    def _inputs(self, **arguments: Any) -> Inputs:
        if self.probabilities is None:
            return super()._inputs(**arguments)
        if arguments["y"] is None:
            raise MissingInputError(
                f"{type(self).__name__} needs labels, and y was not given; pass one label per row."
            )
        return Inputs(**arguments, method=type(self).__name__)

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        predicted = predictions(
            inputs, self.probabilities, self.folds, self.random_state, self.train_rows
        )
        scores = predicted.of_labels(self._values(predicted))
        codes = predicted.labels.codes
        right = predicted.probabilities.argmax(axis=1) == codes
        return scores, {
            "mean": float(scores.mean()),
            "classes": len(predicted.labels.classes),
            "unlabelled": int((codes < 0).sum()),
            "accuracy": float(right[codes >= 0].mean()),
            "fitted": predicted.fitted,
        }


class SelfConfidence(CrossFitted):
    r"""Out-of-fold probability of a row's own label.

    .. math:: s_i = \hat p_{-f(i)}(y_i \mid x_i)

    where the model was fitted on the folds other than that of row i. Low where the label is likely
    wrong. The model is a softmax regression on the vectors (or, for texts, on the TF-IDF of hashed
    words) and, where a graph is given, on the shares of the classes among a row's neighbors; or
    the probabilities are given.

    Attributes
    ----------
    scores_ : float64[n], from 0 to 1
        A row without a label gets the probability that a label drawn from its prediction has.

    Notes
    -----
    Folds are dealt by a hash of the id, each class evenly, so they do not depend on the order of
    the rows. A class that the rows of the other folds lack gets the probability 0; with one class
    in all, it is 1. The rarest classes beyond 200 are predicted as one. Time
    O(folds * iterations * entries of X * classes), with at most 30 iterations; memory 4 n d bytes
    several times over, and 8 n classes.

    Claims
    ------
    paper
        Confident learning: out-of-fold probabilities find label errors, ten benchmarks' test sets
        included.
    here
        The out-of-fold probability of the label.
    deviates
        A softmax regression on vectors and neighbors' labels; no thresholds by class.
    measured
        AUROC .886, .900, .882 on CIFAR-10N; equal to cleanlab's on the same probabilities
        (`judging.md`).

    References
    ----------
    Northcutt, Jiang, Chuang, "Confident learning: estimating uncertainty in dataset labels", 2021.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.column_stack([np.repeat([0.0, 1.0], 10), np.arange(20) % 10 / 100])
    >>> y = ["a"] * 10 + ["b"] * 9 + ["a"]
    >>> int(SelfConfidence().fit(X, y).scores_.argmin())
    19
    """

    def _values(self, predicted: Predictions) -> Floats:
        return predicted.probabilities


class Margin(CrossFitted):
    r"""Out-of-fold probability of a row's own label less that of the likeliest other class.

    .. math:: m_i = \hat p(y_i \mid x_i) - \max_{c \ne y_i} \hat p(c \mid x_i)

    Unlike self-confidence it tells a row whose label is beaten by one class from one that lies
    between many.

    Attributes
    ----------
    scores_ : float64[n], from -1 (surely another class) to 1
        A row without a label gets the mean over labels drawn from its prediction.

    Notes
    -----
    Folds, model and cost: `SelfConfidence`.

    Claims
    ------
    paper
        As `self_confidence`; the normalized margin ranks errors well.
    here
        Probability of the label less the best other.
    deviates
        As `self_confidence`.
    measured
        AUROC .876, .898, .893 on CIFAR-10N: the best single score with 40 % wrong (`judging.md`).

    References
    ----------
    Northcutt, Jiang, Chuang, "Confident learning: estimating uncertainty in dataset labels", 2021.

    Examples
    --------
    >>> P = [[0.7, 0.3], [0.4, 0.6], [0.1, 0.9]]
    >>> Margin(probabilities=P).fit(y=[0, 0, 1]).scores_.round(1).tolist()
    [0.4, -0.2, 0.8]
    """

    def _values(self, predicted: Predictions) -> Floats:
        return margins(predicted.probabilities)


def margins(P: Floats) -> Floats:
    """Return each probability less the largest other one of its row (0 where there is none)."""
    if P.shape[1] == 1:
        return P.copy()
    first_two = -np.partition(-P, 1, axis=1)[:, :2]
    others = np.repeat(first_two[:, :1], P.shape[1], axis=1)
    others[np.arange(len(P)), P.argmax(axis=1)] = first_two[:, 1]
    return np.asarray(P - others, dtype=np.float64)


class PVI(CrossFitted):
    r"""Pointwise V-information of a row about its label, in bits.

    .. math:: \mathrm{PVI}_i = -\log_2 g_0(y_i) + \log_2 g(y_i \mid x_i)

    where g is the out-of-fold model of `SelfConfidence` and g_0, which sees no input, predicts the
    share of each class. Their mean is the V-information: how much of the labels' entropy models of
    this family take off. Below 0 the model does worse with the row than without: a hard row or a
    wrong label. Unlike self-confidence, it is higher for a rare class at the same probability.

    Attributes
    ----------
    scores_ : float64[n]
        A row without a label gets the mean over labels drawn from its prediction. Probabilities
        under g_0 / (n + 1), one row's worth, count as that much: no score is below -log2(n + 1).
    report_ : dict
        As in `SelfConfidence`, and of the labeled rows `v_information` and `label_entropy`, both
        in bits.

    Notes
    -----
    Folds, model and cost: `SelfConfidence`.

    Claims
    ------
    paper
        V-usable information compares data sets and slices; low pointwise values are wrong or hard.
    here
        Pointwise V-information of out-of-fold linear models.
    deviates
        A linear family, not a fine-tuned language model.
    measured
        AUROC .888, .902, .888 for wrong labels of CIFAR-10N (`judging.md`).

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

    def _values(self, predicted: Predictions) -> Floats:
        shares = _shares(predicted)
        seen = np.maximum(shares, 1 / (len(predicted.probabilities) + 1))
        floor = seen / (len(predicted.probabilities) + 1)
        return np.asarray(np.log2(np.maximum(predicted.probabilities, floor)) - np.log2(seen))

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        scores, report = super()._score(inputs)
        assert inputs.labels is not None
        codes = inputs.labels.codes
        shares = np.bincount(codes[codes >= 0]) / (codes >= 0).sum()
        entropy = -(shares * np.log2(np.maximum(shares, 1e-300))).sum()
        report["v_information"] = float(scores[codes >= 0].mean())
        report["label_entropy"] = float(entropy)
        return scores, report


def _shares(predicted: Predictions) -> Floats:
    codes = predicted.labels.codes[predicted.labels.codes >= 0]
    return np.bincount(codes, minlength=predicted.probabilities.shape[1]) / len(codes)
