"""Hostile files and folders: a right result or a clear error; no hang, crash or half a result."""

from __future__ import annotations

import gzip
import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay.storage import read_pool
from assay.storage.errors import InputError, SourceError
from assay.storage.reading._jsonscan import scan_keys
from assay.storage.reading.csv import TextSource
from assay.storage.reading.formats import find_files
from assay.storage.reading.json_lines import DEEPEST
from assay.storage.reading.source import MOST_COLUMNS
from tests.security.limits import time_limit


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    with time_limit(60):
        yield


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, **roles: Any) -> pl.DataFrame:
    """Read every part of a pool: samples, content, rows."""
    pool = read_pool(path, **roles)
    samples = pool.samples()
    assert sum(map(len, pool.batches())) == samples.height
    assert pool.take(np.arange(samples.height)).height == samples.height
    return samples


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_cell_of_ten_megabytes(tmp_path: Path, suffix: str) -> None:
    cell = 'a "b",\n' * 1_500_000
    frame = pl.DataFrame({"id": ["1", "2"], "text": [cell, "x"]})
    path = tmp_path / f"pool{suffix}"
    (frame.write_csv if suffix == ".csv" else frame.write_ndjson)(path)
    assert read(path, id="id", text="text").height == 2
    assert read_pool(path, text="text").contents()[0].as_py() == cell


def test_a_long_record_is_scanned_a_few_times_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextSource, "block_bytes", 1 << 10)
    path = written(tmp_path, "x.csv", 'text\n"' + "a," * (1 << 19) + '"\n')
    scanned = []
    scan = read_pool(path, text="text")._sources[0]._scan  # type: ignore[attr-defined]

    def counted(held: bytes, *rest: Any) -> Any:
        scanned.append(len(held))
        return scan(held, *rest)

    source: Any = read_pool(path, text="text")._sources[0]
    source._scan = counted
    assert sum(batch.num_rows for batch in source.batches(["text"])) == 1
    assert sum(scanned) < 6 * path.stat().st_size


@pytest.mark.parametrize(
    ("brackets", "inner"), [(("[", "]"), ""), (('{"a":', "}"), "1"), (('[{"a":', "}]"), "1")]
)
@pytest.mark.parametrize("depth", [DEEPEST, 1_000, 100_000])
def test_deeply_nested_json(
    tmp_path: Path, brackets: tuple[str, str], inner: str, depth: int
) -> None:
    each = brackets[1].count("}") + brackets[1].count("]")
    opened, closed = (part * ((depth - 1) // each) for part in brackets)
    line = f'{{"text":"a [[[ {{","x":{opened}{inner}{closed}}}\n'
    path = written(tmp_path, "x.jsonl", '{"text":"first"}\n' + line)
    if depth == DEEPEST:
        assert read(path, text="text").height == 2
        return
    with pytest.raises(SourceError, match=f"line 2: brackets are nested more than {DEEPEST} deep"):
        read(path, text="text")


def test_brackets_that_never_close(tmp_path: Path) -> None:
    for unclosed in ("[", '{"a":'):
        path = written(tmp_path, "x.jsonl", '{"text":"a","x":' + unclosed * 1_000_000)
        with pytest.raises(SourceError, match="line 1"):
            read(path, text="text")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"text":"a","n":' + "9" * 5_000 + "}", "5000 digits"),
        ('{"text":"a","n":-' + "9" * 60 + "}", "digits"),
        ('{"text":"a","n":1e999999}', "too large"),
        ('{"text":"a","n":NaN}', "no JSON value"),
        ('{"text":"a","text":"b"}', "more than one key 'text'"),
        ('{"text":"a", "n":1, "te\\u0078t" : "b"}', "more than one key 'text'"),
        ('{"text":"a","":1,"":2}', "more than one key ''"),
        ('{"text":"a\0b"}', "not valid JSON"),
        ('{"text":"\\ud800"}', "surrogate"),
    ],
)
def test_json_values_that_can_not_be_kept(tmp_path: Path, line: str, told: str) -> None:
    path = written(tmp_path, "x.jsonl", '{"text":"first"}\n' + line + "\n")
    with pytest.raises(SourceError, match=f"line 2: .*{told}"):
        read(path, text="text")


def test_what_only_looks_like_a_repeated_key(tmp_path: Path) -> None:
    lines = [
        {
            "text": 'a","text":"b',
            "te\\xt": 1,
            'q"': 2,
            "é": 3,
            "in": {"text": 1, "in": [{"in": 2}]},
        },
        {"text": '\\"', "te\\xt": 2, 'q"': 3, "é": 4, "in": None},
    ]
    path = written(tmp_path, "x.jsonl", "\n".join(map(json.dumps, lines)))
    pool = read_pool(path, text="text")
    assert pool.columns == list(lines[0])
    assert pool.contents().to_pylist() == [line["text"] for line in lines]


def test_keys_are_told_apart_by_their_bytes() -> None:
    def scan(text: bytes) -> tuple[Any, ...]:
        hashes, lines = np.zeros(99, dtype=np.uint64), np.zeros(99, dtype=np.int64)
        n, deep, long = scan_keys(np.frombuffer(text, dtype=np.uint8), 9, hashes, lines)
        assert not long  # no number here has 16 digits
        return n, deep, len(set(hashes[:n].tolist())), lines[:n].tolist()

    assert scan(b'{"a":1,"b":"x,\\"y\\":"}\n{"a":[{"a":1},2]}\n') == (3, -1, 3, [0, 0, 1])
    assert scan(b'{"a":1,"a":2}') == (2, -1, 1, [0, 0])
    assert scan(b'{"a":' + b"[" * 9) == (1, 0, 1, [0])
    assert scan(b'{"a":1}\n{"b":"' + b"[" * 99)[:2] == (2, -1)
    assert scan(b'{"a\\') == (2, -1, 1, [0, 0])


def test_integers_beyond_64_bits_are_text(tmp_path: Path) -> None:
    path = written(tmp_path, "x.jsonl", '{"text":"a","id":' + "9" * 38 + "}\n")
    assert read(path, id="id", text="text")["sample_id"].item() == "9" * 38


def test_nul_characters(tmp_path: Path) -> None:
    path = written(tmp_path, "x.csv", b"id,text\n1\0,a\0b\n")
    assert read(path, id="id", text="text")["sample_id"].item() == "1\0"
    path = written(tmp_path, "x.jsonl", '{"id":"1\\u0000","text":"a\\u0000b"}')
    assert read_pool(path, text="text").contents().to_pylist() == ["a\0b"]
    for name in ("x.csv", "x.jsonl", "x.parquet", "x.arrow"):
        with pytest.raises(InputError):
            read(written(tmp_path, name, b"\0" * 100_000))


def test_a_million_quotes(tmp_path: Path) -> None:
    path = written(tmp_path, "even.csv", b"id,text\n1," + b'"' * 1_000_000 + b"\n")
    assert read_pool(path, text="text").contents()[0].as_py() == '"' * 499_999
    with pytest.raises(SourceError, match="line 2: a quote opens here and is never closed"):
        read(written(tmp_path, "odd.csv", b"id,text\n1," + b'"' * 999_999))
    many = written(tmp_path, "many.csv", b"id,text\n" + b'"","a"\n' * 250_000)
    assert read(many, text="text").height == 250_000


# --- columns -----------------------------------------------------------------------------------


def test_a_million_columns_are_refused(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(1_000_000)]
    header = ",".join(names)
    with pytest.raises(InputError, match="1,000,000 columns; up to"):
        read(written(tmp_path, "x.csv", f"{header}\n{'1,' * 999_999}1\n"))
    some = names[: MOST_COLUMNS + 1]
    with pytest.raises(InputError, match="columns; up to"):
        read(written(tmp_path, "x.jsonl", json.dumps(dict.fromkeys(some, 1))))


def test_many_columns_are_read(tmp_path: Path) -> None:
    names = ["text", *(f"c{i}" for i in range(4_000))]
    line = ",".join(["a", *["1"] * 4_000])
    assert read(written(tmp_path, "x.csv", f"{','.join(names)}\n{line}\n"), text="text").height == 1
    table = pa.table({name: ["a"] for name in names})
    pq.write_table(table, tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet", text="text").height == 1


def test_repeated_column_names_are_refused(tmp_path: Path) -> None:
    column = pa.array(["a"])
    twice = pa.Table.from_arrays([column, column], names=["text", "text"])
    pq.write_table(twice, tmp_path / "x.parquet")
    with pa.ipc.new_file(str(tmp_path / "x.arrow"), twice.schema) as file:
        file.write_table(twice)
    written(tmp_path, "x.csv", "text,text\na,b\n")
    for name in ("x.parquet", "x.arrow", "x.csv"):
        with pytest.raises(InputError, match="more than one column named 'text'"):
            read(tmp_path / name, text="text")


# --- compressed and binary files ----------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv.gz", "csv.zst", "jsonl.gz"])
@pytest.mark.parametrize("what", ["rows", "record"])
def test_a_file_that_unpacks_to_very_much(
    tmp_path: Path, suffix: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextSource, "bomb_bytes", 10 << 20)
    head, row = ('{"text":"', '{"text":"a"}\n') if "jsonl" in suffix else ("text\n", "aaaaa\n")
    content = "text\n" * ("csv" in suffix) + row * 2_500_000 if what == "rows" else head
    content += "a" * (20_000_000 if what == "record" else 0)
    path = tmp_path / f"x.{suffix}"
    with pa.CompressedOutputStream(str(path), "gzip" if "gz" in suffix else "zstd") as file:
        file.write(content.encode())
    assert path.stat().st_size < 1_000_000
    with pytest.raises(SourceError, match="unpacks to more than 250 times its size"):
        for _ in read_pool(path, text="text").batches():
            pass


def test_a_small_file_may_unpack_to_what_it_likes(tmp_path: Path) -> None:
    path = written(tmp_path, "x.csv.gz", gzip.compress(b"text\n" + b"a\n" * 500_000))
    assert read_pool(path, text="text").samples().height == 500_000


def test_a_file_of_several_parts_is_read_to_its_end(tmp_path: Path) -> None:
    parts = [b"text\na\n", b"b\n", b"c\n"]
    path = written(tmp_path, "x.csv.gz", b"".join(map(gzip.compress, parts)))
    assert read_pool(path, text="text").contents().to_pylist() == ["a", "b", "c"]
    for trailing in (b"junk", b"\x1f\x8b", gzip.compress(b"d\n")[:-4]):
        with pytest.raises(SourceError):
            read(written(tmp_path, "y.csv.gz", path.read_bytes() + trailing), text="text")


def _texts(offsets: list[int], data: bytes) -> pa.Array:
    buffers = [None, pa.py_buffer(np.array(offsets, dtype=np.int32)), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, buffers)


UNSOUND = {
    "text beyond its buffer": _texts([0, 1_000_000_000, 2], b"ab"),
    "text that ends before it begins": _texts([2, 0, 2], b"ab"),
    "text that is no UTF-8": _texts([0, 1, 2], b"\xff\xfe"),
    "a category that there is not": pa.DictionaryArray.from_arrays(
        pa.array([0, 99_999_999], pa.int32()), pa.array(["a"]), safe=False
    ),
    "a list beyond its values": pa.ListArray.from_buffers(
        pa.list_(pa.float32()),
        2,
        [None, pa.py_buffer(np.array([0, 1_000_000_000, 2], dtype=np.int32))],
        children=[pa.array([1, 2], pa.float32())],
    ),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_arrow_data_that_lies_about_itself(tmp_path: Path, case: str) -> None:
    array = UNSOUND[case]
    role = {"vector" if pa.types.is_list(array.type) else "text": "c"}
    table = pa.table({"c": array})
    for name, make in (("x.arrow", pa.ipc.new_file), ("y.arrow", pa.ipc.new_stream)):
        with make(str(tmp_path / name), table.schema) as file:
            file.write_table(table)
        with pytest.raises(SourceError, match="can't be read"):
            read(tmp_path / name, **role)
    with pytest.raises(InputError, match="can't be read as a table"):
        read_pool(table, **role)


def test_parquet_text_that_is_no_utf8(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": UNSOUND["text that is no UTF-8"]}), tmp_path / "x.parquet")
    with pytest.raises(SourceError, match="UTF8"):
        read(tmp_path / "x.parquet", text="text")


@pytest.mark.parametrize("name", ["x.arrow", "y.arrow", "x.parquet"])
def test_cut_files_never_give_half_a_result(tmp_path: Path, name: str) -> None:
    table = pa.table({"text": [f"text {i}" for i in range(3_000)]})
    whole = tmp_path / name
    if name == "x.parquet":
        pq.write_table(table, whole, row_group_size=500)
    else:
        with (pa.ipc.new_file if name[0] == "x" else pa.ipc.new_stream)(
            str(whole), table.schema
        ) as file:
            file.write_table(table, max_chunksize=500)
    content = whole.read_bytes()
    rng = np.random.default_rng(0)
    for stop in rng.integers(0, len(content) - 8, 40).tolist():
        try:
            found = read(written(tmp_path, f"cut-{name}", content[:stop]), text="text").height
        except InputError:
            continue
        # a stream without its end mark is whole where it is cut between two batches
        assert name == "y.arrow"
        assert found % 500 == 0


def test_parquet_that_lies_about_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["a"] * 100}), path, compression="none", use_dictionary=False)
    content = bytearray(path.read_bytes())
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    rows = bytes([0x16, 0xC8, 0x01])  # a field of 64 bits that holds 100, in Thrift's compact form
    places = [i for i in range(footer, len(content)) if content[i : i + 3] == rows]
    assert len(places) >= 2
    for place in places:
        for claimed in (b"\x16\xca\x01", b"\x16\xc6\x01", b"\x16\xff\x7f"):
            damaged = content.copy()
            damaged[place : place + 3] = claimed
            path = written(tmp_path, "y.parquet", bytes(damaged))
            with suppress(InputError):
                assert read(path, text="text").height == 100


# --- folders -----------------------------------------------------------------------------------


def test_links_in_circles(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    (pool / "a" / "b").mkdir(parents=True)
    written(pool, "a/b/x.csv", "text\nx\n")
    for link, target in {"a/loop": pool, "a/b/up": pool / "a", "self": pool / "self"}.items():
        (pool / link).symlink_to(target, target_is_directory=True)
    (pool / "dead.csv").symlink_to(tmp_path / "gone.csv")
    (pool / "circle.csv").symlink_to(pool / "circle.csv")
    for where in (pool, f"{pool}/**/*.csv", f"{pool}/**"):
        assert [name for _, name in find_files(where)[1]] == ["a/b/x.csv"]
    with pytest.raises(SourceError, match=r"circle\.csv"):
        find_files(pool / "circle.csv")
    # a link that is named is followed
    assert [n for _, n in find_files(f"{pool}/a/loop/a/b/*")[1]] == ["x.csv"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_sockets_are_not_opened(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    folder.mkdir()
    written(folder, "x.csv", "text\nx\n")
    os.mkfifo(folder / "pipe.csv")
    os.mkfifo(folder / "pipe.parquet")
    with socket.socket(socket.AF_UNIX) as server:
        short = os.path.relpath(folder / "s.csv")
        server.bind(short if len(short) < len(str(folder)) else str(folder / "s.csv"))
        assert [name for _, name in find_files(folder)[1]] == ["x.csv"]
        for name in ("pipe.csv", "s.csv"):
            with pytest.raises(SourceError, match="no regular file"):
                read_pool(folder / name)
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(SourceError):
        read_pool(tmp_path / "d.csv")


NAMES = ["a\nb.csv", "a'b\".csv", "a;DROP TABLE x.csv", "..csv.csv", "\x07\x1b[31m.csv"]


@pytest.mark.parametrize("name", [*NAMES, "x" * 250 + ".csv", "a\u202eb.csv"])
def test_odd_names_of_files(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "pool"
    folder.mkdir()
    try:
        path = written(folder, name, "text\nx\n")
    except OSError:
        pytest.skip("this file system has no such names")
    assert read(path)["source"].to_list() == [name]
    if not name.startswith("."):
        assert read(folder)["source"].to_list() == [name]


@pytest.mark.parametrize(
    "where", ["a\0b.csv", "x" * 5_000, "~no-such-user-here/x.csv", "", ".", "a" * 300 + "/*.csv"]
)
def test_locations_that_can_not_be(tmp_path: Path, where: str, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError) as caught:
        read_pool(where)
    assert len(str(caught.value)) < 6_000


def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        pytest.skip("root may read everything")
    closed = tmp_path / "closed"
    closed.mkdir()
    written(closed, "x.csv", "text\nx\n")
    closed.chmod(0)
    try:
        with pytest.raises(SourceError):
            read_pool(closed / "x.csv")
    finally:
        closed.chmod(0o700)
