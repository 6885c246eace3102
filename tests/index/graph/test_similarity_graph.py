from __future__ import annotations

import json

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from assay.index import SimilarityGraph
from assay.storage.errors import (
    ConfigError,
    CorruptArtifactError,
    IdError,
    InputError,
    NonFiniteError,
)
from tests.data import shared


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(400, 6)).astype(np.float32)


@pytest.fixture(scope="module")
def ids() -> list[str]:
    return [f"é{i * 7919 % 400}" for i in range(400)]


def test_union_and_mutual_by_hand() -> None:
    X = [[0.0], [1.0], [5.0], [7.0], [3.0]]
    union = SimilarityGraph.from_vectors(X, k=1, metric="l2", ids=["a", "b", "c", "d", "e"])
    np.testing.assert_array_equal(union.neighbors.ravel(), [1, 0, 3, 2, 1])
    np.testing.assert_array_equal(union.indptr, [0, 1, 3, 4, 5, 6])
    np.testing.assert_array_equal(union.indices, [1, 0, 4, 3, 2, 1])
    np.testing.assert_allclose(union.weights, [1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3, 1 / 3])
    np.testing.assert_allclose(union.distances().ravel(), [1, 1, 2, 2, 2])
    np.testing.assert_allclose(union.similarities.ravel(), [1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3])
    assert union.hubness().tolist() == [1, 2, 1, 1, 0]
    assert union.degree().tolist() == [1, 2, 1, 1, 1]
    assert union.connected_components().tolist() == [0, 0, 1, 1, 0]
    assert union.report_["edges"] == union.number_of_edges() == 3
    mutual = SimilarityGraph.from_vectors(X, k=1, metric="l2", symmetrise="mutual")
    np.testing.assert_array_equal(mutual.to_scipy().nonzero(), [[0, 1, 2, 3], [1, 0, 3, 2]])


def test_weights_of_the_metrics() -> None:
    X = [[1.0, 0.0], [1.0, 1.0], [-3.0, 0.0]]
    cosine = SimilarityGraph.from_vectors(X, k=2)
    root = 2**-0.5
    np.testing.assert_allclose(
        cosine.to_scipy().toarray(), [[0, root, 1e-6], [root, 0, 1e-6], [1e-6, 1e-6, 0]], rtol=1e-6
    )
    np.testing.assert_allclose(cosine.similarities[0], [root, -1], rtol=1e-6)
    np.testing.assert_allclose(cosine.distances()[0], [1 - root, 2], rtol=1e-6)
    ip = SimilarityGraph.from_vectors(X, k=1, metric="ip")
    np.testing.assert_allclose(ip.similarities.ravel(), [1, 1, -3])
    np.testing.assert_allclose(ip.distances().ravel(), [-1, -1, 3])
    assert ip.weights.min() == np.float32(1e-6)


@settings(max_examples=80, deadline=None)
@given(
    X=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 25), st.integers(1, 4)),
        elements=st.one_of(
            st.sampled_from([0.0, 1.0]),
            # numbers that are all below 1e-16 are refused
            st.floats(-100, 100, width=32).map(lambda x: x if abs(x) > 1e-6 else 0.0),
        ),
    ),
    k=st.integers(1, 6),
    metric=st.sampled_from(["cosine", "l2", "ip"]),
)
def test_edges_are_symmetric_sorted_and_without_loops(X: np.ndarray, k: int, metric: str) -> None:
    union = SimilarityGraph.from_vectors(X, k=k, metric=metric)
    mutual = SimilarityGraph.from_vectors(X, k=k, metric=metric, symmetrise="mutual")
    for graph in (union, mutual):
        dense = graph.to_scipy().toarray()
        assert graph.indptr.dtype == np.int64
        assert graph.indices.dtype == graph.neighbors.dtype == np.int32
        assert graph.weights.dtype == graph.similarities.dtype == np.float32
        assert graph.indptr[-1] == len(graph.indices) == len(graph.weights)
        assert (graph.weights > 0).all()
        np.testing.assert_array_equal(dense, dense.T)
        assert not dense.diagonal().any()
        for i in range(len(X)):
            assert (np.diff(graph.indices[graph.indptr[i] : graph.indptr[i + 1]]) > 0).all()
    listed = np.zeros((len(X), len(X)), bool)
    for i, row in enumerate(union.neighbors):
        listed[i, row[row >= 0]] = True
    np.testing.assert_array_equal(union.to_scipy().toarray() > 0, listed | listed.T)
    np.testing.assert_array_equal(mutual.to_scipy().toarray() > 0, listed & listed.T)
    assert ((union.neighbors >= 0) == np.isfinite(union.similarities)).all()
    assert (union.similarities[:, :-1] >= union.similarities[:, 1:]).all()


@pytest.mark.parametrize("method", ["exact", "block_join", "ivf", "hnsw", "nn_descent"])
def test_order_of_the_rows_and_threads_change_nothing(
    X: np.ndarray, ids: list[str], method: str
) -> None:
    X = np.concatenate([X, X[:50]])
    ids = ids + [f"copy {i}" for i in range(50)]
    one = SimilarityGraph.from_vectors(X, ids=ids, k=5, method=method, threads=1)
    perm = np.random.default_rng(1).permutation(len(X))
    moved = SimilarityGraph.from_vectors(
        X[perm], ids=[ids[i] for i in perm], k=5, method=method, threads=2
    )
    np.testing.assert_array_equal(perm[moved.neighbors], one.neighbors[perm])
    np.testing.assert_array_equal(moved.distances(), one.distances()[perm])
    assert (moved.to_scipy() != one.to_scipy()[perm][:, perm]).nnz == 0
    np.testing.assert_array_equal(moved.pagerank(), one.pagerank()[perm])
    start = np.arange(len(X), dtype=float)
    np.testing.assert_array_equal(
        moved.pagerank(personalization=start[perm]), one.pagerank(personalization=start)[perm]
    )
    np.testing.assert_array_equal(moved.core_number(), one.core_number()[perm])
    assert moved.report_ == one.report_
    assert one.report_["duplicates"] == 50


def test_ties_break_by_id_not_by_position() -> None:
    X = [[0.0], [1.0], [-1.0], [1.0]]
    graph = SimilarityGraph.from_vectors(X, ids=["q", "b", "a", "B"], k=2, metric="l2")
    np.testing.assert_array_equal(graph.neighbors[0], [3, 2])
    numbered = SimilarityGraph.from_vectors(X, ids=[1, 10, 9, 2], k=2, metric="l2")
    np.testing.assert_array_equal(numbered.neighbors[0], [1, 3])
    assert numbered.ids.tolist() == ["1", "10", "9", "2"]


def test_too_few_rows() -> None:
    alone = SimilarityGraph.from_vectors([[1.0, 2.0]], k=3)
    assert alone.neighbors.tolist() == [[-1, -1, -1]]
    assert alone.number_of_edges() == 0
    assert alone.pagerank().tolist() == [1.0]
    assert alone.core_number().tolist() == [0]
    three = SimilarityGraph.from_vectors([[0.0], [1.0], [3.0]], k=9, metric="l2")
    assert three.neighbors.shape == (3, 9)
    assert (three.neighbors[:, 2:] == -1).all()
    assert np.isneginf(three.similarities[:, 2:]).all()
    assert np.isinf(three.distances()[:, 2:]).all()
    assert three.number_of_edges() == 3


def test_wrong_input_is_refused(X: np.ndarray) -> None:
    build = SimilarityGraph.from_vectors
    with pytest.raises(InputError, match="at least one row"):
        build(np.empty((0, 3)))
    with pytest.raises(InputError, match="two-dimensional"):
        build(np.arange(3.0))
    with pytest.raises(InputError, match="two-dimensional"):
        build([["a", "b"]])
    with pytest.raises(InputError, match="equal length"):
        build([[1.0], [1.0, 2.0]])
    bad = X.copy()
    bad[[3, 5, 6, 7, 8, 9], 0] = [np.nan, np.inf, -np.inf, np.nan, np.nan, np.nan]
    names = [f"s{i}" for i in range(400)]
    with pytest.raises(NonFiniteError, match=r"^6 of 400 .*'s3', 's5', 's6', 's7', 's8', \.\.\."):
        build(bad, ids=names)
    with pytest.raises(NonFiniteError, match=r"1 of 1 .*: 0"):
        build(np.array([[1e300]]))
    with pytest.raises(IdError, match=r"occur more than once: 'a'"):
        build(X[:3], ids=["a", "b", "a"])
    with pytest.raises(IdError, match="2 ids for 3 rows"):
        build(X[:3], ids=["a", "b"])
    with pytest.raises(IdError, match="null"):
        build(X[:2], ids=["a", None])
    with pytest.raises(IdError, match="text or integers"):
        build(X[:2], ids=[0.5, 1.5])
    for wrong in (
        {"k": 0},
        {"k": 2.5},
        {"metric": "manhattan"},
        {"method": "magic"},
        {"symmetrise": "both"},
        {"target_recall": 0},
        {"target_recall": 1.5},
        {"threads": 0},
    ):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            build(X, **wrong)


def test_read_only_and_other_types_of_vectors(X: np.ndarray) -> None:
    expected = SimilarityGraph.from_vectors(X, k=4).neighbors
    frozen = X.copy()
    frozen.flags.writeable = False
    for same in (frozen, X.astype(np.float64), np.asfortranarray(X), X.tolist(), pl.DataFrame(X)):
        np.testing.assert_array_equal(SimilarityGraph.from_vectors(same, k=4).neighbors, expected)


def test_save_and_load(X: np.ndarray, ids: list[str], tmp_path) -> None:
    for i, graph in enumerate(
        (
            SimilarityGraph.from_vectors(X, ids=ids, k=4, method="block_join"),
            SimilarityGraph.from_vectors(X, k=4, metric="l2", symmetrise="mutual"),
        )
    ):
        folder = tmp_path / str(i)
        folder.mkdir()
        graph.save(folder)
        back = SimilarityGraph.load(folder)
        for name in ("indptr", "indices", "weights", "neighbors", "similarities", "centroids_"):
            np.testing.assert_array_equal(getattr(back, name), getattr(graph, name))
        np.testing.assert_array_equal(back.distances(), graph.distances())
        assert back.report_ == graph.report_
        assert (back.metric, back.k, back.symmetrise) == (graph.metric, 4, graph.symmetrise)
        assert (back.ids is None) == (graph.ids is None)
        if graph.ids is not None:
            assert back.ids.tolist() == graph.ids.tolist() == ids
        assert not [
            path for path in folder.iterdir() if path.suffix not in (".npy", ".json", ".parquet")
        ]


def test_a_broken_folder_is_refused(X: np.ndarray, tmp_path) -> None:
    graph = SimilarityGraph.from_vectors(X, k=4)
    graph.save(tmp_path)
    with pytest.raises(CorruptArtifactError, match="build it again"):
        SimilarityGraph.load(tmp_path / "nowhere")
    said = json.loads((tmp_path / "graph.json").read_text())
    (tmp_path / "graph.json").write_text(json.dumps(said | {"entries": 7}))
    with pytest.raises(CorruptArtifactError, match="fit together"):
        SimilarityGraph.load(tmp_path)
    (tmp_path / "graph.json").write_text(json.dumps(said))
    wild = graph.indices.copy()
    wild[5] = 400
    np.save(tmp_path / "indices.npy", wild)
    with pytest.raises(CorruptArtifactError, match="fit together"):
        SimilarityGraph.load(tmp_path)
    (tmp_path / "indices.npy").write_bytes((tmp_path / "indices.npy").read_bytes()[:100])
    with pytest.raises(CorruptArtifactError):
        SimilarityGraph.load(tmp_path)


def test_networkx_graph_has_the_same_edges(X: np.ndarray, ids: list[str]) -> None:
    graph = SimilarityGraph.from_vectors(X, ids=ids, k=3)
    other = graph.to_networkx()
    assert list(other) == list(graph) == ids
    assert [other.nodes[i]["sample_id"] for i in ids] == ids
    assert other.number_of_edges() == graph.number_of_edges()
    np.testing.assert_array_equal(nx.to_numpy_array(other), graph.to_scipy().toarray())
    assert ids[399] in graph
    assert 399 not in graph
    assert "é400" not in graph
    assert SimilarityGraph.from_vectors(X[:3], k=1).to_networkx().nodes[2]["sample_id"] == "2"


def test_centroids_come_from_the_block_join_only(X: np.ndarray) -> None:
    assert SimilarityGraph.from_vectors(X, k=3).centroids_ is None
    join = SimilarityGraph.from_vectors(X, k=3, method="block_join")
    assert join.centroids_.shape == (join.report_["blocks"], 6)
    np.testing.assert_allclose(np.linalg.norm(join.centroids_, axis=1), 1, rtol=1e-5)


def test_real_features_with_many_equal_rows() -> None:
    frame = pl.read_parquet(shared("adbench/CIFAR10_4_resnet18.parquet")).drop("y")
    X = frame.to_numpy().astype(np.float32)
    graph = SimilarityGraph.from_vectors(X, k=10)
    equal = len(X) - len(np.unique(X, axis=0))
    assert graph.report_["duplicates"] == equal
    assert (graph.neighbors >= 0).all()
    assert (graph.hubness() <= len(X) - 1).all()
    assert graph.hubness().sum() == graph.neighbors.size
