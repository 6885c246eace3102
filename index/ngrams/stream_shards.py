"""The stream of a pool whose shards were hashed one by one: the files are those of one piece."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assay.index.ngrams._stream_files import block_file, write_header
from assay.index.ngrams.stream import Block, BucketStream, cut_blocks, saved_block


def join_streams(streams: Sequence[BucketStream]) -> BucketStream:
    """Return the stream of the texts of several, hashed alike, one after the other.

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
        blocks += [block._replace(first=block.first + first) for block in stream._blocks]
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
