"""How unsure a model of the labels so far is of a row."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from assay.selection.algorithms.class_uncertainty import (
    closeness,
    known_probabilities,
    relative_entropy,
)
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs
from assay.storage.limits import SEED, Limits, Whole


@dataclass(kw_only=True, eq=False, repr=False)
class LabelModelScorer(Scorer):
    """Base of the scores that are made of class probabilities for labeled and unlabeled rows alike.

    A subclass implements `_values`.

    Parameters
    ----------
    folds : int, default 5
        Labeled rows are predicted by models that saw the other folds.
    train_rows : int, default 50,000
        Most rows that a model is fitted on, so that the cost of fitting is bounded.
    random_state : int, default 0
        Seed of the folds.

    Attributes
    ----------
    report_ : dict
        `mean`, `labeled`, `classes`.
    """

    limits: ClassVar[Limits] = {
        "folds": (Whole(2),),
        "train_rows": (Whole(2),),
        "random_state": SEED,
    }

    folds: int = 5
    train_rows: int = 50_000
    random_state: int = 0

    @abstractmethod
    def _values(self, inputs: Inputs, probabilities: Floats | None) -> Floats:
        """Return one score per row; `probabilities` is None while fewer than 2 classes are known."""

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        known = known_probabilities(inputs, self.folds, self.random_state, self.train_rows)
        scores = self._values(inputs, known)
        labels = inputs.known_labels
        return scores, {
            "mean": float(scores.mean()),
            "labeled": 0 if labels is None else int((labels.codes >= 0).sum()),
            "classes": 0 if labels is None else len(labels.classes),
        }


class Uncertainty(LabelModelScorer):
    r"""One less the lead of the likeliest class over the second.

    .. math:: u_i = 1 - (p_{i(1)} - p_{i(2)})

    p are the class probabilities of a softmax regression on the vectors and, where a graph is given,
    on the classes of the neighbors. Labeled rows are predicted out of fold, the others by a model of
    all labels. Higher = the model can't tell which of two classes it is. Unlike `margin` it does not
    look at the row's own label, and is for pools of which few rows have one.

    Attributes
    ----------
    scores_ : float64[n], from 0 to 1
        1 everywhere while fewer than two classes are labeled.

    Notes
    -----
    Time O(folds * n * d * classes), memory 4 n d bytes several times over, and 8 n classes. The
    rarest classes beyond 200 are predicted as one.

    Claims
    ------
    paper
        Sampling by the margin of the two likeliest classes needs fewer labels than random rows.
    here
        1 less that margin, out of fold for labeled rows.
    deviates
        As a score alone: what to label is chosen by `next_batch`, which weighs coverage by it.
    measured
        Pure margin sampling beside random rows and others in `active_learning.md`.

    References
    ----------
    Scheffer, Decomain, Wrobel, "Active hidden Markov models for information extraction", 2001.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(0, 1, 11)[:, None]
    >>> y = ["a", "a", *[None] * 7, "b", "b"]
    >>> int(Uncertainty(folds=2).fit(X, y).scores_.argmax())
    5
    """

    def _values(self, inputs: Inputs, probabilities: Floats | None) -> Floats:
        return np.ones(inputs.n) if probabilities is None else closeness(probabilities)


class PredictedEntropy(LabelModelScorer):
    r"""Entropy of the predicted class, as a share of that of equally likely classes.

    .. math:: h_i = -\frac{1}{\log C} \sum_c p_{ic} \log p_{ic}

    Model and folds are those of `Uncertainty`; beside it, a row that lies between many classes
    scores higher than one between two.

    Attributes
    ----------
    scores_ : float64[n], from 0 to 1
        1 everywhere while fewer than two classes are labeled.

    Notes
    -----
    Cost: `Uncertainty`. The entropy in a model's log of training is the score `entropy`.

    Claims
    ------
    paper
        A survey: entropy and margin are both common, and which is better depends on the loss.
    here
        Entropy of the predicted class, as a share of the most there can be.
    deviates
        Out of fold for labeled rows.
    measured
        Equal to SciPy on given probabilities (test).

    References
    ----------
    Settles, "Active learning literature survey", 2009.

    Examples
    --------
    >>> PredictedEntropy().fit([[0.0], [1.0]]).scores_.tolist()
    [1.0, 1.0]
    """

    def _values(self, inputs: Inputs, probabilities: Floats | None) -> Floats:
        return np.ones(inputs.n) if probabilities is None else relative_entropy(probabilities)
