"""SQL expressions over the rows of a frame, evaluated where nothing else can be reached.

A name means a column of the frame; ``assay.NAME``, and a name that the frame does not have, one of
`ours`. NaN acts as null does: it meets no condition, comes last in an order, and is no number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Timer
from typing import NamedTuple

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.storage.errors import ConfigError
from assay.storage.names import Reference, fold, listed
from assay.storage.sql.carrying import carried
from assay.storage.sql.references import (
    NAN_IS_NULL,
    TABLE,
    Expression,
    as_sql,
    comparison,
    parse_expression,
    parse_order,
)
from assay.storage.sql.sandbox import (
    close_off,
    memory_limit,
    time_limit,
    took_too_long,
    took_too_much,
)


class Named(NamedTuple):
    """The columns that an expression names: the pool's own, and ours."""

    own: list[str]
    ours: list[str]


@contextmanager
def _opened() -> Iterator[duckdb.DuckDBPyConnection]:
    con = duckdb.connect(":memory:", config={"threads": 1})
    try:
        con.execute(NAN_IS_NULL)
        yield con
    finally:
        con.close()


def _register(
    con: duckdb.DuckDBPyConnection,
    columns: dict[Reference, str],
    frame: pl.DataFrame,
    ours: pl.DataFrame,
) -> str:
    """Make a table of the named columns, NaN as null, and return the name of its row number."""
    named = {}
    for reference, name in columns.items():
        column = (ours if reference.ours else frame).get_column(reference.name)
        named[name] = column.fill_nan(None) if column.dtype.is_float() else column
    row = "__row"
    while fold(row) in {fold(name) for name in named}:
        row = f"_{row}"
    named[row] = pl.int_range(_height(frame, ours), eager=True)
    con.register(TABLE, pl.DataFrame(named).to_arrow())
    close_off(con)
    return row


def _height(frame: pl.DataFrame, ours: pl.DataFrame) -> int:
    return frame.height if frame.width else ours.height


def _fetch(
    con: duckdb.DuckDBPyConnection, query: str, text: str, what: str, known: list[str]
) -> pl.Series:
    seconds = time_limit()
    alarm = Timer(seconds, con.interrupt)
    alarm.daemon = True
    alarm.start()
    try:
        rows: pl.DataFrame = carried(con.sql(query)).pl()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        if isinstance(error, duckdb.InterruptException):
            reason = took_too_long(seconds).rstrip(".")
        elif isinstance(error, duckdb.OutOfMemoryException):
            reason = took_too_much(memory_limit()).rstrip(".")
        if "GROUP BY" in reason:
            reason = f"{reason.rstrip('.')}; an aggregate over all rows needs `over ()`"
        raise ConfigError(
            f"The {what} {text!r} can't be evaluated: {reason}. Columns are: {', '.join(known)}."
        ) from error
    finally:
        alarm.cancel()
    return rows.to_series()


def evaluate(
    frame: pl.DataFrame,
    expression: str,
    *,
    ours: pl.DataFrame | None = None,
    what: str = "expression",
) -> pl.Series:
    """Return the value of one SQL expression in every row, in the frame's order.

    Parameters
    ----------
    frame : pl.DataFrame
        Its columns are what the expression may name, exactly or without regard to case.
    expression : str
        DuckDB SQL. No other table, file or extension can be reached.
    ours : pl.DataFrame, optional
        Further columns: as ``assay.NAME``, and as NAME where the frame has none of that name.
    what : str
        What an error calls it.

    Raises
    ------
    ConfigError
        The expression is not valid, names an unknown column, doesn't give one value per row, or
        takes more time or memory than `assay.storage.sql.sandbox` allows a query.

    Examples
    --------
    >>> frame = pl.DataFrame({"text": ["a", "bcd"], "n": [2, 1]})
    >>> evaluate(frame, "length(text) + n").to_list()
    [3, 4]
    """
    ours = pl.DataFrame() if ours is None else ours
    with _opened() as con:
        parsed = parse_expression(con, expression, frame.columns, ours.columns, what=what)
        return _values(con, parsed, frame, ours, expression, what)


def _values(
    con: duckdb.DuckDBPyConnection,
    parsed: Expression,
    frame: pl.DataFrame,
    ours: pl.DataFrame,
    text: str,
    what: str,
) -> pl.Series:
    row = _register(con, parsed.columns, frame, ours)
    query = f"SELECT x AS value FROM {TABLE}"
    if parsed.windowed:
        # a window hands rows on in its own order
        query = f"SELECT value FROM (SELECT x AS value, {row} FROM {TABLE}) ORDER BY {row}"
    try:
        query = as_sql(con, query, {"expression": parsed.nodes[0]})
    except duckdb.Error as error:
        raise ConfigError(f"The {what} {text!r} can't be evaluated: {error}.") from error
    values = _fetch(con, query, text, what, listed(frame.columns, ours.columns))
    n = _height(frame, ours)
    if len(values) != n:
        raise ConfigError(
            f"The {what} {text!r} gives {len(values)} values for {n} rows; an "
            "aggregate over all rows needs `over ()`."
        )
    return values.fill_nan(None) if values.dtype.is_float() else values


def holds(
    frame: pl.DataFrame,
    condition: str,
    *,
    ours: pl.DataFrame | None = None,
    what: str = "condition",
) -> NDArray[np.bool_]:
    """Return where a condition holds; it does not where it is null.

    Raises
    ------
    ConfigError
        As `evaluate`, or the expression is no condition.
    """
    values = evaluate(frame, condition, ours=ours, what=what)
    if values.dtype != pl.Boolean:
        raise ConfigError(
            f"The {what} {condition!r} is of type {values.dtype}; pass something that is true or "
            "false, such as `length(text) > 20`."
        )
    return values.fill_null(False).to_numpy()


def compared(
    frame: pl.DataFrame,
    condition: str,
    rows: NDArray[np.int64],
    *,
    ours: pl.DataFrame | None = None,
    what: str = "condition",
) -> tuple[pl.Series, float] | None:
    """Return what a condition compares with a number, in some rows, and the number.

    Parameters
    ----------
    rows : int64[m]
        Rows of the frame.

    Returns
    -------
    (series of m values, float) or None
        None where the condition is no comparison of an expression over columns with a number.

    Raises
    ------
    ConfigError
        As `evaluate`.

    Examples
    --------
    >>> frame = pl.DataFrame({"text": ["a", "bcd", "ef"]})
    >>> values, threshold = compared(frame, "length(text) > 2", np.array([0, 2]))
    >>> values.to_list(), threshold
    ([1, 2], 2.0)
    """
    ours = pl.DataFrame() if ours is None else ours
    with _opened() as con:
        parsed = parse_expression(con, condition, frame.columns, ours.columns, what=what)
        sides = comparison(parsed)
        if sides is None or not parsed.columns:
            return None
        tree, threshold = sides
        own, known = (
            part.select([c.name for c in parsed.columns if c.ours is of_ours])
            for part, of_ours in ((frame, False), (ours, True))
        )
        if not parsed.windowed:
            own, known = (part[rows] if part.width else part for part in (own, known))
        values = _values(con, replace(parsed, nodes=[tree]), own, known, condition, what)
        if values.dtype.is_decimal() or values.dtype in (pl.Int128, pl.UInt128):
            values = values.cast(pl.Float64)
        return (values.gather(rows) if parsed.windowed else values), threshold


def numbers(
    frame: pl.DataFrame, expression: str, *, ours: pl.DataFrame | None = None, what: str = "score"
) -> NDArray[np.float64]:
    """Return a numeric expression's value in every row, NaN where it is null.

    Raises
    ------
    ConfigError
        As `evaluate`, or the expression gives no number.
    """
    values = evaluate(frame, expression, ours=ours, what=what)
    if not (values.dtype.is_numeric() or values.dtype == pl.Boolean):
        raise ConfigError(f"The {what} {expression!r} is of type {values.dtype}; pass a number.")
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def places(
    frame: pl.DataFrame,
    order: str,
    *,
    ours: pl.DataFrame | None = None,
    ties: str = "sample_id",
    what: str = "order",
) -> NDArray[np.int64]:
    """Return the place of every row (0 = first) under an SQL order, ties by the column `ties`.

    Parameters
    ----------
    order : str
        What stands behind ORDER BY: ``"length(text) desc, source"``.
    ties : str
        A column of `ours`, else of the frame.

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
    ours = pl.DataFrame() if ours is None else ours
    with _opened() as con:
        parsed, orders = parse_order(con, order, frame.columns, ours.columns, what=what)
        tie = Reference(ties, ties in ours.columns)
        columns = parsed.columns
        if tie not in columns:
            name = tie.name
            while fold(name) in {fold(other) for other in columns.values()}:
                name = f"_{name}"
            columns = {**columns, tie: name}
        row = _register(con, columns, frame, ours)
        quoted = '"' + columns[tie].replace('"', '""') + '"'
        query = (
            f"SELECT place FROM (SELECT row_number() OVER (ORDER BY {quoted}) - 1 AS place, {row} "
            f"FROM {TABLE}) ORDER BY {row}"
        )
        known = listed(frame.columns, ours.columns)
        values = _fetch(con, as_sql(con, query, {"orders": orders}), order, what, known)
    return values.cast(pl.Int64).to_numpy()


def names_in(
    expression: str,
    own: Collection[str],
    ours: Collection[str] = (),
    *,
    what: str = "expression",
    order: bool = False,
) -> Named:
    """Return the columns that an expression (or an SQL order) names, in the order of the columns.

    Raises
    ------
    ConfigError
        It is not valid SQL, or names another column.
    """
    with _opened() as con:
        parse = parse_order if order else parse_expression
        parsed = parse(con, expression, own, ours, what=what)
    columns = (parsed[0] if isinstance(parsed, tuple) else parsed).columns
    return Named(
        [name for name in own if Reference(name, False) in columns],
        [name for name in ours if Reference(name, True) in columns],
    )
