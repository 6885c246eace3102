"""Row hashes against hashlib; the noise against its definition and the uniform distribution."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.storage.errors import ConfigError, InputError
from assay.storage.hashing.rows import hash_rows, hex_digests, read_digests, uniform
from tests.data import shared


@contextmanager
def traced() -> Iterator[list[int]]:
    """Yield a list that then holds the most bytes that NumPy and Python held beside those before."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def digest(row: bytes | str | None, salt: bytes = b"") -> str:
    data = row.encode() if isinstance(row, str) else row or b""
    return hashlib.blake2b(data, digest_size=16, salt=salt).hexdigest()


def hexes(values: Any, **options: Any) -> list[str]:
    return hex_digests(hash_rows(values, **options)).to_list()


@pytest.mark.parametrize("length", [0, 1, 7, 8, 127, 128, 129, 255, 256, 257, 384, 1000, 100_003])
def test_every_block_boundary(length: int) -> None:
    row = bytes(i * 7 % 256 for i in range(length))
    assert hexes(pa.array([b"before", row, b"after"])) == [
        digest(b"before"),
        digest(row),
        digest(b"after"),
    ]


def test_rows_of_every_length_side_by_side() -> None:
    lengths = np.random.default_rng(0).permutation(700)
    rows = [bytes((i * length) % 256 for i in range(length)) for length in lengths]
    for count in (1, 2, 3, 4, 5, 700):
        assert hexes(pa.array(rows[:count])) == [digest(row) for row in rows[:count]]


@given(st.lists(st.binary(max_size=400)), st.integers(1, 2**64 - 1))
def test_equals_hashlib_with_and_without_salt(rows: list[bytes], salt: int) -> None:
    array = pa.array(rows, pa.binary())
    assert hexes(array) == [digest(row) for row in rows]
    salted = salt.to_bytes(8, "little")
    assert hexes(array, salt=salt) == [digest(row, salted) for row in rows]


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()],
    ids=str,
)
def test_every_arrow_type_sliced_and_chunked_with_nulls(kind: pa.DataType) -> None:
    rows = ["", "ä", None, "x" * 300, "ä", "tail"]
    expected = [digest(row) for row in rows]
    array = pa.array(rows, pa.large_string()).cast(kind)
    assert hexes(array) == expected
    assert hexes(array.slice(1, 3)) == expected[1:4]
    chunked = pa.chunked_array([array.slice(0, 2), array.slice(2, 0), array.slice(2)])
    assert hexes(chunked) == expected
    assert hexes(chunked.slice(1, 4)) == expected[1:5]


def test_dictionaries_series_sequences_and_fixed_size() -> None:
    rows = ["b", "a", None, "b"]
    expected = [digest(row) for row in rows]
    assert hexes(pa.array(rows).dictionary_encode()) == expected
    assert hexes(pl.Series(rows)) == expected
    assert hexes(pl.Series(rows, dtype=pl.Categorical)) == expected
    assert hexes(rows) == expected
    assert hexes(np.array(rows, dtype=object)) == expected
    assert hexes(np.array(["b", "a"])) == expected[:2]
    assert hexes(pl.Series([b"\xff", None])) == [digest(b"\xff"), digest(None)]
    assert hexes(pa.array([b"ab"], pa.binary(2))) == [digest(b"ab")]


@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "u1", "i8"])
def test_rows_of_a_matrix(dtype: str) -> None:
    matrix = np.arange(60).reshape(4, 15).astype(dtype)
    assert hexes(matrix) == [digest(row.tobytes()) for row in matrix]
    assert hexes(matrix[1:3]) == [digest(row.tobytes()) for row in matrix[1:3]]
    assert hexes(matrix[:0]) == []


@pytest.mark.parametrize(
    "nothing", [[], pa.array([], pa.string()), pa.chunked_array([], pa.string())]
)
def test_no_rows(nothing: Any) -> None:
    assert hash_rows(nothing).shape == (0, 2)
    assert hexes(nothing) == []


def test_refuses_what_has_no_bytes() -> None:
    with pytest.raises(InputError, match="C-contiguous"):
        hash_rows(np.zeros((3, 4)).T)
    for bad in ([1, 2], pa.array([1.5]), pl.Series([1]), "text", object(), np.arange(3), ["a", 1]):
        with pytest.raises(InputError, match="must be"):
            hash_rows(bad)
    for bad_salt in (-1, 2**64, 1.5):
        with pytest.raises(ConfigError, match="salt"):
            hash_rows(["a"], salt=bad_salt)  # type: ignore[arg-type]


def test_long_rows() -> None:
    row = b"0123456789abcdef" * 65_536
    array = pa.array([row] * 20, pa.large_binary())
    assert set(hexes(array)) == {digest(row)}


def test_noise_follows_its_definition() -> None:
    ids = ["a", "b", "ü"]
    for seed in (0, 1, 2**64 - 1):
        salt = seed.to_bytes(8, "little") + b"uniform\0"
        words = [
            int.from_bytes(
                hashlib.blake2b(i.encode(), digest_size=16, salt=salt).digest()[:8], "little"
            )
            for i in ids
        ]
        expected = [((word >> 12) + 0.5) / 2**52 for word in words]
        assert uniform(ids, seed).tolist() == expected
    with pytest.raises(ConfigError, match="seed"):
        uniform(ids, -1)


def test_noise_is_uniform_and_seeds_are_independent() -> None:
    ids = pl.Series(range(100_000)).cast(pl.String)
    a, b = uniform(ids, 0), uniform(ids, 1)
    assert min(a.min(), b.min()) > 0
    assert max(a.max(), b.max()) < 1
    for draw in (a, b):
        # Kolmogorov-Smirnov distance: P(D > 1.95 / sqrt(n)) = 0.001
        steps = np.arange(1, len(ids) + 1) / len(ids)
        assert np.abs(np.sort(draw) - steps).max() < 1.95 / np.sqrt(len(ids))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.015
    assert (uniform(ids[::-1], 0) == a[::-1]).all()


def test_real_texts() -> None:
    texts = pl.read_parquet(shared("text_pool.parquet"), columns=["text"])["text"]
    hashes = hash_rows(texts)
    sample = np.arange(0, len(texts), 101)
    assert hex_digests(hashes[sample]).to_list() == [digest(texts[int(i)]) for i in sample]
    assert len(np.unique(hashes, axis=0)) == texts.n_unique()


def test_digests_are_read_back() -> None:
    hashes = hash_rows([f"row {i}" for i in range(70_000)])
    digests = hex_digests(hashes)
    assert np.array_equal(read_digests(digests), hashes)
    assert np.array_equal(read_digests(digests.slice(65_530, 10)), hashes[65_530:65_540])
    assert read_digests(digests.clear()).shape == (0, 2)
    for wrong in ("ab", "x" * 32, None):
        with pytest.raises(InputError, match="32 hexadecimal digits"):
            read_digests(pl.Series([wrong], dtype=pl.String))


def test_many_rows_of_text_are_hashed_in_pieces() -> None:
    rows = pl.Series([f"row {i}" for i in range(150_000)])
    with traced() as peak:
        noise = uniform(rows, 7)
    # beside the result, the words of a piece
    assert peak[0] < noise.nbytes + 4 * 2**20
    assert np.array_equal(hash_rows(rows), hash_rows(rows.to_arrow()))
    assert np.array_equal(noise[140_000:], uniform(rows.slice(140_000), 7))
