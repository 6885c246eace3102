"""Plans: every row decided once, constraints met exactly, order of rows without effect."""

from __future__ import annotations

import itertools
import json

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from assay.index import SimilarityGraph
from assay.selection import (
    CoverageCentricSelector,
    FacilityLocationSelector,
    RandomSelector,
    SelectionPlan,
    registry,
)
from assay.selection.contract.budgets import ShortfallWarning
from assay.selection.contract.subsets import induced
from assay.storage.errors import (
    BudgetError,
    ColumnError,
    ConfigError,
    IdError,
    InputError,
    MissingInputError,
)
from tests.data import shared

N = 400
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 8)).astype(np.float32)
X[200:240] = X[:40]
IDS = pl.Series("id", [f"r{i:03}" for i in RNG.permutation(N)])
TABLE = pl.DataFrame(
    {
        "source": RNG.choice(["web", "book", "mail", None], N, p=[0.7, 0.2, 0.05, 0.05]),
        "tokens": RNG.integers(1, 100, N),
        "text": [f"text {i % 350}" for i in range(N)],
    }
)
SCORES = {"hard": RNG.normal(size=N), "rare": RNG.random(N)}
GRAPH = SimilarityGraph.from_vectors(X, ids=IDS, k=6)


def plan(**settings):
    return SelectionPlan(**{"budget": 50, "selector": "facility_location", **settings})


def fit(made, order=None):
    """Fit on the pool, or on the pool in another order."""
    order = np.arange(N) if order is None else order
    graph = GRAPH if len(order) == N and (order == np.arange(N)).all() else None
    return made.fit(
        X[order],
        texts=TABLE["text"][order],
        graph=graph or SimilarityGraph.from_vectors(X[order], ids=IDS[order], k=6),
        scores={name: values[order] for name, values in SCORES.items()},
        ids=IDS[order],
        table=TABLE[order],
    )


def check_decisions(made) -> pl.DataFrame:
    told = made.decisions()
    assert told.height == N
    chosen = told.with_row_index("row").filter("selected")
    position = chosen["detail"].str.json_path_match("$.position").cast(pl.Int64).to_numpy()
    np.testing.assert_array_equal(made.indices_, chosen["row"].to_numpy()[np.argsort(position)])
    assert sorted(position) == list(range(1, len(made.indices_) + 1))
    assert told.filter(~pl.col("selected"))["reason"].null_count() == 0
    return told


@pytest.mark.parametrize(
    ("selector", "make"),
    [
        ("facility_location", FacilityLocationSelector),
        ("random", RandomSelector),
        ("ccs", CoverageCentricSelector),
    ],
)
def test_without_constraints_a_plan_is_its_selector(selector, make) -> None:
    alone = make(budget=50, random_state=3)
    alone.fit(X, graph=GRAPH, scores=SCORES["hard"], ids=IDS)
    made = fit(plan(selector=selector, difficulty="hard", random_state=3))
    np.testing.assert_array_equal(made.indices_, alone.indices_)
    told = check_decisions(made)
    assert told["reason"].to_list() == alone.decisions()["reason"].to_list()
    out = told.filter(~pl.col("selected"))["detail"].str.json_decode(
        pl.Struct({"nearest": pl.String, "similarity": pl.Float64}), infer_schema_length=None
    )
    names = set(IDS[made.indices_].to_list())
    seen = out.struct.field("nearest").drop_nulls()
    assert len(seen)
    assert set(seen) <= names


EVERYTHING = {
    "filters": ["tokens >= 5", "source is not null"],
    "deduplicate": ["exact_duplicates"],
    "keeper": "tokens desc",
    "cutoff": 0.1,
    "difficulty": "hard",
    "blend": {"hard": 1.0, "rare": -2.0},
    "by": "source",
    "quotas": {"web": 0.5},
    "minima": {"mail": 5},
    "must_include": IDS[:3].to_list(),
    "must_exclude": [IDS[3]],
    "weigh": True,
}
SELECTORS = ["facility_location", "random", "ccs", "top"]


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("cost", [None, "tokens"])
def test_everything_at_once(selector, cost) -> None:
    budget = 60 if cost is None else 3_000
    minima = {"mail": 5 if cost is None else 100}
    made = fit(
        plan(**{**EVERYTHING, "minima": minima}, selector=selector, cost=cost, budget=budget)
    )
    told = check_decisions(made)
    chosen = np.zeros(N, bool)
    chosen[made.indices_] = True
    unit = np.ones(N) if cost is None else TABLE["tokens"].to_numpy()
    spent = unit[chosen].sum()
    assert spent == made.report_["spent"]
    assert spent == 60 if cost is None else 3_000 - 100 < spent <= 3_000
    web = (TABLE["source"] == "web").fill_null(False).to_numpy()
    mail = (TABLE["source"] == "mail").fill_null(False).to_numpy()
    assert unit[chosen & web].sum() <= budget / 2
    least = min(minima["mail"], unit[mail & made.kept_].sum())
    assert unit[chosen & mail].sum() >= least
    assert IDS[made.indices_[:3]].to_list() == IDS[:3].sort().to_list()
    assert told["reason"][3] == "must_exclude"
    rule = told.filter(pl.col("detail").str.contains("tokens >= 5"))["detail"]
    assert all(json.loads(d)["value"] < json.loads(d)["threshold"] == 5 for d in rule)
    assert sum(made.report_["stages"].values()) == N - made.kept_.sum()
    assert made.weights_.sum() == made.kept_.sum()
    assert np.isnan(made.scores_[~made.kept_]).all()
    order = np.random.default_rng(1).permutation(N)
    moved = fit(
        plan(**{**EVERYTHING, "minima": minima}, selector=selector, cost=cost, budget=budget), order
    )
    np.testing.assert_array_equal(order[moved.indices_], made.indices_)
    np.testing.assert_array_equal(moved.weights_, made.weights_)
    assert moved.decisions()["detail"].to_list() == told["detail"].gather(order).to_list()


def test_duplicates_name_their_keeper() -> None:
    made = fit(plan(deduplicate=["exact_duplicates"], keeper="tokens desc"))
    told = check_decisions(made)
    out = told.with_row_index("row").filter(pl.col("reason") == "exact_duplicates")
    assert out.height == 50
    tokens = dict(zip(IDS, TABLE["tokens"], strict=True))
    texts = dict(zip(IDS, TABLE["text"], strict=True))
    for row, detail in out.select("row", "detail").iter_rows():
        keeper, name = json.loads(detail)["keeper"], IDS[row]
        assert texts[keeper] == texts[name]
        assert (-tokens[keeper], keeper) < (-tokens[name], name)


def test_passed_over_rows_say_why() -> None:
    made = fit(plan(selector="top", difficulty="rare", by="source", quotas={"web": 5}))
    told = check_decisions(made)
    web = (TABLE["source"] == "web").fill_null(False).to_numpy()
    order = np.argsort(-SCORES["rare"])
    last = np.flatnonzero(np.isin(order, made.indices_)).max()
    full = np.setdiff1d(order[:last][web[order[:last]]], made.indices_)
    assert (told["reason"] == "quota").to_numpy().nonzero()[0].tolist() == sorted(full)
    assert (told["reason"].gather(order[last + 1 :]) == "lower_score").all()


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({"quotas": {"web": 5}}, 5),
        ({"quotas": {"*": 0.3}, "budget": 45}, 13),
        ({"quotas": {"web": 0.3}, "cost": "tokens", "budget": 333}, 0.3 * 333),
        ({"mixture": {"web": 0.2, "mail": 0.8}, "budget": 30}, 6),
    ],
)
def test_a_quotas_detail_holds_the_group_and_its_limit(given, limit) -> None:
    made = fit(plan(selector="top", difficulty="rare", by="source", **given))
    told = check_decisions(made).with_row_index("row").filter(pl.col("reason") == "quota")
    details = [json.loads(detail) for detail in told["detail"]]
    groups = [detail["group"] for detail in details]
    sources = TABLE["source"].gather(told["row"]).to_list()
    assert "web" in groups
    assert [g for g in groups if g != "(none)"] == [
        s for s, g in zip(sources, groups, strict=True) if g != "(none)"
    ]
    assert {d["limit"] for d in details if d["group"] == "web"} == {limit}


@pytest.mark.parametrize(
    ("rule", "value", "threshold"),
    [
        ("length(text) > 7", lambda table: table["text"].str.len_chars(), 7),
        ("7 < length(text)", lambda table: table["text"].str.len_chars(), 7),
        ("tokens * 2 <= 1e2", lambda table: table["tokens"] * 2, 100),
        ("row_number() over (order by tokens, text, source) > 10", None, 10),
    ],
)
def test_a_filters_detail_holds_the_value_and_the_threshold(rule, value, threshold) -> None:
    made = fit(plan(filters=[rule]))
    told = check_decisions(made).with_row_index("row").filter(pl.col("reason") == "filter")
    details = [json.loads(detail) for detail in told["detail"]]
    assert details
    assert {(d["rule"], d["threshold"]) for d in details} == {(rule, threshold)}
    values = [d["value"] for d in details]
    if value is None:
        assert sorted(values) == list(range(1, 11))
    else:
        assert values == value(TABLE).gather(told["row"]).to_list()


@pytest.mark.parametrize("rule", ["tokens > 5 and tokens < 60", "source = 'web'"])
def test_other_filters_have_their_rule_alone(rule) -> None:
    told = check_decisions(fit(plan(filters=[rule]))).filter(pl.col("reason") == "filter")
    assert {tuple(json.loads(d).items()) for d in told["detail"]} == {(("rule", rule),)}


def test_a_pool_that_is_too_small_is_told() -> None:
    with pytest.warns(ShortfallWarning, match="leaves only"):
        made = fit(plan(budget=200, filters=["tokens > 70"]))
    assert made.report_["shortfall"] == 200 - len(made.indices_) > 0
    check_decisions(made)
    with pytest.raises(BudgetError, match="strict=False"):
        fit(plan(budget=200, filters=["tokens > 70"], strict=True))
    with pytest.raises(InputError, match="leaves no row to select from"):
        fit(plan(filters=["tokens > 1000"]))


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"must_include": ["r001", "zz"]}, IdError, "'zz'"),
        ({"must_include": ["r001"], "must_exclude": ["r001"]}, ConfigError, "choose one"),
        ({"must_include": IDS[:60].to_list()}, BudgetError, "must-include"),
        ({"by": "source", "quotas": {"webb": 1}}, ConfigError, "there are: book, mail, web"),
        ({"by": "sauce", "quotas": {"web": 1}}, ColumnError, "sauce"),
        ({"quotas": {"web": 1}}, MissingInputError, "name `by`"),
        (
            {"by": "source", "quotas": {"web": 1}, "minima": {"web": 2}},
            BudgetError,
            "above its quota",
        ),
        ({"by": "source", "minima": {"*": 30}}, BudgetError, "minima come to"),
        ({"cutoff": 0.1}, MissingInputError, "name one of the scores"),
        ({"difficulty": "hardd"}, ColumnError, "hard"),
        ({"blend": {"x": 1}}, ColumnError, "score"),
        ({"cost": "token"}, ColumnError, "tokens"),
        ({"options": {"bins": 2}}, ConfigError, "no parameter 'bins'"),
        ({"selector": "best"}, ColumnError, "best"),
        ({"deduplicate": ["twins"]}, ColumnError, "twins"),
    ],
)
def test_what_is_wrong_is_told(settings, error, told) -> None:
    with pytest.raises(error) as raised:
        fit(plan(**settings))
    assert told in str(raised.value)


def test_induced_graph_is_that_of_the_rows() -> None:
    rows = np.sort(RNG.choice(N, 150, replace=False))
    part = induced(GRAPH, rows)
    dense = GRAPH.to_scipy().toarray()[np.ix_(rows, rows)]
    from scipy.sparse import csr_matrix

    made = csr_matrix((part.weights, part.indices, part.indptr), shape=(150, 150))
    np.testing.assert_array_equal(made.toarray(), dense)
    for i, row in enumerate(rows):
        expected = [np.searchsorted(rows, j) for j in GRAPH.neighbors[row] if j in set(rows)]
        assert part.neighbors[i][: len(expected)].tolist() == expected
        assert (part.neighbors[i][len(expected) :] == -1).all()


def test_every_selector_can_be_driven() -> None:
    given = {"difficulty": "hard", "by": "source", "quotas": {"web": 20}}
    for entry in registry.entries("selector"):
        if {"texts", "target", "labels"} & set(entry.needs):
            continue
        made = fit(plan(selector=entry.name, budget=30, **given))
        assert len(made.indices_) == 30, entry.name
        check_decisions(made)


def test_quotas_on_images() -> None:
    table = pq.read_table(shared("cifar10_vectors.parquet")).slice(0, 3_000)
    names = table.column_names
    vectors = np.stack(table[next(c for c in names if "vec" in c or "emb" in c)].to_numpy())
    labels = table[next(c for c in names if "label" in c or "class" in c)].to_pylist()
    graph = SimilarityGraph.from_vectors(vectors.astype(np.float32), k=10)
    made = SelectionPlan(budget=200, quotas={"*": 0.1}, minima={"*": 0.1}).fit(
        y=labels, graph=graph
    )
    counts = np.unique(np.array(labels)[made.indices_], return_counts=True)[1]
    assert counts.tolist() == [20] * 10


def test_draws_with_replacement_stay_what_they_are() -> None:
    texts = [f"word{i % 7} word{i % 3}" for i in range(60)]
    options = {"replace": True, "temperature": 0.5}
    given = {"target": texts[:6], "ids": [f"{i:02}" for i in range(60)]}
    from assay.selection import ImportanceResampler

    alone = ImportanceResampler(budget=40, **options).fit(texts, **given)
    made = SelectionPlan(budget=40, selector="importance", options=options)
    made.fit(texts=texts, **given)
    assert len(alone.indices_) < 40
    np.testing.assert_array_equal(made.indices_, alone.indices_)
    np.testing.assert_array_equal(made.weights_, alone.weights_)
    assert made.report_["shortfall"] == 0


def test_expressions_are_scores() -> None:
    made = fit(
        plan(
            selector="top",
            expressions={"sql": "tokens * 2", "polars": pl.col("tokens") * 3},
            blend={"sql": 1.0, "polars": 1.0},
            blend_method="none",
        )
    )
    tokens = TABLE["tokens"].to_numpy()
    assert tokens[made.indices_].min() >= np.sort(tokens)[-50]
    np.testing.assert_allclose(made.scores_, tokens * 2.5)
    with pytest.raises(ConfigError, match="name of a column"):
        fit(plan(expressions={"tokens": "1"}))


def test_rows_are_explained_a_part_at_a_time() -> None:
    rng = np.random.default_rng(3)
    n = 400
    X = rng.normal(size=(n, 4)).astype(np.float32)
    ids = [f"r{row}" for row in rng.permutation(n)]
    table = pl.DataFrame({"tokens": rng.integers(0, 9, n)})
    plan = SelectionPlan(
        budget=40, selector="random", filters=["tokens < 7"], deduplicate=["exact_duplicates"],
        must_include=[ids[5]],
    )  # fmt: skip
    plan.fit(X, ids=ids, table=table)
    explained = plan.explained()
    bounds = [0, 1, 130, 131, n]
    parts = [explained.rows(a, b) for a, b in itertools.pairwise(bounds)]
    whole = pl.concat(parts)
    assert whole["row"].to_list() == list(range(n))
    assert whole.drop("row").equals(plan.decisions())
