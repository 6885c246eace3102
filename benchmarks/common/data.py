"""Where the real data lies."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"


def data_folder() -> Path:
    """Return the folder `ASSAY_TEST_DATA`, else `shared/data` beside the repository."""
    return Path(os.environ.get("ASSAY_TEST_DATA", _BESIDE))


def reference(name: str) -> Path:
    """Return the path of one stored output of the authors' own code."""
    return data_folder().parent / "reference" / name


def documents() -> pl.DataFrame:
    """Return `text_pool.parquet` without exact duplicates (columns `text`, `domain`, others)."""
    pool = pl.read_parquet(data_folder() / "text_pool.parquet")
    return pool.unique("text", keep="first", maintain_order=True)
