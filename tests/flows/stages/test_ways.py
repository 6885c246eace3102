"""Seeds, label noise and contamination, from the command line to the store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.flows.running.runner import curate
from assay.flows.stages import artifacts
from assay.flows.stages.run import resolve_run
from assay.storage.errors import AssayError, IdError, InputError

CENTERS = np.eye(3, 12) * 4


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    """Three clusters of 60 rows; labels that name them, a fifth of "a" called "b"."""
    rng = np.random.default_rng(3)
    cluster = np.repeat([0, 1, 2], 60)
    X = CENTERS[cluster] + rng.normal(size=(180, 12))
    labels = np.array(list("abc"))[cluster]
    labels[:12] = "b"
    path = tmp_path / "pool.parquet"
    frame = {"id": [f"r{i:03}" for i in range(180)], "v": X.tolist(), "label": labels}
    pl.DataFrame(frame).write_parquet(path)
    return path


def command(*arguments: Any) -> Any:
    return CliRunner().invoke(app, ["curate", *map(str, arguments)], catch_exceptions=True)


def test_like_from_the_command_line(pool: Path, tmp_path: Path) -> None:
    store = tmp_path / "s"
    how = ("--pool", pool, "--id", "id", "--vector", "v", "--store", store, "--json")
    done = command(*how, "--like", "r070,r100", "--budget", 30)
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["select"] == "top"
    assert "like" in summary["scores"]
    chosen = set(pl.read_parquet(pool)["id"][60:120])
    from assay.storage import ScoreStore

    query = ScoreStore(store).sql
    assert set(query("SELECT sample_id FROM latest_selection")["sample_id"]) <= chosen
    (like,) = query("SELECT config->>'like' FROM runs").row(0)
    assert json.loads(like) == ["r070", "r100"]
    # other seeds are another run
    again = command(*how, "--like", "r000", "--budget", 30)
    assert json.loads(again.stdout.splitlines()[-1])["run_id"] != summary["run_id"]


def test_like_is_personalized_pagerank(pool: Path, tmp_path: Path) -> None:
    fixed: dict[str, Any] = {
        "pool": str(pool),
        "id": "id",
        "vector": "v",
        "store": str(tmp_path / "s"),
    }
    result = curate(**fixed, like=["r150"], scores=["like"], budget=5)
    from assay.flows import CurationConfig

    run = resolve_run(CurationConfig(**fixed, like=("r150",), scores=("like",), budget=5))
    (path,) = (result.store.path / "artifacts" / "graph").iterdir()
    graph = artifacts.load_graph(run, artifacts.Ref("graph", path.name))
    names = [str(name) for name in graph.ids]
    seed = {names.index("r150"): 1}
    expected = nx.pagerank(
        nx.from_scipy_sparse_array(graph.to_scipy()), personalization=seed, tol=1e-12, max_iter=1000
    )
    stored = dict(result.sql("SELECT sample_id, score FROM scores WHERE method = 'like'").rows())
    assert {names[n]: pytest.approx(v, abs=1e-7) for n, v in expected.items()} == stored


def test_unknown_seeds_are_refused_before_any_work(pool: Path, tmp_path: Path) -> None:
    store = tmp_path / "s"
    how: dict[str, Any] = {"pool": str(pool), "id": "id", "vector": "v", "store": str(store)}
    with pytest.raises(IdError, match="'nobody'"):
        curate(**how, like=["r001", "nobody"])
    assert not (store / "artifacts").exists()
    with pytest.raises(InputError, match="--like"):
        curate(**how, scores=["like"])


def test_noise_weight_finds_wrong_labels_and_tells_the_transition(
    pool: Path, tmp_path: Path
) -> None:
    result = curate(
        pool=str(pool), id="id", vector="v", label="label", store=str(tmp_path / "s"),
        scores=["noise_weight"], select="random", budget=10,
    )  # fmt: skip
    scores = result.sql("SELECT score FROM scores ORDER BY sample_id")["score"].to_numpy()
    assert scores.mean() == pytest.approx(1)
    wrong = np.arange(180) < 12
    assert roc_auc_score(wrong, -scores) > 0.99
    metrics = dict(result.sql("SELECT name, value FROM metrics").iter_rows())
    assert metrics["noise_weight.transition.a.b"] == pytest.approx(0.2, abs=0.05)
    assert metrics["noise_weight.transition.c.c"] == pytest.approx(1, abs=0.02)
    assert metrics["noise_weight.noise"] == pytest.approx(12 / 180, abs=0.02)


def test_the_cutoff_is_what_the_posterior_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    X = rng.normal(size=(400, 6)).astype(np.float32)
    X[:20] *= 12
    path = tmp_path / "pool.parquet"
    pl.DataFrame({"id": [f"{i:03}" for i in range(400)], "v": X.tolist()}).write_parquet(path)
    done = command(
        *("--pool", path, "--id", "id", "--vector", "v", "--store", tmp_path / "s", "--json"),
        *("--cutoff", "contamination", "--budget", "50%", "--select", "random"),
    )
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout.splitlines()[-1])
    share = summary["metrics"]["contamination.mean"]["value"]
    left_out = [row["n"] for row in summary["reasons"] if row["reason"] == "contamination"]
    assert left_out == [round(share * 400)]
    assert {"outlierness", "lof", "mahalanobis"} <= set(summary["scores"])
    low = summary["metrics"]["contamination.low"]["value"]
    assert low <= share <= summary["metrics"]["contamination.high"]["value"]
    assert 0.03 < share < 0.1


def test_influence_is_a_reward_of_a_run(pool: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        f'pool = "{pool}"\nid = "id"\nvector = "v"\nlabel = "label"\nselect = "bandit"\n'
        f'scores = []\nbudget = 20\nstore = "{tmp_path / "s"}"\noptions = {{ reward = "influence" }}\n'
    )
    done = command(config, "--json")
    assert done.exit_code == 0, done.output
    metrics = json.loads(done.stdout.splitlines()[-1])["metrics"]
    assert metrics["reward_selected"]["value"] > metrics["reward_pool"]["value"]


def test_the_flow_of_like_from_the_command_line_and_from_toml(pool: Path, tmp_path: Path) -> None:
    store = tmp_path / "s"
    how = ("--pool", pool, "--id", "id", "--vector", "v", "--store", store, "--json")
    flow = ("--score-option", "like.method=flow", "--score-option", "like.size=25")
    done = command(*how, "--like", "r070,r100", *flow, "--budget", 20)
    assert done.exit_code == 0, done.output
    first = json.loads(done.stdout.splitlines()[-1])["run_id"]
    from assay.index import SimilarityGraph
    from assay.selection import Like
    from assay.storage import ScoreStore

    query = ScoreStore(store).sql
    stored = dict(query("SELECT sample_id, score FROM scores WHERE method = 'like'").rows())
    (path,) = (store / "artifacts" / "graph").iterdir()
    graph = SimilarityGraph.load(path)
    scorer = Like(seeds=["r070", "r100"], method="flow", size=25).fit(graph=graph)
    assert stored == dict(zip(map(str, graph.ids), scorer.scores_, strict=True))
    assert 0 < sum(score > 0 for score in stored.values()) < 60
    config = tmp_path / "c.toml"
    config.write_text(
        f'pool = "{pool}"\nid = "id"\nvector = "v"\nstore = "{store}"\nbudget = 20\n'
        'like = ["r070", "r100"]\n[score_options.like]\nmethod = "flow"\nsize = 25\n'
    )
    again = json.loads(command(config, "--json").stdout.splitlines()[-1])
    assert again["run_id"] == first
    assert not again["computed"]
    # other parameters are another run, whose scores are its own
    other = json.loads(command(*how, "--like", "r070,r100", "--budget", 20).stdout.splitlines()[-1])
    assert other["run_id"] != first
    assert query('SELECT min("like") > 0 FROM latest_scores').item() is True


def test_the_local_cluster_of_seeds_from_the_command_line(pool: Path, tmp_path: Path) -> None:
    store = tmp_path / "s"
    how = ("--pool", pool, "--id", "id", "--vector", "v", "--store", store, "--json")
    cluster = ("--score-option", "like.method=cluster", "--score-option", "like.size=30")
    done = command(*how, "--like", "r070,r100", *cluster, "--select", "top", "--budget", 30)
    assert done.exit_code == 0, done.output
    from assay.index import SimilarityGraph
    from assay.index.algorithms.flow_diffusion import neighborhood
    from assay.storage import ScoreStore

    query = ScoreStore(store).sql
    stored = query("SELECT sample_id, score FROM scores WHERE method = 'like' ORDER BY score DESC")
    (path,) = (store / "artifacts" / "graph").iterdir()
    graph = SimilarityGraph.load(path)
    ids = np.array(list(map(str, graph.ids)))
    seeds = np.flatnonzero(np.isin(ids, ["r070", "r100"]))
    members = neighborhood(graph.indptr, graph.indices, graph.weights, seeds, 30)
    assert stored["sample_id"].to_list()[:30] == ids[members].tolist()
    assert stored["score"].to_list()[:30] == pytest.approx(1 - np.arange(30) / 30)
    assert stored["score"].to_list()[30:] == [0.0] * 150


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"score_options": {"like": {"method": "walk"}}}, "method is 'walk'"),
        ({"score_options": {"like": {"alpha": 1.5}}}, "alpha is 1.5"),
        ({"score_options": {"like": {"methods": "flow"}}}, "Did you mean 'method'"),
        ({"score_options": {"like": {"seeds": ["r002"]}}}, "no option of like 'seeds'"),
        ({"score_options": {"lof": {"k": 3}}}, "'lof'"),
        ({"select": "bandit", "options": {"reward": "influence"}}, "--label"),
        ({"select": "bandit", "scores": [], "like": []}, "--target.* or .*--difficulty"),
        ({"select": "bandit", "options": {"reward": "x"}, "difficulty": "like"}, "reward is 'x'"),
        ({"select": "bandit", "options": {"arms": "groups"}, "difficulty": "like"}, "--group"),
        ({"select": "k_center", "options": {"metric": "l9"}}, "metric is 'l9'"),
        ({"plan": {"deduplicate": [{"name": "pivot_duplicates", "n_pivots": 0}]}}, "n_pivots is 0"),
    ],
)
def test_wrong_parameters_are_refused_before_any_work(
    pool: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    store = tmp_path / "s"
    how: dict[str, Any] = {"pool": str(pool), "id": "id", "vector": "v", "store": str(store)}
    with pytest.raises(AssayError, match=message):
        curate(**how | {"like": ["r001"]} | settings)
    assert not (store / "artifacts").exists()


def test_weigh_noise_from_the_command_line_and_toml(pool: Path, tmp_path: Path) -> None:
    store = tmp_path / "s"
    fixed = ("--pool", pool, "--id", "id", "--vector", "v", "--store", store, "--json")
    how = ("--select", "random", "--budget", "100%")
    done = command(*fixed, *how, "--label", "label", "--weigh", "noise")
    assert done.exit_code == 0, done.output
    from assay.storage import ScoreStore

    query = ScoreStore(store).sql
    rows = query(
        "SELECT reason, selected, weight, noise_weight, sample_id FROM latest_decisions "
        "JOIN latest_scores USING (pool, sample_id) LEFT JOIN latest_selection USING (pool, sample_id)"
    )
    assert set(rows["reason"]) == {"selected", "label_noise"}
    chosen = rows.filter("selected")
    np.testing.assert_array_equal(chosen["weight"], chosen["noise_weight"])
    left_out = rows.filter(reason="label_noise")
    assert (left_out["noise_weight"] < 1e-3).all()
    assert set(left_out["sample_id"]) <= {f"r{i:03}" for i in range(12)}
    metrics = dict(query("SELECT name, value FROM metrics").iter_rows())
    assert metrics["noise.rate"] == pytest.approx(12 / 180, abs=0.02)
    config = tmp_path / "run.toml"
    config.write_text(
        'select = "random"\nbudget = "100%"\nlabel = "label"\n[plan]\nweigh = "noise"\n'
    )
    again = command(config, *fixed)
    run_ids = [json.loads(run.stdout.splitlines()[-1])["run_id"] for run in (done, again)]
    assert run_ids[0] == run_ids[1]
    refused = command(*fixed, *how, "--weigh", "noise")
    assert "labels (--label)" in str(refused.exception)
    # alone, and before a configuration, the option weighs by the pool
    plain = command("--weigh", config, *fixed)
    assert plain.exit_code == 0, plain.output
    assert query("SELECT sum(weight) FROM latest_selection").item() == 180
