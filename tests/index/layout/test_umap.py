"""The layout of a graph: neighbors stay close, the same for any order, placed rows stay."""

from __future__ import annotations

import numpy as np
import pytest

from assay.index import SimilarityGraph
from assay.index.layout.umap import A, B, _memberships
from assay.storage.errors import ConfigError, InputError


def clusters(n: int = 240, groups: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    of = np.arange(n) % groups
    centers = 8 * rng.normal(size=(groups, 6))
    return (centers[of] + rng.normal(size=(n, 6))).astype(np.float32), of


def graph_of(X: np.ndarray, ids: list[str], **options: object) -> SimilarityGraph:
    return SimilarityGraph.from_vectors(X, ids=ids, k=8, **{"metric": "l2", **options})


def test_clusters_stay_apart() -> None:
    X, of = clusters()
    places = graph_of(X, [f"r{i:03}" for i in range(len(X))]).layout(epochs=60)
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = distance.argsort(axis=1)[:, :5]
    assert (of[nearest] == of[:, None]).mean() > 0.98


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
def test_the_order_of_rows_does_not_matter(metric: str) -> None:
    X, _ = clusters(90)
    ids = [f"r{i:03}" for i in range(len(X))]
    shuffled = np.random.default_rng(0).permutation(len(X))
    plain = graph_of(X, ids, metric=metric).layout(epochs=20)
    other = graph_of(X[shuffled], [ids[i] for i in shuffled], metric=metric).layout(epochs=20)
    assert np.isfinite(plain).all()
    np.testing.assert_array_equal(other, plain[shuffled])


def test_the_seed_decides() -> None:
    X, _ = clusters(60)
    graph = graph_of(X, [f"r{i:03}" for i in range(len(X))])
    np.testing.assert_array_equal(graph.layout(epochs=10), graph.layout(epochs=10))
    assert not np.array_equal(graph.layout(epochs=10), graph.layout(epochs=10, random_state=1))


def test_placed_rows_stay_and_new_ones_come_among_their_cluster() -> None:
    X, of = clusters()
    graph = graph_of(X, [f"r{i:03}" for i in range(len(X))])
    before = graph.layout(epochs=60)
    placed = before.copy()
    placed[::10] = np.nan
    after = graph.layout(epochs=60, placed=placed)
    old = ~np.isnan(placed).any(axis=1)
    np.testing.assert_array_equal(after[old], before[old])
    for group in range(4):
        middle = np.median(before[of == group], axis=0)
        radius = np.linalg.norm(before[of == group] - middle, axis=1).max()
        new = after[~old & (of == group)]
        assert (np.linalg.norm(new - middle, axis=1) < 2 * radius + 2).all()


def test_rows_without_neighbors_have_a_place() -> None:
    graph = SimilarityGraph.from_vectors([[0.0], [1.0], [5.0]], k=2, metric="l2")
    placed = np.array([[0, 0], [np.nan, np.nan], [np.nan, np.nan]])
    graph.neighbors[:] = -1
    assert np.isfinite(graph.layout(epochs=5)).all()
    assert np.isfinite(graph.layout(epochs=5, placed=placed)).all()


def test_bad_parameters_are_refused() -> None:
    X, _ = clusters(20)
    graph = graph_of(X, [f"r{i:03}" for i in range(len(X))])
    with pytest.raises(ConfigError, match="dims is 0; pass a whole number"):
        graph.layout(dims=0)
    with pytest.raises(InputError, match="one row of 2 coordinates"):
        graph.layout(placed=np.zeros((3, 2)))


def test_the_curve_is_that_of_umap() -> None:
    umap = pytest.importorskip("umap.umap_", reason="umap-learn is not installed")
    assert umap.find_ab_params(1.0, 0.1) == pytest.approx((A, B), rel=1e-5)


def test_memberships_are_those_of_umap() -> None:
    umap = pytest.importorskip("umap.umap_", reason="umap-learn is not installed")
    X, _ = clusters(120)
    graph = graph_of(X, [f"r{i:03}" for i in range(len(X))])
    n, k = graph.neighbors.shape
    # umap-learn counts a row as the first of its own neighbors
    own = np.column_stack([np.arange(n), graph.neighbors]).astype(np.int32)
    far = np.column_stack([np.zeros(n), graph.distances()]).astype(np.float32)
    expected, _, _ = umap.fuzzy_simplicial_set(
        X, k + 1, np.random.RandomState(0), "euclidean", knn_indices=own, knn_dists=far
    )
    found = _memberships(graph.neighbors, graph.distances(), np.arange(n))
    np.testing.assert_allclose(found.toarray(), expected.toarray(), atol=2e-4)
