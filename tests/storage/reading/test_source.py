"""Finding files and reading every format: against the standard library's csv and json readers."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.storage.errors import InputError, SourceChangedError, SourceError
from assay.storage.reading.csv import CsvSource, TextSource
from assay.storage.reading.formats import find_files, open_source
from assay.storage.reading.json_lines import JsonLinesSource
from assay.storage.reading.source import Source, regroup


@pytest.fixture(params=[7, 8 << 20], ids=["small blocks", "large blocks"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TextSource, "block_bytes", request.param)


def written(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def rows_of(source: Source, size: int = 1000) -> list[dict[str, Any]]:
    found = source.batches(source.schema.names, size)
    return [row for batch in found for row in batch.to_pylist()]


def read(path: Path) -> list[dict[str, Any]]:
    return rows_of(open_source(path, path.name))


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue())


# finding


def test_a_folder_gives_its_readable_files_in_order_of_their_path(tmp_path: Path) -> None:
    for name in (
        *("b.csv", "a/z.jsonl", "a/B.PARQUET", "a.csv.gz", "c.ipc"),
        *(
            ".hidden.csv",
            "_delta_log/0.json",
            ".cache/x.csv",
            "_SUCCESS",
            "notes.txt",
            "x.parquet.gz",
        ),
        *("dataset_info.json", "state.json"),
    ):
        written(tmp_path, f"pool/{name}", "")
    name, files = find_files(tmp_path / "pool")
    assert name == "pool"
    assert [within for _, within in files] == [
        "a.csv.gz",
        "a/B.PARQUET",
        "a/z.jsonl",
        "b.csv",
        "c.ipc",
    ]
    assert all(path == tmp_path / "pool" / within for path, within in files)


def test_globs_and_their_base(tmp_path: Path) -> None:
    for name in ("x/1.csv", "x/2.csv", "y/3.csv", "y/4.jsonl", "y/_5.csv"):
        written(tmp_path, f"pool/{name}", "")
    name, files = find_files(str(tmp_path / "pool/**/*.csv"))
    assert name == "pool"
    assert [within for _, within in files] == ["x/1.csv", "x/2.csv", "y/3.csv"]
    name, files = find_files(str(tmp_path / "pool/y/?.*"))
    assert [within for _, within in files] == ["3.csv", "4.jsonl"]


def test_a_literal_name_is_never_taken_as_a_pattern(tmp_path: Path) -> None:
    odd = """it's [1] "a*b"; drop table x;--{}% ä.csv"""
    path = written(tmp_path, odd, "text\nright\n")
    written(tmp_path, odd.replace("[1]", "1"), "text\nwrong\n")
    assert find_files(path) == (odd[: -len(".csv")], [(path, odd)])
    assert read(path) == [{"text": "right"}]
    for suffix in (".jsonl", ".parquet", ".arrow"):
        other = path.with_suffix(suffix)
        table = pa.table({"text": ["right"]})
        if suffix == ".jsonl":
            other.write_text('{"text": "right"}')
        elif suffix == ".parquet":
            pq.write_table(table, other)
        else:
            with pa.ipc.new_file(other, table.schema) as writer:
                writer.write_table(table)
        assert read(other) == [{"text": "right"}]


@pytest.mark.parametrize(
    ("name", "stem"), [("p.csv.gz", "p"), ("p.v2.parquet", "p.v2"), ("P.JSONL.ZST", "P")]
)
def test_the_stem_names_the_pool(tmp_path: Path, name: str, stem: str) -> None:
    assert find_files(written(tmp_path, name, ""))[0] == stem


def test_what_is_not_there_is_named_with_the_likely_one(tmp_path: Path) -> None:
    written(tmp_path, "reviews.csv", "")
    with pytest.raises(
        SourceError, match=r"no file or folder .*review\.csv.*Did you mean .*reviews\.csv"
    ):
        find_files(tmp_path / "review.csv")
    with pytest.raises(SourceError, match="does not exist either"):
        find_files(tmp_path / "nowhere" / "x.csv")
    with pytest.raises(
        SourceError, match=r"holds no file that can be read.*\.parquet.*\.jsonl.*\.gz"
    ):
        find_files(written(tmp_path, "empty/notes.txt", "").parent)
    with pytest.raises(SourceError, match="holds no file that can be read"):
        find_files(str(tmp_path / "*.jsonl"))
    with pytest.raises(SourceError, match=r"no extension that tells its format.*\.parquet"):
        find_files(written(tmp_path, "notes.txt", ""))


# CSV


def csv_oracle(text: str, width: int) -> list[list[str]] | None:
    """Return the records by the standard library, None where one is broken."""
    records = []
    try:
        for record in csv.reader(io.StringIO(text, newline=""), strict=True):
            if record or width == 1:
                records.append(record or [""])
    except csv.Error:
        return None
    return records if all(len(record) == width for record in records) else None


def assert_agrees_with_the_standard_library(path: Path, body: str, width: int) -> None:
    names = [f"c{i}" for i in range(width)]
    path.write_bytes((",".join(names) + "\n" + body).encode())
    expected = csv_oracle(body, width)
    source = CsvSource(path, "x")
    try:
        found = [[value or "" for value in row.values()] for row in rows_of(source, 3)]
    except SourceError:
        assert expected is None
    else:
        assert found == expected


@pytest.mark.parametrize("block", [1, 3, 8 << 20])
def test_csv_agrees_with_the_standard_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(TextSource, "block_bytes", block)
    draw = random.Random(block)
    fields = ["a", "", '""', '"x\ny"', '"q""q"', '"\r"', "é a", '"a,b"', 'x"y', "\0", " "]
    pieces = ["a", "b", ",", '"', '"', "\n", "\r", "\r\n", "é", " "]
    for _ in range(300):
        width = draw.choice([1, 2, 3])
        body = "".join(draw.choices(pieces, k=draw.randrange(16)))
        assert_agrees_with_the_standard_library(tmp_path / "x.csv", body, width)
        body = "".join(
            ",".join(draw.choices(fields, k=width)) + draw.choice(["\n", "\r\n", "\r"])
            for _ in range(draw.randrange(5))
        )
        body = body[: len(body) - draw.randrange(2)]
        assert_agrees_with_the_standard_library(tmp_path / "x.csv", body, width)


@pytest.mark.usefixtures("_blocks")
def test_csv_values_stay_as_written(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "x.csv",
        b'\xef\xbb\xbfid,,"te\nxt"\r\n007,1.50,"x\r\ny"\r\n,"",NULL\n\n 8 ,TRUE,"a""b,c"',
    )
    assert read(path) == [
        {"id": "007", "": "1.50", "te\nxt": "x\r\ny"},
        {"id": None, "": "", "te\nxt": "NULL"},
        {"id": " 8 ", "": "TRUE", "te\nxt": 'a"b,c'},
    ]


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".csv.zst", ".tsv", ".tsv.gz"])
def test_delimiters_and_compression(tmp_path: Path, suffix: str) -> None:
    records = [["id", "text"], *([str(i), f"row {i},\t{'x' * i}"] for i in range(50))]
    text = io.StringIO(newline="")
    csv.writer(text, delimiter="\t" if "tsv" in suffix else ",").writerows(records)
    data = text.getvalue().encode()
    if suffix.endswith(".gz"):
        # several members, as `cat a.gz b.gz` gives
        data = gzip.compress(data[:300]) + gzip.compress(data[300:])
    elif suffix.endswith(".zst"):
        data = zstd(data[:300]) + zstd(data[300:])
    found = read(written(tmp_path, f"x{suffix}", data))
    assert [list(row.values()) for row in found] == records[1:]


BROKEN_CSV = {
    "too few": ("a,b,c\n1,2,3\n4,5\n6,7,8\n", 3, "expected 3 fields, found 2"),
    "too many": ("a,b\n1,2\n\n4,5,6\n", 4, "expected 2 fields, found 3"),
    "after quoted line breaks": ('a,b\r\n"x\r\ny",2\r\n3\r\n', 4, "expected 2 fields, found 1"),
    "open quote": ('a,b\n1,2\n3,"x\n4,5\n', 3, "a quote opens here and is never closed"),
    "text after a quote": ('a,b\n1,"x"y\n', 2, "text follows a closing quote"),
    "lone carriage return": ("a,b\nx\ry,2\n", 2, "expected 2 fields, found 1"),
    "not UTF-8": (b"a,b\n1,2\nx,caf\xe9\n", 3, "byte 6 of the line, b'\\xe9', is not valid UTF-8"),
    "header not UTF-8": (b"a,caf\xe9\n1,2\n", 1, "is not valid UTF-8"),
    "empty": ("", 1, "must name the columns"),
    "empty first line": ("\na,b\n1,2\n", 1, "must name the columns"),
}


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("case", BROKEN_CSV)
def test_a_broken_csv_row_is_named_with_its_line(tmp_path: Path, case: str) -> None:
    data, line, what = BROKEN_CSV[case]
    path = written(tmp_path, "x.csv", data)
    with pytest.raises(SourceError) as caught:
        read(path)
    message = str(caught.value)
    assert f"{path}, line {line}: " in message
    assert what in message
    assert "\n" not in message


def test_a_record_without_end_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextSource, "block_bytes", 100)
    monkeypatch.setattr(TextSource, "record_bytes", 1000)
    path = written(tmp_path, "x.csv", 'a,b\n1,2\n"' + "x\n" * 10_000)
    with pytest.raises(SourceError, match="line 3: the record is longer than 1000 bytes"):
        read(path)


def test_a_header_alone_is_no_row_and_names_must_differ(tmp_path: Path) -> None:
    for data in ("a,b\n", "a,b"):
        assert read(written(tmp_path, "x.csv", data)) == []
    with pytest.raises(InputError, match="more than one column named 'a'"):
        open_source(written(tmp_path, "y.csv", "a,b,a\n1,2,3\n"), "y.csv")
    with pytest.raises(SourceError, match="UTF-16"):
        open_source(written(tmp_path, "z.csv", "a,b\n".encode("utf-16")), "z.csv")


# JSON lines


@pytest.mark.usefixtures("_blocks")
def test_json_types_are_those_of_all_values(tmp_path: Path) -> None:
    lines = [
        {"int": 1, "float": 1, "text": "2020-01-01", "mixed": 1, "list": [1], "deep": {"a": 1}},
        {"int": 2, "float": 2.5, "text": "007", "mixed": "x", "list": [0.5], "deep": {"b": [1]}},
        {"int": None, "wide": 2**63, "flag": True, "mixed": 2.0, "odd": True, "list": []},
        {"late": "ü\U0001f600\0", "case": 1, "Case": 2, "wide": 1, "odd": 1, "nest": [1]},
        {"odd": "x", "nest": 3, "null": None, "": "nameless"},
    ]
    data = "".join(json.dumps(line) + "\r\n \n" for line in lines)
    source = open_source(written(tmp_path, "x.jsonl", "\ufeff" + data), "x.jsonl")
    assert source.n_rows == 5
    frame = pl.DataFrame(rows_of(source), infer_schema_length=None)
    assert frame["int"].to_list() == [1, 2, None, None, None]
    assert frame["float"].to_list() == [1.0, 2.5, None, None, None]
    assert frame["text"].to_list() == ["2020-01-01", "007", None, None, None]
    assert frame["mixed"].to_list() == ["1", "x", "2", None, None]
    assert frame["wide"].to_list() == [None, None, str(2**63), "1", None]
    assert frame["odd"].to_list() == [None, None, "true", "1", "x"]
    assert frame["list"].to_list() == [[1.0], [0.5], [], None, None]
    assert frame["deep"].to_list()[:2] == [{"a": 1, "b": None}, {"a": None, "b": [1]}]
    assert frame["nest"].to_list()[3:] == ["[1]", "3"]
    assert frame["late"][3] == "ü\U0001f600\0"
    assert frame[""][4] == "nameless"
    assert frame.select("case", "Case").row(3) == (1, 2)
    assert source.schema.field("int").type == pa.int64()
    assert source.schema.field("null").type == pa.null()


BROKEN_JSON = {
    "cut off": ('{"a": 1}\n{"a": \n', 2, "not valid JSON"),
    "trailing comma": ('{"a": 1}\n\n{"a": 2,}\n{"a": 3}\n', 3, "not valid JSON"),
    "two on a line": ('{"a": 1} {"a": 2}\n', 1, "Extra data"),
    "number": ('{"a": 1}\n3\n', 2, "expected a JSON object, found 3"),
    "list": ('{"a": 1}\n[{"a": 2}]\n', 2, "expected a JSON object"),
    "not a number": ('{"a": 1}\n{"a": NaN}\n', 2, "NaN is no JSON value"),
    "infinite": ('{"a": 1}\n{"a": 1e999}\n', 2, "1e999 is too large"),
    "not UTF-8": (b'{"a": "x"}\n{"a": "\xff"}\n', 2, "not valid UTF-8"),
    "control character": ('{"a": "x\ty"}\n', 1, "Invalid control character"),
    "half a pair": ('{"a": "\\ud83d\\ude00"}\n{"a": "\\ud83d"}\n', 2, "half of a surrogate pair"),
    "other half": ('{"a": "\\\\ud800"}\n{"a": "x\\uDE00"}\n', 2, "half of a surrogate pair"),
    "half after a backslash": (
        '{"a": "\\\\\\ud83d\\ude00"}\n{"a": "\\\\ud83d\\ude00"}\n',
        2,
        "half of a",
    ),
    "comment": ('{"a": 1}\n// no\n', 2, "not valid JSON"),
}


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("case", BROKEN_JSON)
def test_a_broken_json_line_is_named(tmp_path: Path, case: str) -> None:
    data, line, what = BROKEN_JSON[case]
    path = written(tmp_path, "x.jsonl", data)
    with pytest.raises(SourceError) as caught:
        open_source(path, "x.jsonl")
    message = str(caught.value)
    assert f"{path}, line {line}: " in message
    assert what in message
    assert "\n" not in message


@pytest.mark.parametrize("array", ['[{"a": 1}]', '[\n  {"a": 1}\n]\n', ' [\n{"a": 1},\n{"a": 2}]'])
def test_a_json_array_is_told_from_lines(tmp_path: Path, array: str) -> None:
    with pytest.raises(SourceError, match="holds a JSON array, not one JSON object per line"):
        open_source(written(tmp_path, "x.json", array), "x.json")


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5)


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(st.dictionaries(names, scalars, max_size=4), min_size=1))
def test_json_agrees_with_the_standard_library(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = tmp_path_factory.mktemp("json") / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    source = JsonLinesSource(path, "x")
    keys = {key for row in rows for key in row}
    assert set(source.schema.names) == keys
    if not keys:
        return
    kinds = {
        key: {type(row[key]) for row in rows if row.get(key) is not None} or {str} for key in keys
    }
    for row, found in zip(rows, rows_of(source), strict=True):
        for key, (kind, *others) in kinds.items():
            value = row.get(key)
            if value is not None and others:
                value = value if isinstance(value, str) else json.dumps(value)
            assert found[key] == value, (key, kind)


# every format


def as_ipc(table: pa.Table, stream: bool) -> bytes:
    sink = pa.BufferOutputStream()
    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return bytes(sink.getvalue())


def as_parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, row_group_size=3)
    return bytes(sink.getvalue())


TABLE = pa.table(
    {
        "a.b": pa.array(range(10), pa.int16()),
        "text": pa.array([f"t{i}" for i in range(10)]).dictionary_encode(),
        "vector": pa.array([[i, 1] for i in range(10)], pa.list_(pa.float32(), 2)),
        "view": pa.array([f"v{i}" for i in range(10)]).cast(pa.string_view()),
        "a": pa.array([{"b": i} for i in range(10)]),
    }
)
WRITERS: dict[str, Callable[[pa.Table], bytes]] = {
    "x.parquet": as_parquet,
    "x.arrow": lambda table: as_ipc(table, stream=False),
    "y.arrow": lambda table: as_ipc(table, stream=True),
}


@pytest.mark.parametrize("name", WRITERS)
def test_binary_formats_give_the_columns_asked_for_with_their_types(
    tmp_path: Path, name: str
) -> None:
    path = written(tmp_path, name, WRITERS[name](TABLE))
    source = open_source(path, name)
    assert source.schema.names == TABLE.column_names
    for size in (1, 3, 4, 100):
        batches = list(source.batches(["view", "a.b", "vector"], size))
        assert [batch.num_rows for batch in batches] == [size] * (10 // size) + [10 % size] * (
            10 % size > 0
        )
        table = pa.Table.from_batches(batches)
        assert table.column_names == ["view", "a.b", "vector"]
        assert table["a.b"].type == pa.int16()
        assert table["vector"].type == pa.list_(pa.float32(), 2)
        assert table.to_pylist() == TABLE.select(table.column_names).to_pylist()
    assert rows_of(source) == TABLE.to_pylist()
    assert source.n_rows == 10
    rows = pl.Series([0, 2, 3, 9, 12]).to_numpy()
    assert source.take(rows, ["a", "text"])["text"].to_pylist() == ["t0", "t2", "t3", "t9"]
    assert source.take(rows[:0], ["a"]).num_rows == 0


@pytest.mark.parametrize("name", [*WRITERS, "x.csv.gz", "x.jsonl.zst"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    if name in WRITERS:
        data = WRITERS[name](TABLE)
    else:
        text = b'{"a": "%s"}' % os.urandom(5000).hex().encode()
        data = gzip.compress(b"a\n" + text.replace(b'"', b"")) if "gz" in name else zstd(text)
    for damaged in (data[: len(data) * 2 // 3], b"", b"no such format"):
        path = written(tmp_path, name, damaged)
        if name == "x.jsonl.zst" and not damaged:
            assert read(path) == []  # nothing is zero lines
            continue
        with pytest.raises(SourceError, match=path.name) as caught:
            read(path)
        assert "\n" not in str(caught.value)


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = written(tmp_path, "x.csv", "a\n1\n2\n")
    source = open_source(path, "x.csv")
    batches = source.batches(["a"], 1)
    next(batches)
    written(tmp_path, "x.csv", "a\n1\n3\n4\n")
    with pytest.raises(SourceChangedError, match=r"x\.csv changed"):
        list(batches)
    with pytest.raises(SourceChangedError):
        list(source.batches(["a"]))
    with pytest.raises(SourceChangedError):
        source.digest_into(hashlib.blake2b(), [])
    path.unlink()
    with pytest.raises(SourceChangedError, match="vanished"):
        list(source.batches(["a"]))


def test_the_same_size_with_another_time_is_a_change(tmp_path: Path) -> None:
    path = written(tmp_path, "x.parquet", as_parquet(TABLE))
    source = open_source(path, "x.parquet")
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceChangedError):
        source.take(pl.Series([0]).to_numpy(), ["a"])


def test_regrouping_keeps_rows_and_bounds_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = [pa.record_batch({"a": np.arange(i * 10, i * 11)}) for i in (3, 0, 1, 7)]

    def shapes(size: int) -> list[int]:
        found = list(regroup(iter(batches), size))
        assert pa.Table.from_batches(found) == pa.Table.from_batches(batches)
        return [batch.num_rows for batch in found]

    assert shapes(4) == [4, 4, 3]
    assert shapes(100) == [11]
    monkeypatch.setattr("assay.storage.reading.source.BATCH_BYTES", 16)
    assert shapes(4) == [3, 4, 4]


def test_no_engine_is_loaded_that_is_not_needed(tmp_path: Path) -> None:
    path = written(tmp_path, "x.parquet", as_parquet(TABLE))
    code = (
        "import sys; from assay.storage.reading.pools import read_pool;"
        f"read_pool({str(path)!r}, text='text').columns;"
        "print([m for m in ('numba', 'sklearn', 'duckdb', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
