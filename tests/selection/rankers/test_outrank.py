"""OutRank: its formula row by row, the adjusted mutual information, 3MR, pairs, anomalies."""

from __future__ import annotations

from collections import Counter
from math import log

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information
from sklearn.utils.estimator_checks import parametrize_with_checks

from assay.selection import OutRank
from assay.selection.rankers.chance_information import CorrectedInformation
from assay.selection.rankers.outrank import _quantile_bins
from assay.selection.tables.quality import column_quality
from assay.storage.errors import ConfigError, InputError
from tests.data import shared
from tests.selection.feature_sets import load


def _entropy(labels):
    return -sum(c / len(labels) * log(c / len(labels)) for c in Counter(labels).values())


def _shifted(x, y):
    """The authors' score: entropy of shifted labels less that of the labels, level by level."""
    n, score = len(x), 0.0
    for value, count in Counter(x).items():
        rows = [i for i in range(n) if x[i] == value]
        if count == 1:
            continue
        spoofed = [y[(i + count) % n] for i in rows]
        score += count / n * (_entropy(spoofed) - _entropy([y[i] for i in rows]))
    return score


def _adjusted(x, y):
    table = contingency_matrix(y, x, sparse=True)
    return mutual_info_score(x, y) - expected_mutual_information(table, len(x))


def _sample(n=120, d=8, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    return rng.standard_normal((n, d)) + rng.random((classes, d))[y], y


@parametrize_with_checks([OutRank(), OutRank(search="3mr"), OutRank(interaction_order=2)])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@settings(max_examples=80, deadline=None)
@given(st.integers(2, 60), st.integers(1, 70), st.integers(1, 5), st.integers(0, 10**6))
def test_information_is_that_of_the_formula(n, levels, classes, seed):
    rng = np.random.default_rng(seed)
    columns = rng.integers(0, levels, (3, n))
    y = np.unique(rng.integers(0, classes, n), return_inverse=True)[1]
    shifted = [_shifted(x.tolist(), y.tolist()) for x in columns]
    np.testing.assert_allclose(CorrectedInformation(y, "shift").of(columns), shifted, atol=1e-12)
    adjusted = [_adjusted(x, y) for x in columns]
    found = CorrectedInformation(y).of(columns)
    np.testing.assert_allclose(found, adjusted, atol=1e-11)
    # symmetric, and the mean of what shuffled labels give
    backward = CorrectedInformation(np.unique(columns[0], return_inverse=True)[1]).of(y[None])
    assert backward[0] == pytest.approx(found[0], abs=1e-11)


def test_expected_entropies_of_many_rows():
    rng = np.random.default_rng(0)
    y = (rng.random(40_000) < 0.03).astype(np.int64)
    columns = rng.integers(0, [[3], [700], [30_000]], (3, 40_000))
    adjusted = [_adjusted(x, y) for x in columns]
    np.testing.assert_allclose(CorrectedInformation(y).of(columns), adjusted, atol=1e-10)


def test_blocks_do_not_change_anything(monkeypatch):
    X, y = _sample(d=30)
    whole = OutRank().fit(X, y).scores_
    monkeypatch.setattr("assay.selection.rankers.outrank.BLOCK_CELLS", 500)
    monkeypatch.setattr("assay.selection.rankers.chance_information.BLOCK_CELLS", 100)
    np.testing.assert_array_equal(OutRank().fit(X, y).scores_, whole)


def test_many_levels_earn_nothing():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 600)
    X = np.column_stack(
        [np.arange(600), rng.integers(0, 200, 600), np.where(rng.random(600) < 0.2, 1 - y, y)]
    )
    ranker = OutRank(discrete_features=[0, 1, 2]).fit(X, y)
    assert ranker.ranking_[2] == 1
    assert ranker.scores_[0] == 0.0
    assert abs(ranker.scores_[1]) < 0.05
    assert mutual_info_score(X[:, 1], y) > 0.1  # what plain mutual information makes of noise


def test_bins_hold_equally_many_rows_and_keep_equal_values_together():
    X = np.column_stack([np.exp(np.arange(40.0)), np.arange(40) == 0, np.arange(40) < 39])
    continuous, rare_one, rare_zero = _quantile_bins(X, slice(None), 8)
    assert np.bincount(continuous).tolist() == [5] * 8
    assert len(set(rare_one)) == len(set(rare_zero)) == 2


@pytest.mark.parametrize("search", ["relevance", "3mr"])
def test_order_of_rows_and_columns(search):
    X, y = _sample(n=200, d=20, classes=3)
    X[:, 3] = X[:, 7]
    ranker = OutRank(5, search=search).fit(X, y)
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(len(X)), rng.permutation(X.shape[1])
    np.testing.assert_array_equal(
        OutRank(5, search=search).fit(X[rows], y[rows]).scores_, ranker.scores_
    )
    if search == "relevance":
        permuted = OutRank(5).fit(X[:, columns], y).scores_
        np.testing.assert_array_equal(permuted, ranker.scores_[columns])
        assert ranker.ranking_[7] == ranker.ranking_[3] + 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 4))
def test_columns_may_come_in_any_order(seed, classes):
    X, y = _sample(n=60, d=7, classes=classes, seed=seed)
    order = np.random.default_rng(seed).permutation(7)
    # the greedy 3MR search breaks ties by the order of the columns
    for options in ({}, {"interaction_order": 2}):
        found = OutRank(3, **options).fit(X, y).scores_[order]
        np.testing.assert_allclose(OutRank(3, **options).fit(X[:, order], y).scores_, found)


def test_monotone_changes_of_a_column_do_not_matter():
    X, y = _sample()
    np.testing.assert_array_equal(OutRank().fit(np.exp(X), y).scores_, OutRank().fit(X, y).scores_)


@pytest.mark.parametrize("aggregate", ["median", "mean", "sum"])
def test_the_search_is_that_of_its_formula(aggregate):
    rng = np.random.default_rng(3)
    y = rng.integers(0, 3, 150)
    X = (rng.integers(0, 4, (150, 7)) + y[:, None] * rng.integers(0, 2, 7)).astype(float)
    X[:, 4] = X[:, 2]
    agg = {"median": np.median, "mean": np.mean, "sum": np.sum}[aggregate]
    chosen = [int(np.argmax([_adjusted(x, y) for x in X.T]))]
    while len(chosen) < 5:
        value = np.full(7, -np.inf)
        for j in set(range(7)) - set(chosen):
            redundancy = [_adjusted(X[:, j], X[:, s]) for s in chosen]
            relation = [_adjusted(X[:, j] * 100 + X[:, s], y) for s in chosen]
            value[j] = _adjusted(X[:, j], y) - 0.7 * agg(redundancy) + 0.4 * agg(relation)
        chosen.append(int(value.argmax()))
    ranker = OutRank(
        5, search="3mr", alpha=0.7, beta=0.4, aggregate=aggregate, discrete_features=np.arange(7)
    ).fit(X, y)
    assert np.argsort(ranker.ranking_)[:5].tolist() == chosen
    assert ranker.scores_[chosen].tolist() == [2.0, 1.8, 1.6, 1.4, 1.2]
    assert (ranker.scores_[~ranker.get_support()] < 1).all()


def test_a_copy_is_redundant():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    X = np.column_stack([y >> 1, y >> 1, y & 1, rng.integers(0, 2, 400)]) ^ (
        rng.random((400, 4)) < [0.05, 0.05, 0.15, 0]
    )
    X[:, 1] = X[:, 0]
    assert OutRank().fit(X, y).ranking_.tolist() == [1, 2, 3, 4]
    assert OutRank(2, search="3mr").fit(X, y).get_support().tolist() == [True, False, True, False]


def test_the_bound_on_pairs_holds():
    X, y = _sample(d=30)
    ranker = OutRank(20, search="3mr", max_pairs=30).fit(X, y)
    assert (ranker.scores_ > 1).sum() == 5
    assert sorted(ranker.ranking_) == list(range(1, 31))
    assert (ranker.scores_ < 0).sum() >= 24  # never looked at
    pairs = OutRank(interaction_order=2, max_pairs=30).fit(X, y).interactions_
    assert pairs.height == 28  # of 8 columns
    assert OutRank(interaction_order=2, max_pairs=1).fit(X, y).interactions_.height == 1


def test_columns_that_tell_something_only_together_are_found():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (400, 9))
    y = X[:, 2] ^ X[:, 6]
    ranker = OutRank(2, interaction_order=2).fit(X, y)
    assert ranker.get_support(indices=True).tolist() == [2, 6]
    assert ranker.interactions_.row(0)[:2] == (2, 6)
    assert ranker.interactions_["synergy"][0] == pytest.approx(log(2), abs=0.02)
    assert not {2, 6} <= set(OutRank(2).fit(X, y).get_support(indices=True))


def test_levels_of_many_values_in_pairs():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 50, (80, 3))
    y = rng.integers(0, 2, 80)
    ranker = OutRank(interaction_order=2, discrete_features=[0, 1, 2]).fit(X, y)
    for first, second, relevance, _ in ranker.interactions_.rows():
        assert relevance == pytest.approx(_adjusted(X[:, first] * 50 + X[:, second], y), abs=1e-12)


def test_constant_columns_come_last():
    X, y = _sample()
    X[:, [0, 5]] = 0.1
    for options in ({}, {"search": "3mr"}, {"interaction_order": 2}, {"mode": "shift"}):
        ranker = OutRank(**options).fit(X, y)
        assert ranker.ranking_[[0, 5]].tolist() == [7, 8]


def test_one_column_and_one_class():
    for options in ({}, {"search": "3mr"}, {"interaction_order": 2}):
        assert OutRank(**options).fit([[1.0], [2.0], [4.0]], [0, 1, 1]).ranking_.tolist() == [1]
        with pytest.raises(InputError, match="one class"):
            OutRank(**options).fit([[1.0], [2.0]], [3, 3])


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "random"},
        {"search": "forward"},
        {"interaction_order": 3},
        {"alpha": -1},
        {"beta": float("nan")},
        {"aggregate": "max"},
        {"max_pairs": 0},
        {"n_bins": 1},
        {"discrete_features": [9]},
    ],
)
def test_parameters_that_are_refused(options):
    (name,) = options
    with pytest.raises(ConfigError, match=name):
        OutRank(**options).fit(*_sample())


def test_informative_columns_of_madelon():
    X, y = load("madelon")
    truth = pl.read_parquet(shared("featsel/madelon_truth.parquet"))["informative"].to_numpy()
    assert truth[np.argsort(OutRank().fit(X, y).ranking_)[:10]].sum() >= 8


# anomalies


def test_anomalies_of_columns_are_told():
    n = 200
    frame = pl.DataFrame(
        {
            "id": [f"u{i}" for i in range(n)],
            "number": np.arange(n) / 7,
            "same": ["x"] * n,
            "rare": [0] * (n - 1) + [1],
            "gaps": [float("nan")] * 120 + [1.0, 2.0] * 40,
            "none": pl.Series([None] * n, dtype=pl.Int64),
            "lists": [[i] for i in range(n)],
            "fine": [i % 3 for i in range(n)],
        }
    )
    report = column_quality(frame)
    assert dict(zip(report["feature"], report["anomalies"].to_list(), strict=True)) == {
        "id": ["near-unique"],
        "number": [],
        "same": ["constant"],
        "rare": ["dominated"],
        "gaps": ["missing"],
        "none": ["missing", "empty"],
        "lists": [],
        "fine": [],
    }
    gaps = report.filter(pl.col("feature") == "gaps").row(0, named=True)
    assert (gaps["missing"], gaps["levels"], gaps["top_share"]) == (0.6, 2, 0.5)
    lax = column_quality(frame, near_unique=1.0, dominated=0.999, missing=0.7)
    assert lax["anomalies"].list.len().to_list() == [1, 0, 1, 0, 0, 2, 0, 0]


def test_anomalies_of_few_or_no_rows():
    assert column_quality({"a": [1, 2, 3]})["anomalies"].to_list() == [[]]
    empty = column_quality(pl.DataFrame({"a": pl.Series([], dtype=pl.String)}))
    assert empty["anomalies"].to_list() == [["empty"]]
    assert column_quality(pl.DataFrame()).height == 0
    with pytest.raises(ConfigError, match="dominated"):
        column_quality({"a": [1]}, dominated=0.0)


def test_anomalies_of_the_mushrooms():
    report = column_quality(pl.read_parquet(shared("tabular_mushroom.parquet")))
    told = dict(zip(report["feature"], report["anomalies"].to_list(), strict=True))
    assert [name for name, found in told.items() if "constant" in found] == ["veil_type"]
