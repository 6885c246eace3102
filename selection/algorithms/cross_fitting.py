"""Class probabilities of every row from models that were not fitted on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import issparse

from assay.index.threads import one_thread
from assay.selection.algorithms.class_features import TERMS, Neighbors, standard, tf_idf
from assay.selection.algorithms.equal_content import content_codes, first_of_each
from assay.selection.contract.inputs import Floats, Graph, Inputs, Labels, Rows
from assay.storage.errors import InputError, MissingInputError, NonFiniteError
from assay.storage.hashing.rows import first_rows, hash_rows
from assay.storage.limits import Whole, check_parameters

# penalty on squared coefficients, per row: columns have variance 1, or (texts) rows length 1
_DENSE_PENALTY = 0.01
_SPARSE_PENALTY = 2e-4
_ITERATIONS = 30
# most coefficients of a model of texts, and most classes: what bounds time and memory
_COEFFICIENTS = 1 << 20
_CLASSES = 200
# of boosted trees on attributes of rows
_TREES = {"max_iter": 60, "max_leaf_nodes": 8, "min_samples_leaf": 20, "learning_rate": 0.1}
# how far the rows of probabilities that are given may be from a sum of 1
_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class Predictions:
    """Out-of-fold probabilities in canonical order: float64[n, classes], and the labels."""

    probabilities: Floats
    labels: Labels
    fitted: bool

    def of_labels(self, values: Floats) -> Floats:
        """Return each row's value at its label; its mean over the prediction where it has none."""
        codes = self.labels.codes
        own = values[np.arange(len(codes)), np.maximum(codes, 0)]
        expected = np.einsum("ij,ij->i", self.probabilities, values)
        return np.asarray(np.where(codes >= 0, own, expected), dtype=np.float64)


def predictions(
    inputs: Inputs, probabilities: Any, folds: int, random_state: int, train_rows: int
) -> Predictions:
    """Return the probabilities given, checked, else those of a cross-fitted softmax regression.

    Rows are dealt to folds by a hash of their id, each class evenly and copies together. The model of a fold sees the
    labeled rows of the others: at most `train_rows` of them, by the same hash. Its columns are
    the standardized vectors, or the TF-IDF of hashed words of texts; and, where there are vectors
    and a graph (beside words it only blurs what these say), the share of each class among a row's neighbors and among theirs, counted in the labels
    of the other folds, the row's own left out.

    Raises
    ------
    ConfigError
        `folds` or `train_rows` is no whole number from 2 on.
    InputError
        The probabilities given do not fit the rows and labels.
    """
    assert inputs.labels is not None
    if probabilities is not None:
        return Predictions(_checked(inputs, probabilities), inputs.labels, False)
    check_parameters(folds=(folds, Whole(2)), train_rows=(train_rows, Whole(2)))
    labels = commonest(inputs.labels)
    noise = inputs.noise(random_state, "folds")
    with one_thread():  # sums that do not depend on the number of threads
        if inputs.holds_vectors:
            contents: Any = inputs.vectors()
            X: Any = standard(contents)
        else:
            contents = inputs.texts()
            X = tf_idf(contents, min(TERMS, _COEFFICIENTS // len(labels.classes)))
        fold = _folds(
            labels.codes.astype(np.int64), content_codes(hash_rows(contents)), noise, folds
        )
        graph = inputs.graph if inputs.holds_vectors else None
        fitted = _cross_fit(X, labels, graph, fold, folds, train_rows, noise)
    return Predictions(fitted, labels, True)


def class_probabilities(
    inputs: Inputs, labels: Labels, folds: int, random_state: int, train_rows: int
) -> Floats:
    """Return the class probabilities of every row, float64[n, classes], from models that know `labels`.

    Rows with a label get those of `predictions`, from models that were not fitted on them; all
    others those of a model that was fitted on every label.
    """
    labels = commonest(labels)
    noise = inputs.noise(random_state, "folds")
    rows = np.flatnonzero(labels.codes >= 0)
    with one_thread():  # sums that do not depend on the number of threads
        X = standard(inputs.vectors())
        contents = content_codes(hash_rows(inputs.vectors()[rows]))
        codes = labels.codes[rows].astype(np.int64)
        fold = np.full(inputs.n, -1, dtype=np.int64)
        fold[rows] = _folds(codes, contents, noise[rows], folds)
        # a last fold: the rows without a label
        fold[fold < 0] = fold.max() + 1
        return _cross_fit(X, labels, inputs.graph, fold, int(fold.max()) + 1, train_rows, noise)


def boosted_trees(levels: NDArray[np.bool_]) -> Any:
    """Return a classifier of small boosted trees, not fitted, for a table of a few attributes.

    Parameters
    ----------
    levels : bool[columns]
        The columns that hold codes of levels, not numbers. NaN is a value of its own.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        **_TREES, categorical_features=levels, early_stopping=False, random_state=0
    )


def commonest(labels: Labels) -> Labels:
    """Return labels of at most 200 classes: the rarest beyond that are one class."""
    if len(labels.classes) <= _CLASSES:
        return labels
    counts = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.classes))
    kept = np.sort(np.argsort(-counts, kind="stable")[: _CLASSES - 1])
    codes = np.full(len(labels.classes) + 1, _CLASSES - 1, dtype=np.int32)
    codes[kept] = np.arange(_CLASSES - 1)
    codes[-1] = -1
    return Labels(codes[labels.codes], [*(labels.classes[code] for code in kept), "(other)"])


def _folds(codes: Rows, contents: Rows, noise: Floats, folds: int) -> Rows:
    """Return the fold of every row: classes dealt evenly, copies of a row together.

    Nothing depends on what classes are called. A copy in another fold, with the same wrong label,
    would vouch for its twin.
    """
    least = np.full(codes.max() + 2, np.inf)
    np.minimum.at(least, codes, noise)
    order = np.lexsort((noise, least[codes]))
    fold = np.empty(len(codes), dtype=np.int64)
    fold[order] = np.arange(len(codes)) % min(folds, len(codes))
    return fold[first_of_each(contents, order)]


def _cross_fit(
    X: Any,
    labels: Labels,
    graph: Graph | None,
    fold: Rows,
    folds: int,
    train_rows: int,
    noise: Floats,
) -> Floats:
    codes, n_classes = labels.codes, len(labels.classes)
    n = len(codes)
    neighbors = None if graph is None else Neighbors(graph)
    out = np.empty((n, n_classes))
    for held in range(min(folds, n)):
        test = np.flatnonzero(fold == held)
        usable = (fold != held) & (codes >= 0)
        train = np.flatnonzero(usable)
        present = np.unique(codes[train])
        if len(present) < 2:
            out[test] = 1 / n_classes if not len(present) else 0.0
            out[np.ix_(test, present)] = 1.0
            continue
        if len(train) > train_rows:
            train = np.sort(train[first_rows(noise[train], train_rows)])
        columns = X if neighbors is None else neighbors.beside(X, labels, usable)
        coefficients = softmax_regression(columns[train], codes[train], n_classes)
        out[test] = _softmax(columns[test] @ coefficients[:-1] + coefficients[-1])
    return out


def softmax_regression(X: Any, codes: NDArray[Any], n_classes: int) -> NDArray[np.float32]:
    """Return coefficients, float32[d + 1, classes], the last row the intercepts.

    They minimize the mean negative log-likelihood plus half the penalty times their squares,
    by at most 30 steps of L-BFGS; classes without a row get the probability 0.
    """
    from scipy.optimize import minimize

    n, d = X.shape
    penalty = _SPARSE_PENALTY if issparse(X) else _DENSE_PENALTY
    rows = np.arange(n)
    counts = np.bincount(codes, minlength=n_classes)

    def loss(flat: Floats) -> tuple[float, Floats]:
        W = flat.reshape(d + 1, n_classes)
        P = _softmax(X @ W[:-1].astype(np.float32) + W[-1].astype(np.float32))
        own = np.maximum(P[rows, codes], 1e-12)
        P[rows, codes] -= 1
        residual = (P / n).astype(np.float32)
        gradient = np.vstack([X.T @ residual, residual.sum(axis=0)]).astype(np.float64)
        gradient[:-1] += penalty * W[:-1]
        return -np.log(own).mean() + penalty / 2 * (W[:-1] ** 2).sum(), gradient.ravel()

    start = np.zeros((d + 1, n_classes))
    with np.errstate(divide="ignore"):
        start[-1] = np.maximum(np.log(counts / n), -1e3)
    options = {"maxiter": _ITERATIONS, "ftol": 1e-6, "gtol": 1e-5}
    minimum = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options=options)
    return np.asarray(minimum.x.reshape(d + 1, n_classes), dtype=np.float32)


def _softmax(logits: NDArray[Any]) -> Floats:
    P = logits.astype(np.float64)
    P -= P.max(axis=1, keepdims=True)
    np.exp(P, out=P)
    P /= P.sum(axis=1, keepdims=True)
    return P


def _checked(inputs: Inputs, probabilities: Any) -> Floats:
    """Return the user's probabilities with rows and columns in canonical order."""
    assert inputs.labels is not None
    classes = inputs.labels.classes
    names: list[str] | None = None
    if isinstance(probabilities, pl.DataFrame):
        names = probabilities.columns
        probabilities = probabilities.to_numpy()
    try:
        P = np.asarray(probabilities, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"probabilities are not numeric: {error}.") from error
    if P.ndim != 2 or len(P) != inputs.n:
        raise InputError(f"probabilities have shape {P.shape}; pass one row per row of the pool.")
    if not np.isfinite(P).all():
        raise NonFiniteError("probabilities hold NaN or infinite values; pass finite ones.")
    if (P < 0).any() or (np.abs(P.sum(axis=1) - 1) > _ROUNDING).any():
        raise InputError("The rows of probabilities must be >= 0 and sum to 1.")
    P = P[:, class_columns(classes, P.shape[1], names)]
    return np.ascontiguousarray(P if inputs.order is None else P[inputs.order])


def class_columns(classes: list[str], width: int, names: list[str] | None) -> list[int]:
    """Return the columns of probabilities in the order of `classes`, then those of other classes.

    Without names, column j is the label j where all labels are such numbers, else columns are
    the labels sorted as texts.

    Raises
    ------
    MissingInputError
        A class has no column.
    """
    if names is None:
        numbered = [str(column) for column in range(width)]
        names = numbered if set(classes) <= set(numbered) else list(classes)
    if set(classes) - set(names) or len(names) != width:
        raise MissingInputError(
            f"There are {width} columns of probabilities for the {len(classes)} classes "
            f"{', '.join(classes[:10])}; name one column after each."
        )
    others = [column for column, name in enumerate(names) if name not in classes]
    return [*(names.index(name) for name in classes), *others]
