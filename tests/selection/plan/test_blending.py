"""Blends of scores, against scipy's ranks and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata, zscore

from assay.selection.plan.blending import blend_scores
from assay.selection.rankers.stability import consensus_ranking
from assay.storage.errors import ConfigError, NonFiniteError

RNG = np.random.default_rng(0)
SCORES = {name: RNG.normal(size=60) for name in "abc"}
TIED = {"a": np.array([1.0, 1.0, 2.0, 5.0]), "b": np.array([3.0, 2.0, 2.0, 2.0])}


def test_ranks() -> None:
    expected = (2 * (rankdata(TIED["a"]) - 1) - (rankdata(TIED["b"]) - 1)) / 3 / 3
    np.testing.assert_allclose(blend_scores(TIED, {"a": 2, "b": -1}), expected)


def test_z_scores_and_none() -> None:
    expected = (zscore(SCORES["a"]) + 3 * zscore(SCORES["b"])) / 4
    np.testing.assert_allclose(blend_scores(SCORES, {"a": 1, "b": 3}, method="z"), expected)
    plain = blend_scores(SCORES, {"a": 1, "c": 1}, method="none")
    np.testing.assert_allclose(plain, (SCORES["a"] + SCORES["c"]) / 2)
    constant = blend_scores({"a": np.ones(3), "b": np.arange(3.0)}, method="z")
    np.testing.assert_allclose(constant, zscore(np.arange(3.0)) / 2)


@pytest.mark.parametrize("method", ["rra", "median"])
def test_consensus_is_that_of_rankings_where_nothing_ties(method) -> None:
    ranks = [rankdata(-s).astype(int) for s in SCORES.values()]
    expected = consensus_ranking(ranks, method=method).scores
    np.testing.assert_allclose(blend_scores(SCORES, method=method), expected, atol=1e-12)


@pytest.mark.parametrize("method", ["rank", "z", "none", "rra", "median"])
def test_order_of_rows_does_not_matter(method) -> None:
    order = RNG.permutation(4)
    moved = blend_scores({k: v[order] for k, v in TIED.items()}, method=method)
    np.testing.assert_allclose(moved, blend_scores(TIED, method=method)[order])


def test_a_minority_cannot_move_the_median() -> None:
    odd = {**SCORES, "c": 1e9 * SCORES["c"], "a": SCORES["b"]}
    best = np.argmax(SCORES["b"])
    assert np.argmax(blend_scores(odd, method="median")) == best


def test_what_cannot_be_blended() -> None:
    with pytest.raises(ConfigError, match="there are: a, b"):
        blend_scores(TIED, {"z": 1})
    with pytest.raises(ConfigError, match="not all 0"):
        blend_scores(TIED, {"a": 0})
    with pytest.raises(ConfigError, match="method is 'mean'"):
        blend_scores(TIED, method="mean")  # type: ignore[arg-type]
    with pytest.raises(NonFiniteError, match="first in row 1"):
        blend_scores({"a": [1.0, np.nan]})
