"""What every feature ranker shares: validation, names, ranking and the number of columns kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.feature_selection import SelectorMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from assay.selection.contract.inputs import Floats
from assay.selection.registry import Method
from assay.selection.tables.blocks import ColumnBlock, bounds, by_columns, column_mask
from assay.selection.tables.inner_validation import COUNTS, choose_count, split_count
from assay.selection.tables.matrix import encode_names
from assay.selection.tables.missing_values import (
    count_missing,
    fill_medians,
    missing_report,
)
from assay.selection.tables.moments import Relevance
from assay.storage.errors import BudgetError, ConfigError, InputError, NonFiniteError
from assay.storage.limits import Constraint, Limits, Number, Whole, check_parameters

_SHOWN = 10
LIMIT = 1e150  # squares of larger values overflow


class Columns(Constraint):
    """A count of columns, or a share of them."""

    error: ClassVar[type[ConfigError]] = BudgetError

    def allows(self, value: Any) -> bool:
        return Whole(1).allows(value) or (
            not isinstance(value, Integral) and Number("(0, 1]").allows(value)
        )

    def __str__(self) -> str:
        return "a count of columns (a whole number >= 1), a share of them in (0, 1]"


class _Options:
    """Parameters that some rankers have, and what some fits leave."""

    alpha: Any = None
    n_bins: int | None = None
    discrete_features: Any = None
    validation_: pl.DataFrame
    _of_names: NDArray[np.bool_] | None = None


@dataclass(kw_only=True, eq=False, repr=False)
class FeatureRanker(_Options, Method, SelectorMixin, BaseEstimator):  # type: ignore[misc]
    """Base of every feature ranker: a scikit-learn selector made from one score per column.

    A subclass declares its parameters as fields of a dataclass, or stores them in `__init__`, and writes
    `_score(X, y)`, higher meaning better. One that looks at each column alone writes
    `_figures(X, y, named)` and `_score_figures(figures)` instead, and sets `_by_column`: its columns
    can then be ranked in blocks. Columns rank by descending score, equal scores in order of the
    columns; constant columns come last, whatever their score.

    Parameters
    ----------
    n_features_to_select : int, float, "auto" or "shadow", optional
        How many columns to keep: a count, or a share in (0, 1] of the columns (rounded down, at
        least one). Default: half of them. A count or share can be changed after `fit` without
        ranking again. "auto": with labels the smallest of 1, 2, 5, 10, 20, 50, 100, 200, 500 (and d,
        up to 500) whose accuracy in an inner cross-validation is within one standard error of the
        best (`assay.selection.tables.inner_validation`: nearest class mean and 5 nearest rows, five folds,
        2,000 rows at most; the columns are ranked anew in each fold). Without labels the columns
        above the point that splits the scores best into two groups (`split_count`). "shadow": the
        columns that a forest finds more useful than the best of shuffled columns
        (`assay.selection.tables.shadow_columns`: Boruta's test, ten rounds); it needs labels.
    missing : {"median", "raise"}, default "median"
        NaN: give it the lower median of its column and report so in `missing_`, or refuse it.

    Attributes
    ----------
    scores_ : float64[d]
        Score of each column.
    ranking_ : int64[d]
        Rank of each column, 1 the best; every rank once. Ties go by the order of the columns,
        constant columns last.
    n_features_ : int
        How many columns "auto" or "shadow" keeps (only with these).
    confirmed_ : bool[d]
        The columns that beat their shadows, which `get_support` gives (only with "shadow").
    validation_ : polars.DataFrame
        parameter, value, accuracy, error of what was tried by cross-validation (only where it was).
    missing_ : polars.DataFrame
        One row per column: feature, missing (values), share, treatment ("none", "median", or "zero"
        where it has no value); only with ``missing="median"``.
    classes_ : array
        The classes in sorted order (only where labels are used).
    n_features_in_ : int
        d.
    feature_names_in_ : array of str
        Names of the columns (only where X has names).

    Raises
    ------
    BudgetError
        `n_features_to_select` is neither a count up to d nor a share nor "auto" or "shadow".
    NonFiniteError
        X holds NaN (and `missing` is "raise"), infinite values or values beyond 1e150; the message
        names the columns.
    InputError
        The labels hold one class only.

    Notes
    -----
    O(n d) time beside the subclass's own; "auto" takes five times its time more. Sparse X (CSR or
    CSC) gives the scores of the dense matrix, up to rounding; it is read by columns, in blocks,
    unless the ranker says otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.base import FeatureRanker
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
    _by_column = False
    _streams = False  # whether `_relevance_figures` gives what `_figures` does

    limits: ClassVar[Limits] = {
        "n_features_to_select": (Columns(), "auto", "shadow", None),
        "missing": ("raise", "median"),
    }

    n_features_to_select: int | float | str | None = field(default=None, kw_only=False)
    missing: str = "median"

    def _score(self, X: Any, y: Any) -> Floats:
        """Return one score per column, higher the better.

        X is finite, of any real dtype, an array or a `csc_array`; y is int64[n], class codes
        0 ... len(classes_) - 1, or None where labels are not used.
        """
        return self._score_figures(self._figures(X, y, self._named(X.shape[1])))

    def _named(self, d: int) -> NDArray[np.bool_] | None:
        """Return which columns hold names: as declared, or by their type in the frame given."""
        declared = column_mask(self.discrete_features, d)
        if self._of_names is None or len(self._of_names) != d:
            return declared
        return self._of_names if declared is None else self._of_names | declared

    def _figures(self, X: Any, y: Any, named: NDArray[np.bool_] | None) -> Floats:
        """Return float64[r, d]: what the scores are made of, each column's from it alone."""
        raise NotImplementedError

    def _relevance_figures(self, relevance: Relevance, y: Any) -> Floats:
        """Return `_figures` from streamed relevance figures, where `_streams`."""
        raise NotImplementedError

    def _score_figures(self, figures: Floats) -> Floats:
        """Return the scores of all columns from their figures."""
        scores: Floats = figures[0]
        return scores

    def _notebook_rows(self) -> Iterable[tuple[str, Any]]:
        yield from self.get_params(deep=False).items()
        scores = vars(self).get("scores_")
        if scores is not None:
            names = self._names(len(scores))
            for rank, column in enumerate(np.argsort(self.ranking_)[:_SHOWN], start=1):
                yield f"{rank}. {names[column]}", float(scores[column])

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Score and rank the columns of X.

        Parameters
        ----------
        X : array, sparse matrix or frame of shape (n, d)
            Finite numbers. Strings and categories of a frame become codes (as `to_matrix` makes
            them) and count as `discrete_features`, where the ranker has that parameter.
        y : array of shape (n,), optional
            Class labels, for rankers that use them.

        Returns
        -------
        self
        """
        self.check_parameters()
        options = {
            "dtype": "numeric",
            "ensure_all_finite": False,
            "ensure_min_samples": 2,
            "accept_sparse": ("csc", "csr"),
        }
        codes = None
        X, self._of_names = encode_names(X)
        if self._uses_labels:
            _refuse_missing_labels(y)
            X, y = validate_data(self, X, y, **options)
            codes = self._encode_labels(y)
        else:
            X = validate_data(self, X, **options)
        X = by_columns(X)
        if self.missing == "median":
            counts = count_missing(X)
            X = fill_medians(X, counts)
            self.missing_ = missing_report(self._names(X.shape[1]), X.shape[0], counts)
        low, high = bounds(X)
        self.refuse_non_finite(low, high)
        for name in ("n_features_", "validation_", "scores_", "confirmed_"):
            self.__dict__.pop(name, None)
        self._count_to_select(X.shape[1])
        self._rank(np.asarray(self._score(X, codes), dtype=np.float64), low == high)
        if self._shadowed:
            self._confirm(X, codes)
        elif self._automatic:
            self._choose_count(X, codes, low == high)
        return self

    def fit_columns(self, blocks: Iterable[ColumnBlock], y: ArrayLike) -> Self:
        """Score and rank columns that arrive in blocks, so that one block is in memory at a time.

        The scores are those of `fit` on all columns together.

        Parameters
        ----------
        blocks : iterable of ColumnBlock
            All columns, in order. Their `discrete` takes the place of `discrete_features`.
        y : array of shape (n,)
            As for `fit`.

        Raises
        ------
        ConfigError
            Scores depend on more than one column at a time, or something is to be chosen by
            cross-validation.
        """
        self.require_column_blocks()
        codes = self.start(np.asarray(y))
        figures, names, constant = [], [], []
        for block in blocks:
            low, high = bounds(block.X)
            self.refuse_non_finite(low, high, list(block.names))
            figures.append(self.block_figures(block, codes))
            names += list(block.names)
            constant.append(low == high)
        return self.fit_figures(np.concatenate(figures, axis=1), names, np.concatenate(constant))

    def fit_figures(
        self, figures: Floats, names: Sequence[str], constant: NDArray[np.bool_]
    ) -> Self:
        """Rank columns by figures that were computed before; `fit_columns` ends so."""
        self.feature_names_in_ = np.array(names, dtype=object)
        self.n_features_in_ = len(names)
        self._count_to_select(len(names))
        self._rank(np.asarray(self._score_figures(figures), dtype=np.float64), constant)
        return self

    def require_column_blocks(self) -> None:
        """Raise `ConfigError` unless columns can be scored in blocks."""
        name = type(self).__name__
        if not self._by_column:
            raise ConfigError(
                f"{name} with these parameters compares columns with each other, so that it needs "
                "the whole table in memory; use `fit`."
            )
        if self._validates:
            raise ConfigError(
                "A choice by cross-validation needs the whole table in memory; use `fit`, or give "
                "n_features_to_select and alpha."
            )

    @property
    def by_blocks(self) -> bool:
        """Whether columns can be scored in blocks, each from itself alone."""
        return bool(self._by_column) and not self._validates

    @property
    def by_rows(self) -> bool:
        """Whether columns can be scored from figures that are summed over the rows."""
        return self.by_blocks and bool(self._streams)

    def start(self, y: Any) -> NDArray[np.int64]:
        """Check the parameters and return the classes' codes, before columns come in parts."""
        self.check_parameters()
        return self._encode_labels(y)

    def block_figures(self, block: ColumnBlock, codes: NDArray[np.int64]) -> Floats:
        """Return what the scores of a block of columns are made of, for `fit_figures`."""
        return self._figures(block.X, codes, block.discrete)

    def streamed_figures(self, relevance: Relevance, codes: NDArray[np.int64]) -> Floats:
        """Return `block_figures` from figures that were summed over the rows."""
        return self._relevance_figures(relevance, codes)

    @property
    def _validates(self) -> bool:
        """Whether something is chosen by cross-validation, which takes the whole table."""
        return self._automatic or (isinstance(self.alpha, str) and self.alpha == "cv")

    @property
    def _automatic(self) -> bool:
        wanted = self.n_features_to_select
        return isinstance(wanted, str) and wanted in ("auto", "shadow")

    @property
    def _shadowed(self) -> bool:
        return self._automatic and self.n_features_to_select == "shadow"

    def _confirm(self, X: Any, codes: Any) -> None:
        """Keep the columns that beat shuffled ones."""
        from assay.selection.tables.shadow_columns import beat_shadows

        if codes is None:
            raise ConfigError(
                f"{type(self).__name__} uses no labels, so that n_features_to_select='shadow' has "
                "nothing to test against; give a count, a share or 'auto'."
            )
        self.confirmed_ = beat_shadows(X, codes, np.argsort(self.ranking_))
        self.n_features_ = int(self.confirmed_.sum())

    def _encode_labels(self, y: Any) -> NDArray[np.int64]:
        try:
            check_classification_targets(y)
        except ValueError as error:
            raise InputError(
                f"{error}. If these numbers with fractions are names of classes, pass them as text: "
                "y.astype(str)."
            ) from None
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(
                f"All {len(codes)} rows have one class, {self.classes_.tolist()[0]!r}; "
                f"{type(self).__name__} needs at least 2 classes to compare."
            )
        return codes.astype(np.int64)

    def _target(self, codes: NDArray[np.int64]) -> NDArray[Any]:
        """Return what `fit` takes as y in an inner cross-validation: int64 classes or numbers."""
        return codes

    def _rank(self, scores: Floats, constant: NDArray[np.bool_]) -> None:
        self.scores_ = scores
        self.ranking_ = np.empty(len(scores), dtype=np.int64)
        self.ranking_[np.lexsort((-scores, constant))] = np.arange(1, len(scores) + 1)

    def _choose_count(self, X: Any, codes: Any, constant: NDArray[np.bool_]) -> None:
        if codes is None:
            self.n_features_ = split_count(self.scores_[~constant])
            return
        y = self._target(codes)

        def order_of(rows: NDArray[np.int64]) -> NDArray[np.int64]:
            part = clone(self).set_params(n_features_to_select=min(X.shape[1], COUNTS[-1]))
            if "discrete_features" in part.get_params():
                part.set_params(discrete_features=self._named(X.shape[1]))
            return np.argsort(part.fit(X[rows], y[rows]).ranking_)

        choice = choose_count(order_of, X, y)
        self.n_features_ = choice.value
        before = [self.validation_] if "validation_" in vars(self) else []
        self.validation_ = pl.concat([*before, choice.tried])

    def _get_support_mask(self) -> NDArray[np.bool_]:
        check_is_fitted(self)
        if self._shadowed and "confirmed_" in vars(self):
            return self.confirmed_
        return self.ranking_ <= self._count_to_select(len(self.ranking_))

    def _count_to_select(self, d: int) -> int:
        wanted = self.n_features_to_select
        if wanted is None:
            return max(1, d // 2)
        if self._automatic:
            return self._automatic_count(d)
        check_parameters(n_features_to_select=(wanted, *self.limits["n_features_to_select"]))
        count = int(wanted) if isinstance(wanted, Integral) else max(1, int(float(wanted) * d))
        if count > d:
            raise BudgetError(
                f"n_features_to_select is {wanted!r}, and there are {d} columns; pass a count of at "
                f"most {d}, or a share in (0, 1]."
            )
        return count

    def _automatic_count(self, d: int) -> int:
        """Return the count chosen, or, while the columns are scored, the largest that may be."""
        if "n_features_" in vars(self):
            return self.n_features_
        if "scores_" in vars(self):
            raise ConfigError(
                f"n_features_to_select={self.n_features_to_select!r} is decided by `fit`; fit again."
            )
        return min(d, COUNTS[-1])

    def _names(self, d: int) -> list[str]:
        return [str(name) for name in vars(self).get("feature_names_in_", range(d))]

    @property
    def known_classes(self) -> NDArray[Any] | None:
        """The classes of the labels it was fitted on; None where they are no classes."""
        return vars(self).get("classes_")

    def refuse_non_finite(
        self, low: Floats, high: Floats, names: Sequence[str] | None = None
    ) -> None:
        """Raise `NonFiniteError` by the columns' smallest and largest values, as `fit` does."""
        bad = np.flatnonzero(~((low >= -LIMIT) & (high <= LIMIT)))  # also where NaN
        if len(bad):
            names = names or self._names(len(low))
            more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
            raise NonFiniteError(
                f"Column {', '.join(str(names[j]) for j in bad[:10])}{more} holds NaN, infinite "
                f"values or values beyond {LIMIT:.0e}; fill them (missing='median' does it for "
                "NaN), rescale the column or leave it out."
            )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self._uses_labels
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.missing != "raise"
        return tags


def _refuse_missing_labels(y: Any) -> None:
    """Raise `InputError` where labels of any type are None: they can't be sorted."""
    labels = np.asarray(y, dtype=object if isinstance(y, list) else None)
    if y is None or labels.dtype.kind != "O":
        return
    missing = pl.Series(labels.ravel().tolist(), dtype=pl.Object).is_null().sum()
    if missing:
        raise InputError(
            f"Input y contains NaN or None in {missing} rows; drop the rows without a label first."
        )
