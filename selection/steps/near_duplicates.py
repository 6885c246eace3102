"""Near duplicates of texts: MinHash-LSH, every candidate checked by its exact Jaccard similarity."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assay.selection.algorithms.minhash import Shingles, jaccard, shingles, signatures
from assay.selection.contract.inputs import Floats, Inputs, Rows, check_whole
from assay.selection.steps.deduplication import Deduplicator
from assay.storage.compiling import njit
from assay.storage.errors import ConfigError

# keepers of one bucket that a row is compared with: bounds the work for boilerplate
_COMPARED = 64


class NearDuplicates(Deduplicator):
    r"""Texts that share most of their runs of words with an earlier keeper.

    The Jaccard similarity of two texts is that of their sets of shingles (runs of `ngrams` words).
    Candidates are rows that agree in all values of one band of their MinHash signatures: a pair of
    similarity J is found with probability

    .. math:: 1 - (1 - J^{rows})^{bands}

    (.58 at .7, .92 at .8, .9998 at .9 by default), and only pairs of at least `threshold` count. Rows
    are gone through in order of their claim to be a keeper, and one becomes a keeper unless it is a
    duplicate of an earlier one; the others belong to the most similar of all keepers found. So groups
    are stars.

    Parameters
    ----------
    threshold : float in (0, 1], default 0.75
        Least Jaccard similarity of duplicates.
    ngrams : int, default 5
        Words in a shingle. Fewer find looser likeness, and more of it by chance.
    bands, rows : int, default 14 and 8
        Bands of the signature, and values in each; as is usual for web text.
    random_state : int, default 0
        Of the signature's hashes.

    Attributes
    ----------
    keep_, keeper_, similarity_, report_
        See `Deduplicator`; a text without words is nobody's duplicate. `report_` adds `compared`
        (pairs whose similarity was computed) and `shingles`.

    Raises
    ------
    MissingInputError
        No texts were given.
    ConfigError
        A parameter is out of range.

    Notes
    -----
    Time O(shingles * bands * rows), in which a row is compared with at most 64 keepers per band;
    memory 4 bytes per shingle and 4 * bands * (rows + 2) bytes per text.

    References
    ----------
    Broder, "On the resemblance and containment of documents", 1997. Lee et al., "Deduplicating
    training data makes language models better", 2022.

    Examples
    --------
    >>> texts = ["the cat sat on the mat and looked at the dog in the yard"] * 2
    >>> texts[1] = texts[1].replace("yard", "garden")
    >>> NearDuplicates(ngrams=3).fit([*texts, "a dog"]).keep_.tolist()
    [True, False, True]
    """

    duplicate_kind: ClassVar[str] = "near"

    def __init__(
        self,
        *,
        threshold: float = 0.75,
        ngrams: int = 5,
        bands: int = 14,
        rows: int = 8,
        random_state: int = 0,
    ) -> None:
        self.threshold = threshold
        self.ngrams = ngrams
        self.bands = bands
        self.rows = rows
        self.random_state = random_state

    def _keepers(self, inputs: Inputs, order: Rows) -> tuple[Rows, Floats, dict[str, Any]]:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"threshold is {self.threshold!r}; pass a number in (0, 1].")
        for name in ("ngrams", "bands", "rows"):
            check_whole(name, getattr(self, name))
        found = shingles(inputs.texts(), self.ngrams)
        buckets = _buckets(found, self.bands, self.rows, self.random_state)
        keeper, similarity, compared = _stars(
            found.indptr, found.values, buckets, order, self.threshold, _COMPARED
        )
        return keeper, similarity, {"compared": int(compared), "shingles": len(found.values)}


def _buckets(found: Shingles, bands: int, rows: int, seed: int) -> NDArray[np.int32]:
    """Return int32[bands, texts]: texts whose band is the same share a number; -1 stands alone."""
    n = len(found.indptr) - 1
    empty = np.diff(found.indptr) == 0
    out = np.empty((bands, n), dtype=np.int32)
    signature = signatures(found, bands * rows, seed)
    for band in range(bands):
        key = _band_keys(signature, band * rows, rows)
        order = np.argsort(key, kind="stable")
        new = np.diff(key[order], prepend=key[order[:1]]) != 0
        number = np.cumsum(new)
        size = np.bincount(number, minlength=1)
        out[band, order] = np.where(size[number] > 1, number, -1)
        out[band, empty] = -1
    return out


@njit(cache=True, nogil=True)
def _band_keys(signature: Any, first: int, rows: int) -> Any:  # pragma: no cover
    """Return a 64-bit hash of one band of every signature."""
    odd = np.uint64(0x9E3779B97F4A7C15)
    out = np.empty(len(signature), dtype=np.uint64)
    for text in range(len(signature)):
        h = np.uint64(0)
        for place in range(first, first + rows):
            h = (h ^ np.uint64(signature[text, place])) * odd
            h ^= h >> np.uint64(32)
        out[text] = h
    return out


@njit(cache=True, nogil=True)
def _stars(  # pragma: no cover
    indptr: Any, values: Any, buckets: Any, order: Any, threshold: float, limit: int
) -> Any:
    """Let each row become a keeper unless an earlier one is near; then join the nearest keepers."""
    bands, n = buckets.shape
    head = np.full((bands, n), -1, dtype=np.int32)
    after = np.full((bands, n), -1, dtype=np.int32)
    seen = np.full(n, -1, dtype=np.int32)
    keeper = np.arange(n)
    similarity = np.ones(n)
    compared = 0
    for turn in range(2 * n):
        # the second time round, the rows that were left out choose among all keepers
        row = order[turn % n]
        if turn == n:
            seen[:] = -1
        if turn >= n and keeper[row] == row:
            continue
        best, which = 0.0, -1
        size = indptr[row + 1] - indptr[row]
        for band in range(bands):
            bucket = buckets[band, row]
            other = head[band, bucket] if bucket >= 0 else -1
            steps = 0
            while other >= 0 and steps < limit:
                steps += 1
                if seen[other] != row:
                    seen[other] = row
                    length = indptr[other + 1] - indptr[other]
                    if min(size, length) >= threshold * max(size, length):
                        compared += 1
                        likeness = jaccard(
                            values, indptr[row], indptr[row + 1], indptr[other], indptr[other + 1]
                        )
                        if likeness > best or (likeness == best and other < which):
                            best, which = likeness, other
                other = after[band, other]
        if which >= 0 and best >= threshold:
            keeper[row] = which
            similarity[row] = best
            continue
        # a bucket that is full may hide the keeper of the first time
        if turn >= n:
            continue
        for band in range(bands):
            bucket = buckets[band, row]
            if bucket >= 0:
                after[band, row] = head[band, bucket]
                head[band, bucket] = row
    return keeper, similarity, compared
