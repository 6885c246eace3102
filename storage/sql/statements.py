"""Which statements only read, whatever they are wrapped in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from assay.storage.errors import QueryError

_READS = ("SELECT", "MULTI")  # MULTI is what DuckDB makes of PIVOT
_GAP = r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*"
_EXPLAIN = re.compile(
    rf"{_GAP}EXPLAIN\b{_GAP}(?:ANALYZE\b|VERBOSE\b|\([^()]*\))?", re.IGNORECASE | re.DOTALL
)


def statement_kind(statement: duckdb.Statement) -> str:
    """Return what DuckDB calls a statement: SELECT, COPY, ..."""
    try:
        return str(statement.type.name)
    except ValueError:  # a kind that its Python package does not know
        return "another statement"


def check_reading(con: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raise `QueryError` unless a text is one statement that reads, or explains one that does.

    A statement of a reading kind may still hold one that writes (``WITH x AS (DELETE ...)``); run it
    within `reading`, where DuckDB refuses it.
    """
    kind = _only_kind(con, query)
    if kind == "EXPLAIN":
        explained = _EXPLAIN.sub("", query, count=1)
        kind = _only_kind(con, explained)
    if kind not in _READS:
        raise QueryError(
            f"Only reading is allowed here; {kind} is not. "
            "Use SELECT, WITH, FROM, PIVOT, DESCRIBE, SUMMARIZE or EXPLAIN."
        )


def _only_kind(con: duckdb.DuckDBPyConnection, query: str) -> str:
    parsed = con.extract_statements(query)
    if len(parsed) != 1:
        raise QueryError(f"One SQL statement is run at a time; {len(parsed)} were given.")
    return statement_kind(parsed[0])


@contextmanager
def reading(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let DuckDB refuse every statement in the body that writes, however it is disguised.

    The connection stays in its transaction, and is good for nothing but this query.

    Raises
    ------
    QueryError
        One did.
    """
    con.execute("BEGIN TRANSACTION READ ONLY").fetchall()
    try:
        yield
    except duckdb.Error as error:
        if "launched in read-only mode" in str(error):
            raise QueryError(
                "Only reading is allowed here, and a part of the statement writes."
            ) from error
        raise
