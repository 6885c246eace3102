"""Numbers of codes, against NumPy's sorting."""

from __future__ import annotations

import numpy as np

from assay.selection.algorithms.numbering import first_in_row, numbered


def test_codes_are_numbered_as_they_are_met() -> None:
    """Codes that fall on one slot, and are as many as there are slots, stay apart."""
    rng = np.random.default_rng(0)
    for codes in (
        rng.integers(0, 50, 1_000),
        np.arange(1_000),
        np.arange(1_000) << 18,
        np.array([7]),
        np.array([], dtype=np.int64),
    ):
        numbers, count = numbered(codes.astype(np.int32))
        found, first, back = np.unique(codes, return_index=True, return_inverse=True)
        assert count == len(found)
        assert (numbers == np.argsort(np.argsort(first))[back]).all()


def test_a_word_counts_once_in_a_row() -> None:
    rng = np.random.default_rng(1)
    row = np.sort(rng.integers(0, 40, 500))
    words = rng.integers(0, 12, 500)
    once = first_in_row(words, row, 12)
    _, first = np.unique(row * 12 + words, return_index=True)
    assert np.flatnonzero(once).tolist() == sorted(first)
