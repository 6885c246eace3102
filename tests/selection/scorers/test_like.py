"""More like these: the mean cosine with the seeds, by vectors and by rare words."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assay.index import HashedTextEmbedder, SimilarityGraph
from assay.selection import Like, LikeVectors, LikeWords
from assay.storage.errors import IdError, MissingInputError
from tests.data import shared
from tests.index.search.test_sparse_index import made, weighted

IDS = [f"r{i:03}" for i in np.random.default_rng(0).permutation(120)]


def test_words_are_compared_as_the_product_of_weights_does() -> None:
    texts, seeds = made(120), [3, 50, 77]
    scorer = LikeWords(seeds=[IDS[i] for i in seeds]).fit(texts, ids=IDS)
    rows = weighted(texts, texts)
    expected = (rows @ rows[seeds].T).toarray().mean(axis=1)
    np.testing.assert_allclose(scorer.scores_, expected, atol=1e-6)
    assert scorer.report_ == {"rows": 120, "seeds": 3, "reached": int((expected > 0).sum())}


def test_vectors_are_compared_as_numpy_does() -> None:
    X = np.random.default_rng(1).normal(size=(120, 6)).astype(np.float32)
    X[5] = 0
    scorer = LikeVectors(seeds=["r007", "r100", "r100"]).fit(X, ids=IDS)
    unit = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9)
    seeds = [IDS.index("r007"), IDS.index("r100")]
    np.testing.assert_allclose(scorer.scores_, (unit @ unit[seeds].T).mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("scorer", [LikeWords, LikeVectors])
def test_seeds_are_needed_and_must_be_known(scorer) -> None:
    X = made(5) if scorer is LikeWords else np.eye(5)
    for seeds in (None, [], "r007", True, {"r007": 1}, [None], [["r007"]], np.array("r007")):
        with pytest.raises(MissingInputError, match="needs seeds"):
            scorer(seeds=seeds).fit(X)
    with pytest.raises(MissingInputError, match="X was not given"):
        scorer(seeds=["1"]).fit()
    with pytest.raises(IdError, match="'nobody'"):
        scorer(seeds=["nobody", "1"]).fit(X)


def test_more_like_five_seeds_of_a_newsgroup_are_of_it() -> None:
    pool = pl.read_parquet(shared("text_pool.parquet"))
    pool = pool.filter(pl.col("source") == "20newsgroups").gather_every(4)
    texts, label = pool["text"], pool["label"].to_numpy()
    X = HashedTextEmbedder().fit(texts).encode(texts)
    graph = SimilarityGraph.from_vectors(X, k=15)
    rng, shares = np.random.default_rng(0), []
    for name in np.unique(label)[::2]:
        seeds = rng.choice(np.flatnonzero(label == name), 5, replace=False)
        found = [
            LikeWords(seeds=seeds).fit(texts).scores_,
            LikeVectors(seeds=seeds).fit(X).scores_,
            Like(seeds=seeds).fit(graph=graph).scores_,
        ]
        for scores in found:
            scores[seeds] = -1
        shares.append([(label[np.argsort(-scores)[:25]] == name).mean() for scores in found])
    words, vectors, graph_share = np.mean(shares, axis=0)
    assert min(words, vectors) >= graph_share - 0.05
