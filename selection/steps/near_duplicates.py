"""Near duplicates: of texts by MinHash-LSH and exact Jaccard similarity, of images by their hashes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assay.index.embedding.likeness import BITS
from assay.selection.algorithms.equal_content import content_codes, first_of_each
from assay.selection.algorithms.hash_stars import hash_stars
from assay.selection.algorithms.minhash import (
    MOST_PERMUTATIONS,
    MOST_WORDS,
    Shingles,
    jaccard,
    shingles,
    signatures,
)
from assay.selection.contract.inputs import Floats, Inputs, Rows
from assay.selection.steps.deduplication import Deduplicator
from assay.storage.compiling import njit
from assay.storage.errors import ConfigError
from assay.storage.limits import SEED, Limits, Number, Whole

# keepers of one bucket that a row is compared with: bounds the work for boilerplate
_COMPARED = 64
# most that the mean colors of the quarters of like pictures differ, of 255
_COLORS_APART = 32
# least probability with which a pair right at the threshold is found
_FOUND = 0.97


@dataclass(kw_only=True, eq=False, repr=False)
class NearDuplicates(Deduplicator):
    r"""Texts that share most of their runs of words with an earlier keeper; images that look like one.

    X holds texts, or images as the bytes of their files.

    *Texts.* The Jaccard similarity of two texts is that of their sets of shingles (runs of `ngrams` words).
    Texts with equal sets are caught first. The others are compared where they agree in all values
    of one band of their MinHash signatures: a pair of similarity J is found with probability

    .. math:: P(J) = 1 - (1 - J^{rows})^{bands}

    and counts if J is at least `threshold`. Bands and rows follow the threshold: the most rows,
    and thus the fewest comparisons, with which a pair right at the threshold is found with a
    probability of .97 or more from at most `permutations` values.

    =========  ====  =====  ============  ========================
    threshold  rows  bands  P(threshold)  P(threshold - 0.2)
    =========  ====  =====  ============  ========================
    0.3        2     64     0.998         0.474
    0.4        2     64     1.000         0.927
    0.5        3     42     0.996         0.683
    0.6        4     32     0.988         0.564
    0.7        5     25     0.990         0.548
    0.75       6     21     0.984         0.445
    0.8        7     18     0.986         0.400
    0.9        11    11     0.984         0.197
    0.95       18    7      0.971         0.039
    1          128   1      1.000         0.000
    =========  ====  =====  ============  ========================

    *Images.* Their similarity is the share of equal bits of two perceptual hashes of 256 bits
    (`assay.index.embedding.likeness.likenesses`), of what remains of a picture that is encoded
    again, rescaled or slightly changed in brightness. A pair counts if it is at least
    `image_threshold`, and the mean colors of the pictures' quarters differ by at most 32 of 255 on
    average. Every such pair is found: hashes that differ in few bits agree in nearly all bits of one
    of several parts, by which they are looked up.

    Rows are gone through in order of their claim to be a keeper, and one becomes a keeper unless it
    is a duplicate of an earlier one; the others belong to the most similar of all keepers found. So
    groups are stars.

    Parameters
    ----------
    threshold : float in (0, 1], default 0.75
        Least Jaccard similarity of duplicates.
    ngrams : int, default 5
        Words in a shingle. Fewer find looser likeness, and more of it by chance.
    permutations : int, default 128
        Most values of a signature that bands and rows are chosen from. More find the same pairs
        with fewer comparisons, at a greater cost for each shingle.
    bands, rows : int, optional
        Bands of the signature, and values in each; give both or neither (default: as above).
    random_state : int, default 0
        Of the signature's hashes.
    image_threshold : float in (0, 1], default 0.8
        Least share of equal bits of images that are duplicates.

    Attributes
    ----------
    keep_, keeper_, similarity_, report_
        See `Deduplicator`; a text without words is nobody's duplicate. `report_` adds `bands`,
        `rows`, `compared` (pairs whose similarity was computed) and `shingles`; of images
        `compared`, and `undecoded` (files that are no image, which are nobody's duplicates).

    Raises
    ------
    MissingInputError
        No texts or images were given.

    Notes
    -----
    Time O(shingles * bands * rows), in which a row is compared with at most 64 keepers per band;
    memory 4 bytes per shingle and 4 * bands * (rows + 2) bytes per text. The limit of 64 costs
    pairs only where more than 64 keepers agree in a band and none of them is a duplicate: texts
    that are mostly the same boilerplate.

    Images are decoded one by one; memory is about 150 bytes per image. They are compared with
    keepers only, so that large groups are cheap. Of the 279 pairs
    of CIFAR-10 pictures that people judged near duplicates, .36 are found at 0.8, and .94 of the rows
    left out are of such a pair; the others are crops or other shots of one scene, which
    semantic_duplicates may find by their vectors. Pictures almost without contrast are found only
    where they are nearly equal.

    Claims
    ------
    paper
        Deduplicated training data is emitted from memory ten times less often; MinHash finds the
        near copies.
    here
        MinHash with bands chosen for the threshold, pairs checked exactly.
    deviates
        Stars round keepers, not connected components; images by a perceptual hash.
    measured
        Recall .97 and more at the threshold by construction; 11.6 times as fast as datasketch
        (`judging.md`).

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

    limits: ClassVar[Limits] = {
        "threshold": (Number("(0, 1]"),),
        "ngrams": (Whole(1, MOST_WORDS),),
        "permutations": (Whole(1, MOST_PERMUTATIONS),),
        "bands": (Whole(1), None),
        "rows": (Whole(1), None),
        "random_state": SEED,
        "image_threshold": (Number("(0, 1]"),),
    }

    threshold: float = 0.75
    ngrams: int = 5
    permutations: int = 128
    bands: int | None = None
    rows: int | None = None
    random_state: int = 0
    image_threshold: float = 0.8

    def _keepers(self, inputs: Inputs, order: Rows) -> tuple[Rows, Floats, dict[str, Any]]:
        if (self.bands is None) != (self.rows is None):
            raise ConfigError("Pass both bands and rows, or neither: they follow the threshold.")
        if self.bands is None or self.rows is None:
            bands, rows = banding(self.threshold, self.permutations)
        else:
            bands, rows = int(self.bands), int(self.rows)
        if inputs.holds_images:
            return self._like_pictures(inputs, order)
        texts = shingles(inputs.texts(), self.ngrams)
        # one text stands for all that have its shingles: copies can't crowd a bucket
        first = first_of_each(set_codes(texts), order)
        single = first == np.arange(inputs.n)
        buckets = bucketed(texts, single, bands, rows, self.random_state)
        keeper, similarity, compared = _stars(
            texts.indptr, texts.values, buckets, order[single[order]], self.threshold, _COMPARED
        )
        similarity[~single] = similarity[first[~single]]
        report = {"bands": bands, "rows": rows, "compared": int(compared)}
        return keeper[first], similarity, {**report, "shingles": len(texts.values)}

    def _like_pictures(self, inputs: Inputs, order: Rows) -> tuple[Rows, Floats, dict[str, Any]]:
        hashes, colors, decoded = inputs.likenesses()
        looks = np.column_stack([hashes.view(np.uint8), colors])
        _, codes = np.unique(looks, axis=0, return_inverse=True)
        # one picture stands for all that look the same to the bit
        first = first_of_each(np.where(decoded, codes.ravel(), -1), order)
        single = decoded & (first == np.arange(inputs.n))
        most = int((1 - self.image_threshold) * BITS + 1e-9)
        keeper, apart, compared = hash_stars(
            hashes, colors, order[single[order]], most, _COLORS_APART
        )
        similarity = 1 - apart[first] / BITS
        return keeper[first], similarity, {"compared": compared, "undecoded": int((~decoded).sum())}


def banding(threshold: float, permutations: int) -> tuple[int, int]:
    """Choose the bands and rows that find a pair at the threshold with a probability of .97.

    The most rows with as many bands as there is room for; one row in each band where no more are
    possible.

    Examples
    --------
    >>> banding(0.75, 128), banding(0.3, 128)
    ((21, 6), (64, 2))
    """
    for rows in range(permutations, 1, -1):
        bands = permutations // rows
        if (1 - threshold**rows) ** bands <= 1 - _FOUND:
            return bands, rows
    return permutations, 1


def set_codes(texts: Shingles) -> NDArray[np.int64]:
    """Return one number per text, equal where the sets of shingles are; -1 for an empty set."""
    sizes = np.diff(texts.indptr)
    hashes = _set_hashes(texts.indptr, texts.values)
    return np.where(sizes > 0, content_codes(hashes), -1)


@njit(cache=True, nogil=True)
def _set_hashes(indptr: Any, values: Any) -> Any:  # pragma: no cover
    """Return a 128-bit hash of each text's shingles."""
    odd = np.uint64(0x9E3779B97F4A7C15)
    other = np.uint64(0xC2B2AE3D27D4EB4F)
    out = np.zeros((len(indptr) - 1, 2), dtype=np.uint64)
    for text in range(len(out)):
        low, high = np.uint64(0), np.uint64(1)
        for place in range(indptr[text], indptr[text + 1]):
            low = (low ^ np.uint64(values[place])) * odd
            low ^= low >> np.uint64(32)
            high = (high ^ np.uint64(values[place])) * other
            high ^= high >> np.uint64(29)
        out[text, 0], out[text, 1] = low, high
    return out


def bucketed(
    texts: Shingles, single: NDArray[np.bool_], bands: int, rows: int, seed: int
) -> NDArray[np.int32]:
    """Return int32[bands, texts]: texts whose band is the same share a number; -1 stands alone.

    Only texts of the mask `single` that have shingles are put in buckets.
    """
    chosen = np.flatnonzero(single & (np.diff(texts.indptr) > 0))
    out = np.full((bands, len(single)), -1, dtype=np.int32)
    signature = signatures(texts, bands * rows, seed)[chosen]
    for band in range(bands):
        key = band_keys(signature, band * rows, rows)
        order = np.argsort(key, kind="stable")
        new = np.diff(key[order], prepend=key[order[:1]]) != 0
        number = np.cumsum(new)
        size = np.bincount(number, minlength=1)
        out[band, chosen[order]] = np.where(size[number] > 1, number, -1)
    return out


@njit(cache=True, nogil=True)
def band_keys(signature: Any, first: int, rows: int) -> Any:  # pragma: no cover
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
    count = len(order)
    head = np.full((bands, n), -1, dtype=np.int32)
    after = np.full((bands, n), -1, dtype=np.int32)
    seen = np.full(n, -1, dtype=np.int32)
    keeper = np.arange(n)
    similarity = np.ones(n)
    compared = 0
    for turn in range(2 * count):
        # the second time round, the rows that were left out choose among all keepers
        row = order[turn % count]
        if turn == count:
            seen[:] = -1
        if turn >= count and keeper[row] == row:
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
        if turn >= count:
            continue
        for band in range(bands):
            bucket = buckets[band, row]
            if bucket >= 0:
                after[band, row] = head[band, bucket]
                head[band, bucket] = row
    return keeper, similarity, compared
