"""Odd labels: all different, or numbers with fractions: a right result, or one clear line."""

from __future__ import annotations

import numpy as np
import pytest

from assay.selection import registry
from assay.storage.errors import InputError

RANKERS = [entry.name for entry in registry.entries("ranker")]
# these look at no labels
WITHOUT = {"inf_fs", "quick_selection", "laplacian"}
LARGEST = np.finfo(np.float64).max
N = 60


def table() -> np.ndarray:
    """Return N rows of five columns >= 0, the fourth constant."""
    X = np.abs(np.random.default_rng(0).normal(size=(N, 5)))
    X[:, 3] = 2
    return X


@pytest.mark.parametrize("name", RANKERS)
def test_labels_that_are_all_different(name: str) -> None:
    X, make = table(), registry.entry(name, "ranker").load()
    if name == "mutual_info_classif":
        with pytest.raises(InputError, match=f"All {N} labels are different") as refused:
            make().fit(X, np.arange(N))
        assert "\n" not in str(refused.value)
        return
    found = make().fit(X, [f"c{i:02}" for i in range(N)])
    assert np.isfinite(found.scores_).all()
    assert sorted(found.ranking_) == [1, 2, 3, 4, 5]
    assert found.ranking_[3] == 5
    np.testing.assert_array_equal(make().fit(X, np.arange(N)).scores_, found.scores_)
    others = np.delete(found.scores_, 3)
    if name in (
        "fisher",
        "f_classif",
    ):  # no class varies, so every column that does tells all apart
        assert others.tolist() == [LARGEST] * 4
    if name == "outrank":  # any column tells as much by chance
        assert np.abs(others).max() < 1e-9


@pytest.mark.parametrize("name", RANKERS)
def test_classes_that_are_numbers_with_fractions(name: str) -> None:
    X, make = table(), registry.entry(name, "ranker").load()
    y = np.where(X[:, 0] > np.median(X[:, 0]), 1.5, 0.5)
    expected = make().fit(X, np.where(y > 1, "b", "a"))
    np.testing.assert_array_equal(make().fit(X, y.astype(str)).scores_, expected.scores_)
    for kind in (np.float64, np.float32):
        if name in WITHOUT:
            np.testing.assert_array_equal(make().fit(X, y.astype(kind)).scores_, expected.scores_)
            continue
        with pytest.raises(InputError, match=r"pass them as text: y.astype\(str\)") as refused:
            make().fit(X, y.astype(kind))
        assert "\n" not in str(refused.value)
    # whole numbers of any type are classes
    np.testing.assert_array_equal(make().fit(X, y + 0.5).scores_, expected.scores_)


def test_the_row_of_neighbor_information_says_that_chance_is_not_taken_out() -> None:
    entry = registry.entry("mutual_info_classif", "ranker")
    assert "not corrected for chance" in entry.help
    assert not entry.in_consensus
    # what the row warns of: where classes are rare, coins get scores that the corrected one keeps at 0
    rng = np.random.default_rng(0)
    y = np.zeros(5000, dtype=int)
    y[:25] = 1
    coins = rng.integers(0, 2, (5000, 20)).astype(float)
    plain, corrected = (
        registry.entry(name, "ranker").load()().fit(coins, y).scores_
        for name in ("mutual_info_classif", "outrank")
    )
    assert np.median(plain) > 1e-4
    assert abs(np.median(corrected)) < 1e-3
