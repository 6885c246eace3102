"""A small real pool, and a store with one run over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assay.examples import example_path
from assay.flows.running.results import RunResult
from assay.flows.running.runner import curate

EMPTY_IDS = ("empty-null", "empty-blank")


@pytest.fixture(scope="session")
def pool_frame() -> pl.DataFrame:
    """Return 600 documents of four domains, two of them without content."""
    pool = pl.read_parquet(example_path("pool.parquet")).head(598)
    empty = pl.DataFrame(
        {"id": EMPTY_IDS, "text": [None, "  \n"], "domain": ["none", "none"]}, schema=pool.schema
    )
    return pl.concat([pool.head(100), empty, pool.tail(-100)])


@pytest.fixture(scope="session")
def files(pool_frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the paths of the pool and the target as files."""
    folder = tmp_path_factory.mktemp("files")
    pool_frame.write_parquet(folder / "pool.parquet")
    target = pl.read_parquet(example_path("target.parquet")).head(60)
    target.write_parquet(folder / "target.parquet")
    return {"pool": str(folder / "pool.parquet"), "target": str(folder / "target.parquet")}


@pytest.fixture(scope="session")
def settings(files: dict[str, str]) -> dict[str, Any]:
    """Return the keys of a configuration over them."""
    return {
        **files,
        "id": "id",
        "text": "text",
        "keep": ("domain",),
        "budget": "10%",
        "embedding": {"dimensions": 32, "buckets": 2**14},
    }


@pytest.fixture(scope="session")
def curated(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Return the result of one run, in a store that tests must leave as it is."""
    return curate(**settings, store=str(tmp_path_factory.mktemp("curated") / "store"))


def listing(store: Path) -> list[tuple[str, int]]:
    """Return every file of a store with the time it was last written, but for the writer's lock."""
    files = (p for p in store.rglob("*") if p.name != "write.lock")
    return sorted((str(p), p.stat().st_mtime_ns) for p in files)
