from __future__ import annotations

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from assay.index import SimilarityGraph
from assay.index.algorithms import centrality
from assay.index.algorithms.centrality import connected_components, core_number, hubness, pagerank
from assay.storage.errors import ConfigError, InputError
from tests.data import shared

SEEDS = range(6)


def random_graph(seed: int, directed: bool = False) -> tuple[nx.Graph, sparse.csr_array]:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 60))
    graph = nx.gnp_random_graph(n, 1.5 / n, seed=seed, directed=directed)
    for _, _, edge in graph.edges(data=True):
        edge["weight"] = float(rng.random() + 0.01)
    return graph, sparse.csr_array(nx.to_scipy_sparse_array(graph, weight="weight", dtype=float))


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_pagerank_equals_networkx(seed: int, directed: bool) -> None:
    graph, A = random_graph(seed, directed)
    n = len(graph)
    options = {"alpha": 0.85, "tol": 1e-12}
    expected = nx.pagerank(graph, max_iter=1_000, alpha=0.85, tol=1e-14)
    found = pagerank(A.indptr, A.indices, A.data, **options)
    np.testing.assert_allclose(found, [expected[i] for i in range(n)], atol=1e-11)
    assert found.sum() == pytest.approx(1, abs=1e-12)
    start = {i: float(i % 3) + 0.5 for i in range(n)}
    expected = nx.pagerank(graph, max_iter=1_000, personalization=start, tol=1e-14)
    found = pagerank(A.indptr, A.indices, A.data, personalization=list(start.values()), **options)
    np.testing.assert_allclose(found, [expected[i] for i in range(n)], atol=1e-11)


def test_pagerank_of_a_star_has_a_closed_form() -> None:
    leaves = 7
    A = sparse.csr_array(nx.to_scipy_sparse_array(nx.star_graph(leaves), dtype=float))
    found = pagerank(A.indptr, A.indices, A.data, tol=1e-14)
    n, alpha = leaves + 1, 0.85
    center = (alpha * leaves + 1) / (n * (1 + alpha))
    np.testing.assert_allclose(found, [center] + [(1 - center) / leaves] * leaves, rtol=1e-12)


def test_pagerank_stops_at_the_same_precision_whatever_the_size() -> None:
    for n in (100, 20_000):
        rng = np.random.default_rng(n)
        A = sparse.random_array((n, n), density=5 / n, rng=rng, format="csr")
        A = sparse.csr_array(A + A.T)
        true = pagerank(A.indptr, A.indices, A.data, tol=1e-15)
        rough = pagerank(A.indptr, A.indices, A.data, tol=1e-6)
        assert np.abs(rough - true).sum() <= 1e-6 * 0.85 / 0.15
        assert np.abs(rough - true).sum() > 0


SHAPES = {
    "random": lambda n, seed: nx.gnp_random_graph(n, 0.2, seed=seed),
    "path": lambda n, seed: nx.path_graph(n),
    "star": lambda n, seed: nx.star_graph(n - 1),
    "two sides": lambda n, seed: nx.complete_bipartite_graph(n // 2, n - n // 2),
    "ring and alone": lambda n, seed: nx.disjoint_union(nx.cycle_graph(n - 1), nx.empty_graph(1)),
    "loops": lambda n, seed: nx.Graph([(i, i) for i in range(n)] + [(0, n - 1)]),
}


@settings(max_examples=120, deadline=None)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    n=st.integers(2, 40),
    alpha=st.sampled_from([0.1, 0.5, 0.85, 0.99]),
    seed=st.integers(0, 1_000),
    personal=st.booleans(),
)
def test_pagerank_of_an_undirected_graph_solves_its_equations(
    shape: str, n: int, alpha: float, seed: int, personal: bool
) -> None:
    rng = np.random.default_rng(seed)
    A = sparse.coo_array(nx.to_scipy_sparse_array(SHAPES[shape](n, seed), dtype=float))
    upper = sparse.triu(A) * 1.0
    upper.data = rng.random(len(upper.data)) ** 8
    A = sparse.csr_array(upper + sparse.triu(upper, 1).T)
    size = A.shape[0]
    start = np.full(size, 1 / size)
    if personal:
        start = np.where(np.arange(size) % 3 == seed % 3, 0.0, rng.random(size)) + 1e-9
        start /= start.sum()
    sums = A.sum(axis=1)
    P = A.toarray() / np.where(sums > 0, sums, 1)[:, None]
    expected = np.linalg.solve(np.eye(size) - alpha * P.T, (1 - alpha) * start)
    expected /= expected.sum()
    tol = 1e-10
    found = pagerank(
        A.indptr, A.indices, A.data, alpha=alpha, tol=tol, symmetric=True,
        personalization=start if personal else None,
    )  # fmt: skip
    assert np.abs(found - expected).sum() <= tol * alpha / (1 - alpha) ** 2 + 1e-13
    assert (found > 0).all()


def test_pagerank_of_an_undirected_graph_takes_few_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(3_000, 3))
    graph = SimilarityGraph.from_vectors(X, k=10)
    sweep, sweeps = centrality._sweep, []
    monkeypatch.setattr(centrality, "_sweep", lambda *given: sweeps.append(1) or sweep(*given))
    counts = {}
    for symmetric in (False, True):
        sweeps.clear()
        pagerank(graph.indptr, graph.indices, graph.weights, tol=1e-10, symmetric=symmetric)
        counts[symmetric] = len(sweeps)
    assert counts[True] < 0.65 * counts[False], counts


def test_pagerank_without_edges_or_following_none() -> None:
    empty = np.zeros(4, np.int64), np.empty(0, np.int32), np.empty(0)
    np.testing.assert_allclose(pagerank(*empty), 1 / 3)
    graph, A = random_graph(3)
    np.testing.assert_allclose(pagerank(A.indptr, A.indices, A.data, alpha=0), 1 / len(graph))


def test_pagerank_refuses_what_it_cannot_use() -> None:
    _, A = random_graph(1)
    graph = A.indptr, A.indices, A.data
    for alpha in (1.0, -0.1, float("nan")):
        with pytest.raises(ConfigError, match="alpha"):
            pagerank(*graph, alpha=alpha)
    with pytest.raises(ConfigError, match="tol"):
        pagerank(*graph, tol=0)
    n = A.shape[0]
    for start in (np.ones(n + 1), -np.ones(n), np.zeros(n), np.full(n, np.nan)):
        with pytest.raises(InputError, match="personalization"):
            pagerank(*graph, personalization=start)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 40), p=st.floats(0, 0.6), seed=st.integers(0, 10_000))
def test_core_numbers_and_components_equal_networkx(n: int, p: float, seed: int) -> None:
    graph = nx.gnp_random_graph(n, p, seed=seed)
    A = sparse.csr_array(nx.to_scipy_sparse_array(graph, format="csr"))
    expected = nx.core_number(graph)
    assert core_number(A.indptr, A.indices).tolist() == [expected[i] for i in range(n)]
    labels = connected_components(A.indptr, A.indices)
    assert labels.dtype == np.int32
    parts = sorted(nx.connected_components(graph), key=min)
    assert labels.tolist() == [next(c for c, p in enumerate(parts) if i in p) for i in range(n)]


def peeled(A: sparse.csr_array) -> list[int]:
    """Return core numbers by their definition: remove nodes until each has k entries."""
    M, core = A.toarray(), np.zeros(A.shape[0], int)
    inside = np.ones(A.shape[0], bool)
    for k in range(1, int(M.sum(axis=1).max(initial=0)) + 1):
        while (inside & (M @ inside < k)).any():
            inside &= M @ inside >= k
        core[inside] = k
    return core.tolist()


def with_repeats(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a matrix of counts, a column as often as it counts."""
    indptr = np.concatenate([[0], counts.sum(axis=1).cumsum()])
    columns = np.tile(np.arange(len(counts)), len(counts))
    return indptr, np.repeat(columns, counts.ravel())


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 30), p=st.floats(0, 0.6), seed=st.integers(0, 10_000))
def test_parallel_edges_and_loops_each_count(n: int, p: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = np.triu(rng.integers(1, 4, (n, n)) * (rng.random((n, n)) < p))
    counts += np.triu(counts, 1).T
    indptr, indices = with_repeats(counts)
    expected = peeled(sparse.csr_array(counts))
    for position, column in ((np.int32, np.int32), (np.int64, np.int32), (np.int64, np.int64)):
        edges = indptr.astype(position), indices.astype(column)
        for array in edges:
            array.flags.writeable = False
        assert core_number(*edges).tolist() == expected


@pytest.mark.parametrize("seed", SEEDS)
def test_edges_in_both_directions_count_twice(seed: int) -> None:
    graph = nx.gnp_random_graph(40, 0.1, seed=seed, directed=True)
    A = nx.to_numpy_array(graph, dtype=int)
    expected = nx.core_number(graph)
    assert core_number(*with_repeats(A + A.T)).tolist() == [expected[i] for i in range(40)]


def test_cores_of_parts_with_gaps_between_their_numbers() -> None:
    parts = [nx.complete_graph(30), nx.star_graph(200), nx.empty_graph(7), nx.path_graph(50)]
    parts += [nx.random_regular_graph(9, 40, seed=1), nx.barabasi_albert_graph(300, 5, seed=1)]
    graph = nx.disjoint_union_all(parts)
    order = np.random.default_rng(0).permutation(len(graph))
    graph = nx.relabel_nodes(graph, dict(enumerate(order.tolist())))
    A = nx.to_scipy_sparse_array(graph, nodelist=range(len(graph)), format="csr")
    expected = nx.core_number(graph)
    found = core_number(A.indptr, A.indices)
    assert found.tolist() == [expected[i] for i in range(len(graph))]
    assert found.dtype == np.int32
    assert set(found.tolist()) == {0, 1, 5, 9, 29}
    assert core_number(np.zeros(1, np.int64), np.empty(0, np.int32)).tolist() == []
    assert core_number(np.zeros(4, np.int64), np.empty(0, np.int32)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("seed", SEEDS)
def test_components_ignore_directions(seed: int) -> None:
    graph, A = random_graph(seed, directed=True)
    labels = connected_components(A.indptr, A.indices)
    parts = sorted(nx.weakly_connected_components(graph), key=min)
    assert [set(np.flatnonzero(labels == c)) for c in range(len(parts))] == parts


def test_hubness_counts_lists() -> None:
    rng = np.random.default_rng(0)
    neighbors = np.stack([rng.permutation(30)[:4] for _ in range(30)]).astype(np.int32)
    neighbors[rng.random((30, 4)) < 0.2] = -1
    expected = [int((neighbors == i).sum()) for i in range(30)]
    assert hubness(neighbors).tolist() == expected
    assert hubness(np.full((3, 2), -1)).tolist() == [0, 0, 0]


def test_a_real_citation_graph() -> None:
    edges = pl.read_parquet(shared("graphs/citeseer_edges.parquet")).to_numpy()
    n = pl.read_parquet(shared("graphs/citeseer_nodes.parquet")).height
    graph = nx.Graph()
    graph.add_nodes_from(range(n))
    graph.add_edges_from(edges.tolist())
    A = sparse.csr_array(nx.to_scipy_sparse_array(graph, dtype=float))
    expected = nx.core_number(graph)
    assert core_number(A.indptr, A.indices).tolist() == [expected[i] for i in range(n)]
    found = pagerank(A.indptr, A.indices, A.data, tol=1e-13)
    expected_rank = nx.pagerank(graph, tol=1e-14, max_iter=500)
    np.testing.assert_allclose(found, [expected_rank[i] for i in range(n)], atol=1e-11)
    assert connected_components(A.indptr, A.indices).max() + 1 == 438
