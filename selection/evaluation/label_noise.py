"""How often labels of one class were given as another, and weights that undo it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.selection.algorithms.cross_fitting import predictions
from assay.selection.algorithms.label_noise import label_noise
from assay.selection.contract.inputs import Floats, Inputs, Rows
from assay.storage.errors import InputError
from assay.storage.limits import SEED, check_parameters


@dataclass(frozen=True, eq=False)
class NoiseTransition:
    """Estimated label noise, with rows in the order given.

    Attributes
    ----------
    classes : list of str
    matrix : float64[classes, classes]
        T: row c is the distribution of the label given to rows that are of class c.
    joint : float64[classes, classes]
        Share of the rows that are of class c (row) and were given label y (column).
    posterior : float64[n, classes]
        Probability of each class of every row before its label is seen.
    weights : float64[n], mean 1
        See `noise_transition`; 0 for rows without a label.
    ids : list of str
    """

    classes: list[str]
    matrix: Floats
    joint: Floats
    posterior: Floats
    weights: Floats
    ids: list[str]

    def resample(self, size: int, random_state: int = 0) -> Rows:
        """Return `size` rows drawn with replacement in proportion to their weights.

        How often a row is drawn does not depend on the order of the rows: each draw is a point of
        the cumulated weights in order of id.
        """
        order = np.argsort(np.array([name.encode() for name in self.ids], dtype=object))
        ends = np.cumsum(self.weights[order])
        check_parameters(random_state=(random_state, *SEED))
        draws = np.random.default_rng(int(random_state)).random(size) * ends[-1]
        return np.asarray(order[np.searchsorted(ends, draws, side="right")], dtype=np.int64)


def noise_transition(
    X: Any = None,
    y: Any = None,
    *,
    probabilities: Any = None,
    graph: Any = None,
    ids: Any = None,
    folds: int = 5,
    train_rows: int = 50_000,
    random_state: int = 0,
) -> NoiseTransition:
    r"""Estimate the label noise from out-of-fold probabilities of the labels given.

    Row i is counted as of class c where :math:`\hat p(c \mid x_i)` is at least the mean of
    :math:`\hat p(c \mid \cdot)` over the rows labeled c (of several such classes the likeliest).
    The counts, scaled to the number of labels of each kind, give the joint of class and label, and
    its rows T. The probabilities are those of labels, so that the class posterior f solves

    .. math:: T^\top f(x_i) = \hat p(\cdot \mid x_i), \quad f \ge 0, \quad \sum_c f_c = 1

    in the least Kullback-Leibler divergence. The weight of a row is how much likelier its label is
    as its class than as a label,

    .. math:: w_i \propto \frac{f_{y_i}(x_i)}{(T^\top f(x_i))_{y_i}}

    so that rows drawn by weight, with replacement, are distributed as clean ones.

    Parameters
    ----------
    X, y, graph, ids
        As for `SelfConfidence`; X is not needed where probabilities are given.
    probabilities, folds, train_rows, random_state
        As in `SelfConfidence`.

    Raises
    ------
    InputError
        There are no labels, or the probabilities do not fit them.

    Notes
    -----
    f is found by 50 multiplicative rounds (expectation maximization), each of O(n classes^2).
    Classes that no row was counted as keep their labels: their row of T is that of the identity.

    References
    ----------
    Northcutt, Jiang, Chuang, "Confident learning: estimating uncertainty in dataset labels", 2021
    (T). Bae, Shin, Na, Moon, "Dirichlet-based per-sample weighting by transition matrix for noisy
    label learning", 2024 (weights).

    Examples
    --------
    >>> import numpy as np
    >>> P = np.repeat([[0.9, 0.1], [0.2, 0.8]], 10, axis=0)
    >>> y = [0] * 9 + [1] + [1] * 8 + [0] * 2
    >>> found = noise_transition(y=y, probabilities=P)
    >>> found.matrix.round(2).tolist()
    [[0.9, 0.1], [0.2, 0.8]]
    >>> bool(found.weights[9] < 0.2 < found.weights[0])
    True
    """
    inputs = Inputs(X=X, y=y, graph=graph, ids=ids)
    if inputs.labels is None:
        raise InputError("noise_transition needs labels, and y was not given; pass one per row.")
    if probabilities is None and X is None:
        raise InputError("noise_transition needs X or probabilities, and neither was given.")
    predicted = predictions(inputs, probabilities, folds, random_state, train_rows)
    noise = label_noise(predicted)
    return NoiseTransition(
        classes=predicted.labels.classes,
        matrix=noise.matrix,
        joint=noise.joint,
        posterior=inputs.as_given(noise.posterior),
        weights=inputs.as_given(noise.weights),
        ids=inputs.given_ids.to_list(),
    )
