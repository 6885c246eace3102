"""How a bucket stream is cut into files, and the file that says what the others are."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.index.ngrams.hasher import NGramHasher
from assay.storage.disk.atomic import write_json
from assay.storage.hashing.fingerprints import fingerprint

FORMAT = 1
HEADER = "stream.json"
# n-gram occurrences from which a block (one file) ends, with the row that reaches them
_BLOCK = 1 << 21


def stream_fingerprint(content: str, hasher: NGramHasher) -> str:
    """Return the address of the stream of a pool: its content's, and what hashes it."""
    unicode = unicodedata.unidata_version
    return fingerprint("bucket stream", FORMAT, content, hasher.parameters(), unicode)


def bucket_type(hasher: NGramHasher) -> Any:
    """Return the type in which buckets are stored."""
    return np.uint16 if hasher.buckets <= 1 << 16 else np.uint32


def block_file(folder: Path, block: int) -> Path:
    """Return the file of a block."""
    return folder / f"buckets-{block:06}.npy"


def sizes_of(n_tokens: np.ndarray, ngrams: int) -> np.ndarray:
    """Return int64[n]: n-grams of texts with so many tokens."""
    sizes = np.zeros(len(n_tokens), np.int64)
    for m in range(ngrams):
        sizes += np.maximum(n_tokens - m, 0)
    return sizes


def block_ends(sizes: np.ndarray, *, last: bool) -> list[int]:
    """Return the rows after which blocks end: the same however the rows came in.

    `last`: whether these are all rows, so that the last block ends with them.
    """
    ends = np.cumsum(sizes)
    blocks: list[int] = []
    before = 0
    while len(ends):
        row = int(np.searchsorted(ends, before + _BLOCK)) + 1
        if row > len(ends):
            break
        blocks.append(row)
        before = int(ends[row - 1])
    if last and len(ends) and (not blocks or blocks[-1] < len(ends)):
        blocks.append(len(ends))
    return blocks


def write_header(
    folder: Path,
    hasher: NGramHasher,
    content: str,
    n_tokens: np.ndarray,
    counts: np.ndarray,
    rows: Sequence[int],
) -> str:
    """Write all but the blocks, of so many rows each; return the stream's fingerprint.

    The file that says what the others are comes last, so that a folder whose writing was stopped
    can't be loaded.
    """
    np.save(folder / "n_tokens.npy", n_tokens)
    np.save(folder / "counts.npy", counts)
    address = stream_fingerprint(content, hasher) if content else ""
    header = {
        "format": FORMAT,
        "fingerprint": address,
        **hasher.parameters(),
        "unicode": unicodedata.unidata_version,
        "content": content,
        "rows": list(rows),
    }
    write_json(folder / HEADER, header)
    return address
