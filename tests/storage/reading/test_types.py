"""Every type that a file can hold: kept, handed out in every format, in tables, or refused by name."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.flows.export.frames import write_frame
from assay.storage import read_pool
from assay.storage.errors import ConfigError, InputError
from assay.storage.reading.types import carried, storable

ROWS = 4
UNITS = ("s", "ms", "us", "ns")
FLAT = [
    pa.null(), pa.bool_(), pa.int8(), pa.int64(), pa.uint8(), pa.uint64(), pa.float16(),
    pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.string_view(), pa.binary(),
    pa.large_binary(), pa.binary_view(), pa.binary(2), pa.date32(), pa.date64(), pa.time32("s"),
    pa.time32("ms"), pa.time64("us"), pa.time64("ns"), *map(pa.timestamp, UNITS),
    pa.timestamp("us", "UTC"), pa.timestamp("ns", "Europe/Berlin"), pa.timestamp("s", "+02:00"),
    *map(pa.duration, UNITS), pa.decimal32(5, 2), pa.decimal64(12, 2), pa.decimal128(38, 10),
    pa.decimal256(60, 3), pa.month_day_nano_interval(), pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.int64()), pa.struct([]),
]  # fmt: skip


def grown(inner: st.SearchStrategy[pa.DataType]) -> st.SearchStrategy[pa.DataType]:
    fields = st.lists(inner, max_size=3).map(
        lambda kinds: pa.struct([(f"f{i}", kind) for i, kind in enumerate(kinds)])
    )
    return st.one_of(
        inner.map(pa.list_),
        inner.map(pa.large_list),
        st.tuples(inner, st.integers(1, 2)).map(lambda pair: pa.list_(*pair)),
        inner.map(pa.list_view),
        inner.map(pa.large_list_view),
        inner.map(lambda kind: pa.map_(pa.string(), kind)),
        inner.filter(lambda kind: not pa.types.is_dictionary(kind)).map(
            lambda kind: pa.dictionary(pa.int8(), kind)
        ),
        inner.map(lambda kind: pa.run_end_encoded(pa.int32(), kind)),
        inner.map(lambda kind: pa.sparse_union([pa.field("a", kind), pa.field("b", pa.int8())])),
        fields,
    )


KINDS = st.recursive(st.sampled_from(FLAT), grown, max_leaves=4)
MOMENT = dt.datetime(2024, 2, 29, 12, 30, 15, 250_000)


def value(kind: pa.DataType, seed: int) -> Any:
    """Return a value of a type, None now and then."""
    if seed % 4 == 3 or pa.types.is_null(kind):
        return None
    if pa.types.is_dictionary(kind):
        return value(kind.value_type, seed)
    if pa.types.is_struct(kind):
        return {field.name: value(field.type, seed + i) for i, field in enumerate(kind)}
    if pa.types.is_map(kind):
        return [("k", value(kind.item_type, seed))]
    if pa.types.is_fixed_size_list(kind):
        return [value(kind.value_type, seed + i) for i in range(kind.list_size)]
    if kind.num_fields:
        return [value(kind.field(0).type, seed + i) for i in range(seed % 3)]
    whole = (pa.types.is_integer, pa.types.is_duration, pa.types.is_time)
    for tests, made in (
        ((pa.types.is_boolean,), bool(seed % 2)),
        (whole, seed * 1000),
        ((pa.types.is_floating,), [0.5, float("nan"), float("inf")][seed % 3]),
        ((pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view), f"=t{seed}"),
        ((pa.types.is_date,), MOMENT.date()),
        ((pa.types.is_timestamp,), MOMENT.replace(microsecond=0)),
        ((pa.types.is_decimal,), Decimal(f"{seed}.5")),
        ((pa.types.is_interval,), (1, 2, seed)),
    ):
        if any(test(kind) for test in tests):
            return made % 100 if kind in (pa.int8(), pa.uint8()) else made
    return b"\xff\x00"


def built(kind: pa.DataType) -> bool:
    """Return whether a type holds one that no column of Python's values can be made of."""
    tests = (pa.types.is_union, pa.types.is_run_end_encoded, pa.types.is_dictionary)
    if any(test(kind) for test in tests):
        return True
    if pa.types.is_map(kind):
        return built(kind.item_type)
    return any(built(kind.field(i).type) for i in range(kind.num_fields))


def column(kind: pa.DataType, seed: int) -> pa.Array:
    if built(kind):
        return built_column(kind, seed)
    values = [value(kind, seed + i) for i in range(ROWS)]
    if kind == pa.float16():
        values = [None if v is None else np.float16(v) for v in values]
    return pa.array(values, kind)


def built_column(kind: pa.DataType, seed: int) -> pa.Array:
    """Return a column made of those of its parts, one value of each in every row."""
    if pa.types.is_dictionary(kind):
        codes = pa.array([None if i == seed % 7 else i for i in range(ROWS)], kind.index_type)
        return pa.DictionaryArray.from_arrays(codes, column(kind.value_type, seed))
    if pa.types.is_run_end_encoded(kind):
        ends = pa.array(range(1, ROWS + 1), kind.run_end_type)
        return pa.RunEndEncodedArray.from_arrays(ends, column(kind.value_type, seed))
    if pa.types.is_union(kind):
        parts = [column(field.type, seed + i) for i, field in enumerate(kind)]
        tags = pa.array([i % len(parts) for i in range(ROWS)], pa.int8())
        return pa.UnionArray.from_sparse(tags, parts, [field.name for field in kind])
    if pa.types.is_struct(kind):
        parts = [column(field.type, seed + i) for i, field in enumerate(kind)]
        return pa.StructArray.from_arrays(parts, fields=list(kind))
    offsets = pa.array(range(ROWS + 1), pa.int32())
    if pa.types.is_map(kind):
        keys = pa.array(["k"] * ROWS)
        return pa.MapArray.from_arrays(offsets, keys, column(kind.item_type, seed))
    values = column(kind.value_type, seed)
    if pa.types.is_fixed_size_list(kind):
        values = pa.concat_arrays([values] * kind.list_size)
        return pa.FixedSizeListArray.from_arrays(values, kind.list_size)
    sizes = pa.array([1] * ROWS, pa.int32())
    if pa.types.is_list_view(kind):
        return pa.ListViewArray.from_arrays(offsets[:-1], sizes, values)
    if pa.types.is_large_list_view(kind):
        large = offsets[:-1].cast(pa.int64()), sizes.cast(pa.int64())
        return pa.LargeListViewArray.from_arrays(*large, values)
    if pa.types.is_large_list(kind):
        return pa.LargeListArray.from_arrays(offsets.cast(pa.int64()), values)
    return pa.ListArray.from_arrays(offsets, values)


def tried(call: Callable[[], Any]) -> tuple[Any, str]:
    """Return a call's result, or None and why it was refused."""
    try:
        return call(), ""
    except (InputError, ConfigError) as error:
        return None, str(error)


@settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
@given(kind=KINDS, seed=st.integers(0, 11), suffix=st.sampled_from(["arrow", "parquet"]))
def test_every_type_goes_everywhere_or_is_refused_by_name(
    tmp_path_factory: pytest.TempPathFactory, kind: pa.DataType, seed: int, suffix: str
) -> None:
    folder = tmp_path_factory.mktemp("types")
    try:
        odd = column(kind, seed)
        table = pa.table({"text": [f"t{i}" for i in range(ROWS)], "odd": odd})
        path = folder / f"p.{suffix}"
        if suffix == "parquet":
            pq.write_table(table, path)
        else:
            with pa.ipc.new_file(path, table.schema) as writer:
                writer.write_table(table)
            with pa.ipc.open_file(path) as written:
                written.read_all().validate(full=True)
    except (pa.ArrowException, TypeError, AttributeError):
        return  # no such file can be written
    pool = read_pool(path, text="text", keep=["odd"])
    kept, refusal = tried(pool.samples)
    if "damaged" in refusal or "array invalid" in refusal:
        return  # what Arrow itself wrote, and doesn't read
    assert kept is not None or "'odd'" in refusal
    if kept is not None:
        assert kept["odd"].null_count() >= odd.null_count
        with duckdb.connect() as con:
            con.register("kept", kept)
            con.execute("CREATE TABLE samples AS SELECT * FROM kept")
            assert con.execute("SELECT count(odd) FROM samples").fetchone() == (
                ROWS - kept["odd"].null_count(),
            )
        kept.write_parquet(folder / "samples.parquet")
    rows, refusal = tried(lambda: pool.take(range(ROWS)))
    if refusal:
        assert "'odd'" in refusal
        assert kept is None
        return
    for format in ("parquet", "arrow", "csv", "jsonl"):
        out = folder / f"out.{format}"
        refusal = tried(partial(write_frame, rows, out, format))[1]
        if refusal:
            assert "'odd'" in refusal
            assert "inary" in str(rows.schema["odd"])
            assert not out.exists()
        elif format == "parquet":
            assert pl.read_parquet(out).height == ROWS
        elif format == "arrow":
            with pa.ipc.open_file(out) as file:
                found = file.read_all()
            found.validate(full=True)
            assert found.num_rows == ROWS
            assert found["odd"].null_count == rows["odd"].null_count()
        elif format == "csv":
            assert pl.read_csv(out, infer_schema=False).height == ROWS
        else:
            lines = out.read_text().splitlines()
            assert [list(json.loads(line)) for line in lines] == [["text", "odd"]] * ROWS
            assert "NaN" not in out.read_text()


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_slices_are_carried_as_their_values(offset: int) -> None:
    kinds = [
        pa.list_(pa.struct([("a", pa.decimal256(60, 1))])),
        pa.list_(pa.month_day_nano_interval(), 2),
        pa.list_view(pa.int64()),
        pa.list_(pa.int8(), 0),
        pa.list_(pa.decimal32(5, 2)),
        pa.struct([("a", pa.struct([])), ("b", pa.decimal256(60, 3))]),
        pa.map_(pa.string(), pa.decimal256(60, 1)),
    ]
    for kind in kinds:
        table = pa.table({"v": column(kind, 1)})
        whole = pl.Series(carried(table)["v"])
        assert pl.Series(carried(table.slice(offset))["v"]).equals(whole[offset:])


def test_intervals_become_their_parts_and_long_decimals_text() -> None:
    table = pa.table(
        {
            "i": pa.array([(1, -2, 3), None], pa.month_day_nano_interval()),
            "d": pa.array([Decimal("1" * 50), None], pa.decimal256(60, 0)),
            "r": pa.RunEndEncodedArray.from_arrays([1, 2], [7, None]),
            "z": pa.array([0, None], pa.timestamp("us", "Nowhere/Town")),
        }
    )
    frame = pl.DataFrame(carried(table))
    assert frame.row(0)[:3] == ({"months": 1, "days": -2, "nanoseconds": 3}, "1" * 50, 7)
    assert frame.row(1) == (None, None, None, None)
    assert frame.schema["z"] == pl.Datetime("us", "UTC")


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (pa.array([2**31 - 1], pa.date32()), "260,000 years"),
        (pa.array([{"t": 2**60}], pa.struct([("t", pa.timestamp("s"))])), "260,000 years"),
        (pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]), "several types"),
        (pa.StructArray.from_arrays([pa.array([1])] * 2, names=["a", "a"]), "two fields"),
    ],
)
def test_what_no_type_holds_is_refused_where_it_is_used(
    tmp_path: Path, odd: pa.Array, reason: str
) -> None:
    table = pa.table({"text": ["a"], "odd": odd})
    with pa.ipc.new_file(tmp_path / "p.arrow", table.schema) as writer:
        writer.write_table(table)
    assert read_pool(tmp_path / "p.arrow", text="text").samples().height == 1
    for use in (
        lambda: read_pool(tmp_path / "p.arrow", text="text").take([0]),
        lambda: read_pool(tmp_path / "p.arrow", text="text", keep=["odd"]).samples(),
        lambda: read_pool(table, text="text"),
    ):
        with pytest.raises(InputError, match=rf"Column 'odd' can't be read: .*{reason}"):
            use()


def test_what_tables_cannot_hold_is_refused() -> None:
    for column, reason in (
        (pl.Series("odd", [1], pl.Duration("ns")), "parts of a microsecond"),
        (pl.Series("odd", [{"a": 1, "A": 2}]), "case"),
    ):
        with pytest.raises(InputError, match=f"Column 'odd' can't be kept: .*{reason}"):
            storable(column.to_frame())
        assert storable(column.to_frame(), as_tables=False)["odd"].equals(column)


def test_files_whose_types_differ_are_joined_as_text(tmp_path: Path) -> None:
    moment = dt.datetime(2024, 1, 1)
    for name, at, n in (("a", moment, 2**53 + 1), ("b", moment.replace(tzinfo=dt.UTC), 0.5)):
        pl.DataFrame({"text": [name], "at": [at], "n": [n]}).write_parquet(
            tmp_path / f"{name}.parquet"
        )
    pool = read_pool(tmp_path, text="text", keep=["at", "n"])
    assert pool.take([0, 1]).rows() == [
        ("a", "2024-01-01T00:00:00.000000", "9007199254740993"),
        ("b", "2024-01-01T00:00:00.000000Z", "0.5"),
    ]
    assert pool.samples().select("at", "n").dtypes == [pl.String, pl.String]
