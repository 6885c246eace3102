"""Choices made by inner cross-validation of cheap classifiers: how many columns, which alpha."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from assay.selection.contract.inputs import Floats, Rows
from assay.selection.contract.row_order import rows_by_content
from assay.selection.tables.blocks import dense_rows
from assay.storage.errors import InputError

FOLDS = 5
NEIGHBORS = 5
MOST_ROWS = 2000
COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
"""Numbers of columns that are tried."""


class Choice(NamedTuple):
    """What was chosen, and the accuracy (mean over folds, standard error) of every candidate."""

    value: Any
    tried: pl.DataFrame


def counts_up_to(d: int) -> list[int]:
    """Return the numbers of columns that are tried for d columns.

    Examples
    --------
    >>> from assay.selection.tables.inner_validation import counts_up_to
    >>> counts_up_to(30)
    [1, 2, 5, 10, 20, 30]
    """
    counts = [count for count in COUNTS if count < d]
    return [*counts, d] if d <= COUNTS[-1] else counts


def folds(X: Any, y: NDArray[Any]) -> list[tuple[Rows, Rows]]:
    """Return rows to learn from and rows to test on, for each of five folds.

    At most 2,000 rows take part, those whose contents hash smallest. They are dealt out in order of
    class (or number) and hash, so that every fold has its share of every class and the folds do not
    depend on the order of the rows. Classes of one row are left out.

    Raises
    ------
    InputError
        No two classes have two rows each.
    """
    order = rows_by_content(X, y)[:MOST_ROWS]
    if y.dtype.kind in "iu":
        size = np.bincount(y[order], minlength=int(y.max()) + 1)
        order = order[size[y[order]] >= 2]
        if len(np.unique(y[order])) < 2:
            raise InputError(
                "A choice by cross-validation needs at least 2 rows of at least 2 classes; give "
                "the value instead."
            )
    order = order[np.argsort(y[order], kind="stable")]
    place = np.arange(len(order)) % FOLDS
    return [(order[place != f], order[place == f]) for f in range(min(FOLDS, len(order)))]


def accuracies(
    X: Any, y: NDArray[Any], fold: tuple[Rows, Rows], order: Rows, counts: Sequence[int]
) -> Floats:
    """Return how well two cheap models predict y from the first columns of `order`, per count.

    For classes, the mean of the shares of test rows that the nearest of the class means and the
    majority of the 5 nearest rows get right, in standardized columns. For numbers, the share of
    variance that the mean of the 5 nearest rows explains.

    Parameters
    ----------
    X : array or csc_array of shape (n, d)
    y : int64[n] or float64[n]
        Class codes or numbers.
    fold : pair of int64 arrays
        Rows to learn from, rows to test on.
    order : int64[d]
        Positions of the columns, the best first.
    counts : sequence of int, ascending

    Notes
    -----
    Squared distances are added up from count to count: O(r^2 k) time for r rows and k columns.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.tables.inner_validation import accuracies
    >>> X, y = np.column_stack([np.arange(8) // 4, np.arange(8) % 4]).astype(float), np.arange(8) // 4
    >>> fold = np.array([0, 1, 2, 4, 5, 6]), np.array([3, 7])
    >>> accuracies(X, y, fold, np.array([0, 1]), [1])
    array([1.])
    """
    learn, test = fold
    columns = order[: counts[-1]]
    Z = dense_rows(X[np.concatenate(fold)], columns).T
    known, held_out = Z[: len(learn)], Z[len(learn) :]
    center, scale = known.mean(axis=0), known.std(axis=0)
    scale = np.where(scale > 1e-12 * np.abs(center), scale, np.inf)  # constant: of no use
    known, held_out = (known - center) / scale, (held_out - center) / scale
    classes = y.dtype.kind in "iu"
    labels = np.unique(y[learn]) if classes else np.empty(0)
    means = np.array([known[y[learn] == c].mean(axis=0) for c in labels])
    to_rows = np.zeros((len(test), len(learn)))
    to_means = np.zeros((len(test), len(labels)))
    few = min(NEIGHBORS, len(learn))
    shares, done = [], 0
    for count in counts:
        new = slice(done, count)
        to_rows += cdist(held_out[:, new], known[:, new], "sqeuclidean")
        nearest = np.argpartition(to_rows, few - 1, axis=1)[:, :few]
        if classes:
            to_means += cdist(held_out[:, new], means[:, new], "sqeuclidean")
            votes = (y[learn][nearest][:, :, None] == labels).sum(axis=1)
            right = [labels[of.argmax(axis=1)] == y[test] for of in (votes, -to_means)]
            shares.append(np.mean(right))
        else:
            left = np.square(y[test] - y[learn][nearest].mean(axis=1)).sum()
            shares.append(1.0 - left / max(np.square(y[test] - y[test].mean()).sum(), 1e-300))
        done = count
    return np.array(shares)


def choose_count(order_of: Callable[[Rows], Rows], X: Any, y: NDArray[Any]) -> Choice:
    """Choose how many columns to keep.

    The smallest of 1, 2, 5, 10, ... 500 (and d, up to 500) whose mean accuracy is within one
    standard error of the best.

    Parameters
    ----------
    order_of : callable
        From rows to learn from to the positions of the columns, the best first.
    X, y
        As in `accuracies`.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.tables.inner_validation import choose_count
    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 3
    >>> X = np.column_stack([y, rng.random((60, 9))])
    >>> choose_count(lambda rows: np.arange(10), X, y).value
    1
    """
    counts = counts_up_to(X.shape[1])
    by_fold = np.array([accuracies(X, y, fold, order_of(fold[0]), counts) for fold in folds(X, y)])
    mean, error = _mean_and_error(by_fold)
    best = int(mean.argmax())
    chosen = counts[int((mean >= mean[best] - error[best]).argmax())]
    return Choice(chosen, _tried("n_features_to_select", counts, mean, error))


def choose_alpha(
    scores_of: Callable[[Rows], Callable[[float], Floats]],
    X: Any,
    y: NDArray[Any],
    candidates: Sequence[float],
    default: float,
    counts: Sequence[int],
) -> Choice:
    """Choose alpha: the default, unless another is more accurate by over one standard error.

    The standard error is that of the folds' differences to the default: on a small table chance
    decides which alpha comes out best, and the default was chosen on many tables.

    Parameters
    ----------
    scores_of : callable
        From rows to learn from to a function from alpha to scores of the columns.
    X, y
        As in `accuracies`.
    candidates : sequence of float
        The default among them.
    default : float
    counts : sequence of int
        Numbers of columns over which accuracy is averaged.
    """
    by_fold = []
    for fold in folds(X, y):
        scores = scores_of(fold[0])
        orders = (np.argsort(-scores(alpha), kind="stable") for alpha in candidates)
        by_fold.append([accuracies(X, y, fold, order, counts).mean() for order in orders])
    table = np.array(by_fold)
    mean, error = _mean_and_error(table)
    base = list(candidates).index(default)
    best = int(mean.argmax())
    gain, gain_error = _mean_and_error((table[:, best] - table[:, base])[:, None])
    value = candidates[best] if gain[0] > gain_error[0] else default
    return Choice(value, _tried("alpha", candidates, mean, error))


def _mean_and_error(by_fold: Floats) -> tuple[Floats, Floats]:
    """Return mean over folds and standard error of each column."""
    spread = by_fold.std(axis=0, ddof=1) if len(by_fold) > 1 else np.zeros(by_fold.shape[1])
    return by_fold.mean(axis=0), spread / np.sqrt(len(by_fold))


def _tried(name: str, values: Sequence[float], mean: Floats, error: Floats) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "parameter": [name] * len(values),
            "value": [float(value) for value in values],
            "accuracy": mean,
            "error": error,
        }
    )


def split_count(scores: NDArray[np.float64]) -> int:
    """Return how many scores lie above the best split, at least 1.

    The split of the sorted scores into two groups with the smallest sum of squared deviations from
    the groups' means (two-means in one dimension, exactly); of several the one with fewest above.

    Notes
    -----
    O(d log d) time. Scaling or shifting the scores changes nothing.

    References
    ----------
    N. Otsu, A threshold selection method from gray-level histograms, IEEE Transactions on Systems,
    Man, and Cybernetics 9, 1979.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.tables.inner_validation import split_count
    >>> split_count(np.array([0.1, 5.0, 0.2, 0.0, 4.8]))
    2
    """
    d = len(scores)
    if d < 2 or scores.max() == scores.min():
        return 1
    descending = np.sort(scores)[::-1] - scores.min()
    above = np.arange(1, d)
    total = np.cumsum(descending)[:-1]
    mean_above = total / above
    mean_below = (descending.sum() - total) / (d - above)
    between = above * (d - above) * np.square(mean_above - mean_below)
    return int(between.argmax()) + 1
