"""Hashed word n-grams of texts, on flat arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.index.ngrams._ngram_kernels import add_counts, fast_buckets, tokenize
from assay.index.ngrams._unicode import (
    TOKENIZERS,
    as_texts,
    lowering_table,
    row_chunks,
    settling,
    utf8_chunks,
)
from assay.index.threads import ordered_map
from assay.storage.limits import Flag, Whole, check_parameters

if TYPE_CHECKING:
    from assay.index.ngrams._sha256 import Sha256Buckets

HASHES = ("fast", "sha256")
# Bytes of text per chunk: small enough for its tokens and buckets to stay near the processor.
_CHUNK = 1 << 20
MOST_NGRAMS, MOST_BUCKETS = 64, 1 << 28


@dataclass(frozen=True, eq=False)
class NGrams:
    """The n-gram occurrences of some texts, as a ragged array.

    Attributes
    ----------
    indptr : int64[n + 1]
        The occurrences of text ``i`` are ``buckets[indptr[i]:indptr[i + 1]]``.
    buckets : int32[nnz]
        Bucket of each occurrence: for each token in turn the 1-gram, 2-gram, ... that end there.
    n_tokens : int32[n]
        Tokens of each text.
    """

    indptr: np.ndarray
    buckets: np.ndarray
    n_tokens: np.ndarray


class NGramHasher:
    r"""Hash the word 1- to `ngrams`-grams of texts into buckets.

    The tokens of a text are ``re.findall(r"\w+|[^\w\s]+", text.lower())`` of the text in NFC. A text of T tokens has
    ``sum(max(T - m + 1, 0) for m in 1..ngrams)`` n-grams, 2 T - 1 for ``ngrams=2``. Nothing is
    fitted: what a text gives depends on that text and the parameters alone.

    Parameters
    ----------
    ngrams : int, default 2
        Longest n-gram. Pairs tell apart much that words alone don't; triples mostly add rare ones.
    buckets : int, default 131,072
        Number of buckets, at most 2^28. With fewer, frequent n-grams share buckets.
    hash : {"fast", "sha256"}, default "fast"
        "fast": the top bits of a 64-bit fingerprint, ``(h >> 32) * buckets >> 32``. "sha256":
        ``int(sha256(tokens joined by spaces).hexdigest(), 16) % buckets``, for agreement with
        hashes made elsewhere; about four times slower.
    tokenizer : {"re", "regex"}, default "re"
        Whose ``\w`` and ``\s`` are meant: those of Python's `re`, or of the package `regex`, which
        differs on combining marks and number signs.
    characters : bool, default False
        Whether each letter or mark of a script that is written without spaces (Han, kana, Thai,
        Lao, Khmer, Myanmar, Tai) is a token of its own, so that the n-grams of such text are
        n-grams of characters. Otherwise a whole run of them is one token.
    compose : bool, default True
        Whether texts are brought to Unicode's NFC first, so that the composed and the decomposed
        spelling of a letter give the same token. False: for agreement with hashes made elsewhere.

    Raises
    ------
    ConfigError
        A parameter is not one of those.
    DependencyError
        ``tokenizer="regex"`` and the package is not installed.

    Notes
    -----
    Time is linear in the bytes of text. Memory is 4 bytes per occurrence (twice that while
    `transform` joins the chunks) and a few MB of working space for each thread. The kernels run
    without the interpreter lock, so that `stream` gains from threads.

    References
    ----------
    Weinberger, Dasgupta, Langford, Smola and Attenberg: Feature Hashing for Large Scale Multitask
    Learning. ICML 2009.

    Examples
    --------
    >>> found = NGramHasher(ngrams=2).transform(["A rose is a rose.", None])
    >>> found.n_tokens, found.indptr
    (array([6, 0], dtype=int32), array([ 0, 11, 11]))
    >>> bool(found.buckets[0] == found.buckets[5])  # "a" and "a"
    True
    """

    def __init__(
        self,
        ngrams: int = 2,
        buckets: int = 1 << 17,
        *,
        hash: str = "fast",
        tokenizer: str = "re",
        characters: bool = False,
        compose: bool = True,
    ) -> None:
        check_parameters(
            ngrams=(ngrams, Whole(1, MOST_NGRAMS)),
            buckets=(buckets, Whole(1, MOST_BUCKETS)),
            hash=(hash, *HASHES),
            tokenizer=(tokenizer, *TOKENIZERS),
            characters=(characters, Flag()),
            compose=(compose, Flag()),
        )
        self.ngrams = int(ngrams)
        self.buckets = int(buckets)
        self.hash = hash
        self.tokenizer = tokenizer
        self.characters = bool(characters)
        self.compose = bool(compose)
        self._table = lowering_table(tokenizer, self.characters)

    def parameters(self) -> dict[str, Any]:
        """Return what decides the buckets of a text."""
        return {
            "ngrams": self.ngrams,
            "buckets": self.buckets,
            "hash": self.hash,
            "tokenizer": self.tokenizer,
            "characters": self.characters,
            "compose": self.compose,
        }

    def transform(self, texts: Any) -> NGrams:
        """Return the n-grams of every text.

        Parameters
        ----------
        texts : sequence of str or None, pyarrow array, polars Series
            None counts as a text without tokens.
        """
        parts = list(self.stream(texts))
        indptr = np.zeros(sum(part.n_tokens.size for part in parts) + 1, np.int64)
        if not parts:
            return NGrams(indptr, np.empty(0, np.int32), np.empty(0, np.int32))
        np.cumsum(np.concatenate([np.diff(part.indptr) for part in parts]), out=indptr[1:])
        return NGrams(
            indptr,
            np.concatenate([part.buckets for part in parts]),
            np.concatenate([part.n_tokens for part in parts]),
        )

    def stream(self, texts: Any, threads: int = 1) -> Iterator[NGrams]:
        """Yield the n-grams of consecutive runs of texts, about a MB of text at a time.

        Parameters
        ----------
        texts : as for `transform`, or an iterator of such
        threads : int, default 1
            They change nothing but the time.
        """
        contexts: SimpleQueue[Sha256Buckets | None] = SimpleQueue()
        for _ in range(threads):
            contexts.put(self._sha256())

        settle = settling(self.compose)

        def hashed(rows: Any) -> NGrams:
            context = contexts.get()
            try:
                return self._hashed(*settle(rows), context)
            finally:
                contexts.put(context)

        columns = texts if isinstance(texts, Iterator) else [texts]
        chunks = (rows for column in columns for rows in row_chunks(as_texts(column), _CHUNK))
        return ordered_map(hashed, chunks, threads)

    def _hashed(
        self, data: np.ndarray, offsets: np.ndarray, sha256: Sha256Buckets | None
    ) -> NGrams:
        fingerprints, tokens, text, starts = self._tokens(data, offsets, sha256 is not None)
        n_tokens = np.diff(tokens)
        indptr = indptr_of(n_tokens, self.ngrams)
        buckets = np.empty(indptr[-1], np.int32)
        if sha256 is None:
            fast_buckets(fingerprints, tokens, self.ngrams, self.buckets, buckets)
        else:
            sha256(fingerprints, tokens, text, starts, buckets)
        return NGrams(indptr, buckets, n_tokens.astype(np.int32))

    def counts(self, texts: Any) -> np.ndarray:
        """Return int64[buckets]: how often each bucket occurs in all the texts together."""
        counts = np.zeros(self.buckets, np.int64)
        for part in self.stream(texts):
            add_counts(part.buckets, counts)
        return counts

    def tokens(self, texts: Any) -> list[list[str]]:
        """Return the tokens of each text; for looking at, not for speed."""
        tokens = []
        for data, offsets in self._chunks(texts):
            _, indptr, text, starts = self._tokens(data, offsets, True)
            joined = text.tobytes()
            for first, last in zip(starts[indptr[:-1]], starts[indptr[1:]], strict=True):
                tokens.append(joined[first:last].decode().split(" ")[:-1])
        return tokens

    def _chunks(self, texts: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return utf8_chunks(as_texts(texts), _CHUNK, self.compose)

    def _tokens(
        self, data: np.ndarray, offsets: np.ndarray, with_text: bool
    ) -> tuple[np.ndarray, np.ndarray, Any, Any]:
        size = int(offsets[-1] - offsets[0])
        fingerprints = np.empty(size, np.uint64)
        indptr = np.empty(offsets.size, np.int64)
        # A character of 1 byte gives at most itself and a space, one of 2 or more at most 4 and 1.
        text = np.empty(3 * size, np.uint8) if with_text else None
        starts = np.empty(size + 1, np.int64) if with_text else None
        tokenize(data, offsets, self._table, fingerprints, indptr, text, starts)
        return fingerprints[: indptr[-1]], indptr, text, starts

    def _sha256(self) -> Sha256Buckets | None:
        if self.hash != "sha256":
            return None
        from assay.index.ngrams._sha256 import Sha256Buckets

        return Sha256Buckets(self.ngrams, self.buckets)


def indptr_of(n_tokens: np.ndarray, ngrams: int) -> np.ndarray:
    """Return int64[n + 1]: where the n-grams of texts of so many tokens begin and end."""
    indptr = np.zeros(len(n_tokens) + 1, np.int64)
    np.cumsum(
        sum(np.maximum(n_tokens - m, 0, dtype=np.int64) for m in range(ngrams)), out=indptr[1:]
    )
    return indptr
