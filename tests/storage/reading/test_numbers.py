"""Whether text becomes numbers, and whether numbers keep their digits."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.storage import read_pool
from assay.storage.reading.tables import read_table
from assay.storage.reading.values import measure_type, number_type

CODES = st.from_regex(r"[+-]?[0-9]{1,22}(\.[0-9]{0,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
TEXTS = st.one_of(
    CODES,
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=True).map(repr),
    st.sampled_from([" 1", "1 ", "0x1f", "1_000", "٣", "nan", "inf", "-0", "-0.0", "1.", ".5", ""]),
)


def written(column: pl.Series) -> list[str | None]:
    """Return the values as DuckDB writes them."""
    with duckdb.connect() as con:
        con.register("frame", pl.DataFrame({"v": column}))
        return [row[0] for row in con.execute("SELECT v::VARCHAR FROM frame").fetchall()]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.none() | TEXTS, min_size=1, max_size=6))
def test_text_that_becomes_a_number_writes_back_to_itself(values: list[str | None]) -> None:
    texts = pl.Series(values, dtype=pl.String)
    assert written(texts.cast(number_type(texts))) == values


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_whole_numbers_become_numbers(values: list[int]) -> None:
    assert number_type(pl.Series(map(str, values))) == pl.Int64


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_floats_as_python_writes_them_become_numbers(values: list[float]) -> None:
    assert number_type(pl.Series(map(repr, values))) == pl.Float64


@settings(max_examples=300, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=6))
def test_a_measure_loses_no_value(values: list[str]) -> None:
    texts = pl.Series(values, dtype=pl.String)
    kind = measure_type(texts)
    if kind == pl.String:
        return
    assert not any(v.lstrip("-").startswith("0") and v.lstrip("-")[1:2].isdigit() for v in values)
    for value, number in zip(values, texts.cast(kind).to_list(), strict=True):
        if value.lstrip("-").isdigit():
            assert int(number) == int(value)
        elif number == number:
            assert number == float(value)


def test_codes_and_measures_of_a_table(tmp_path: Path) -> None:
    rows = ["007,1.50,9007199254740993.25,+4,1,y", "7,2,9007199254740993.5,+5,2,n"]
    (tmp_path / "t.csv").write_text("\n".join(["code,size,long,plus,n,y", *rows, ""]))
    assert read_table(tmp_path / "t.csv").dtypes == [
        pl.String,
        pl.Float64,
        pl.String,
        pl.String,
        pl.Int64,
        pl.String,
    ]


@pytest.mark.parametrize("nights", [["1234,1.5", "0815,2.25"], ["0815,1.50", "1234,1.5"]])
def test_a_kept_code_reads_the_same_on_another_night(tmp_path: Path, nights: list[str]) -> None:
    for end in (1, 2):
        lines = [f"{i},text {i},{row}" for i, row in enumerate(nights[:end])]
        (tmp_path / "p.csv").write_text("\n".join(["id,text,code,size", *lines, ""]))
        frame = read_pool(tmp_path / "p.csv", id="id", keep=["code", "size"]).samples()
        assert [f"{a},{b}" for a, b in zip(*map(written, frame["code", "size"]), strict=True)] == (
            nights[:end]
        )


NUMBERS = st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=200, deadline=None)
@given(values=st.lists(NUMBERS, min_size=1, max_size=5), nested=st.booleans())
def test_json_numbers_keep_their_digits(
    tmp_path_factory: pytest.TempPathFactory, values: list[int | float], nested: bool
) -> None:
    path = tmp_path_factory.mktemp("json") / "p.jsonl"
    rows = [{"text": "a", "n": {"list": [v]} if nested else v} for v in values]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    frame = read_pool(path, text="text", keep=["n"]).samples()
    found = [row["list"][0] if nested else row for row in frame["n"].to_list()]
    for value, got in zip(values, found, strict=True):
        if isinstance(value, int):
            assert int(got) == value, (value, got)
        else:
            assert float(got) == value, (value, got)


def test_integers_and_floats_in_other_blocks_of_a_json_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assay.storage.reading.csv.TextSource.block_bytes", 16)
    path = tmp_path / "p.jsonl"
    long = [2**53 + 1, 2**53, 3]
    path.write_text("".join(f'{{"id":{v},"text":"t{v}"}}\n' for v in [*long, 1.5]))
    ids = read_pool(path, id="id", text="text").samples()["sample_id"].to_list()
    assert ids == [*map(str, long), "1.5"]
    path.write_text("".join(f'{{"id":{v},"text":"t{v}"}}\n' for v in long))
    assert read_pool(path, id="id").take([0])["id"].to_list() == [2**53 + 1]
