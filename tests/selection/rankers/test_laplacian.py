"""LaplacianScore: the formula on a dense graph, closed forms, invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist
from sklearn.utils.estimator_checks import parametrize_with_checks

from assay.selection import LaplacianScore
from assay.storage.errors import ConfigError
from tests.selection.feature_sets import load


def _sample(n=60, d=8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)) * rng.lognormal(size=d)


def _dense(X, k, scale=True):
    """1 - L by the paper's matrices."""
    Z = (X - X.min(axis=0)) / (np.ptp(X, axis=0) if scale else 1.0)
    distance = cdist(Z, Z)
    near = np.argsort(distance + np.diag(np.full(len(X), np.inf)), axis=1)[:, :k]
    joined = np.zeros(distance.shape, dtype=bool)
    np.put_along_axis(joined, near, True, axis=1)
    S = np.where(joined | joined.T, 1 / (1 + distance), 0.0)
    D = np.diag(S.sum(axis=1))
    F = X - (np.ones(len(X)) @ D @ X) / D.sum()
    return 1 - np.diag(F.T @ (D - S) @ F) / np.diag(F.T @ D @ F)


@parametrize_with_checks([LaplacianScore()])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("k", [1, 5, 59])
def test_the_formula_on_a_dense_graph(k, scale):
    X = _sample()
    ranker = LaplacianScore(n_neighbors=k, scale=scale).fit(X)
    expected = _dense(X, k, scale)
    np.testing.assert_allclose(ranker.scores_, expected, atol=1e-6)
    assert (np.argsort(ranker.ranking_) == np.argsort(-expected)).all()


def test_closed_forms():
    # two far pairs of copies: every edge weighs 1, joins equal values of column 0 and opposite ones
    # of column 1
    X = np.array([[0.0, 0.0], [0.0, 1e-3], [9.0, 0.0], [9.0, 1e-3]])
    ranker = LaplacianScore(n_neighbors=1, scale=False).fit(X)
    np.testing.assert_allclose(ranker.scores_, [1.0, -1.0], atol=1e-12)
    # two rows: the only edge joins the two values of any column
    assert LaplacianScore().fit([[1.0, 3.0], [2.0, 7.0]]).scores_.tolist() == [-1.0, -1.0]


def test_noise_comes_after_what_the_graph_is_made_of():
    rng = np.random.default_rng(0)
    place = rng.random((300, 2))
    X = np.column_stack([rng.random((300, 3)), np.repeat(place, 5, axis=1)])
    ranker = LaplacianScore().fit(X)
    assert set(ranker.ranking_[:3]) == {11, 12, 13}
    assert ranker.scores_[:3].max() < 0.8 < 0.9 < ranker.scores_[3:].min()


def test_the_score_does_not_depend_on_units():
    X = _sample()
    np.testing.assert_allclose(
        LaplacianScore().fit(X * 2.0 ** np.arange(-4, 4)).scores_, LaplacianScore().fit(X).scores_
    )
    cosine = LaplacianScore(metric="cosine").fit(X).scores_
    assert np.abs(cosine - LaplacianScore().fit(X).scores_).max() > 1e-3


@settings(max_examples=40, deadline=None)
@given(
    arrays(float, (9, 5), elements=st.integers(-2, 2)),
    st.permutations(range(9)),
    st.integers(1, 12),
)
def test_order_of_rows_copies_and_constants(X, rows, k):
    X[:, 2] = X[:, 4]
    ranker = LaplacianScore(n_neighbors=k).fit(X)
    np.testing.assert_array_equal(
        LaplacianScore(n_neighbors=k).fit(X[rows]).scores_, ranker.scores_
    )
    assert ranker.scores_[2] == ranker.scores_[4]
    assert (np.abs(ranker.scores_) <= 1 + 1e-9).all()
    constant = (X[0] == X).all(axis=0)
    assert (ranker.scores_[constant] == -1).all()
    assert set(ranker.ranking_[constant]) == set(range(6 - constant.sum(), 6))


def test_order_of_columns():
    X = _sample(d=30)
    columns = np.random.default_rng(0).permutation(30)
    np.testing.assert_allclose(
        LaplacianScore().fit(X[:, columns]).scores_, LaplacianScore().fit(X).scores_[columns]
    )


def test_blocks_do_not_matter(monkeypatch):
    X = _sample()
    whole = LaplacianScore().fit(X).scores_
    monkeypatch.setattr("assay.selection.rankers.laplacian.BLOCK_VALUES", 60)
    np.testing.assert_array_equal(LaplacianScore().fit(X).scores_, whole)


def test_a_real_set():
    X, _ = load("warpPIE10P")
    ranker = LaplacianScore().fit(X.astype(np.float32))
    noise = np.random.default_rng(0).random((len(X), 20), dtype=np.float32)
    with_noise = LaplacianScore().fit(np.column_stack([X, noise]))
    assert with_noise.ranking_[-20:].min() > X.shape[1] * 0.99
    assert ranker.scores_.mean() > 0.5


@pytest.mark.parametrize(
    "options", [{"n_neighbors": 0}, {"n_neighbors": 2.5}, {"n_neighbors": True}, {"metric": "l1"}]
)
def test_parameters_that_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        LaplacianScore(**options).fit(_sample())
