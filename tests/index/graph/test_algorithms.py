from __future__ import annotations

from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from assay.index.algorithms import eigenvector
from assay.index.algorithms.clustering import clustering, transitivity, triangles
from assay.index.algorithms.communities import communities, modularity
from assay.index.algorithms.eigenvector import eigenvector_centrality, participation_ratio
from assay.index.algorithms.flow_diffusion import flow_diffusion, neighborhood
from assay.index.algorithms.label_propagation import label_propagation
from assay.index.algorithms.personalized_pagerank import pagerank_push, personalized_pagerank
from assay.index.graph.similarity_graph import SimilarityGraph
from assay.storage.errors import AssayError, ConfigError, IdError, InputError

SEEDS = range(8)


def arrays(graph: nx.Graph) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    A = nx.to_scipy_sparse_array(graph, weight="weight", dtype=float, format="csr")
    A.sort_indices()
    return A.indptr, A.indices, A.data


def random_graph(seed: int, density: float = 2.0, weighted: bool = True) -> nx.Graph:
    """Several components, isolated nodes, a star and a clique in most."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 50))
    graph = nx.gnp_random_graph(n, min(1.0, density / n), seed=seed)
    graph = nx.disjoint_union_all([graph, nx.star_graph(4), nx.complete_graph(seed % 6 + 1)])
    for _, _, edge in graph.edges(data=True):
        edge["weight"] = float(rng.random() + 0.05) if weighted else 1.0
    return graph


def planted(groups: int, size: int, inside: float, across: float, seed: int = 0) -> nx.Graph:
    return nx.planted_partition_graph(groups, size, inside, across, seed=seed)


edge_lists = st.lists(
    st.tuples(st.integers(0, 14), st.integers(0, 14)).filter(lambda edge: edge[0] != edge[1]),
    max_size=60,
)


def graph_of(edges: list[tuple[int, int]]) -> nx.Graph:
    graph = nx.empty_graph(15)
    graph.add_edges_from(edges)
    return graph


# triangles


@settings(max_examples=80, deadline=None)
@given(edge_lists)
def test_triangles_and_clustering_equal_networkx(edges: list[tuple[int, int]]) -> None:
    graph = graph_of(edges)
    indptr, indices, _ = arrays(graph)
    assert dict(enumerate(triangles(indptr, indices).tolist())) == nx.triangles(graph)
    assert dict(enumerate(clustering(indptr, indices).tolist())) == nx.clustering(graph)
    assert transitivity(indptr, indices) == pytest.approx(nx.transitivity(graph), abs=1e-15)


def test_triangles_of_cliques_stars_and_nothing() -> None:
    indptr, indices, _ = arrays(nx.complete_graph(20))
    assert (triangles(indptr, indices) == 19 * 18 // 2).all()
    assert (clustering(indptr, indices) == 1).all()
    indptr, indices, _ = arrays(nx.star_graph(9))
    assert not triangles(indptr, indices).any()
    assert not clustering(indptr, indices).any()
    assert transitivity(np.zeros(4, np.int64), np.empty(0, np.int32)) == 0


def test_triangles_of_a_larger_graph_equal_the_cube_of_its_matrix() -> None:
    indptr, indices, data = arrays(nx.powerlaw_cluster_graph(2_000, 6, 0.4, seed=3))
    A = sparse.csr_array((data, indices, indptr), shape=(2_000, 2_000))
    np.testing.assert_array_equal(triangles(indptr, indices), (A @ A * A).sum(axis=1) / 2)


# personalized PageRank


@pytest.mark.parametrize("seed", SEEDS)
def test_personalized_pagerank_equals_networkx(seed: int) -> None:
    graph = random_graph(seed)
    seeds = [0, len(graph) - 1]
    expected = nx.pagerank(graph, personalization=dict.fromkeys(seeds, 1), tol=1e-14, max_iter=999)
    found = personalized_pagerank(*arrays(graph), seeds, tol=1e-13)
    np.testing.assert_allclose(found, list(expected.values()), atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("precision", [1e-2, 1e-4, 1e-7])
def test_push_stays_within_its_bound_below_the_exact_scores(seed: int, precision: float) -> None:
    graph = random_graph(seed, density=4.0)
    indptr, indices, data = arrays(graph)
    # of the clique and the star, where no seed is without edges
    seeds = [len(graph) - seed % 6 - 3] if seed % 6 == 0 else [len(graph) - 1, len(graph) - 2]
    exact = personalized_pagerank(indptr, indices, data, seeds, tol=1e-14)
    nodes, scores = pagerank_push(indptr, indices, data, seeds, precision=precision)
    found = np.zeros(len(graph))
    found[nodes] = scores
    strength = nx.to_scipy_sparse_array(graph, weight="weight").sum(axis=1)
    assert (found <= exact + 1e-12).all()
    assert (exact - found <= precision * strength + 1e-12).all()
    per_strength = scores / strength[nodes]
    assert (np.diff(per_strength) <= 0).all()


def test_push_visits_only_what_its_bound_allows_however_large_the_graph() -> None:
    indptr, indices, data = arrays(nx.random_regular_graph(6, 20_000, seed=1))
    nodes, _ = pagerank_push(indptr, indices, data, [7], precision=1e-3)
    assert len(nodes) <= 1 / (1e-3 * 0.15 * 6)


def test_push_of_a_node_without_edges_and_of_bad_arguments() -> None:
    nodes, scores = pagerank_push(np.array([0, 0]), np.empty(0, np.int32), np.empty(0), [0])
    assert (nodes.tolist(), scores.tolist()) == ([0], [1.0])
    graph = arrays(nx.path_graph(4))
    for seeds in ([], [4], [-1], [1, 1], [0.5]):
        with pytest.raises(InputError, match="Seeds"):
            pagerank_push(*graph, seeds)
    with pytest.raises(ConfigError, match="alpha"):
        pagerank_push(*graph, [0], alpha=1.0)
    with pytest.raises(ConfigError, match="precision"):
        pagerank_push(*graph, [0], precision=0.0)


# eigenvector centrality


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("size", [12, 47, 48, 49, 150])
def test_eigenvector_equals_the_dense_solution(size: int, weighted: bool) -> None:
    graph = nx.connected_watts_strogatz_graph(size, 4, 0.3, seed=size)
    rng = np.random.default_rng(size)
    for _, _, edge in graph.edges(data=True):
        edge["weight"] = float(rng.random() + 0.1) if weighted else 1.0
    values, vectors = np.linalg.eigh(nx.to_numpy_array(graph))
    found = eigenvector_centrality(*arrays(graph), tol=1e-12)
    np.testing.assert_allclose(found.scores, np.abs(vectors[:, -1]), atol=1e-9)
    np.testing.assert_allclose(found.eigenvalues, values[-1:], rtol=1e-12)
    assert found.participation == pytest.approx(1 / (vectors[:, -1] ** 4).sum())


@pytest.mark.parametrize("seed", SEEDS)
def test_every_component_gets_its_own_solution(seed: int) -> None:
    graph = random_graph(seed)
    found = eigenvector_centrality(*arrays(graph))
    n = len(graph)
    for nodes in nx.connected_components(graph):
        part = sorted(nodes)
        values, vectors = np.linalg.eigh(nx.to_numpy_array(graph, nodelist=part))
        component = found.components[part[0]]
        assert (found.components[part] == component).all()
        assert found.eigenvalues[component] == pytest.approx(values[-1], abs=1e-9)
        expected = np.abs(vectors[:, -1]) * np.sqrt(len(part) / n) if len(part) > 1 else [0.0]
        np.testing.assert_allclose(found.scores[part], expected, atol=1e-7)


@pytest.mark.parametrize("sizes", [(5, 5, 3), (60, 60, 7), (4, 3, 3)])
def test_the_whole_graph_s_solution_is_the_limit_of_the_power_iteration(
    sizes: tuple[int, ...],
) -> None:
    graph = nx.disjoint_union_all([nx.complete_graph(size) for size in sizes])
    graph.add_node("alone")
    expected = nx.eigenvector_centrality(graph, max_iter=3_000, tol=1e-14)
    found = eigenvector_centrality(*arrays(graph), per_component=False)
    np.testing.assert_allclose(found.scores, list(expected.values()), atol=1e-9)
    assert found.scores[-1] == 0


def test_eigenvector_does_not_depend_on_the_number_of_nodes_for_its_precision() -> None:
    for n in (200, 20_000):
        indptr, indices, data = arrays(nx.barabasi_albert_graph(n, 5, seed=1))
        found = eigenvector_centrality(indptr, indices, data)
        A = sparse.csr_array((data, indices, indptr), shape=(n, n))
        value = found.eigenvalues[0]
        assert np.linalg.norm(A @ found.scores - value * found.scores) <= 2e-8 * value


def test_eigenvector_of_stars_of_nothing_and_of_what_does_not_converge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = eigenvector_centrality(*arrays(nx.star_graph(9)))
    np.testing.assert_allclose(found.scores, [0.5**0.5, *[18**-0.5] * 9], rtol=1e-9)
    assert found.eigenvalues[0] == pytest.approx(3.0)
    found = eigenvector_centrality(np.zeros(4, np.int64), np.empty(0, np.int32))
    assert (found.scores.tolist(), found.participation) == ([0.0] * 3, 0.0)
    assert eigenvector_centrality(*arrays(nx.empty_graph(3)), per_component=False).scores.sum() == 0
    with pytest.raises(ConfigError, match="tol"):
        eigenvector_centrality(*arrays(nx.path_graph(3)), tol=0.0)
    monkeypatch.setattr(eigenvector, "_RESTARTS", 2)
    with pytest.raises(AssayError, match="converge"):
        eigenvector_centrality(*arrays(nx.path_graph(5_000)))


def test_participation_ratio_of_constant_single_and_zero_vectors() -> None:
    assert participation_ratio(np.full(7, 0.3)) == pytest.approx(7)
    assert participation_ratio(np.eye(5)[2]) == 1
    assert participation_ratio(np.zeros(3)) == 0


# communities


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("resolution", [0.5, 1.0, 2.0])
def test_modularity_equals_networkx(seed: int, resolution: float) -> None:
    graph = random_graph(seed)
    labels = np.random.default_rng(seed).integers(0, 4, len(graph))
    groups = [set(np.flatnonzero(labels == c).tolist()) for c in np.unique(labels)]
    expected = nx.community.modularity(graph, groups, resolution=resolution)
    assert modularity(*arrays(graph), labels, resolution=resolution) == pytest.approx(expected)


@pytest.mark.parametrize("method", [communities, label_propagation])
def test_communities_find_planted_groups(method) -> None:  # type: ignore[no-untyped-def]
    graph = planted(6, 40, 0.5, 0.01)
    found = method(*arrays(graph))
    labels = found if isinstance(found, np.ndarray) else found.labels
    assert (labels == np.repeat(np.arange(6), 40)).all()


def test_communities_of_a_ring_of_cliques_are_the_cliques() -> None:
    graph = nx.ring_of_cliques(20, 6)
    found = communities(*arrays(graph))
    assert (found.labels == np.repeat(np.arange(20), 6)).all()
    # of 16 edges per clique, one goes out
    assert found.modularity == pytest.approx(15 / 16 - 1 / 20)


@pytest.mark.parametrize("seed", SEEDS)
def test_communities_are_as_good_as_networkx_louvain_and_hang_together(seed: int) -> None:
    graph = nx.powerlaw_cluster_graph(300, 3, 0.6, seed=seed)
    indptr, indices, data = arrays(graph)
    found = communities(indptr, indices, data, random_state=seed)
    best = max(
        nx.community.modularity(graph, nx.community.louvain_communities(graph, seed=s))
        for s in range(3)
    )
    assert found.modularity >= best - 0.01
    assert found.modularity == pytest.approx(modularity(indptr, indices, data, found.labels))
    for c in np.unique(found.labels):
        assert nx.is_connected(graph.subgraph(np.flatnonzero(found.labels == c).tolist()))


@settings(max_examples=60, deadline=None)
@given(edge_lists, st.integers(0, 3))
def test_communities_and_label_propagation_keep_components_apart(
    edges: list[tuple[int, int]], seed: int
) -> None:
    graph = graph_of(edges)
    indptr, indices, data = arrays(graph)
    found = communities(indptr, indices, data, random_state=seed)
    assert found.modularity >= modularity(indptr, indices, data, np.arange(15)) - 1e-12
    spread = label_propagation(indptr, indices, data, random_state=seed)
    for labels in (found.labels, spread):
        first = [labels.tolist().index(c) for c in range(labels.max() + 1)]
        assert first == sorted(first)
        assert len({(labels[u]) for u in nx.isolates(graph)}) == nx.number_of_isolates(graph)
        for one, other in pairwise(nx.connected_components(graph)):
            assert not set(labels[list(one)].tolist()) & set(labels[list(other)].tolist())
    # at the end no node has more weight towards a label that is not its own
    for u in range(15):
        weight = [sum(spread[v] == c for v in graph[u]) for c in range(spread.max() + 1)]
        assert weight[spread[u]] == max(weight)


def test_community_parameters_are_checked() -> None:
    graph = arrays(nx.path_graph(4))
    with pytest.raises(ConfigError, match="resolution"):
        communities(*graph, resolution=0.0)
    with pytest.raises(ConfigError, match="rounds"):
        communities(*graph, rounds=0)
    with pytest.raises(ConfigError, match="max_sweeps"):
        label_propagation(*graph, max_sweeps=0)
    for method in (communities, label_propagation):
        with pytest.raises(InputError, match="negative"):
            method(graph[0], graph[1], -graph[2])
    assert communities(*arrays(nx.empty_graph(3))).labels.tolist() == [0, 1, 2]


# local clusters


@pytest.mark.parametrize("seed", SEEDS)
def test_flow_diffusion_meets_the_conditions_of_its_optimum(seed: int) -> None:
    graph = nx.connected_watts_strogatz_graph(60, 6, 0.2, seed=seed)
    rng = np.random.default_rng(seed)
    for _, _, edge in graph.edges(data=True):
        edge["weight"] = float(rng.random() + 0.2)
    start, tol = [3, 30], 1e-6
    nodes, potentials = flow_diffusion(*arrays(graph), start, mass=25.0, tol=tol)
    x = np.zeros(60)
    x[nodes] = potentials
    L = nx.laplacian_matrix(graph, weight="weight").toarray()
    source = np.zeros(60)
    source[start] = 12.5
    held = source - L @ x
    assert (held <= 1 + 2 * tol).all()
    # where the potential is above 0, exactly as much as fits is held
    np.testing.assert_allclose(held[nodes], 1, atol=2 * tol)
    assert len(nodes) <= 25
    assert held.sum() == pytest.approx(25)


def test_flow_diffusion_of_a_path_has_a_closed_form() -> None:
    # 7 at the middle of a path: flows 3, 2, 1 to either side, each node keeping 1
    graph = nx.path_graph(41)
    nodes, potentials = flow_diffusion(*arrays(graph), [20], mass=7.0, tol=1e-9)
    assert nodes.tolist() == [20, 19, 21, 18, 22]
    np.testing.assert_allclose(potentials, [6, 3, 3, 1, 1], rtol=1e-6)


def test_flow_diffusion_gives_a_component_no_more_than_it_holds() -> None:
    graph = nx.disjoint_union(nx.complete_graph(10), nx.complete_graph(200))
    nodes, _ = flow_diffusion(*arrays(graph), [0, 15], mass=100.0)
    assert (nodes < 10).sum() <= 9
    assert (nodes >= 10).sum() <= 50
    assert flow_diffusion(*arrays(nx.empty_graph(3)), [1], mass=9.0)[0].tolist() == []
    with pytest.raises(ConfigError, match="mass"):
        flow_diffusion(*arrays(graph), [0], mass=0.0)
    with pytest.raises(ConfigError, match="tol"):
        flow_diffusion(*arrays(graph), [0], mass=5.0, tol=0.0)


@pytest.mark.parametrize("method", ["flow", "pagerank"])
def test_neighborhoods_are_the_planted_groups(method: str) -> None:
    graph = arrays(planted(8, 50, 0.4, 0.004))
    right = []
    for seed in range(0, 400, 37):
        found = neighborhood(*graph, [seed], 50, method=method)
        assert (found[0], len(found), len(np.unique(found))) == (seed, 50, 50)
        right.append((found // 50 == seed // 50).mean())
    assert np.mean(right) > 0.95


@pytest.mark.parametrize("method", ["flow", "pagerank"])
@pytest.mark.parametrize("seed", SEEDS)
def test_neighborhoods_have_the_size_asked_for_or_all_that_is_reached(
    seed: int, method: str
) -> None:
    graph = random_graph(seed)
    start = [0, len(graph) - 1]
    reached = nx.node_connected_component(graph, 0) | nx.node_connected_component(graph, start[1])
    for size in (2, 5, 20, 1_000):
        found = neighborhood(*arrays(graph), start, size, method=method).tolist()
        assert found[:2] == start
        assert len(found) == len(set(found)) == min(size, len(reached))
        assert set(found) <= reached


def test_neighborhood_arguments_are_checked() -> None:
    graph = arrays(nx.path_graph(5))
    with pytest.raises(ConfigError, match="'flow' or 'pagerank'"):
        neighborhood(*graph, [0], 2, method="walk")
    with pytest.raises(ConfigError, match="size"):
        neighborhood(*graph, [0, 1], 1)


# the methods of the similarity graph


def test_methods_do_not_depend_on_the_order_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(3 * i, 1.0, (60, 3)) for i in range(4)]).astype(np.float32)
    ids = [f"row{i:03}" for i in range(240)]
    order = rng.permutation(240)
    graph = SimilarityGraph.from_vectors(X, ids=ids, k=6, metric="l2")
    other = SimilarityGraph.from_vectors(X[order], ids=[ids[i] for i in order], k=6, metric="l2")
    assert dict(graph.degree()) == dict(other.degree())
    for name in ("hubness", "core_number", "triangles", "clustering", "pagerank"):
        np.testing.assert_array_equal(getattr(graph, name)()[order], getattr(other, name)())
    start = graph.personalized_pagerank(["row007", "row100"])
    np.testing.assert_array_equal(start[order], other.personalized_pagerank(["row007", "row100"]))
    a, b = graph.eigenvector_centrality(), other.eigenvector_centrality()
    np.testing.assert_array_equal(a.scores[order], b.scores)
    np.testing.assert_array_equal(a.eigenvalues[a.components][order], b.eigenvalues[b.components])
    np.testing.assert_array_equal(b.components, other.connected_components())
    for a, b in (
        (graph.label_propagation(), other.label_propagation()),
        (graph.communities().labels, other.communities().labels),
    ):
        np.testing.assert_array_equal(a[order][:, None] == a[order], b[:, None] == b)
    for method in ("flow", "pagerank"):
        found = graph.neighborhood(["row130", "row007"], 30, method)
        assert found[:2].tolist() == [130, 7]
        same = order[other.neighborhood(["row130", "row007"], 30, method)]
        np.testing.assert_array_equal(found, same)


def test_positions_follow_the_ids_asked_for() -> None:
    X = np.arange(5.0)[:, None]
    graph = SimilarityGraph.from_vectors(X, ids=["e", "d", "c", "b", "a"], k=2, metric="l2")
    assert graph.positions(["a", "e"]).tolist() == [4, 0]
    assert graph.neighborhood(["a"], 2).tolist() == [4, 3]
    with pytest.raises(IdError, match="'x'"):
        graph.positions(["a", "x"])
    unnamed = SimilarityGraph.from_vectors(X, k=2, metric="l2")
    assert unnamed.positions(3).tolist() == [3]
    for wrong in ([5], [-1], ["a"]):
        with pytest.raises(IdError):
            unnamed.positions(wrong)
