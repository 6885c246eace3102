"""Writing a frame to a file: csv, json, jsonl or parquet, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from assay.flows.export.csv_cells import guarded
from assay.flows.export.text_values import as_json, flat, json_lines, refuse_bytes
from assay.storage.disk.atomic import output_path
from assay.storage.errors import ConfigError
from assay.storage.reading.types import storable

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


def write_frame(
    frame: pl.DataFrame, out: Path, format: str, *, raw: bool = False, overwrite: bool = False
) -> None:
    """Write `frame` to the file `out` atomically, as csv, json, jsonl or parquet.

    In CSV, texts that a spreadsheet would take for formulas get a quote in front unless `raw`; see
    `assay.flows.export.csv_cells`. An existing file is replaced with `overwrite` only; what else
    may not be written, `assay.flows.export.destination` says.
    """
    if not out.parent.is_dir():
        raise ConfigError(f"There is no folder {out.parent} to write {out.name} into.")
    if format == "csv":
        frame = flat_cells(frame, raw)
    elif format == "jsonl":
        refuse_bytes(frame, "JSON")
    elif format == "parquet":
        frame = storable(frame, as_tables=False)
    try:
        with output_path(out, replace=overwrite) as temporary:
            if format == "csv":
                frame.write_csv(temporary)
            elif format == "parquet":
                frame.write_parquet(temporary)
            elif format == "jsonl":
                temporary.write_bytes(json_lines(frame))
            else:
                temporary.write_text(as_json(rows_json(frame)) + "\n")
    except FileExistsError:
        raise already_there(out) from None


def already_there(out: Path) -> ConfigError:
    """Build the error for an existing file that may not be replaced."""
    return ConfigError(
        f"{out} exists already. Name another file, or replace it with --overwrite "
        "(overwrite=True in Python)."
    )
