"""What changed between two selections, printed for people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.flows.printing.output import print_table
from assay.flows.report.differences import Difference
from assay.storage.errors import ConfigError

_RUN = re.compile(r"[0-9a-f]{1,32}|latest|previous|")
_FORMATS = {".parquet": "parquet", ".csv": "csv", ".json": "json"}


def print_difference(difference: Difference, *, rows: bool) -> None:
    """Print what changed: counts by cause, then the rows themselves."""
    summary = difference.summary()
    if difference.run_a["pool"] != difference.run_b["pool"]:
        print(
            f"The runs are of two pools: {difference.run_a['pool']} and {difference.run_b['pool']}."
        )
    print(
        f"From run {summary['run_a']} to run {summary['run_b']} of {summary['pool']}: {summary['in']:,} rows "
        f"came in, {summary['out']:,} went out, {summary['stayed']:,} stayed."
    )
    if difference.rows.is_empty():
        return
    print_table(difference.counts(), title="By cause:")
    if rows:
        print_table(difference.rows)


def format_of(out: Path, format: str) -> str:
    """Return the format that a file is to have: as asked for, else as its name ends."""
    if format != "table":
        return format
    return _FORMATS.get(out.suffix.lower(), "csv")


def refuse_options(given: Mapping[str, Any], why: str) -> None:
    """Raise `ConfigError` where options that would have no effect are given."""
    named = [name for name, value in given.items() if value]
    if named:
        raise ConfigError(f"{', '.join(named)} {why}.")


def is_place(name: str) -> bool:
    """Return whether a name is that of a file, and not of a run.

    Examples
    --------
    >>> is_place("pool.parquet"), is_place("latest"), is_place("00a3f")
    (True, False, False)
    """
    return _RUN.fullmatch(name) is None or Path(name).exists()
