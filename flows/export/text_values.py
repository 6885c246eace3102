"""Values of frames on their way to text formats: what CSV and JSON lines can hold.

Lists, objects and maps become JSON, the same in CSV and JSON lines; durations ISO 8601. Bytes are
refused, wherever they are.
"""

from __future__ import annotations

import io
from typing import Any

import polars as pl

from assay.flows.export.json_text import as_json
from assay.storage.errors import ConfigError
from assay.storage.reading.types import cast_nested, map_type


def refuse_bytes(frame: pl.DataFrame, format: str) -> None:
    """Raise `ConfigError` if a column holds bytes, also in its lists, objects or maps."""
    binary = [name for name, kind in frame.schema.items() if _holds(kind, pl.Binary)]
    if binary:
        raise ConfigError(
            f"{format} can't hold bytes ({', '.join(map(repr, binary))}); write Parquet, or leave "
            "them out: name the columns you want with --columns."
        )


def flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame without nested values, which are JSON in it, and without durations.

    Examples
    --------
    >>> flat(pl.DataFrame({"a": [[1, None], None], "b": [{"x": float("nan")}, {"x": 0.5}]})).rows()
    [('[1, null]', '{"x": null}'), (None, '{"x": 0.5}')]
    """
    columns = []
    for column in frame.get_columns():
        if _is_nested(column.dtype):
            values = _nested(column).to_list()
            texts = [None if value is None else as_json(value) for value in values]
            column = pl.Series(column.name, texts, dtype=pl.String)
        elif isinstance(column.dtype, pl.Duration):
            column = column.dt.to_string("iso")
        columns.append(column)
    return pl.DataFrame(columns) if columns else frame


def json_lines(frame: pl.DataFrame) -> bytes:
    """Return a frame as one JSON object per line, its dates and times as ISO 8601."""
    columns = [_nested(c) if _is_nested(c.dtype) else _flat_json(c) for c in frame.get_columns()]
    if not any(_is_nested(column.dtype) for column in columns):
        lines = io.BytesIO()
        pl.DataFrame(columns).write_ndjson(lines)
        return lines.getvalue()
    # Polars' writer fails over lists of objects with lists
    rows = pl.DataFrame(columns).iter_rows(named=True)
    return "".join(as_json(row) + "\n" for row in rows).encode()


def _flat_json(column: pl.Series) -> pl.Series:
    if isinstance(column.dtype, pl.Duration):
        return column.dt.to_string("iso")
    return column


def _is_nested(kind: Any) -> bool:
    return kind.is_nested() or isinstance(kind, pl.Map)


def _nested(column: pl.Series) -> pl.Series:
    """Return nested values with their dates and times as text, which Python has not all of."""
    kind = map_type(column.dtype, lambda kind: pl.String() if kind.is_temporal() else kind)
    return cast_nested(column, kind)


def _holds(kind: Any, wanted: Any) -> bool:
    if isinstance(kind, pl.Struct):
        return any(_holds(field.dtype, wanted) for field in kind.fields)
    if isinstance(kind, pl.List | pl.Array):
        return _holds(kind.inner, wanted)
    if isinstance(kind, pl.Map):
        return _holds(kind.key, wanted) or _holds(kind.value, wanted)
    return bool(kind == wanted)
