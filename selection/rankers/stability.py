"""How stable a feature ranking is, and what several rankings agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from scipy.special import betainc
from scipy.stats import norm
from sklearn.base import clone

from assay.selection.contract.inputs import Floats
from assay.selection.contract.row_order import rows_by_content
from assay.selection.tables.blocks import column_mask
from assay.selection.tables.matrix import encode_names
from assay.selection.tables.moments import Counts
from assay.storage.errors import BudgetError, ConfigError, InputError
from assay.storage.limits import MOST_ROUNDS, SEED, Number, Whole, check_parameters

# columns whose pairs a consensus compares
MERGED = 5_000


@runtime_checkable
class Ranked(Protocol):
    """A fitted ranker, of this package or another."""

    ranking_: NDArray[np.int64]


@dataclass(frozen=True)
class Stability:
    """What `bootstrap_stability` returns.

    Attributes
    ----------
    features : polars.DataFrame
        One row per column, in their order: feature, rank (over all rows), frequency (share of the
        resamples in which it is among the best k), low, high (Wilson's interval of the frequency).
    overall : float
        Agreement of the resamples' k best columns beyond chance: 1 when they are the same, about 0
        when they are drawn at random (Nogueira's stability).
    low, high : float
        Interval of `overall`.
    k : int
        How many columns count as best.
    """

    features: pl.DataFrame
    overall: float
    low: float
    high: float
    k: int


def bootstrap_stability(
    ranker: Any,
    X: Any,
    y: ArrayLike | None = None,
    *,
    k: int | None = None,
    n_resamples: int = 100,
    confidence: float = 0.95,
    random_state: int = 0,
) -> Stability:
    """Rank resampled rows again and again, and count how often a column is among the best k.

    Parameters
    ----------
    ranker : FeatureRanker
        Any ranker; it is cloned, not changed.
    X, y
        As for its `fit`.
    k : int, optional
        How many columns count as best. Default: as many as the ranker keeps.
    n_resamples : int, default 100
        Each draws n rows with replacement, with classes within each class, so that none vanishes.
        The intervals narrow with its root.
    confidence : float, default 0.95
        Of the intervals. They cover the number of resamples being finite, not that of the rows.
    random_state : int, default 0
        Seed; resample b does not depend on how many there are.

    Returns
    -------
    Stability

    Raises
    ------
    BudgetError
        k is not a count up to d.
    ConfigError
        Another parameter is not what it may be.

    Notes
    -----
    1 + n_resamples times the ranker's time; one resample of X in memory. Rows are drawn in an order
    given by their contents, so that the result does not depend on theirs.

    References
    ----------
    S. Nogueira, K. Sechidis, G. Brown, On the stability of feature selection algorithms, JMLR 18,
    2018. E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA
    22, 1927.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from assay.selection import ECFS
    >>> from assay.selection.rankers.stability import bootstrap_stability
    >>> X, y = load_iris(return_X_y=True)
    >>> found = bootstrap_stability(ECFS(), X, y, k=2, n_resamples=20)
    >>> found.features["frequency"].to_list(), found.overall
    ([0.0, 0.0, 1.0, 1.0], 1.0)
    """
    check_parameters(
        n_resamples=(n_resamples, Whole(2, MOST_ROUNDS)),
        confidence=(confidence, Number("(0, 1)")),
        random_state=(random_state, *SEED),
    )
    X, names = encode_names(X)
    ranker = clone(ranker)
    if names is not None and "discrete_features" in ranker.get_params():
        declared = column_mask(ranker.discrete_features, len(names))
        ranker.set_params(discrete_features=names if declared is None else names | declared)
    whole = clone(ranker).fit(X, y)
    d = len(whole.ranking_)
    k = int(whole.get_support().sum()) if k is None else k
    if not (isinstance(k, Integral) and not isinstance(k, bool) and 1 <= k <= d):
        raise BudgetError(f"k is {k!r}; it may be a count from 1 to {d}, the number of columns.")
    values = X.tocsr() if issparse(X) else np.asarray(X)
    labels = None if y is None else np.asarray(y).ravel()
    strata = _strata(values, labels, whole.known_classes is not None)
    taken = np.zeros((n_resamples, d), dtype=bool)
    for b in range(n_resamples):
        rng = np.random.default_rng((random_state, b))
        rows = np.concatenate([rows[rng.integers(0, len(rows), len(rows))] for rows in strata])
        again = clone(ranker).set_params(n_features_to_select=k)
        again.fit(values[rows], None if labels is None else labels[rows])
        taken[b] = again.ranking_ <= k
    z = float(norm.ppf((1 + confidence) / 2))
    frequency = taken.mean(axis=0)
    low, high = _wilson(frequency, n_resamples, z)
    overall, error = _nogueira(taken, int(k))
    features = {
        "feature": vars(whole).get("feature_names_in_", [f"x{j}" for j in range(d)]),
        "rank": whole.ranking_,
        "frequency": frequency,
        "low": low,
        "high": high,
    }
    return Stability(
        pl.DataFrame(features, schema_overrides={"feature": pl.String}),
        overall,
        max(overall - z * error, -1.0),
        min(overall + z * error, 1.0),
        int(k),
    )


class Consensus(NamedTuple):
    """What `consensus_ranking` returns.

    Attributes
    ----------
    ranking : int64[d]
        Rank of each column, 1 the best; ties by the order of the columns.
    scores : float64[d]
        What it ranks by, higher the better.
    p_values : float64[d] or None
        With "rra": upper bound of the probability of ranks as good, were all rankings random.
    breakdown : float or None
        With "merge": the share of the rankings that may be replaced by any others without two columns
        of different ranks changing their order by majority; 1/2 where all columns tie.
    """

    ranking: Counts
    scores: Floats
    p_values: Floats | None
    breakdown: float | None = None


def consensus_ranking(
    rankings: Sequence[Any], *, method: str = "rra", delta: float = 0.1
) -> Consensus:
    """Rank the columns by what several rankings agree on.

    Parameters
    ----------
    rankings : sequence of int[d] or fitted rankers
        Each a permutation of 1 ... d, 1 the best.
    method : {"rra", "borda", "median", "merge"}, default "rra"
        "rra": robust rank aggregation. With r_(1) <= ... <= r_(m) a column's ranks over d, rho is
        the smallest of P(Beta(i, m + 1 - i) <= r_(i)), the probability that i of m random ranks are
        as good; the score is -log10 rho. A column that some rankings put first is not lost because
        another puts it last. "borda": mean of (d - rank) / (d - 1), which uses all ranks alike.
        "median": 1 - (median rank - 1) / (d - 1), untouched by a minority of rankings. "merge": columns
        tie unless a clear majority tells them apart. Of the order by the columns that a column beats by
        majority (Copeland) only those borders stay across which every column above comes before every
        one below in at least 1/2 + delta of the rankings; what lies between two borders has one score.
    delta : float in [0, 0.5], default 0.1
        Of "merge": how much more than half of the rankings must agree.

    Returns
    -------
    Consensus

    Raises
    ------
    InputError
        Rankings are missing, differ in length, or are not permutations of 1 ... d.
    ConfigError
        The method is unknown, or `delta` out of its range; "merge" of more than 5,000 columns.

    Notes
    -----
    O(m d log m) time, O(m d) memory; "merge" O(m d^2) and O(d^2).

    References
    ----------
    R. Kolde, S. Laur, P. Adler, J. Vilo, Robust rank aggregation for gene list integration and
    meta-analysis, Bioinformatics 28, 2012. Goibert, Calauzenes, Irurozki, Clemencon, Robust consensus
    in ranking data analysis: definitions, properties and computational issues, ICML 2023 ("merge").

    Examples
    --------
    >>> from assay.selection.rankers.stability import consensus_ranking
    >>> rankings = [[1, 2, 3, 4], [1, 3, 2, 4], [4, 1, 2, 3]]
    >>> consensus_ranking(rankings).ranking
    array([1, 2, 3, 4])
    >>> consensus_ranking(rankings, method="borda").scores.round(2)
    array([0.67, 0.67, 0.56, 0.11])
    >>> merged = consensus_ranking(rankings, method="merge", delta=0.2)
    >>> merged.scores.round(2), round(merged.breakdown, 2)
    (array([0.5, 0.5, 0.5, 0.5]), 0.5)
    """
    check_parameters(delta=(delta, Number("[0, 0.5]")))
    ranks = _ranks(rankings)
    m, d = ranks.shape
    p_values, breakdown = None, None
    if method == "rra":
        i = np.arange(1, m + 1)[:, None]
        rho = betainc(i, m + 1 - i, np.sort(ranks, axis=0) / d).min(axis=0)
        scores, p_values = -np.log10(rho), np.minimum(m * rho, 1.0)
    elif method == "borda":
        scores = (d - ranks).mean(axis=0) / max(d - 1, 1)
    elif method == "median":
        scores = 1.0 - (np.median(ranks, axis=0) - 1.0) / max(d - 1, 1)
    elif method == "merge":
        scores, breakdown = _merged(ranks, delta)
    else:
        raise ConfigError(f"method is {method!r}; pass 'rra', 'borda', 'median' or 'merge'.")
    ranking = np.empty(d, dtype=np.int64)
    ranking[np.argsort(-scores, kind="stable")] = np.arange(1, d + 1)
    return Consensus(ranking, scores, p_values, breakdown)


def _merged(ranks: Counts, delta: float) -> tuple[Floats, float]:
    """Return the scores of tied groups that a clear majority tells apart, and their breakdown point."""
    m, d = ranks.shape
    if d > MERGED:
        raise ConfigError(
            f"method='merge' compares all pairs of columns, and {d:,} are more than {MERGED:,}; use "
            "'rra', or leave columns out."
        )
    before = np.zeros((d, d), dtype=np.int32)
    for one in ranks:
        before += one[:, None] < one
    beats = (2 * before > m).sum(axis=1) + 0.5 * (2 * before == m).sum(axis=1)
    order = np.argsort(-beats, kind="stable")
    agreed = before[order][:, order]
    # the least agreement of a pair across the border behind each place of the order
    least = np.full(max(d - 1, 0), m)
    across = np.full(d, m)
    for place in range(d - 1):
        across = np.minimum(across, agreed[place])
        least[place] = across[place + 1 :].min()
    borders = least >= m * (0.5 + delta) - 1e-9
    group = np.concatenate([[0], np.cumsum(borders)]).astype(np.int64)
    mean_rank = np.bincount(group, np.arange(1, d + 1)) / np.bincount(group)
    scores = np.empty(d)
    scores[order] = 1.0 - (mean_rank[group] - 1.0) / max(d - 1, 1)
    margins = least[borders] / m - 0.5
    return scores, float(margins.min()) if len(margins) else 0.5


def _strata(X: Any, y: NDArray[Any] | None, classes: bool) -> list[NDArray[np.int64]]:
    """Return the rows that are drawn from together, in an order given by their contents."""
    if y is None:
        return [rows_by_content(X)]
    codes = np.unique(y, return_inverse=True)[1]
    order = rows_by_content(X, codes)
    return [order[codes[order] == c] for c in range(codes.max() + 1)] if classes else [order]


def _wilson(share: Floats, n: int, z: float) -> tuple[Floats, Floats]:
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return np.maximum(center - reach, 0.0), np.minimum(center + reach, 1.0)


def _nogueira(taken: NDArray[np.bool_], k: int) -> tuple[float, float]:
    """Return the stability of sets of k of d columns, and its standard error."""
    n, d = taken.shape
    if k == d:
        return 1.0, 0.0
    share, frequency = k / d, taken.mean(axis=0)
    by_chance = share * (1 - share)
    overall = 1.0 - n / (n - 1) * (frequency * (1 - frequency)).mean() / by_chance
    own = (taken * frequency).sum(axis=1) / d
    spread = np.square((own - own.mean()) / by_chance).sum()
    return float(overall), float(np.sqrt(4 * spread) / n)


def _ranks(rankings: Sequence[Any]) -> Counts:
    if len(rankings) == 0:
        raise InputError("No rankings were given; give at least one.")
    ranks = [np.asarray(each.ranking_ if isinstance(each, Ranked) else each) for each in rankings]
    d = ranks[0].size
    for place, one in enumerate(ranks):
        if one.shape != (d,) or not np.array_equal(np.sort(one), np.arange(1, d + 1)):
            raise InputError(
                f"Ranking {place} is not a permutation of 1 ... {d} (the length of the first one)."
            )
    return np.array(ranks, dtype=np.int64)
