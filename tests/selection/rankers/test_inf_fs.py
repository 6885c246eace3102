"""InfFS: dense oracle, the authors' energies and cuts, invariances, the sampled form."""

from __future__ import annotations

import tracemalloc
import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from assay.selection import InfFS
from assay.selection.rankers import path_energy
from assay.selection.rankers.path_energy import Largest, cut_size, energies
from assay.selection.rankers.rank_correlation import AbsoluteSpearman
from assay.selection.tables.relevance import column_relevance
from assay.storage.errors import BudgetError, ConfigError, InputError
from tests.data import reference
from tests.selection.feature_sets import load

SCALINGS = ("authors", "paper", "2016")
THIRDS = (1 / 3, 1 / 3, 1 / 3)


def _sample(n=80, d=12, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % classes)
    return rng.standard_normal((n, d)) * rng.lognormal(size=d) + rng.random((classes, d))[y], y


def _spearman(X):
    ranks = rankdata(X, axis=0)
    ranks -= ranks.mean(axis=0)
    length = np.sqrt((ranks**2).sum(axis=0))
    ranks /= np.where(length > 0, length, 1.0)
    return np.abs(ranks.T @ ranks)


def _unit(values):
    return (values - values.min()) / (values.max() - values.min())


def _graph(X, y=None, alpha=0.5, scaling="authors"):
    """The matrix A as the docstring defines it."""
    S = _unit(np.maximum.outer(X.std(axis=0, ddof=1), X.std(axis=0, ddof=1)))
    if y is None:
        return alpha * S + (1 - alpha) * (1 - _spearman(X))
    figures = column_relevance(X, y, estimator="fslib")
    if scaling == "2016":
        return alpha * S + (1 - alpha) * _unit(np.outer(figures.fisher, figures.fisher))
    m, f = _unit(figures.mutual_information)[None, :], _unit(figures.fisher)[:, None]
    a1, a2, a3 = alpha if np.ndim(alpha) else (1 - alpha, alpha / 2, alpha / 2)
    return (a1 * (m + f) + a2 * (m + S) + a3 * (f + S)) / 2


def _dense(A, scaling):
    d = len(A)
    most, e = A.sum(axis=1).max(), 5e-6 * d
    r = (1 - e) / most
    if scaling == "authors":
        r /= most + e
    elif scaling == "2016":
        r = 0.99 / np.linalg.eigvals(A).real.max()
    return np.linalg.inv(np.eye(d) - r * A).sum(axis=1) - (scaling == "2016")


@parametrize_with_checks([InfFS(), InfFS(supervised=True), InfFS(scaling="2016")])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


# the operators


@settings(max_examples=60, deadline=None)
@given(arrays(float, st.tuples(st.integers(2, 9), st.integers(1, 9)), elements=st.integers(-2, 2)))
def test_the_operator_of_rank_correlations_is_the_matrix(X):
    spearman = AbsoluteSpearman(X)
    v = np.random.default_rng(0).random(X.shape[1])
    x = np.bincount(spearman.group, v, minlength=spearman.size)
    dense = _spearman(X) @ v
    np.testing.assert_allclose(spearman.times(x)[spearman.group], dense, atol=1e-12)
    every = np.arange(spearman.size)
    np.testing.assert_allclose(spearman.sums(every, every, x)[spearman.group], dense, atol=1e-12)
    for i, j in np.ndindex(2 * (X.shape[1],)):
        same = (rankdata(X[:, i]) == rankdata(X[:, j])).all()
        reversed_ = (rankdata(X[:, i]) == rankdata(-X[:, j])).all()
        assert (spearman.group[i] == spearman.group[j]) == (same or reversed_)


def test_tiles_add_up(monkeypatch):
    monkeypatch.setattr("assay.selection.rankers.rank_correlation.TILE", 7)
    X, _ = _sample(d=40)
    spearman = AbsoluteSpearman(X)
    v = np.random.default_rng(0).random(40)
    found = spearman.times(np.bincount(spearman.group, v, minlength=spearman.size))[spearman.group]
    np.testing.assert_allclose(found, _spearman(X) @ v, rtol=1e-13)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(0, 10**6))
def test_the_operator_of_largest_is_the_matrix(values, seed):
    s = np.sort(np.array(values, dtype=float))
    v = np.random.default_rng(seed).standard_normal(len(s))
    found = Largest(s).times(v)
    np.testing.assert_allclose(found, np.maximum.outer(s, s) @ v, atol=1e-12)
    assert (found[1:][np.diff(s) == 0] == found[:-1][np.diff(s) == 0]).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 25), st.integers(0, 10**6), st.sampled_from(SCALINGS), st.booleans())
def test_energies_are_row_sums_of_the_inverse(d, seed, scaling, symmetric):
    A = np.random.default_rng(seed).random((d, d))
    if symmetric or scaling == "2016":
        A += A.T
    np.testing.assert_allclose(
        energies(lambda v: A @ v, d, scaling), _dense(A, scaling), rtol=1e-9, atol=1e-12
    )


def test_energies_in_closed_form():
    # all pairs worth 1: R = d, and (I - r J)^-1 1 = 1 / (1 - r d)
    d = 10
    found = energies(lambda v: np.full(d, v.sum()), d, "paper")
    np.testing.assert_allclose(found, 1 / 5e-5, rtol=1e-9)
    found = energies(lambda v: np.full(d, v.sum()), d, "2016")
    np.testing.assert_allclose(found, 99.0, rtol=1e-9)
    assert energies(np.zeros_like, 3, "authors").tolist() == [1.0, 1.0, 1.0]
    assert energies(np.zeros_like, 3, "2016").tolist() == [0.0, 0.0, 0.0]


def test_an_iteration_cut_short_warns(monkeypatch):
    monkeypatch.setattr(path_energy, "MAX_STEPS", 2)
    with pytest.warns(ConvergenceWarning, match="last of 2 steps"):
        InfFS(scaling="paper").fit(_sample()[0])


# the scores


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, (0.2, 0.5, 0.9)])
def test_the_scores_are_those_of_the_matrix(alpha, scaling, classes):
    X, y = _sample(classes=classes)
    for labels in (None, y):
        if np.ndim(alpha) and (labels is None or scaling == "2016"):
            continue
        ranker = InfFS(supervised=labels is not None, alpha=alpha, scaling=scaling).fit(X, labels)
        expected = _dense(_graph(X, labels, alpha, scaling), scaling)
        np.testing.assert_allclose(ranker.scores_, expected, rtol=1e-9)
        assert (np.argsort(ranker.ranking_) == np.argsort(-expected, kind="stable")).all()


@pytest.mark.parametrize("form", ["inffs_u", "inffs_s", "inffs2016_u", "inffs2016_s"])
@pytest.mark.parametrize("name", ["colon", "madelon"])
def test_the_authors_energies_and_order(name, form):
    X, y = load(name)
    energy = np.loadtxt(reference(f"{name}.{form}.csv"), delimiter=",", skiprows=1)[:, 1]
    options = {"supervised": form.endswith("_s")}
    if "2016" in form:
        options["scaling"] = "2016"
    elif form == "inffs_s":
        options["alpha"] = THIRDS
    ranker = InfFS(**options).fit(X, y)
    np.testing.assert_allclose(ranker.scores_, energy, rtol=1e-11)
    in_our_order = energy[np.argsort(ranker.ranking_)]
    best_after = np.maximum.accumulate(in_our_order[::-1])[::-1]
    assert (best_after - in_our_order).max() <= 1e-12 * energy.max()
    descending = np.sort(energy)[::-1]
    for k in (10, 50, 100, 200):
        # the same k columns, but for columns whose energies are equal
        assert in_our_order[:k].min() == pytest.approx(descending[k - 1], rel=1e-13)
    if "2016" not in form:
        size = int(reference(f"{name}.{form}.subset.txt").read_text())
        assert ranker.set_params(cut="authors").get_support().sum() == size


def test_under_the_authors_scaling_infinity_adds_nothing():
    X, _ = load("colon")
    degree = _graph(X).sum(axis=1)
    in_our_order = degree[np.argsort(InfFS().fit(X).ranking_)]
    assert (np.maximum.accumulate(in_our_order[::-1])[::-1] - in_our_order).max() < 1e-6 * 2000
    paper = InfFS(scaling="paper").fit(X).scores_
    assert np.ptp(paper) / paper.mean() > 100 * np.ptp(InfFS().fit(X).scores_)


def test_equal_weights_are_an_alpha_of_two_thirds():
    X, y = _sample()
    found = [InfFS(supervised=True, alpha=a).fit(X, y).scores_ for a in (2 / 3, THIRDS)]
    np.testing.assert_allclose(*found, rtol=1e-14)


# what a ranking must do


@pytest.mark.parametrize("options", [{}, {"supervised": True}, {"approximate": True}])
def test_order_of_columns_and_copies(options):
    X, y = _sample(d=30, classes=3)
    X[:, 3] = X[:, 7]
    ranker = InfFS(2, **options).fit(X, y)
    columns = np.random.default_rng(1).permutation(30)
    np.testing.assert_array_equal(
        InfFS(2, **options).fit(X[:, columns], y).scores_, ranker.scores_[columns]
    )
    assert ranker.scores_[3] == ranker.scores_[7]
    assert ranker.ranking_[7] == ranker.ranking_[3] + 1
    rows = np.random.default_rng(2).permutation(len(X))
    np.testing.assert_allclose(
        InfFS(2, **options).fit(X[rows], y[rows]).scores_, ranker.scores_, rtol=1e-12
    )


def test_labels_are_ignored_unless_supervised_and_may_be_of_any_kind():
    X, y = _sample(classes=3)
    np.testing.assert_array_equal(InfFS().fit(X, y).scores_, InfFS().fit(X).scores_)
    named = InfFS(supervised=True).fit(X, np.array(["c", "a", "b"])[y])
    np.testing.assert_allclose(named.scores_, InfFS(supervised=True).fit(X, y).scores_, rtol=1e-12)
    assert named.classes_.tolist() == ["a", "b", "c"]
    with pytest.raises(InputError, match="one class"):
        InfFS(supervised=True).fit(X, np.zeros(len(X)))
    with pytest.raises(ValueError, match="requires y"):
        InfFS(supervised=True).fit(X)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("supervised", [True, False])
def test_degenerate_columns(supervised, scaling):
    ranker = InfFS(supervised=supervised, scaling=scaling)
    X, y = _sample()
    X[:, [0, 5]] = 0.1
    ranker.fit(X, y)
    assert ranker.ranking_[[0, 5]].tolist() == [11, 12]
    assert np.isfinite(ranker.scores_).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ranker.fit(np.full((6, 3), 2.5), [0, 1] * 3).ranking_.tolist() == [1, 2, 3]
        assert ranker.fit([[1.0], [2.0]], [0, 1]).ranking_.tolist() == [1]
        Z = (X[:, 1:5] - X[:, 1:5].mean(axis=0)) / X[:, 1:5].std(axis=0)
        assert np.isfinite(ranker.fit(Z, y).scores_).all()
        X[:, 4] = 3e140 * y  # perfect, and far beyond the others
        assert np.isfinite(ranker.fit(X, y).scores_).all()


def test_the_shrinkage_does_not_turn_the_ranking_round():
    d = 300_000
    s = np.linspace(0, 1, d)
    found = energies(Largest(s).times, d, "authors")
    assert (np.diff(found) >= 0).all()
    assert found[-1] > found[0] > 1


# sampled columns


def test_sampled_columns_keep_the_best(monkeypatch):
    monkeypatch.setattr("assay.selection.rankers.inf_fs.SAMPLED_COLUMNS", 256)
    X, _ = load("colon")
    exact = InfFS(50).fit(X)
    ranker = InfFS(50, approximate=True).fit(X)
    assert ranker.approximate_
    assert not exact.approximate_
    best = set(np.argsort(exact.ranking_)[:50])
    assert len(best & set(np.argsort(ranker.ranking_)[:50])) >= 48
    # the first 200 were computed exactly
    first = np.argsort(ranker.ranking_)
    np.testing.assert_allclose(
        ranker.scores_[first[:200]] - 1, exact.scores_[first[:200]] - 1, rtol=1e-4
    )
    assert (np.diff(exact.scores_[first[:200]]) < 1e-9).all()
    assert np.corrcoef(exact.scores_, ranker.scores_)[0, 1] > 0.99


def test_large_problems_are_sampled_where_they_may_be(monkeypatch):
    monkeypatch.setattr("assay.selection.rankers.inf_fs.EXACT_UP_TO", 100)
    X, y = _sample()
    assert InfFS().fit(X).approximate_
    assert not InfFS(approximate=False).fit(X).approximate_
    assert not InfFS(scaling="paper").fit(X).approximate_
    assert not InfFS(supervised=True).fit(X, y).approximate_


def test_the_matrix_is_never_built():
    X = np.random.default_rng(0).random((10, 100_000), dtype=np.float32)
    for options in ({"supervised": True}, {"approximate": True}):
        tracemalloc.start()
        InfFS(100, **options).fit(X, np.arange(10) % 2)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * X.nbytes + 300e6  # a matrix would take 80 GB


# the cut


@pytest.mark.parametrize("d", [1, 2, 3, 7, 20, 31])
def test_the_cut_counts_crowded_bins(d):
    scores = np.random.default_rng(d).lognormal(size=d)
    bins = max(d // 2, 1)
    edges = np.linspace(scores.min(), scores.max(), bins + 1)
    counts = [
        ((scores > low) & (scores <= high)).sum() + (scores == scores.min()).sum() * (b == 0)
        for b, (low, high) in enumerate(pairwise(edges))
    ]
    expected = max(1, (np.array(counts) > np.mean(counts)).sum()) if d > 1 else 1
    assert cut_size(scores, "authors") == expected
    assert cut_size(scores, "mean") == max(1, (scores > scores.mean()).sum())
    assert cut_size(np.full(d, 2.0), "authors") == cut_size(np.full(d, 2.0), "mean") == 1


def test_a_cut_decides_how_many_columns_are_kept():
    X, _ = _sample(d=40)
    ranker = InfFS(cut="mean").fit(X)
    assert ranker.get_support().sum() == (ranker.scores_ > ranker.scores_.mean()).sum()
    assert ranker.transform(X).shape[1] == ranker.get_support().sum()
    assert ranker.set_params(cut=None).get_support().sum() == 20
    assert ranker.set_params(cut="authors").fit(X[:, :9]).get_support().sum() <= 4
    with pytest.raises(ConfigError, match="give one of them"):
        InfFS(5, cut="mean").fit(X)
    with pytest.raises(BudgetError):
        InfFS(41).fit(X)


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": -0.1},
        {"alpha": 1.1},
        {"alpha": float("nan")},
        {"alpha": "cv"},
        {"alpha": THIRDS},
        {"alpha": (1, 2), "supervised": True},
        {"alpha": (0, 0, 0), "supervised": True},
        {"alpha": (-1, 1, 1), "supervised": True},
        {"alpha": THIRDS, "supervised": True, "scaling": "2016"},
        {"scaling": "2020"},
        {"cut": "paper"},
        {"approximate": "yes"},
        {"approximate": True, "supervised": True},
        {"approximate": True, "scaling": "paper"},
    ],
)
def test_parameters_that_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        InfFS(**options).fit(*_sample())
