"""Exact duplicates: rows whose content is the same."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.contract.inputs import Floats, Inputs, Rows
from assay.selection.steps.deduplication import Deduplicator, first_of_each
from assay.storage.hashing.rows import hash_rows


class ExactDuplicates(Deduplicator):
    """Rows with the same content, by a 128-bit hash of it.

    Parameters
    ----------
    normalise : bool, default True
        Whether texts are compared without regard to case, to compatible forms of a letter (Unicode
        NFKC) and to white space. No effect on vectors, which are compared bit by bit.

    Attributes
    ----------
    keep_, keeper_, similarity_, report_
        See `Deduplicator`. Rows without content are nobody's duplicates.

    Notes
    -----
    O(n log n) time beside reading the content, O(n) memory.

    Examples
    --------
    >>> ExactDuplicates().fit(["A cat", "a  cat ", "a dog"]).keep_.tolist()
    [True, False, True]
    """

    needs: ClassVar[tuple[str, ...]] = ("texts",)
    kind: ClassVar[str] = "exact"

    def __init__(self, *, normalise: bool = True) -> None:
        self.normalise = normalise

    def _keepers(self, inputs: Inputs, order: Rows) -> tuple[Rows, Floats, dict[str, Any]]:
        if inputs.holds_vectors:
            hashes = hash_rows(inputs.vectors())
            there = np.ones(inputs.n, dtype=bool)
        else:
            texts = inputs.texts()
            if self.normalise:
                texts = normalised(texts)
            hashes = hash_rows(texts)
            there = (texts.is_not_null() & (texts != "")).fill_null(False).to_numpy()
        keeper = first_of_each(np.where(there, content_codes(hashes), -1), order)
        return keeper, np.ones(inputs.n), {}


def content_codes(hashes: NDArray[np.uint64]) -> Rows:
    """Return one number per row, equal where the 128-bit hashes are."""
    by_hash = np.lexsort((hashes[:, 1], hashes[:, 0]))
    new = np.any(np.diff(hashes[by_hash], axis=0, prepend=hashes[by_hash[:1]]), axis=1)
    codes = np.empty(len(hashes), dtype=np.int64)
    codes[by_hash] = np.cumsum(new)
    return codes


def normalised(texts: pl.Series) -> pl.Series:
    """Return texts in NFKC, lower case, with single spaces and none at the ends."""
    folded = texts.str.normalize("NFKC").str.to_lowercase()
    return folded.str.replace_all(r"\s+", " ").str.strip_chars()
