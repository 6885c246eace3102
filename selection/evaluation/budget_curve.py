"""How the accuracy of a model grows with the number of random rows that it learns from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy.optimize import least_squares

from assay.index.threads import one_thread
from assay.selection.algorithms.ridge_judge import RidgeJudge
from assay.selection.contract.inputs import Floats, Inputs, Rows
from assay.selection.evaluation.vectors import Space
from assay.storage.errors import BudgetError, InputError, MissingInputError
from assay.storage.limits import MOST_ROUNDS, SEED, Whole, check_parameters

LARGEST = 2_000
# how many times the largest measured budget the curve may be asked about
REACH = 4
_TESTED = 5_000
_SIZES = 9
_LEAST = 100


@dataclass(frozen=True, eq=False)
class LearningCurve:
    r"""A measured learning curve, and the power law through it.

    .. math:: \mathrm{error}(n) = a + b\,n^{-c}

    Attributes
    ----------
    frame : pl.DataFrame
        `rows`, `accuracy` (mean over orders), `deviation` (standard deviation over orders), `fitted`.
    a, b, c : float
    rows : int
        Labeled rows of the pool.
    tested : int
        Rows that the accuracies were measured on.
    """

    frame: pl.DataFrame
    a: float
    b: float
    c: float
    rows: int
    tested: int

    @property
    def reach(self) -> int:
        """The largest budget that the curve tells about: four times the largest measured one."""
        return min(self.rows, REACH * int(self.frame["rows"].to_numpy().max()))

    def accuracy(self, rows: int) -> float:
        """Return the accuracy expected of a random subset.

        Raises
        ------
        BudgetError
            `rows` is below 1 or beyond the reach.
        """
        if not 1 <= rows <= REACH * int(self.frame["rows"].to_numpy().max()):
            raise BudgetError(
                f"The learning curve was asked about {rows:,} rows; it tells about 1 to "
                f"{REACH * int(self.frame['rows'].to_numpy().max()):,}, four times the rows measured."
            )
        return float(np.clip(1 - self.a - self.b * rows**-self.c, 0, 1))

    def budget(self, share: float) -> int:
        """Return the fewest rows expected to reach `share` of the accuracy at the reach."""
        best = self.accuracy(self.reach)
        low, high = 1, self.reach
        while low < high:
            middle = (low + high) // 2
            if self.accuracy(middle) >= share * best:
                high = middle
            else:
                low = middle + 1
        return low


def learning_curve(
    X: Any,
    y: Any,
    *,
    ids: Any = None,
    largest: int = LARGEST,
    repeats: int = 5,
    random_state: int = 0,
) -> LearningCurve:
    """Measure a judge on nested random subsets, and fit a power law.

    Parameters
    ----------
    X : array of shape (n, d)
        Vectors.
    y : n labels
        Rows without a label are left out.
    ids : n unique texts or whole numbers, optional
    largest : int, default 2,000
        Rows of the largest subset, or all that are not kept out.
    repeats : int, default 5
        Orders whose prefixes are the subsets.
    random_state : int, default 0

    Returns
    -------
    LearningCurve

    Raises
    ------
    InputError
        Fewer than 150 rows have a label, or all the same one.
    MissingInputError
        No labels were given.

    Notes
    -----
    A third of the labeled rows, at most 5,000, those whose ids hash smallest, are kept out to be judged
    on. The judge is ridge regression on the vectors and 320 random ReLU features
    (`assay.selection.algorithms.ridge_judge`). The law is fitted to the logarithm of the errors, in
    which large subsets count most. It is not told beyond four times the largest subset: at twenty times it was six points off. Time
    O(repeats (d + 321)^3).

    References
    ----------
    Hestness et al., "Deep learning scaling is predictable, empirically", 2017 (the law).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], 300)
    >>> X = rng.normal(size=(600, 4)) + y[:, None]
    >>> curve = learning_curve(X, y)
    >>> curve.frame["rows"].max(), curve.reach, curve.budget(0.95) < 200
    (400, 600, True)
    """
    check_parameters(
        largest=(largest, Whole(_LEAST)),
        repeats=(repeats, Whole(1, MOST_ROUNDS)),
        random_state=(random_state, *SEED),
    )
    if y is None:
        raise MissingInputError("A learning curve needs labels; pass one label per row as y.")
    inputs = Inputs(X=X, y=y, ids=ids)
    assert inputs.labels is not None
    codes = inputs.labels.codes
    noise = inputs.noise(random_state, "learning curve")
    labeled = np.flatnonzero(codes >= 0)
    labeled = labeled[np.argsort(noise[labeled], kind="stable")]
    if len(labeled) < 3 * _LEAST // 2 or len(np.unique(codes[labeled])) < 2:
        raise InputError(
            f"A learning curve needs at least {3 * _LEAST // 2} rows with labels of two classes; "
            f"{len(labeled)} rows have one, of {len(np.unique(codes[labeled]))} classes."
        )
    test = labeled[: min(_TESTED, len(labeled) // 3)]
    train = labeled[len(test) :]
    largest = min(largest, len(train))
    steps = 2.0 ** (-np.arange(_SIZES) / 2)
    sizes = np.unique(np.maximum(np.round(largest * steps), min(_LEAST, largest)).astype(np.int64))
    space = Space(inputs.vectors(), False)
    with one_thread("blas"):
        judge = RidgeJudge(space.rows, codes, labeled[: 2 * _TESTED], random_state)
        tested = judge.features(test)
        accuracies = np.zeros((repeats, len(sizes)))
        for repeat in range(repeats):
            keys = inputs.noise(random_state, f"learning curve/{repeat}")[train]
            order = train[np.argsort(keys, kind="stable")][:largest]
            features = judge.features(order)
            for at, size in enumerate(sizes):
                fitted = judge.fit(order[:size], features[:size])
                accuracies[repeat, at] = judge.right(fitted, test, tested).mean()
    mean = accuracies.mean(axis=0)
    a, b, c = power_law(sizes, np.maximum(1 - mean, 0.5 / len(test)))
    frame = pl.DataFrame(
        {
            "rows": sizes,
            "accuracy": mean,
            "deviation": accuracies.std(axis=0),
            "fitted": 1 - a - b * sizes.astype(np.float64) ** -c,
        }
    )
    return LearningCurve(frame, a, b, c, len(labeled), len(test))


def power_law(sizes: Rows, errors: Floats) -> tuple[float, float, float]:
    """Return a, b, c of the law a + b n^-c that fits errors best in logarithms, large subsets most.

    Residuals count in proportion to n, because it is beyond the largest subset that the law is asked.

    Examples
    --------
    >>> sizes = np.array([100, 200, 400, 800, 1600])
    >>> [round(v, 4) for v in power_law(sizes, 0.1 + 3 * sizes**-0.5)]
    [0.1, 3.0, 0.5]
    """
    n, target = sizes.astype(np.float64), np.log(errors)
    weights = n / n.max()
    least = float(errors.min())

    def off(values: Floats) -> Floats:
        a, log_b, c = values
        return np.asarray(weights * (np.log(a + np.exp(log_b) * n**-c) - target))

    bounds = ([0.0, -30.0, 1e-3], [least, 30.0, 3.0])
    best = None
    for part in (0.0, 0.5, 0.9):
        for c in (0.2, 0.5, 1.0):
            a = part * least
            log_b = math.log(max(float(errors[0]) - a, 1e-9)) + c * math.log(n[0])
            fit = least_squares(off, [a, log_b, c], bounds=bounds, xtol=1e-12, ftol=1e-12)
            if best is None or fit.cost < best.cost - 1e-15:
                best = fit
    assert best is not None
    a, log_b, c = best.x
    return float(a), float(math.exp(log_b)), float(c)
