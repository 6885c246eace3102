"""What each labeled row adds to a vote of nearest neighbors, exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay.selection.contract.inputs import Floats

# products of rows and validation rows held at a time
_HELD = 1 << 22


def knn_shapley(
    X: NDArray[np.floating],
    codes: NDArray[np.integer],
    wanted: NDArray[np.floating],
    wanted_codes: NDArray[np.integer],
    k: int = 10,
) -> Floats:
    r"""Return the Shapley value of every row for the vote of k nearest neighbors on validation rows.

    The value of a set of rows is the mean over validation rows of the share, out of k, of its (at most k)
    nearest rows that carry the right label. With the n rows in order of distance from a validation
    row and :math:`r_i` 1 where the i-th has its label,

    .. math:: s_n = \frac{\min(k, n)}{k n} r_n, \qquad
        s_i = s_{i+1} + \frac{r_i - r_{i+1}}{k} \frac{\min(k, i)}{i}

    and the values are the means over the validation rows. They add up to the value of all rows.

    Parameters
    ----------
    X : float[n, d]
    codes : int[n]
        Classes.
    wanted : float[m, d]
        Validation rows.
    wanted_codes : int[m]
    k : int, default 10

    Notes
    -----
    O(m n (d + log n)) time, memory of a block of validation rows. Equal distances go by row.

    References
    ----------
    Jia et al., "Efficient task-specific data valuation for nearest neighbor algorithms", 2019.

    Examples
    --------
    >>> knn_shapley(np.array([[0.0], [1.0]]), np.array([0, 1]), np.array([[0.1]]), np.array([0]), k=1)
    array([1., 0.])
    """
    n, m = len(X), len(wanted)
    rows = np.asarray(X, dtype=np.float64)
    squares = np.einsum("ij,ij->i", rows, rows)
    place = np.arange(1, n + 1)
    shares = np.minimum(k, place) / (k * place)
    total = np.zeros(n)
    step = max(1, _HELD // max(n, 1))
    for start in range(0, m, step):
        some = np.asarray(wanted[start : start + step], dtype=np.float64)
        order = np.argsort(squares - 2 * some @ rows.T, axis=1, kind="stable")
        right = (codes[order] == wanted_codes[start : start + step, None]).astype(np.float64)
        gained = right * shares
        gained[:, :-1] = (right[:, :-1] - right[:, 1:]) * shares[:-1]
        values = np.cumsum(gained[:, ::-1], axis=1)[:, ::-1]
        np.add.at(total, order, values)
    return total / m
