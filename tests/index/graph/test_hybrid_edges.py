"""Graphs of texts by vectors and by words, against brute force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.index import SimilarityGraph, SparseIndex
from assay.storage.errors import ConfigError, InputError

N = 120


@pytest.fixture(scope="module")
def pool() -> tuple[list[str], np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(60)]
    texts = [" ".join(rng.choice(words, rng.integers(1, 9))) for _ in range(N)]
    texts[7] = ""
    X = rng.normal(size=(N, 6)).astype(np.float32)
    return texts, X, [f"r{i:03}" for i in rng.permutation(N)]


def dense_matrix(graph: SimilarityGraph) -> np.ndarray:
    return np.asarray(graph.to_scipy().todense())


@pytest.mark.parametrize("k", [1, 4, 10])
def test_weights_are_half_the_sum_of_both_cosines(pool: Any, k: int) -> None:
    texts, X, ids = pool
    graph = SimilarityGraph.from_texts(texts, vectors=X, ids=ids, k=k)
    plain = SimilarityGraph.from_vectors(X, ids=ids, k=k)
    cosines, positions = SparseIndex.from_texts(texts, ids=ids).neighbors(k)
    by_words = np.zeros((N, N))
    for i in range(N):
        for value, j in zip(cosines[i], positions[i], strict=True):
            if j >= 0:
                by_words[i, j] = by_words[j, i] = max(value, by_words[i, j])
    np.testing.assert_allclose(dense_matrix(graph), (dense_matrix(plain) + by_words) / 2, atol=1e-7)
    # the lists are those of the vectors
    np.testing.assert_array_equal(graph.neighbors, plain.neighbors)
    np.testing.assert_array_equal(graph.similarities, plain.similarities)
    assert graph.report_["edges"] == graph.number_of_edges() > plain.number_of_edges()
    assert graph.report_["edges_by_vectors"] == plain.number_of_edges()
    assert graph.report_["without_words"] >= 1


def test_order_of_rows_and_threads_do_not_matter(pool: Any) -> None:
    texts, X, ids = pool
    one = SimilarityGraph.from_texts(texts, vectors=X, ids=ids, threads=1)
    order = np.random.default_rng(1).permutation(N)
    two = SimilarityGraph.from_texts(
        [texts[i] for i in order], vectors=X[order], ids=[ids[i] for i in order], threads=2
    )
    np.testing.assert_array_equal(dense_matrix(one)[np.ix_(order, order)], dense_matrix(two))


def test_texts_alone_are_embedded_and_dense_is_from_vectors(pool: Any) -> None:
    texts, X, ids = pool
    graph = SimilarityGraph.from_texts(texts, ids=ids, k=3)
    assert graph.number_of_edges() > 0
    dense = SimilarityGraph.from_texts(texts, vectors=X, ids=ids, k=3, kind="dense", metric="l2")
    np.testing.assert_array_equal(
        dense_matrix(dense),
        dense_matrix(SimilarityGraph.from_vectors(X, ids=ids, k=3, metric="l2")),
    )


def test_it_is_kept_on_disk_and_is_not_updated(pool: Any, tmp_path: Path) -> None:
    texts, X, ids = pool
    graph = SimilarityGraph.from_texts(texts, vectors=X, ids=ids, k=3)
    graph.save(tmp_path)
    again = SimilarityGraph.load(tmp_path)
    np.testing.assert_array_equal(dense_matrix(again), dense_matrix(graph))
    for kept in (graph, again):
        with pytest.raises(InputError, match="vectors and words"):
            kept.insert(X[:1], ids=["new"], vectors=X)


def test_what_does_not_fit_is_refused(pool: Any) -> None:
    texts, X, _ = pool
    for setting in ({"metric": "l2"}, {"robust": "context"}, {"symmetrise": "mutual"}):
        with pytest.raises(ConfigError, match=f"{next(iter(setting))}="):
            SimilarityGraph.from_texts(texts, vectors=X, **setting)
    with pytest.raises(ConfigError, match="kind"):
        SimilarityGraph.from_texts(texts, vectors=X, kind="sparse")
    with pytest.raises(InputError, match="119 texts"):
        SimilarityGraph.from_texts(texts[1:], vectors=X)
