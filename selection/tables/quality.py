"""What is wrong with the columns of a table, before anything is ranked."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.tables.gaps import nan_as_null
from assay.storage.limits import Number, check_parameters
from assay.storage.reading.frames import as_table

_SORTED = (
    pl.Int8,
    pl.Int16,
    pl.Int32,
    pl.Int64,
    pl.UInt8,
    pl.UInt16,
    pl.UInt32,
    pl.UInt64,
    pl.Float32,
    pl.Float64,
)
FEW_LEVELS = 10  # never taken for an identifier, however few the rows


def column_quality(
    frame: Any, *, near_unique: float = 0.9, dominated: float = 0.99, missing: float = 0.5
) -> pl.DataFrame:
    """Report the anomalies of every column of a table.

    Parameters
    ----------
    frame : table
        Anything with ``__arrow_c_stream__`` (Polars, pandas, Arrow), a mapping of columns.
    near_unique : float, default 0.9
        Share of different values from which a column of integers or strings with more than 10
        values is called near-unique: likely an identifier. Floats and nested columns are not.
    dominated : float, default 0.99
        Share of the most frequent value from which a column is called dominated.
    missing : float, default 0.5
        Share of missing values (null, NaN) from which they are an anomaly.

    Returns
    -------
    polars.DataFrame
        One row per column: feature, type, missing (share of rows), levels (different values present),
        top_share (share of the most frequent value among those present), anomalies (list of
        "missing", "empty", "constant", "dominated", "near-unique").

    Raises
    ------
    ConfigError
        A share is not in (0, 1].

    Notes
    -----
    O(n d) time; O(n) memory beside the table.

    Examples
    --------
    >>> from assay.selection.tables.quality import column_quality
    >>> report = column_quality({"id": list(range(20)), "one": [1] * 20, "gap": [None] * 15 + [2.0] * 5})
    >>> report["anomalies"].to_list()
    [['near-unique'], ['constant'], ['missing', 'constant']]
    """
    share = Number("(0, 1]")
    check_parameters(
        near_unique=(near_unique, share), dominated=(dominated, share), missing=(missing, share)
    )
    table = frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(as_table(frame))
    rows = []
    for column in table:
        kind, n = column.dtype, len(column)
        marked = nan_as_null(column)
        present = marked.drop_nulls() if marked.null_count() else marked
        levels, top_share = 0, 0.0
        if len(present):
            counts = _level_sizes(present)
            levels, top_share = len(counts), int(counts.max()) / len(present)
        absent = 1.0 - len(present) / n if n else 0.0
        named = not (kind.is_float() or kind.is_nested())
        tests = {
            "missing": n > 0 and absent >= missing,
            "empty": levels == 0,
            "constant": levels == 1,
            "dominated": levels > 1 and top_share >= dominated,
            "near-unique": named and levels > FEW_LEVELS and levels >= near_unique * len(present),
        }
        rows.append(
            {
                "feature": column.name,
                "type": str(kind),
                "missing": absent,
                "levels": levels,
                "top_share": top_share,
                "anomalies": [name for name, is_so in tests.items() if is_so],
            }
        )
    schema: dict[str, Any] = {
        "feature": pl.String,
        "type": pl.String,
        "missing": pl.Float64,
        "levels": pl.Int64,
        "top_share": pl.Float64,
        "anomalies": pl.List(pl.String),
    }
    return pl.DataFrame(rows, schema=schema)


def _level_sizes(present: pl.Series) -> NDArray[Any]:
    """Return how many rows hold each value of a column without missing values, in some order."""
    if present.dtype not in _SORTED:
        return present.value_counts(name="rows")["rows"].to_numpy()
    # sorting costs less than the expression of a column that hashing takes
    values = np.sort(present.to_numpy())
    ends = np.flatnonzero(values[1:] != values[:-1]) + 1
    return np.diff(ends, prepend=0, append=len(values))
