"""What the n-grams of texts say about how much likelier each is under a target."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from assay.index.ngrams._stream_kernels import count_rows
from assay.index.ngrams._unicode import as_texts
from assay.index.ngrams.hasher import MOST_BUCKETS, MOST_NGRAMS, NGramHasher, NGrams
from assay.index.ngrams.stream import BucketStream
from assay.index.threads import ordered_map, thread_count
from assay.selection.algorithms.density_ratio import (
    DensityRatio,
    Mode,
    Moments,
    Weighting,
    backed_off,
    combine,
    divergence,
    fit_ratio,
    moments,
    weigh,
    weigh_shard,
)
from assay.selection.algorithms.presence_classifier import PresenceClassifier, distinct_buckets
from assay.selection.contract.inputs import Floats, Rows, text_series
from assay.selection.contract.parameters import Parameters
from assay.selection.importance.missing import missing_share, thinned
from assay.selection.importance.sample import NGRAMS, ROWS, halvings, picked, sample_shard
from assay.storage.errors import ConfigError, InputError
from assay.storage.hashing.rows import uniform
from assay.storage.limits import MOST_THREADS, Limits, Number, Whole, check_limits
from assay.storage.reading.pools import Pool

_SURROGATE = re.compile("[\ud800-\udfff]")
# rows handed on at a time
_ROWS = 1 << 12


class Texts:
    """Texts that can be gone through, and looked up by row.

    Parameters
    ----------
    X : column or sequence of text, or Pool of kind text
    name : str
        What it is, for messages.

    Attributes
    ----------
    replaced : int
        Texts with lone surrogates, which UTF-8 can't hold: they became U+FFFD.

    Raises
    ------
    InputError
        `X` holds anything but text.
    """

    def __init__(self, X: Any, name: str = "X") -> None:
        self.replaced = 0
        self._pool = X if isinstance(X, Pool) else None
        self._column: pl.Series | pa.ChunkedArray | None = None
        if self._pool is not None:
            if self._pool.kind != "text":
                raise InputError(f"{name} is a pool of {self._pool.kind}s, not of texts.")
        elif isinstance(X, pa.Array | pa.ChunkedArray):
            self._column = as_texts(X)
        else:
            self._column = text_series(X, name)
            if isinstance(X, list | tuple | np.ndarray):
                held = self._column.str.contains("\ufffd", literal=True)
                self.replaced = sum(
                    _SURROGATE.search(X[row]) is not None for row in held.arg_true().to_list()
                )

    def batches(self) -> Iterator[Any]:
        """Yield columns of text in row order."""
        if self._pool is not None:
            yield from self._pool.batches(_ROWS)
            return
        column = self._column
        assert column is not None
        for row in range(0, len(column), _ROWS):
            yield column.slice(row, _ROWS)

    def take(self, rows: Rows) -> pl.Series:
        """Return the texts of `rows`."""
        if self._pool is not None:
            name = self._pool.roles.content
            return self._pool.take(rows, [name])[name].cast(pl.String)
        if isinstance(self._column, pl.Series):
            return self._column.gather(rows)
        assert self._column is not None
        return pl.Series(self._column.take(pa.array(rows)))


Tokenizer = Literal["auto", "re", "regex"]
Divergence = Callable[[Rows, Rows], float]

_MODES = ("calibrated", "dsir")
_WEIGHTINGS = ("joint", "backoff", "logistic")
_TOKENIZERS = ("auto", "re", "regex")
_BUCKETS = {"calibrated": 1 << 17, "dsir": 10_000}
# what reports back subsets off with, as a share of their n-grams
_BACKING = 0.25
# the same where temperatures are tried: with less, what a draw lacks outweighs what it has too much
# of, and a target of many rare words is drawn nearly at random
_TRIAL_BACKING = 3.0
# documents and n-grams of the pool that a logistic regression sees
_FIT_ROWS, _FIT_NGRAMS = 10_000, 1 << 21


TEXT_LIMITS: Limits = {
    "mode": _MODES,
    "ngrams": (Whole(1, MOST_NGRAMS),),
    "buckets": (Whole(1, MOST_BUCKETS), None),
    "tokenizer": _TOKENIZERS,
    "weighting": _WEIGHTINGS,
    "smoothing": (Number("(0, inf)"),),
    "shrinkage": (Number("[0, inf)"),),
    "threads": (Whole(1, MOST_THREADS), None),
    "min_example_length": (Whole(0),),
}


@dataclass(frozen=True)
class TextSettings:
    """How texts are hashed and weighed; the fields are parameters of `ImportanceResampler`."""

    mode: Mode
    ngrams: int
    buckets: int | None
    tokenizer: Tokenizer
    weighting: Weighting
    smoothing: float
    shrinkage: float
    threads: int | None
    min_example_length: int = 0

    @classmethod
    def of(cls, method: Parameters) -> TextSettings:
        """Return the settings among the parameters of a method."""
        values = method.get_params(deep=False)
        return cls(**{name: values[name] for name in TEXT_LIMITS if name in values})

    def check(self) -> None:
        """Raise `ConfigError` where a value is not what it may be."""
        check_limits(TEXT_LIMITS, vars(self))

    def hasher(self) -> NGramHasher:
        """Return what hashes the texts of pool and target."""
        as_published = self.mode == "dsir"
        return NGramHasher(
            self.ngrams,
            _BUCKETS[self.mode] if self.buckets is None else self.buckets,
            hash="sha256" if as_published else "fast",
            tokenizer="re" if self.tokenizer == "auto" else self.tokenizer,
            characters=not as_published,
            compose=not as_published,
        )

    def accept(self, hasher: NGramHasher) -> None:
        """Raise `ConfigError` where a stored stream was not hashed as is asked for."""
        wanted = {"ngrams": self.ngrams}
        if self.buckets is not None:
            wanted["buckets"] = self.buckets
        if self.tokenizer != "auto":
            wanted["tokenizer"] = self.tokenizer  # type: ignore[assignment]
        if self.mode == "dsir":
            wanted |= {"hash": "sha256", "characters": False, "compose": False}  # type: ignore[dict-item]
        held = hasher.parameters()
        for name, value in wanted.items():
            if (stored := held[name]) != value:
                raise ConfigError(
                    f"The bucket stream was hashed with {name}={stored!r}, not {value!r}; write one "
                    "with this selector's hasher()."
                )


class TextTarget:
    """The n-grams of a target's documents, those with any, in an order that is the content's."""

    def __init__(self, texts: Any, hasher: NGramHasher, name: str) -> None:
        source = Texts(texts, name)
        stream = BucketStream.of(source.batches(), hasher)
        used = np.flatnonzero(stream.n_tokens)
        if not len(used):
            raise InputError(f"No text of {name} has any content; pass at least one that has.")
        order = np.argsort(uniform(source.take(used), 0), kind="stable")
        self.grams: NGrams = picked(stream.take(used), order)
        self.counts: Rows = stream.counts
        self.rows = len(used)
        self.empty = len(stream) - len(used)
        self.replaced = source.replaced

    def taken(self, rows: Rows) -> NGrams:
        """Return the n-grams of some documents."""
        return picked(self.grams, rows)

    def beside(self, had: Rows, drawn: float) -> TextTarget:
        """Return what is missing of it where n-grams with the counts `had` are there already.

        `drawn` is how many n-grams a draw brings.
        """
        share = missing_share(self.counts.astype(np.float64), had.astype(np.float64), drawn)
        rest = copy(self)
        rest.grams = thinned(self.grams, share)
        rest.counts = _counts(rest.grams, len(self.counts))
        rest.rows = len(rest.grams.n_tokens)
        return rest


class TextEvidence:
    """The log weights of a pool's texts under some targets, and what they are judged by.

    Attributes
    ----------
    log_ratio : float64[T, buckets]
    log_weights : float64[T, n]
        NaN for a text without content.
    sample : int64[m]
        Rows on which temperatures are tried, in an order that is that of their ids' noise.
    threads : int
        They change nothing but the time.
    ratio : DensityRatio
        What texts are weighed by, fitted to what the covered rows `had` and a draw of `drawn` rows
        lack of each target. `log_weights` are there once `weigh` was called.
    """

    reason = "empty"

    def __init__(
        self,
        stream: BucketStream,
        targets: dict[str, TextTarget],
        order: Floats,
        settings: TextSettings,
        *,
        replaced: int = 0,
        had: Sequence[Rows] | None = None,
        drawn: int = 0,
    ) -> None:
        if not stream.counts.any():
            raise InputError("No text of X has any content; pass at least one that has.")
        self._settings, self._stream = settings, stream
        if not self.usable.any():
            raise InputError(
                f"No text of X has min_example_length={settings.min_example_length} tokens; the "
                f"longest has {stream.n_tokens.max()}. Pass longer texts or a smaller number."
            )
        self._whole = self._targets = list(targets.values())
        self._had = [np.empty(0, dtype=np.int64)] * len(self._whole) if had is None else had
        if had is not None:
            mass = drawn * int(stream.counts.sum()) / max(1, int(np.count_nonzero(stream.n_tokens)))
            shares = [int(target.counts.sum()) for target in self._whole]
            self._targets = [
                target.beside(stream.counts_of(rows), mass * share / sum(shares))
                if len(rows)
                else target
                for target, rows, share in zip(self._whole, had, shares, strict=True)
            ]
        self._replaced = replaced
        self.threads = thread_count(settings.threads)
        calibrated = settings.mode == "calibrated"
        self._sample = sample_shard(stream, order, rows=ROWS if calibrated else 1, ngrams=NGRAMS)
        self.sample = self._sample.rows
        self._classifier = None
        if calibrated and settings.weighting != "backoff":
            negatives = self._sample.head(_FIT_ROWS, _FIT_NGRAMS)
            self._classifier = PresenceClassifier(negatives, stream.hasher.buckets)
        self.ratio = self._fit([(target.counts, target.grams) for target in self._targets])
        self.log_ratio = self.ratio.log_ratio
        self._background = stream.counts / stream.counts.sum()

    def weigh(self) -> None:
        """Weigh every text of the pool."""
        components = weigh_shard(self._stream, self.ratio, threads=self.threads)
        self.log_weights: Floats = combine(
            components, self._settings.weighting, moments(components)
        )
        self.log_weights[:, ~self.usable] = np.nan

    def _fit(self, targets: list[tuple[Rows, NGrams]]) -> DensityRatio:
        settings, presence = self._settings, None
        if self._classifier is not None:
            grams_of = (grams for _, grams in targets)
            fits = ordered_map(self._classifier.weights, grams_of, min(self.threads, len(targets)))
            presence = np.stack(list(fits))
        return fit_ratio(
            self._stream.counts,
            np.stack([counts for counts, _ in targets]),
            mode=settings.mode,
            smoothing=settings.smoothing,
            shrinkage=settings.shrinkage,
            presence=presence,
        )

    @property
    def usable(self) -> NDArray[np.bool_]:
        return self._stream.n_tokens >= max(1, self._settings.min_example_length)

    @property
    def drawn_from(self) -> NDArray[np.bool_]:
        """The rows that the published package draws noise for."""
        return self._stream.n_tokens >= self._settings.min_example_length

    def masses(self) -> list[int]:
        """Return the n-grams of each target."""
        return [int(target.counts.sum()) for target in self._whole]

    def trials(self, target: int) -> list[tuple[Floats, Divergence]]:
        """Return, for each half of a target, the sample's weights and KL(other half || drawn)."""
        grams, buckets = self._sample.grams, self._stream.hasher.buckets
        held = None if self._classifier is None else distinct_buckets(grams, buckets)
        of = self._targets[target]

        def trial(halves: tuple[Rows, Rows]) -> tuple[Floats, Divergence]:
            half, held_out = map(of.taken, halves)
            ratio = self._fit([(_counts(half, buckets), half)])
            components = weigh(grams, ratio, held)
            weights = combine(components, self._settings.weighting, moments(components))[0]
            return weights, self._divergence_from(self._seen(_counts(held_out, buckets)))

        return list(ordered_map(trial, halvings(of.rows), self.threads))

    def _divergence_from(self, p: Floats) -> Divergence:
        grams = self._sample.grams
        used = np.flatnonzero(p)
        wanted, background = p[used], self._background[used]

        def measure(rows: Rows, times: Rows) -> float:
            counts = np.zeros(len(p), dtype=np.int64)
            count_rows(grams.indptr, grams.buckets, rows, times, counts)
            drawn = backed_off(counts[used], background, _TRIAL_BACKING, counts.sum())
            return divergence(wanted, drawn)

        return measure

    def _seen(self, counts: Rows) -> Floats:
        """Return the distribution of counts over the buckets that the pool uses."""
        seen = np.where(self._stream.counts > 0, counts, 0)
        return np.asarray(seen / max(1, seen.sum()))

    def divergences(self, target: int, subsets: list[tuple[Rows, Rows]]) -> list[float]:
        """Return KL(target || rows, each so many times) of each subset, backed off to the pool.

        Covered rows are part of every subset.
        """
        p = self._seen(self._whole[target].counts)
        had = self._stream.counts_of(self._had[target])
        counts = [had + self._stream.counts_of(rows, times) for rows, times in subsets]
        return [divergence(p, backed_off(drawn, self._background, _BACKING)) for drawn in counts]

    def report(self) -> dict[str, Any]:
        """Return what a person should know about the pool."""
        dropped = {"empty": int((self._stream.n_tokens == 0).sum())}
        if self._settings.min_example_length > 1:
            dropped["short"] = int((~self.usable).sum()) - dropped["empty"]
        return {"mode": self._settings.mode, "dropped": dropped, "replaced": self._replaced}

    def report_of(self, target: int) -> dict[str, Any]:
        """Return what a person should know about one target."""
        whole = self._whole[target]
        unseen = int(whole.counts[self._stream.counts == 0].sum())
        return {
            "target_rows": whole.rows,
            "target_dropped": {"empty": whole.empty},
            "target_replaced": whole.replaced,
            "target_unseen": unseen / int(whole.counts.sum()),
            "kl_pool": divergence(self._seen(whole.counts), self._background),
        }

    def add(self, target: int, scores: Floats) -> None:
        """Add to a target's log weights other scores, brought to mean 0 and to their spread."""
        of, ours = Moments.of(scores), Moments.of(self.log_weights[target])
        if of.spread > 0:
            self.log_weights[target] += (scores - of.mean) * (ours.spread / of.spread)


def _counts(grams: NGrams, buckets: int) -> Rows:
    return np.asarray(np.bincount(grams.buckets, minlength=buckets))
