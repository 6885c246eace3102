"""How unsure a model is that was fitted on the labels there are."""

from __future__ import annotations

import numpy as np

from assay.selection.algorithms.cross_fitting import class_probabilities
from assay.selection.contract.inputs import Floats, Inputs


def known_probabilities(
    inputs: Inputs, folds: int, random_state: int, train_rows: int
) -> Floats | None:
    """Return the class probabilities of every row, None while the labels name fewer than 2 classes."""
    labels = inputs.known_labels
    if labels is None or len(labels.classes) < 2:
        return None
    return class_probabilities(inputs, labels, folds, random_state, train_rows)


def closeness(probabilities: Floats) -> Floats:
    """Return 1 less the probability of the likeliest class, plus that of the second.

    Examples
    --------
    >>> closeness(np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    return np.asarray(1 - (first - second))


def relative_entropy(probabilities: Floats) -> Floats:
    """Return the entropy as a share of that of equally likely classes.

    Examples
    --------
    >>> relative_entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).tolist()
    [1.0, 0.0]
    """
    logs = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    entropy = np.einsum("ij,ij->i", probabilities, -logs)
    return np.asarray(np.clip(entropy / np.log(probabilities.shape[1]), 0, 1))
