"""A search by rare words: hashed TF-IDF with an inverted index."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.ngrams._unicode import as_texts
from assay.index.ngrams.hasher import MOST_BUCKETS, MOST_NGRAMS, NGramHasher
from assay.index.search._sparse_kernels import (
    count_terms,
    fill_postings,
    heaviest,
    lengths,
    search_rows,
)
from assay.index.threads import ordered_map, thread_count
from assay.index.vectors.checks import as_ids, id_order
from assay.storage.disk.checked_folder import check_files, write_checksums
from assay.storage.disk.pages import open_mapped
from assay.storage.errors import CorruptArtifactError, InputError
from assay.storage.limits import NEIGHBORS, Number, Whole, check_parameters

_FORMAT = 1
_ARRAYS = ("starts", "terms", "counts", "norms", "frequencies", "begins", "rows", "parts", "order")
# a term of so few rows is searched in a pool of any size
_FEW = 256
# queries searched by one thread at a time
_QUERIES = 512


@dataclass(frozen=True, eq=False)
class Terms:
    """The distinct terms of some texts in compressed rows: int64 starts, int32 terms, uint8 counts."""

    starts: NDArray[np.int64]
    terms: NDArray[np.int32]
    counts: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def part(self, first: int, last: int) -> Terms:
        """Return the rows from `first` up to `last`."""
        begin, end = self.starts[first], self.starts[last]
        starts = self.starts[first : last + 1] - begin
        return Terms(starts, self.terms[begin:end], self.counts[begin:end])


class SparseIndex:
    r"""The texts that share most rare words with a query.

    A text is the unit vector of its hashed word n-grams' weights, with c the count of a term in it
    and f the texts of N that hold the term:

    .. math:: w = (1 + \ln c) \left(1 + \ln \frac{1 + N}{1 + f}\right)

    For every text the `terms` heaviest are kept in an inverted index, in parts of 1/255. A query adds up the
    products over the texts that share a term with it; the `candidates` best by that sum are compared
    by the exact cosine over all terms, in float64, and equal ones are put in order of id. So results
    do not depend on threads, batches or the order of the rows.

    Vectors of 128 numbers say of what kind a text is, and lose which one it is: the more texts there are, the
    less often they find a text's other half. Rare words keep that, and miss what shares no words.

    Parameters
    ----------
    ngrams : int, default 1
        Longest n-gram of words that is a term.
    buckets : int, default 262,144
        Buckets that terms are hashed into; a bucket stands for its terms.
    terms : int, default 32
        Terms of a text in the inverted index. 16 are a third quicker and find less.
    candidates : int, default 50
        Texts that a query is compared with exactly; at least as many as neighbors are asked for.
    common : float in (0, 1], default 0.01
        Terms in more than this share of the texts are not looked up, though they count in the
        cosine; those in at most 256 texts always are.

    Attributes
    ----------
    ids : ndarray of str, or None
        The id of every position.
    frequencies : int64[buckets]
        Texts that hold each term; those of all shards where they were given.

    Raises
    ------
    ConfigError
        A parameter is out of its range.
    InputError, IdError
        Texts or ids that can't be used.
    CorruptArtifactError
        A saved index whose parts do not fit together.

    Notes
    -----
    Memory: 5 bytes for each distinct word of a text, and 5 for each of its `terms`. Building is linear
    in the bytes of text. A query costs the sum of the lengths of its terms' lists.

    References
    ----------
    Reimers, Gurevych, "The curse of dense low-dimensional information retrieval for large index
    sizes", 2021. Salton, Buckley, "Term-weighting approaches in automatic text retrieval", 1988.

    Examples
    --------
    >>> index = SparseIndex.from_texts(
    ...     ["the cat sat", "the dog ran", "a cat ran away"], ids=["a", "b", "c"]
    ... )
    >>> similarities, positions = index.search(["my cat sat here"], k=2)
    >>> index.ids[positions[0]].tolist()
    ['a', 'c']
    """

    def __init__(
        self,
        *,
        ngrams: int = 1,
        buckets: int = 1 << 18,
        terms: int = 32,
        candidates: int = 50,
        common: float = 0.01,
    ) -> None:
        check_parameters(
            ngrams=(ngrams, Whole(1, MOST_NGRAMS)),
            buckets=(buckets, Whole(1, MOST_BUCKETS)),
            terms=(terms, Whole(1)),
            candidates=(candidates, Whole(1)),
            common=(common, Number("(0, 1]")),
        )
        self.ngrams = int(ngrams)
        self.buckets = int(buckets)
        self.terms = int(terms)
        self.candidates = int(candidates)
        self.common = float(common)
        self._ids: pl.Series | None = None
        self._kept: dict[str, Any] = {}
        self._texts = 0

    @classmethod
    def from_texts(cls, texts: Any, *, ids: Any = None, **parameters: Any) -> Self:
        """Build an index of `texts`; see `build`. `parameters` are those of the class."""
        return cls(**parameters).build(texts, ids)

    @property
    def ids(self) -> NDArray[np.object_] | None:
        return None if self._ids is None else self._ids.to_numpy()

    @property
    def frequencies(self) -> NDArray[np.int64]:
        return np.asarray(self._built()["frequencies"])

    def __len__(self) -> int:
        return len(self._kept.get("norms", ()))

    def build(
        self,
        texts: Any,
        ids: Any = None,
        *,
        frequencies: tuple[NDArray[np.int64], int] | None = None,
    ) -> Self:
        """Index texts, in place of what was indexed.

        Parameters
        ----------
        texts : sequence of str or None, length n
        ids : sequence of str or int, length n, optional
        frequencies : (int64[buckets], int), optional
            For each term the texts that hold it, and the number of all texts, where `texts` is a shard of them or
            others weigh the words: the sum of what `count_frequencies` returns for the shards.
            Cosines are then those of an index of all texts.
        """
        column = as_texts(texts)
        named = as_ids(ids, len(column))
        order = id_order(named, len(column))
        rows = self._terms_of(column if named is None else column.take(order))
        if frequencies is None:
            frequencies = _frequencies(rows, self.buckets), len(rows)
        counted, number = frequencies
        if np.shape(counted) != (self.buckets,):
            raise InputError(
                f"frequencies has shape {np.shape(counted)}; give one number for each of the "
                f"{self.buckets:,} buckets, as count_frequencies returns."
            )
        self._ids, self._texts = named, int(number)
        self._kept = self._indexed(rows, np.asarray(counted, dtype=np.int64)) | {"order": order}
        return self

    def count_frequencies(self, texts: Any) -> tuple[NDArray[np.int64], int]:
        """Return for each term how many of the texts hold it, and how many texts there are."""
        rows = self._terms_of(as_texts(texts))
        return _frequencies(rows, self.buckets), len(rows)

    def search(
        self, texts: Any, k: int = 10, *, threads: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the cosines and positions of the `k` nearest texts of each of `texts`.

        Returns
        -------
        similarities : float32[m, k]
            Descending; 0 where fewer texts share a looked-up term.
        positions : int64[m, k]
            -1 there.
        """
        rows = self._terms_of(as_texts(texts))
        return self._search(rows, np.full(len(rows), -1), k, threads)

    def neighbors(
        self, k: int = 10, *, threads: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the cosines and positions of the `k` nearest other texts of each indexed text.

        Returns
        -------
        similarities : float32[n, k]
        positions : int64[n, k]
            As of `search`; the rows are in the order that texts were given in.
        """
        kept = self._built()
        rows = Terms(kept["starts"], kept["terms"], kept["counts"])
        values, places = self._search(rows, np.arange(len(rows)), k, threads)
        similarities, positions = np.empty_like(values), np.empty_like(places)
        similarities[kept["order"]], positions[kept["order"]] = values, places
        return similarities, positions

    def save(self, directory: str | Path) -> None:
        """Write the index, and checksums of its files, to the folder `directory`, which is made if needed."""
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", self._built()[name])
        if self._ids is not None:
            self._ids.to_frame("sample_id").write_parquet(folder / "ids.parquet")
        header = {
            "format": _FORMAT,
            "n": len(self),
            "texts": self._texts,
            "ids": self._ids is not None,
            "parameters": {
                name: getattr(self, name)
                for name in ("ngrams", "buckets", "terms", "candidates", "common")
            },
        }
        (folder / "index.json").write_text(json.dumps(header, indent=1))
        ids = [] if self._ids is None else ["ids.parquet"]
        write_checksums(folder, ["index.json", *(f"{name}.npy" for name in _ARRAYS), *ids])

    @classmethod
    def load(cls, directory: str | Path, *, mmap: bool = False, verify: bool = True) -> Self:
        """Read an index that `save` wrote, checking that every byte is as it was written.

        Parameters
        ----------
        directory : str or Path
        mmap : bool, default False
            Leave the arrays on disk until they are used.
        verify : bool, default True
            False leaves out the checksums, where `ArtifactStore.open` has compared its own.

        Raises
        ------
        CorruptArtifactError
            A file is missing or was changed; the message names it.
        """
        folder = Path(directory)
        if verify:
            check_files(folder, "Build the index again.")
        try:
            header = json.loads((folder / "index.json").read_text())
            read = open_mapped if mmap else np.load
            kept = {name: read(folder / f"{name}.npy") for name in _ARRAYS}
            ids = pl.read_parquet(folder / "ids.parquet")["sample_id"] if header["ids"] else None
            index = cls(**header["parameters"])
            n, starts, begins = header["n"], kept["starts"], kept["begins"]
            whole = (
                header["format"] == _FORMAT
                and len(starts) == n + 1 == len(kept["norms"]) + 1 == len(kept["order"]) + 1
                and len(kept["terms"]) == len(kept["counts"]) == starts[-1]
                and len(begins) == index.buckets + 1 == len(kept["frequencies"]) + 1
                and len(kept["rows"]) == len(kept["parts"]) == begins[-1]
                and bool((np.diff(starts) >= 0).all() and (np.diff(begins) >= 0).all())
                and _within(kept["terms"], index.buckets)
                and _within(kept["rows"], n)
                and _within(kept["order"], n)
                and (ids is None or len(ids) == n)
            )
            if not whole:
                raise ValueError("its parts don't fit together")
        except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError) as error:
            raise CorruptArtifactError(
                f"The index in {folder} can't be read ({type(error).__name__}: {error}); "
                "build it again."
            ) from error
        index._kept, index._ids, index._texts = kept, ids, int(header["texts"])
        return index

    def _terms_of(self, column: Any) -> Terms:
        hasher = NGramHasher(self.ngrams, self.buckets)
        starts, terms, counts = [np.zeros(1, np.int64)], [], []
        for part in hasher.stream(column, threads=thread_count()):
            begin = np.empty(len(part.indptr), np.int64)
            term = np.empty(len(part.buckets), np.int32)
            count = np.empty(len(part.buckets), np.uint8)
            size = count_terms(part.indptr, part.buckets, begin, term, count)
            starts.append(begin[1:] + starts[-1][-1])
            terms.append(term[:size].copy())
            counts.append(count[:size].copy())
        nothing = [np.empty(0, np.int32)], [np.empty(0, np.uint8)]
        return Terms(
            np.concatenate(starts),
            np.concatenate(terms or nothing[0]),
            np.concatenate(counts or nothing[1]),
        )

    def _indexed(self, rows: Terms, frequencies: NDArray[np.int64]) -> dict[str, Any]:
        n = len(rows)
        idf = _rarity(frequencies, self._texts)
        norms = np.empty(n)
        lengths(rows.starts, rows.terms, rows.counts, idf, norms)
        searched = frequencies <= max(self.common * self._texts, _FEW)
        kept = np.empty((n, self.terms), np.int32)
        codes = np.empty((n, self.terms), np.uint8)
        sizes = np.empty(n, np.int64)
        heaviest(
            rows.starts, rows.terms, rows.counts, idf, norms, searched, self.terms, kept, codes, sizes
        )  # fmt: skip
        filled = np.arange(self.terms) < sizes[:, None]
        begins = np.zeros(self.buckets + 1, np.int64)
        np.cumsum(np.bincount(kept[filled], minlength=self.buckets), out=begins[1:])
        posted, parts = np.empty(begins[-1], np.int32), np.empty(begins[-1], np.uint8)
        fill_postings(kept, codes, sizes, begins[:-1].copy(), posted, parts)
        return {
            "starts": rows.starts,
            "terms": rows.terms,
            "counts": rows.counts,
            "norms": norms,
            "frequencies": frequencies,
            "begins": begins,
            "rows": posted,
            "parts": parts,
        }

    def _search(
        self, queries: Terms, own: NDArray[np.int64], k: int, threads: int | None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        check_parameters(k=(k, NEIGHBORS))
        kept = self._built()
        idf = _rarity(kept["frequencies"], self._texts)
        limit = max(self.candidates, k)

        def searched(first: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
            last = min(first + _QUERIES, len(queries))
            part = queries.part(first, last)
            rows = np.full((last - first, k), -1, np.int64)
            cosines = np.zeros((last - first, k))
            search_rows(
                part.starts, part.terms, part.counts, own[first:last],
                kept["starts"], kept["terms"], kept["counts"], kept["norms"], idf,
                kept["begins"], kept["rows"], kept["parts"], limit, rows, cosines,
            )  # fmt: skip
            return cosines, rows

        parts = list(ordered_map(searched, range(0, len(queries), _QUERIES), thread_count(threads)))
        if not parts:
            return np.zeros((0, k), np.float32), np.full((0, k), -1)
        rows = np.concatenate([part[1] for part in parts])
        positions = np.where(rows >= 0, kept["order"][rows], -1) if len(self) else rows
        return np.concatenate([part[0] for part in parts]).astype(np.float32), positions

    def _built(self) -> dict[str, Any]:
        if not self._kept:
            raise InputError("The index holds nothing yet; call build, or SparseIndex.from_texts.")
        return self._kept

    def __repr__(self) -> str:
        return f"SparseIndex(n={len(self)}, terms={self.terms})"


def _rarity(frequencies: NDArray[np.int64], texts: int) -> NDArray[np.float64]:
    """Return how much each term weighs for being in few texts."""
    return np.asarray(1.0 + np.log((1.0 + texts) / (1.0 + frequencies)))


def _frequencies(rows: Terms, buckets: int) -> NDArray[np.int64]:
    return np.bincount(rows.terms, minlength=buckets).astype(np.int64)


def _within(values: NDArray[Any], limit: int) -> bool:
    return not len(values) or bool(values.min() >= 0 and values.max() < limit)
