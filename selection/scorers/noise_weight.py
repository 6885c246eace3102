"""How much likelier a row's label is as its class than as a label, given how labels go wrong."""

from __future__ import annotations

from typing import Any

from assay.selection.algorithms.cross_fitting import predictions
from assay.selection.algorithms.label_noise import label_noise
from assay.selection.contract.inputs import Floats, Inputs
from assay.selection.scorers.self_confidence import CrossFitted

# classes whose noise is reported
_SHOWN = 20


class NoiseWeight(CrossFitted):
    r"""Weight with which a row is resampled so that the rows drawn are as if labels were clean.

    .. math:: w_i \propto \frac{f_{y_i}(x_i)}{(T^\top f(x_i))_{y_i}}

    T is the matrix of label noise and f the posterior of the classes, both estimated from
    out-of-fold probabilities; see `assay.selection.noise_transition`. Unlike self-confidence, it
    does not mark down a row of a class that is rarely mistaken only because the model is unsure.

    Attributes
    ----------
    scores_ : float64[n], mean 1
        Near 0: the label is most likely wrong. 0 for rows without a label.
    report_ : dict
        `classes`, `unlabeled`, `fitted`, `noise` (estimated share of wrong labels) and
        `transition` (for each class, the shares of the labels given to its rows; the 20 classes
        with the most rows).

    Notes
    -----
    Time that of `SelfConfidence`, and O(50 n classes^2).

    Claims
    ------
    paper
        RENT: resampling by f/(T'f) with a transition matrix beats reweighting and correcting the
        loss.
    here
        The weight, with matrix and posterior from out-of-fold probabilities.
    deviates
        Whole-pool weights instead of resampling each batch; T from counts, not from a network.
    measured
        A planted transition of .2 found within .05 (test). As weights of all rows of CIFAR-10N, 40 %
        of labels wrong: 57.9 against 55.2 unweighted and 56.1 drawn (benchmarks/noise_weights.py).

    References
    ----------
    Bae, Shin, Na, Moon, "Dirichlet-based per-sample weighting by transition matrix for noisy label
    learning", 2024.

    Examples
    --------
    >>> import numpy as np
    >>> P = np.repeat([[0.9, 0.1], [0.2, 0.8]], 10, axis=0)
    >>> y = [0] * 9 + [1] + [1] * 8 + [0] * 2
    >>> NoiseWeight(probabilities=P).fit(y=y).scores_[[0, 9, 10, 18]].round(2).tolist()
    [1.11, 0.04, 1.24, 0.03]
    """

    def _values(self, predicted: Any) -> Floats:
        noise = label_noise(predicted)
        return noise.posterior

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        predicted = predictions(
            inputs, self.probabilities, self.folds, self.random_state, self.train_rows
        )
        noise = label_noise(predicted)
        classes = predicted.labels.classes
        largest = (-noise.joint.sum(axis=1)).argsort(kind="stable")[:_SHOWN]
        return noise.weights, {
            "classes": len(classes),
            "unlabelled": int((predicted.labels.codes < 0).sum()),
            "fitted": predicted.fitted,
            "noise": float(1 - noise.joint.trace()),
            "transition": {
                classes[c]: {classes[y]: float(noise.matrix[c, y]) for y in largest}
                for c in largest
            },
        }
