"""Plans from a configuration: filters, duplicates, constraints and the ledger in the store."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assay.flows import CurationConfig, curate
from assay.flows.stages.run import resolve_run
from assay.storage.errors import ColumnError, ConfigError, InputError

WORDS = [
    "graph",
    "index",
    "score",
    "pool",
    "target",
    "sample",
    "budget",
    "table",
    "query",
    "night",
    "label",
    "vector",
]
RNG = np.random.default_rng(0)
POOL = pl.DataFrame(
    {
        "id": [f"d{i:03}" for i in range(240)],
        "text": [" ".join(RNG.choice(WORDS, RNG.integers(2, 12))) for _ in range(240)],
        "site": RNG.choice(["a", "b", "c"], 240, p=[0.8, 0.15, 0.05]),
        "tokens": RNG.integers(1, 50, 240),
    }
)
POOL = pl.concat([POOL, POOL[:30].with_columns(pl.format("copy-{}", "id").alias("id"))])
TOML = """
id = "id"
text = "text"
budget = 40
select = "facility_location"
scores = ["pagerank"]
keep = ["site"]

[plan]
filters = ["length(text) > 12", "tokens < 45", "pagerank is not null"]
deduplicate = ["exact_duplicates"]
keeper = "tokens desc"
cutoff = 0.1
by = "site"
must_include = ["d000"]
must_exclude = ["d001"]
weigh = true

[plan.quotas]
a = 0.5

[plan.minima]
c = 3
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    POOL.write_parquet(folder / "pool.parquet")
    (folder / "run.toml").write_text(TOML)
    config = CurationConfig.from_toml(
        folder / "run.toml", pool=str(folder / "pool.parquet"), store=str(folder / "store")
    )
    return curate(config), config


def test_every_row_is_decided_once_and_constraints_hold(run) -> None:
    result, _ = run
    told = result.sql("SELECT * FROM latest_decisions")
    assert told.height == POOL.height == told["sample_id"].n_unique()
    assert set(told["reason"]) >= {"selected", "filter", "exact_duplicates", "hard_cutoff", "quota"}
    chosen = result.sql(
        "SELECT sample_id, position, weight, site FROM latest_selection JOIN latest_samples "
        "USING (pool, sample_id) ORDER BY position"
    )
    assert chosen.height == 40
    assert chosen["sample_id"][0] == "d000"
    assert (chosen["site"] == "a").sum() == 20
    assert (chosen["site"] == "c").sum() >= 3
    counts = dict(told.group_by("stage").len().iter_rows())
    seen = POOL.height - counts["filter"] - counts["deduplicate"] - counts["cutoff"]
    assert chosen["weight"].sum() == seen
    tokens = dict(POOL.select("id", "tokens").iter_rows())
    texts = dict(POOL.select("id", "text").iter_rows())
    limits = told.filter(reason="quota")["detail"].str.json_decode(
        pl.Struct({"group": pl.String, "limit": pl.Int64})
    )
    assert limits.unique().to_list() == [{"group": "a", "limit": 20}]
    for name, detail in told.filter(pl.col("reason") == "filter")[
        "sample_id", "detail"
    ].iter_rows():
        rule = json.loads(detail)
        assert ("threshold" in rule) == (rule["rule"] != "pagerank is not null")
        if rule["rule"] == "tokens < 45":
            assert rule["value"] == tokens[name] >= rule["threshold"] == 45
        elif "value" in rule:
            assert rule["value"] == len(texts[name]) <= rule["threshold"] == 12


def test_duplicates_are_stored_with_their_keeper(run) -> None:
    result, _ = run
    found = result.sql("SELECT * FROM duplicates")
    assert found.columns == ["run_id", "group_id", "sample_id", "keeper", "similarity", "kind"]
    keepers = found.filter("keeper")
    assert keepers["group_id"].to_list() == keepers["sample_id"].to_list()
    out = result.sql("SELECT sample_id FROM decisions WHERE reason = 'exact_duplicates'")
    assert sorted(found.filter(~pl.col("keeper"))["sample_id"]) == sorted(out["sample_id"])
    texts = dict(POOL.select("id", "text").iter_rows())
    assert all(texts[g] == texts[s] for g, s in found["group_id", "sample_id"].iter_rows())


def test_the_ledger_stands_beside_random(run) -> None:
    result, _ = run
    ledger = result.sql("SELECT * FROM ledger")
    names = set(ledger["name"])
    assert {"coverage.auc", "facility_location_ratio", "effective_sample_size"} <= names
    assert ledger["after_cutoff"].null_count() < ledger.height
    metrics = dict(result.sql("SELECT name, value FROM metrics").iter_rows())
    for name, value in ledger["name", "value"].iter_rows():
        assert metrics[name] == value
    published = pl.concat([ledger.select("name", "value")])
    assert published.height == len(names)


def test_again_with_the_same_rules_nothing_is_computed(run) -> None:
    result, config = run
    again = curate(config)
    assert not again.computed
    assert again.run_id == result.run_id
    other = config.model_copy(update={"plan": config.plan.model_copy(update={"cutoff": 0.2})})
    assert resolve_run(other).run_id != result.run_id


@pytest.mark.parametrize(
    ("rules", "error", "told"),
    [
        ({"filters": ["size > 3"]}, ConfigError, "'size', which is not there"),
        ({"filters": ["tokens >"]}, ConfigError, "not valid SQL"),
        ({"keeper": "lenght desc"}, ConfigError, "lenght"),
        ({"cost": "words"}, ColumnError, "words"),
        ({"by": "sites"}, ColumnError, "site"),
        ({"deduplicate": "twins"}, ColumnError, "twins"),
        ({"deduplicate": [{"name": "exact_duplicates", "fold": True}]}, ColumnError, "normalise"),
        ({"cutoff": 1.5}, ConfigError, "cutoff"),
        ({"filter": ["tokens > 1"]}, ConfigError, "unknown key"),
    ],
)
def test_wrong_rules_are_told_before_anything_is_computed(
    run, tmp_path, rules, error, told
) -> None:
    _, config = run
    with pytest.raises(error, match=told.replace("(", "\\(")):
        curate(
            CurationConfig.build(
                config.model_dump(exclude={"plan", "store"}, exclude_unset=True)
                | {"plan": rules, "store": str(tmp_path / "store")}
            )
        )
    assert not (tmp_path / "store").exists()


def test_the_budget_may_count_a_column_and_scores_may_be_blended(run, tmp_path) -> None:
    _, config = run
    rules = {"cost": "tokens", "blend": {"pagerank": 1.0, "knn_density": -2.0}}
    result = curate(
        pool=config.pool, id="id", text="text", keep="tokens", select="top", budget=400,
        plan=rules, store=str(tmp_path),
    )  # fmt: skip
    chosen = result.sql(
        "SELECT s.*, p.pagerank, p.knn_density FROM latest_samples s JOIN latest_selection "
        "USING (pool, sample_id) JOIN latest_scores p USING (pool, sample_id)"
    )
    assert 350 < chosen["tokens"].sum() <= 400
    everyone = result.sql("SELECT knn_density FROM latest_scores")
    assert chosen["knn_density"].mean() < everyone["knn_density"].mean()


def test_rows_that_hold_evaluation_items_are_left_out_and_listed(run, tmp_path) -> None:
    _, config = run
    leaked = POOL.filter(pl.col("text").str.count_matches(" ") >= 9)["text"][0]
    pl.DataFrame(
        {"text": [leaked.upper(), "an item that nobody has ever seen before at all"]}
    ).write_csv(tmp_path / "quiz.csv")
    keys = {
        "pool": config.pool, "id": "id", "text": "text", "select": "random", "scores": (), "budget": 50,
        "store": str(tmp_path / "store"),
    }  # fmt: skip
    result = curate(**keys, plan={"leakage": {"quiz": str(tmp_path / "quiz.csv")}})
    leaks = result.sql("SELECT * FROM leaks")
    assert leaks.columns == ["run_id", "sample_id", "evaluation_set", "item", "span", "kind"]
    expected = POOL.filter(pl.col("text") == leaked)["id"]
    assert set(expected) <= set(leaks["sample_id"])
    assert set(leaks["evaluation_set"]) == {"quiz"}
    near = leaks.filter(pl.col("kind") == "neighbor")
    assert set(expected) <= set(near["sample_id"])
    assert near["span"].null_count() == near.height
    leaks = leaks.filter(pl.col("kind") == "span")
    assert leaks["span"].max() == leaked.count(" ") + 1
    out = result.sql("SELECT sample_id FROM decisions WHERE stage = 'leakage'")
    assert sorted(out["sample_id"]) == sorted(leaks["sample_id"])
    # in another order the words are found by how rare they are
    reworded = " ".join(reversed(leaked.split()))
    pl.DataFrame({"text": [reworded]}).write_csv(tmp_path / "reworded.csv")
    words = {"leakage": {"quiz": str(tmp_path / "reworded.csv")}, "leakage_words": 0.9}
    listed = curate(**keys, plan=words).sql("SELECT sample_id, kind FROM leaks")
    assert set(expected) <= set(listed.filter(pl.col("kind") == "words")["sample_id"])
    assert "span" not in listed["kind"].to_list()
    # other items are another run
    pl.DataFrame({"text": ["nothing of the kind is in this pool at all"]}).write_csv(
        tmp_path / "quiz.csv"
    )
    again = curate(**keys, plan={"leakage": {"quiz": str(tmp_path / "quiz.csv")}})
    assert again.computed
    assert again.sql(f"SELECT * FROM leaks WHERE run_id = '{again.run_id}'").is_empty()


def test_expressions_are_scores(run, tmp_path) -> None:
    _, config = run
    keys = {"pool": config.pool, "id": "id", "text": "text", "budget": 10, "select": "top"}
    expressions = {"words": "length(text) - length(replace(text, ' ', '')) + 1"}
    result = curate(
        **keys, scores=(), expressions=expressions, difficulty="words", store=str(tmp_path)
    )
    found = dict(result.sql("SELECT sample_id, words FROM latest_scores").iter_rows())
    assert found == {i: t.count(" ") + 1.0 for i, t in POOL["id", "text"].iter_rows()}
    chosen = result.sql("SELECT sample_id FROM latest_selection")["sample_id"]
    assert min(found[i] for i in chosen) >= sorted(found.values())[-10]
    for wrong in ({"pagerank": "1"}, {"x": "siz"}, {"x": "text ||"}):
        with pytest.raises(ConfigError):
            curate(
                **keys, scores=(), expressions=wrong, difficulty=next(iter(wrong)),
                store=str(tmp_path / "no"),
            )  # fmt: skip
    with pytest.raises(ConfigError, match="pass a number"):
        curate(
            **keys, scores=(), expressions={"x": "text"}, difficulty="x", store=str(tmp_path / "t")
        )


def test_scores_of_a_training_log(run, tmp_path) -> None:
    _, config = run
    right = np.random.default_rng(5).random((POOL.height, 3)) < 0.7
    log = pl.DataFrame({"sample_id": POOL["id"]} | {f"e{i}": right[:, i] for i in range(3)})
    log.write_parquet(tmp_path / "log.parquet")
    keys = {
        "pool": config.pool, "id": "id", "text": "text", "budget": 9, "scores": "forgetting",
        "difficulty": "forgetting", "select": "ccs",
    }  # fmt: skip
    with pytest.raises(InputError, match="--training-log"):
        curate(**keys, store=str(tmp_path / "none"))
    made = curate(**keys, training_log=str(tmp_path / "log.parquet"), store=str(tmp_path / "s"))
    found = dict(made.sql("SELECT sample_id, forgetting FROM latest_scores").iter_rows())
    forgotten = (right[:, :-1] & ~right[:, 1:]).sum(axis=1)
    learnt = right.any(axis=1)
    for name, count, ever in zip(POOL["id"], forgotten, learnt, strict=True):
        if ever:
            assert found[name] == count
        else:
            assert found[name] > forgotten.max()
    log.with_columns(~pl.col("e0")).write_parquet(tmp_path / "log.parquet")
    assert curate(
        **keys, training_log=str(tmp_path / "log.parquet"), store=str(tmp_path / "s")
    ).computed


@pytest.mark.parametrize("cutoff", [0.2, "auto"])
def test_a_cutoff_of_the_plan_is_the_only_one(run, tmp_path, cutoff) -> None:
    _, config = run
    keys = {
        "pool": config.pool, "id": "id", "text": "text", "select": "ccs", "scores": (),
        "expressions": {"words": "length(text)"}, "difficulty": "words", "budget": 27,
    }  # fmt: skip
    made = curate(**keys, plan={"cutoff": cutoff}, store=str(tmp_path / "s"))
    told = made.sql("SELECT reason, count(*) AS n FROM decisions GROUP BY reason")
    share = 0.2 if cutoff == 0.2 else 0.3  # a tenth is kept
    assert dict(told.iter_rows())["hard_cutoff"] == int(share * POOL.height)
    with pytest.raises(ConfigError, match="pass budget"):
        curate(
            **keys | {"budget": 400}, plan={"cutoff": "auto", "cost": "tokens"},
            store=str(tmp_path / "t"),
        )  # fmt: skip


@pytest.mark.parametrize("keep", [(), ("rank", "price", "code")])
def test_a_csv_column_has_one_type_kept_or_not(keep: tuple[str, ...], tmp_path: Path) -> None:
    n = 40
    pl.DataFrame(
        {
            "id": [f"d{i:02}" for i in range(n)],
            "text": [f"{WORDS[i % 12]} {WORDS[(i * 5) % 11]} {i}" for i in range(n)],
            "rank": [i % 13 for i in range(n)],
            "price": [f"{1.5 + i % 7}" for i in range(n)],
            "code": [f"0{i % 9}" for i in range(n)],
        }
    ).write_csv(tmp_path / "pool.csv")
    result = curate(
        pool=str(tmp_path / "pool.csv"), id="id", text="text", keep=keep, budget=40,
        select="random", scores=(), store=str(tmp_path / "store"),
        plan={
            # as text "9" comes after "12", 2.5 + 9 is no sum, and "03" is 3 only as a number
            "filters": ["greatest(rank, 9) = rank", "rank + price > 12", "code <> '03'"],
            "keeper": "rank desc",
        },
    )  # fmt: skip
    chosen = set(result.sql("FROM latest_selection")["sample_id"])
    expected = {
        f"d{i:02}" for i in range(n) if i % 13 >= 9 and i % 13 + 1.5 + i % 7 > 12 and i % 9 != 3
    }
    assert chosen == expected
