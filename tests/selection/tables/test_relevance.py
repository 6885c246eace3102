"""Fisher score, mutual information and deviation: oracles, the authors' figures, invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.feature_selection import f_classif
from sklearn.metrics import normalized_mutual_info_score

from assay.selection.tables import relevance
from assay.selection.tables.relevance import (
    column_relevance,
    default_bins,
    fisher_score,
    normalized_mutual_information,
)
from tests.data import reference
from tests.selection.feature_sets import load


def _sample(n=150, d=12, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    X = rng.standard_normal((n, d)) + rng.random((classes, d))[y]
    X[:, 0] = 0.1
    X[:, 1] = np.round(X[:, 1])
    return X, rng.permutation(y)


def test_fisher_score_is_the_f_statistic_less_its_factor():
    X, y = _sample()
    expected = f_classif(X[:, 1:], y)[0] * 2 / (len(y) - 3)
    np.testing.assert_allclose(fisher_score(X, y)[1:], expected, rtol=1e-11)
    assert fisher_score(X, y)[0] == 0.0


def test_fisher_score_of_constant_classes():
    X = np.array([[0.1, 0.3, 7.0], [0.1, 0.3, 7.0], [0.1, 0.7, 7.0], [0.1, 0.7, 7.1]])
    score = fisher_score(X, np.array([0, 0, 1, 1]))
    assert score[0] == 0.0
    assert score[1] == np.inf
    assert 0 < score[2] < np.inf


@pytest.mark.parametrize("bins", [None, 2, 7, 33])
def test_mutual_information_is_that_of_the_binned_column(bins):
    X, y = _sample()
    found = normalized_mutual_information(X, y, n_bins=bins)
    for j in range(1, X.shape[1]):
        edges = np.linspace(X[:, j].min(), X[:, j].max(), (bins or 15) + 1)
        binned = np.clip(np.digitize(X[:, j], edges) - 1, 0, (bins or 15) - 1)
        assert found[j] == pytest.approx(normalized_mutual_info_score(y, binned), abs=1e-12)
    assert found[0] == 0.0


def test_mutual_information_of_the_classes_themselves_and_of_independent_counts():
    y = np.repeat([0, 1, 2], 40)
    X = np.column_stack([y * 2.5 - 1, np.tile([0.0, 1.0], 60), (y == 1).astype(float)])
    found = normalized_mutual_information(X, y)
    assert found[0] == pytest.approx(1.0, abs=1e-15)
    assert found[1] == pytest.approx(0.0, abs=1e-15)
    assert 0.5 < found[2] < 1.0


def test_default_bins():
    assert [default_bins(n) for n in (2, 62, 109, 110, 199, 200, 201, 10**6)] == [
        *(10, 10, 10, 11, 19, 20, 20, 20),
    ]


def test_column_relevance_gathers_the_same_figures():
    X, y = _sample()
    figures = column_relevance(X, y)
    np.testing.assert_array_equal(figures.fisher, fisher_score(X, y))
    np.testing.assert_array_equal(figures.mutual_information, normalized_mutual_information(X, y))
    np.testing.assert_allclose(figures.deviation, X.std(axis=0, ddof=1), rtol=1e-13, atol=1e-15)
    np.testing.assert_array_equal(figures.span, np.ptp(X, axis=0))
    assert figures.deviation[0] == 0.0


def test_figures_of_a_nominal_column():
    rng = np.random.default_rng(1)
    n, y = 300, rng.integers(0, 3, 300)
    code = np.where(rng.random(n) < 0.5, y, rng.integers(0, 5, n))
    figures = column_relevance(code[:, None] * 7.0, y, nominal=np.array([True]))
    levels, classes = (np.eye(5)[code], np.eye(3)[y])
    fitted = levels @ np.linalg.lstsq(levels, classes, rcond=None)[0]
    unexplained = ((classes - fitted) ** 2).sum() / ((classes - classes.mean(axis=0)) ** 2).sum()
    share = 1 - unexplained * (n - 2) / (n - 5)
    assert figures.fisher[0] == pytest.approx(share / (1 - share), rel=1e-10)
    assert figures.mutual_information[0] == pytest.approx(
        normalized_mutual_info_score(y, code), abs=1e-12
    )
    assert figures.deviation[0] == pytest.approx(
        np.sqrt(levels.var(axis=0, ddof=1).sum() / 2), rel=1e-12
    )


def test_a_nominal_column_that_tells_the_classes_one_without_levels_and_one_of_identifiers():
    y = np.arange(40) % 2
    X = np.column_stack([np.arange(40) % 8, np.ones(40), np.arange(40)])
    figures = column_relevance(X, y, nominal=np.ones(3, dtype=bool))
    assert figures.fisher.tolist() == [np.inf, 0.0, 0.0]
    assert figures.span.tolist() == [1.0, 0.0, 1.0]
    assert figures.deviation[1] == 0.0


def test_levels_drawn_at_random_explain_nothing_on_average():
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, 200)
    X = rng.integers(0, 30, (200, 400))
    score = column_relevance(X, y, nominal=np.ones(400, dtype=bool)).fisher
    # half of the columns would be below 0, which counts as 0
    assert np.median(score / (1 + score)) < 0.02
    assert (score / (1 + score)).max() < 0.2


def test_with_two_classes_a_column_of_two_values_has_the_same_figures_as_name_and_as_number():
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 200)
    X = (rng.random(200) < 0.2 + 0.3 * y).astype(float)[:, None]
    for number, name in zip(
        column_relevance(X, y), column_relevance(X, y, nominal=np.array([True])), strict=True
    ):
        np.testing.assert_allclose(number, name, rtol=1e-12)


@pytest.mark.parametrize("name", ["colon", "madelon", "Prostate-GE"])
def test_fslib_figures_are_those_of_the_authors_code(name):
    X, y = load(name)
    expected = np.loadtxt(reference(f"{name}.ecfs_parts.csv"), delimiter=",")
    figures = column_relevance(X, y, estimator="fslib")
    np.testing.assert_allclose(figures.mutual_information, expected[:, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(figures.fisher, expected[:, 1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(figures.deviation, expected[:, 2], rtol=1e-12)


def test_fslib_over_more_classes_is_the_prior_weighted_mean_of_one_against_the_rest():
    X, y = _sample(classes=4)
    figures = column_relevance(X, y, estimator="fslib")
    share = np.bincount(y) / len(y)
    alone = [column_relevance(X, (y == c).astype(int), estimator="fslib") for c in range(4)]
    fisher = sum(p * a.fisher for p, a in zip(share, alone, strict=True))
    information = sum(p * a.mutual_information for p, a in zip(share, alone, strict=True))
    np.testing.assert_allclose(figures.fisher, fisher, rtol=1e-11)
    np.testing.assert_allclose(figures.mutual_information, information, rtol=1e-12)


def test_fslib_fisher_nearly_vanishes_where_both_classes_are_constant():
    X = np.array([[1.0, 5.0], [1.0, 5.0], [3.0, 5.0], [3.0, 5.0]])
    figures = column_relevance(X, np.array([0, 0, 1, 1]), estimator="fslib")
    np.testing.assert_allclose(figures.fisher, [4 / 1e4, 0.0])
    assert figures.mutual_information[1] == 0.0


@pytest.mark.parametrize("estimator", ["nmi", "fslib"])
def test_figures_depend_on_nothing_but_the_values_of_each_class(estimator, monkeypatch):
    X, y = _sample(n=301, d=40, classes=9)
    expected = np.array(column_relevance(X, y, estimator=estimator))
    rng = np.random.default_rng(3)
    rows, columns = rng.permutation(len(X)), rng.permutation(X.shape[1])

    def figures(X, y):
        return np.array(column_relevance(X, y, estimator=estimator))

    np.testing.assert_array_equal(figures(X[rows], y[rows]), expected)
    np.testing.assert_array_equal(figures(X[:, columns], y), expected[:, columns])
    np.testing.assert_array_equal(figures(np.asfortranarray(X), y), expected)
    for width in (1, 3, 13):
        monkeypatch.setattr(relevance, "BLOCK_VALUES", width * len(X))
        np.testing.assert_array_equal(figures(X, y), expected)


def test_column_types_are_read_as_their_values():
    rng = np.random.default_rng(4)
    y = rng.integers(0, 2, 80)
    X = rng.integers(0, 2, (80, 5)) + rng.integers(0, 2, (80, 5)) * y[:, None]
    expected = np.array(column_relevance(X.astype(np.float64), y))
    for kind in (np.int8, np.uint16, np.float32):
        np.testing.assert_array_equal(np.array(column_relevance(X.astype(kind), y)), expected)
    as_bool = column_relevance(X > 1, y)
    np.testing.assert_array_equal(as_bool, column_relevance((X > 1).astype(float), y))


@settings(max_examples=60, deadline=None)
@given(
    arrays(np.float64, (24, 3), elements=st.integers(-20, 20)),
    st.sampled_from([0.25, 8.0, 1024.0]),
    st.integers(2, 4),
)
def test_bounds_and_invariance_under_a_change_of_unit(X, unit, classes):
    y = np.arange(24) % classes
    figures = column_relevance(X, y)
    assert (figures.fisher >= 0).all()
    assert (figures.mutual_information >= 0).all()
    assert (figures.mutual_information <= 1 + 1e-12).all()
    assert ((figures.span == 0) <= (figures.fisher + figures.mutual_information == 0)).all()
    scaled = column_relevance(X * unit, y)
    np.testing.assert_array_equal(scaled.fisher, figures.fisher)
    np.testing.assert_array_equal(scaled.mutual_information, figures.mutual_information)
    np.testing.assert_array_equal(scaled.deviation, figures.deviation * unit)
