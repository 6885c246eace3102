"""From a table to a numeric matrix and its labels, for feature rankers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.selection.tables.exact_floats import as_floats
from assay.selection.tables.gaps import nan_as_null
from assay.selection.tables.relevance import normalized_mutual_information
from assay.storage.errors import ColumnError, ConfigError, InputError, NonFiniteError
from assay.storage.interfaces import ArrowStream, Frame
from assay.storage.reading.frames import as_table

MAX_LEVELS = 64
FEW_LEVELS = 10  # never taken for an identifier, however few the rows
ADDED = " is missing"
TREATMENTS = ("median", "indicator", "raise")

_NAMES = (pl.String, pl.Categorical, pl.Enum)
_EXACT_IN_FLOAT32 = (pl.Boolean, pl.Int8, pl.Int16, pl.UInt8, pl.UInt16, pl.Float32)


class _Parts(NamedTuple):
    X: NDArray[Any]
    names: list[str]
    y: NDArray[Any]
    report: dict[str, str]


class FeatureMatrix(_Parts):
    """What `to_matrix` returns: a tuple of four, `X, names, y, report`, with a mask beside it.

    Attributes
    ----------
    X : float32[n, d] or float64[n, d], in column order (Fortran)
    names : list of str
        Name of each column of X.
    y : array of shape (n,)
        Labels.
    report : dict of str to str
        Column -> why it was left out, or what was done about its missing or rare values. Columns
        that were taken as they are don't appear.
    discrete : bool[d]
        Columns of X whose values are codes of names: `ECFS(discrete_features=matrix.discrete)`.
    missing : polars.DataFrame
        One row per column of the table that has missing values: feature, missing (values), share,
        treatment ("median", "level", "indicator", "left out") and label_information, the normalized
        mutual information of whether a value is missing with the labels. Where that is not near 0,
        values are not missing at random, and filling them hides something.
    """

    discrete: NDArray[np.bool_]
    missing: pl.DataFrame


def to_matrix(
    frame: Any, *, label: str, features: Sequence[str] | None = None, missing: str = "median"
) -> FeatureMatrix:
    """Turn a table into the matrix that feature rankers take; nothing is lost without a word.

    - Numbers and booleans stay as they are. Missing values (null or NaN) take the column's lower
      median, which is one of its values, unless `missing` says otherwise. Of whole numbers that
      64-bit floats don't hold, and decimals that they don't tell apart, the smallest is subtracted
      first; where that is not enough, the report says how many different values are left.
    - Strings and categories become codes: 0 is the most frequent level, levels of equal frequency
      are in order of their names, and a missing value is a level of its own. Codes depend neither
      on the labels nor on the order of the rows, and as long as there are no more levels than
      histogram bins, a code has the mutual information of its column even where it is taken as a
      number. Of more than 64 levels the rarest share the last code, since a level that was seen a
      few times says more about chance than about the classes.
    - Left out: dates, times, lists, structs and binary columns, columns without a value, and
      strings that are nearly all different (more than 10 levels, and more than half the number of
      rows), which are identifiers or text.

    Parameters
    ----------
    frame : table
        Anything with ``__arrow_c_stream__`` (Polars, pandas, Arrow, DuckDB relation), a Polars
        LazyFrame, a mapping of columns.
    label : str
        Column of labels: strings, categories, booleans or numbers.
    features : sequence of str, optional
        Columns to use, in this order. Default: all but the label.
    missing : {"median", "indicator", "raise"}, default "median"
        "indicator": as "median", and for every column of numbers with missing values a column more,
        named after it with " is missing" added, that is 1 where the value was missing: what says
        something about the labels by being absent is then ranked too. "raise": refuse missing
        values of numbers and of names.

    Returns
    -------
    FeatureMatrix
        Unpacks as ``X, names, y, report``; X is float32 where that holds every column exactly,
        else float64.

    Raises
    ------
    ColumnError
        `label` or a feature is not a column.
    NonFiniteError
        A column holds infinite values.
    InputError
        Missing labels, labels of another type, no row or no column to rank; missing values where
        `missing` is "raise".

    Notes
    -----
    O(n d) time and one copy of the data.

    Examples
    --------
    >>> import polars as pl
    >>> from assay.selection.tables.matrix import to_matrix
    >>> frame = pl.DataFrame({"size": [1.0, None, 3.0], "color": ["r", "g", "r"], "cls": ["a", "b", "a"]})
    >>> X, names, y, report = to_matrix(frame, label="cls")
    >>> X.tolist(), names
    ([[1.0, 0.0], [1.0, 1.0], [3.0, 0.0]], ['size', 'color'])
    >>> report
    {'size': '1 of 3 values is missing and takes the median, 1'}
    """
    table = frame if isinstance(frame, pl.DataFrame) else pl.DataFrame(as_table(frame))
    if label not in table.columns:
        raise ColumnError.missing(label, table.columns)
    wanted = _wanted(table, label, features)
    if table.height == 0:
        raise InputError("The table has no rows, so there is nothing to rank its columns by.")
    y = labels(table[label])
    matrix = encode(table.select(wanted), y, missing)
    if not matrix.names:
        reasons = "; ".join(f"{name}: {note}" for name, note in matrix.report.items())
        raise InputError(f"The table has no column to rank beside {label!r}. {reasons}".strip())
    return matrix


def encode(table: pl.DataFrame, y: NDArray[Any], missing: str = "median") -> FeatureMatrix:
    """Turn columns without the label into a matrix, which may have no column; see `to_matrix`.

    Every column is encoded by itself, so that a table can be encoded in blocks of columns.
    """
    if missing not in TREATMENTS:
        raise ConfigError(
            f"missing is {missing!r}; it may be one of {', '.join(map(repr, TREATMENTS))}."
        )
    columns: dict[str, pl.Series] = {}
    report: dict[str, str] = {}
    treatments: list[dict[str, Any]] = []
    own = set(table.columns)
    for name, series in zip(table.columns, table.iter_columns(), strict=True):
        column, note = _encode(series)
        absent = _absent(series)
        if column is not None:
            columns[name] = column
        if note:
            report[name] = note
        if absent is not None:
            named = series.dtype in _NAMES
            treatment = "left out" if column is None else "level" if named else missing
            treatments.append(_missing_row(name, absent, treatment, y))
            if treatment == "indicator":
                added = name + ADDED
                if added in own:
                    raise ConfigError(
                        f"The table has a column {added!r} already; rename it, or use another "
                        "value of missing."
                    )
                columns[added] = pl.Series(absent).cast(pl.Int8)
    if missing == "raise" and treatments:
        shown = ", ".join(f"{row['feature']} ({row['missing']:,})" for row in treatments[:10])
        raise InputError(
            f"{len(treatments)} of {table.width} columns hold missing values: {shown}. Fill them, or "
            "declare how they are handled with missing='median' or 'indicator'."
        )
    names = list(columns)
    schema = table.schema
    kinds = [schema.get(name, pl.Int8()) for name in names]
    small = all(kind in (*_NAMES, *_EXACT_IN_FLOAT32) for kind in kinds)
    X = np.empty((table.height, len(names)), dtype=np.float32 if small else np.float64, order="F")
    for j, column in enumerate(columns.values()):
        X[:, j] = column.to_numpy()
    _refuse_infinite(X, names)
    matrix = FeatureMatrix(X, names, y, report)
    matrix.discrete = np.array([kind in _NAMES for kind in kinds], dtype=bool)
    matrix.missing = pl.DataFrame(treatments, schema=_MISSING)
    return matrix


_MISSING: dict[str, Any] = {
    "feature": pl.String,
    "missing": pl.Int64,
    "share": pl.Float64,
    "treatment": pl.String,
    "label_information": pl.Float64,
}


def _absent(column: pl.Series) -> NDArray[np.bool_] | None:
    """Return which values are missing, None where none is."""
    column = nan_as_null(column)
    return column.is_null().to_numpy() if column.null_count() else None


def _missing_row(
    name: str, absent: NDArray[np.bool_], treatment: str, y: NDArray[Any]
) -> dict[str, Any]:
    codes = np.unique(y, return_inverse=True)[1]
    information = 0.0
    if codes.max() > 0 and not absent.all():
        column = absent[:, None].astype(np.float64)
        information = float(normalized_mutual_information(column, codes, n_bins=2)[0])
    return {
        "feature": name,
        "missing": int(absent.sum()),
        "share": float(absent.mean()),
        "treatment": treatment,
        "label_information": information,
    }


def encode_names(X: Any) -> tuple[Any, NDArray[np.bool_] | None]:
    """Return a frame with its columns of names as codes, and which those are; others as they are.

    Codes are those of `to_matrix`; no column is left out.

    Examples
    --------
    >>> import polars as pl
    >>> from assay.selection.tables.matrix import encode_names
    >>> X, named = encode_names(pl.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]}))
    >>> X.rows(), named.tolist()
    ([(1.5, 0), (2.5, 1)], [False, True])
    """
    if not (isinstance(X, Frame) and isinstance(X, ArrowStream)):
        return X, None
    table = X if isinstance(X, pl.DataFrame) else pl.DataFrame(as_table(X))
    named = np.array([kind in _NAMES for kind in table.dtypes], dtype=bool)
    if not named.any():
        return X, None
    codes = [_level_codes(table.to_series(int(j)).cast(pl.String))[0] for j in named.nonzero()[0]]
    return table.with_columns(codes), named


def _wanted(table: pl.DataFrame, label: str, features: Sequence[str] | None) -> list[str]:
    if features is None:
        return [name for name in table.columns if name != label]
    if isinstance(features, str):
        raise ConfigError(f"features is the string {features!r}; give a list of column names.")
    wanted = list(features)
    own = table.columns
    known = set(own)
    unknown = next((name for name in wanted if name not in known), None)
    if unknown is not None:
        raise ColumnError.missing(unknown, own)
    if label in wanted:
        raise ConfigError(f"{label!r} is the label, so it can't be a feature too; leave it out.")
    if len(set(wanted)) < len(wanted):
        twice = next(name for name in wanted if wanted.count(name) > 1)
        raise ConfigError(f"features names {twice!r} twice; name each column once.")
    return wanted


def labels(column: pl.Series) -> NDArray[Any]:
    """Return a column of labels as an array; `to_matrix` says which columns are refused."""
    kind = column.dtype
    if not (kind in _NAMES or kind == pl.Boolean or kind.is_integer() or kind.is_float()):
        raise InputError(
            f"The label column {column.name!r} is of type {kind}; labels may be strings, "
            "categories, booleans or numbers."
        )
    if kind.is_float():
        column = column.fill_nan(None)
    if column.null_count():
        raise InputError(
            f"{column.null_count():,} of {len(column):,} labels in column {column.name!r} are "
            "missing; leave those rows out, or give them a label."
        )
    return (column.cast(pl.String) if kind in _NAMES else column).to_numpy()


def _encode(column: pl.Series) -> tuple[pl.Series | None, str]:
    """Return the column as numbers (None: left out) and a note about it."""
    kind = column.dtype
    if column.null_count() == len(column):
        return None, "left out: it has no value"
    if kind in _NAMES:
        return _codes(column.cast(pl.String))
    if kind == pl.Boolean:
        column = column.cast(pl.Int8)
    elif kind.is_float():
        column = nan_as_null(column)
    elif not (kind.is_integer() or kind.is_decimal()):
        return None, f"left out: type {kind} is neither number, boolean nor string"
    missing = column.null_count()
    if missing == len(column):
        return None, "left out: it has no value"
    notes = []
    if missing:
        values = column.drop_nulls().sort()
        median = values[(len(values) - 1) // 2]
        column = column.fill_null(median)
        verb = "is missing and takes" if missing == 1 else "are missing and take"
        notes.append(f"{missing:,} of {len(column):,} values {verb} the median, {median:g}")
    if not (kind.is_integer() or kind.is_decimal()):
        return column, "; ".join(notes)
    exact, note = as_floats(column)
    return exact, "; ".join([*notes, *([note] if note else [])])


def _level_codes(column: pl.Series) -> tuple[pl.Series, int]:
    """Return the code of each value, under the column's name, and the number of levels."""
    level = column.rename("level").to_frame()
    levels = (
        level.group_by("level")
        .len()
        .sort("len", "level", descending=[True, False], nulls_last=True)
        .with_row_index("code")
    )
    codes = level.join(levels, on="level", how="left", nulls_equal=True, maintain_order="left")
    return codes["code"].clip(upper_bound=MAX_LEVELS - 1).rename(column.name), len(levels)


def _codes(column: pl.Series) -> tuple[pl.Series | None, str]:
    codes, count = _level_codes(column)
    n = len(column)
    if count > FEW_LEVELS and 2 * count > n:
        return None, f"left out: {count:,} different values in {n:,} rows, an identifier or text"
    notes = []
    if column.null_count():
        verb = "is missing and forms" if column.null_count() == 1 else "are missing and form"
        notes.append(f"{column.null_count():,} of {n:,} values {verb} a level")
    if count > MAX_LEVELS:
        notes.append(f"the {count - MAX_LEVELS + 1:,} rarest of {count:,} levels share one code")
    return codes, "; ".join(notes)


def _refuse_infinite(X: NDArray[Any], names: list[str]) -> None:
    bad = [name for j, name in enumerate(names) if not np.isfinite(X[:, j]).all()]
    if bad:
        more = f" and {len(bad) - 10} more" if len(bad) > 10 else ""
        raise NonFiniteError(
            f"Column {', '.join(bad[:10])}{more} holds infinite values; replace them, by null if "
            "they mean that the value is missing."
        )
