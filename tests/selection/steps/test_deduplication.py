"""Deduplication steps: star-shaped groups, keepers by priority, order of rows without effect."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assay.selection import ExactDuplicates
from assay.selection.algorithms.equal_content import first_of_each
from assay.storage.errors import InputError

TEXTS = ["b", "a  cat", None, "A cat ", "", "B", "\ufb01sh", "fish", "  "]  # \ufb01: one-letter fi


def test_groups_and_keepers() -> None:
    found = ExactDuplicates().fit(TEXTS, ids=list("ihgfedcba"))
    assert found.keep_.tolist() == [False, False, True, True, True, True, False, True, True]
    assert found.keeper_.tolist() == [5, 3, 2, 3, 4, 5, 7, 7, 8]
    assert found.report_ == {"rows": 9, "duplicates": 3, "groups": 3}
    frame = found.duplicates()
    assert frame.columns == ["group_id", "sample_id", "keeper", "similarity", "kind"]
    assert frame["group_id"].to_list() == ["b", "b", "d", "d", "f", "f"]
    assert frame["sample_id"].to_list() == ["b", "c", "d", "i", "f", "h"]


def test_without_normalization_only_equal_texts_are_duplicates() -> None:
    found = ExactDuplicates(normalise=False).fit([*TEXTS, "b"])
    assert np.flatnonzero(~found.keep_).tolist() == [9]


def test_priority_names_the_keeper() -> None:
    found = ExactDuplicates().fit(["x", "y", "x", "x"], priority=[3, 0, 1, 1])
    assert found.keeper_.tolist() == [2, 1, 2, 2]
    with pytest.raises(InputError, match="one number per row"):
        ExactDuplicates().fit(["x", "y"], priority=[1])


def test_vectors_are_compared_bit_by_bit() -> None:
    X = np.array([[1, 2], [1, 2.000001], [1, 2]], dtype=np.float32)
    assert ExactDuplicates().fit(X).keeper_.tolist() == [0, 1, 0]


def test_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    texts = pl.Series([f"text {i}" for i in rng.integers(0, 300, 1_000)])
    ids = pl.Series([f"{i:04}" for i in rng.permutation(1_000)])
    priority = rng.integers(0, 3, 1_000)
    order = rng.permutation(1_000)
    one = ExactDuplicates().fit(texts, ids=ids, priority=priority)
    two = ExactDuplicates().fit(texts[order], ids=ids[order], priority=priority[order])
    assert one.duplicates().equals(two.duplicates())
    assert (one.keep_[order] == two.keep_).all()
    assert one.keep_.sum() == texts.n_unique()
    kept = {t: (p, i) for t, p, i, k in zip(texts, priority, ids, one.keep_, strict=True) if k}
    for text, rank, name in zip(texts, priority, ids, strict=True):
        assert kept[text] <= (rank, name)


def test_rows_without_a_code_stand_alone() -> None:
    assert first_of_each(np.array([-1, 4, -1, 4]), np.array([3, 2, 1, 0])).tolist() == [0, 3, 2, 3]
