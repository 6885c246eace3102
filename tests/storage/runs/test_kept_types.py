"""A kept column of several types has one that holds every value."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.storage.runs.kept_types import common_type

# a type and its greatest and smallest value, as SQL
VALUES = {
    "TINYINT": ("-128", "127"),
    "BIGINT": ("-9223372036854775808", "9223372036854775807"),
    "UTINYINT": ("0", "255"),
    "UINTEGER": ("0", "4294967295"),
    "UBIGINT": ("0", "18446744073709551615"),
    "HUGEINT": ("-170141183460469231731687303715884105727", "1"),
    "FLOAT": ("-3e38", "0.5"),
    "DOUBLE": ("-1e308", "0.1"),
    "DECIMAL(18,3)": ("-999999999999999.999", "0.001"),
    "DECIMAL(38,0)": ("-99999999999999999999999999999999999999", "7"),
    "BOOLEAN": ("true", "false"),
    "DATE": ("DATE '1500-01-01'", "DATE '2024-02-29'"),
    "TIMESTAMP": ("TIMESTAMP '1500-01-01 01:02:03.000004'", "TIMESTAMP '2200-01-01'"),
    "TIMESTAMP_NS": ("TIMESTAMP_NS '2024-01-01 00:00:00.000000001'", "NULL"),
    "TIMESTAMP WITH TIME ZONE": ("TIMESTAMPTZ '2024-01-01 00:00:00+00'", "NULL"),
    "TIME": ("TIME '10:00'", "NULL"),
    "VARCHAR": ("'x'", "''"),
    "BLOB": ("'\\xAA'::BLOB", "NULL"),
    "UUID": ("'6c2c0d5c-0000-4000-8000-000000000000'::UUID", "NULL"),
    "INTERVAL": ("INTERVAL 3 DAYS", "NULL"),
    "BIGINT[]": ("[1, 2]", "[]"),
    "STRUCT(a INTEGER)": ("{'a': 1}", "NULL"),
    "MAP(VARCHAR, INTEGER)": ("MAP {'a': 1}", "NULL"),
    "JSON": ("'{}'::JSON", "NULL"),
}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4))
def test_every_value_is_read(types: list[str]) -> None:
    wanted = common_type(types)
    parts = [f"SELECT ({value})::{t}::{wanted} AS k" for t in types for value in VALUES[t]]
    with duckdb.connect() as con:
        rows = con.execute("\nUNION ALL BY NAME\n".join(parts)).fetchall()
        assert len(rows) == 2 * len(types)
        if len(set(types)) > 1 and wanted != "DOUBLE":
            # exact: what is read is equal to what was kept
            for t in types:
                for value in VALUES[t]:
                    same = (
                        f"SELECT ({value})::{t}::{wanted}::{t} IS NOT DISTINCT FROM ({value})::{t}"
                    )
                    assert con.execute(same).fetchall() == [(True,)], (t, wanted, value)


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        (["TINYINT", "UTINYINT"], "SMALLINT"),
        (["UBIGINT", "HUGEINT"], "HUGEINT"),
        (["UHUGEINT", "TINYINT"], "VARCHAR"),
        (["INTEGER", "FLOAT"], "DOUBLE"),
        (["DECIMAL(5,2)", "INTEGER"], "DECIMAL(12,2)"),
        (["BOOLEAN", "INTEGER"], "VARCHAR"),
        (["BIGINT[]", "DOUBLE[]"], "VARCHAR"),
    ],
)
def test_which_type_it_is(types: list[str], wanted: str) -> None:
    assert common_type(types) == common_type(types[::-1]) == wanted
