"""JMI and CMIM by their definition, column by column; shadow columns on a set with a known truth."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from assay.selection import CMIM, ECFS, JMI, LaplacianScore
from assay.selection.rankers.jmi import _binned
from assay.storage.errors import ConfigError
from tests.data import shared
from tests.selection.feature_sets import load


def greedy(codes: np.ndarray, y: np.ndarray, criterion: str) -> list[int]:
    """Return the order by the criterion's definition, from scikit-learn's mutual information."""

    def joint(a: np.ndarray, b: np.ndarray) -> float:
        return float(mutual_info_score(y, a.astype(int) * 1000 + b))

    d = len(codes)
    alone = np.array([mutual_info_score(y, column) for column in codes])
    order = [int(alone.round(10).argmax())]
    while len(order) < d:
        worth = np.full(d, -np.inf)
        for j in set(range(d)) - set(order):
            with_each = [joint(codes[j], codes[s]) for s in order]
            if criterion == "jmi":
                worth[j] = sum(with_each)
            else:
                worth[j] = min(both - alone[s] for both, s in zip(with_each, order, strict=True))
        order.append(int(worth.round(10).argmax()))
    return order


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("make", "criterion"), [(JMI, "jmi"), (CMIM, "cmim")])
def test_the_order_is_that_of_the_definition(make: type, criterion: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, 120)
    X = rng.normal(size=(120, 9)) + y[:, None] * rng.uniform(0, 1, 9)
    X[:, 3] = X[:, 0] + 0.1 * rng.normal(size=120)
    X[:, 5] = rng.poisson(0.4, 120)
    ranker = make().fit(X, y)
    order = np.argsort(ranker.ranking_).tolist()
    assert order == greedy(_binned(X, None, 5), y, criterion)


def test_bins_hold_equally_many_rows_and_sparse_counts_are_told_from_zero() -> None:
    X = np.column_stack([np.arange(100.0), np.repeat([0.0, 1.0, 7.0], [85, 10, 5])])
    codes = _binned(X, None, 5)
    assert np.bincount(codes[0]).tolist() == [20] * 5
    assert (codes[1] > 0).tolist() == (X[:, 1] > 0).tolist()
    swapped = _binned(np.exp(X / 50), None, 5)
    np.testing.assert_array_equal(codes, swapped)


def test_an_exclusive_or_is_found_and_a_copy_adds_nothing() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2, (2, 400))
    noise = rng.normal(size=(400, 6))
    y = (a ^ b) + 2 * (noise[:, 0] > 0)
    X = np.column_stack([noise[:, 0], noise[:, 0], a, b, noise[:, 1:]])
    for make in (JMI, CMIM):
        order = np.argsort(make(n_features_to_select=4).fit(X, y).ranking_)
        assert order[0] == 0
    cmim = np.argsort(CMIM().fit(X, y).ranking_)
    assert cmim.tolist().index(1) > 2


def test_relevance_is_mutual_information_and_constant_columns_come_last() -> None:
    y = np.array([0, 1, 2, 0] * 10)
    X = np.column_stack([np.ones(40), y, np.arange(40) % 2])
    ranker = JMI(discrete_features=[1]).fit(X, y)
    assert ranker.relevance_[1] == pytest.approx(entropy([0.5, 0.25, 0.25]))
    assert ranker.ranking_[0] == 3
    assert ranker.scores_[0] == 0
    with pytest.raises(ConfigError, match="n_bins"):
        JMI(n_bins=1).fit(X, y)


def test_shadows_confirm_what_tells_something() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 300)
    X = rng.normal(size=(300, 12))
    X[:, :3] += y[:, None]
    ranker = JMI(n_features_to_select="shadow").fit(X, y)
    assert ranker.confirmed_[:3].all()
    assert ranker.n_features_ == ranker.confirmed_.sum() <= 4
    np.testing.assert_array_equal(ranker.get_support(), ranker.confirmed_)
    order = rng.permutation(12)
    moved = ECFS(n_features_to_select="shadow").fit(X[:, order], y)
    np.testing.assert_array_equal(moved.confirmed_, ranker.confirmed_[order])
    with pytest.raises(ConfigError, match="no labels"):
        LaplacianScore(n_features_to_select="shadow").fit(X)


@pytest.mark.slow
def test_the_true_columns_of_madelon_are_confirmed() -> None:
    X, y = load("madelon")
    truth = pl.read_parquet(shared("featsel/madelon_truth.parquet"))
    relevant = truth.select(pl.col(pl.Boolean)).to_series().to_numpy()
    confirmed = JMI(n_features_to_select="shadow").fit(X, y).confirmed_
    assert (confirmed & relevant).sum() >= 18
    assert (confirmed & ~relevant).sum() <= 1
