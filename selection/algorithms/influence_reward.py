"""The reward of a row by its influence on others, learned from a sample of pairs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from assay.index.vectors.checks import as_vectors, check_width
from assay.selection.algorithms.cross_fitting import predictions
from assay.selection.algorithms.influence_network import InfluenceNetwork
from assay.selection.contract.inputs import Floats, Inputs, Rows

# rows that the influence is averaged over
_REFERENCES = 64
# as in `SelfConfidence`
_FOLDS, _TRAIN_ROWS = 5, 50_000


def gradient_utility(X: Floats, residuals: Floats) -> Callable[[Rows, Rows], Floats]:
    r"""Return the influence of rows on rows under a softmax regression.

    .. math:: u(i, j) = \langle \nabla \ell_i, \nabla \ell_j \rangle =
        (1 + x_i^\top x_j) \, r_i^\top r_j, \quad r_i = \hat p(\cdot \mid x_i) - e_{y_i}

    the first-order fall of the loss of row j after a gradient step of unit rate on row i. A row
    without a label has no gradient.

    Examples
    --------
    >>> X = np.array([[1.0, 0.0], [0.0, 1.0]])
    >>> residuals = np.array([[-0.5, 0.5], [0.5, -0.5]])
    >>> gradient_utility(X, residuals)(np.array([0]), np.array([0, 1])).tolist()
    [[1.0, -0.5]]
    """

    def utility(left: Rows, right: Rows) -> Floats:
        return np.asarray((1 + X[left] @ X[right].T) * (residuals[left] @ residuals[right].T))

    return utility


def influence_reward(inputs: Inputs, random_state: int) -> Callable[[Rows], Floats]:
    """Return the mean influence of rows on the target, or on a sample of the pool.

    The gradients are those of out-of-fold probabilities. `InfluenceNetwork` learns the influence
    of a sample of pairs from their vectors, so that it can be told for rows without labels, such as
    the target's.
    """
    vectors = inputs.vectors()
    predicted = predictions(inputs, None, _FOLDS, random_state, _TRAIN_ROWS)
    codes = predicted.labels.codes
    residuals = np.array(predicted.probabilities[:, : len(predicted.labels.classes)])
    labeled = np.flatnonzero(codes >= 0)
    residuals[labeled, codes[labeled]] -= 1
    residuals[codes < 0] = 0
    utility = gradient_utility(vectors.astype(np.float64), residuals)
    network = InfluenceNetwork(random_state=random_state).fit(vectors, utility, ids=inputs.ids)
    if inputs.target is not None:
        references = check_width(as_vectors(inputs.target, what="targets"), vectors.shape[1])
        # one order, whatever that of the target's rows
        references = references[np.lexsort(references.T[::-1])]
        places = np.linspace(0, len(references) - 1, min(_REFERENCES, len(references)))
        references = references[np.round(places).astype(np.int64)]
    else:
        order = np.argsort(-inputs.noise(random_state, "influence/references"), kind="stable")
        references = vectors[np.sort(order[:_REFERENCES])]

    def reward(rows: Rows) -> Floats:
        total = np.zeros(len(rows))
        for reference in references:
            total += network.predict(vectors[rows], np.tile(reference, (len(rows), 1)))
        return np.asarray(total / len(references), dtype=np.float64)

    return reward
