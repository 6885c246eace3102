"""A stage's output may not change without its revision: compared with what that revision gave."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.examples import example_path
from assay.flows.config.curation import CurationConfig
from assay.flows.running.runner import curate
from assay.flows.stages import artifacts as stages
from assay.flows.stages import selecting
from assay.flows.stages.run import resolve_run
from assay.flows.stages.stage import REVISIONS

GOLDEN = Path(__file__).parent / "golden"


def make_outputs(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what each stage makes of 80 documents."""
    frame = pl.read_parquet(example_path("pool.parquet")).head(80)
    frame.write_parquet(folder / "pool.parquet")
    pl.read_parquet(example_path("target.parquet")).head(20).write_parquet(folder / "t.parquet")
    config = CurationConfig(
        pool=str(folder / "pool.parquet"),
        target=str(folder / "t.parquet"),
        id="id",
        text="text",
        budget=12,
        embedding={"dimensions": 8, "buckets": 2**12},
        graph={"k": 5},
        scores=("pagerank", "knn_density", "importance"),
        store=str(folder / "store"),
    )
    curate(config)
    plan = resolve_run(config)
    found: dict[str, stages.Ref] = {}
    for kind in ("samples", "vectors", "graph", "selection"):
        (path,) = (plan.store.path / "artifacts" / kind).iterdir()
        found[kind] = stages.Ref(kind, path.name)
    graph = stages.load_graph(plan, found["graph"])
    made = selecting.load_selection(plan, found["selection"])
    wide = plan.store.sql("SELECT pagerank, knn_density FROM latest_scores ORDER BY sample_id")
    hashes = stages.load_samples(plan, found["samples"])["content_hash"].to_list()
    return {
        "read": {"hashes": np.array(hashes)},
        "embed": {"vectors": stages.load_vectors(plan, found["vectors"])},
        "graph": {"neighbors": graph.neighbors, "weights": graph.weights},
        "score": {"scores": wide.to_numpy(), "importance": made.scores},
        "select": {"key": made.chosen["key"].to_numpy()},
    }


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return make_outputs(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("stage", ["read", "embed", "graph", "score", "select"])
def test_output_changes_only_with_the_revision(
    outputs: dict[str, dict[str, Any]], stage: str
) -> None:
    path = GOLDEN / f"{stage}-{REVISIONS[stage]}.npz"
    assert path.exists(), (
        f"{stage} has a new revision: write its output with "
        "`python -m tests.flows.stages.test_golden`, and remove the file of the old one"
    )
    with np.load(path) as was:
        assert set(was) == set(outputs[stage])
        for name, value in outputs[stage].items():
            if value.dtype.kind == "f":
                np.testing.assert_allclose(value, was[name], rtol=1e-4, atol=1e-5)
            else:
                np.testing.assert_array_equal(value, was[name])


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, arrays in make_outputs(Path(scratch)).items():
            np.savez_compressed(GOLDEN / f"{name}-{REVISIONS[name]}.npz", **arrays)
