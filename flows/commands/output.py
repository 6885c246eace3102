"""What the commands print: tables for people, or one JSON object."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import polars as pl

from assay.flows.commands.csv_cells import guarded
from assay.flows.commands.text_values import as_json, flat, json_lines, refuse_bytes
from assay.storage.disk.atomic import output_path
from assay.storage.errors import ConfigError
from assay.storage.reading.types import storable

FORMATS = ("table", "json", "csv", "parquet")
SHOWN_ROWS = 100
# every decimal of so many digits is one float's shortest text
_EXACT_DIGITS = 15
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def print_json(value: Any) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(as_json(value) + "\n")


def rows_json(frame: pl.DataFrame) -> dict[str, Any]:
    """Return a frame as {"columns": ..., "rows": [{...}, ...]}."""
    return {"columns": frame.columns, "rows": _whole_numbers(frame).rows(named=True)}


def _whole_numbers(frame: pl.DataFrame) -> pl.DataFrame:
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


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = printable(str(value))
    return text if len(text) <= 200 else text[:197] + "..."


def printable(text: str) -> str:
    """Return a text whose control characters, which a terminal would obey, are escaped.

    Examples
    --------
    >>> printable("plain\\tand \\x1b[31mred")
    'plain\\tand \\\\x1b[31mred'
    """
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def print_table(frame: pl.DataFrame, title: str | None = None) -> None:
    """Print the first rows as a table; how many are left out is said on standard error."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    numeric = {name for name, dtype in frame.schema.items() if dtype.is_numeric()}
    for name in frame.columns:
        table.add_column(escape(name), justify="right" if name in numeric else "left")
    for row in _whole_numbers(frame.head(SHOWN_ROWS)).iter_rows():
        table.add_row(*(escape(_text(value)) for value in row))
    # where there is no terminal nothing is cut to a width that nobody looks at
    width = None if sys.stdout.isatty() else 1000
    if title:
        sys.stdout.write(f"\n{title}\n")
    Console(file=sys.stdout, width=width).print(table)
    if frame.height > SHOWN_ROWS:
        sys.stderr.write(
            f"assay: {SHOWN_ROWS} of {frame.height:,} rows shown; --format csv gives all\n"
        )


def check_format(format: str, out: Path | None = None) -> None:
    """Raise `ConfigError` unless a frame can be printed, or written to `out`, in a format."""
    if format not in FORMATS:
        raise ConfigError(f"There is no format {format!r}; there are: {', '.join(FORMATS)}.")
    if format == "parquet" and out is None:
        raise ConfigError("Parquet is not text: name a file with --out F.parquet.")


def emit(
    frame: pl.DataFrame,
    format: str,
    out: Path | None = None,
    *,
    raw: bool = False,
    overwrite: bool = False,
) -> None:
    """Print `frame` in one of `FORMATS`, or write it to `out`; the rest as in `write_frame`."""
    check_format(format, out)
    if out is not None:
        write_frame(
            frame, out, "csv" if format == "table" else format, raw=raw, overwrite=overwrite
        )
    elif format == "table":
        print_table(frame)
    elif format == "json":
        print_json(rows_json(frame))
    else:
        sys.stdout.write(_flat(frame, raw).write_csv())


def _flat(frame: pl.DataFrame, raw: bool) -> pl.DataFrame:
    """Return a frame that CSV can hold: lists and structs as JSON, and no formulas unless `raw`."""
    refuse_bytes(frame, "CSV")
    frame = flat(frame)
    return frame if raw else guarded(frame)


def write_frame(
    frame: pl.DataFrame, out: Path, format: str, *, raw: bool = False, overwrite: bool = False
) -> None:
    """Write `frame` to the file `out` atomically, as csv, json, jsonl or parquet.

    In CSV, texts that a spreadsheet would take for formulas get a quote in front unless `raw`; see
    `assay.flows.commands.csv_cells`. An existing file is replaced with `overwrite` only; what else
    may not be written, `assay.flows.commands.destination` says.
    """
    if not out.parent.is_dir():
        raise ConfigError(f"There is no folder {out.parent} to write {out.name} into.")
    if format == "csv":
        frame = _flat(frame, raw)
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
