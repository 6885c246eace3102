"""The default text embedding: oracles, invariances, edge cases, and neighbors on real texts."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array, random_array
from scipy.sparse.linalg import svds
from sklearn.feature_extraction.text import TfidfTransformer

from assay.index import Embedder, HashedTextEmbedder, NGramHasher, embed
from assay.index.embedding import text
from assay.index.embedding._projection import rounded, singular_directions
from assay.storage.errors import (
    ConfigError,
    InputError,
    MissingInputError,
    NonFiniteError,
    StoreError,
)
from tests.data import shared

RANDOM = np.random.default_rng(0)
WORDS = np.array([f"word{i}" for i in range(200)])
TEXTS = [
    " ".join(RANDOM.choice(WORDS[40 * (i % 3) : 40 * (i % 3) + 80], RANDOM.integers(3, 40)))
    for i in range(90)
]
IDS = [f"id-{i:03d}" for i in range(90)]


def tfidf(texts: list[str], fitted: list[str], buckets: int) -> csr_array:
    def counts(some: list[str]) -> csr_array:
        grams = NGramHasher(2, buckets).transform(some)
        found = csr_array(
            (np.ones(len(grams.buckets)), grams.buckets, grams.indptr), (len(some), buckets)
        )
        found.sum_duplicates()
        return found

    weights = TfidfTransformer(sublinear_tf=True, smooth_idf=True).fit(counts(fitted))
    return weights.transform(counts(texts))


def test_it_is_latent_semantic_analysis() -> None:
    # 30 documents are fewer than the iteration's basis, so the decomposition is exact
    fitted = TEXTS[:30]
    embedder = HashedTextEmbedder(dimensions=6, buckets=4_096).fit(fitted)
    dense = tfidf(fitted, fitted, 4_096).toarray()
    _, values, directions = np.linalg.svd(dense, full_matrices=False)
    np.testing.assert_allclose(embedder.singular_values_, values[:6], rtol=1e-5)
    assert embedder.terms_.tolist() == np.flatnonzero(dense.any(axis=0)).tolist()
    best = directions[:6, embedder.terms_].T
    best *= np.sign(best[np.abs(best).argmax(axis=0), range(6)])
    # each row is kept in 127 steps on each side of 0
    steps = np.abs(best).max(axis=1, keepdims=True) / 127
    assert (np.abs(embedder.directions_ - best) <= 0.5 * steps + 1e-4).all()
    assert embedder.levels_.dtype == np.int8
    assert (np.abs(embedder.levels_).max(axis=1) == 127).all()
    wanted = tfidf(TEXTS, fitted, 4_096)[:, embedder.terms_] @ embedder.directions_
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder.encode(TEXTS), wanted, atol=1e-5)


def test_directions_are_rounded_row_by_row() -> None:
    rows = (
        np.random.default_rng(0).normal(size=(9_000, 5))
        * 10.0 ** np.arange(-30, 30, 60 / 9_000)[:, None]
    )
    rows[17] = 0
    levels, scales = rounded(rows.astype(np.float32))
    assert scales[17] == 0
    assert not levels[17].any()
    apart = np.abs(levels * scales[:, None].astype(np.float64) - rows)
    assert (apart <= 0.501 * scales[:, None]).all()


def test_neighbors_are_those_of_directions_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pl.read_parquet(shared("text_pool.parquet"))["text"].sample(3_000, seed=2)
    fitted = []

    def kept(directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        fitted.append(directions)
        return rounded(directions)

    monkeypatch.setattr(text, "rounded", kept)
    embedder = HashedTextEmbedder().fit(texts)
    names = texts.to_list()
    full = tfidf(names, names, 1 << 17)[:, embedder.terms_] @ fitted[0]
    full /= np.maximum(np.linalg.norm(full, axis=1, keepdims=True), 1e-30)
    near = [np.argpartition(-(X[:500] @ X.T), 16)[:, :16] for X in (full, embedder.encode(texts))]
    # of 16, one of which is the text itself, for .985 of 15
    assert np.mean([np.isin(a, b).mean() for a, b in zip(*near, strict=True)]) > 0.986


def test_directions_hold_nearly_all_that_the_best_ones_hold() -> None:
    texts = pl.read_parquet(shared("text_pool.parquet"))["text"].sample(1_500, seed=1).to_list()
    embedder = HashedTextEmbedder(dimensions=64).fit(texts)
    best = svds(tfidf(texts, texts, 1 << 17), k=64, return_singular_vectors=False)
    assert (embedder.singular_values_**2).sum() > 0.92 * (best**2).sum()
    np.testing.assert_allclose(embedder.singular_values_[:8], np.sort(best)[::-1][:8], rtol=0.02)


def test_neighbors_are_of_the_same_domain() -> None:
    faiss = pytest.importorskip("faiss")
    pool = pl.read_parquet(shared("text_pool.parquet")).sample(20_000, seed=0, shuffle=True)
    assert pool["domain"].n_unique() == 21
    vectors = HashedTextEmbedder().fit(pool["text"], ids=pool["id"]).encode(pool["text"])
    lengths = np.linalg.norm(vectors, axis=1)
    np.testing.assert_allclose(lengths[lengths > 0], 1, atol=1e-5)
    domain = pool["domain"].cast(pl.Categorical).to_physical().to_numpy()
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    rows = np.arange(0, len(vectors), 4)
    _, near = index.search(vectors[rows], 16)
    # a row with more than 15 copies may not find itself
    near[np.cumsum(near == rows[:, None], axis=1).max(axis=1) == 0, -1] = -1
    others = near[(near != rows[:, None]) & (near >= 0)].reshape(len(rows), 15)
    assert (domain[others] == domain[rows, None]).mean() >= 0.60


def test_batches_do_not_change_a_bit() -> None:
    embedder = HashedTextEmbedder(dimensions=19, buckets=512).fit(TEXTS[:50])
    whole = embedder.encode(TEXTS)
    assert whole.dtype == np.float32
    assert whole.flags.c_contiguous
    for size in (1, 7, 64):
        parts = [embedder.encode(TEXTS[i : i + size]) for i in range(0, len(TEXTS), size)]
        assert np.concatenate(parts).tobytes() == whole.tobytes()
    assert embedder.encode(pa.chunked_array([TEXTS[:3], TEXTS[3:]])).tobytes() == whole.tobytes()
    assert embedder.encode(pl.Series(TEXTS)).tobytes() == whole.tobytes()


@given(st.permutations(range(90)))
@settings(deadline=None, max_examples=10)
def test_the_order_of_rows_does_not_change_a_bit(order: list[int]) -> None:
    embedder = HashedTextEmbedder(dimensions=5, buckets=512, fit_rows=30)
    wanted = embedder.fit(TEXTS, ids=IDS).fingerprint
    shuffled = embedder.fit([TEXTS[i] for i in order], ids=[IDS[i] for i in order])
    assert shuffled.fingerprint == wanted


@pytest.mark.parametrize("seed", [0, 7])
def test_the_sample_is_the_rows_of_smallest_hash(seed: int) -> None:
    salt = b"" if seed == 0 else seed.to_bytes(8, "little")

    def words(i: int) -> tuple[int, int]:
        digest = hashlib.blake2b(IDS[i].encode(), digest_size=16, salt=salt).digest()
        return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")

    smallest = sorted(range(90), key=words)[:30]
    parameters: dict[str, Any] = {
        "dimensions": 4, "buckets": 512, "fit_rows": 30, "random_state": seed,
    }  # fmt: skip
    wanted = HashedTextEmbedder(**parameters).fit(
        [TEXTS[i] for i in smallest], ids=[IDS[i] for i in smallest]
    )
    assert HashedTextEmbedder(**parameters).fit(TEXTS, ids=IDS).fingerprint == wanted.fingerprint


def test_without_ids_the_position_counts() -> None:
    by_position = HashedTextEmbedder(dimensions=4, buckets=512, fit_rows=30).fit(TEXTS)
    named = HashedTextEmbedder(dimensions=4, buckets=512, fit_rows=30)
    assert named.fit(TEXTS, ids=[str(i) for i in range(90)]).fingerprint == by_position.fingerprint


def test_threads_do_not_change_a_bit() -> None:
    code = (
        "from assay.index import HashedTextEmbedder;"
        "import numpy as np; r = np.random.default_rng(0);"
        "t = [' '.join(map(str, r.integers(0, 900, 60))) for _ in range(700)];"
        "print(HashedTextEmbedder(dimensions=40).fit(t).fingerprint)"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n},
            capture_output=True, text=True, check=True,
        ).stdout
        for n in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1


@pytest.mark.parametrize(
    ("texts", "rank"),
    [
        (["a b", "a b", "a b"], 1),
        (["a", "b", "", None], 2),
        (["one two three four five six"], 1),
        (["", None, " "], 0),
        ([], 0),
    ],
)
def test_fewer_directions_than_dimensions(texts: list[str | None], rank: int) -> None:
    embedder = HashedTextEmbedder(dimensions=9, buckets=1_000).fit(texts)
    assert embedder.directions_.shape == (len(embedder.terms_), 9)
    assert np.count_nonzero(embedder.singular_values_) == rank
    assert not embedder.directions_[:, rank:].any()
    vectors = embedder.encode([*texts, "unheard of", None])
    assert vectors.shape == (len(texts) + 2, 9)
    assert np.isfinite(vectors).all()
    full = [bool(text and text.strip()) for text in texts]
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [*full, False, False], atol=1e-6)


def test_equal_texts_have_equal_vectors_and_unlike_ones_are_far_apart() -> None:
    vectors = embed(["red apple pie", "steel bridge", "red apple pie"] * 3, dimensions=4)
    assert vectors[0].tobytes() == vectors[2].tobytes()
    assert vectors[0] @ vectors[1] < 1e-3


def test_save_and_load(tmp_path: Path) -> None:
    embedder = HashedTextEmbedder(dimensions=7, ngrams=3, buckets=999, random_state=3).fit(TEXTS)
    embedder.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".npy", ".json"}
    loaded = HashedTextEmbedder.load(tmp_path)
    assert loaded.fingerprint == embedder.fingerprint
    assert loaded.encode(TEXTS).tobytes() == embedder.encode(TEXTS).tobytes()
    assert loaded.random_state == 3
    np.testing.assert_array_equal(loaded.singular_values_, embedder.singular_values_)
    description = json.loads((tmp_path / "embedder.json").read_text())
    description["revision"] += 1
    (tmp_path / "embedder.json").write_text(json.dumps(description))
    with pytest.raises(StoreError, match="revision"):
        HashedTextEmbedder.load(tmp_path)
    (tmp_path / "idf.npy").unlink()
    with pytest.raises(StoreError, match="no embedder"):
        HashedTextEmbedder.load(tmp_path)


def test_an_embedder_that_is_loaded_is_not_hashed_before_that_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    HashedTextEmbedder(dimensions=4, buckets=512).fit(TEXTS).save(tmp_path)
    monkeypatch.delattr(hashlib, "blake2b")
    loaded = HashedTextEmbedder.load(tmp_path)
    assert loaded.encode(TEXTS).shape == (90, 4)
    with pytest.raises(AttributeError):
        _ = loaded.fingerprint


def test_the_fit_holds_one_matrix_of_all_terms_beside_the_directions() -> None:
    documents, terms, dimensions = 500, 40_000, 96
    weights = csr_array(random_array((documents, terms), density=0.01, rng=0), dtype=np.float32)
    singular_directions(weights, dimensions, 0)  # compiled
    tracemalloc.start()
    singular_directions(weights, dimensions, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    held = 8 * terms * (dimensions + 32) + 4 * terms * dimensions
    assert peak < held + 2 * weights.nnz * 12 + 2**23


def test_the_fingerprint_changes_with_what_it_stands_for() -> None:
    def fitted(texts: list[str] = TEXTS, **changed: Any) -> str:
        parameters = {"dimensions": 4, "buckets": 512, "fit_rows": 50, **changed}
        return HashedTextEmbedder(**parameters).fit(texts).fingerprint

    found = [
        fitted(), fitted(["changed", *TEXTS[1:]], fit_rows=90), fitted(fit_rows=90),
        fitted(dimensions=5), fitted(ngrams=1), fitted(buckets=513), fitted(random_state=1),
    ]  # fmt: skip
    assert len(set(found)) == len(found)
    assert fitted() == found[0]
    assert len(found[0]) == 32
    assert set(found[0]) <= set("0123456789abcdef")


def test_what_is_wrong_is_refused() -> None:
    for wrong in ({"dimensions": 0}, {"fit_rows": 0.5}, {"random_state": -1}, {"buckets": 0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            HashedTextEmbedder(**wrong)
    with pytest.raises(MissingInputError, match="fit"):
        HashedTextEmbedder().encode(["a"])
    with pytest.raises(MissingInputError):
        _ = HashedTextEmbedder().fingerprint
    with pytest.raises(InputError, match="2 ids for 1 texts"):
        HashedTextEmbedder().fit(["a"], ids=["a", "b"])


def test_the_protocol() -> None:
    assert isinstance(HashedTextEmbedder().fit(["a"]), Embedder)
    assert not isinstance(object(), Embedder)


def test_embed_takes_texts() -> None:
    wanted = HashedTextEmbedder(dimensions=8, random_state=2).fit(TEXTS, ids=IDS).encode(TEXTS)
    for texts in (TEXTS, tuple(TEXTS), pl.Series(TEXTS), pa.array(TEXTS), np.array(TEXTS)):
        found = embed(texts, ids=IDS, dimensions=8, random_state=2)
        assert found.tobytes() == wanted.tobytes()


def test_embed_takes_vectors_as_they_are() -> None:
    X = np.arange(12, dtype=np.float32).reshape(4, 3)
    assert embed(X) is X
    lists = X.tolist()
    kinds = [
        X.astype(np.int64),
        X.astype(np.float64),
        np.asfortranarray(X),
        np.repeat(X, 2, axis=0)[::2],
        lists,
        list(X),
        pl.DataFrame(X),
        pl.Series(lists, dtype=pl.List(pl.Float64)),
        pl.Series(lists, dtype=pl.Array(pl.Float32, 3)),
        pa.array(lists),
        pa.array([[9, 9, 9], *lists], pa.list_(pa.float32(), 3))[1:],
        pa.chunked_array([pa.array(lists[:1]), pa.array(lists[1:])]),
    ]
    for kind in kinds:
        found = embed(kind)
        assert found.dtype == np.float32
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, X)
    assert embed(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (np.array([[1.0, np.nan]]), NonFiniteError),
        (np.array([[1.0, 1e300]]), NonFiniteError),
        (np.ones(3), InputError),
        (np.ones((2, 2, 2)), InputError),
        (np.array([["a", "b"]]), InputError),
        ([[1.0], [1.0, 2.0]], InputError),
        (pa.array([[1.0], [1.0, 2.0]]), InputError),
        (pa.array([[1.0], None]), InputError),
        (pl.Series([1, 2]), InputError),
        ("text", InputError),
        (5, InputError),
    ],
)
def test_embed_refuses(wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        embed(wrong)
