"""What share of a pool are outliers: a posterior from the scores of several detectors."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from assay.index.threads import one_thread
from assay.selection.contract.inputs import Floats
from assay.storage.errors import InputError, NonFiniteError
from assay.storage.limits import SEED, Number, Whole, check_parameters

# the scorers that tell outliers, each in a way of its own
DETECTORS = ("outlierness", "lof", "mahalanobis")
# added to scores whose least is 0, before the logarithm
_OFFSET = 0.01
_STEEPEST = 1e3


@dataclass(frozen=True, eq=False)
class Contamination:
    """Posterior of the share of outliers.

    Attributes
    ----------
    samples : float64[draws], ascending
    mean : float
    components : int
        Components of the mixture that hold rows.
    """

    samples: Floats
    mean: float
    components: int

    def interval(self, mass: float = 0.9) -> tuple[float, float]:
        """Return the central interval that holds so much of the posterior."""
        low, high = np.quantile(self.samples, [(1 - mass) / 2, (1 + mass) / 2])
        return float(low), float(high)

    def cut(self, scores: Any) -> NDArray[np.bool_]:
        """Return which rows are outliers: the mean share of highest scores, of equal ones the first."""
        values = _column(scores)
        count = round(self.mean * len(values))
        outliers = np.zeros(len(values), dtype=bool)
        outliers[np.argsort(-values, kind="stable")[:count]] = True
        return outliers


def estimate_contamination(
    *scores: Any,
    components: int = 30,
    draws: int = 10_000,
    none: float = 0.01,
    high: float = 0.15,
    above_high: float = 0.01,
    most: float = 0.25,
    max_rows: int = 10_000,
    random_state: int = 0,
) -> Contamination:
    r"""Estimate the share of outliers from several outlier scores of the same rows.

    The scores, as standardized logarithms, are modeled by a Dirichlet process mixture of normal
    distributions. In each draw from its posterior, components are sorted by how extreme they are,

    .. math:: r_k = \frac{1}{M} \sum_{m=1}^{M} \frac{\mu_{km}}{1 + \sqrt{\Sigma_{kmm}}}

    and outliers are the first k of them, with each next one joining with the probability
    :math:`\sigma(\tau + \delta r_k)` given that those before did. The share of outliers is the sum
    of their weights. tau and delta follow from two beliefs: how likely it is that there are no
    outliers, and that there are very many.

    Parameters
    ----------
    *scores : n numbers each, higher = further out
        Of two or three detectors of different kinds, such as `Outlierness`, `LocalOutlierFactor`
        and `Mahalanobis`; where one fails, the others still tell.
    components : int, default 30
        Most components of the mixture; those without use stay empty.
    draws : int, default 10,000
    none : float, default 0.01
        Prior belief that no row is an outlier.
    high, above_high : float, defaults 0.15 and 0.01
        The share of outliers is above `high` with the probability `above_high`.
    most : float, default 0.25
        No larger share is considered: outliers are few by definition.
    max_rows : int, default 10,000
        The mixture is fitted on at most so many rows: evenly spaced ones in order of the scores.
    random_state : int, default 0

    Returns
    -------
    Contamination

    Raises
    ------
    InputError
        No scores were given, or they differ in length.
    NonFiniteError
        A score is NaN or infinite.
    ConfigError
        A parameter is out of its range.

    Notes
    -----
    Rows are put in the order of their scores first, so theirs does not matter. Time
    O(rows * components * M^2 * iterations), some seconds for 10,000 rows. Component means and
    weights are drawn from the variational posterior; covariances are held at their expectation.

    References
    ----------
    Perini, Buerkner, Klami, "Estimating the contamination factor's distribution in unsupervised
    anomaly detection", 2023.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> scores = np.concatenate([rng.normal(5, 0.5, 950), rng.normal(12, 0.5, 50)])
    >>> found = estimate_contamination(scores, scores + rng.normal(size=1000) / 9)
    >>> round(found.mean, 2), int(found.cut(scores)[950:].sum())
    (0.05, 50)
    """
    share, count = Number("(0, 1)"), Whole(2)
    check_parameters(
        none=(none, share),
        high=(high, share),
        above_high=(above_high, share),
        most=(most, share),
        components=(components, count),
        draws=(draws, count),
        max_rows=(max_rows, count),
        random_state=(random_state, *SEED),
    )
    seed = int(random_state)
    if not scores:
        raise InputError("No scores were given; pass those of one detector or more.")
    columns = [_column(column) for column in scores]
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(str(len(column)) for column in columns)
        raise InputError(f"The scores differ in length ({lengths}); pass one number per row each.")
    S = _prepared(np.column_stack(columns), max_rows)
    if len(S) < 2 or not S.any():
        return Contamination(np.zeros(draws), 0.0, 1)
    rng = np.random.default_rng(seed)
    with one_thread():
        weights, extremes = _draw(S, min(components, len(S)), draws, rng, seed)
        samples = np.sort(_shares(weights, extremes, none, high, above_high, most, rng))
    return Contamination(samples, float(samples.mean()), int((weights.mean(axis=0) > 0).sum()))


def find_outliers(*scores: Any, random_state: int = 0) -> tuple[Floats, int, Contamination]:
    """Combine several outlier scores of the same rows, and count the outliers among them.

    Parameters
    ----------
    *scores : n numbers each, higher = further out
    random_state : int, default 0

    Returns
    -------
    combined : float64[n]
        Mean rank of each row over the scores, as a share of n; higher = further out.
    count : int
        Rows that are outliers, by the mean of the posterior.
    posterior : Contamination

    Examples
    --------
    >>> import numpy as np
    >>> scores = np.r_[np.random.default_rng(0).normal(5, 0.5, 950), np.linspace(11, 13, 50)]
    >>> combined, count, _ = find_outliers(scores)
    >>> count, sorted(np.argsort(-combined)[:count].tolist()) == list(range(950, 1000))
    (50, True)
    """
    from scipy.stats import rankdata

    posterior = estimate_contamination(*scores, random_state=random_state)
    ranks = np.mean([rankdata(_column(column)) for column in scores], axis=0)
    return ranks / len(ranks), round(posterior.mean * len(ranks)), posterior


def _draw(
    S: Floats, components: int, draws: int, rng: np.random.Generator, seed: int
) -> tuple[Floats, Floats]:
    """Return weights and extremeness, float64[draws, components in use], most extreme first."""
    # takes half a second to import, and only this needs it
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    mixture = BayesianGaussianMixture(
        n_components=components,
        weight_concentration_prior_type="dirichlet_process",
        weight_concentration_prior=0.01,
        max_iter=200,
        reg_covar=1e-4,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(S)
    used = np.unique(mixture.predict(S))
    a, b = mixture.weight_concentration_
    sticks = rng.beta(a, b, size=(draws, len(a)))
    left = np.cumprod(np.column_stack([np.ones(draws), 1 - sticks[:, :-1]]), axis=1)
    weights = (sticks * left)[:, used]
    weights /= weights.sum(axis=1, keepdims=True)
    spread = np.sqrt(np.einsum("kmm->km", mixture.covariances_[used]))
    deviation = spread / np.sqrt(mixture.mean_precision_[used])[:, None]
    means = mixture.means_[used] + deviation * rng.normal(size=(draws, len(used), S.shape[1]))
    extremes = (means / (1 + spread)).mean(axis=2)
    order = np.argsort(-extremes, axis=1, kind="stable")
    return np.take_along_axis(weights, order, axis=1), np.take_along_axis(extremes, order, axis=1)


def _shares(
    weights: Floats,
    extremes: Floats,
    none: float,
    high: float,
    above_high: float,
    most: float,
    rng: np.random.Generator,
) -> Floats:
    """Draw the share of outliers of every draw of the mixture."""
    # late, because it takes a fifth of a second
    from scipy.optimize import brentq

    total = np.cumsum(weights, axis=1)
    beyond = total >= high

    def join(steepness: float) -> Floats:
        def gap(shift: float) -> float:
            return float((1 - expit(shift + steepness * extremes[:, 0])).mean()) - none

        reach = 50 + steepness * np.abs(extremes[:, 0]).max()
        shift = brentq(gap, -reach, reach)
        return np.cumprod(expit(shift + steepness * extremes), axis=1)

    def excess(log_steepness: float) -> float:
        joined = join(float(np.exp(log_steepness)))
        first = np.take_along_axis(joined, beyond.argmax(axis=1)[:, None], axis=1)[:, 0]
        return float(np.where(beyond.any(axis=1), first, 0).mean()) - above_high

    low, top = np.log(1 / _STEEPEST), np.log(_STEEPEST)
    if excess(top) > 0:
        steepness = top
    else:
        steepness = low if excess(low) < 0 else brentq(excess, low, top, xtol=1e-3)
    joined = join(float(np.exp(steepness)))
    # probability that exactly the first 0, 1, ... components are outliers
    reached = np.column_stack([np.ones(len(joined)), joined])
    exactly = reached - np.column_stack([joined, np.zeros(len(joined))])
    share = np.column_stack([np.zeros(len(total)), total])
    exactly = np.where(share <= most, exactly, 0)
    ends = np.cumsum(exactly, axis=1)
    picks = (ends < rng.random((len(ends), 1)) * ends[:, -1:]).sum(axis=1)
    return np.asarray(np.take_along_axis(share, picks[:, None], axis=1)[:, 0], dtype=np.float64)


def _prepared(S: Floats, max_rows: int) -> Floats:
    """Return standardized logarithms in order of the scores, at most `max_rows` rows."""
    S = S[np.lexsort(S.T[::-1])]
    S = np.log(S - S.min(axis=0) + _OFFSET * np.maximum(S.std(axis=0), 1e-300))
    spread = S.std(axis=0)
    S = (S - S.mean(axis=0)) / np.where(spread > 1e-9, spread, 1)
    S[:, spread <= 1e-9] = 0
    if len(S) > max_rows:
        S = S[np.linspace(0, len(S) - 1, max_rows).astype(np.int64)]
    return np.asarray(S, dtype=np.float64)


def _column(scores: Any) -> Floats:
    try:
        values = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"Scores are not numeric: {error}.") from error
    if values.ndim != 1 or not len(values):
        raise InputError(f"Scores have shape {values.shape}; pass one number per row.")
    if not np.isfinite(values).all():
        raise NonFiniteError("Scores hold NaN or infinite values; drop those rows first.")
    return values
