"""`assay demo`: a curation run and a feature run over the shipped pool."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from assay.examples import example_path
from assay.flows.api import curate, rank_features
from assay.flows.config.curation import CurationConfig
from assay.flows.report.page import missing_packages
from assay.flows.running.results import RunResult

TERMS = 1_000


def term_columns(texts: pl.Series, labels: pl.Series, terms: int = TERMS) -> pl.DataFrame:
    """Return a table of how often each frequent term is in each text, beside its label.

    Parameters
    ----------
    texts, labels : Series of String, length n
        The documents and what they are labeled with.
    terms : int, default 1,000
        How many columns: the terms that most documents hold.

    Returns
    -------
    DataFrame of n rows
        One column of counts (Float32) for each term, and the column `label`.
    """
    words = (
        pl.DataFrame({"row": np.arange(len(texts)), "term": texts.str.to_lowercase()})
        .with_columns(pl.col("term").str.extract_all(r"\w+"))
        .explode("term")
        .drop_nulls()
    )
    tally = words.group_by("row", "term").len("count")
    frequent = (
        tally.group_by("term")
        .agg(pl.len().alias("documents"))
        .sort(["documents", "term"], descending=[True, False])
        .head(terms)
        .with_row_index("column")
    )
    cells = tally.join(frequent, on="term")
    matrix = np.zeros((len(texts), frequent.height), dtype=np.float32, order="F")
    matrix[cells["row"].to_numpy(), cells["column"].to_numpy()] = cells["count"].to_numpy()
    frame = pl.DataFrame(matrix, schema=[f"term:{t}" for t in frequent["term"]])
    return frame.with_columns(labels.alias("label"))


def page_beside(store: Path) -> Path | None:
    """Return where the report goes, beside the store; None where its packages are missing."""
    if missing_packages():
        return None
    root = store.resolve()
    return root.parent / f"{root.name}-report.html"


def example_config(store: Path, report: Path | None = None) -> CurationConfig:
    """Return the configuration of `assay demo`: the shipped pool, health answers wanted."""
    return CurationConfig(
        pool=str(example_path("pool.parquet")),
        name="example",
        id="id",
        text="text",
        keep=("domain",),
        target=str(example_path("target.parquet")),
        budget=0.05,
        store=str(store),
        report=None if report is None else str(report),
    )


def run(store: Path, report: Path | None = None) -> tuple[RunResult, RunResult]:
    """Run both; return their results."""
    config = example_config(store, report)
    curated = curate(config)
    pool = pl.read_parquet(str(config.pool))
    table = term_columns(pool["text"], pool["domain"])
    ranked = rank_features(table=table, name="example_terms", label="label", store=str(store))
    return curated, ranked
