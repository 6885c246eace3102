"""What the commands print: tables for people, or one JSON object."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

from assay.flows.export.json_text import as_json
from assay.storage.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

FORMATS = ("table", "vertical", "json", "csv", "parquet")
SHOWN_ROWS = 100
# narrower terminals get a row as lines where it does not fit into one
_NARROW = 100
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
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def print_table(frame: pl.DataFrame, title: str | None = None, *, vertical: bool = False) -> None:
    """Print the first rows as a table; print to standard error how many are left out.

    With `vertical`, or where a row does not fit into a narrow terminal, each value has a line.
    """
    from assay.flows.export.frames import whole_numbers

    cells = [
        [_text(value) for value in row] for row in whole_numbers(frame.head(SHOWN_ROWS)).iter_rows()
    ]
    if title:
        sys.stdout.write(f"\n{title}\n")
    width = _terminal_width()
    if vertical or (width is not None and width < _NARROW and _needs(frame.columns, cells) > width):
        _print_vertical(frame.columns, cells)
    else:
        _print_horizontal(frame, cells, width)
    if frame.height > SHOWN_ROWS:
        sys.stderr.write(
            f"assay: {SHOWN_ROWS} of {frame.height:,} rows shown; --format csv gives all\n"
        )


def _terminal_width() -> int | None:
    """Return the terminal's columns; None without a terminal, when nothing need be cut."""
    return get_terminal_size().columns if sys.stdout.isatty() else None


def _needs(names: Sequence[str], cells: Sequence[Sequence[str]]) -> int:
    """Return how many columns of a terminal the longest line of a table takes."""
    from rich.cells import cell_len

    columns = zip(*cells, strict=True) if cells else ([] for _ in names)
    longest = [
        max(map(cell_len, (name, *column))) for name, column in zip(names, columns, strict=True)
    ]
    return sum(longest) + 2 * len(longest)


def _print_vertical(names: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.cells import cell_len

    width = max(map(cell_len, names), default=0)
    for number, row in enumerate(cells, 1):
        sys.stdout.write(f"-- row {number}\n")
        for name, text in zip(names, row, strict=True):
            sys.stdout.write(f"{name}{' ' * (width - cell_len(name))}  {text}\n")


def _print_horizontal(
    frame: pl.DataFrame, cells: Sequence[Sequence[str]], width: int | None
) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name, dtype in frame.schema.items():
        # an id that is cut can't be copied
        table.add_column(
            escape(name),
            justify="right" if dtype.is_numeric() else "left",
            no_wrap=name.endswith("id"),
            overflow="fold",
        )
    for row in cells:
        table.add_row(*map(escape, row))
    # where there is no terminal nothing is cut to a width that nobody looks at
    longest = max(1000, _needs(frame.columns, cells)) if width is None else width
    Console(file=sys.stdout, width=longest, emoji=False).print(table)


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
    from assay.flows.export.frames import flat_cells, rows_json, write_frame

    check_format(format, out)
    if out is not None:
        write_frame(
            frame,
            out,
            "csv" if format in ("table", "vertical") else format,
            raw=raw,
            overwrite=overwrite,
        )
    elif format in ("table", "vertical"):
        print_table(frame, vertical=format == "vertical")
    elif format == "json":
        print_json(rows_json(frame))
    else:
        sys.stdout.write(flat_cells(frame, raw).write_csv())
