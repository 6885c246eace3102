"""The hashed n-grams of a pool, kept: in memory, or as files that are mapped back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl
import pyarrow as pa

from assay.index.ngrams._stream_files import (
    FORMAT,
    HEADER,
    block_ends,
    block_file,
    bucket_type,
    sizes_of,
    stream_fingerprint,
    write_header,
)
from assay.index.ngrams._stream_kernels import copy_rows, count_all, count_rows
from assay.index.ngrams.hasher import NGramHasher, NGrams, indptr_of
from assay.index.threads import aside
from assay.storage.disk.pages import open_mapped
from assay.storage.errors import CorruptArtifactError

# bytes of blocks held in memory; those beyond go to temporary files
_KEPT = 1 << 25
# n-gram occurrences that are gathered before they are cut into blocks
_HELD = 1 << 22
# parts hashed while earlier ones are put into blocks, which takes as long as hashing ten
_AHEAD = 10
# rows of a column that are turned into Arrow buffers at a time
_ROWS = 1 << 16


class Block(NamedTuple):
    """The n-grams of `rows` consecutive texts, from `first`: an array or the file of one."""

    first: int
    rows: int
    buckets: np.ndarray | Path

    def load(self) -> np.ndarray:
        """Return the buckets, read-only; a file is mapped, for as long as the array is used."""
        if isinstance(self.buckets, Path):
            return np.asarray(open_mapped(self.buckets))
        return self.buckets


class BucketStream:
    """The bucket of every n-gram of every text of a pool, in order, and their counts.

    What is made once for a pool serves every target: weights need no text any more. Iterating
    yields ``(first row, NGrams)`` for consecutive runs of rows, whose buckets are uint16 (up to
    65,536 buckets) or uint32.

    Made by `of` (in memory, beyond `kept` bytes in temporary files), by `write` (in a folder) or
    by `load` (from that folder).

    Attributes
    ----------
    hasher : NGramHasher
    n_tokens : int32[n]
        Tokens of each text.
    counts : int64[buckets]
        How often each bucket occurs.
    fingerprint : str
        That of `fingerprint_of`, where `write` was given that of the texts, else empty.

    Notes
    -----
    4 bytes per text in memory; 2 or 4 bytes per n-gram on disk or in memory (about .8 or 1.6
    bytes per byte of English text). One pass of hashing, spread over `threads`.

    Examples
    --------
    >>> stream = BucketStream.of(["a rose is a rose", None, "a daisy"], NGramHasher())
    >>> len(stream), stream.n_tokens.tolist(), stream.sizes().tolist()
    (3, [5, 0, 2], [9, 0, 3])
    >>> int(stream.counts.sum()), int(stream.counts_of([2]).sum())
    (12, 3)
    """

    def __init__(
        self,
        hasher: NGramHasher,
        blocks: Sequence[Block],
        n_tokens: np.ndarray,
        counts: np.ndarray,
        scratch: Any = None,
        fingerprint: str = "",
    ) -> None:
        self.hasher = hasher
        self.fingerprint = fingerprint
        self.n_tokens = n_tokens
        self.counts = counts
        self.blocks = list(blocks)
        # the temporary folder goes when the last user of this stream does
        self._scratch = scratch

    @classmethod
    def of(cls, texts: Any, hasher: NGramHasher, *, threads: int = 1, kept: int = _KEPT) -> Self:
        """Hash texts.

        Parameters
        ----------
        texts : column of text, or iterable of columns of text
            A Polars Series, Arrow array or sequence of str and None; or an iterator of them (such
            as `Pool.batches`), which is hashed as it comes.
        hasher : NGramHasher
        threads : int, default 1
            They change nothing but the time.
        kept : int, default 32 MiB
            Bytes of buckets to hold in memory; the rest goes to files in the system's temporary
            folder, which are removed with the stream.
        """
        blocks: list[Block] = []
        scratch: TemporaryDirectory[str] | None = None

        def keep(block: Block) -> None:
            nonlocal kept, scratch
            kept -= block.load().nbytes
            if kept < 0:
                scratch = scratch or TemporaryDirectory(prefix="assay-", ignore_cleanup_errors=True)
                block = saved_block(block, Path(scratch.name) / f"{len(blocks)}.npy")
            blocks.append(block)

        n_tokens, counts = _hash(texts, hasher, threads, keep)
        return cls(hasher, blocks, n_tokens, counts, scratch)

    @classmethod
    def write(
        cls,
        directory: Path | str,
        texts: Any,
        hasher: NGramHasher,
        *,
        threads: int = 1,
        content: str = "",
    ) -> Self:
        """Hash texts into plain files in a folder that exists; see `of` and `load`.

        `content` is a fingerprint of the texts.
        """
        folder, blocks = Path(directory), list[Block]()
        (folder / HEADER).unlink(missing_ok=True)

        def keep(block: Block) -> None:
            blocks.append(saved_block(block, block_file(folder, len(blocks))))

        n_tokens, counts = _hash(texts, hasher, threads, keep)
        rows = [block.rows for block in blocks]
        address = write_header(folder, hasher, content, n_tokens, counts, rows)
        return cls(hasher, blocks, n_tokens, counts, fingerprint=address)

    @classmethod
    def load(cls, directory: Path | str) -> Self:
        """Return the stream that `write` left in `directory`, its buckets mapped when used.

        Raises
        ------
        CorruptArtifactError
            The folder does not hold a whole stream.
        """
        folder = Path(directory)
        try:
            header = json.loads((folder / HEADER).read_text())
            if header["format"] != FORMAT:
                raise ValueError(f"format {header['format']} is not {FORMAT}")
            hasher = NGramHasher(
                header["ngrams"],
                header["buckets"],
                hash=header["hash"],
                tokenizer=header["tokenizer"],
                characters=header["characters"],
                compose=header["compose"],
            )
            n_tokens = np.load(folder / "n_tokens.npy", allow_pickle=False)
            counts = np.load(folder / "counts.npy", allow_pickle=False)
            files = [block_file(folder, i) for i in range(len(header["rows"]))]
            bounds = [0, *np.cumsum(header["rows"]).tolist()]
            if bounds[-1] != len(n_tokens) or not all(file.is_file() for file in files):
                raise ValueError("files are missing")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptArtifactError(
                f"{folder} does not hold a bucket stream ({error}); write it again with "
                "BucketStream.write."
            ) from error
        blocks = [Block(*block) for block in zip(bounds, header["rows"], files, strict=False)]
        return cls(hasher, blocks, n_tokens, counts, fingerprint=header["fingerprint"])

    @staticmethod
    def fingerprint_of(content: str, hasher: NGramHasher) -> str:
        """Return the address of the stream of a pool: its content's, and what hashes it.

        Examples
        --------
        >>> len(BucketStream.fingerprint_of("00ff", NGramHasher()))
        32
        """
        return stream_fingerprint(content, hasher)

    def select(self, rows: Any) -> BucketStream:
        """Return the stream of some rows, in their order here; nothing is hashed or written.

        Where the rows left out have no n-grams, nothing is copied either.

        Parameters
        ----------
        rows : int64[m]
            All different, ascending.
        """
        rows = np.asarray(rows, np.int64)
        return self if len(rows) == len(self) else _Selected(self, rows)

    def __len__(self) -> int:
        return len(self.n_tokens)

    def __iter__(self) -> Iterator[tuple[int, NGrams]]:
        for block in self.blocks:
            n_tokens = self.n_tokens[block.first : block.first + block.rows]
            indptr = indptr_of(n_tokens, self.hasher.ngrams)
            yield block.first, NGrams(indptr, block.load(), n_tokens)

    def sizes(self) -> np.ndarray:
        """Return int64[n]: n-grams of each text."""
        return sizes_of(self.n_tokens, self.hasher.ngrams)

    def counts_of(self, rows: Any, times: Any = None) -> np.ndarray:
        """Return int64[buckets]: how often each bucket occurs in `rows`.

        Parameters
        ----------
        rows : int64[m]
            All different, in any order.
        times : int64[m], optional
            How many times each row counts; once by default.
        """
        rows = np.asarray(rows, np.int64)
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        times = np.ones(len(rows), np.int64) if times is None else np.asarray(times)[order]
        counts = np.zeros(self.hasher.buckets, np.int64)
        for part, first, last, local in self.touched(rows):
            count_rows(part.indptr, part.buckets, local, times[first:last], counts)
        return counts

    def take(self, rows: Any) -> NGrams:
        """Return the n-grams of `rows`, which must ascend."""
        rows = np.asarray(rows, np.int64)
        n_tokens = self.n_tokens[rows]
        indptr = indptr_of(n_tokens, self.hasher.ngrams)
        out = np.empty(indptr[-1], np.uint32)
        for part, first, last, local in self.touched(rows):
            copy_rows(part.indptr, part.buckets, local, out[indptr[first] : indptr[last]])
        return NGrams(indptr, _frozen(out), n_tokens)

    def touched(self, rows: np.ndarray) -> Iterator[tuple[NGrams, int, int, np.ndarray]]:
        """Yield the parts that hold any of the ascending `rows`, which, and where they are there."""
        for start, part in self:
            first, last = np.searchsorted(rows, [start, start + len(part.n_tokens)])
            if last > first:
                yield part, int(first), int(last), rows[first:last] - start


class _Selected(BucketStream):
    """Some rows of a stream; buckets are copied where a part of it holds others too."""

    def __init__(self, stream: BucketStream, rows: np.ndarray) -> None:
        left = np.ones(len(stream), bool)
        left[rows] = False
        counts = stream.counts - stream.counts_of(np.flatnonzero(left))
        super().__init__(stream.hasher, (), stream.n_tokens[rows], counts)
        self._stream, self._rows = stream, rows

    def __iter__(self) -> Iterator[tuple[int, NGrams]]:
        for part, first, last, local in self._stream.touched(self._rows):
            n_tokens = self.n_tokens[first:last]
            indptr = indptr_of(n_tokens, self.hasher.ngrams)
            buckets = part.buckets
            if indptr[-1] < len(buckets):
                buckets = np.empty(indptr[-1], np.uint32)
                copy_rows(part.indptr, part.buckets, local, buckets)
                _frozen(buckets)
            yield first, NGrams(indptr, buckets, n_tokens)


def _hash(
    texts: Any, hasher: NGramHasher, threads: int, keep: Any
) -> tuple[np.ndarray, np.ndarray]:
    return cut_blocks(hasher.stream(_chunks(texts), threads), hasher, keep, threads)


def cut_blocks(
    parts: Iterable[Any], hasher: NGramHasher, keep: Any, threads: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Give `keep` the n-grams in blocks; return the tokens of each text and the counts.

    With several threads blocks are cut, counted and kept in one of their own.
    """
    small = bucket_type(hasher)
    counts = np.zeros(hasher.buckets, np.int64)
    tokens: list[np.ndarray] = []
    pending: list[tuple[np.ndarray, np.ndarray]] = []
    row = 0

    def flush(last: bool) -> None:
        nonlocal row
        buckets = np.concatenate([b for b, _ in pending], dtype=small, casting="unsafe")
        sizes = np.concatenate([s for _, s in pending])
        ends = np.concatenate([[0], np.cumsum(sizes)])
        start = 0
        for end in block_ends(sizes, last=last):
            block = _frozen(buckets[ends[start] : ends[end]])
            count_all(block, counts)
            keep(Block(row, end - start, block))
            row, start = row + end - start, end
        pending[:] = [(buckets[ends[start] :], sizes[start:])]

    held = 0

    def take(part: NGrams) -> None:
        nonlocal held
        tokens.append(part.n_tokens)
        pending.append((part.buckets, sizes_of(part.n_tokens, hasher.ngrams)))
        held += len(part.buckets)
        if held >= _HELD:
            flush(last=False)
            held = len(pending[0][0])

    with aside(take, threads, _AHEAD) as put:
        for part in parts:
            put(part)
    if pending:
        flush(last=True)
    return np.concatenate([np.empty(0, np.int32), *tokens]), counts


def _chunks(texts: Any) -> Any:
    """Return texts as what `NGramHasher.stream` takes, without converting a whole column."""
    if isinstance(texts, pl.Series):
        return (texts.slice(row, _ROWS) for row in range(0, len(texts), _ROWS))
    if isinstance(texts, Iterator):
        return texts
    return iter([texts]) if not isinstance(texts, pa.ChunkedArray) else iter(texts.chunks)


def saved_block(block: Block, path: Path) -> Block:
    np.save(path, block.load(), allow_pickle=False)
    return block._replace(buckets=path)


def _frozen(array: np.ndarray) -> np.ndarray:
    """Return the array, read-only: one type, for which each kernel is compiled once."""
    array.flags.writeable = False
    return array
