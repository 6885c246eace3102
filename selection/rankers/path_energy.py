"""The energy of all paths through a graph of columns, without the graph's matrix."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from assay.selection.contract.inputs import Floats

Operator = Callable[[Floats], Floats]

SHRINKAGE = 5e-6  # per column, as the authors of Inf-FS set it
MOST_SHRINKAGE = 0.1  # as coded it would reach 1 at 200,000 columns, and turn the ranking round
TOLERANCE = 1e-12
MAX_STEPS = 100


class Largest:
    """The matrix of max(s_i, s_j), s ascending and from 0, as an operator in O(d).

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.path_energy import Largest
    >>> Largest(np.array([0.0, 0.5, 1.0])).times(np.ones(3))
    array([1.5, 2. , 3. ])
    """

    def __init__(self, s: Floats) -> None:
        self._s = s
        first = np.append(True, np.diff(s) > 0)
        self._first = np.maximum.accumulate(np.where(first, np.arange(len(s)), 0))

    def times(self, v: Floats) -> Floats:
        """Return sum_j max(s_i, s_j) v_j; equal s_i get equal results, to the last bit."""
        above = np.cumsum(self._s * v)
        result: Floats = self._s * np.cumsum(v) + (above[-1] - above)
        return result[self._first]


def energies(times: Operator, d: int, scaling: str) -> Floats:
    """Row sums of (I - r A)^-1 for the operator A of d columns, less 1 for scaling "2016".

    Arnoldi's iteration from the vector of ones, until the residual is 1e-12 of the result.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.path_energy import energies
    >>> A = np.array([[0.0, 1.0], [1.0, 1.0]])
    >>> energies(lambda v: A @ v, 2, "paper").round(3)
    array([4., 6.])
    """
    degree = times(np.ones(d))
    most = degree.max()
    if not most > 0:
        return np.full(d, 0.0 if scaling == "2016" else 1.0)
    beta = np.sqrt(d)
    basis = [np.full(d, 1 / beta)]
    image = degree / beta
    h = np.zeros((MAX_STEPS + 1, MAX_STEPS))
    for step in range(1, MAX_STEPS + 1):
        for _ in range(2):  # twice is enough for orthogonality
            for k, vector in enumerate(basis):
                part = (vector * image).sum()
                h[k, step - 1] += part
                image = image - part * vector
        h[step, step - 1] = rest = np.sqrt(np.square(image).sum())
        small = h[:step, :step]
        if scaling == "2016":
            factor = 0.99 / np.linalg.eigvals(small).real.max()
        else:
            factor = step_factor(most, d, scaling)
        right = np.zeros(step)
        right[0] = beta
        weights = np.linalg.solve(np.eye(step) - factor * small, right)
        # the next term of the series lies in the basis already, and shrinks the error by r R
        residual = abs(factor * rest * weights[-1]) * min(1.0, factor * most)
        ended = rest <= 1e-14 * most or step == d
        if not ended:
            basis.append(image / rest)
        if ended or residual <= TOLERANCE * np.abs(weights).max():
            break
        image = times(basis[-1])
    else:
        warnings.warn(
            f"The energies moved by {residual / beta:.1e} in the last of {MAX_STEPS} steps: columns with "
            "nearly equal scores may be out of order.",
            ConvergenceWarning,
            stacklevel=2,
        )
    path = factor * (h[: len(basis), :step] @ weights)
    result = np.zeros(d) if scaling == "2016" else np.ones(d)
    for weight, vector in zip(path, basis, strict=True):
        result += weight * vector
    return result


def cut_size(scores: Floats, cut: str) -> int:
    """Number of columns kept by a cut of the ranking, at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.path_energy import cut_size
    >>> scores = np.array([0.0, 0.1, 0.2, 2.9, 3.0, 9.0])
    >>> cut_size(scores, "authors"), cut_size(scores, "mean")
    (1, 3)
    """
    if cut == "mean":
        return max(1, int((scores > scores.mean()).sum()))
    bins = max(len(scores) // 2, 1)
    low, span = scores.min(), scores.max() - scores.min()
    if not span > 0:
        return 1
    place = np.ceil((scores - low) / span * bins) - 1  # bins closed on the right
    counts = np.bincount(np.clip(place, 0, bins - 1).astype(np.int64), minlength=bins)
    return max(1, int((counts > len(scores) / bins).sum()))


def step_factor(largest_sum: float, d: int, scaling: str) -> float:
    """Factor r of scaling "authors" or "paper", from the largest row sum of A.

    Examples
    --------
    >>> from assay.selection.rankers.path_energy import step_factor
    >>> step_factor(50.0, 100, "paper")
    0.01999
    """
    shrinkage = min(SHRINKAGE * d, MOST_SHRINKAGE)
    factor = (1 - shrinkage) / largest_sum
    return factor / (largest_sum + shrinkage) if scaling == "authors" else factor
