"""The sparse index: exact where all is looked up, against SciPy's product of the same weights."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from assay.index import HashedTextEmbedder, NGramHasher, SparseIndex
from assay.storage.errors import ConfigError, CorruptArtifactError, InputError
from tests.data import shared

WORDS = [f"word{i}" for i in range(60)]


def made(n: int, seed: int = 0, most: int = 25) -> list[str]:
    rng = np.random.default_rng(seed)
    rare = 1 / np.arange(1, len(WORDS) + 1)
    return [
        " ".join(rng.choice(WORDS, rng.integers(1, most), p=rare / rare.sum())) for _ in range(n)
    ]


def weighted(texts: list[str], counted: list[str]) -> sparse.csr_array:
    """Return unit rows of (1 + ln c)(1 + ln((1 + N) / (1 + f))), with f of the texts `counted`."""

    def counts(some: list[str]) -> sparse.csr_array:
        found = NGramHasher(1, 1 << 18).transform(some)
        matrix = sparse.csr_array(
            (np.ones(len(found.buckets)), found.buckets, found.indptr), shape=(len(some), 1 << 18)
        )
        matrix.sum_duplicates()
        return matrix

    f = np.asarray((counts(counted) > 0).sum(axis=0)).ravel()
    matrix = counts(texts)
    matrix.data = 1 + np.log(matrix.data)
    matrix = matrix.multiply(1 + np.log((1 + len(counted)) / (1 + f))).tocsr()
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sparse.csr_array(sparse.diags_array(1 / np.maximum(length, 1e-12)) @ matrix)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(1, 12))
def test_neighbors_are_those_of_the_product(seed: int, n: int, k: int) -> None:
    texts, asked = made(n, seed), made(7, seed + 1)
    index = SparseIndex.from_texts(texts, candidates=n, terms=64)
    similarities, positions = index.search(asked, k)
    product = (weighted(asked, texts) @ weighted(texts, texts).T).toarray()
    reach = min(k, n)
    expected = -np.sort(-product, axis=1)[:, :reach]
    np.testing.assert_allclose(similarities[:, :reach], expected, atol=1e-6)
    there = positions >= 0
    rows = np.nonzero(there)[0]
    np.testing.assert_allclose(product[rows, positions[there]], similarities[there], atol=1e-6)
    assert (similarities[~there] == 0).all()


def test_ties_go_by_id_and_the_order_of_rows_changes_nothing() -> None:
    texts = [*made(40), *made(40)]  # every text twice
    ids = [f"{i:03}" for i in np.random.default_rng(1).permutation(80)]
    index = SparseIndex.from_texts(texts, ids=ids, candidates=80)
    order = np.random.default_rng(2).permutation(80)
    moved = SparseIndex.from_texts(
        [texts[i] for i in order], ids=[ids[i] for i in order], candidates=80
    )
    asked = made(9, 5)
    values, places = index.search(asked, 6)
    others, found = moved.search(asked, 6, threads=1)
    np.testing.assert_array_equal(values, others)
    assert np.array(ids)[places].tolist() == np.array(ids)[order][found].tolist()
    for row, line in zip(values, np.array(ids)[places], strict=True):
        assert sorted(zip(-row, line, strict=True)) == list(zip(-row, line, strict=True))
    near, at = index.neighbors(1)
    # the nearest other text is the copy, or a text of the same words in another order
    assert (near[:, 0] > 1 - 1e-6).all()
    assert (at[:, 0] != np.arange(80)).all()


def test_shards_with_the_frequencies_of_all_texts_give_the_same_cosines() -> None:
    texts = made(90)
    whole = SparseIndex.from_texts(texts, candidates=90, terms=64)
    parts = [texts[:30], texts[30:]]
    counted = [SparseIndex().count_frequencies(part) for part in parts]
    summed = counted[0][0] + counted[1][0], counted[0][1] + counted[1][1]
    np.testing.assert_array_equal(summed[0], whole.frequencies)
    asked = made(5, 3)
    found = [
        SparseIndex(candidates=90, terms=64).build(part, frequencies=summed).search(asked, 4)[0]
        for part in parts
    ]
    merged = -np.sort(-np.hstack(found), axis=1)[:, :4]
    np.testing.assert_array_equal(merged, whole.search(asked, 4)[0])


def test_frequent_terms_are_not_looked_up_but_count() -> None:
    texts = [f"the {i // 2}" for i in range(600)]
    index = SparseIndex.from_texts(texts)
    values, places = index.search(["the", "the 7"], 3)
    assert (places[0] == -1).all()
    assert places[1].tolist() == [14, 15, -1]
    assert values[1, 0] == pytest.approx(1)
    assert (SparseIndex.from_texts(texts, common=1.0).search(["the"], 3)[1] >= 0).all()


def test_texts_without_words_find_nothing_and_are_never_found() -> None:
    index = SparseIndex.from_texts(["a b", None, "", "b c"], ids=list("wxyz"))
    values, places = index.search(["", None, "b"], 4)
    assert (places[:2] == -1).all()
    assert places[2].tolist() == [0, 3, -1, -1]
    assert not values[:2].any()
    assert index.search([], 2)[1].shape == (0, 2)
    assert SparseIndex.from_texts([]).search(["a"], 2)[1].tolist() == [[-1, -1]]


def test_a_saved_index_is_the_same_and_damage_is_named(tmp_path) -> None:
    texts = made(50)
    index = SparseIndex.from_texts(texts, ids=range(50), terms=8)
    index.save(tmp_path)
    for mmap in (False, True):
        again = SparseIndex.load(tmp_path, mmap=mmap)
        for one, other in zip(index.search(texts[:5], 3), again.search(texts[:5], 3), strict=True):
            np.testing.assert_array_equal(one, other)
        assert again.ids.tolist() == [str(i) for i in range(50)]
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(CorruptArtifactError, match=path.name):
            SparseIndex.load(tmp_path, mmap=True)
        path.unlink()
        with pytest.raises(CorruptArtifactError, match=path.name):
            SparseIndex.load(tmp_path)
        path.write_bytes(whole)
    np.save(tmp_path / "rows.npy", np.array([99], dtype=np.int32))
    with pytest.raises(CorruptArtifactError, match="build it again"):
        SparseIndex.load(tmp_path, verify=False)


def test_wrong_parameters_and_an_empty_index_are_refused() -> None:
    with pytest.raises(ConfigError, match="common"):
        SparseIndex(common=0)
    with pytest.raises(InputError, match="holds nothing yet"):
        SparseIndex().search(["a"])
    with pytest.raises(InputError, match="one number for each"):
        SparseIndex().build(["a"], frequencies=(np.ones(3, np.int64), 3))


def test_halves_of_documents_are_found_where_vectors_lose_them() -> None:
    texts = pl.read_parquet(shared("text_pool.parquet"), columns=["text"])["text"]
    texts = texts.unique(maintain_order=True).gather_every(20)
    words = texts.to_frame("text").select(pl.col("text").str.split(" ").alias("words"))
    words = words.filter(pl.col("words").list.len() >= 40).head(3_000)
    middle = pl.col("words").list.len() // 2
    first = words.select(pl.col("words").list.head(middle).list.join(" "))["words"]
    second = words.select(pl.col("words").list.slice(middle).list.join(" "))["words"]
    found = SparseIndex.from_texts(first).search(second[:500], 1)[1][:, 0]
    embedder = HashedTextEmbedder().fit(first)
    near = embedder.encode(second[:500]) @ embedder.encode(first).T
    truth = np.arange(500)
    assert (found == truth).mean() >= max(0.4, 2 * (near.argmax(axis=1) == truth).mean())
