"""Importance weights and the draw by map and reduce: functions for whatever runs tasks.

One call per shard and phase, and sums of whole numbers in between, so that the result does not
depend on how the pool is cut into shards, on their order, or on threads. The estimators run the
same functions over one shard.

1. `count_shard` hashes a shard into a stream, or finds it hashed; the counts are added.
2. `sample_shard` takes its part of a fixed sample; `Sample.merge` puts the parts together.
3. `fit_ratio`, once, with `presence_weights` where the weighting asks for them.
4. `weigh_shard` and `moments`, which are added; then `combine`.
5. `tempered_keys` and `key_histogram` at each `Cut` of `threshold`; the histograms are added.
6. `take_shard` gives the rows drawn, and those tied at the cut, among which ids decide.

Examples
--------
>>> import numpy as np
>>> from assay.index.ngrams.hasher import NGramHasher
>>> hasher = NGramHasher()
>>> shards = [["the cat sat", "stocks fell"], ["shares rose", "a dog ran"]]
>>> streams = [count_shard(texts, hasher) for texts in shards]
>>> target = count_shard(["stocks rose"], hasher)
>>> ratio = fit_ratio(sum(s.counts for s in streams), target.counts[None],
...                   mode="calibrated", smoothing=1.0, shrinkage=10.0)
>>> weights = [weigh_shard(stream, ratio).backoff[0] for stream in streams]
>>> cut = threshold(lambda cut: sum(key_histogram(keys, cut) for keys in weights), 2)
>>> [take_shard(keys, cut)[0].tolist() for keys in weights]
[[1], [0]]
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from assay.index.ngrams.hasher import NGramHasher
from assay.index.ngrams.stream import BucketStream
from assay.selection.algorithms.density_ratio import (
    Components,
    DensityRatio,
    Moments,
    combine,
    fit_ratio,
    moments,
    presence_weights,
    weigh_shard,
)
from assay.selection.algorithms.top_k import Cut, key_histogram, refine, take_shard, threshold
from assay.selection.importance.draws import gumbel, tempered_keys
from assay.selection.importance.sample import Sample, sample_shard
from assay.storage.errors import CorruptArtifactError

__all__ = [
    "Components", "Cut", "DensityRatio", "Moments", "Sample", "combine", "count_shard",
    "fit_ratio", "gumbel", "key_histogram", "moments", "presence_weights", "refine",
    "sample_shard", "take_shard", "tempered_keys", "threshold", "weigh_shard",
]  # fmt: skip


def count_shard(
    texts: Any,
    hasher: NGramHasher,
    *,
    directory: Path | str | None = None,
    threads: int = 1,
    content: str = "",
) -> BucketStream:
    """Hash the texts of a shard; its counts (int64) are those to be added.

    Parameters
    ----------
    texts : column of text, or iterator of columns of text
    hasher : NGramHasher
    directory : path, optional
        A folder in which the stream is kept; made where it is not there.
    threads : int, default 1
    content : str, optional
        A fingerprint of the texts, noted in the folder. Where the folder holds the whole stream
        of the same content, hashed alike, that is loaded, and nothing of `texts` is read.
    """
    if directory is None:
        return BucketStream.of(texts, hasher, threads=threads)
    if content:
        with suppress(CorruptArtifactError):
            found = BucketStream.load(directory)
            if found.fingerprint == BucketStream.fingerprint_of(content, hasher):
                return found
    Path(directory).mkdir(parents=True, exist_ok=True)
    return BucketStream.write(directory, texts, hasher, threads=threads, content=content)
