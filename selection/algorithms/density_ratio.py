"""The ratio of a target's to a pool's n-gram distribution, per bucket and per document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from assay.index.ngrams._stream_kernels import presence_rows, sum_rows
from assay.index.ngrams.hasher import NGrams
from assay.index.ngrams.stream import BucketStream
from assay.index.threads import ordered_map
from assay.selection.algorithms.presence_classifier import Ragged
from assay.selection.contract.inputs import Floats, Rows

Mode = Literal["calibrated", "dsir"]
Weighting = Literal["joint", "backoff", "logistic"]

# keeps log(0) away in mode "dsir", as published
_EPSILON = 1e-8
# sums that must not depend on the order of the rows are made of multiples of this
_UNIT_BITS = 24
_LIMIT = 1 << 7


@dataclass(frozen=True, eq=False)
class DensityRatio:
    """What turns the n-grams of a document into its log weight under each of T targets.

    Attributes
    ----------
    log_ratio : float64[T, buckets]
        Log of the target's over the pool's share of each bucket.
    means : float64[T]
        The mean log ratio of the pool's n-grams.
    shrinkage : float
        N-grams of that mean which every document is taken to hold besides its own.
    summed : bool
        Whether weights are sums over the n-grams (mode "dsir") rather than means.
    presence : float64[T, buckets] or None
        Weights of `PresenceClassifier`, by which buckets a document holds.
    """

    log_ratio: Floats
    means: Floats
    shrinkage: float
    summed: bool
    presence: Floats | None = None


class Components(NamedTuple):
    """Log weights of documents under T targets, before they are put together: float64[T, n]."""

    backoff: Floats
    presence: Floats | None


@dataclass(frozen=True)
class Moments:
    """Number, sum and sum of squares of values, in whole numbers: the same in any order."""

    n: int
    total: int
    squares: int

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Return the moments of the values that are not NaN, each clipped to -128 to 128."""
        n = total = squares = 0
        for start in range(0, len(values), 1 << 18):
            part = values[start : start + (1 << 18)]
            part = np.clip(part[~np.isnan(part)], -_LIMIT, _LIMIT)
            units = np.rint(part * 2.0**_UNIT_BITS).astype(np.int64)
            more, squared = totals(units)
            n, total, squares = n + len(units), total + more, squares + squared
        return cls(n, total, squares)

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.n + other.n, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        return self.total / max(1, self.n) / 2.0**_UNIT_BITS

    @property
    def spread(self) -> float:
        """The standard deviation."""
        above = self.squares * self.n - self.total**2
        return float((above / max(1, self.n) ** 2) ** 0.5 / 2.0**_UNIT_BITS)


def totals(units: Rows) -> tuple[int, int]:
    """Return the sum of whole numbers up to 2^31 and that of their squares, exactly."""
    squared = units * units
    low = squared & (2**31 - 1)
    return int(units.sum()), (int((squared >> 31).sum()) << 31) + int(low.sum())


def fit_ratio(
    pool: Rows, targets: Rows, *, mode: Mode, smoothing: float, shrinkage: float,
    presence: Floats | None = None,
) -> DensityRatio:  # fmt: skip
    """Return the ratio of the n-gram counts `targets` (int64[T, buckets]) to those of the pool."""
    if mode == "dsir":
        of_targets = targets / targets.sum(axis=1, keepdims=True)
        log_ratio = np.log(of_targets + _EPSILON) - np.log(pool / pool.sum() + _EPSILON)
    else:
        log_ratio = np.stack(
            [calibrated_log_ratio(counts, pool, float(smoothing)) for counts in targets]
        )
    means = np.array([float((row * pool).sum()) / pool.sum() for row in log_ratio])
    return DensityRatio(log_ratio, means, float(shrinkage), mode == "dsir", presence)


def calibrated_log_ratio(target: Rows, pool: Rows, smoothing: float) -> Floats:
    """Return log(p_target / p_pool) per bucket, the target backed off to the pool.

    A bucket that the pool does not use counts there as used once, so that the ratio is finite.
    """
    of_pool = np.maximum(pool, 1) / pool.sum()
    return np.asarray(np.log(backed_off(target, of_pool, smoothing) / of_pool))


def backed_off(
    counts: Rows, background: Floats, smoothing: float, total: int | None = None
) -> Floats:
    """Return (counts + mu * background) / (n + mu) with mu = smoothing * n, n = sum of counts.

    Of some of the buckets alone where the `total` of all is given.
    """
    n = counts.sum() if total is None else total
    mu = smoothing * n
    return np.asarray((counts + mu * background) / (n + mu))


def divergence(p: Floats, q: Floats) -> float:
    """Return KL(p || q) in nats."""
    held = p > 0
    return float((p[held] * np.log(p[held] / q[held])).sum())


def weigh(grams: NGrams, ratio: DensityRatio, held: Ragged | None = None) -> Components:
    """Return the log weights of some documents; NaN for one without n-grams.

    `held`, the different buckets of each document, saves time where documents are weighed often.
    """
    rows, targets = len(grams.n_tokens), len(ratio.log_ratio)
    sizes = np.diff(grams.indptr)
    backoff = np.empty((targets, rows))
    presence = None if ratio.presence is None else np.empty((targets, rows))
    for target in range(targets):
        sum_rows(grams.indptr, grams.buckets, ratio.log_ratio[target], backoff[target])
        if presence is None or ratio.presence is None:
            continue
        if held is not None:
            sum_rows(*held, ratio.presence[target], presence[target])
            presence[target] /= np.sqrt(np.maximum(np.diff(held[0]), 1))
        else:
            last = np.full(ratio.log_ratio.shape[1], -1, dtype=np.int32)
            presence_rows(
                grams.indptr, grams.buckets, ratio.presence[target], last, presence[target]
            )
    if not ratio.summed:
        backoff += ratio.shrinkage * ratio.means[:, None]
        backoff /= np.maximum(sizes + ratio.shrinkage, 1)
    backoff[:, sizes == 0] = np.nan
    if presence is not None:
        presence[:, sizes == 0] = np.nan
    return Components(backoff, presence)


def weigh_shard(stream: BucketStream, ratio: DensityRatio, *, threads: int = 1) -> Components:
    """Return the log weights of all documents of a shard."""
    shape = (len(ratio.log_ratio), len(stream))
    components = Components(np.empty(shape), None if ratio.presence is None else np.empty(shape))

    def fill(part: tuple[int, NGrams]) -> None:
        first, grams = part
        rows = slice(first, first + len(grams.n_tokens))
        for into, values in zip(components, weigh(grams, ratio), strict=True):
            if into is not None and values is not None:
                into[:, rows] = values

    for _ in ordered_map(fill, stream, threads):
        pass
    return components


def weigh_rows(stream: BucketStream, rows: Rows, ratio: DensityRatio) -> Components:
    """Return the log weights of some documents of a stream, whose numbers ascend."""
    return weigh(stream.take(rows), ratio)


def moments(components: Components) -> list[tuple[Moments, Moments | None]]:
    """Return the moments of each target's components in a shard; those of shards are added."""
    presence = components.presence
    return [
        (Moments.of(values), None if presence is None else Moments.of(presence[target]))
        for target, values in enumerate(components.backoff)
    ]


def combine(
    components: Components, weighting: Weighting, of: list[tuple[Moments, Moments | None]]
) -> NDArray[np.float64]:
    """Return the log weights of a shard, float64[T, n], which take the place of the components.

    "joint" adds to the mean log ratio the logistic score, brought to mean 0 and to the spread of
    the log ratios in the whole pool, whose moments are `of`.
    """
    weights, presence = components
    if presence is None or weighting == "backoff":
        return weights
    if weighting == "logistic":
        return presence
    for target, (backoff, logistic) in enumerate(of):
        if logistic is not None and logistic.spread > 0:
            presence[target] -= logistic.mean
            presence[target] *= backoff.spread / logistic.spread
            weights[target] += presence[target]
    return weights
