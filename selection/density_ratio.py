"""The ratio of a target's to a pool's n-gram distribution, per bucket and per document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from assay.index.ngrams import NGramHasher
from assay.selection.hashed_texts import HashedTexts, Mask, mask_of, row_sums
from assay.selection.inputs import Floats, Rows, derived_seed, text_series
from assay.storage.errors import ConfigError, InputError
from assay.storage.rowhash import uniform

Mode = Literal["calibrated", "dsir"]

_BUCKETS = {"calibrated": 1 << 17, "dsir": 10_000}
# keeps log(0) away in mode "dsir", as published
_EPSILON = 1e-8
# the temperature is chosen on at most so many rows and n-gram occurrences of the pool
_SAMPLE_ROWS = 50_000
_SAMPLE_NGRAMS = 1 << 24
# temperatures tried, as multiples of the standard deviation of the log weights
_TEMPERATURES = (0.0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
# a choice of fewer rows says too little about a temperature
_SAMPLE_BUDGET = 50


@dataclass(frozen=True, eq=False)
class DensityRatio:
    """What was estimated: counts, the log ratio of each bucket and the log weight of each row.

    `usable` says which rows of the pool have any n-gram; the log weight of the others is NaN.
    """

    mode: Mode
    pool: HashedTexts
    target: HashedTexts
    smoothing: float
    shrinkage: float
    log_ratio: Floats
    log_weights: Floats

    @property
    def usable(self) -> Mask:
        return self.pool.sizes > 0

    def report(self) -> dict[str, Any]:
        """Return what a person should know about the estimate."""
        usable, used = self.usable, self.target.sizes > 0
        p, q = self.distributions()
        quantiles = np.quantile(self.log_weights[usable], [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1])
        names = ("min", "p5", "p25", "p50", "p75", "p95", "max")
        return {
            "mode": self.mode,
            "dropped": {"empty": int((~usable).sum())},
            "target_rows": int(used.sum()),
            "target_dropped": {"empty": int((~used).sum())},
            "target_unseen": float(
                self.target.counts[self.pool.counts == 0].sum() / self.target.counts.sum()
            ),
            "kl_pool": divergence(p, q),
            "log_weight_quantiles": dict(zip(names, quantiles.tolist(), strict=True)),
        }

    def distributions(self) -> tuple[Floats, Floats]:
        """Return the n-gram distributions of target and pool, over the buckets the pool uses."""
        seen = np.where(self.pool.counts > 0, self.target.counts, 0)
        return seen / max(1, seen.sum()), self.pool.counts / self.pool.counts.sum()

    def divergences_of(self, *subsets: Rows) -> list[float]:
        """Return KL(target || rows) of each subset, its distribution backed off to the pool's."""
        p, q = self.distributions()
        return [
            divergence(p, backed_off(counts, q, self.smoothing))
            for counts in self.pool.counts_of(*subsets)
        ]


def estimate(
    pool: pl.Series,
    target: Any,
    *,
    mode: Mode,
    ngrams: int,
    buckets: int | None,
    smoothing: float,
    shrinkage: float,
) -> DensityRatio:
    """Estimate the log ratio of every bucket and the log weight of every row of the pool.

    Raises
    ------
    ConfigError
        A parameter is not what it may be.
    InputError
        No text of the pool, or none of the target, has any content.
    """
    if mode not in _BUCKETS:
        raise ConfigError(f"mode is {mode!r}; choose one of {tuple(_BUCKETS)}.")
    if not (isinstance(smoothing, int | float) and 0 < smoothing < np.inf):
        raise ConfigError(f"smoothing is {smoothing!r}; pass a number above 0.")
    if not (isinstance(shrinkage, int | float) and 0 <= shrinkage < np.inf):
        raise ConfigError(f"shrinkage is {shrinkage!r}; pass a number >= 0.")
    hasher = NGramHasher(
        ngrams, _BUCKETS[mode] if buckets is None else buckets,
        hash="sha256" if mode == "dsir" else "fast",
    )  # fmt: skip
    hashed, wanted = HashedTexts(hasher, pool), HashedTexts(hasher, text_series(target, "target"))
    for name, texts in (("target", wanted), ("X", hashed)):
        if not len(texts) or not texts.sizes.any():
            raise InputError(f"No text of {name} has any content; pass at least one that has.")
    pool_counts, target_counts = hashed.counts, wanted.counts
    if mode == "dsir":
        log_ratio = np.log(target_counts / target_counts.sum() + _EPSILON) - np.log(
            pool_counts / pool_counts.sum() + _EPSILON
        )
        log_weights = hashed.sums(log_ratio)
    else:
        log_ratio = calibrated_log_ratio(target_counts, pool_counts, smoothing)
        log_weights = shrunk_means(
            hashed.sums(log_ratio), hashed.sizes, log_ratio, pool_counts, shrinkage
        )
    log_weights[hashed.sizes == 0] = np.nan
    return DensityRatio(mode, hashed, wanted, smoothing, shrinkage, log_ratio, log_weights)


def calibrated_log_ratio(target: Rows, pool: Rows, smoothing: float) -> Floats:
    """Return log(p_target / p_pool) per bucket, the target backed off to the pool.

    A bucket that the pool does not use counts there as used once, so that the ratio is finite.
    """
    of_pool = np.maximum(pool, 1) / pool.sum()
    return np.asarray(np.log(backed_off(target, of_pool, smoothing) / of_pool))


def shrunk_means(
    sums: Floats, sizes: Rows, log_ratio: Floats, pool: Rows, shrinkage: float
) -> Floats:
    """Return each text's mean log ratio after adding `shrinkage` n-grams of the pool's mean."""
    mean = float((log_ratio * pool).sum()) / pool.sum()
    return np.asarray((sums + shrinkage * mean) / np.maximum(sizes + shrinkage, 1))


def backed_off(counts: Rows, background: Floats, smoothing: float) -> Floats:
    """Return (counts + mu * background) / (n + mu) with mu = smoothing * n, n = sum of counts."""
    n = counts.sum()
    mu = smoothing * n
    return np.asarray((counts + mu * background) / (n + mu))


def divergence(p: Floats, q: Floats) -> float:
    """Return KL(p || q) in nats."""
    held = p > 0
    return float((p[held] * np.log(p[held] / q[held])).sum())


def choose_temperature(
    ratio: DensityRatio, budget: int, noise: Floats, order: Floats, random_state: int
) -> float:
    """Return the temperature whose selection comes nearest to a held-out half of the target.

    The target's documents are halved by their content's hash. Each half in turn gives the log
    weights of a sample of the pool; for every temperature the sample's share of the budget is
    drawn with the final noise, and KL(other half || drawn) is measured. The temperature with the
    least mean over both wins; temperatures are multiples of the spread of the log weights, so the
    multiple is carried over.

    Parameters
    ----------
    ratio : DensityRatio
    budget : int
    noise : float64[n]
        Gumbel noise of each row.
    order : float64[n]
        The sample is the rows whose `order` is smallest.
    random_state : int
    """
    halves = _halves(ratio.target, random_state)
    if halves is None:
        return 0.0
    usable = np.flatnonzero(ratio.usable)
    by_order = usable[np.argsort(order[usable], kind="stable")][:_SAMPLE_ROWS]
    room = int((np.cumsum(ratio.pool.sizes[by_order]) <= _SAMPLE_NGRAMS).sum())
    rows = np.sort(by_order[: max(1, room)])
    grams = ratio.pool.take(rows)
    sizes = np.diff(grams.indptr)
    share = min(1.0, budget / len(usable))
    k = min(len(rows), max(round(share * len(rows)), min(_SAMPLE_BUDGET, budget)))
    background = ratio.pool.counts / ratio.pool.counts.sum()
    total = np.zeros(len(_TEMPERATURES))
    for fitted, held_out in (halves, halves[::-1]):
        log_ratio = calibrated_log_ratio(fitted, ratio.pool.counts, ratio.smoothing)
        sums = row_sums(grams.indptr, grams.buckets, log_ratio)
        weights = shrunk_means(sums, sizes, log_ratio, ratio.pool.counts, ratio.shrinkage)
        seen = np.where(ratio.pool.counts > 0, held_out, 0)
        p = seen / max(1, seen.sum())
        for place, multiple in enumerate(_TEMPERATURES):
            keys = noisy_keys(weights, multiple * weights.std(), noise[rows])
            drawn = mask_of(np.argsort(-keys, kind="stable")[:k], len(rows))
            counts = np.bincount(grams.buckets[np.repeat(drawn, sizes)], minlength=len(p))
            total[place] += divergence(p, backed_off(counts, background, ratio.smoothing))
    return float(_TEMPERATURES[int(total.argmin())] * ratio.log_weights[usable].std())


def noisy_keys(log_weights: Floats, temperature: float, noise: Floats) -> Floats:
    """Return log_weights / temperature + noise; the log weights alone at temperature 0."""
    return log_weights if temperature == 0 else log_weights / temperature + noise


def _halves(target: HashedTexts, random_state: int) -> tuple[Rows, Rows] | None:
    """Return the bucket counts of two halves of the target, or None where it has one document."""
    used = np.flatnonzero(target.sizes > 0)
    if len(used) < 2:
        return None
    place = uniform(target.texts.gather(used), derived_seed(random_state, "target"))
    order = used[np.argsort(place, kind="stable")]
    middle = len(order) // 2
    first, second = target.counts_of(order[:middle], order[middle:])
    return first, second
