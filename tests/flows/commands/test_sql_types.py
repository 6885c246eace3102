"""Every type that DuckDB can answer with is printed and written, in every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.flows import cli
from assay.flows.export.json_text import as_json
from assay.storage import ScoreStore
from tests.security.fuzzing import small_store

# DuckDB's text of a value, and what JSON holds
ONE = {
    "42::TINYINT": ("42", 42),
    "-7::BIGINT": ("-7", -7),
    "18446744073709551615::UBIGINT": ("18446744073709551615", 18446744073709551615),
    "12345678901234567890123::HUGEINT": ("12345678901234567890123", 12345678901234567890123),
    "340282366920938463463374607431768211455::UHUGEINT": (
        "340282366920938463463374607431768211455", "340282366920938463463374607431768211455"),
    "98765432109876543210987654321098765432109876::BIGNUM": (
        "98765432109876543210987654321098765432109876",
        "98765432109876543210987654321098765432109876"),
    "2.25::DECIMAL(9, 3)": ("2.250", 2.25),
    "1234567890123456789.123456789::DECIMAL(38, 9)": (
        "1234567890123456789.123456789", "1234567890123456789.123456789"),
    "'NaN'::FLOAT": ("NaN", None),
    "'-Infinity'::DOUBLE": ("-inf", None),
    "true": ("true", True),
    "NULL": ("", None),
    "'ü'": ("ü", "ü"),
    "'b'::ENUM('a', 'b')": ("b", "b"),
    "'{\"a\": NaN}'::VARCHAR": ('{"a": NaN}', '{"a": NaN}'),
    "'0110'::BIT": ("0110", "0110"),
    "'\\x00z'::BLOB": ("\\x00z", "\\x00z"),
    "INTERVAL '14 months 3 days 2 seconds'": ("1 year 2 months 3 days 00:00:02",) * 2,
    "DATE '1999-12-31'": ("1999-12-31",) * 2,
    "DATE '-infinity'": ("-infinity",) * 2,
    "DATE '5877642-06-25 (BC)'": ("5877642-06-25 (BC)",) * 2,
    "TIME '23:59:59.5'": ("23:59:59.5",) * 2,
    "'23:59:59+02:30'::TIMETZ": ("23:59:59+02:30",) * 2,
    "TIMESTAMP '0044-03-15 (BC) 12:00:00'": ("0044-03-15 (BC) 12:00:00",) * 2,
    "'infinity'::TIMESTAMPTZ": ("infinity",) * 2,
    "TIMESTAMP_NS '2020-02-29 00:00:00.123456789'": ("2020-02-29 00:00:00.123456789",) * 2,
    "UUID '00000000-0000-0000-0000-0000000000ff'": ("00000000-0000-0000-0000-0000000000ff",) * 2,
    "union_value(num := 5)": ("5", "5"),
    "'x'::VARIANT": ("x", "x"),
    "'POINT (3 4)'::GEOMETRY": ("POINT (3 4)",) * 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ScoreStore:
    found: ScoreStore = small_store(tmp_path_factory.mktemp("types"))
    return found


def printed(store: ScoreStore, query: str, form: str, *more: Any) -> str:
    import contextlib
    import sys

    out, before = io.StringIO(), sys.argv
    sys.argv = [
        "assay",
        "sql",
        query,
        "--store",
        str(store.path),
        "--format",
        form,
        *map(str, more),
    ]
    try:
        with contextlib.redirect_stdout(out):
            cli.main()
    except SystemExit as end:
        if end.code:
            raise AssertionError(query) from end
    finally:
        sys.argv = before
    return out.getvalue()


def parsed(text: str) -> Any:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_values_are_printed_as_they_are(store: ScoreStore, tmp_path: Path) -> None:
    names = [f"v{i}" for i in range(len(ONE))]
    query = "SELECT " + ", ".join(
        f"{value} AS {name}" for value, name in zip(ONE, names, strict=True)
    )
    cells = list(csv.reader(io.StringIO(printed(store, query, "csv", "--raw"))))
    assert cells == [names, [text for text, _ in ONE.values()]]
    (row,) = parsed(printed(store, query, "json"))["rows"]
    assert row == dict(zip(names, [value for _, value in ONE.values()], strict=True))
    table = printed(store, query, "table")
    assert all(text in table for text, _ in ONE.values() if len(text) > 9 and "." not in text)
    printed(store, query, "parquet", "--out", tmp_path / "x.parquet")
    assert pl.read_parquet(tmp_path / "x.parquet").columns == names


def test_a_list_and_a_map_hold_them_too(store: ScoreStore) -> None:
    query = (
        "SELECT [DATE 'infinity', NULL] AS days, {'a b': INTERVAL 3 HOUR, 'n': ['inf'::FLOAT]} AS s, "
        "MAP {1: [union_value(k := 2)]} AS m, MAP {[1]: 2} AS odd, row(1, INTERVAL 1 DAY) AS r, "
        "{'e': []::INT[]} AS e, [['\\xff'::BLOB]] AS b, [1.5, 2.5]::DECIMAL(3, 1)[2] AS d"
    )
    (row,) = parsed(printed(store, query, "json"))["rows"]
    assert row["days"] == ["infinity", None]
    assert row["s"] == {"a b": "03:00:00", "n": [None]}
    assert row["m"] == {"1": ["2"]}
    assert row["odd"] == "{[1]=2}"
    assert row["r"] == "(1, 1 day)"
    assert row["e"] == {"e": []}
    assert row["b"] == [["\\xFF"]]
    assert row["d"] == ["1.5", "2.5"]
    cells = list(csv.reader(io.StringIO(printed(store, query, "csv"))))[1]
    assert parsed(cells[1]) == row["s"]


def test_a_frame_of_any_type_can_be_had(store: ScoreStore) -> None:
    frame = store.sql("SELECT DATE '2020-01-01' AS d, INTERVAL 1 DAY AS i, [INTERVAL 1 DAY] AS l")
    assert frame.schema == {"d": pl.Date, "i": pl.String, "l": pl.List(pl.String)}
    assert store.sql("SELECT sum(position) AS s FROM selections")["s"].item() == 15
    assert parsed(printed(store, "SELECT sum(position) s FROM selections", "json"))["rows"] == [
        {"s": 15}
    ]


def test_json_is_rfc_8259() -> None:
    value = {"a": [float("inf"), {"b": float("nan"), 3: (1, b"x")}], None: 1.5}
    assert parsed(as_json(value)) == {"a": [None, {"b": None, "3": [1, "b'x'"]}], "null": 1.5}


leaves = st.sampled_from([*ONE, "DATE '2020-02-30'::VARCHAR", "INTERVAL -1 MONTH"])


def _wrapped(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        inner.map(lambda v: f"[{v}]"),
        inner.map(lambda v: f"[{v}, NULL]"),
        inner.map(lambda v: f"array_value({v})"),
        st.tuples(inner, inner).map(lambda v: f"{{'a': {v[0]}, 'B \"': {v[1]}}}"),
        st.tuples(leaves, inner).map(lambda v: f"MAP {{{v[0]}: {v[1]}}}"),
        inner.map(lambda v: f"row({v}, 1)"),
        inner.map(lambda v: f"union_value(k := {v})"),
    )


@settings(max_examples=12, suppress_health_check=list(HealthCheck), deadline=None)
@given(value=st.recursive(leaves, _wrapped, max_leaves=4))
def test_any_type_in_any_other(store: ScoreStore, tmp_path_factory: Any, value: str) -> None:
    from assay.storage.errors import QueryError

    query = f"SELECT {value} AS v"
    try:
        store.sql(query)
    except QueryError as error:
        # DuckDB has no such value: a map's key that is null, a struct of nothing but nulls
        assert "The query failed" in str(error)  # noqa: PT017
        return
    for form in ("table", "csv"):
        assert printed(store, query, form)
    assert len(parsed(printed(store, query, "json"))["rows"]) == 1
    out = tmp_path_factory.mktemp("any") / "x.parquet"
    printed(store, query, "parquet", "--out", out)
    assert pl.read_parquet(out).height == 1
