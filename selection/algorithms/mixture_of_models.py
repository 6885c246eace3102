"""The mixture of sources that models speak for which somebody else has trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from assay.selection.algorithms.learned_mixture import LearnedMixture, Trials, caps_of, table_of
from assay.selection.contract.inputs import Floats, derived_seed
from assay.storage.errors import InputError
from assay.storage.limits import MOST_ROUNDS, SEED, Flag, Number, Whole, check_parameters

LEAST_MODELS = 10


def mixture_from_models(
    losses: Any,
    errors: str | ArrayLike,
    sizes: Mapping[str, float] | None = None,
    *,
    budget: float | None = None,
    repeat: float = 1,
    higher_is_better: bool = False,
    bootstraps: int = 200,
    random_state: int = 0,
) -> LearnedMixture:
    r"""Learn the shares of sources from models whose loss on each source is known.

    .. math:: \gamma_d = \rho(\ell_{\cdot d}, e), \quad
              \max_w \sum_d w_d \gamma_d \;\text{ with }\; \sum_d w_d = 1, \; 0 \le w_d \le c_d

    :math:`\rho` is Spearman's rank correlation, over the models, of the loss on a source with the
    error on the task that counts. Sources are taken in its order, each up to its cap. Nothing is
    trained.

    Parameters
    ----------
    losses : frame or mapping of source to array
        One row for each model, one column of numbers for each source: the loss on it, per byte or
        character where tokenizers differ. At least 10 models.
    errors : str or float array of shape (models,)
        The error on the task: a column of `losses`, or the values.
    sizes : mapping of source to float, optional
        How much there is of each source; with `budget`, the caps. Without them all goes to the one
        source that correlates best.
    budget : float, optional
        What the mixture is for, in the unit of `sizes`.
    repeat : float >= 1, default 1
        How often a source may be gone through.
    higher_is_better : bool, default False
        Whether `errors` are accuracies.
    bootstraps : int, default 200
        Resamples of the models, for the intervals; 0 for none.
    random_state : int, default 0

    Returns
    -------
    LearnedMixture
        `effect` is the rank correlation. The report holds `models` and `best_correlation`.

    Raises
    ------
    InputError
        Too few models, numbers that are missing, or no source whose loss goes with the error.
    ConfigError, BudgetError, ColumnError
        A parameter is out of its range; sizes and budget don't fit.

    Notes
    -----
    A few sources take all unless caps are low: among 20 domains, none of them above .25, the mixture
    was worse than the even one (`benchmarks/results/mixture_learning.md`). Equal correlations are taken
    in the order of names. Time O(models x sources x bootstraps).

    References
    ----------
    Thrush, Potts, Hashimoto, "Improving pretraining data using perplexity correlations", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> skill = np.linspace(0, 1, 12)
    >>> losses = {"code": 3 - skill, "law": 3 - skill[::-1], "web": 3 - skill**2, "error": 1 - skill}
    >>> sizes = {"code": 30, "law": 500, "web": 500}
    >>> learned = mixture_from_models(losses, "error", sizes, budget=100, repeat=2)
    >>> {name: round(share, 3) for name, share in learned.shares.items()}
    {'code': 0.6, 'law': 0.0, 'web': 0.4}
    """
    check_parameters(
        repeat=(repeat, Number("[1, inf)")),
        higher_is_better=(higher_is_better, Flag()),
        bootstraps=(bootstraps, Whole(0, MOST_ROUNDS)),
        random_state=(random_state, *SEED),
    )
    trials = Trials.of(
        losses, errors, higher_is_better=higher_is_better, least=LEAST_MODELS, what="models"
    )
    caps = caps_of(trials.names, sizes, budget, repeat)
    correlation = _spearman(trials.values, trials.metric)
    if not correlation.max() > 0:
        raise InputError(
            f"The loss on no source goes with the error over {len(trials.metric)} models: no mixture is "
            "better supported than another. Pass more models, or say higher_is_better."
        )
    rng = np.random.default_rng(derived_seed(random_state, "models"))
    resampled = np.empty((bootstraps, len(caps)))
    for at in range(bootstraps):
        rows = rng.integers(0, len(trials.metric), len(trials.metric))
        resampled[at] = _filled(_spearman(trials.values[rows], trials.metric[rows]), caps)
    return LearnedMixture(
        table_of(trials.names, _filled(correlation, caps), resampled, caps, correlation),
        {"models": len(trials.metric), "best_correlation": float(correlation.max())},
    )


def _spearman(values: Floats, metric: Floats) -> Floats:
    """Return the rank correlation of each column with the metric, 0 for one without differences."""
    ranks = rankdata(values, axis=0)
    own = rankdata(metric)
    ranks -= ranks.mean(axis=0)
    own -= own.mean()
    spread = np.sqrt((ranks**2).sum(axis=0) * (own**2).sum())
    products = (ranks * own[:, None]).sum(axis=0)
    return np.asarray(np.divide(products, spread, out=np.zeros(len(spread)), where=spread > 0))


def _filled(correlation: Floats, caps: Floats) -> Floats:
    """Return shares that fill the caps in descending order of correlation."""
    order = np.argsort(-correlation, kind="stable")
    before = np.cumsum(caps[order]) - caps[order]
    shares = np.empty(len(caps))
    shares[order] = np.clip(1 - before, 0, caps[order])
    return shares
