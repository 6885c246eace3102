"""References: rows of the pool that another data set holds already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.search.vector_index import VectorIndex
from assay.selection.algorithms.minhash import (
    MOST_PERMUTATIONS,
    MOST_WORDS,
    jaccard_between,
    shingles,
    signatures,
)
from assay.selection.algorithms.near_copies import Similarities, copy_threshold
from assay.selection.base import PoolMethod
from assay.selection.contract.inputs import Floats, Inputs, Rows, text_series
from assay.selection.steps.near_duplicates import band_keys, banding
from assay.selection.steps.reference_set import SEED, ReferenceSet, hashed
from assay.storage.compiling import njit
from assay.storage.errors import ConfigError, InputError
from assay.storage.hashing.rows import hash_rows
from assay.storage.limits import Limits, Number, Whole

# rows of a reference that share a band with a row and are compared with it
_COMPARED = 64
# the cosine from which rows are alike, where no graph says how near rows of the pool lie
_ALIKE = 0.95
# rows of a reference whose signatures are looked at together
_PART = 1 << 16
# by which most keys that nobody looks for are told apart
_BITS = 20
KINDS = ("exact", "near", "words", "semantic")


@dataclass(kw_only=True, eq=False, repr=False)
class InReference(PoolMethod):
    r"""Rows that are exactly, nearly or semantically in a data set that is had elsewhere.

    A row is left out where a reference holds

    - the same content: texts without regard to case, compatible letter forms and white space,
      vectors bit by bit;
    - nearly the same text: the Jaccard similarity of their shingles is at least `near`, found by
      MinHash as `NearDuplicates` finds it;
    - where asked for, a text whose cosine by rare words is at least `words`, whatever their order
      (`assay.index.SparseIndex`, words weighed by how few texts of the reference hold them);
    - a row whose vector lies at `semantic` or nearer, as `SemanticDuplicates` means it.

    The first of these that holds is told, with the most similar row of all references.

    Parameters
    ----------
    reference : mapping of name to ReferenceSet, texts or vectors
    near : float in (0, 1], "none" or None, default 0.75
        None, in a file "none": near texts are not looked for.
    semantic : float, "auto", "none" or None, default "auto"
        None, in a file "none": vectors are not compared. Least similarity on the graph's scale. "auto" is the automatic threshold of
        `SemanticDuplicates` where there is a graph, else a cosine of 0.95.
    words : float in (0, 1], "none" or None, default None
        Least cosine by rare words; 0.6 suits short records, of which near texts and vectors find few.
    ngrams : int, default 5
        Words in a shingle.
    permutations : int, default 128
        Values of a signature.

    Attributes
    ----------
    keep_ : bool[n]
        Rows that are in no reference.
    reference_, match_, kind_ : pl.Series of String
        The set, the id of the row that matches, and "exact", "near", "words" or "semantic"; else
        null.
    similarity_ : float64[n]
        NaN where nothing matches.
    report_ : dict
        `rows`, `in_reference`, `sets`: rows by reference, and `threshold` of the semantic search.

    Raises
    ------
    ConfigError, InputError
        A parameter is not what it may be, or a reference is of another kind than the pool.

    Notes
    -----
    The rows of a reference are neither dropped nor scored. Near texts: time linear in the shingles
    of both and at most 64 comparisons per band; only rows of a reference that share a band with a row
    are sorted, 16 bytes each and their signatures; the rest is read once. Vectors: that of `VectorIndex`, exact up to 50,000 rows of a reference.

    Claims
    ------
    paper
        Deduplicated training data is emitted from memory ten times less often.
    here
        Exact, near and semantic matches with data that is had already.
    deviates
        MinHash pairs of rows, no suffix array of substrings; rare words on request.
    measured
        Equal to brute force over all pairs of both sets (tests). By words, the true match is first for .77
        to 1.00 of the records of five sets, by vectors for .36 to .99 (`sparse_search.md`).

    References
    ----------
    Lee et al., "Deduplicating training data makes language models better", 2022.

    Examples
    --------
    >>> had = ["the cat sat on the mat all day long", "stocks fell"]
    >>> found = InReference(reference={"old": had}).fit(["Stocks  fell", "a dog ran"])
    >>> found.keep_.tolist(), found.match_.to_list()
    ([False, True], ['1', None])
    """

    limits: ClassVar[Limits] = {
        "near": (Number("(0, 1]"), "none", None),
        "words": (Number("(0, 1]"), "none", None),
        "semantic": (Number("(-inf, 1]"), "auto", "none", None),
        "ngrams": (Whole(1, MOST_WORDS),),
        "permutations": (Whole(1, MOST_PERMUTATIONS),),
    }

    reference: Mapping[str, Any] | None = None
    near: float | Literal["none"] | None = 0.75
    semantic: float | Literal["auto", "none"] | None = "auto"
    words: float | Literal["none"] | None = None
    ngrams: int = 5
    permutations: int = 128

    @property
    def compares_texts(self) -> bool:
        """Whether near texts are looked for."""
        return self.near not in (None, "none")

    @property
    def compares_words(self) -> bool:
        """Whether texts are compared by their rare words."""
        return self.words not in (None, "none")

    @property
    def compares_vectors(self) -> bool:
        """Whether vectors are compared."""
        return self.semantic not in (None, "none")

    def fit(
        self,
        X: Any = None,
        y: Any = None,
        *,
        graph: Any = None,
        scores: Any = None,
        target: Any = None,
        ids: Any = None,
        groups: Any = None,
        vectors: Any = None,
    ) -> Self:
        """Look X up, which is texts or vectors; `vectors` are those of the texts."""
        self.check_parameters()
        inputs: Inputs = self._inputs(
            X=X, y=y, graph=graph, scores=scores, target=target, ids=ids, groups=groups
        )
        if not self.reference:
            raise ConfigError("reference is empty; name at least one data set.")
        texts = None if inputs.holds_vectors else text_series(X)
        rows = X if inputs.holds_vectors else vectors
        rows = None if rows is None else np.ascontiguousarray(rows, dtype=np.float32)
        sets = {name: self._set(self.reference[name], texts) for name in sorted(self.reference)}
        best = _Best.of(inputs.n)
        self._match_exactly(sets, texts, rows, best)
        if texts is not None and self.compares_texts:
            self._match_nearly(sets, texts, best)
        if texts is not None and self.compares_words:
            self._match_words(sets, texts, best)
        threshold = self._match_vectors(sets, rows, graph, inputs, best)
        matched = best.similarity >= 0
        self.keep_ = ~matched
        self.reference_ = _gathered(pl.Series([*sets]), best.owner).alias("reference")
        self.match_ = _matches(list(sets.values()), best)
        self.kind_ = _gathered(pl.Series(KINDS), best.kind).alias("kind")
        self.similarity_ = np.where(matched, best.similarity, np.nan)
        self.report_: dict[str, Any] = {
            "rows": inputs.n,
            "in_reference": int(matched.sum()),
            "sets": {name: int((best.owner == at).sum()) for at, name in enumerate(sets)},
            "threshold": threshold,
        }
        return self

    def _set(self, reference: Any, texts: pl.Series | None) -> ReferenceSet:
        if isinstance(reference, ReferenceSet):
            return reference
        if texts is None:
            return ReferenceSet.of(vectors=reference)
        return ReferenceSet.of(
            reference,
            words=self.compares_words,
            ngrams=self.ngrams,
            permutations=self.permutations,
        )

    def _match_exactly(
        self,
        sets: Mapping[str, ReferenceSet],
        texts: pl.Series | None,
        vectors: NDArray[np.float32] | None,
        best: _Best,
    ) -> None:
        if texts is not None:
            hashes, filled = hashed(texts)
        else:
            assert vectors is not None
            hashes, filled = hash_rows(vectors), np.ones(len(vectors), dtype=bool)
        pool = pl.DataFrame(
            {"low": hashes[:, 0], "high": hashes[:, 1], "row": np.arange(len(filled))}
        )
        pool = pool.filter(pl.Series(filled))
        for owner, held in enumerate(sets.values()):
            own = pl.DataFrame(
                {"low": held.hashes[:, 0], "high": held.hashes[:, 1], "id": held.ids}
            )
            own = own.with_row_index("match").filter(pl.Series(np.asarray(held.there)))
            own = own.join(pool, on=["low", "high"], how="semi")
            first = own.sort("id").unique(["low", "high"], keep="first", maintain_order=True)
            matches = pool.join(first, on=["low", "high"])
            rows = matches["row"].to_numpy()
            best.offer(rows, owner, matches["match"].to_numpy(), np.ones(len(rows)), 0)

    def _match_nearly(
        self, sets: Mapping[str, ReferenceSet], texts: pl.Series, best: _Best
    ) -> None:
        open_rows = np.flatnonzero(best.similarity < 0)
        if not len(open_rows):
            return
        threshold = float(self.near or 0)
        bands, rows = banding(threshold, self.permutations)
        own = shingles(texts.gather(open_rows), self.ngrams)
        signature = signatures(own, self.permutations, SEED)
        filled = np.flatnonzero(np.diff(own.indptr))
        wanted = [np.unique(band_keys(signature[filled], at * rows, rows)) for at in range(bands)]
        for owner, held in enumerate(sets.values()):
            if held.texts is None or held.signature is None:
                continue
            likeness = np.zeros(len(open_rows))
            match = np.full(len(open_rows), -1, dtype=np.int64)
            # only rows that share a band with one of the pool are sorted and compared
            sharing = _sharing(held.signature, held.texts.indptr, wanted, rows)
            place = np.full(len(held.ids), -1, dtype=np.int64)
            place[sharing[held.ids.gather(sharing).arg_sort().to_numpy()]] = np.arange(len(sharing))
            signed = np.asarray(held.signature[sharing])
            for band in range(bands):
                keys = band_keys(signed, band * rows, rows)
                order = np.lexsort((place[sharing], keys))
                wanted_keys = band_keys(signature, band * rows, rows)
                begin = np.searchsorted(keys[order], wanted_keys)
                _compare(
                    own.indptr, own.values, held.texts.indptr, held.texts.values, wanted_keys,
                    keys[order], sharing[order], place, begin, filled, threshold, _COMPARED,
                    likeness, match,
                )  # fmt: skip
            rows_matched = np.flatnonzero(match >= 0)
            best.offer(
                open_rows[rows_matched], owner, match[rows_matched], likeness[rows_matched], 1
            )

    def _match_words(self, sets: Mapping[str, ReferenceSet], texts: pl.Series, best: _Best) -> None:
        open_rows = np.flatnonzero(best.similarity < 0)
        for owner, held in enumerate(sets.values()):
            if held.words is None or not len(held.words) or not len(open_rows):
                continue
            cosines, places = held.words.search(texts.gather(open_rows), 1)
            likeness = cosines[:, 0].astype(np.float64)
            alike = (places[:, 0] >= 0) & (likeness >= float(self.words or 0) - 1e-6)
            kind = KINDS.index("words")
            best.offer(open_rows[alike], owner, places[alike, 0], likeness[alike], kind)

    def _match_vectors(
        self,
        sets: Mapping[str, ReferenceSet],
        vectors: NDArray[np.float32] | None,
        graph: Any,
        inputs: Inputs,
        best: _Best,
    ) -> float | None:
        """Look the remaining rows up by their vectors; return the threshold."""
        if not self.compares_vectors or vectors is None:
            return None
        metric = inputs.metric if graph is not None else "cosine"
        if isinstance(self.semantic, str):
            if graph is None:
                threshold = _ALIKE
            elif metric == "ip":
                raise InputError(
                    "semantic='auto' needs distances, which a graph of inner products lacks; pass a "
                    "threshold, or None."
                )
            else:
                view = inputs.graph
                assert view is not None
                ordered = vectors if inputs.order is None else vectors[inputs.order]
                threshold = copy_threshold(
                    view,
                    metric,
                    inputs.noise(0, "semantic_duplicates"),
                    Similarities(ordered, metric),
                )
        else:
            threshold = float(self.semantic or 0)
        open_rows = np.flatnonzero(best.similarity < 0)
        for owner, held in enumerate(sets.values()):
            if held.vectors is None or not len(held.ids) or not len(open_rows):
                continue
            if held.vectors.shape[1] != vectors.shape[1]:
                raise InputError(
                    f"A reference holds vectors of {held.vectors.shape[1]} numbers, the pool of "
                    f"{vectors.shape[1]}; embed both with one model."
                )
            by_id = held.ids.arg_sort().to_numpy()
            index = VectorIndex(metric).build(np.ascontiguousarray(held.vectors[by_id]))
            values, places = index.search(vectors[open_rows], 1)
            likeness = values[:, 0].astype(np.float64)
            if metric == "l2":
                likeness = 1 / (1 + likeness)
            near = (places[:, 0] >= 0) & (likeness >= threshold - 1e-6)
            kind = KINDS.index("semantic")
            best.offer(open_rows[near], owner, by_id[places[near, 0]], likeness[near], kind)
        return threshold


@dataclass(frozen=True, eq=False)
class _Best:
    """The best match of every row so far: which reference, its row, the similarity, the kind."""

    owner: NDArray[np.int64]
    match: NDArray[np.int64]
    similarity: Floats
    kind: NDArray[np.int64]

    @classmethod
    def of(cls, n: int) -> _Best:
        return cls(np.full(n, -1), np.full(n, -1), np.full(n, -1.0), np.full(n, -1))

    def offer(self, rows: Rows, owner: int, match: Rows, similarity: Floats, kind: int) -> None:
        """Take matches that are better than those of earlier references."""
        better = similarity > self.similarity[rows]
        rows = rows[better]
        self.owner[rows], self.match[rows] = owner, match[better]
        self.similarity[rows], self.kind[rows] = similarity[better], kind


def _sharing(
    signature: NDArray[np.uint32], indptr: Rows, wanted: list[NDArray[np.uint64]], rows: int
) -> Rows:
    """Return the rows with shingles that have a key of a band which is wanted, in parts."""
    parts = []
    sieves = [_sieve(keys) for keys in wanted]
    for begin in range(0, len(signature), _PART):
        part = np.asarray(signature[begin : begin + _PART])
        shared = np.zeros(len(part), dtype=bool)
        for band, (keys, sieve) in enumerate(zip(wanted, sieves, strict=True)):
            _mark(band_keys(part, band * rows, rows), keys, sieve, shared)
        shared &= np.diff(indptr[begin : begin + len(part) + 1]) > 0
        parts.append(begin + np.flatnonzero(shared))
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _sieve(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which values the first bits of the keys have."""
    sieve = np.zeros(1 << _BITS, dtype=bool)
    sieve[keys >> np.uint64(64 - _BITS)] = True
    return sieve


@njit(cache=True, nogil=True)
def _mark(keys: Any, wanted: Any, sieve: Any, shared: Any) -> None:  # pragma: no cover
    """Mark the rows whose key is among the wanted ones, which are ascending."""
    shift = np.uint64(64 - _BITS)
    for row in range(len(keys)):
        if not shared[row] and sieve[np.int64(keys[row] >> shift)]:
            at = np.searchsorted(wanted, keys[row])
            shared[row] = at < len(wanted) and wanted[at] == keys[row]


def _matches(sets: list[ReferenceSet], best: _Best) -> pl.Series:
    """Return the ids of the matching rows."""
    begin = np.concatenate([[0], np.cumsum([len(held.ids) for held in sets])])
    place = np.where(best.owner >= 0, begin[best.owner] + best.match, -1)
    return _gathered(pl.concat([held.ids for held in sets]), place).alias("match")


def _gathered(values: pl.Series, places: NDArray[np.int64]) -> pl.Series:
    """Return the values at some places, null for -1."""
    return values.gather(pl.Series(places).replace(-1, None))


@njit(cache=True, nogil=True)
def _compare(  # pragma: no cover
    indptr: Any, values: Any, held_indptr: Any, held_values: Any, wanted: Any, keys: Any, rows: Any,
    place: Any, begin: Any, filled: Any, threshold: float, limit: int, likeness: Any, match: Any,
) -> None:  # fmt: skip
    """Compare each row with those of a reference that share its band; keep the most similar."""
    for row in filled:
        size = indptr[row + 1] - indptr[row]
        at = begin[row]
        steps = 0
        while at < len(keys) and keys[at] == wanted[row] and steps < limit:
            other = rows[at]
            at += 1
            steps += 1
            length = held_indptr[other + 1] - held_indptr[other]
            if min(size, length) < threshold * max(size, length):
                continue
            similarities = jaccard_between(
                values, indptr[row], indptr[row + 1],
                held_values, held_indptr[other], held_indptr[other + 1],
            )  # fmt: skip
            if similarities < threshold or similarities < likeness[row]:
                continue
            if similarities > likeness[row] or place[other] < place[match[row]]:
                likeness[row], match[row] = similarities, other
