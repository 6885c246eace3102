"""Recipes end to end on small pools, each against its method written out by hand."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.flows.config.curation import CurationConfig, PlanConfig
from assay.flows.config.recipe import recipe, recipes, with_recipe
from assay.flows.running.runner import curate
from assay.selection import DclmQuality, ImportanceScorer, RoundRobinSelector
from assay.storage.errors import ColumnError, ConfigError

runner = CliRunner()
N = 240


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return paths of a pool of vectors with near copies, and of a target."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 6)).astype(np.float32)
    X[200:] = X[:40] + rng.normal(size=(40, 6)).astype(np.float32) * 0.05
    folder = tmp_path_factory.mktemp("vectors")
    pl.DataFrame(
        {
            "id": [f"{i:03}" for i in range(N)],
            "vec": X.tolist(),
            "quality": rng.random(N),
            "complexity": rng.random(N),
        }
    ).write_parquet(folder / "pool.parquet")
    target = (rng.normal(size=(7, 6)) + 0.5).astype(np.float32)
    pl.DataFrame({"vec": target.tolist()}).write_parquet(folder / "target.parquet")
    return {"pool": str(folder / "pool.parquet"), "target": str(folder / "target.parquet")}


def chosen(result: Any) -> list[str]:
    query = "SELECT sample_id FROM latest_selection ORDER BY position"
    return result.sql(query)["sample_id"].to_list()


def cosines(pool: pl.DataFrame) -> np.ndarray:
    X = np.array(pool["vec"].to_list(), dtype=np.float64)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X @ X.T


def greedy(similar: np.ndarray, order: Any, threshold: float) -> list[int]:
    """Rows in order, each unless one before it that stays is as similar as the threshold."""
    kept: list[int] = []
    for row in order:
        if not kept or similar[row, kept].max() < threshold:
            kept.append(int(row))
    return kept


def run(places: dict[str, str], tmp_path: Path, name: str, **settings: Any) -> Any:
    given = {"pool": places["pool"], "id": "id", "vector": "vec", "store": str(tmp_path / "s")}
    return curate(**{**given, "recipe": name, **settings})


def test_deita_takes_the_best_rows_unlike_those_before(places, tmp_path) -> None:
    pool = pl.read_parquet(places["pool"])
    score = (pool["quality"] * pool["complexity"]).to_numpy()
    kept = greedy(cosines(pool), np.argsort(-score, kind="stable"), 0.9)
    assert len(kept) < N - 30
    found = chosen(run(places, tmp_path, "deita", budget=50))
    assert found == [pool["id"][row] for row in kept[:50]]


def test_deita_with_coverage_chooses_among_the_better_half(places, tmp_path) -> None:
    pool = pl.read_parquet(places["pool"])
    score = (pool["quality"] * pool["complexity"]).to_numpy()
    found = chosen(run(places, tmp_path, "deita-coverage", budget=30))
    better = set(pool["id"].gather(np.argsort(-score)[: N // 2]))
    assert len(found) == 30
    assert set(found) <= better
    # not simply the best of them
    assert set(found) != set(pool["id"].gather(np.argsort(-score)[:30]))


def test_rds_lets_the_target_rows_take_turns(places, tmp_path) -> None:
    pool, target = (pl.read_parquet(places[name]) for name in ("pool", "target"))
    result = run(places, tmp_path, "rds", target=places["target"], budget=45)
    direct = RoundRobinSelector(budget=45).fit(
        np.array(pool["vec"].to_list(), np.float32),
        target=np.array(target["vec"].to_list(), np.float32),
        ids=pool["id"],
    )
    assert chosen(result) == pool["id"].gather(direct.indices_).to_list()
    detail = result.sql("SELECT detail FROM latest_decisions WHERE selected LIMIT 1")["detail"][0]
    assert {"target", "round", "similarity"} <= set(json.loads(detail))


def test_semdedup_keeps_every_row_but_semantic_duplicates(places, tmp_path) -> None:
    plan = {"deduplicate": [{"name": "semantic_duplicates", "threshold": 0.95}]}
    result = run(places, tmp_path, "semdedup", plan=plan)
    pool = pl.read_parquet(places["pool"])
    scores = result.sql("SELECT sample_id, prototypicality AS p FROM latest_scores").sort(
        "sample_id"
    )
    kept = greedy(cosines(pool), np.argsort(scores["p"].to_numpy(), kind="stable"), 0.95)
    assert sorted(chosen(result)) == sorted(pool["id"][row] for row in kept)
    reasons = result.sql("SELECT reason, count(*) AS n FROM latest_decisions GROUP BY 1 ORDER BY 2")
    assert dict(reasons.rows()) == {"semantic_duplicates": N - len(kept), "selected": len(kept)}


def test_d4_keeps_the_least_prototypical_of_those(places, tmp_path) -> None:
    plan = {"deduplicate": [{"name": "semantic_duplicates", "threshold": 0.95}]}
    result = run(places, tmp_path, "d4", plan=plan)
    pool = pl.read_parquet(places["pool"])
    scores = result.sql("SELECT sample_id, prototypicality AS p FROM latest_scores").sort(
        "sample_id"
    )
    order = np.argsort(scores["p"].to_numpy(), kind="stable")
    kept = greedy(cosines(pool), order, 0.95)
    assert chosen(result) == [pool["id"][row] for row in kept[: N // 2]]


def test_dclm_takes_the_top_of_the_classifier(settings, tmp_path) -> None:
    result = curate(**{**settings, "recipe": "dclm", "store": str(tmp_path / "s")})
    pool = pl.read_parquet(settings["pool"]).filter(pl.col("text").str.strip_chars() != "")
    target = pl.read_parquet(settings["target"])
    scorer = DclmQuality().fit(pool["text"], target=target["text"], ids=pool["id"])
    order = pool.with_columns(s=scorer.scores_).sort(["s", "id"], descending=[True, False])
    found = chosen(result)
    assert len(found) == 60
    assert found == order["id"][:60].to_list()
    # health answers are wanted
    domains = pool.filter(pl.col("id").is_in(found))["domain"]
    assert (domains == "health_qa").mean() > 0.9
    named = result.sql("SELECT value FROM metrics WHERE name LIKE '%auroc%'")
    assert named["value"][0] > 0.8


def test_dsir_diverse_covers_the_likeliest_rows(settings, tmp_path) -> None:
    pool = pl.read_parquet(settings["pool"]).filter(pl.col("text").str.strip_chars() != "")
    twice = pool.head(20).with_columns(pl.col("id") + "-copy", pl.col("text") + " ")
    pl.concat([pool, twice]).write_parquet(tmp_path / "pool.parquet")
    own = {"recipe": "dsir-diverse", "pool": str(tmp_path / "pool.parquet"), "budget": 15}
    result = curate(**{**settings, **own, "store": str(tmp_path / "s")})
    found = chosen(result)
    assert len(found) == 15
    frame = pl.concat([pool, twice]).sort("id")
    target = pl.read_parquet(settings["target"])["text"]
    scores = ImportanceScorer().fit(frame["text"], target=target, ids=frame["id"]).scores_
    likely = set(frame["id"].gather(np.argsort(-scores)[: int(0.5 * len(frame))]))
    assert set(found) <= likely
    assert not {name.removesuffix("-copy") for name in found if name.endswith("-copy")} & set(found)
    reasons = set(result.sql("SELECT DISTINCT reason FROM latest_decisions")["reason"])
    assert {"near_duplicates", "hard_cutoff", "selected"} <= reasons


def test_own_keys_override_those_of_a_recipe() -> None:
    made = CurationConfig.build({"recipe": "deita", "plan": {"keeper": "id"}, "seed": 3})
    assert (made.recipe, made.select, made.plan.keeper) == (None, "top", "id")
    assert made.plan.steps() == [("semantic_duplicates", {"threshold": 0.9})]
    typed = CurationConfig(recipe="deita", plan=PlanConfig(cutoff=0.1))
    assert (typed.plan.cutoff, typed.plan.keeper) == (0.1, "assay.deita desc")
    # parameters of a selector that is not taken go with it
    other = CurationConfig.build({"recipe": "rds", "select": "transport"})
    assert (other.select, other.options) == ("transport", {})
    assert CurationConfig.build({"recipe": "rds"}).options == {"whiten": False}
    assert with_recipe({"seed": 1}) == {"seed": 1}


def test_a_recipe_that_is_not_there_is_named_with_the_likely_one(places) -> None:
    with pytest.raises(ColumnError, match=r"no recipe 'dietta'.*Did you mean 'deita'\?"):
        CurationConfig.build({"recipe": "dietta"})
    with pytest.raises(ConfigError, match="recipe is 3; pass the name of one"):
        CurationConfig.build({"recipe": 3})
    result = runner.invoke(app, ["curate", "--recipe", "dsir_diverse", "--pool", places["pool"]])
    assert isinstance(result.exception, ColumnError)
    assert "Did you mean 'dsir-diverse'" in str(result.exception)


def test_the_command_line_starts_from_a_recipe_and_saves_the_whole_plan(places, tmp_path) -> None:
    call = ["curate", "--recipe", "deita", "--pool", places["pool"], "--id", "id", "--vector", "vec",
            "--budget", "20", "--option", "semantic_duplicates.threshold=0.8",
            "--store", str(tmp_path / "store"), "--save-config", str(tmp_path / "run.toml"),
            "--json"]  # fmt: skip
    first = runner.invoke(app, call)
    assert first.exit_code == 0, first.output
    values = tomllib.loads((tmp_path / "run.toml").read_text())
    assert "recipe" not in values
    assert values["plan"]["deduplicate"] == [{"name": "semantic_duplicates", "threshold": 0.8}]
    assert values["expressions"] == {"deita": "quality * complexity"}
    again = runner.invoke(app, ["curate", str(tmp_path / "run.toml"), "--json"])
    assert json.loads(again.stdout)["run_id"] == json.loads(first.stdout)["run_id"]
    (tmp_path / "own.toml").write_text(
        f'recipe = "deita"\npool = "{places["pool"]}"\nid = "id"\nvector = "vec"\nbudget = 20\n'
        f'store = "{tmp_path / "store"}"\n[plan]\n'
        'deduplicate = [{ name = "semantic_duplicates", threshold = 0.8 }]\n'
    )
    third = runner.invoke(app, ["curate", str(tmp_path / "own.toml"), "--json"])
    assert json.loads(third.stdout)["run_id"] == json.loads(first.stdout)["run_id"]


def test_recipes_are_listed_with_their_sources() -> None:
    told = runner.invoke(app, ["recipes"]).stdout
    listed = json.loads(runner.invoke(app, ["recipes", "--json"]).stdout)["recipes"]
    assert [each["name"] for each in listed] == [each.name for each in recipes()]
    for each in recipes():
        assert each.name in told
        assert each.source in told
        page = runner.invoke(app, ["recipes", each.name], env={"COLUMNS": "100"}).stdout
        plan = tomllib.loads(page[page.index("\n\n", page.index("Source: ")) :])
        assert plan == each.settings == recipe(each.name).settings
        CurationConfig.build({"recipe": each.name})


def test_the_documentation_has_every_recipe() -> None:
    page = (Path(__file__).parents[2] / "docs" / "site" / "recipes.md").read_text(encoding="utf-8")
    for each in recipes():
        assert f"## {each.name}\n" in page
        assert each.source.partition(",")[0] in page
