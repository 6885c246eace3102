"""Importance resampling: a subset of the pool that reads like the target."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np

from assay.selection.base import Choice, Outcome, Selector, rank_of
from assay.selection.density_ratio import Mode, choose_temperature, estimate, noisy_keys
from assay.selection.inputs import Floats, Inputs
from assay.storage.errors import ConfigError


class ImportanceResampler(Selector):
    r"""Draw texts in proportion to how much likelier they are under a target than in the pool.

    Texts are bags of hashed word 1- to `ngrams`-grams. With c the counts of the buckets b and n
    their sum, in the pool and (t) in the target, the log weight of a text of N n-grams is

    .. math:: \log w = \frac{\sum_b r_b + \kappa \bar r}{N + \kappa}, \quad
              r = \log \frac{p_t}{p}, \quad p = \frac{c}{n}, \quad
              p_t = \frac{c_t + \mu p}{n_t + \mu}

    with the sum over its n-grams, the mean r over the pool's, mu = `smoothing` n_t and kappa =
    `shrinkage`. So a bucket that the target never uses is unlikely rather than impossible, long
    texts are not extreme for being long, and short ones not for being short. The rows with the largest log weight / temperature + Gumbel noise
    are taken, which is sampling without replacement in proportion to exp(log weight /
    temperature). The noise of a row depends on (`random_state`, id) alone.

    Parameters
    ----------
    budget : int, float or str
        A count, or a share of all rows.
    mode : {"calibrated", "dsir"}, default "calibrated"
        "dsir" repeats the published package: SHA-256 buckets, log(p + 1e-8) ratios, weights
        summed over the n-grams, temperature 1, and noise drawn from
        ``np.random.RandomState(random_state)`` in the order in which the rows are given (so this
        mode alone depends on that order); texts without content are never chosen here.
    ngrams : int, default 2
        Longest n-gram.
    buckets : int, optional
        Hash buckets; where None 131,072, or the published 10,000 in mode "dsir".
    smoothing : float > 0, default 0.25
        mu above, as a share of the target's n-grams. Mode "dsir" uses it in the report alone.
    shrinkage : float >= 0, default 10
        kappa above: n-grams of the pool's mean that every text is taken to hold besides its own.
        0 is the plain mean, which prefers texts of a few words. Not used in mode "dsir".
    temperature : float >= 0 or "auto", default "auto"
        0 takes the largest log weights without noise: the purest subset, and the least varied.
        "auto" takes that of 0, 1/16, 1/8, 1/4, 1/2 and 1 times the standard deviation of the log
        weights whose draw comes nearest to a held-out half of the target, on a sample of at most
        50,000 rows. Not used in mode "dsir".
    random_state : int, default 0
    strict : bool, default False
        Whether fewer rows with content than the budget are an error.

    Attributes
    ----------
    indices_ : int64[min(budget, rows with content)]
    weights_ : float64, all 1 (the draw itself carries the weights)
    scores_, log_weights_ : float64[n]
        Higher = more like the target; NaN for a text without content.
    log_ratio_ : float64[buckets]
    report_ : dict
        `kl_pool`, `kl_selected`, `kl_selected_random` (KL from the target's n-gram distribution to that of
        the pool, of the selection and of a random subset of equal size, in nats, over the buckets
        that the pool uses, subsets backed off to the pool by `smoothing`), `kl_reduction` and
        `kl_reduction_random`, `effective_sample_size` of the weights drawn by (None at
        temperature 0), `temperature`, `topk_overlap` (share of the selection that plain top-k
        takes too), `log_weight_quantiles`, `dropped` (rows by reason), `target_rows`,
        `target_dropped`, `target_unseen` (share of the target's n-grams that the pool never uses).

    Raises
    ------
    MissingInputError
        `X` or `target` was not given.
    ConfigError
        A parameter is not what it may be.
    InputError
        No text of the pool, or none of the target, has any content.

    Notes
    -----
    Time linear in the text, about three passes over hashed n-grams. Memory 4 bytes per n-gram up
    to 256 MiB (beyond that texts are hashed again), and about 50 bytes per row.

    References
    ----------
    Xie, Santurkar, Ma, Liang, "Data selection for language models via importance resampling",
    2023.

    Examples
    --------
    >>> pool = ["the cat sat", "a dog ran", "stocks fell again", "shares rose"] * 5
    >>> selector = ImportanceResampler(budget=5, temperature=0).fit(pool, target=["stocks rose"])
    >>> sorted({pool[i] for i in selector.indices_})
    ['shares rose']
    """

    needs: ClassVar[tuple[str, ...]] = ("texts", "target")

    def __init__(
        self,
        *,
        budget: int | float | str,
        mode: Mode = "calibrated",
        ngrams: int = 2,
        buckets: int | None = None,
        smoothing: float = 0.25,
        shrinkage: float = 10.0,
        temperature: float | Literal["auto"] = "auto",
        random_state: int = 0,
        strict: bool = False,
    ) -> None:
        super().__init__(budget=budget, random_state=random_state, strict=strict)
        self.mode = mode
        self.ngrams = ngrams
        self.buckets = buckets
        self.smoothing = smoothing
        self.shrinkage = shrinkage
        self.temperature = temperature

    def _select(self, inputs: Inputs, budget: int) -> Choice:
        _check_temperature(self.temperature)
        ratio = estimate(
            inputs.texts(),
            inputs.target,
            mode=self.mode,
            ngrams=self.ngrams,
            buckets=self.buckets,
            smoothing=self.smoothing,
            shrinkage=self.shrinkage,
        )
        log_weights, usable = ratio.log_weights, np.flatnonzero(ratio.usable)
        noise = self._noise(inputs)
        if self.mode == "dsir":
            temperature = 1.0
        elif self.temperature == "auto":
            order = inputs.noise(self.random_state, "temperature")
            temperature = choose_temperature(ratio, budget, noise, order, self.random_state)
        else:
            temperature = float(self.temperature)
        keys = noisy_keys(log_weights, temperature, noise)
        ranking = usable[np.argsort(-keys[usable], kind="stable")]
        chosen = ranking[:budget]
        k = len(chosen)
        top = usable[np.argsort(-log_weights[usable], kind="stable")[:k]]
        by_chance = inputs.noise(self.random_state, "random")[usable]
        random = usable[np.argsort(-by_chance, kind="stable")[:k]]
        kl_selected, kl_random = ratio.divergences_of(chosen, random)
        report = ratio.report()
        self.log_weights_ = inputs.as_given(log_weights)
        self.log_ratio_ = ratio.log_ratio
        rest = np.sort(ranking[budget:])
        detail = {
            "score": log_weights[rest],
            "rank": rank_of(log_weights)[rest],
            "key": keys[rest],
            "threshold": np.full(len(rest), keys[chosen[-1]]),
        }
        return Choice(
            chosen=chosen,
            scores=log_weights,
            outcomes=[
                Outcome(rest, "select", "not_drawn", detail),
                Outcome(np.flatnonzero(~ratio.usable), "read", "empty", {}),
            ],
            detail={"key": keys[chosen]},
            report={
                **report,
                "temperature": temperature,
                "kl_selected": kl_selected,
                "kl_selected_random": kl_random,
                "kl_reduction": report["kl_pool"] - kl_selected,
                "kl_reduction_random": report["kl_pool"] - kl_random,
                "effective_sample_size": _effective_sample_size(log_weights[usable], temperature),
                "topk_overlap": float(np.isin(chosen, top).mean()),
            },
        )

    def _noise(self, inputs: Inputs) -> Floats:
        """Return standard Gumbel noise for every row."""
        if self.mode == "dsir":
            if self.random_state >= 2**32:
                raise ConfigError(
                    f"random_state is {self.random_state}; mode 'dsir' takes one below 2**32."
                )
            noise = np.random.RandomState(self.random_state).gumbel(size=inputs.n)
            return noise if inputs.order is None else noise[inputs.order]
        return np.asarray(-np.log(-np.log(inputs.noise(self.random_state, "importance"))))


def _effective_sample_size(log_weights: Floats, temperature: float) -> float | None:
    """Return (sum w)^2 / sum w^2 of w = exp(log weight / temperature)."""
    if temperature == 0:
        return None
    weights = np.exp((log_weights - log_weights.max()) / temperature)
    return float(weights.sum() ** 2 / (weights**2).sum())


def _check_temperature(temperature: Any) -> None:
    if isinstance(temperature, str) and temperature == "auto":
        return
    number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    if not number or not 0 <= temperature < np.inf:
        raise ConfigError(f"temperature is {temperature!r}; pass a number >= 0, or 'auto'.")
