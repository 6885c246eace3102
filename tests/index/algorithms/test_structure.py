"""Where nodes stand in their graph, against dense formulas, SciPy and networkx."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import svds

from assay.index import SimilarityGraph
from assay.index.algorithms import structure
from assay.index.algorithms.structure import joined_vectors, structure_vectors
from assay.storage.errors import ConfigError, InputError


def weighted(graph: nx.Graph, seed: int = 0) -> sparse.csr_array:
    A = nx.to_scipy_sparse_array(graph, dtype=float, format="csr")
    draw = np.random.default_rng(seed).uniform(0.5, 2.0, A.shape)
    return sparse.csr_array(A.multiply(draw + draw.T))


def normalized(A: sparse.csr_array) -> np.ndarray:
    dense = A.toarray()
    root = np.sqrt(dense.sum(axis=1))
    return dense / root[:, None] / root[None, :]


def dense_walks(A: sparse.csr_array) -> np.ndarray:
    dense = A.toarray()
    degrees = dense.sum(axis=1)
    step = dense / degrees[:, None]
    total = sum(np.linalg.matrix_power(step, r) for r in range(1, structure.WINDOW + 1))
    walks = degrees.sum() / structure.WINDOW * total / degrees[None, :]
    return np.log(np.maximum(walks, 1.0))


def gram_of_svd(M: np.ndarray, dimensions: int) -> np.ndarray:
    left, values, _ = np.linalg.svd(M)
    kept = left[:, :dimensions]
    return kept * values[:dimensions] @ kept.T


@pytest.mark.parametrize("nodes", [40, 450])
def test_spectral_is_the_svd_of_the_normalized_edges(nodes: int) -> None:
    A = weighted(nx.connected_watts_strogatz_graph(nodes, 6, 0.4, seed=1))
    vectors = structure_vectors(A, 5)
    M = normalized(A)
    root = np.sqrt(A.toarray().sum(axis=1))
    first = np.outer(root, root) / (root @ root)
    np.testing.assert_allclose(vectors @ vectors.T, gram_of_svd(M, 6) - first, atol=1e-8)
    left, values, _ = svds(sparse.csr_array(M), 6, random_state=0)
    # all but the first, which is the same for all nodes but for their degree
    order = np.argsort(-values)[1:]
    scaled = left[:, order] * np.sqrt(values[order])
    np.testing.assert_allclose(np.abs(vectors), np.abs(scaled), atol=1e-8)


@pytest.mark.parametrize("nodes", [30, 450])
def test_netmf_is_the_svd_of_the_dense_walks(nodes: int) -> None:
    A = weighted(nx.connected_watts_strogatz_graph(nodes, 4, 0.3, seed=2))
    vectors = structure_vectors(A, 6, "netmf")
    np.testing.assert_allclose(vectors @ vectors.T, gram_of_svd(dense_walks(A), 6), atol=1e-7)


def test_nodes_without_edges_and_missing_directions_are_zero() -> None:
    A = sparse.csr_array((np.ones(2), ([0, 1], [1, 0])), shape=(4, 4))
    for method in structure.METHODS:
        vectors = structure_vectors(A, 7, method)
        assert vectors.shape == (4, 7)
        np.testing.assert_allclose(vectors[2:], 0, atol=1e-7)
        np.testing.assert_allclose(vectors[:, 2:], 0, atol=1e-7)


def test_components_and_sides_are_left_out_and_the_others_are_those_of_each_component() -> None:
    parts = [
        nx.connected_watts_strogatz_graph(300, 6, 0.4, seed=4),
        nx.connected_watts_strogatz_graph(200, 6, 0.4, seed=5),
        nx.path_graph(2), nx.path_graph(2), nx.star_graph(3), nx.cycle_graph(3),
    ]  # fmt: skip
    A = weighted(nx.disjoint_union_all(parts))
    M = normalized(A)
    values, vectors = np.linalg.eigh(M)
    inner = np.abs(values) < 1 - 1e-9
    # one of 1 for each of six components, one of -1 for each without an odd cycle
    assert (~inner).sum() == 6 + 3
    first = np.argsort(-np.abs(values[inner]))[:12]
    kept = vectors[:, inner][:, first]
    found = structure_vectors(A, 12)
    expected = kept * np.abs(values[inner][first]) @ kept.T
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-7)


def test_beyond_the_core_nodes_get_the_mean_of_neighbors_that_have_a_vector() -> None:
    clique = nx.complete_graph(8)
    clique.add_edges_from([(0, 8), (1, 8), (8, 9), (9, 10), (11, 12)])
    A = weighted(clique)
    vectors = structure_vectors(A, 3, "netmf", most=8)
    core = structure_vectors(sparse.csr_array(A[:8][:, :8]), 3, "netmf")
    np.testing.assert_array_equal(vectors[:8], core)
    w = A.toarray()
    mean = (w[8, 0] * core[0] + w[8, 1] * core[1]) / (w[8, 0] + w[8, 1])
    np.testing.assert_allclose(vectors[8], mean)
    np.testing.assert_allclose(vectors[9], vectors[8])
    np.testing.assert_allclose(vectors[10], vectors[8])
    np.testing.assert_array_equal(vectors[11:], 0)
    with pytest.raises(InputError, match="8 nodes"):
        structure_vectors(A, 3, "netmf", most=7)


def test_the_order_of_rows_does_not_matter_where_there_are_ids() -> None:
    edges = nx.connected_watts_strogatz_graph(60, 6, 0.4, seed=3).edges
    frame = {"source": [f"{a:02}" for a, _ in edges], "target": [f"{b:02}" for _, b in edges]}
    ids = [f"{i:02}" for i in range(60)]
    order = np.random.default_rng(0).permutation(60)
    one = SimilarityGraph.from_edges(frame, ids=ids)
    two = SimilarityGraph.from_edges(frame, ids=[ids[i] for i in order])
    for method in structure.METHODS:
        np.testing.assert_array_equal(one.structure(8, method)[order], two.structure(8, method))
    with pytest.raises(ConfigError, match="spectral"):
        one.structure(method="deepwalk")


def test_both_parts_weigh_as_much() -> None:
    X, S = np.random.default_rng(0).normal(size=(2, 5, 3))
    S[4] = 0
    both = joined_vectors(X, S)
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(both[:4, :3], axis=1), np.sqrt(0.5), atol=1e-6)
    np.testing.assert_allclose(both[4, :3], X[4] / np.linalg.norm(X[4]), atol=1e-6)
