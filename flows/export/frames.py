"""A frame as the bytes of a file: csv, json, jsonl, parquet or arrow, also compressed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from assay.flows.export.csv_cells import guarded
from assay.flows.export.json_text import as_json
from assay.flows.export.text_values import flat, json_lines, refuse_bytes
from assay.storage.disk.atomic import output_path
from assay.storage.errors import ConfigError
from assay.storage.reading.types import storable

COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
# every decimal of so many digits is one float's shortest text
_EXACT_DIGITS = 15


def rows_json(frame: pl.DataFrame) -> dict[str, Any]:
    """Return a frame as {"columns": ..., "rows": [{...}, ...]}."""
    return {"columns": frame.columns, "rows": whole_numbers(frame).rows(named=True)}


def whole_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a frame whose decimals are floats or whole numbers, where these hold them exactly.

    DuckDB's sums of whole numbers are decimals of 38 digits.
    """
    whole, short = [], []
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Decimal) and dtype.scale == 0:
            whole.append(pl.col(name).cast(pl.Int128))
        elif isinstance(dtype, pl.Decimal) and (dtype.precision or 38) <= _EXACT_DIGITS:
            short.append(pl.col(name).cast(pl.Float64))
    return frame.with_columns(*whole, *short)


def flat_cells(frame: pl.DataFrame, raw: bool) -> pl.DataFrame:
    """Return a frame that CSV can hold: lists and structs as JSON, and no formulas unless `raw`."""
    refuse_bytes(frame, "CSV")
    frame = flat(frame)
    return frame if raw else guarded(frame)


def frame_bytes(
    frame: pl.DataFrame, format: str, *, raw: bool = False, compression: str = ""
) -> bytes:
    """Return a frame as the content of a file; the same frame gives the same bytes.

    Parameters
    ----------
    frame : DataFrame
    format : {"csv", "json", "jsonl", "parquet", "arrow"}
    raw : bool, default False
        As in `write_frame`.
    compression : {"", ".gz", ".zst"}, default ""
        What a text format is packed with.
    """
    buffer = io.BytesIO()
    if format == "csv":
        flat_cells(frame, raw).write_csv(buffer)
    elif format == "parquet":
        storable(frame, as_tables=False).write_parquet(buffer)
    elif format == "arrow":
        table = settled(
            storable(frame, as_tables=False).to_arrow(compat_level=pl.CompatLevel.oldest())
        )
        with pa.ipc.new_file(buffer, table.schema) as writer:
            writer.write_table(table)
    elif format == "jsonl":
        refuse_bytes(frame, "JSON")
        buffer.write(json_lines(frame))
    else:
        buffer.write((as_json(rows_json(frame)) + "\n").encode())
    content = buffer.getvalue()
    if not compression:
        return content
    packed: bytes = pa.Codec(COMPRESSION[compression]).compress(content, asbytes=True)
    return packed


def write_frame(
    frame: pl.DataFrame,
    out: Path,
    format: str,
    *,
    raw: bool = False,
    overwrite: bool = False,
    compression: str = "",
) -> None:
    """Write `frame` to the file `out` atomically, in a format of `frame_bytes`.

    In CSV, texts that a spreadsheet would take for formulas get a quote in front unless `raw`; see
    `assay.flows.export.csv_cells`. An existing file is replaced with `overwrite` only; what else
    may not be written, `assay.flows.export.destination` says.
    """
    write_file(out, frame_bytes(frame, format, raw=raw, compression=compression), overwrite)


def write_file(out: Path, content: bytes, overwrite: bool = False) -> None:
    """Write the file `out` atomically; an existing file is replaced with `overwrite` only."""
    if not out.parent.is_dir():
        raise ConfigError(f"There is no folder {out.parent} to write {out.name} into.")
    try:
        with output_path(out, replace=overwrite) as temporary:
            temporary.write_bytes(content)
    except FileExistsError:
        raise already_there(out) from None


def already_there(out: Path) -> ConfigError:
    """Build the error for an existing file that may not be replaced."""
    return ConfigError(
        f"{out} exists already. Name another file, or replace it with --overwrite "
        "(overwrite=True in Python)."
    )


def settled(table: pa.Table) -> pa.Table:
    """Return a table whose buffers hold nothing but its values: what lies under nulls is zero.

    Otherwise the bytes of an Arrow file would depend on what memory held before.
    """
    return table.take(pa.array(range(table.num_rows), type=pa.int64())).combine_chunks()
