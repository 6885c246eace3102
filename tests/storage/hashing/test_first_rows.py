"""The first rows by a key, against sorting all of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from assay.storage.hashing.rows import first_rows


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(0, 300),
    count=st.integers(0, 320),
    values=st.sampled_from([2, 10, 1_000_000]),
)
def test_first_rows_are_those_of_a_stable_sort(seed: int, n: int, count: int, values: int) -> None:
    keys = np.random.default_rng(seed).integers(values, size=n) / values
    expected = np.argsort(keys, kind="stable")[:count]
    np.testing.assert_array_equal(first_rows(keys, count), expected)
