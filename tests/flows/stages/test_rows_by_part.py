"""Samples read a part at a time, against the table that holds them all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from assay.flows.config.curation import CurationConfig
from assay.flows.running.runner import curate
from assay.flows.stages.artifacts import (
    content_digests,
    content_hashes,
    has_content,
    load_samples,
    sample_parts,
    usable_ids,
)
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import resolve_run
from assay.storage.hashing.rows import hash_rows

ROWS = 300


def test_parts_hold_what_the_table_holds(tmp_path: Path) -> None:
    texts = [f"text number {row} of many" if row % 7 else "" for row in range(ROWS)]
    pool = pl.DataFrame({"id": [f"r{row}" for row in range(ROWS)], "text": texts})
    pool.write_parquet(tmp_path / "pool.parquet")
    config = CurationConfig.build(
        {"pool": str(tmp_path / "pool.parquet"), "id": "id", "text": "text", "budget": 10}
        | {"store": str(tmp_path / "store")}
    )
    curate(config)
    run = resolve_run(config)
    path = next((tmp_path / "store/artifacts/samples").glob("*"))
    samples = Ref("samples", path.name)
    # several groups of rows, as a large pool has
    whole = load_samples(run, samples)
    whole.drop("key").write_parquet(path / "samples.parquet", row_group_size=64)

    parts = list(sample_parts(run, samples, ["sample_id"], slice(70, 129)))
    assert [(int(part["key"][0]), part.height) for part in parts] == [(64, 64), (128, 64)]
    keep = np.array([bool(text) for text in texts])
    assert np.array_equal(has_content(run, samples), keep)
    vectors = Ref("vectors", "none")
    assert usable_ids(run, samples, vectors).equals(pool["id"].filter(pl.Series(keep)))
    keys = np.array([3, 63, 64, 200, 299])
    expected = hash_rows(pool["text"].gather(keys))
    assert np.array_equal(content_hashes(run, samples, keys), expected)
    assert content_digests(run, samples, keys).equals(whole["content_hash"].gather(keys))
    assert content_hashes(run, samples, keys[:0]).shape == (0, 2)
