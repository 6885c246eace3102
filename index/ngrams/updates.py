"""Streams written from other streams: those of a changed pool, and those of several shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.index.ngrams._stream_files import (
    block_ends,
    block_file,
    bucket_type,
    sizes_of,
    write_header,
)
from assay.index.ngrams._stream_kernels import move_rows
from assay.index.ngrams.stream import Block, BucketStream, cut_blocks, saved_block
from assay.storage.disk.pages import new_mapped
from assay.storage.errors import InputError


def write_updated(
    directory: Path | str,
    before: BucketStream,
    rows: np.ndarray,
    texts: Any,
    *,
    threads: int = 1,
    content: str = "",
) -> None:
    """Write the stream of texts, some of which are in the stream `before`.

    The files are those that `BucketStream.write` would write.

    Parameters
    ----------
    directory : path
        An existing folder.
    before : BucketStream
        Made by `BucketStream.load` or `write`.
    rows : int64[n]
        Which of its rows holds the n-grams of each text; -1: none.
    texts : column of text, iterable of columns of text, or BucketStream
        The other texts, in their order, or the stream of them.
    threads : int, default 1
        For hashing them.
    content : str
        A fingerprint of all texts.

    Raises
    ------
    InputError
        There are more, or fewer, texts than rows that are -1.

    Notes
    -----
    Hashes the new texts, and copies the n-grams of the others once. Memory: 20 bytes per text and a
    block of n-grams.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from assay.index.ngrams.hasher import NGramHasher
    >>> before = BucketStream.of(["a rose", "a daisy"], NGramHasher())
    >>> with TemporaryDirectory() as folder:
    ...     write_updated(folder, before, np.array([-1, 0]), ["a tulip in may"])
    ...     BucketStream.load(folder).n_tokens.tolist()
    [4, 2]
    """
    folder, hasher = Path(directory), before.hasher
    rows = np.asarray(rows, np.int64)
    old = np.flatnonzero(rows >= 0)
    fresh = texts
    if not isinstance(texts, BucketStream):
        fresh = BucketStream.of(texts, hasher, threads=threads)
    if len(fresh) != len(rows) - len(old):
        raise InputError(f"There are {len(fresh)} texts for {len(rows) - len(old)} new rows.")
    n_tokens = np.empty(len(rows), np.int32)
    n_tokens[old] = before.n_tokens[rows[old]]
    new = np.flatnonzero(rows < 0)
    n_tokens[new] = fresh.n_tokens
    sizes = sizes_of(n_tokens, hasher.ngrams)
    ends = block_ends(sizes, last=True)
    bounds = np.array([0, *ends])
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    files = [
        new_mapped(
            block_file(folder, block),
            bucket_type(hasher),
            (int(offsets[bounds[block + 1]] - offsets[bounds[block]]),),
        )
        for block in range(len(ends))
    ]
    order = old[np.argsort(rows[old], kind="stable")]
    for stream, places, sources in (
        (before, order, rows[order]),
        (fresh, new, np.arange(len(new))),
    ):
        _copy(stream, sources, places, bounds, offsets, files)
    for file in files:
        file.flush()
    times = np.bincount(rows[old], minlength=len(before))
    changed = np.flatnonzero(times != 1)
    counts = before.counts + before.counts_of(changed, times[changed] - 1) + fresh.counts
    write_header(folder, hasher, content, n_tokens, counts, np.diff(bounds).tolist())


def _copy(
    stream: BucketStream,
    sources: np.ndarray,
    places: np.ndarray,
    bounds: np.ndarray,
    offsets: np.ndarray,
    files: list[Any],
) -> None:
    """Copy the n-grams of the ascending rows `sources` of a stream to the rows `places`."""
    for part, first, last, local in stream.touched(sources):
        here = places[first:last]
        block = np.searchsorted(bounds, here, side="right") - 1
        for which in np.unique(block):
            of = np.flatnonzero(block == which)
            starts = offsets[here[of]] - offsets[bounds[which]]
            move_rows(part.indptr, part.buckets, local[of], starts, np.asarray(files[which]))


def join_streams(streams: Sequence[BucketStream]) -> BucketStream:
    """Concatenate streams that were hashed with the same settings.

    Nothing is copied.

    Examples
    --------
    >>> from assay.index.ngrams.hasher import NGramHasher
    >>> parts = [BucketStream.of(texts, NGramHasher()) for texts in (["a rose"], ["is", "a rose"])]
    >>> joined = join_streams(parts)
    >>> joined.n_tokens.tolist(), int(joined.counts.max())
    ([2, 1, 2], 2)
    """
    blocks: list[Block] = []
    first = 0
    for stream in streams:
        blocks += [block._replace(first=block.first + first) for block in stream.blocks]
        first += len(stream)
    n_tokens = np.concatenate([stream.n_tokens for stream in streams])
    counts = np.asarray(np.stack([stream.counts for stream in streams]).sum(axis=0))
    # whoever holds temporary files keeps them for as long as this one is there
    return BucketStream(streams[0].hasher, blocks, n_tokens, counts, tuple(streams))


def write_stream(directory: Path | str, stream: BucketStream, *, content: str = "") -> None:
    """Write the files that `BucketStream.write` would write for the texts of a stream.

    Parameters
    ----------
    directory : path
        An existing folder.
    stream : BucketStream
    content : str
        A fingerprint of the texts.
    """
    folder, rows = Path(directory), list[int]()

    def keep(block: Block) -> None:
        saved_block(block, block_file(folder, len(rows)))
        rows.append(block.rows)

    n_tokens, counts = cut_blocks((grams for _, grams in stream), stream.hasher, keep)
    write_header(folder, stream.hasher, content, n_tokens, counts, rows)
