"""ECFS and the base of feature rankers: dense oracle, the authors' rankings, edge cases."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_selection import f_classif
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from assay.selection import ECFS
from assay.selection.rankers import ecfs as eigenvector_centrality
from assay.selection.rankers.base import FeatureRanker
from assay.selection.rankers.ecfs import leading_eigenvector
from assay.storage.errors import BudgetError, ConfigError, InputError, NonFiniteError
from tests.data import reference, shared
from tests.selection.feature_sets import load


def _dense(relevance, deviation, alpha):
    K = np.outer(relevance, relevance)
    S = np.maximum.outer(deviation, deviation)
    A = sum(
        weight * (M - M.min()) / (M.max() - M.min())
        for weight, M in ((alpha, K), (1 - alpha, S))
        if M.max() > M.min()
    )
    return np.abs(np.linalg.eigh(A)[1][:, -1])


def _sample(n=90, d=8, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    return rng.standard_normal((n, d)) * rng.lognormal(size=d) + rng.random((classes, d))[y], y


@parametrize_with_checks([ECFS(), ECFS(relevance="fslib", normalize=False)])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


# the eigenvector


@settings(max_examples=80, deadline=None)
@given(
    st.integers(2, 40),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]),
    st.sampled_from(["even", "skewed", "ties", "star"]),
)
def test_leading_eigenvector_is_that_of_the_matrix(d, seed, alpha, shape):
    rng = np.random.default_rng(seed)
    u, s = rng.random(d), rng.random(d)
    if shape == "skewed":
        u, s = rng.lognormal(0, 2, d), rng.lognormal(0, 2, d)
    elif shape == "ties":
        u, s = rng.integers(0, 3, d) + 0.5, rng.integers(0, 3, d) + 0.5
        u[:2] = s[:2] = 1, 2
    elif shape == "star":
        s = np.append(1e-3 * s[1:], 1.0)
    found = leading_eigenvector(u, s, alpha)
    np.testing.assert_allclose(found, _dense(u, s, alpha), atol=1e-8)
    assert np.linalg.norm(found) == pytest.approx(1.0)
    order = rng.permutation(d)
    np.testing.assert_array_equal(leading_eigenvector(u[order], s[order], alpha), found[order])
    for i, j in zip(*np.nonzero(np.equal.outer(u, u) & np.equal.outer(s, s)), strict=True):
        assert found[i] == found[j]


def test_a_term_that_says_nothing_is_left_out():
    u, s, equal = np.array([1.0, 3, 2]), np.array([2.0, 5, 4]), np.ones(3)
    for alpha in (0.1, 0.9):
        np.testing.assert_allclose(leading_eigenvector(u, equal, alpha), _dense(u, equal, 1.0))
        np.testing.assert_allclose(leading_eigenvector(equal, s, alpha), _dense(equal, s, 0.0))
    for pair in ((equal, equal, 0.5), (equal, s, 1.0), (u, equal, 0.0)):
        np.testing.assert_allclose(leading_eigenvector(*pair), np.full(3, 3**-0.5))
    assert leading_eigenvector(np.array([0.3]), np.array([2.0]), 0.5).tolist() == [1.0]


def test_deviations_that_differ_by_rounding_only_are_equal():
    X, y = _sample(n=120, d=6)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in (np.float64, np.float32):
            ranker = ECFS(normalize=False).fit(Z.astype(kind), y)
            expected = ECFS(normalize=False, alpha=1.0).fit(Z, y)
            np.testing.assert_allclose(ranker.scores_, expected.scores_, rtol=1e-5)


def test_one_deviation_far_above_the_others_does_not_stall_the_iteration(monkeypatch):
    d = 100_000
    rng = np.random.default_rng(0)
    s = np.append(1e-6 * rng.random(d - 1), 1.0)
    monkeypatch.setattr(eigenvector_centrality, "MAX_ITERATIONS", 300)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        v = leading_eigenvector(rng.random(d), s, 0.0)
    # with s = (0, ..., 0, 1): lambda^2 = lambda + d - 1, entries 1 and 1 / lambda
    assert v[0] / v[-1] == pytest.approx(1 / (0.5 + np.sqrt(d - 0.75)), rel=1e-3)


def test_an_iteration_cut_short_warns(monkeypatch):
    monkeypatch.setattr(eigenvector_centrality, "MAX_ITERATIONS", 2)
    with pytest.warns(ConvergenceWarning, match="last of 2 steps"):
        ECFS().fit(*_sample())


# the authors' rankings


@pytest.mark.parametrize("alpha", [0.5, 0.2])
@pytest.mark.parametrize("name", ["colon", "madelon", "Prostate-GE"])
def test_the_authors_weights_and_order(name, alpha):
    X, y = load(name)
    stored = np.loadtxt(reference(f"{name}.ecfs0{alpha * 10:.0f}.csv"), delimiter=",", skiprows=1)
    weight = stored[:, 1] / np.linalg.norm(stored[:, 1])
    ranker = ECFS(alpha=alpha, relevance="fslib", normalize=False).fit(X, y)
    np.testing.assert_allclose(ranker.scores_, weight, rtol=0, atol=1e-10)
    in_our_order = weight[np.argsort(ranker.ranking_)]
    best_after = np.maximum.accumulate(in_our_order[::-1])[::-1]
    assert (best_after - in_our_order).max() <= 1e-9 * weight.max()
    descending = np.sort(weight)[::-1]
    for k in (10, 50, 100, 200):
        # the same k columns, but for columns whose weights are equal
        assert in_our_order[:k].min() == pytest.approx(descending[k - 1], rel=1e-12)


def test_the_parameters_take_part():
    X, y = _sample(d=30)
    fits = [
        ECFS(**options).fit(X, y).scores_
        for options in (
            {},
            {"alpha": 0.5},
            {"relevance": "fslib"},
            {"normalize": False},
            {"n_bins": 3},
            {"discrete_features": np.arange(X.shape[1])},
        )
    ]
    for i, scores in enumerate(fits):
        for other in fits[:i]:
            assert np.abs(scores - other).max() > 1e-6


# what a ranking must do


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("relevance", ["nmi", "fslib"])
def test_order_of_rows_and_columns(classes, relevance):
    X, y = _sample(n=200, d=30, classes=classes)
    X[:, 3] = X[:, 7]
    ranker = ECFS(relevance=relevance).fit(X, y)
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(len(X)), rng.permutation(X.shape[1])
    np.testing.assert_array_equal(
        ECFS(relevance=relevance).fit(X[rows], y[rows]).scores_, ranker.scores_
    )
    np.testing.assert_array_equal(
        ECFS(relevance=relevance).fit(X[:, columns], y).scores_, ranker.scores_[columns]
    )
    assert ranker.scores_[3] == ranker.scores_[7]
    assert ranker.ranking_[7] == ranker.ranking_[3] + 1
    assert sorted(ranker.ranking_) == list(range(1, 31))


def test_names_of_classes_do_not_matter():
    X, y = _sample(classes=3)
    ranker = ECFS().fit(X, y)
    named = ECFS().fit(X, np.array(["c", "a", "b"])[y])
    np.testing.assert_allclose(named.scores_, ranker.scores_, rtol=1e-12)
    assert named.classes_.tolist() == ["a", "b", "c"]


def test_the_default_does_not_depend_on_units():
    X, y = _sample()
    units = 2.0 ** np.arange(-4, 4)
    np.testing.assert_allclose(ECFS().fit(X * units + 8, y).scores_, ECFS().fit(X, y).scores_)
    raw = [ECFS(alpha=0.5, normalize=False).fit(Z, y).ranking_ for Z in (X, X * units)]
    assert (raw[0] != raw[1]).any()


def test_constant_columns_come_last_and_perfect_ones_first():
    X, y = _sample()
    X[:, [0, 5]] = 0.1
    X[:, 4] = y * 0.3
    for options in ({}, {"alpha": 0.0}, {"alpha": 1.0}, {"normalize": False, "alpha": 1.0}):
        ranker = ECFS(**options).fit(X, y)
        assert ranker.ranking_[[0, 5]].tolist() == [7, 8]
        if options.get("alpha") != 0.0:
            assert ranker.ranking_[4] == 1
        assert np.isfinite(ranker.scores_).all()
        assert ranker.scores_[0] == ranker.scores_.min()


def test_all_columns_constant():
    ranker = ECFS().fit(np.full((6, 3), 2.5), [0, 1, 0, 1, 1, 0])
    assert ranker.ranking_.tolist() == [1, 2, 3]
    assert ranker.get_support().tolist() == [True, False, False]


def test_one_column():
    ranker = ECFS().fit([[1.0], [2.0], [4.0]], [0, 1, 1])
    assert ranker.scores_.tolist() == [1.0]
    assert ranker.get_support().tolist() == [True]


def test_alpha_one_ranks_by_relevance_and_alpha_zero_by_spread():
    X, y = _sample()
    figures = eigenvector_centrality.column_relevance(X, y)
    relevance = figures.fisher / (1 + figures.fisher) + figures.mutual_information
    spread = figures.deviation / figures.span
    for alpha, expected in ((1.0, relevance), (0.0, spread)):
        order = np.argsort(ECFS(alpha=alpha).fit(X, y).ranking_)
        assert order.tolist() == np.argsort(-expected).tolist()


def test_integers_given_as_names_are_read_as_names():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    code = rng.permutation(40)[rng.integers(0, 20, 400) + 20 * y]  # the level tells the class
    X = np.column_stack([code, rng.standard_normal((400, 3)) + 1.5 * y[:, None]])
    assert ECFS().fit(X, y).ranking_[0] == 4
    for names in ([0], np.array([True, False, False, False])):
        assert ECFS(discrete_features=names).fit(X, y).ranking_[0] == 1


def test_the_matrix_is_never_built():
    X = np.random.default_rng(0).random((20, 200_000), dtype=np.float32)
    tracemalloc.start()
    ECFS().fit(X, np.arange(20) % 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * X.nbytes + 16e6  # a matrix would take 320 GB


def test_informative_columns_of_madelon_come_first():
    X, y = load("madelon")
    truth = pl.read_parquet(shared("featsel/madelon_truth.parquet"))["informative"].to_numpy()
    assert truth[np.argsort(ECFS().fit(X, y).ranking_)[:10]].sum() >= 9


def test_columns_kept_are_as_accurate_as_those_of_the_f_test_and_more_than_the_authors():
    gains = []
    for name in ("colon", "leukemia", "ALLAML", "Prostate-GE", "Yale", "warpPIE10P"):
        X, y = load(name)
        for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(X, y):
            authors = ECFS(alpha=0.5, relevance="fslib", normalize=False)
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                f = np.nan_to_num(f_classif(X[train], y[train])[0])
            accuracy = []
            for scores in (
                ECFS().fit(X[train], y[train]).scores_,
                f,
                authors.fit(X[train], y[train]).scores_,
            ):
                kept = np.argsort(-scores, kind="stable")[:50]
                model = make_pipeline(StandardScaler(), KNeighborsClassifier(5))
                accuracy.append(
                    model.fit(X[train][:, kept], y[train]).score(X[test][:, kept], y[test])
                )
            gains.append(100 * (accuracy[0] - np.array(accuracy[1:])))
    over_f_test, over_authors = np.mean(gains, axis=0)
    assert over_f_test >= -1.0
    assert over_authors >= 5.0


# input and parameters


@pytest.mark.parametrize(
    ("wanted", "kept"), [(None, 2), (1, 1), (4, 4), (0.5, 2), (0.99, 3), (1.0, 4), (0.01, 1)]
)
def test_number_of_columns_kept(wanted, kept):
    X, y = load_iris(return_X_y=True)
    ranker = ECFS(n_features_to_select=wanted).fit(X, y)
    assert ranker.transform(X).shape == (150, kept)
    assert set(ranker.ranking_[ranker.get_support()]) == set(range(1, kept + 1))


@pytest.mark.parametrize("wanted", [0, 5, -1, 1.5, 0.0, True, "all", float("nan")])
def test_number_of_columns_that_is_not_one(wanted):
    with pytest.raises(BudgetError, match=r"^n_features_to_select is .* pass a count"):
        ECFS(n_features_to_select=wanted).fit(*load_iris(return_X_y=True))


def test_number_of_columns_can_change_after_fitting():
    ranker = ECFS().fit(*load_iris(return_X_y=True))
    assert ranker.set_params(n_features_to_select=1).get_support().sum() == 1
    with pytest.raises(NotFittedError):
        clone(ranker).get_support()


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": -0.1},
        {"alpha": 1.1},
        {"alpha": float("nan")},
        {"alpha": "auto"},
        {"relevance": "mi"},
        {"n_bins": 1},
        {"n_bins": 2.5},
        {"discrete_features": [4]},
        {"discrete_features": [-1]},
        {"discrete_features": [True, False]},
        {"discrete_features": ["petal"]},
    ],
)
def test_parameters_that_are_refused(options):
    (name,) = options
    with pytest.raises(ConfigError, match=name):
        ECFS(**options).fit(*load_iris(return_X_y=True))


def test_frames_keep_their_names():
    X, y = _sample(d=4)
    frame = pl.DataFrame(X, schema=["a", "b", "c", "d"])
    ranker = ECFS(n_features_to_select=2).set_output(transform="polars").fit(frame, y)
    kept = ranker.get_feature_names_out().tolist()
    assert kept == [name for name, keep in zip("abcd", ranker.get_support(), strict=True) if keep]
    assert ranker.transform(frame).columns == kept


def test_columns_with_missing_or_infinite_values_are_named():
    X, y = _sample(d=4)
    X[3, 1], X[5, 3] = np.nan, np.inf
    with pytest.raises(NonFiniteError, match=r"Column b, d holds NaN, infinite"):
        ECFS(missing="raise").fit(pl.DataFrame(X, schema=["a", "b", "c", "d"]), y)
    with pytest.raises(NonFiniteError, match=r"Column 1, 3 holds"):
        ECFS(missing="raise").fit(X, y)
    with pytest.raises(NonFiniteError, match=r"Column 3 holds"):
        ECFS().fit(X, y)  # the median stands for NaN alone


def test_values_too_large_to_square_are_refused_and_others_are_not():
    X, y = _sample(d=3)
    X[:, 1] *= 1e148
    np.testing.assert_allclose(ECFS().fit(X, y).scores_, ECFS().fit(*_sample(d=3)).scores_)
    with pytest.raises(NonFiniteError, match="Column 1 holds"):
        ECFS().fit(X * 1e10, y)


def test_labels_that_are_refused():
    X, _ = _sample()
    with pytest.raises(InputError, match="one class, 7"):
        ECFS().fit(X, np.full(len(X), 7))
    with pytest.raises(ValueError, match="requires y"):
        ECFS().fit(X)
    with pytest.raises(InputError, match="continuous"):
        ECFS().fit(X, X[:, 0])


# the base of rankers


class _First(FeatureRanker):
    _uses_labels = False

    def __init__(self, scores, n_features_to_select=None):
        self.scores = scores
        self.n_features_to_select = n_features_to_select

    def _score(self, X, y):
        assert y is None
        return self.scores


def test_a_ranker_without_labels_and_with_ties():
    X = np.array([[1.0, 2, 3, 4, 5], [2, 2, 4, 5, 4], [0, 2, 9, 9, 9]])
    ranker = _First([1.0, 9.0, 3.0, 1.0, 3.0], n_features_to_select=3).fit(X)
    assert ranker.ranking_.tolist() == [3, 5, 1, 4, 2]
    assert ranker.get_support(indices=True).tolist() == [0, 2, 4]
    assert not hasattr(ranker, "classes_")
    ranker.fit(X, ["labels", "are", "ignored"])
