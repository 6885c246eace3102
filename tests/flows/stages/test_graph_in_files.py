"""A run whose graph and vectors stay in their files gives what one gives that reads them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from assay.examples import example_path
from assay.flows.config.curation import CurationConfig
from assay.flows.running.runner import curate
from assay.flows.stages import artifacts
from assay.flows.stages.run import resolve_run
from assay.storage.disk.pages import mapping

ASKED = "SELECT * EXCLUDE (run_id) FROM {} ORDER BY ALL"
TABLES = ("latest_selection", "ledger", "scores")


@pytest.mark.parametrize("plan", [{}, {"deduplicate": ["semantic_duplicates"]}])
def test_a_large_graph_stays_in_its_files(plan, tmp_path, monkeypatch) -> None:
    frame = pl.read_parquet(example_path("pool.parquet")).select("id", "text").head(300)
    order = np.random.default_rng(0).permutation(frame.height)
    frame[order].write_parquet(tmp_path / "pool.parquet")
    told = []
    for place, least in enumerate((artifacts._MAPPED, 0)):
        monkeypatch.setattr(artifacts, "_MAPPED", least)
        config = CurationConfig(
            pool=str(tmp_path / "pool.parquet"), id="id", text="text", budget=30,
            embedding={"dimensions": 16}, plan=plan, store=str(tmp_path / f"store-{place}"),
        )  # fmt: skip
        told.append(curate(config))
    inside, outside = told
    for table in TABLES:
        rows = outside.sql(ASKED.format(table))
        assert rows.height
        assert rows.equals(inside.sql(ASKED.format(table)))
    run = resolve_run(config)
    (graph,) = (run.store.path / "artifacts" / "graph").iterdir()
    held = artifacts.load_graph(run, artifacts.Ref("graph", graph.name), mapped=True)
    assert mapping(held.neighbors) is not None
