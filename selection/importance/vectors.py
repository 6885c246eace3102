"""The ratio of a target's to a pool's density in a space of vectors, by logistic regression."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from assay.index.embedding.embedders import embed
from assay.index.embedding.text import HashedTextEmbedder
from assay.index.threads import one_thread
from assay.selection.contract.inputs import Floats, Rows
from assay.selection.importance.missing import missing_share, thinned_rows
from assay.selection.importance.sample import halvings
from assay.selection.importance.texts import Texts
from assay.storage.errors import InputError
from assay.storage.hashing.rows import uniform
from assay.storage.reading.pools import Pool

Vectors = NDArray[np.float32]
Divergence = Callable[[Rows, Rows], float]

# vectors of the pool that a logistic regression sees
_FIT_ROWS = 10_000
_C = 0.1
_PART = 1 << 13
# what reports back subsets off with, as a share of their rows
_BACKING = 0.25
# sums that must not depend on the order of the rows are made of multiples of this
_UNIT, _LIMIT = 2.0**-24, 128.0


class LogisticRatio:
    """A logistic regression of target against pool, on standardized coordinates.

    Its score is the log of the density ratio up to a constant, as far as that is linear. The rows
    must come in an order that does not depend on that of the input, since the last bits do.
    """

    def __init__(self, target: Vectors, pool: Vectors) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        self.center = pool.mean(axis=0, dtype=np.float64)
        spread = pool.std(axis=0, dtype=np.float64)
        self.scale = np.where(spread > 0, spread, 1.0)
        both = self.standardized(np.concatenate([target, pool]))
        wanted = np.arange(len(both)) < len(target)
        model = LogisticRegression(C=_C, class_weight="balanced", max_iter=200, tol=1e-3)
        with one_thread(), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(both, wanted)
        self.weights = model.coef_[0]
        self.offset = float(model.intercept_[0])

    def standardized(self, vectors: Vectors) -> Floats:
        return np.asarray((vectors - self.center) / self.scale)

    def score(self, vectors: Vectors) -> Floats:
        """Return the score of each row, which depends on that row alone."""
        parts = [
            (self.standardized(vectors[row : row + _PART]) * self.weights).sum(axis=1)
            for row in range(0, len(vectors), _PART)
        ]
        return np.asarray(np.concatenate([np.empty(0), *parts]) + self.offset)


class VectorEvidence:
    """The log weights of vectors under some targets, and what they are judged by.

    KL is that between normal distributions with independent coordinates.

    Attributes
    ----------
    log_weights : float64[T, n]
        NaN for a missing vector.
    log_ratio : float64[T, d]
        Weights of the standardized coordinates.
    sample : int64[m]
        Rows on which temperatures are tried, in an order that is that of their ids' noise.
    threads : int
        1: sums of vectors are BLAS's own.
    """

    reason = "empty"
    threads = 1

    def __init__(
        self,
        X: Vectors,
        targets: dict[str, Vectors],
        order: Floats,
        *,
        had: Sequence[Rows] | None = None,
        drawn: int = 0,
    ) -> None:
        self._X = X
        self.usable: NDArray[np.bool_] = np.asarray(~np.isnan(X).any(axis=1))
        self.drawn_from = self.usable
        if not self.usable.any():
            raise InputError("No row of X has a vector; pass at least one that has.")
        self._whole = [_by_content(target, X.shape[1], name) for name, target in targets.items()]
        self._had = [np.empty(0, dtype=np.int64)] * len(self._whole) if had is None else had
        self._targets = self._whole
        if had is not None:
            total = sum(self.masses())
            self._targets = [
                _beside(target, X[rows], drawn * len(target) / total) if len(rows) else target
                for target, rows in zip(self._whole, had, strict=True)
            ]
        usable = np.flatnonzero(self.usable)
        self.sample = usable[np.argsort(order[usable], kind="stable")][:_FIT_ROWS]
        self._drawn_from = X[self.sample]
        ratios = [LogisticRatio(target, self._drawn_from) for target in self._targets]
        self.log_ratio = np.stack([ratio.weights for ratio in ratios])
        self.log_weights = np.stack([ratio.score(X) for ratio in ratios])
        self._ratio = ratios[0]
        self._pool = self._sums(X[self.usable])

    def masses(self) -> list[int]:
        """Return the rows of each target."""
        return [len(target) for target in self._whole]

    def trials(self, target: int) -> list[tuple[Floats, Divergence]]:
        """Return, for each half of a target, the sample's weights and KL(other half || drawn)."""
        vectors = self._targets[target]
        trials = []
        for fitted, held_out in halvings(len(vectors)):
            weights = LogisticRatio(vectors[fitted], self._drawn_from).score(self._drawn_from)
            of = self._sums(vectors[held_out])
            trials.append((weights, self._divergence_from(of, self._drawn_from)))
        return trials

    def _divergence_from(self, of: Floats, vectors: Vectors) -> Divergence:
        def measure(rows: Rows, times: Rows) -> float:
            drawn = self._sums(vectors[rows], times)
            backing = self._pool * (_BACKING * drawn[0, 0] / self._pool[0, 0])
            return _normal_divergence(of, drawn + backing)

        return measure

    def _sums(self, vectors: Vectors, times: Rows | None = None) -> Floats:
        """Return number, sums and sums of squares of the coordinates, the same in any order."""
        totals = np.zeros((3, vectors.shape[1]))
        whole = np.zeros((3, vectors.shape[1]), dtype=np.int64)
        for row in range(0, len(vectors), _PART):
            z = np.clip(self._ratio.standardized(vectors[row : row + _PART]), -_LIMIT, _LIMIT)
            count = np.ones(len(z), np.int64) if times is None else times[row : row + _PART]
            whole[0] += count.sum()
            for power in (1, 2):
                units = np.rint(z**power / _UNIT).astype(np.int64)
                whole[power] += (units * count[:, None]).sum(axis=0)
        totals[0] = whole[0]
        totals[1:] = whole[1:] * _UNIT
        return totals

    def divergences(self, target: int, subsets: list[tuple[Rows, Rows]]) -> list[float]:
        """Return KL(target || rows, each so many times) of each subset, backed off to the pool.

        Covered rows are part of every subset.
        """
        measure = self._divergence_from(self._sums(self._whole[target]), self._X)
        had = self._had[target]
        once = np.ones(len(had), dtype=np.int64)
        return [
            measure(np.concatenate([had, rows]), np.concatenate([once, times]))
            for rows, times in subsets
        ]

    def report(self) -> dict[str, Any]:
        """Return what a person should know about the pool."""
        return {"mode": "calibrated", "dropped": {"empty": int((~self.usable).sum())}}

    def report_of(self, target: int) -> dict[str, Any]:
        """Return what a person should know about one target."""
        of = self._sums(self._whole[target])
        return {
            "target_rows": len(self._whole[target]),
            "kl_pool": _normal_divergence(of, self._pool),
        }


def _beside(target: Vectors, had: Vectors, drawn: float) -> Vectors:
    """Return the rows of a target that are missing where `had` is there, and so much is drawn."""
    ratio = np.exp(LogisticRatio(had, target).score(target))
    density = ratio * (len(had) / ratio.sum())
    return target[thinned_rows(missing_share(np.ones(len(target)), density, drawn))]


def vectors_of(X: Any, name: str) -> Vectors | None:
    """Return X as float32[n, d] where it is vectors, None where it is texts; missing ones are NaN.

    Raises
    ------
    InputError, NonFiniteError
        The vectors can't be used.
    """
    if isinstance(X, Pool):
        if X.kind == "image":
            raise InputError(f"{name} is a pool of images; embed them first, and pass the vectors.")
        return X.vectors() if X.kind == "vector" else None
    if isinstance(X, np.ndarray):
        is_vectors = X.ndim == 2 and X.dtype.kind in "iuf"
    elif isinstance(X, list | tuple) and len(X) and isinstance(X[0], list | tuple | np.ndarray):
        is_vectors = np.asarray(X[0]).dtype.kind in "iuf"
    elif isinstance(X, pl.Series):
        is_vectors = isinstance(X.dtype, pl.List | pl.Array)
    else:
        is_vectors = isinstance(X, pa.Array | pa.ChunkedArray) and isinstance(
            X.type, pa.ListType | pa.FixedSizeListType
        )
    return embed(X) if is_vectors else None


def embedding_scores(
    texts: Texts, targets: Iterable[Any], names: Iterable[str], sample: Rows, usable: NDArray[Any]
) -> list[Floats]:
    """Return the logistic score of each text under each target, in the space of text vectors.

    The embedder is fitted on the pool's `sample`, in its order; vectors are made and dropped a
    batch at a time.
    """
    sample = sample[:_FIT_ROWS]
    ascending = np.sort(sample)
    picked = texts.take(ascending).gather(np.searchsorted(ascending, sample))
    embedder = HashedTextEmbedder(fit_rows=len(sample)).fit(picked)
    pool = embedder.encode(picked)
    ratios = []
    for name, target in zip(names, targets, strict=True):
        wanted = Texts(target, name)
        vectors = np.concatenate([embedder.encode(batch) for batch in wanted.batches()])
        vectors = vectors[vectors.any(axis=1)]
        ratios.append(LogisticRatio(_by_content(vectors, pool.shape[1], name), pool))
    scores = [np.empty(len(usable)) for _ in ratios]
    row = 0
    for batch in texts.batches():
        vectors = embedder.encode(batch)
        for scores_of_target, ratio in zip(scores, ratios, strict=True):
            scores_of_target[row : row + len(vectors)] = ratio.score(vectors)
        row += len(vectors)
    for scores_of_target in scores:
        scores_of_target[~usable] = np.nan
    return scores


def _by_content(vectors: Vectors, width: int, name: str) -> Vectors:
    """Return the rows without NaN, in an order that is their content's."""
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise InputError(
            f"{name} has vectors of shape {vectors.shape[1:]}, the pool of ({width},)."
        )
    vectors = np.ascontiguousarray(vectors[~np.isnan(vectors).any(axis=1)])
    if not len(vectors):
        raise InputError(f"No row of {name} has a vector; pass at least one that has.")
    return np.asarray(vectors[np.argsort(uniform(vectors, 0), kind="stable")])


def _normal_divergence(p: Floats, q: Floats) -> float:
    """Return KL of two normal distributions from their numbers, sums and sums of squares."""
    means, variances = [], []
    for n, total, squares in (p, q):
        means.append(total / n)
        variances.append(np.maximum(squares / n - means[-1] ** 2, 1e-6))
    ratio = variances[0] / variances[1]
    shift = (means[0] - means[1]) ** 2 / variances[1]
    return float((ratio + shift - 1 - np.log(ratio)).sum() / 2)
