"""Only content that is new is encoded, and once."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.index.embedding.cache import encode_new, find_rows, new_rows, number_contents
from assay.storage.errors import InputError
from assay.storage.hashing.rows import hash_rows, hex_digests


class Counting:
    """An embedder that remembers what it encoded."""

    fingerprint = "f"

    def __init__(self) -> None:
        self.encoded: list[str] = []
        self.calls = 0

    def encode(self, texts: Any) -> np.ndarray:
        found = texts.to_pylist() if isinstance(texts, pa.Array) else list(texts)
        self.encoded += found
        self.calls += 1
        return np.array([[len(text), ord(text[0])] for text in found], np.float32).reshape(-1, 2)


@given(st.lists(st.sampled_from("abcdefgh")), st.sets(st.sampled_from("abcdefgh")), st.booleans())
@settings(deadline=None)
def test_as_encoding_everything_but_with_fewer_rows(
    texts: list[str], known: set[str], text_hashes: bool
) -> None:
    def hashed(some: list[str]) -> Any:
        found = hash_rows(pl.Series(some, dtype=pl.String))
        return hex_digests(found) if text_hashes else found

    embedder = Counting()
    there = sorted(known)
    vectors, rows = encode_new(
        embedder, hashed(texts), texts, hashed(there), Counting().encode(there)
    )
    assert vectors.tobytes() == Counting().encode(texts).tobytes()
    assert vectors.shape == (len(texts), 2)
    assert embedder.encoded == list(dict.fromkeys(t for t in texts if t not in known))
    assert [texts[row] for row in rows] == embedder.encoded
    assert rows.tolist() == sorted(rows.tolist())


def test_a_second_run_encodes_what_is_new() -> None:
    embedder = Counting()
    first = [f"text {i % 70}" for i in range(100)]
    vectors, rows = encode_new(embedder, hash_rows(first), pa.array(first))
    assert len(embedder.encoded) == len(rows) == 70
    hashes, stored = hash_rows(first)[rows], vectors[rows]
    second = [*first, "new", "other", "new"]
    again, rows = encode_new(embedder, hash_rows(second), pl.Series(second), hashes, stored)
    assert embedder.encoded[70:] == ["new", "other"]
    assert rows.tolist() == [100, 101]
    assert again[:100].tobytes() == vectors.tobytes()
    calls = embedder.calls
    encode_new(embedder, hash_rows(second[:100]), second[:100], hashes, stored)
    assert embedder.calls == calls


@pytest.mark.parametrize("kind", [list, np.array, pa.array, pl.Series])
def test_contents_of_any_kind(kind: Any) -> None:
    texts = ["a", "bb", "a"]
    vectors, rows = encode_new(Counting(), hash_rows(texts), kind(texts))
    assert vectors.tolist() == [[1, 97], [2, 98], [1, 97]]
    assert rows.tolist() == [0, 1]


def test_rows_and_places() -> None:
    hashes = pl.Series(["a", "b", "a", "c", "b"])
    assert new_rows(hashes).tolist() == [0, 1, 3]
    assert new_rows(hashes, hashes).tolist() == []
    assert find_rows(hashes, pl.Series(["c", "b", "c"])).tolist() == [-1, 1, -1, 0, 1]
    assert find_rows(hashes[:0], hashes).tolist() == []


def test_what_is_wrong_is_refused() -> None:
    hashes = hash_rows(["a", "b"])
    with pytest.raises(InputError, match="2 hashes for 1"):
        encode_new(Counting(), hashes, ["a"])
    with pytest.raises(InputError, match="neither"):
        encode_new(Counting(), hashes, ["a", "b"], known_hashes=hashes)
    with pytest.raises(InputError, match="2 known hashes for 1"):
        encode_new(Counting(), hashes, ["a", "b"], hashes, np.ones((1, 2), np.float32))
    with pytest.raises(InputError, match="another embedder"):
        encode_new(Counting(), hashes, ["a", "b"], hashes[:1], np.ones((1, 3), np.float32))
    with pytest.raises(InputError, match="shape"):
        new_rows(np.ones((2, 3)))


def test_contents_are_numbered_as_they_first_come() -> None:
    rng = np.random.default_rng(0)
    # few different words, so that contents share their first or their second one
    hashes = rng.integers(0, 12, (500, 2)).astype(np.uint64)
    first, number = number_contents(hashes)
    assert first.tolist() == new_rows(hashes).tolist()
    assert number.tolist() == find_rows(hashes, hashes[first]).tolist()
    apart, number = number_contents(hash_rows([str(row) for row in range(300)]))
    assert apart.tolist() == number.tolist() == list(range(300))
    assert [len(part) for part in number_contents(hashes[:0])] == [0, 0]
