"""Hybrid graphs of texts, from the command line and TOML to the store, and over nights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.examples import example_path
from assay.flows.cli import app
from assay.flows.config.curation import CurationConfig
from assay.flows.estimate.growth import Costs, Sample
from assay.flows.estimate.measuring import StageCost
from assay.flows.running.runner import curate
from assay.flows.stages import artifacts as stages
from assay.flows.stages.deciding import deciding
from assay.flows.stages.memory import known_memory
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import resolve_run
from assay.index import SimilarityGraph
from assay.storage.errors import ConfigError

FRAME = pl.read_parquet(example_path("pool.parquet")).select("id", "text", "domain")


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "pool": str(folder / "pool.parquet"), "id": "id", "text": "text", "label": "domain",
        "budget": 10, "scores": ["label_agreement", "pagerank"], "store": str(folder / "store"),
        "embedding": {"dimensions": 8, "buckets": 2**12}, "graph": {"kind": "hybrid"}, **more,
    }  # fmt: skip


def stored_graph(given: dict[str, Any], run_id: str) -> tuple[SimilarityGraph, np.ndarray]:
    run = resolve_run(CurationConfig.build(given))
    refs = run.store.newest_run("pool")["artifacts"]
    assert run.run_id == run_id
    return stages.load_graph(run, Ref(*refs["graph"])), stages.load_vectors(
        run, Ref(*refs["embed"])
    )


def equal(one: SimilarityGraph, two: SimilarityGraph) -> bool:
    return bool((one.to_scipy() != two.to_scipy()).nnz == 0)


@pytest.mark.parametrize("cut", [{}, {"engine": "threads", "workers": 2, "shard_rows": 60}])
def test_the_stage_makes_what_python_makes_and_nights_make_it_anew(
    tmp_path: Path, cut: dict[str, Any]
) -> None:
    given = settings(tmp_path, **cut)
    for rows in (100, 130):
        FRAME.head(rows).write_parquet(tmp_path / "pool.parquet")
        result = curate(**given)
        graph, vectors = stored_graph(given, result.run_id)
        texts, ids = FRAME.head(rows)["text"], FRAME.head(rows)["id"]
        expected = SimilarityGraph.from_texts(texts, vectors=vectors, ids=ids, k=10)
        assert equal(graph, expected)
        assert not equal(graph, SimilarityGraph.from_vectors(vectors, ids=ids, k=10))
        pagerank = result.sql("SELECT pagerank FROM latest_scores ORDER BY sample_id").to_series()
        order = ids.cast(pl.String).arg_sort()
        np.testing.assert_allclose(pagerank, expected.pagerank()[order], atol=1e-9)
        metrics = dict(result.sql("SELECT name, value FROM metrics").iter_rows())
        assert metrics["graph.edges"] == expected.number_of_edges()


def test_the_command_line_and_toml_are_the_same_run(tmp_path: Path) -> None:
    FRAME.head(60).write_parquet(tmp_path / "pool.parquet")
    config = tmp_path / "run.toml"
    config.write_text('[graph]\nkind = "hybrid"\n')
    fixed = (
        *("--pool", str(tmp_path / "pool.parquet"), "--id", "id", "--text", "text"),
        *("--budget", "5", "--scores", "pagerank", "--store", str(tmp_path / "s"), "--json"),
    )
    runs = [
        CliRunner().invoke(app, ["curate", *words, *fixed])
        for words in ((str(config),), ("--option", "graph.kind=hybrid"), ())
    ]
    assert [run.exit_code for run in runs] == [0, 0, 0], runs[0].output
    one, two, plain = (json.loads(run.stdout.splitlines()[-1])["run_id"] for run in runs)
    assert one == two != plain


def test_it_counts_in_the_plan_and_changes_no_other_run() -> None:
    plain, hybrid = CurationConfig(), CurationConfig.build({"graph": {"kind": "hybrid"}})
    assert hybrid.graph.k == 10
    assert CurationConfig.build({"graph": {"kind": "hybrid", "k": 7}}).graph.k == 7
    assert "kind" not in deciding(plain)["graph"]
    assert deciding(hybrid)["graph"]["kind"] == "hybrid"
    assert known_memory(hybrid, "text", 10**6) > known_memory(plain, "text", 10**6)


def test_what_does_not_fit_is_refused_before_any_work(tmp_path: Path) -> None:
    FRAME.head(30).write_parquet(tmp_path / "pool.parquet")
    for setting in ({"metric": "l2"}, {"robust": "context"}, {"weights": "fuzzy"}):
        with pytest.raises(ConfigError, match=next(iter(setting))):
            curate(**settings(tmp_path) | {"graph": {"kind": "hybrid", **setting}})
    pairs = FRAME.head(2)["id"]
    pl.DataFrame({"source": pairs[:1], "target": pairs[1:]}).write_csv(tmp_path / "edges.csv")
    with pytest.raises(ConfigError, match="edges"):
        curate(**settings(tmp_path, edges=str(tmp_path / "edges.csv")))
    vectors = pl.DataFrame({"id": ["a", "b"], "v": [[1.0, 0.0], [0.0, 1.0]]})
    vectors.write_parquet(tmp_path / "vectors.parquet")
    with pytest.raises(ConfigError, match="vectors"):
        curate(
            pool=str(tmp_path / "vectors.parquet"), id="id", vector="v", budget=1,
            store=str(tmp_path / "store"), graph={"kind": "hybrid"},
        )  # fmt: skip
    assert not (tmp_path / "store" / "artifacts").exists()


def test_the_plan_expects_the_search_by_words_to_grow_with_the_square() -> None:
    def at(rows: int) -> Sample:
        cost = StageCost("graph", rows * max(1.0, rows / 25_600), 0.0, 1, 1)
        return Sample(rows, 10, [cost], 0, [1])

    costs = Costs((at(7_500), at(30_000), at(60_000)), 10**6, 10, by_words=True)
    assert costs.of(10**6)[0].cpu_seconds == pytest.approx(10**12 / 25_600)
    assert costs.of(20_000)[0].cpu_seconds == pytest.approx(20_000)
