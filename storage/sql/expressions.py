"""SQL expressions over the rows of a frame, evaluated where nothing else can be reached."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.storage.errors import ConfigError
from assay.storage.sql.sandbox import close_off


@contextmanager
def _opened(frame: pl.DataFrame) -> Iterator[duckdb.DuckDBPyConnection]:
    con = duckdb.connect(":memory:", config={"threads": 1})
    try:
        con.register("pool", frame.to_arrow())
        close_off(con, bounded=False)
        yield con
    finally:
        con.close()


def _column(frame: pl.DataFrame, expression: str, query: str, what: str) -> pl.Series:
    told = f"The {what} {expression!r}"
    with _opened(frame) as con:
        try:
            if len(con.extract_statements(query)) != 1:
                raise ConfigError(f"{told} is more than one expression; pass one, without ';'.")
            found: pl.DataFrame = con.sql(query).pl()
        except duckdb.Error as error:
            raise ConfigError(
                f"{told} can't be evaluated: {str(error).splitlines()[0]}. "
                f"Columns are: {', '.join(frame.columns)}."
            ) from error
    if found.height != frame.height:
        raise ConfigError(
            f"{told} gives {found.height} values for {frame.height} rows; an aggregate over all "
            "rows needs `over ()`."
        )
    return found.to_series()


def evaluate(frame: pl.DataFrame, expression: str, *, what: str = "expression") -> pl.Series:
    """Return the value of one SQL expression in every row, in the frame's order.

    Parameters
    ----------
    frame : pl.DataFrame
        Its columns are what the expression may name.
    expression : str
        DuckDB SQL. No other table, file or extension can be reached.
    what : str
        What an error calls it.

    Raises
    ------
    ConfigError
        The expression is not valid, names an unknown column, or doesn't give one value per row.

    Examples
    --------
    >>> frame = pl.DataFrame({"text": ["a", "bcd"], "n": [2, 1]})
    >>> evaluate(frame, "length(text) + n").to_list()
    [3, 4]
    """
    return _column(frame, expression, f"SELECT ({expression}\n) AS value FROM pool", what)


def holds(frame: pl.DataFrame, condition: str, *, what: str = "condition") -> NDArray[np.bool_]:
    """Return where a condition holds; it does not where it is null.

    Raises
    ------
    ConfigError
        As `evaluate`, or the expression is no condition.
    """
    found = evaluate(frame, condition, what=what)
    if found.dtype != pl.Boolean:
        raise ConfigError(
            f"The {what} {condition!r} is of type {found.dtype}; pass something that is true or "
            "false, such as `length(text) > 20`."
        )
    return found.fill_null(False).to_numpy()


def numbers(frame: pl.DataFrame, expression: str, *, what: str = "score") -> NDArray[np.float64]:
    """Return a numeric expression's value in every row, NaN where it is null.

    Raises
    ------
    ConfigError
        As `evaluate`, or the expression gives no number.
    """
    found = evaluate(frame, expression, what=what)
    if not (found.dtype.is_numeric() or found.dtype == pl.Boolean):
        raise ConfigError(f"The {what} {expression!r} is of type {found.dtype}; pass a number.")
    return found.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def places(frame: pl.DataFrame, order: str, *, ties: str = "sample_id") -> NDArray[np.int64]:
    """Return the place of every row (0 = first) under an SQL order, ties by the column `ties`.

    Parameters
    ----------
    order : str
        What stands behind ORDER BY: ``"length(text) desc, source"``.

    Raises
    ------
    ConfigError
        As `evaluate`.

    Examples
    --------
    >>> frame = pl.DataFrame({"sample_id": ["a", "b", "c"], "n": [1, 3, 3]})
    >>> places(frame, "n desc").tolist()
    [2, 0, 1]
    """
    # the window hands rows on in its own order
    query = (
        f'SELECT place FROM (SELECT row_number() OVER (ORDER BY {order}\n, "{ties}") - 1 AS place, '
        "__row FROM pool) ORDER BY __row"
    )
    found = _column(frame.with_row_index("__row"), order, query, "order")
    return found.cast(pl.Int64).to_numpy()


def columns_named(
    expression: str, known: Collection[str], *, what: str = "expression", order: bool = False
) -> list[str]:
    """Return the columns of `known` that an expression (or an SQL order) names.

    Raises
    ------
    ConfigError
        It is not valid SQL, or names another column.

    Examples
    --------
    >>> columns_named("length(text) > 2 * n", ["id", "text", "n"])
    ['text', 'n']
    """
    query = f"SELECT 1 ORDER BY {expression}\n" if order else f"SELECT ({expression}\n)"
    with duckdb.connect(":memory:", config={"threads": 1}) as con:
        told = con.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()[0][0]
    tree = json.loads(told)
    if tree["error"]:
        raise ConfigError(f"The {what} {expression!r} is not valid SQL: {tree['error_message']}.")
    named = {name.lower() for name in _references(tree)}
    unknown = sorted(named - {name.lower() for name in known})
    if unknown:
        raise ConfigError(
            f"The {what} {expression!r} names {unknown[0]!r}, which is not there. "
            f"Columns are: {', '.join(known)}."
        )
    return [name for name in known if name.lower() in named]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("class") == "COLUMN_REF":
            yield node["column_names"][-1]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _references(part)
