"""What the commands print: tables for people, or one JSON object."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import polars as pl

from assay.storage.atomic import atomic_path
from assay.storage.errors import ConfigError

FORMATS = ("table", "json", "csv", "parquet")
SHOWN_ROWS = 100


def print_json(value: Any) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(json.dumps(value, default=str) + "\n")


def rows_json(frame: pl.DataFrame) -> dict[str, Any]:
    """Return a frame as {"columns": ..., "rows": [{...}, ...]}."""
    # JSON knows no NaN
    floats = [name for name, dtype in frame.schema.items() if dtype.is_float()]
    frame = frame.with_columns(pl.col(floats).fill_nan(None))
    return {"columns": frame.columns, "rows": frame.rows(named=True)}


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    text = str(value)
    return text if len(text) <= 200 else text[:197] + "..."


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
    for row in frame.head(SHOWN_ROWS).iter_rows():
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


def emit(frame: pl.DataFrame, format: str, out: Path | None = None) -> None:
    """Print `frame` in one of `FORMATS`, or write it to `out`."""
    if format not in FORMATS:
        raise ConfigError(f"There is no format {format!r}; there are: {', '.join(FORMATS)}.")
    if out is not None:
        write_frame(frame, out, "csv" if format == "table" else format)
    elif format == "table":
        print_table(frame)
    elif format == "json":
        print_json(rows_json(frame))
    elif format == "csv":
        sys.stdout.write(frame.write_csv())
    else:
        raise ConfigError("Parquet is not text: name a file with --out F.parquet.")


def write_frame(frame: pl.DataFrame, out: Path, format: str) -> None:
    """Write `frame` to the file `out` atomically, as csv, json, jsonl or parquet."""
    if not out.parent.is_dir():
        raise ConfigError(f"There is no folder {out.parent} to write {out.name} into.")
    if format == "csv":
        nested = [name for name, dtype in frame.schema.items() if dtype.is_nested()]
        frame = frame.with_columns(
            pl.Series(name, [json.dumps(v, default=str) for v in frame[name].to_list()])
            for name in nested
        )
    with atomic_path(out) as temporary:
        if format == "csv":
            frame.write_csv(temporary)
        elif format == "parquet":
            frame.write_parquet(temporary)
        elif format == "jsonl":
            frame.write_ndjson(temporary)
        else:
            temporary.write_text(json.dumps(rows_json(frame), default=str) + "\n")
