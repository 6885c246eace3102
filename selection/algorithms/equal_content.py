"""Rows with equal content: normalized texts, codes of hashes, the first row of each code."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.contract.inputs import Rows


def first_of_each(codes: NDArray[Any], order: Rows) -> Rows:
    """Return for every row the first row in `order` with its code; negative codes match nothing."""
    keeper = np.arange(len(codes))
    coded = order[codes[order] >= 0]
    _, first, inverse = np.unique(codes[coded], return_index=True, return_inverse=True)
    keeper[coded] = coded[first][inverse]
    return keeper


def content_codes(hashes: NDArray[np.uint64]) -> Rows:
    """Return one number per row, equal where the 128-bit hashes are."""
    by_hash = np.lexsort((hashes[:, 1], hashes[:, 0]))
    new = np.any(np.diff(hashes[by_hash], axis=0, prepend=hashes[by_hash[:1]]), axis=1)
    codes = np.empty(len(hashes), dtype=np.int64)
    codes[by_hash] = np.cumsum(new)
    return codes


def normalized(texts: pl.Series) -> pl.Series:
    """Return texts in NFKC, lower case, with single spaces and none at the ends."""
    folded = texts.str.normalize("NFKC").str.to_lowercase()
    return folded.str.replace_all(r"\s+", " ").str.strip_chars()
