"""Feature ranking by the energy of all paths through a graph of columns (Inf-FS)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assay.selection.contract.inputs import Floats
from assay.selection.rankers.base import FeatureRanker
from assay.selection.rankers.ecfs import EQUAL, VALIDATED_COUNTS
from assay.selection.rankers.path_energy import Largest, cut_size, energies, step_factor
from assay.selection.rankers.rank_correlation import AbsoluteSpearman, Positions
from assay.selection.tables.blocks import dense_rows
from assay.selection.tables.inner_validation import choose_alpha
from assay.selection.tables.relevance import column_relevance
from assay.storage.errors import ConfigError
from assay.storage.limits import Flag, Instance, Limits, Number

DEFAULT_ALPHA = 0.5
ALPHAS = (0.0, 0.2, 0.4, DEFAULT_ALPHA, 0.6, 0.8, 1.0)
EXACT_UP_TO = 2e11  # multiply-adds of one product with the matrix of correlations: 5 to 10 seconds
SAMPLED_COLUMNS = 1024
MOST_CANDIDATES = 4096
BLOCK_VALUES = 1 << 20


@dataclass(kw_only=True, eq=False, repr=False)
class InfFS(FeatureRanker):
    """Rank columns by the energy of all paths through them (Infinite Feature Selection).

    With A_ij >= 0 the worth of the pair of columns i, j, a path of l + 1 columns is worth the
    product of its pairs. A column's score adds up all paths that start in it, of every length, with
    a factor r per step: the row sum of (I - r A)^-1 = I + r A + r^2 A^2 + ...

    Without labels, A = alpha S + (1 - alpha) (1 - |rho|): S_ij = max(s_i, s_j) is the larger of two
    deviations, brought to [0, 1], and rho Spearman's rank correlation. With labels,
    A_ij = a1 (m_j + f_i) / 2 + a2 (m_j + S_ij) / 2 + a3 (f_i + S_ij) / 2, with m the mutual
    information with the classes and f the Fisher score, each brought to [0, 1].

    Parameters
    ----------
    n_features_to_select : int, float or "auto", optional
        How many columns to keep: a count, or a share in (0, 1]. Default: half of them, or what
        `cut` says. "auto": see `FeatureRanker`.
    supervised : bool, default False
        Whether to use labels. More than two classes are averaged over one class against the rest,
        weighted by the share of the class.
    alpha : float, three floats or "cv", default 0.5
        Share of the spread S, in [0, 1]. Supervised, it stands for the weights
        (a1, a2, a3) = (1 - alpha, alpha / 2, alpha / 2), which can be given instead: alpha = 2/3
        is the same as equal weights. "cv", supervised only, chooses among 0, 0.2, ... 1 and 0.5 as
        `ECFS` does.
    scaling : {"authors", "paper", "2016"}, default "authors"
        The factor r, with R the largest row sum of A. "paper": r = (1 - e) / R, where
        e = 5e-6 d. "authors": the code of 2020 divides A by R + e before it does that, so that
        r = (1 - e) / (R (R + e)), about 1 / R^2. Paths of two steps then count R times less than
        single ones: the ranking is that of the row sums of A, and "infinite" adds nothing to it.
        "2016": r = 0.99 over the largest eigenvalue, I is left out, and with labels
        A = alpha S + (1 - alpha) f f', the product brought to [0, 1]. (The code of 2016 calls
        1 - alpha what is alpha here.)
    cut : {"authors", "mean"}, optional
        How to choose the number of columns kept. "authors": of d / 2 equal bins of the scores, as
        many columns as there are bins that hold more than the mean number of scores (the code
        counts bins, not the columns in them). "mean": the columns with more than the mean score.
    approximate : bool or "auto", default "auto"
        Unsupervised, "authors" only: estimate the row sums from 1,024 columns, and compute exactly
        those of the best 4 times as many columns as are kept (at most 4,096), so that the columns
        kept are nearly always the same. "auto" does it where one product with |rho| would take
        over 2e11 multiply-adds.

    Attributes
    ----------
    scores_ : float64[d]
        Energy of each column. Where approximate, columns that were not computed exactly come below
        those that were.
    approximate_ : bool
        Whether row sums were estimated.
    alpha_ : float or three floats
        alpha, as given or chosen.

    Raises
    ------
    ConfigError
        A parameter is not what it may be, or both `cut` and `n_features_to_select` are given.

    Notes
    -----
    A is never built. Supervised: O(n d log n + steps d) time, 3 steps under "authors" and some 10
    under the others. Unsupervised: each step also takes n d^2 multiply-adds of BLAS (see
    `AbsoluteSpearman`), 2 steps under "authors"; float32[d, n] ranks (dense,
    also of sparse X) and 64 MiB of memory. The energies
    are found in the Krylov space of A and the vector of ones, to a relative 1e-12. A term of A
    whose entries are all equal is left out; a constant column has relevance and correlation 0.

    Claims
    ------
    paper
        Paths of all lengths rank columns better than the best filters, on 11 to 13 sets.
    here
        The series in closed form by Krylov steps.
    deviates
        Sums are exact without the inverse; three scalings, the authors' among them, equal to
        1e-13.
    measured
        81.9 supervised, 71.3 without labels at k = 50, random 72.7 (`features_quality.md`).

    References
    ----------
    G. Roffo, S. Melzi, U. Castellani, A. Vinciarelli, M. Cristani, Infinite feature selection: a
    graph-based feature filtering approach, IEEE TPAMI 43 (12), 2021. G. Roffo, S. Melzi,
    M. Cristani, Infinite feature selection, ICCV 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from assay.selection.rankers.inf_fs import InfFS
    >>> X, y = load_iris(return_X_y=True)
    >>> InfFS(supervised=True).fit(X, y).ranking_
    array([3, 4, 1, 2])
    >>> InfFS(n_features_to_select=2).fit(X).ranking_
    array([3, 2, 1, 4])
    """

    limits: ClassVar[Limits] = {
        "supervised": (Flag(),),
        "alpha": (Number("[0, 1]"), Instance((list, tuple, np.ndarray), "three weights"), "cv"),
        "scaling": ("authors", "paper", "2016"),
        "cut": ("authors", "mean", None),
        "approximate": (Flag(), "auto"),
    }

    supervised: bool = False
    alpha: float | Sequence[float] | str = DEFAULT_ALPHA
    scaling: str = "authors"
    cut: str | None = None
    approximate: bool | str = "auto"

    @property
    def _uses_labels(self) -> bool:  # type: ignore[override]
        return bool(self.supervised)

    @property
    def _by_column(self) -> bool:  # type: ignore[override]
        return bool(self.supervised)

    def _score(self, X: Any, y: Any) -> Floats:
        weights = self._column_weights()
        self.approximate_ = False
        if not self.supervised:
            self.alpha_: float | tuple[float, ...] = weights[0]
            return self._unsupervised(X, weights[0])
        if not (isinstance(self.alpha, str) and self.alpha == "cv"):
            return self._score_figures(self._figures(X, y, None))
        d = X.shape[1]
        counts = [count for count in VALIDATED_COUNTS if count < d] or [max(1, d // 2)]
        if self.n_features_to_select is not None and not self._automatic:
            counts = [self._count_to_select(d)]

        def scores_of(rows: NDArray[np.int64]) -> Any:
            figures = self._figures(X[rows], y[rows], None)
            return lambda alpha: self._energies(figures, self._weights(alpha))

        choice = choose_alpha(scores_of, X, y, ALPHAS, DEFAULT_ALPHA, counts)
        self.validation_ = choice.tried
        self.alpha_ = float(choice.value)
        return self._energies(self._figures(X, y, None), self._weights(self.alpha_))

    def _figures(self, X: Any, y: Any, named: NDArray[np.bool_] | None) -> Floats:
        return np.array(column_relevance(X, y, estimator="fslib"))

    def _score_figures(self, figures: Floats) -> Floats:
        self.approximate_ = False
        weights = self._column_weights()
        self.alpha_ = float(self.alpha) if isinstance(self.alpha, Real) else weights
        return self._energies(figures, weights)

    def _weights(self, alpha: float) -> tuple[float, ...]:
        return (alpha,) if self.scaling == "2016" else (1 - alpha, alpha / 2, alpha / 2)

    def _energies(self, figures: Floats, weights: tuple[float, ...]) -> Floats:
        raw_fisher, raw_information, deviation, _ = figures
        information, fisher = _unit(raw_information), _unit(raw_fisher)
        spread = _unit(deviation)
        order = np.lexsort((information, fisher, raw_fisher, spread))
        m, f = information[order], fisher[order]
        largest = Largest(spread[order])
        if self.scaling == "2016":
            (alpha,) = weights
            f = raw_fisher[order] / max(raw_fisher.max(), np.finfo(float).tiny)
            low = f.min() ** 2
            share = (1 - alpha) / (1 - low) if 1 - low > EQUAL else 0.0

            def times(v: Floats) -> Floats:
                product = share * ((f * v).sum() * f - low * v.sum())
                result: Floats = alpha * largest.times(v) + product
                return result
        else:
            a1, a2, a3 = weights

            def times(v: Floats) -> Floats:
                relevance = (a1 + a2) * (m * v).sum() + (a1 + a3) * v.sum() * f
                result: Floats = 0.5 * (relevance + (a2 + a3) * largest.times(v))
                return result

        scores = np.empty(len(order))
        scores[order] = energies(times, len(order), self.scaling)
        return scores

    def _unsupervised(self, X: Any, alpha: float) -> Floats:
        n, d = X.shape
        spearman = AbsoluteSpearman(X)
        spread = _unit(_deviation(X))
        order = np.lexsort((spearman.group, spread))
        group, largest = spearman.group[order], Largest(spread[order])
        scores = np.empty(d)
        costly = n * float(spearman.size) ** 2 > EXACT_UP_TO
        if self.approximate is True or (
            self.approximate == "auto" and costly and self.scaling == "authors"
        ):
            self.approximate_ = True
            count = min(4 * self._count_to_select(d), MOST_CANDIDATES)
            degree = _estimated_degrees(spearman, group, largest, alpha, count)
            factor = step_factor(degree.max(), d, self.scaling)
            tail = 1.0 - factor * np.square(degree).sum() / max(degree.sum(), 1e-300)
            scores[order] = 1.0 + factor * degree / tail
            return scores

        def times(v: Floats) -> Floats:
            x = np.bincount(group, v, minlength=spearman.size).astype(np.float64, copy=False)
            correlated = spearman.times(x)[group] if alpha < 1 else 0.0
            result: Floats = alpha * largest.times(v) + (1 - alpha) * (v.sum() - correlated)
            return result

        scores[order] = energies(times, d, self.scaling)
        return scores

    def _count_to_select(self, d: int) -> int:
        if self.cut is None:
            return super()._count_to_select(d)
        if self.n_features_to_select is not None:
            raise ConfigError(
                f"cut is {self.cut!r} and n_features_to_select {self.n_features_to_select!r}; give "
                "one of them."
            )
        scores = vars(self).get("scores_")
        if scores is None or len(scores) != d:
            return d
        return cut_size(scores, self.cut)

    def check_parameters(self) -> None:
        """Refuse parameters that are not what they may be, or don't go together."""
        super().check_parameters()
        self._column_weights()
        if self.approximate is True and (self.supervised or self.scaling != "authors"):
            raise ConfigError(
                "approximate=True is for supervised=False, scaling='authors'; the other scores are "
                "not row sums of the matrix."
            )

    def _column_weights(self) -> tuple[float, ...]:
        """Return what `alpha` stands for: a share, or the weights of three relations."""
        three = self.supervised and self.scaling != "2016"
        alpha_given: Any = self.alpha
        if isinstance(alpha_given, str) and alpha_given == "cv":
            if not self.supervised:
                raise ConfigError("alpha='cv' needs labels, which only supervised=True uses.")
            alpha_given = DEFAULT_ALPHA
        if isinstance(alpha_given, Real) and 0 <= float(alpha_given) <= 1:
            alpha = float(alpha_given)
            return (1 - alpha, alpha / 2, alpha / 2) if three else (alpha,)
        try:
            weights = tuple(float(weight) for weight in alpha_given)
        except (TypeError, ValueError):
            weights = ()
        if three and len(weights) == 3 and min(weights) >= 0 < sum(weights) < np.inf:
            return weights
        raise ConfigError(
            f"alpha is {self.alpha!r}; pass a number in [0, 1]"
            + (", 'cv', or three weights from 0, not all 0." if three else " or 'cv'.")
        )


def _estimated_degrees(
    spearman: AbsoluteSpearman, group: Positions, largest: Largest, alpha: float, count: int
) -> Floats:
    """Row sums of the unsupervised A: exact for the `count` best, below those for the others."""
    d = len(group)
    copies = np.bincount(group, minlength=spearman.size).astype(np.float64)
    every = np.arange(spearman.size)
    sample = every[:SAMPLED_COLUMNS]
    spread = alpha * largest.times(np.ones(d))
    seen = spearman.sums(every, sample, copies[sample]) * (d / copies[sample].sum())
    degree: Floats = spread + (1 - alpha) * (d - seen[group])
    order = np.argsort(-degree, kind="stable")
    best, others = order[:count], order[count:]
    distinct, which = np.unique(group[best], return_inverse=True)
    exact = spearman.sums(distinct, every, copies)
    degree[best] = spread[best] + (1 - alpha) * (d - exact[which])
    if len(others):
        below = (1 - 1e-6) * degree[best].min()
        degree[others] -= max(degree[others].max() - below, 0.0)
    return degree


def _deviation(X: Any) -> Floats:
    """Standard deviation of every column; copies get equal values, to the last bit."""
    n, d = X.shape
    deviation = np.empty(d)
    width = max(1, BLOCK_VALUES // n)
    for start in range(0, d, width):
        block = np.sort(dense_rows(X, slice(start, start + width)), axis=1)
        above = block - block[:, :1]
        above -= above.mean(axis=1, keepdims=True)
        deviation[start : start + width] = np.sqrt(np.square(above).sum(axis=1) / (n - 1))
    return deviation


def _unit(values: Floats) -> Floats:
    """Bring the values to [0, 1]; to 0 where they are all equal up to a millionth."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high - low > EQUAL * high else np.zeros(len(values))
