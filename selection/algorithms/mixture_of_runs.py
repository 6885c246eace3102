"""The mixture of sources that training runs with other mixtures speak for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import KFold

from assay.index.threads import one_thread
from assay.selection.algorithms.learned_mixture import (
    LearnedMixture,
    Trials,
    caps_of,
    table_of,
    within_caps,
)
from assay.selection.contract.inputs import Floats, derived_seed
from assay.storage.errors import InputError
from assay.storage.limits import MOST_ROUNDS, SEED, Flag, Number, Whole, check_parameters

LEAST_RUNS = 30
# what is added to a weight before its logarithm is taken
_OFFSET = 0.01
_ALPHAS = np.logspace(-4, 3, 15)
_FOLDS = 5
# draws are concentrated by a factor between these, as the mixtures of RegMix's runs are
_STRENGTHS = (0.1, 5.0)


def mixture_from_runs(
    runs: Any,
    metric: str | ArrayLike,
    *,
    sizes: Mapping[str, float] | None = None,
    budget: float | None = None,
    repeat: float = 1,
    higher_is_better: bool = False,
    draws: int = 20_000,
    best: int = 100,
    bootstraps: int = 200,
    least_correlation: float = 0.3,
    random_state: int = 0,
) -> LearnedMixture:
    r"""Learn the shares of sources from training runs with other shares.

    .. math:: \hat m(w) = b + \sum_d c_d \log(w_d + 0.01)

    is fitted on the runs by ridge regression (its penalty by leave-one-out), and predicted for
    mixtures drawn at random; the result is the mean of the best of them. More of a source helps less
    the more of it there is, which the logarithm says.

    Parameters
    ----------
    runs : frame or mapping of source to array
        One row for each run, one column of numbers for each source: its weight, in any unit. Small
        runs will do if they order mixtures as large ones do. At least 30.
    metric : str or float array of shape (runs,)
        How good each run was (a loss on the task that counts): a column of `runs`, or the values.
    sizes : mapping of source to float, optional
        How much there is of each source; with `budget`, no share exceeds what that allows.
    budget : float, optional
        What the mixture is for, in the unit of `sizes`.
    repeat : float >= 1, default 1
        How often a source may be gone through. About 4 epochs are nearly as good as new data.
    higher_is_better : bool, default False
        Whether the metric is an accuracy rather than a loss.
    draws, best : int, default 20,000 and 100
        Mixtures drawn, and how many of the best of them are averaged. They are Dirichlet around the
        mean of the runs, of varied concentration.
    bootstraps : int, default 200
        Resamples of the runs, for the intervals; 0 for none.
    least_correlation : float, default 0.3
        The least rank correlation of the metric with its prediction for runs that were not fitted
        on.
    random_state : int, default 0

    Returns
    -------
    LearnedMixture
        `effect` is :math:`c_d`, negative where more is better. The report holds `runs`,
        `rank_correlation`, `alpha`, `predicted` (the metric of the mixture) and `best_run`.

    Raises
    ------
    InputError
        Too few runs, numbers that are missing or negative, or a metric that the weights don't
        explain: then no mixture is better supported than another.
    ConfigError, BudgetError, ColumnError
        A parameter is out of its range; sizes and budget don't fit.

    Notes
    -----
    With 64 runs over 20 domains it makes .76 to .89 of the way from the even mixture to the target's own;
    boosted trees on the weights make .63 to .74 (`benchmarks/results/mixture_learning.md`).
    Time O(draws x sources x bootstraps), some seconds; memory O(draws x sources). Where a sample of
    the target is at hand, `mixture="target"` needs no runs and is better.

    References
    ----------
    Liu et al., "RegMix: data mixture as regression for language model pre-training", 2024; there
    the regression is by boosted trees, on the weights.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> weights = rng.dirichlet(np.ones(3), 60)
    >>> loss = 3 - 0.5 * np.log(weights[:, 0] + 0.01) - 0.1 * np.log(weights[:, 1] + 0.01)
    >>> runs = {"law": weights[:, 0], "web": weights[:, 1], "code": weights[:, 2], "loss": loss}
    >>> learned = mixture_from_runs(runs, "loss", bootstraps=20)
    >>> [name for name, share in learned.shares.items() if share > 0.5]
    ['law']
    >>> learned = mixture_from_runs(
    ...     runs, "loss", sizes={"law": 1e6, "web": 1e9, "code": 1e9}, budget=1e7, repeat=4
    ... )
    >>> learned.shares["law"] <= 0.4
    True
    """
    check_parameters(
        repeat=(repeat, Number("[1, inf)")),
        higher_is_better=(higher_is_better, Flag()),
        draws=(draws, Whole(1, 10_000_000)),
        best=(best, Whole(1, draws if isinstance(draws, int) and draws > 0 else 1)),
        bootstraps=(bootstraps, Whole(0, MOST_ROUNDS)),
        least_correlation=(least_correlation, Number("[-1, 1]")),
        random_state=(random_state, *SEED),
    )
    trials = Trials.of(
        runs, metric, higher_is_better=higher_is_better, least=LEAST_RUNS, what="runs"
    )
    weights = _as_shares(trials)
    caps = caps_of(trials.names, sizes, budget, repeat)
    with one_thread():
        features = np.log(weights + _OFFSET)
        correlation = _cross_validated(features, trials.metric, random_state)
        if not correlation >= least_correlation:
            raise InputError(
                f"The weights of {len(weights)} runs don't explain their metric: the rank correlation "
                f"with its prediction for runs left out is {correlation:.2f}, below "
                f"{least_correlation:g}. Pass more runs, runs that differ more, or a metric with less "
                "noise."
            )
        model = RidgeCV(alphas=_ALPHAS).fit(features, trials.metric)
        rng = np.random.default_rng(derived_seed(random_state, "mixtures"))
        drawn = within_caps(_drawn(rng, weights.mean(axis=0), draws), caps)
        logs = np.log(drawn + _OFFSET)
        share = _best_mean(drawn, logs @ model.coef_, best)
        resampled = np.empty((bootstraps, len(share)))
        for at in range(bootstraps):
            rows = np.sort(rng.integers(0, len(weights), len(weights)))
            again = Ridge(alpha=model.alpha_).fit(features[rows], trials.metric[rows])
            resampled[at] = _best_mean(drawn, logs @ again.coef_, best)
    sign = -1.0 if higher_is_better else 1.0
    return LearnedMixture(
        table_of(trials.names, share, resampled, caps, sign * model.coef_),
        {
            "runs": len(weights),
            "rank_correlation": correlation,
            "alpha": float(model.alpha_),
            "predicted": sign * float(model.predict(np.log(share + _OFFSET)[None])[0]),
            "best_run": sign * float(trials.metric.min()),
        },
    )


def _as_shares(trials: Trials) -> Floats:
    values = trials.values
    totals = values.sum(axis=1, keepdims=True)
    if (values < 0).any() or (totals <= 0).any():
        raise InputError(
            "A run has a weight below 0, or none above it; pass what each run had of each source."
        )
    return np.asarray(values / totals)


def _cross_validated(features: Floats, metric: Floats, random_state: int) -> float:
    """Return the rank correlation of the metric with its prediction out of fold."""
    predicted = np.empty(len(metric))
    folds = KFold(_FOLDS, shuffle=True, random_state=derived_seed(random_state, "folds") % 2**32)
    for fitted, left in folds.split(features):
        model = RidgeCV(alphas=_ALPHAS).fit(features[fitted], metric[fitted])
        predicted[left] = model.predict(features[left])
    if np.ptp(metric) == 0 or np.ptp(predicted) == 0:
        return 0.0
    return float(spearmanr(predicted, metric).statistic)


def _drawn(rng: np.random.Generator, center: Floats, draws: int) -> Floats:
    """Return mixtures around `center`, some concentrated on few sources and some not."""
    low, high = np.log(_STRENGTHS)
    strength = np.exp(rng.uniform(low, high, draws))
    gammas = rng.standard_gamma(np.maximum(center * strength[:, None], 1e-3))
    totals = gammas.sum(axis=1, keepdims=True)
    return np.asarray(np.where(totals > 0, gammas / np.where(totals > 0, totals, 1), center))


def _best_mean(drawn: Floats, predicted: Floats, best: int) -> Floats:
    return np.asarray(drawn[np.argsort(predicted, kind="stable")[:best]].mean(axis=0))
