"""The single measures of a selection against brute force, closed forms and other libraries."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.spatial.distance import cdist
from scipy.stats import differential_entropy, entropy
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import rbf_kernel

from assay.selection.evaluation.balance import Representation, balance, duplicates_left, kish_size
from assay.selection.evaluation.coverage import coverage, nearest_distances, partial_cover
from assay.selection.evaluation.discrepancy import (
    kernel_sum,
    median_bandwidth,
    squared_discrepancy,
)
from assay.selection.evaluation.divergence import (
    BUCKETS,
    backed_off_divergence,
    cell_of,
    fit_cells,
    ngram_counts,
)
from assay.selection.evaluation.spread import (
    early_enrichment,
    vasicek_entropy,
    vasicek_ratio_error,
    vendi,
)
from assay.selection.selectors.facility_location import FacilityLocationSelector
from assay.storage.errors import ConfigError
from tests.selection.small_graphs import from_dense


def vectors(n, d=7, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) + shift).astype(np.float32)


@pytest.mark.parametrize(("queries", "centers"), [(1, 1), (37, 5), (1_100, 8_300)])
def test_nearest_distances_equal_brute_force(queries, centers):
    # far from the origin, where the expansion of the square loses digits
    asked, held = vectors(queries, shift=100), vectors(centers, seed=1, shift=100)
    expected = cdist(asked.astype(np.float64), held.astype(np.float64)).min(axis=1)
    np.testing.assert_allclose(nearest_distances(asked, held), expected, rtol=1e-4)


def test_a_row_is_at_no_distance_of_itself():
    X = vectors(50, shift=1_000)
    assert (nearest_distances(X, X) == 0).all()


@settings(deadline=None)
@given(
    st.lists(st.floats(0, 100, allow_subnormal=False), min_size=1, max_size=40),
    st.sampled_from([0.01, 0.1, 0.5, 0.9, 0.99, 1.0]),
)
def test_the_partial_cover_is_the_least_radius(values, portion):
    distances = np.array(values)
    radius = partial_cover(distances, portion)
    assert radius in values
    assert (distances <= radius).mean() >= portion - 1e-12
    assert (distances < radius).mean() < portion


def test_coverage_of_a_line():
    found = coverage(np.array([0.0, 1, 2, 3, 4]), np.array([True, False, False, False, False]))
    assert found == {
        "auc": 2.0,
        "mean_distance": 2.5,
        "max_distance": 4.0,
        "radius_50": 2.0,
        "radius_90": 4.0,
        "radius_95": 4.0,
        "radius_99": 4.0,
    }
    # the area under the radius over the portion is the mean distance
    portions = (np.arange(5) + 0.5) / 5
    radii = [partial_cover(np.arange(5.0), p) for p in portions]
    assert np.mean(radii) == pytest.approx(found["auc"])
    assert "mean_distance" not in coverage(np.zeros(2), np.ones(2, dtype=bool))
    with pytest.raises(ConfigError, match="portion"):
        partial_cover(np.zeros(2), 0)


@pytest.mark.parametrize(("m", "k"), [(2, 3), (40, 25), (1_500, 1_030)])
def test_the_discrepancy_equals_the_sum_over_pairs(m, k):
    a, b, sigma = vectors(m), vectors(k, seed=1, shift=0.5), 2.5
    gamma = 1 / (2 * sigma**2)
    xx, yy, xy = (rbf_kernel(*sides, gamma=gamma) for sides in ((a, a), (b, b), (a, b)))
    expected = (xx.sum() - m) / (m * (m - 1)) + (yy.sum() - k) / (k * (k - 1)) - 2 * xy.mean()
    assert squared_discrepancy(a, b, sigma) == pytest.approx(expected, abs=2e-6)
    assert kernel_sum(a, b, sigma) == pytest.approx(xy.sum(), rel=1e-5)


def test_the_discrepancy_of_two_normal_distributions_has_a_closed_form():
    # E k(x, y) of x, y normal with variance 1 and means mu apart, in one dimension
    sigma, mu = 1.5, 2.0
    within = sigma / np.sqrt(sigma**2 + 2)
    between = within * np.exp(-(mu**2) / (2 * (sigma**2 + 2)))
    a, b = vectors(4_000, 1), vectors(4_000, 1, seed=1, shift=mu)
    expected = 2 * within - 2 * between
    assert squared_discrepancy(a, b, sigma) == pytest.approx(expected, abs=0.02)


def test_a_random_subset_has_no_discrepancy_from_its_pool_on_average():
    X = vectors(30, 3)
    rows = np.arange(30)
    found, naive = [], []
    for seed in range(400):
        some = np.random.default_rng(seed).choice(30, 10, replace=False)
        found.append(squared_discrepancy(X[some], X, 2.0, rows_a=some, rows_b=rows))
        naive.append(squared_discrepancy(X[some], X, 2.0))
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    # were a row compared with itself, a random subset would seem too near
    assert np.mean(naive) < -3 * error
    whole = squared_discrepancy(X, X, 2.0, rows_a=rows, rows_b=rows)
    assert whole == pytest.approx(0, abs=1e-6)


def test_the_bandwidth_is_the_median_distance():
    X = vectors(200)
    distances = cdist(X, X)[np.triu_indices(200, 1)]
    assert median_bandwidth(X) == pytest.approx(np.median(distances), rel=1e-6)
    assert median_bandwidth(np.ones((5, 2), np.float32)) == 1.0
    assert median_bandwidth(np.ones((1, 2), np.float32)) == 1.0
    mostly_equal = np.zeros((9, 1), np.float32)
    mostly_equal[0] = 3
    assert median_bandwidth(mostly_equal) == 3.0


def enrichment_by_hand(X):
    found = PCA().fit(X.astype(np.float64)).explained_variance_
    p = len(found)
    above = np.cumsum(found) - np.arange(1, p + 1) * found.sum() / p
    return trapezoid(above, np.arange(p)) / (found.sum() * p / 2)


@pytest.mark.parametrize(("n", "d"), [(300, 6), (5, 20)])
def test_early_enrichment_equals_its_definition(n, d):
    X = vectors(n, d) * np.arange(1, d + 1, dtype=np.float32)
    # below d + 1 rows the last eigenvalue is 0 either way
    assert early_enrichment(X) == pytest.approx(enrichment_by_hand(X), abs=1e-6)


def test_the_vendi_score_is_the_entropy_of_the_similarities():
    rng = np.random.default_rng(0)
    for n, d in ((30, 5), (4, 9)):
        X = rng.standard_normal((n, d))
        unit = X / np.linalg.norm(X, axis=1, keepdims=True)
        values = np.linalg.eigvalsh(unit @ unit.T / n)
        values = values[values > 1e-12]
        assert vendi(X) == pytest.approx(np.exp(-(values * np.log(values)).sum()))
        assert vendi(np.tile(X, (3, 1)) * 7) == pytest.approx(vendi(X))
    assert vendi(np.ones((6, 3))) == pytest.approx(1)
    assert vendi(np.vstack([np.eye(3), np.zeros((2, 3))])) == pytest.approx(3)
    assert np.isnan(vendi(np.zeros((2, 3))))


def test_early_enrichment_of_closed_forms():
    even = np.vstack([np.eye(8), -np.eye(8)])
    assert early_enrichment(even) == pytest.approx(0, abs=1e-12)
    # one direction of p: the cumulative sum is 1 everywhere, the area (p - 1) / 2 of p / 2, less
    # the half step at the start
    p = 8
    line = np.zeros((20, p))
    line[:, 0] = np.arange(20)
    above = 1 - np.arange(1, p + 1) / p
    assert early_enrichment(line) == pytest.approx(trapezoid(above) / (p / 2))
    assert np.isnan(early_enrichment(np.ones((5, 3))))
    assert np.isnan(early_enrichment(np.ones((1, 3))))


@pytest.mark.parametrize("n", [30, 1_500])
def test_vasicek_entropy_equals_scipy(n):
    X = vectors(n, 4).astype(np.float64)
    np.testing.assert_allclose(
        vasicek_entropy(X), differential_entropy(X, method="vasicek"), rtol=1e-12
    )


def test_the_vasicek_ratio_error():
    X = vectors(3_000, 5) * np.array([1, 1, 1, 2, 0.1], dtype=np.float32)
    turned = PCA().fit_transform(X.astype(np.float64))
    turned *= np.sqrt(5 / turned.var(axis=0, ddof=1).sum())
    heights = differential_entropy(turned, method="vasicek")
    expected = np.mean((1 - np.exp(heights) / np.sqrt(2 * np.pi * np.e)) ** 2)
    assert vasicek_ratio_error(X) == pytest.approx(expected, rel=1e-6)
    # a normal distribution is near 0, one direction alone near (d - 1) / d or more
    assert vasicek_ratio_error(vectors(5_000, 4)) < 0.005
    line = np.zeros((500, 4))
    line[:, 0] = vectors(500, 1)[:, 0]
    assert vasicek_ratio_error(line) == pytest.approx((3 + (1 - 2) ** 2) / 4, abs=0.1)
    assert np.isnan(vasicek_ratio_error(np.ones((5, 3))))
    assert np.isnan(vasicek_ratio_error(vectors(2)))


def test_measures_of_spread_do_not_depend_on_scale_or_rotation():
    X = vectors(400, 5) * np.arange(1, 6, dtype=np.float32)
    turn = np.linalg.qr(vectors(5, 5, seed=3))[0]
    for measure in (early_enrichment, vasicek_ratio_error):
        assert measure(X @ turn * 7 + 3) == pytest.approx(measure(X), rel=1e-3)


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.integers(1, 50)] * 3), min_size=1, max_size=12))
def test_the_divergence_equals_scipy(counts):
    target, chosen, pool = np.array(counts).T
    background = (pool + 0.5) / (pool + 0.5).sum()
    expected = entropy(target, 0.8 * chosen / chosen.sum() + 0.2 * background)
    assert backed_off_divergence(target, chosen, pool) == pytest.approx(expected, abs=1e-12)
    # the size of the selection does not matter, its shares do
    assert backed_off_divergence(target, 7 * chosen, pool) == pytest.approx(expected, abs=1e-12)
    assert expected >= -1e-12


def test_the_divergence_is_finite_where_nothing_was_chosen_or_seen():
    found = backed_off_divergence([0, 4, 4], [9, 0, 0], [9, 1, 0])
    assert found == pytest.approx(
        entropy([0, 0.5, 0.5], [0.8 + 0.2 * 9.5 / 11.5, 0.3 / 11.5, 0.1 / 11.5])
    )


def test_cells_are_nearest_centers_and_means():
    X = np.concatenate([vectors(40, 3, seed=s, shift=20 * s) for s in range(4)])
    X = X[np.random.default_rng(0).permutation(len(X))]
    centers = fit_cells(X, 4)
    codes = cell_of(X, centers)
    np.testing.assert_array_equal(codes, cdist(X, centers).argmin(axis=1))
    for cell in np.unique(codes):
        np.testing.assert_allclose(centers[cell], X[codes == cell].mean(axis=0), rtol=1e-4)
    assert len(fit_cells(np.ones((9, 2), np.float32), 5)) == 1


def test_ngrams_are_counted_over_rows():
    texts = pl.Series(["a b", "c", None, "a b"])
    assert len(ngram_counts(texts)) == BUCKETS
    assert ngram_counts(texts).sum() == 3 + 1 + 3
    np.testing.assert_array_equal(
        ngram_counts(texts, np.array([0, 3])), 2 * ngram_counts(texts, np.array([0]))
    )


@pytest.mark.parametrize("seed", range(3))
def test_representation_equals_brute_force(seed):
    rng = np.random.default_rng(seed)
    n = 40
    dense = np.where(rng.random((n, n)) < 0.1, rng.uniform(-0.2, 1.2, (n, n)), 0)
    dense = (dense + dense.T).astype(np.float32)
    graph = from_dense(dense)
    np.fill_diagonal(dense, 0)
    full = np.maximum(dense, 0)
    np.fill_diagonal(full, np.maximum(1, full.max(axis=1)))
    rows = rng.choice(n, 7, replace=False)
    expected = full[:, rows].max(axis=1).sum() / full.max(axis=1).sum()
    found = Representation(graph)(rows)
    assert found == pytest.approx(expected, rel=1e-6)
    selector = FacilityLocationSelector(budget=7).fit(graph=graph)
    assert Representation(graph)(selector.indices_) == pytest.approx(
        selector.report_["objective_share"], rel=1e-6
    )


def test_balance():
    codes = np.array([0, 0, 0, 0, 1, 1, 2, -1])
    found = balance(codes, np.array([0, 4, 5, 7]), 3)
    assert found["entropy"] == pytest.approx(entropy([1, 2]) / np.log(3))
    assert found["largest_share"] == pytest.approx(2 / 3)
    assert found["smallest_share"] == 0
    pool = np.array([4, 2, 1]) / 7
    assert found["distance_to_pool"] == pytest.approx(abs(np.array([1, 2, 0]) / 3 - pool).sum() / 2)
    assert balance(codes, np.array([7]), 3) == {}
    assert "entropy" not in balance(np.zeros(3, int), np.array([0]), 1)
    even = balance(np.arange(5), np.arange(5), 5)
    assert even["entropy"] == pytest.approx(1)


def test_duplicates_and_weights():
    assert duplicates_left(np.array([3, 3, 3, 1])) == 0.75
    assert duplicates_left(np.array([[1, 2], [1, 3]])) == 0
    assert kish_size(np.ones(9)) == pytest.approx(9)
    assert kish_size([1, 0, 0]) == 1
    assert kish_size([0.0]) == 0
    weights = np.random.default_rng(0).random(50)
    assert kish_size(weights) == pytest.approx(weights.sum() ** 2 / (weights @ weights))
    assert kish_size(weights * 1e-200) == pytest.approx(kish_size(weights))
