"""Runs whose vectors are stored in half or a quarter of their size, and what reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.examples import example_path
from assay.flows.commands.agreement import _of_runs
from assay.flows.config.curation import CurationConfig
from assay.flows.explore.rows import ExploredRows
from assay.flows.export.columns import added_columns
from assay.flows.export.rows import rows_of
from assay.flows.running.results import RunResult
from assay.flows.running.runner import curate
from assay.flows.stages.run import resolve_run
from assay.index import SimilarityGraph, VectorIndex
from assay.index.vectors.stored import decode, encode, read_vectors, storage_of

SMALL = {"dimensions": 16, "buckets": 2**12}


def run(folder: Path, frame: pl.DataFrame, storage: str, **more: Any) -> RunResult:
    frame.write_parquet(folder / "pool.parquet")
    given: dict[str, Any] = {
        "pool": str(folder / "pool.parquet"),
        "id": "id",
        "text": "text",
        "budget": 20,
        "select": "random",
        "scores": ("pagerank",),
        "embedding": SMALL | {"storage": storage},
        "graph": {"k": 6},
        "store": str(folder / "store"),
    }
    return curate(**(given | more))


def folder_of(result: RunResult, stage: str) -> Path:
    (ref,) = result.sql(
        f"SELECT kind, fingerprint FROM artifacts WHERE run_id = '{result.run_id}' "
        f"AND stage = '{stage}'"
    ).rows()
    return result.store.artifacts.open(*ref)


def run_row(result: RunResult) -> dict[str, Any]:
    return result.sql(f"SELECT * FROM runs WHERE run_id = '{result.run_id}'").row(0, named=True)


@pytest.fixture(scope="module")
def documents() -> pl.DataFrame:
    return pl.read_parquet(example_path("pool.parquet")).head(200)


def test_the_id_of_a_run_is_that_of_before_where_storage_is_not_named(
    documents: pl.DataFrame, tmp_path: Path
) -> None:
    documents.write_parquet(tmp_path / "pool.parquet")
    given = {"pool": str(tmp_path / "pool.parquet"), "id": "id", "text": "text"}
    ids = [
        resolve_run(CurationConfig.build(given | more | {"store": str(tmp_path / "store")})).run_id
        for more in (
            {}, {"embedding": {"storage": "float32"}}, {"embedding": {"storage": "int8"}},
            {"index": {"storage": "int8"}},
        )
    ]  # fmt: skip
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_nights_go_over_from_one_storage_to_another(
    documents: pl.DataFrame, tmp_path: Path
) -> None:
    first = run(tmp_path, documents.head(180), "float32")
    whole = np.array(read_vectors(folder_of(first, "embed")))
    for night, storage in enumerate(("int8", "int8", "float32")):
        frame = documents.head(181 + night)
        result = run(tmp_path, frame, storage)
        where = folder_of(result, "embed")
        assert storage_of(where) == storage
        found = read_vectors(where)
        expected = whole if storage == "float32" else decode(*encode(whole, storage))
        # what is taken over is what it would be if it were made anew
        np.testing.assert_allclose(found[:180], expected, rtol=0, atol=1e-7)
        graph = SimilarityGraph.load(folder_of(result, "graph"))
        anew = SimilarityGraph.from_vectors(found, k=6, ids=frame["id"])
        np.testing.assert_array_equal(graph.neighbors, anew.neighbors)
        index = VectorIndex.load(folder_of(result, "index"))
        assert index.storage == storage
        assert len(index) == frame.height


def test_shards_store_the_same(documents: pl.DataFrame, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    whole = run(tmp_path / "one", documents, "int8")
    parts = run(tmp_path / "two", documents, "int8", engine="threads", shard_rows=70)
    for stage in ("embed", "graph"):
        assert folder_of(whole, stage).name == folder_of(parts, stage).name
    np.testing.assert_array_equal(
        read_vectors(folder_of(whole, "embed")), read_vectors(folder_of(parts, "embed"))
    )


def test_what_reads_vectors_reads_them_in_any_storage(
    documents: pl.DataFrame, tmp_path: Path
) -> None:
    whole = run(tmp_path, documents, "float32")
    small = run(tmp_path, documents, "int8")
    small_index = run(tmp_path, documents, "float32", index={"storage": "int8"})
    assert VectorIndex.load(folder_of(small_index, "index")).storage == "int8"
    stored = read_vectors(folder_of(small, "embed"))
    rows = rows_of(small.store, small.run_id, "all", CurationConfig()).frame
    vectors = added_columns(small.store, small.run_id, rows, ["vectors"])["vector"].to_numpy()
    order = SimilarityGraph.load(folder_of(small, "graph")).sample_ids
    np.testing.assert_array_equal(vectors[0], stored[order.index_of(rows["sample_id"][0])])
    sides = _of_runs(small.store, whole.run_id, small.run_id)
    np.testing.assert_allclose(sides[0].vectors, sides[1].vectors, atol=0.01)
    seed = documents["id"][3]
    near = [
        ExploredRows(result.store, run_row(result))._like(str(seed))[:10]
        for result in (whole, small_index)
    ]
    np.testing.assert_array_equal(*near)
