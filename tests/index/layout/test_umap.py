"""The layout of a graph: neighbors stay close, the same for any order, placed rows stay."""

from __future__ import annotations

import numpy as np
import pytest

from assay.index import SimilarityGraph
from assay.storage.errors import ConfigError, InputError

pytest.importorskip("umap", reason="assay-curation[report] is not installed")


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
