"""The table embedding: closed forms, invariances, odd columns, and neighbors on real rows."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.index import Embedder, embed
from assay.index.embedding.table import TableEmbedder
from assay.storage.errors import (
    ColumnError,
    ConfigError,
    InputError,
    MissingInputError,
    NonFiniteError,
)
from tests.data import shared

RANDOM = np.random.default_rng(0)
FRAME = pl.DataFrame(
    {
        "size": RANDOM.normal(5, 3, 200),
        "count": RANDOM.integers(0, 9, 200),
        "color": RANDOM.choice(["red", "green", "blue"], 200),
        "kind": RANDOM.choice(["a", "b"], 200),
    }
)
IDS = [f"id-{i:03d}" for i in range(200)]


def place(column: str, level: str | None, buckets: int) -> tuple[int, int]:
    """Return bucket and sign of a level, by hashlib."""
    key = column if level is None else f"{column}\0{level}"
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    first, second = (int.from_bytes(digest[i : i + 8], "little") for i in (0, 8))
    return first % buckets, 1 if second & 1 else -1


def test_numbers_are_standardised_and_categories_hashed() -> None:
    embedder = TableEmbedder(buckets=16, normalize=False).fit(FRAME)
    wanted = np.zeros((200, 18))
    for i, name in enumerate(("size", "count")):
        values = FRAME[name].to_numpy()
        wanted[:, i] = (values - values.mean()) / values.std()
    for name in ("color", "kind"):
        for row, level in enumerate(FRAME[name]):
            bucket, sign = place(name, level, 16)
            wanted[row, 2 + bucket] += sign
    found = embedder.encode(FRAME)
    assert found.dtype == np.float32
    assert embedder.dimensions == 18
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    lengths = np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(
        TableEmbedder(buckets=16).fit(FRAME).encode(FRAME), wanted / lengths, atol=1e-5
    )


def test_missing_values_take_the_mean_and_an_indicator() -> None:
    frame = pl.DataFrame({"a": [1.0, None, 3.0, float("nan")], "b": [1, 2, 3, 4]})
    embedder = TableEmbedder(normalize=False).fit(frame)
    assert (embedder.numeric_, embedder.indicators_) == (("a", "b"), ("a",))
    found = embedder.encode(frame)
    np.testing.assert_allclose(found[:, 0], [-1, 0, 1, 0])
    np.testing.assert_allclose(found[:, 2], [0, 1, 0, 1])
    later = embedder.encode(pl.DataFrame({"a": [2.0], "b": pl.Series([None], dtype=pl.Int64)}))
    np.testing.assert_allclose(later, [[0, 0, 0]])


def test_a_missing_category_is_a_level() -> None:
    frame = pl.DataFrame({"c": ["x", None, "x", None]})
    found = TableEmbedder(buckets=8, normalize=False).fit(frame).encode(frame)
    bucket, sign = place("c", None, 8)
    assert found[1, bucket] == found[3, bucket] == sign
    assert np.abs(found).sum() == 4


def test_constant_columns_count_for_nothing_and_outliers_are_held() -> None:
    frame = pl.DataFrame({"same": [0.1] * 50, "x": np.arange(50.0)})
    embedder = TableEmbedder(normalize=False).fit(frame)
    later = embedder.encode({"same": [0.1, 7e9], "x": [24.5, 1e308]})
    np.testing.assert_allclose(later, [[0, 0], [0, 5]], atol=1e-6)


def test_columns_that_are_left_out() -> None:
    n = 30
    frame = pl.DataFrame(
        {
            "id": [f"row {i}" for i in range(n)],
            "list": [[1, 2]] * n,
            "nothing": pl.Series([None] * n, dtype=pl.Float64),
            "void": [None] * n,
            "x": range(n),
        }
    )
    embedder = TableEmbedder().fit(frame)
    assert set(embedder.left_out_) == {"id", "list", "nothing", "void"}
    assert embedder.dimensions == 1
    assert embedder.encode(frame.select("x")).shape == (n, 1)
    with pytest.raises(InputError, match="30 different strings"):
        TableEmbedder(columns=["id"]).fit(frame)


def test_dates_booleans_and_categories() -> None:
    day = dt.date(2024, 1, 1)
    frame = pl.DataFrame(
        {
            "date": [day, day + dt.timedelta(2), None],
            "time": pl.Series([dt.datetime(2024, 1, 1), dt.datetime(2024, 1, 3), None]),
            "clock": [dt.time(1), dt.time(3), None],
            "span": [dt.timedelta(1), dt.timedelta(3), None],
            "flag": [False, True, None],
            "enum": pl.Series(["a", "b", "a"], dtype=pl.Enum(["a", "b"])),
            "category": pl.Series(["a", "b", "a"], dtype=pl.Categorical),
            "decimal": pl.Series(["1.5", "2.5", None]).cast(pl.Decimal(10, 2)),
        }
    )
    embedder = TableEmbedder(normalize=False).fit(frame)
    found = embedder.encode(frame)
    assert len(embedder.numeric_) == 6
    np.testing.assert_allclose(found[:, :6], np.outer([-1, 1, 0], np.ones(6)), atol=1e-6)
    assert embedder.categorical_ == ("category", "enum")
    other_unit = frame.with_columns(pl.col("time").cast(pl.Datetime("ms")))
    np.testing.assert_array_equal(embedder.encode(other_unit), found)
    np.testing.assert_array_equal(
        embedder.encode(frame.with_columns(pl.col("category", "enum").cast(pl.String))), found
    )


def test_kinds_of_frames() -> None:
    embedder = TableEmbedder().fit(FRAME)
    wanted = embedder.encode(FRAME).tobytes()
    for frame in (FRAME.lazy(), FRAME.to_arrow(), FRAME.to_dict(as_series=False), FRAME.to_dicts()):
        assert TableEmbedder().fit(frame).fingerprint == embedder.fingerprint
        assert embedder.encode(frame).tobytes() == wanted
    assert embed(FRAME).tobytes() == wanted
    assert embed(FRAME.to_arrow()).tobytes() == wanted
    assert isinstance(embedder, Embedder)
    assert embedder.encode(FRAME[:0]).shape == (0, embedder.dimensions)


@given(st.integers(1, 199), st.permutations(range(200)))
@settings(deadline=None, max_examples=15)
def test_batches_and_order_do_not_change_a_bit(cut: int, order: list[int]) -> None:
    embedder = TableEmbedder(fit_rows=60).fit(FRAME, ids=IDS)
    whole = embedder.encode(FRAME)
    parts = [embedder.encode(FRAME[:cut]), embedder.encode(FRAME[cut:])]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    shuffled = TableEmbedder(fit_rows=60).fit(FRAME[order], ids=[IDS[i] for i in order])
    assert shuffled.fingerprint == embedder.fingerprint
    assert embedder.encode(FRAME[order]).tobytes() == whole[order].tobytes()


def test_more_rows_than_a_block() -> None:
    frame = pl.DataFrame({"x": np.arange(140_000) % 7, "c": [str(i % 3) for i in range(140_000)]})
    found = TableEmbedder(buckets=4).fit(frame).encode(frame)
    np.testing.assert_array_equal(found[21:], found[:-21])


def test_save_and_load(tmp_path: Path) -> None:
    frame = FRAME.with_columns(pl.when(pl.col("count") > 2).then("count"), gone=pl.lit([1]))
    embedder = TableEmbedder(buckets=9, random_state=3).fit(frame)
    embedder.save(tmp_path)
    loaded = TableEmbedder.load(tmp_path)
    assert loaded.fingerprint == embedder.fingerprint
    assert loaded.left_out_ == embedder.left_out_ != {}
    assert loaded.indicators_ == ("count",)
    assert loaded.encode(frame).tobytes() == embedder.encode(frame).tobytes()


def test_an_embedder_that_is_loaded_is_not_hashed_before_that_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pl.DataFrame({"a": [0.0, 1, 2, 3], "b": ["x", "y", "x", "y"]})
    TableEmbedder(columns=["a", "b"]).fit(frame).save(tmp_path)
    monkeypatch.delattr(hashlib, "blake2b")
    loaded = TableEmbedder.load(tmp_path)
    with pytest.raises(AttributeError):
        _ = loaded.fingerprint


def test_the_fingerprint_changes_with_what_it_stands_for() -> None:
    def fitted(frame: pl.DataFrame = FRAME, **changed: Any) -> str:
        return TableEmbedder(**{"fit_rows": 100, **changed}).fit(frame).fingerprint

    found = [
        fitted(),
        fitted(FRAME.with_columns(pl.col("size") * 2)),
        fitted(FRAME.rename({"kind": "sort"})),
        fitted(FRAME.drop("kind")),
        fitted(buckets=65),
        fitted(normalize=False),
        fitted(random_state=1),
    ]
    assert len(set(found)) == len(found)
    assert fitted() == found[0]


def test_what_is_wrong_is_refused() -> None:
    for wrong in ({"buckets": 0}, {"fit_rows": 0}, {"columns": "size"}, {"random_state": -1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            TableEmbedder(**wrong)
    with pytest.raises(MissingInputError):
        TableEmbedder().encode(FRAME)
    with pytest.raises(ColumnError, match=r"sise.*size"):
        TableEmbedder(columns=["sise"]).fit(FRAME)
    embedder = TableEmbedder().fit(FRAME)
    with pytest.raises(ColumnError, match="kind"):
        embedder.encode(FRAME.drop("kind"))
    with pytest.raises(InputError, match="held numbers"):
        embedder.encode(FRAME.with_columns(size=pl.lit("large")))
    with pytest.raises(NonFiniteError, match=r"'size'.*row 3"):
        embedder.encode(
            FRAME.with_columns(size=pl.when(pl.int_range(200) == 3).then(np.inf).otherwise("size"))
        )
    with pytest.raises(InputError, match="2 ids for 200"):
        TableEmbedder().fit(FRAME, ids=["a", "b"])
    with pytest.raises(InputError):
        TableEmbedder().fit(5)
    with pytest.raises(InputError, match="no column"):
        TableEmbedder().fit(pa.table({"l": [[1], [2]]}))


def test_neighbors_are_of_the_same_class() -> None:
    """Of census rows; always taking the larger class is right in .76 of the cases."""
    pool = pl.read_parquet(shared("tabular_adult.parquet")).sample(8_000, seed=0, shuffle=True)
    rich = (pool["income"] == ">50K").to_numpy()
    vectors = embed(pool.drop("income", "split"))
    similarity = vectors[:2_000] @ vectors[2_000:].T
    near = rich[2_000:][np.argpartition(-similarity, 10, axis=1)[:, :10]]
    assert ((near.mean(axis=1) > 0.5) == rich[:2_000]).mean() > 0.80
