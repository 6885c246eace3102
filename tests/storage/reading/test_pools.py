"""Pools: the same rows from every kind of source, ids, roles, problems, and what is refused."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.storage import Pool, read_pool
from assay.storage.errors import (
    ColumnError,
    ConfigError,
    IdError,
    InputError,
    SourceChangedError,
    SourceError,
)
from assay.storage.reading.roles import Roles
from tests.data import shared

SAMPLES = ["sample_id", "source", "row", "label", "group_id", "content_hash", "problem"]
COLUMNS = {"id": [3, 1, 2], "text": ["c", "ä", None], "y": ["p", None, "q"], "n": [0.5, None, 2.0]}
EMPTY = hashlib.blake2b(b"", digest_size=16).hexdigest()


def digest(data: bytes | str) -> str:
    data = data.encode() if isinstance(data, str) else data
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def ids(values: Any) -> list[str | None]:
    table = {"text": ["x"] * len(values), "id": values}
    return read_pool(table, id="id").samples()["sample_id"].to_list()


# frames in memory


class Dataset:
    """Stands in for a Hugging Face data set whose rows were chosen by indices."""

    __module__ = "datasets.arrow_dataset"

    def __init__(self, table: pa.Table, indices: list[int], format: str | None = None) -> None:
        self.data, self._indices, self._format = table, indices, format

    def __len__(self) -> int:
        return len(self._indices)

    def with_format(self, format: str) -> Dataset:
        return Dataset(self.data, self._indices, format)

    def __getitem__(self, rows: slice) -> Any:
        assert self._format == "arrow"
        return self.data.take(self._indices[rows])


class DatasetDict(dict[str, Dataset]):
    __module__ = "datasets.dataset_dict"

    def with_format(self, format: str) -> DatasetDict:
        return self


class IterableDataset:
    __module__ = "datasets.iterable_dataset"

    def with_format(self, format: str) -> IterableDataset:
        return self


def duckdb_relation() -> Any:
    table = pa.table(COLUMNS)
    return duckdb.connect().from_arrow(table)


FRAMES: dict[str, Callable[[], Any]] = {
    "mapping": lambda: COLUMNS,
    "mapping of arrays": lambda: (
        COLUMNS | {"id": np.array([3, 1, 2]), "y": pl.Series(COLUMNS["y"])}
    ),
    "list of mappings": lambda: pl.DataFrame(COLUMNS).to_dicts(),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "polars lazy": lambda: pl.LazyFrame(COLUMNS),
    "polars categorical": lambda: pl.DataFrame(COLUMNS).cast({"y": pl.Categorical}),
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "pandas with an index": lambda: pd.DataFrame(COLUMNS, index=["i", "j", "k"]),
    "arrow": lambda: pa.table(COLUMNS),
    "arrow chunks": lambda: pa.concat_tables([pa.table(COLUMNS)[:2], pa.table(COLUMNS)[2:]]),
    "arrow batch": lambda: pa.table(COLUMNS).combine_chunks().to_batches()[0],
    "arrow reader": lambda: pa.table(COLUMNS).to_reader(),
    "duckdb": duckdb_relation,
    "hugging face": lambda: Dataset(pa.table(COLUMNS).take([2, 0, 1, 0]), [1, 2, 0]),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_every_frame_gives_the_same_samples(kind: str) -> None:
    pool = read_pool(FRAMES[kind](), id="id", label="y", group="id", keep=["n"])
    assert (pool.name, pool.kind, pool.n_rows) == ("pool", "text", 3)
    assert set(pool.columns) == set(COLUMNS)
    frame = pool.samples()
    assert frame.columns == [*SAMPLES, "n"]
    assert frame.rows() == [
        ("3", "memory", 0, "p", "3", digest("c"), None, 0.5),
        ("1", "memory", 1, None, "1", digest("ä"), None, None),
        ("2", "memory", 2, "q", "2", EMPTY, "empty", 2.0),
    ]
    assert dict(frame.schema) == {
        **dict.fromkeys(SAMPLES, pl.String),
        "row": pl.Int64,
        "n": pl.Float64,
    }
    assert pool.contents().type == pa.large_string()
    assert pool.contents().to_pylist() == ["c", "ä", None]
    assert pool.take([2, 0, 2], ["text", "id"]).rows() == [(None, 2), ("c", 3), (None, 2)]


def test_what_is_no_frame_is_told_what_is() -> None:
    for bad in (3, [3, 4], object(), iter([]), np.zeros((2, 2))):
        with pytest.raises(InputError, match=r"can't be read from a .*__arrow_c_stream__"):
            read_pool(bad)
    with pytest.raises(InputError, match="choose one of train, test"):
        read_pool(
            DatasetDict(train=Dataset(pa.table(COLUMNS), [0]), test=Dataset(pa.table(COLUMNS), []))
        )
    with pytest.raises(InputError, match="can't be read more than once"):
        read_pool(IterableDataset())
    with pytest.raises(InputError, match="can't be read as a table"):
        read_pool({"text": ["a", "b"], "id": [1]})
    with pytest.raises(InputError, match="more than one column named 'a'"):
        read_pool(pa.table([[1], [2]], names=["a", "a"]))


# ids


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["007", " a", "A"], ["007", " a", "A"]),
        ([7, -1, 2**63 - 1], ["7", "-1", "9223372036854775807"]),
        (np.array([2**64 - 1], np.uint64), ["18446744073709551615"]),
        (
            [7.0, -0.0, 0.1, 1e16, 2.0**63, 1e22],
            ["7", "0", "0.1", "10000000000000000", str(2**63), "1" + "0" * 22],
        ),
        ([1.5e-7, -2.25], ["1.5e-07", "-2.25"]),
        (np.array([0.1, 3.0], np.float32), ["0.1", "3"]),
        ([float("inf"), -float("inf")], ["inf", "-inf"]),
        ([Decimal("1.50"), Decimal("7.00"), Decimal("100.00")], ["1.5", "7", "100"]),
        ([True, False], ["true", "false"]),
        ([dt.date(2020, 1, 2)], ["2020-01-02"]),
        ([dt.datetime(2020, 1, 2, 3, 4, 5, 6)], ["2020-01-02T03:04:05.000006"]),
        (pl.Series(["b", "a"], dtype=pl.Categorical), ["b", "a"]),
        (pl.Series(["b", "a"], dtype=pl.Enum(["a", "b"])), ["b", "a"]),
    ],
)
def test_ids_are_text_in_canonical_form(values: Any, expected: list[str]) -> None:
    assert ids(values) == expected


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, unique=True))
def test_float_ids_are_whole_or_the_shortest_decimal(values: list[float]) -> None:
    expected = {str(int(x)) if x == int(x) else repr(x) for x in values}
    assert set(ids(values)) == expected


def test_ids_from_content_count_equal_rows() -> None:
    pool = read_pool({"text": ["a", "b", "a", None, "a", ""]})
    a, b = digest("a"), digest("b")
    assert pool.samples()["sample_id"].to_list() == [a, b, f"{a}-2", EMPTY, f"{a}-3", f"{EMPTY}-2"]


def test_missing_and_repeated_ids_are_shown() -> None:
    table = {"text": list("abcdef"), "id": ["x", "y", "x", "z", "y", "x"]}
    with pytest.raises(
        IdError,
        match=r"'id' has 2 ids that stand in more than one row, 5 rows in all: 'x' in row 0 of memory, "
        r"row 2 of memory, row 5 of memory; 'y' in row 1 of memory, .* without id",
    ):
        read_pool(table, id="id").samples()
    for missing in (None, float("nan")):
        with pytest.raises(
            IdError, match=r"no id in 2 of 3 rows: row 0 of memory, row 2 of memory\."
        ):
            read_pool({"text": list("abc"), "id": [missing, 1.0, missing]}, id="id").samples()
    with pytest.raises(IdError, match=r"no id in 6 of 6 rows: .*row 3 of memory, \.\.\."):
        read_pool({"text": list("abcdef"), "id": [""] * 6}, id="id").samples()
    with pytest.raises(InputError, match=r"'id' can't be used as id: values of type list"):
        read_pool({"text": ["a"], "id": [[1]]}, id="id").samples()


def test_ids_must_be_unique_over_all_files(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("id,text\n1,x\n")
    with pytest.raises(IdError, match=r"'1' in row 0 of a\.csv, row 0 of b\.csv"):
        read_pool(tmp_path, id="id").samples()


# roles


@pytest.mark.parametrize(
    ("columns", "given", "kind", "content"),
    [
        ({"text": ["a"], "other": ["b"]}, {}, "text", "text"),
        ({"body": ["a"], "n": [1]}, {}, "text", "body"),
        ({"body": ["a"], "id": ["b"], "y": ["c"]}, {"id": "id", "label": "y"}, "text", "body"),
        ({"body": ["a"], "k": ["b"]}, {"keep": ["k"]}, "text", "body"),
        ({"vector": [[1.0]], "n": [1]}, {}, "vector", "vector"),
        ({"embedding": [[1]], "a": ["x"], "b": ["y"]}, {}, "vector", "embedding"),
        ({"a": ["x"], "b": ["y"]}, {"text": "b"}, "text", "b"),
        ({"png": [b"x"]}, {"image": "png"}, "image", "png"),
    ],
)
def test_the_content_column(columns: Any, given: Any, kind: str, content: str) -> None:
    pool = read_pool(columns, **given)
    assert (pool.kind, pool.roles.content) == (kind, content)
    assert getattr(pool.roles, kind) == content
    again = read_pool(columns, **dataclasses.asdict(pool.roles))
    assert again.samples().equals(pool.samples())


def test_roles_that_can_not_be() -> None:
    with pytest.raises(ConfigError, match=r"Say which column.*a \(string\), b \(string\)"):
        read_pool({"a": ["x"], "b": ["y"]})
    with pytest.raises(ConfigError, match="Say which column"):
        read_pool({"a": [1], "vector": ["x"], "embedding": ["y"]})
    with pytest.raises(ConfigError, match="one of text, vector and image, not a and b"):
        read_pool({"a": ["x"], "b": [[1]]}, text="a", vector="b")
    with pytest.raises(InputError, match="'text' can't be used as text: it is of type int64"):
        read_pool({"text": [1]})
    with pytest.raises(
        InputError, match="'v' can't be used as vector: it is of type list<item: string>"
    ):
        read_pool({"v": [["x"]]}, vector="v")
    with pytest.raises(
        InputError, match="'v' can't be used as vector: it is of type list<item: bool>"
    ):
        read_pool({"v": pa.array([[True]])}, vector="v")
    with pytest.raises(InputError, match="'i' can't be used as image: it is of type int64"):
        read_pool({"i": [1]}, image="i")
    with pytest.raises(
        ColumnError, match=r"no column 'txt'; there are: text, y\. Did you mean 'text'"
    ):
        read_pool({"text": ["a"], "y": [1]}, text="txt")
    for role in ("id", "label", "group", "keep"):
        with pytest.raises(ColumnError, match="no column 'z'"):
            read_pool({"text": ["a"]}, **{role: "z"})
    for name in ("label", "Row", "sample_id", "run_id"):
        with pytest.raises(ConfigError, match="can't be kept under its name"):
            read_pool({"text": ["a"], name: [1]}, keep=[name])
    with pytest.raises(ConfigError, match="twice"):
        read_pool({"text": ["a"], "k": [1], "K": [2]}, keep=["k", "K"])


def test_a_pool_without_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("id,text\n")
    (tmp_path / "x.jsonl").write_text("\n \n")
    pl.DataFrame({"text": []}, schema={"text": pl.String}).write_parquet(tmp_path / "x.parquet")
    for path in ("x.csv", "x.jsonl", "x.parquet"):
        with pytest.raises(InputError, match="'x' has no rows"):
            read_pool(tmp_path / path)
    for frame in ([], {"text": []}, pl.DataFrame()):
        with pytest.raises(InputError, match="'pool' has no rows"):
            read_pool(frame)


# kinds of content


def test_blank_texts_are_a_problem_not_a_loss() -> None:
    texts = ["a", "", " \t\r\n", "\u2003\u00a0", None, " b "]
    frame = read_pool({"text": texts}).samples()
    assert frame["problem"].to_list() == [None, "empty", "empty", "empty", "empty", None]
    assert frame["content_hash"].to_list() == [digest(text or "") for text in texts]


VECTOR_TYPES = [
    *(pa.list_(kind) for kind in (pa.int8(), pa.uint8(), pa.int64(), pa.float16(), pa.float64())),
    pa.large_list(pa.float32()),
    pa.list_(pa.float32(), 2),
    pa.list_(pa.decimal128(5, 2)),
]


@pytest.mark.parametrize("kind", VECTOR_TYPES, ids=str)
def test_vectors_of_every_type_become_float32(kind: pa.DataType) -> None:
    values = [[1, 2], [3, 4], None, [5, None], [1, 2]]
    if pa.types.is_floating(kind.value_type) and kind.value_type.bit_width == 16:
        values = [
            None if row is None else [None if x is None else np.float16(x) for x in row]
            for row in values
        ]
    elif pa.types.is_decimal(kind.value_type):
        values = [
            None if row is None else [None if x is None else Decimal(x) for x in row]
            for row in values
        ]
    pool = read_pool(
        {"vector": pa.chunked_array([pa.array(values[:1], kind), pa.array(values[1:], kind)])}
    )
    expected = np.array([[1, 2], [3, 4], [np.nan] * 2, [5, np.nan], [1, 2]], np.float32)
    assert pool.vectors().dtype == np.float32
    assert pool.vectors().flags.c_contiguous
    np.testing.assert_array_equal(pool.vectors(), expected)
    assert pool.dimension == 2
    frame = pool.samples()
    assert frame["problem"].to_list() == [None, None, "empty", "not_finite", None]
    hashes = [digest(row.tobytes()) for row in expected]
    assert frame["content_hash"].to_list() == [*hashes[:2], EMPTY, *hashes[3:]]
    for size in (1, 2, 10):
        batches = list(pool.batches(size))
        assert all(batch.type == pa.list_(pa.float32(), 2) for batch in batches)
        assert [row.is_valid for batch in batches for row in batch] == [
            True,
            True,
            False,
            True,
            True,
        ]


def test_extension_types_are_their_storage(tmp_path: Path) -> None:
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(6, dtype="f4").reshape(3, 2))
    table = pa.table({"vector": tensor, "n": [1, 2, 3]})
    pq.write_table(table, tmp_path / "p.parquet")
    for source in (table, tmp_path / "p.parquet"):
        pool = read_pool(source)
        assert pool.vectors().tolist() == [[0, 1], [2, 3], [4, 5]]
        assert pool.take([2]).to_dicts() == [{"vector": [4, 5], "n": 3}]


def test_odd_vectors() -> None:
    pool = read_pool({"vector": [[], None, [1.0, 1e300], [float("nan"), 0]]})
    problems = pool.samples()["problem"].to_list()
    assert problems == ["empty", "empty", "not_finite", "not_finite"]
    assert pool.samples()["content_hash"][:2].to_list() == [EMPTY, EMPTY]
    with pytest.raises(
        InputError,
        match=r"'vector' must be equally long: row 2 of memory has 1 numbers, those before it 2",
    ):
        read_pool({"vector": [[1, 2], None, [3]]}).samples()
    with pytest.raises(InputError, match="row 2 of memory"):
        list(read_pool({"vector": [[1, 2], None, [3]]}).batches(1))
    with pytest.raises(InputError, match="holds no vector, only nulls"):
        read_pool({"vector": [None, None]}, vector="vector").samples()
    with pytest.raises(ConfigError, match="holds texts, not vectors"):
        read_pool({"text": ["a"]}).vectors()
    matrix = np.arange(6.0).reshape(3, 2)
    assert (read_pool({"vector": matrix}).vectors() == matrix).all()


@pytest.mark.parametrize("shape", ["bytes", "fixed", "struct", "null"])
def test_images_are_bytes(shape: str) -> None:
    raw = [b"\xff\xd8", b"\x89P", None, b"\xff\xd8"]
    column: Any = raw
    if shape == "fixed":
        column = pa.array(raw, pa.binary(2))
    elif shape == "struct":
        column = [{"bytes": data, "path": "x.jpg"} for data in raw]
    elif shape == "null":
        column, raw = [None] * 4, [None] * 4
    pool = read_pool({"image": column}, image="image")
    assert pool.contents().type == pa.large_binary()
    assert pool.contents().to_pylist() == raw
    frame = pool.samples()
    assert frame["content_hash"].to_list() == [digest(data or b"") for data in raw]
    assert frame["problem"].to_list() == [None if data else "empty" for data in raw]


# files


def test_ids_of_csv_files_stay_as_written_and_kept_columns_get_types(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text(
        "id,text,y,int,float,code,none\n007,a,1,5,1.5,x,\n7,b,,,-2.0,7,\n7.0,,3,7,,,\n",
        encoding="utf-8",
    )
    keep = ["int", "float", "code", "none"]
    pool = read_pool(path, id="id", text="text", label="y", keep=keep)
    assert pool.n_rows is None
    frame = pool.samples()
    assert pool.n_rows == 3
    assert frame["sample_id"].to_list() == ["007", "7", "7.0"]
    assert frame["label"].to_list() == ["1", None, "3"]
    assert frame["problem"].to_list() == [None, None, "empty"]
    assert [frame.schema[name] for name in keep] == [pl.Int64, pl.Float64, pl.String, pl.String]
    assert frame.select(keep).rows() == [
        (5, 1.5, "x", None),
        (None, -2.0, "7", None),
        (7, None, None, None),
    ]
    assert pool.take([2], ["id", "int"]).rows() == [("7.0", "7")]


def mixed_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.csv").write_text("id,text,k\n1,a1,1\n2,a2,2\n")
    pl.DataFrame(
        {"text": ["b1", "b2"], "id": [3, 4], "k": [1.5, None], "more": ["x", "y"]}
    ).write_parquet(folder / "b.parquet")
    (folder / "sub").mkdir()
    (folder / "sub" / "c.jsonl").write_text('{"id": 5, "text": "c1", "k": 3}\n{"id": 6}\n')
    (folder / "sub" / "empty.jsonl").write_text("")
    pl.DataFrame({"id": ["7"], "text": ["d1"], "k": [9]}).write_ipc(folder / "sub" / "d.arrow")
    return folder


def test_a_folder_of_mixed_formats(tmp_path: Path) -> None:
    pool = read_pool(mixed_folder(tmp_path / "mix"), id="id", keep=["k"])
    assert pool.name == "mix"
    assert pool.columns == ["id", "text", "k", "more"]
    frame = pool.samples()
    assert frame["sample_id"].to_list() == list("1234567")
    assert frame["source"].to_list() == ["a.csv"] * 2 + ["b.parquet"] * 2 + ["sub/c.jsonl"] * 2 + [
        "sub/d.arrow"
    ]
    assert frame["row"].to_list() == [0, 1, 0, 1, 0, 1, 0]
    assert frame["k"].to_list() == [1.0, 2.0, 1.5, None, 3.0, None, 9.0]
    assert pool.contents().to_pylist() == ["a1", "a2", "b1", "b2", "c1", None, "d1"]
    assert pool.n_rows == 7
    taken = pool.take([6, 2, 1, 2])
    assert taken.select("id", "text", "more").rows() == [
        ("7", "d1", None),
        ("3", "b1", "x"),
        ("2", "a2", None),
        ("3", "b1", "x"),
    ]
    assert pool.take([0, 2], ["more"]).rows() == [(None,), ("x",)]


def test_taking_before_the_rows_were_counted(tmp_path: Path) -> None:
    pool = read_pool(mixed_folder(tmp_path / "mix"))
    assert pool.take(np.array([6, 0]), ["text"]).rows() == [("d1",), ("a1",)]
    assert pool.take([], ["text"]).schema == {"text": pl.String}
    assert pool.take([], ["text"]).height == 0
    for bad in (7, 100):
        with pytest.raises(InputError, match=f"no row {bad}; its last row is 6"):
            pool.take([0, bad])
    with pytest.raises(InputError, match="no row -1"):
        pool.take([0, -1])
    for bad_rows in ([0.5], [[0]], ["a"], [True]):
        with pytest.raises(InputError, match="one-dimensional sequence of integers"):
            pool.take(bad_rows)
    with pytest.raises(ColumnError, match="Did you mean 'text'"):
        pool.take([0], ["txet"])


def test_taken_columns_keep_their_types(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "text": ["a", "b", "c"],
            "day": [dt.date(2020, 1, i) for i in (1, 2, 3)],
            "tags": [["x"], [], None],
            "deep": [{"a": i, "b": "z"} for i in range(3)],
            "small": pl.Series([1, 2, 3], dtype=pl.UInt8),
            "vec": pl.Series([[1, 2]] * 3, dtype=pl.Array(pl.Float32, 2)),
            "time": [dt.datetime(2020, 1, 1, tzinfo=dt.UTC)] * 3,
        }
    )
    frame.write_parquet(tmp_path / "p.parquet", row_group_size=2)
    frame.write_ipc(tmp_path / "p.arrow")
    for source in (frame, tmp_path / "p.parquet", tmp_path / "p.arrow"):
        assert read_pool(source).take([2, 0]).equals(frame[[2, 0]], null_equal=True)
        assert read_pool(source).take([2, 0]).schema == frame.schema


def test_a_file_without_a_needed_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,x\n")
    (tmp_path / "b.csv").write_text("id,body\n2,y\n")
    with pytest.raises(ColumnError, match=r"b\.csv has no column 'text'.*: id, body"):
        read_pool(tmp_path, text="text")
    (tmp_path / "b.csv").unlink()
    (tmp_path / "b.jsonl").write_text('{"text": 3}\n')
    with pytest.raises(
        InputError, match=r"'text' of b\.jsonl can't be used as text: it is of type int64"
    ):
        read_pool(tmp_path, text="text")
    with pytest.raises(SourceError, match="no file or folder"):
        read_pool(tmp_path / "c.csv")


def test_types_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"text": ["a"], "k": [[1]]}).write_parquet(tmp_path / "a.parquet")
    pl.DataFrame({"text": ["b"], "k": [1]}).write_parquet(tmp_path / "b.parquet")
    pool = read_pool(tmp_path, text="text", keep=["k"])
    with pytest.raises(InputError, match="types that don't go together"):
        pool.samples()
    with pytest.raises(InputError, match="types that don't go together"):
        pool.take([0])


def test_the_fingerprint_is_of_names_and_content_not_of_paths(tmp_path: Path) -> None:
    first, second = mixed_folder(tmp_path / "one"), mixed_folder(tmp_path / "two")
    fingerprint = read_pool(first).fingerprint
    assert len(fingerprint) == 32
    assert read_pool(second).fingerprint == fingerprint
    assert read_pool(str(first / "**" / "*.*")).fingerprint == fingerprint
    (second / "sub" / "c.jsonl").write_text('{"id": 5, "text": "c1", "k": 4}\n{"id": 6}\n')
    assert read_pool(second).fingerprint != fingerprint
    (first / "a.csv").rename(first / "aa.csv")
    assert read_pool(first).fingerprint != fingerprint


def test_the_fingerprint_of_a_frame_is_of_its_needed_columns() -> None:
    table = pa.table(COLUMNS)
    fingerprint = read_pool(table, id="id").fingerprint
    chunked = pa.concat_tables([table[:1], table[1:]]).replace_schema_metadata({"a": "b"})
    assert read_pool(chunked, id="id").fingerprint == fingerprint
    assert read_pool(table.drop_columns(["n"]), id="id").fingerprint == fingerprint
    assert read_pool(table, id="id", keep=["n"]).fingerprint != fingerprint
    assert read_pool(table[:2], id="id").fingerprint != fingerprint


def test_a_file_that_changes_between_two_readings_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("text\na\n")
    pool = read_pool(path)
    pool.samples()
    path.write_text("text\na\nb\n")
    for reading in (lambda: list(pool.batches()), lambda: pool.fingerprint, lambda: pool.take([0])):
        with pytest.raises(SourceChangedError, match=r"p\.csv changed"):
            reading()


def test_batches_have_a_size() -> None:
    pool = read_pool({"text": list("abcdefg")})
    assert [len(batch) for batch in pool.batches(3)] == [3, 3, 1]
    with pytest.raises(ConfigError, match="at least 1"):
        next(pool.batches(0))


# the same rows through every format


def quoted(value: str | None) -> str:
    return "" if value is None else '"' + value.replace('"', '""') + '"'


def write_csv(table: pl.DataFrame, path: Path, delimiter: str = ",") -> None:
    lines = [delimiter.join(table.columns)]
    lines += [delimiter.join(map(quoted, row)) for row in table.rows()]
    path.write_bytes(compressed("\r\n".join(lines).encode(), path.suffix))


def write_json(table: pl.DataFrame, path: Path, ascii: bool = True) -> None:
    text = "".join(json.dumps(row, ensure_ascii=ascii) + "\n" for row in table.to_dicts())
    path.write_bytes(compressed(text.encode(), path.suffix))


def compressed(data: bytes, suffix: str) -> bytes:
    codec = {".gz": "gzip", ".zst": "zstd"}.get(suffix)
    if codec is None:
        return data
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(data)
    return bytes(sink.getvalue())


FORMATS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "parquet": lambda table, path: table.write_parquet(path),
    "pq": lambda table, path: pq.write_table(pa.table(table), path),
    "arrow": lambda table, path: table.write_ipc(path),
    "ipc": lambda table, path: table.write_ipc_stream(path),
    "feather": lambda table, path: table.write_ipc(path, compression="zstd"),
    "csv": write_csv,
    "csv.gz": write_csv,
    "csv.zst": write_csv,
    "tsv": lambda table, path: write_csv(table, path, "\t"),
    "tsv.zst": lambda table, path: write_csv(table, path, "\t"),
    "jsonl": write_json,
    "jsonl.zst": write_json,
    "ndjson": lambda table, path: write_json(table, path, False),
    "json": lambda table, path: write_json(table, path, False),
    "json.gz": write_json,
}


def facts(pool: Pool) -> tuple[list[Any], list[Any]]:
    return pool.samples().drop("source").rows(), pool.contents().to_pylist()


@settings(deadline=None, max_examples=25)
@given(texts=st.lists(st.none() | st.text(max_size=12), min_size=1, max_size=6))
def test_round_trip_through_every_format(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str | None]
) -> None:
    folder = tmp_path_factory.mktemp("formats")
    table = pl.DataFrame(
        {"id": [f"{i:03}" for i in range(len(texts))], "text": texts, "y": texts[::-1]},
        schema=dict.fromkeys(["id", "text", "y"], pl.String),
    )
    expected = facts(read_pool(table, id="id", text="text", label="y"))
    assert expected[1] == texts
    for suffix, write in FORMATS.items():
        path = folder / f"p.{suffix}"
        write(table, path)
        assert facts(read_pool(path, id="id", text="text", label="y")) == expected, suffix


@pytest.mark.parametrize("suffix", ["csv.gz", "jsonl.zst", "arrow"])
def test_real_texts_through_other_formats(tmp_path: Path, suffix: str) -> None:
    table = pl.read_parquet(shared("text_pool.parquet"), n_rows=3000)
    path = tmp_path / f"p.{suffix}"
    FORMATS[suffix](table, path)
    roles: dict[str, Any] = {"id": "id", "text": "text", "label": "domain", "group": "source"}
    pool = read_pool(path, keep=["split"], **roles)
    assert facts(pool) == facts(read_pool(table, keep=["split"], **roles))
    rows = np.array([2999, 5, 1500])
    assert pool.take(rows).equals(table[rows], null_equal=True)


# real data


def test_real_texts() -> None:
    path = shared("text_pool.parquet")
    table = pl.read_parquet(path)
    pool = read_pool(path, id="id", label="domain", keep=["split"])
    assert (pool.name, pool.kind, pool.n_rows) == ("text_pool", "text", 253_762)
    frame = pool.samples()
    assert frame["sample_id"].equals(table["id"].alias("sample_id"))
    assert frame["sample_id"].is_unique().all()
    assert frame["label"].equals(table["domain"].alias("label"))
    assert frame["split"].equals(table["split"])
    shown = range(0, 253_762, 997)
    assert [frame["content_hash"][i] for i in shown] == [digest(table["text"][i]) for i in shown]
    by_content = read_pool(path, text="text").samples()
    assert by_content["sample_id"].is_unique().all()
    copies = by_content.filter(by_content["sample_id"].str.contains("-"))
    assert copies.height == table.height - table["text"].n_unique() > 2000
    assert by_content["content_hash"].equals(frame["content_hash"])
    rows = np.random.default_rng(0).integers(0, table.height, 500)
    assert pool.take(rows).equals(table[rows], null_equal=True)


def test_real_vectors() -> None:
    table = pl.read_parquet(shared("cifar10_vectors.parquet"), n_rows=2000)
    pool = read_pool(table, vector="vec", label="label", group="split")
    expected = np.array(table["vec"].to_list(), dtype=np.float32)
    np.testing.assert_array_equal(pool.vectors(), expected)
    frame = pool.samples()
    assert frame["content_hash"].to_list() == [digest(row.tobytes()) for row in expected]
    assert frame["problem"].null_count() == 2000
    assert frame["label"].to_list() == [str(y) for y in table["label"]]


def test_real_images() -> None:
    table = pl.read_parquet(shared("cifar10_jpeg.parquet"), n_rows=500)
    name = next(name for name, kind in table.schema.items() if kind in (pl.Binary, pl.Struct))
    frame = read_pool(table, image=name).samples()
    assert frame["content_hash"].to_list() == [digest(data) for data in table[name]]


# memory

MEASURE = """
import sys
from assay.storage import read_pool

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) >> 10

small = read_pool(sys.argv[1])
small.samples(), list(small.batches())
before = peak()
pool = read_pool(sys.argv[2])
samples = pool.samples()
rows = sum(len(batch) for batch in pool.batches())
taken = pool.take([rows - 1, 0])
assert samples.height == rows and taken.height == 2
print(rows, peak() - before)
"""


@pytest.fixture(scope="module")
def large_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 400 MB of text as Arrow record batches."""
    path = tmp_path_factory.mktemp("large") / "large.arrow"
    letters = np.random.default_rng(0).integers(97, 123, (1000, 5000), dtype=np.uint8)
    texts = pl.Series([row.tobytes().decode() for row in letters])
    with pa.ipc.new_file(path, pa.schema([("text", pa.large_string())])) as writer:
        for i in range(80):
            column = (texts + f" {i}").to_arrow(compat_level=pl.CompatLevel.oldest())
            writer.write_batch(pa.record_batch({"text": column}))
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads peak memory from /proc")
@pytest.mark.parametrize(
    "suffix",
    ["parquet", *(pytest.param(s, marks=pytest.mark.slow) for s in ("arrow", "csv", "jsonl"))],
)
def test_memory_follows_a_batch_not_the_file(
    tmp_path: Path, large_table: Path, suffix: str
) -> None:
    small, large = tmp_path / f"small.{suffix}", tmp_path / f"large.{suffix}"
    FORMATS[suffix](pl.DataFrame({"text": ["a", "b"]}), small)
    with pa.memory_map(str(large_table)) as file:
        table = pa.ipc.open_file(file).read_all()
        if suffix == "parquet":
            # one row group, so that nothing but pages can bound the memory
            pq.write_table(table, large, compression="none", use_dictionary=False)
        elif suffix == "csv":
            pa.csv.write_csv(table, large)
        elif suffix == "jsonl":
            pl.DataFrame(pl.from_arrow(table)).write_ndjson(large)
        else:
            large = large_table
    assert large.stat().st_size > 380 << 20
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(small), str(large)],
        capture_output=True,
        text=True,
        check=True,
    )
    rows, mebibytes = map(int, done.stdout.split())
    assert rows == 80_000
    assert mebibytes < 260


def test_roles_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Roles().text = "a"  # type: ignore[misc]


def test_a_label_is_never_the_content_by_default():
    pixels = [b"x%d" % i for i in range(12)]
    kinds = ["cat", "dog", "emu"] * 4
    assert read_pool({"image": pixels, "label": kinds}).kind == "image"
    assert read_pool({"image": pixels, "animal": kinds}).kind == "image"
    assert read_pool({"image": pixels, "text": kinds}).kind == "image"
    assert read_pool({"image": pixels, "text": [f"cat {i}" for i in range(12)]}).kind == "text"
    assert read_pool({"text": ["same"] * 12, "n": range(12)}).kind == "text"
    assert read_pool({"embedding": [[1.0]] * 12, "animal": kinds}).kind == "vector"
    for name, values in (("animal", kinds), ("Label", [str(i) for i in range(12)])):
        with pytest.raises(ConfigError, match=f"{name!r} looks like a label"):
            read_pool({"payload": pixels, name: values})
        assert read_pool({"payload": pixels, name: values}, text=name).kind == "text"


def test_vectors_of_some_rows_are_those_of_all(tmp_path):
    vectors = [[1.0, 2.0], None, [3.0, 4.0], [5.0, 6.0]]
    pl.DataFrame({"v": vectors}).write_parquet(tmp_path / "pool.parquet")
    pool = read_pool(tmp_path / "pool.parquet", vector="v")
    some = pool.contents_at(np.array([0, 2, 3]))
    assert some.to_pylist() == [vectors[i] for i in (0, 2, 3)]
    assert some.type == pool.contents().type
    np.save(tmp_path / "more.npy", np.arange(6, dtype=np.float32).reshape(3, 2))
    beside = read_pool(tmp_path / "more.npy")
    assert beside.contents_at(np.array([1, 2])).to_pylist() == [[2.0, 3.0], [4.0, 5.0]]


def test_parts_of_some_rows_are_those_rows(tmp_path):
    """Over files of other sizes, also where a batch or a whole file has none of them."""
    texts = [f"text {i}" for i in range(20_000)]
    for name, begin, end in (("a", 0, 12_000), ("b", 12_000, 12_010), ("c", 12_010, 20_000)):
        pl.DataFrame({"text": texts[begin:end]}).write_parquet(tmp_path / f"{name}.parquet")
    pool = read_pool(tmp_path)
    for rows in ([], [0], [11_999, 12_000, 12_010], [19_999], list(range(0, 20_000, 7))):
        parts = list(pool.content_parts_at(np.array(rows, dtype=np.int64)))
        assert [text for part in parts for text in part.to_pylist()] == [texts[i] for i in rows]
        assert all(len(part) for part in parts)
    with pytest.raises(InputError, match="no row 20000; its last row is 19999"):
        list(pool.content_parts_at(np.array([5, 20_000])))
