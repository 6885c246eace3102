"""Edges of a pool in its vectors: smoothed along them, joined with structure, over nights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.flows.config.curation import CurationConfig
from assay.flows.estimate.samples import sample_config
from assay.flows.running.runner import curate
from assay.flows.stages.deciding import deciding
from assay.flows.stages.memory import known_memory
from assay.flows.stages.run import resolve_run
from assay.index import SimilarityGraph, VectorIndex
from assay.index.algorithms.structure import joined_vectors
from assay.storage import ScoreStore
from assay.storage.errors import ConfigError

IDS = [f"r{i:02}" for i in np.random.default_rng(5).permutation(60)]
X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pl.DataFrame({"id": IDS, "v": X.tolist()}).write_parquet(tmp_path / "pool.parquet")
    ends = np.random.default_rng(1).integers(0, 60, (150, 2))
    edges = {"source": [IDS[i] for i in ends[:, 0]], "target": [IDS[j] for j in ends[:, 1]]}
    pl.DataFrame(edges).write_csv(tmp_path / "edges.csv")
    return tmp_path


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "pool": str(folder / "pool.parquet"), "id": "id", "vector": "v", "budget": 6,
        "edges": str(folder / "edges.csv"), "select": "facility_location",
        "scores": ["pagerank", "outlierness"], "store": str(folder / "store"), **more,
    }  # fmt: skip


def stored(folder: Path, stage: str) -> Path:
    store = ScoreStore(folder / "store")
    kind, name = store.newest_run("pool")["artifacts"][stage]
    return store.path / "artifacts" / kind / name


def expected(folder: Path, rows: slice, how: dict[str, Any]) -> np.ndarray:
    ids, vectors = IDS[rows], X[rows]
    edges = pl.read_csv(folder / "edges.csv")
    graph = SimilarityGraph.from_edges(edges, ids=ids)
    if how.get("smooth"):
        vectors = graph.smooth(vectors, how["smooth"])
    if how.get("structure"):
        method = how.get("structure_method", "spectral")
        vectors = joined_vectors(vectors, graph.structure(how["structure"], method))
    return vectors


@pytest.mark.parametrize(
    "how",
    [
        {"smooth": 2},
        {"structure": 4, "structure_method": "netmf"},
        {"smooth": 1, "structure": 4},
    ],
)
def test_every_night_the_vectors_hold_that_night_s_edges(folder: Path, how: dict[str, Any]) -> None:
    whole = pl.read_parquet(folder / "pool.parquet")
    for last in (57, 60):
        whole.head(last).write_parquet(folder / "pool.parquet")
        edges = pl.read_csv(folder / "edges.csv")
        if last == 57:
            held = IDS[:last]
            known = pl.col("source").is_in(held) & pl.col("target").is_in(held)
            edges.filter(known).write_csv(folder / "edges.csv")
        curate(**settings(folder, embedding=how))
        vectors = np.load(stored(folder, "embed") / "vectors.npy")
        np.testing.assert_allclose(vectors, expected(folder, slice(last), how), atol=1e-6)
        np.testing.assert_array_equal(np.load(stored(folder, "encode") / "vectors.npy"), X[:last])
        index = VectorIndex.load(stored(folder, "index"))
        similarities, _ = index.search(vectors, 1)
        np.testing.assert_allclose(similarities[:, 0], 1, atol=1e-5)
        edges.write_csv(folder / "edges.csv")


def test_without_them_the_next_run_goes_by_the_content_again(folder: Path) -> None:
    first = curate(**settings(folder, embedding={"smooth": 2}))
    second = curate(**settings(folder))
    assert first.run_id != second.run_id
    np.testing.assert_array_equal(np.load(stored(folder, "embed") / "vectors.npy"), X)
    assert "encode" not in ScoreStore(folder / "store").newest_run("pool")["artifacts"]
    index = VectorIndex.load(stored(folder, "index"))
    np.testing.assert_array_equal(index.search(X, 1)[1][:, 0], np.arange(60))


def test_the_command_line_and_toml_are_the_same_run(folder: Path) -> None:
    given = settings(folder)
    fixed = [f for k in ("pool", "id", "vector", "edges", "store") for f in (f"--{k}", given[k])]
    fixed += ["--budget", "6", "--select", "facility_location", "--scores", "pagerank", "--json"]
    config = folder / "run.toml"
    config.write_text("[embedding]\nsmooth = 2\nstructure = 4\n")
    options = ["--option", "embedding.smooth=2", "--option", "embedding.structure=4"]
    runs = [CliRunner().invoke(app, ["curate", *more, *fixed]) for more in ([str(config)], options)]
    assert [run.exit_code for run in runs] == [0, 0], runs[0].output
    one, two = (json.loads(run.stdout.splitlines()[-1])["run_id"] for run in runs)
    assert one == two


def test_what_does_not_fit_is_refused_before_any_work(folder: Path) -> None:
    smooth = {"smooth": 2}
    with pytest.raises(ConfigError, match="--edges"):
        curate(**settings(folder, embedding=smooth, edges=None))
    with pytest.raises(ConfigError, match="structure_method"):
        curate(**settings(folder, embedding={"structure_method": "netmf"}))
    pool = str(folder / "pool.parquet")
    with pytest.raises(ConfigError, match="`target`"):
        curate(**settings(folder, embedding=smooth, target=pool))
    with pytest.raises(ConfigError, match="`reference`"):
        curate(**settings(folder, embedding=smooth, plan={"reference": {"a": pool}}))
    assert not (folder / "store" / "artifacts").exists()


def test_estimates_and_other_runs(folder: Path) -> None:
    linked = CurationConfig.build(settings(folder, embedding={"smooth": 2, "structure": 64}))
    plain = CurationConfig.build(settings(folder))
    assert not {"smooth", "structure", "structure_method"} & set(deciding(plain)["embedding"])
    assert known_memory(linked, "vector", 10**6, 5) > known_memory(plain, "vector", 10**6, 5)
    run = resolve_run(linked)
    assert sample_config(run, 60, 60)["embedding"]["smooth"] == 2
    part = sample_config(run, 60, 30)
    assert (part["edges"], part["embedding"]["smooth"], part["embedding"]["structure"]) == (
        None,
        0,
        0,
    )
