"""What the commands print: tables for people, or one JSON object."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import polars as pl

from assay.flows.export.frames import flat_cells, rows_json, whole_numbers, write_frame
from assay.flows.export.text_values import as_json
from assay.storage.errors import ConfigError

FORMATS = ("table", "json", "csv", "parquet")
SHOWN_ROWS = 100
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def print_json(value: Any) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(as_json(value) + "\n")


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
    for row in whole_numbers(frame.head(SHOWN_ROWS)).iter_rows():
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
        sys.stdout.write(flat_cells(frame, raw).write_csv())
