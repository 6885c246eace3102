"""The small real pool that ships with assay (see README.md beside this file for its sources)."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path


def example_path(name: str) -> Path:
    """Return the path of `pool.parquet` or `target.parquet`."""
    with as_file(files(__name__) / name) as path:
        return path
