"""The stage that lays a run's similarity graph out in the plane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from assay.flows.progress import step
from assay.flows.stages.artifacts import get_or_make
from assay.flows.stages.refs import Ref
from assay.flows.stages.stage import MAP
from assay.index import SimilarityGraph
from assay.storage import ScoreStore
from assay.storage.errors import StoreError
from assay.storage.hashing.fingerprints import fingerprint

PLACES = {"sample_id": pl.String, "x": pl.Float64, "y": pl.Float64}


def lay_out_graph(store: ScoreStore, of_run: str, seed: int, before: Ref | None) -> Ref:
    """Make the map of a finished run from its stored graph; rows of the map before stay in place.

    Raises
    ------
    StoreError
        The run's graph is no longer in the store.
    """
    graph_ref = graph_of(store, of_run)
    ref = Ref("map", fingerprint(MAP.revision, graph_ref, seed, before))

    def make(folder: Path) -> None:
        graph = SimilarityGraph.load(store.artifacts.open(*graph_ref))
        ids = graph.sample_ids
        if ids is None:
            ids = pl.Series([str(row) for row in range(len(graph.neighbors))], dtype=pl.String)
        placed = None
        if before is not None:
            old = load_places(store, before)
            joined = pl.DataFrame({"sample_id": ids}).join(
                old, on="sample_id", how="left", maintain_order="left"
            )
            placed = joined.select(pl.col("x", "y").fill_null(float("nan"))).to_numpy()
        with step("map"):
            coordinates = graph.layout(random_state=seed, placed=placed).astype(np.float64)
        frame = pl.DataFrame({"sample_id": ids, "x": coordinates[:, 0], "y": coordinates[:, 1]})
        frame.write_parquet(folder / "places.parquet")

    return get_or_make(store, MAP, ref, make, run_id=of_run)


def graph_of(store: ScoreStore, run_id: str) -> Ref:
    """Return where a finished run's graph is.

    Raises
    ------
    StoreError
        The run names no graph, or the graph is no longer in the store.
    """
    rows = store.run_table(run_id, "SELECT kind, fingerprint FROM artifacts WHERE stage = 'graph'")
    if rows.is_empty() or not store.artifacts.intact(*rows.row(0)):
        raise StoreError(
            f"The similarity graph of run {run_id} is no longer in the store {store.path}, so it "
            "can't be laid out. Run `assay curate` again, or leave the map out with --no-map."
        )
    return Ref(*rows.row(0))


def load_places(store: ScoreStore, ref: Ref) -> pl.DataFrame:
    """Return sample_id, x and y of a map."""
    return pl.read_parquet(store.artifacts.open(*ref) / "places.parquet")
