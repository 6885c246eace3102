"""What every feature ranker shares: validation, names, ranking and the number of columns kept."""

from __future__ import annotations

from abc import abstractmethod
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from assay.storage.errors import BudgetError, InputError, NonFiniteError

LIMIT = 1e150  # squares of larger values overflow


class FeatureRanker(SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """Base of every feature ranker: a scikit-learn selector made from one score per column.

    A subclass stores its parameters in `__init__`, `n_features_to_select` among them, and writes
    `_score(X, y)`, higher meaning better. Columns rank by descending score, equal scores in order
    of the columns; constant columns come last, whatever their score.

    Parameters
    ----------
    n_features_to_select : int or float, optional
        How many columns to keep: a count, or a share in (0, 1] of the columns (rounded down, at
        least one). Default: half of them. It can be changed after `fit` without ranking again.

    Attributes
    ----------
    scores_ : float64[d]
        Score of each column.
    ranking_ : int64[d]
        Rank of each column, 1 the best; every rank once.
    classes_ : array
        The classes in sorted order (only where labels are used).
    n_features_in_ : int
        d.
    feature_names_in_ : array of str
        Names of the columns (only where X has names).

    Raises
    ------
    BudgetError
        `n_features_to_select` is neither a count up to d nor a share.
    NonFiniteError
        X holds NaN, infinite values or values beyond 1e150; the message names the columns.
    InputError
        The labels hold one class only.

    Notes
    -----
    O(n d) time beside the subclass's own.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.ranker_base import FeatureRanker
    >>> class Variance(FeatureRanker):
    ...     _uses_labels = False
    ...     def __init__(self, n_features_to_select=None):
    ...         self.n_features_to_select = n_features_to_select
    ...     def _score(self, X, y):
    ...         return X.var(axis=0)
    >>> X = np.array([[0.0, 7, 0], [1, 7, 5], [2, 7, 9]])
    >>> Variance(n_features_to_select=1).fit(X).ranking_
    array([2, 3, 1])
    """

    _uses_labels = True

    n_features_to_select: int | float | None

    @abstractmethod
    def _score(self, X: NDArray[Any], y: Any) -> NDArray[np.float64]:
        """Return one score per column, higher the better.

        X is finite, of any real dtype; y is int64[n], class codes 0 ... len(classes_) - 1, or None
        where labels are not used.
        """

    def fit(self, X: Any, y: ArrayLike | None = None) -> FeatureRanker:
        """Score and rank the columns of X.

        Parameters
        ----------
        X : array or frame of shape (n, d)
            Finite numbers; strings have to be encoded first (`assay.selection.columns.to_matrix`).
        y : array of shape (n,), optional
            Class labels, for rankers that use them.

        Returns
        -------
        self
        """
        options = {"dtype": "numeric", "ensure_all_finite": False, "ensure_min_samples": 2}
        codes = None
        if self._uses_labels:
            X, y = validate_data(self, X, y, **options)
            try:
                check_classification_targets(y)
            except ValueError as error:
                raise InputError(str(error)) from None
            self.classes_, codes = np.unique(y, return_inverse=True)
            if len(self.classes_) < 2:
                raise InputError(
                    f"All {len(codes)} rows have one class, {self.classes_.tolist()[0]!r}; "
                    f"{type(self).__name__} needs at least 2 classes to compare."
                )
        else:
            X = validate_data(self, X, **options)
        low, high = X.min(axis=0), X.max(axis=0)
        self._refuse_non_finite(low.astype(np.float64), high.astype(np.float64))
        self._count_to_select(X.shape[1])
        scores = np.asarray(self._score(X, codes), dtype=np.float64)
        self.scores_ = scores
        self.ranking_ = np.empty(len(scores), dtype=np.int64)
        self.ranking_[np.lexsort((-scores, low == high))] = np.arange(1, len(scores) + 1)
        return self

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        return self.ranking_ <= self._count_to_select(len(self.ranking_))

    def _count_to_select(self, d: int) -> int:
        wanted = self.n_features_to_select
        if wanted is None:
            return max(1, d // 2)
        if isinstance(wanted, Integral) and not isinstance(wanted, bool):
            if 1 <= wanted <= d:
                return int(wanted)
        elif isinstance(wanted, Real) and not isinstance(wanted, bool) and 0 < wanted <= 1:
            return max(1, int(wanted * d))
        raise BudgetError(
            f"n_features_to_select is {wanted!r}; it may be a count from 1 to {d} (the number of "
            f"columns), a share in (0, 1], or None for half of the columns."
        )

    def _refuse_non_finite(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        bad = np.flatnonzero(~((low >= -LIMIT) & (high <= LIMIT)))  # also where NaN
        if len(bad):
            names = getattr(self, "feature_names_in_", np.arange(len(low)))
            more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
            raise NonFiniteError(
                f"Column {', '.join(str(names[j]) for j in bad[:10])}{more} holds NaN, infinite "
                f"values or values beyond {LIMIT:.0e}; fill them (for example with the median), "
                "rescale the column or leave it out."
            )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self._uses_labels
        return tags
