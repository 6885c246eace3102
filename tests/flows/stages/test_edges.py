"""Pools with edges of their own, from the command line and TOML to the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.flows.running.runner import curate
from assay.storage import ScoreStore
from assay.storage.errors import ColumnError, ConfigError, InputError

IDS = [f"r{i:02}" for i in range(80)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 5)).astype(np.float32)
    frame = {"id": IDS, "v": X.tolist(), "label": ["a"] * 40 + ["b"] * 40}
    pl.DataFrame(frame).write_parquet(tmp_path / "pool.parquet")
    ends = np.vstack([rng.integers(0, 40, (120, 2)), rng.integers(40, 80, (120, 2)), [[0, 79]]])
    edges = {"source": [IDS[i] for i in ends[:, 0]], "target": [IDS[j] for j in ends[:, 1]]}
    pl.DataFrame(edges).write_csv(tmp_path / "edges.csv")
    return tmp_path


def command(*words: Any) -> Any:
    return CliRunner().invoke(app, ["curate", *map(str, words)])


def oracle(folder: Path) -> nx.Graph:
    graph = nx.Graph()
    graph.add_nodes_from(IDS)
    pairs = pl.read_csv(folder / "edges.csv").iter_rows()
    graph.add_edges_from((a, b) for a, b in pairs if a != b)
    return graph


def test_scores_are_those_of_the_given_edges(folder: Path) -> None:
    fixed = ("--pool", folder / "pool.parquet", "--id", "id", "--vector", "v", "--label", "label")
    how = ("--scores", "pagerank,core_number,label_agreement", "--budget", 8, "--json")
    store = folder / "s"
    done = command(
        *fixed,
        *how,
        "--select",
        "facility_location",
        "--store",
        store,
        "--edges",
        folder / "edges.csv",
    )
    assert done.exit_code == 0, done.output
    query = ScoreStore(store).sql
    scores = query("SELECT * FROM latest_scores ORDER BY sample_id")
    expected = oracle(folder)
    pagerank = nx.pagerank(expected, tol=1e-12, max_iter=1000)
    np.testing.assert_allclose(scores["pagerank"], [pagerank[name] for name in IDS], atol=1e-7)
    cores = nx.core_number(expected)
    assert scores["core_number"].to_list() == [cores[name] for name in IDS]
    metrics = dict(query("SELECT name, value FROM metrics").iter_rows())
    assert metrics["graph.edges"] == expected.number_of_edges()
    assert metrics["graph.given"] == 241
    # the same by TOML is the same run
    config = folder / "run.toml"
    config.write_text(
        f'edges = "{folder / "edges.csv"}"\nselect = "facility_location"\nbudget = 8\n'
        'scores = ["pagerank", "core_number", "label_agreement"]\n'
    )
    again = command(config, *fixed, "--store", store, "--json")
    one, two = (json.loads(run.stdout.splitlines()[-1])["run_id"] for run in (done, again))
    assert one == two
    # without edges, or with others, it is another
    plain = command(*fixed, *how, "--select", "facility_location", "--store", store)
    assert json.loads(plain.stdout.splitlines()[-1])["run_id"] != one
    pl.read_csv(folder / "edges.csv")[:100].write_csv(folder / "edges.csv")
    fewer = command(config, *fixed, "--store", store, "--json")
    assert json.loads(fewer.stdout.splitlines()[-1])["run_id"] != one


@pytest.mark.parametrize("select", ["graph_cut", "saturated_coverage", "ccs", "d2", "stratified"])
def test_selectors_take_the_graph(folder: Path, select: str) -> None:
    result = curate(
        pool=str(folder / "pool.parquet"), id="id", vector="v", edges=str(folder / "edges.csv"),
        select=select, scores=["pagerank", "hubness"], budget=10, store=str(folder / "s"),
        graph={"attribute_weight": "gaussian"}, map=True, difficulty="pagerank",
    )  # fmt: skip
    assert result.sql("SELECT * FROM latest_selection").height == 10


def test_what_does_not_fit_is_refused_before_any_work(folder: Path) -> None:
    how: dict[str, Any] = {
        "pool": str(folder / "pool.parquet"), "vector": "v", "store": str(folder / "s"), "budget": 5,
    }  # fmt: skip
    edges = str(folder / "edges.csv")
    with pytest.raises(ConfigError, match="--id"):
        curate(**how, edges=edges)
    with pytest.raises(ConfigError, match="--edges"):
        curate(**how, id="id", graph={"attribute_weight": "gaussian"})
    with pytest.raises(ConfigError, match="semantic_duplicates"):
        curate(**how, id="id", edges=edges, plan={"deduplicate": ["semantic_duplicates"]})
    pl.DataFrame({"source": ["a"], "to": ["b"], "weight": [1.0]}).write_csv(folder / "wrong.csv")
    with pytest.raises(ColumnError, match="target"):
        curate(**how, id="id", edges=str(folder / "wrong.csv"))
    assert not (folder / "s" / "artifacts").exists()
    pl.DataFrame({"source": ["x"], "target": ["y"]}).write_csv(folder / "strange.csv")
    with pytest.raises(InputError, match="'x'"):
        curate(**how, id="id", edges=str(folder / "strange.csv"))
