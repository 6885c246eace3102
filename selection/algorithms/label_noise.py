"""The joint of class and label, and weights that undo label noise, from out-of-fold probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.selection.algorithms.cross_fitting import Predictions
from assay.selection.contract.inputs import Floats

_ROUNDS = 50


class LabelNoise(NamedTuple):
    """Estimated label noise; see `assay.selection.evaluation.label_noise.NoiseTransition`."""

    matrix: Floats
    joint: Floats
    posterior: Floats
    weights: Floats


def label_noise(predicted: Predictions) -> LabelNoise:
    """Estimate the label noise; see `assay.selection.evaluation.label_noise.noise_transition`."""
    count = len(predicted.labels.classes)
    P = predicted.probabilities[:, :count]
    P = P / np.maximum(P.sum(axis=1, keepdims=True), 1e-12)
    joint = _joint(P, predicted)
    of_class = joint.sum(axis=1, keepdims=True)
    matrix = np.where(of_class > 0, joint / np.where(of_class > 0, of_class, 1), np.eye(count))
    posterior = _posterior(P, matrix)
    codes = predicted.labels.codes
    rows = np.arange(len(codes))
    as_label = np.maximum((posterior @ matrix)[rows, codes], 1e-12)
    weights = np.where(codes >= 0, posterior[rows, codes] / as_label, 0)
    weights *= len(codes) / max(weights.sum(), 1e-300)
    return LabelNoise(matrix, joint, posterior, weights)


def _joint(P: Floats, predicted: Predictions) -> Floats:
    """Return the share of the labeled rows of each class (row) and label (column)."""
    codes = predicted.labels.codes
    labeled = codes >= 0
    codes, P = codes[labeled], P[labeled]
    count = P.shape[1]
    labels = np.bincount(codes, minlength=count)
    sums = np.bincount(codes, weights=P[np.arange(len(P)), codes], minlength=count)
    usual = sums / np.maximum(labels, 1)
    sure = usual - 1e-12 <= P
    classes = np.where(sure, P, -1).argmax(axis=1)
    counted = sure.any(axis=1)
    counts = np.zeros((count, count))
    np.add.at(counts, (classes[counted], codes[counted]), 1)
    # a label that no row was counted for is taken at its word
    empty = counts.sum(axis=0) == 0
    counts[empty, empty] = 1
    joint = counts * (labels / counts.sum(axis=0))
    return np.asarray(joint / joint.sum(), dtype=np.float64)


def _posterior(P: Floats, matrix: Floats) -> NDArray[np.float64]:
    f = np.full(P.shape, 1 / P.shape[1])
    for _ in range(_ROUNDS):
        f *= (P / np.maximum(f @ matrix, 1e-12)) @ matrix.T
        f /= np.maximum(f.sum(axis=1, keepdims=True), 1e-300)
    return f
