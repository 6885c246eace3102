"""What every selector, scorer and ranker of the registry promises."""

from __future__ import annotations

import json
import warnings

import numpy as np
import polars as pl
import pytest
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from assay.index import SimilarityGraph
from assay.selection import registry
from assay.selection.contract.budgets import ShortfallWarning
from assay.selection.contract.inputs import Inputs
from assay.storage.disk.pages import mapping
from assay.storage.errors import (
    AssayError,
    BudgetError,
    ColumnError,
    ConfigError,
    IdError,
    InputError,
    MissingInputError,
    NonFiniteError,
)
from tests.selection.small_graphs import knn

N = 60
WORDS = ["cat", "dog", "stock", "share", "rose", "fell", "the", "a", "again", ","]
# of the kind of the vectors
TARGET = np.random.default_rng(5).integers(-3, 4, size=(6, 5)) + 0.5


def of_kind(kind):
    return pytest.mark.parametrize("entry", registry.entries(kind), ids=lambda entry: entry.name)


selectors, scorers, rankers = of_kind("selector"), of_kind("scorer"), of_kind("ranker")


def inputs(n=N, seed=0, order=None, k=6):
    """Every input at once: 8 pairs of copies, tied scores, three classes; rows in `order`."""
    rng = np.random.default_rng(seed)
    X = rng.integers(-3, 4, size=(n, 5)).astype(np.float32) + 0.5
    copies = min(8, n // 2)
    X[:copies] = X[n - copies :]
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 12))) for _ in range(n)]
    texts[:copies] = texts[n - copies :]
    names = rng.permutation([f"row {i:03} \N{LATIN SMALL LETTER E WITH ACUTE}" for i in range(n)])
    columns = {
        "X": np.array(texts, dtype=object),
        "vectors": X,
        "y": rng.integers(0, 3, n),
        "scores": rng.integers(0, 9, n) / 4,
        "ids": names,
        "groups": rng.choice(["g", "h"], n),
    }
    if order is not None:
        columns = {name: values[order] for name, values in columns.items()}
    columns["graph"] = knn(columns["vectors"], k, ids=columns["ids"])
    columns["target"] = ["stock rose again", "the share fell", "a stock fell , a share rose"]
    return columns


def given(entry, columns):
    """The arguments of `fit`: all of them, X being what the method needs."""
    arguments = {name: value for name, value in columns.items() if name != "vectors"}
    if "texts" not in entry.needs:
        arguments["X"] = columns["vectors"]
        arguments["target"] = TARGET
    # a row with a label is had already, so that none would be left
    if entry.kind == "selector" and entry.covers_labeled:
        del arguments["y"]
    return arguments


def training_log(columns):
    """Three epochs of probabilities that follow from the vectors alone."""
    heights = [np.exp(columns["vectors"] * scale) for scale in (0.1, 0.5, 1.0)]
    P = [height / height.sum(axis=1, keepdims=True) for height in heights]
    return pl.DataFrame(
        {"sample_id": columns["ids"]} | {f"epoch {i}": p.tolist() for i, p in enumerate(P)}
    )


def fitted(entry, columns=None, **parameters):
    columns = inputs() if columns is None else columns
    if "log" in entry.needs:
        parameters["log"] = training_log(columns)
    if "seeds" in entry.needs:
        parameters["seeds"] = sorted(columns["ids"].tolist())[:3]
    estimator = registry.get(entry.name, entry.kind)(**parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return estimator.fit(**given(entry, columns))


@selectors
@pytest.mark.parametrize("budget", [1, 7, 0.5, "10%", N])
def test_a_selection_is_exact_and_explained(entry, budget):
    columns = inputs()
    selector = fitted(entry, columns, budget=budget)
    count = {0.5: 30, "10%": 6}.get(budget, budget)
    assert selector.indices_.dtype == np.int64
    assert len(set(selector.indices_.tolist())) == len(selector.indices_) == count
    assert selector.weights_.shape == (count,)
    assert selector.weights_.dtype == selector.scores_.dtype == np.float64
    assert selector.scores_.shape == (N,)
    assert np.isfinite(selector.scores_).all()
    report = selector.report_
    assert (report["rows"], report["budget"], report["selected"]) == (N, count, count)
    assert report["shortfall"] == 0
    for side in ("pool", "selected"):
        assert sum(shares[side] for shares in report["groups"].values()) == pytest.approx(1)
    json.dumps(report, allow_nan=False)

    decisions = selector.decisions()
    assert decisions.columns == ["selected", "stage", "reason", "detail"]
    assert decisions.dtypes == [pl.Boolean, pl.String, pl.String, pl.String]
    assert decisions.height == N
    assert decisions.null_count().sum_horizontal().item() == 0
    assert sorted(np.flatnonzero(decisions["selected"].to_numpy())) == sorted(selector.indices_)
    assert ((decisions["reason"] == "selected") == decisions["selected"]).all()
    details = [json.loads(detail) for detail in decisions["detail"]]
    positions = {details[row]["position"]: row for row in selector.indices_}
    assert [positions[i + 1] for i in range(count)] == selector.indices_.tolist()
    for row, detail in enumerate(details):
        assert all(value is None or np.isfinite(value) for value in detail.values())
        if "score" in detail:
            assert detail["score"] == pytest.approx(selector.scores_[row])


@selectors
def test_a_selection_is_the_same_twice_and_in_any_order(entry):
    first, again = (fitted(entry, budget=13) for _ in range(2))
    order = np.random.default_rng(9).permutation(N)
    columns, shuffled = inputs(), inputs(order=order)
    other = fitted(entry, shuffled, budget=13)
    np.testing.assert_array_equal(first.indices_, again.indices_)
    assert columns["ids"][first.indices_].tolist() == shuffled["ids"][other.indices_].tolist()
    np.testing.assert_array_equal(first.scores_[order], other.scores_)
    assert first.decisions()[order].equals(other.decisions())
    assert first.report_ == other.report_


@selectors
def test_other_seeds_and_modes(entry):
    modes = (None, *entry.exempt_modes)
    for mode in modes:
        parameters = {} if mode is None else {"mode": mode}
        found = [fitted(entry, budget=9, random_state=seed, **parameters) for seed in (0, 0, 1)]
        np.testing.assert_array_equal(found[0].indices_, found[1].indices_)
        assert len(found[2].indices_) == 9


@selectors
def test_nested_rankings_hold_every_budget(entry):
    if not entry.nested:
        assert not hasattr(fitted(entry, budget=5), "ranking_")
        return
    ranking = fitted(entry, budget=N).ranking_
    assert sorted(ranking.tolist()) == list(range(N))
    for budget in (1, 5, 31):
        selector = fitted(entry, budget=budget)
        np.testing.assert_array_equal(selector.indices_, ranking[:budget])
        np.testing.assert_array_equal(selector.ranking_, ranking)


@selectors
def test_ids_decide_ties_bytewise(entry):
    columns = inputs(n=12)
    columns |= {
        "X": np.array(["same text"] * 12, dtype=object),
        "vectors": np.ones((12, 5), dtype=np.float32),
        "scores": np.zeros(12),
        "y": np.zeros(12, dtype=int),
        # in bytes: "10" < "9" < "Z" < "a" < "é" < a character beyond the basic plane
        "ids": np.array(["a", "Z", "é", "\U0001f600", "10", "9", "b", "c", "d", "e", "f", "g"]),
    }
    columns["graph"] = knn(columns["vectors"], 3, ids=columns["ids"])
    order = np.random.default_rng(3).permutation(12)
    shuffled = {
        name: value[order] if name not in ("graph", "target") else value
        for name, value in columns.items()
    }
    shuffled["graph"] = knn(shuffled["vectors"], 3, ids=shuffled["ids"])
    plain, other = (fitted(entry, given, budget=5) for given in (columns, shuffled))
    assert columns["ids"][plain.indices_].tolist() == shuffled["ids"][other.indices_].tolist()


@selectors
@pytest.mark.parametrize("n", [1, 2, 4])
def test_fewer_rows_than_neighbors(entry, n):
    selector = fitted(entry, inputs(n=n), budget=n)
    assert sorted(selector.indices_.tolist()) == list(range(n))


@selectors
def test_budgets_that_do_not_fit_are_refused(entry):
    for budget in (N + 1, 0, -3, 1.5, "120%", True, float("nan")):
        with pytest.raises(BudgetError):
            fitted(entry, budget=budget)


@pytest.mark.parametrize("kind", ["selector", "scorer"])
def test_inputs_are_checked(kind):
    for entry in registry.entries(kind):
        parameters = {"budget": 3} if kind == "selector" else {}
        make = registry.get(entry.name, kind)
        columns = given(entry, inputs())
        if "seeds" in entry.needs:
            parameters["seeds"] = sorted(columns["ids"].tolist())[:3]
        short = {
            name: value[:-1]
            for name, value in columns.items()
            if name in ("X", "y", "scores", "ids", "groups")
        }
        for name, value in short.items():
            with pytest.raises(InputError, match=r"differ in length .*\b60\b"):
                make(**parameters).fit(**(columns | {name: value}))
        twice = columns["ids"].astype(object)
        twice[1] = twice[0]
        with pytest.raises(IdError, match="more than once"):
            make(**parameters).fit(**(columns | {"ids": twice}))
        missing = columns["ids"].astype(object)
        missing[0] = None
        with pytest.raises(IdError, match="null"):
            make(**parameters).fit(**(columns | {"ids": missing}))
        with pytest.raises(IdError, match="graph's ids"):
            make(**parameters).fit(**(columns | {"ids": columns["ids"][::-1]}))
        bare = knn(inputs()["vectors"], 6)
        with pytest.raises(IdError, match="type"):
            make(**parameters).fit(**(columns | {"ids": np.arange(60.0), "graph": bare}))
        empty = {"X": [], "y": [], "ids": [], "target": columns["target"]}
        if not {"graph", "scores"} & {*entry.needs}:
            with pytest.raises(InputError, match="no rows"):
                make(**parameters).fit(**empty)


@pytest.mark.parametrize("kind", ["selector", "scorer"])
def test_a_missing_input_is_named(kind):
    argument = {"texts": "X", "vectors": "X", "labels": "y"}
    for entry in registry.entries(kind):
        parameters = {"budget": 3} if kind == "selector" else {}
        for need in entry.needs:
            name = argument.get(need, need)
            arguments = given(entry, inputs()) | {name: None}
            arguments.pop("log", None)  # a parameter
            if need == "seeds":  # a parameter too
                continue
            if "log" in entry.needs and need != "log":
                parameters = {"log": training_log(inputs())}
            with pytest.raises(
                MissingInputError, match=rf"needs {need}\b.*, and {name} was not given"
            ):
                registry.get(entry.name, kind)(**parameters).fit(**arguments)
    with pytest.raises(InputError, match="Nothing was given"):
        registry.get("random", "selector")(budget=1).fit()
    with pytest.raises(InputError, match="graph is a list"):
        registry.get("pagerank", "scorer")().fit(graph=[[0, 1]])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    for entry in registry.entries("selector"):
        if "scores" in (*entry.needs, *entry.uses):
            columns = inputs()
            columns["scores"][[4, 9]] = bad
            with pytest.raises(NonFiniteError, match=r"2 rows, first in row 4"):
                fitted(entry, columns, budget=3)


@selectors
def test_constant_scores_one_class_and_copies(entry):
    columns = inputs()
    columns["scores"] = np.full(N, 2.5)
    columns["y"] = np.zeros(N, dtype=int)
    columns["X"] = np.array(["the same text"] * N, dtype=object)
    columns["vectors"] = np.ones((N, 5), dtype=np.float32)
    columns["graph"] = knn(columns["vectors"], 6, ids=columns["ids"])
    selector = fitted(entry, columns, budget=11)
    assert len(set(selector.indices_.tolist())) == 11
    assert selector.decisions().height == N


@selectors
def test_only_the_inputs_used_change_the_result(entry):
    arguments = given(entry, inputs())
    used = {"texts": "X", "vectors": "X", "labels": "y"}
    keep = {used.get(name, name) for name in (*entry.needs, *entry.uses)} | {"ids"}
    keep &= arguments.keys()
    make = registry.get(entry.name, "selector")
    bare = make(budget=8).fit(**{name: arguments[name] for name in keep})
    np.testing.assert_array_equal(bare.indices_, make(budget=8).fit(**arguments).indices_)


@selectors
def test_any_container_is_the_same(entry):
    columns = inputs()
    expected = fitted(entry, columns, budget=8)
    listed = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in columns.items()
    }
    framed = {
        name: pl.Series(name, value.tolist()) if name in ("y", "scores", "ids", "groups") else value
        for name, value in columns.items()
    }
    for other in (listed, framed):
        np.testing.assert_array_equal(fitted(entry, other, budget=8).indices_, expected.indices_)
    assert expected.report_ == fitted(entry, framed, budget=8).report_


@selectors
def test_positions_are_the_ids_where_none_are_given(entry):
    columns = inputs()
    columns["ids"] = None
    columns["graph"] = knn(columns["vectors"], 6)
    found = fitted(entry, columns, budget=8)
    assert len(found.indices_) == 8
    named = columns | {"ids": np.arange(N)}
    np.testing.assert_array_equal(np.sort(fitted(entry, named, budget=N).indices_), np.arange(N))


@selectors
def test_the_ids_of_the_graph_are_taken(entry):
    columns = inputs()
    with_ids = fitted(entry, columns, budget=8)
    np.testing.assert_array_equal(
        fitted(entry, columns | {"ids": None}, budget=8).indices_, with_ids.indices_
    )


@selectors
@pytest.mark.parametrize("seed", [-1, None, 1.5, True, "0"])
def test_a_seed_is_a_whole_number(entry, seed):
    with pytest.raises(ConfigError, match="random_state"):
        fitted(entry, budget=3, random_state=seed)


@selectors
def test_decisions_need_a_fit(entry):
    with pytest.raises(Exception, match="not fitted"):
        registry.get(entry.name, "selector")(budget=3).decisions()


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda e: f"{e.kind}-{e.name}")
def test_parameters_follow_scikit_learn(entry):
    make = registry.get(entry.name, entry.kind)
    parameters = {"budget": 7, "random_state": 3} if entry.kind == "selector" else {}
    estimator = make(**parameters)
    for name, value in parameters.items():
        assert estimator.get_params()[name] == value
    copied = clone(estimator)
    assert copied is not estimator
    assert copied.get_params() == estimator.get_params()
    for name in estimator.get_params():
        assert getattr(estimator, name) is estimator.get_params()[name]
    if entry.kind == "selector":
        assert clone(estimator.set_params(budget=9)).budget == 9
    if entry.kind != "ranker":
        with pytest.raises(TypeError):
            make(7)


@scorers
def test_a_score_is_finite_and_the_same_in_any_order(entry):
    order = np.random.default_rng(9).permutation(N)
    first, again = fitted(entry), fitted(entry)
    other = fitted(entry, inputs(order=order))
    assert first.scores_.dtype == np.float64
    assert first.scores_.shape == (N,)
    assert np.isfinite(first.scores_).all()
    np.testing.assert_array_equal(first.scores_, again.scores_)
    np.testing.assert_array_equal(first.scores_[order], other.scores_)
    json.dumps(first.report_, allow_nan=False)


@scorers
@pytest.mark.parametrize("n", [1, 2, 4])
def test_scores_of_very_small_pools(entry, n):
    scorer = fitted(entry, inputs(n=n))
    assert scorer.scores_.shape == (n,)
    assert np.isfinite(scorer.scores_).all()


@scorers
def test_copies_get_equal_scores_where_all_rows_are_copies(entry):
    columns = inputs()
    columns["X"] = np.array(["the same text"] * N, dtype=object)
    columns["y"] = np.zeros(N, dtype=int)
    columns["vectors"] = np.ones((N, 5), dtype=np.float32)
    # a complete graph, so that no row's place is special
    columns["graph"] = knn(columns["vectors"], N - 1, ids=columns["ids"])
    scores = fitted(entry, columns).scores_
    if "seeds" in entry.needs:  # the seeds are alike, and so are all others
        seeds = np.isin(columns["ids"], sorted(columns["ids"].tolist())[:3])
        np.testing.assert_allclose(scores[seeds], scores[seeds][0], rtol=1e-7)
        scores = scores[~seeds]
    np.testing.assert_allclose(scores, scores[0], rtol=1e-7 if "seeds" in entry.needs else 1e-12)


def test_what_is_random_belongs_to_the_id_alone():
    make = registry.get("random", "selector")
    ids = [f"id {row}" for row in range(300)]
    grown = [*(f"another {row}" for row in range(100)), *ids]
    small, large = make(budget=50).fit(ids=ids), make(budget=50).fit(ids=grown)
    np.testing.assert_array_equal(small.scores_, large.scores_[100:])
    kept = [row - 100 for row in large.ranking_ if row >= 100]
    assert kept == small.ranking_.tolist()
    other = make(budget=50, random_state=1).fit(ids=ids)
    assert abs(np.corrcoef(small.scores_, other.scores_)[0, 1]) < 0.2
    # the streams of different selectors do not depend on each other
    told = Inputs(ids=ids)
    assert abs(np.corrcoef(told.noise(0, "random"), told.noise(0, "ccs"))[0, 1]) < 0.2
    # every row is chosen about as often: 50 times of 300, with standard deviation 6.5
    taken = np.zeros(300)
    for seed in range(300):
        taken[make(budget=50, random_state=seed).fit(ids=ids).indices_] += 1
    assert abs(taken - 50).max() < 5 * 6.5


def test_small_groups_are_told_together():
    groups = ["large"] * 100 + [None] * 50 + [f"own {row}" for row in range(150)]
    selector = registry.get("random", "selector")(budget=300).fit(groups=groups)
    told = selector.report_["groups"]
    assert len(told) == 101
    assert list(told)[:2] == ["large", "(none)"]
    assert told["(other)"]["pool"] == pytest.approx(52 / 300)


def test_a_shortfall_warns_or_stops():
    entry = registry.entry("importance", "selector")
    columns = inputs()
    columns["X"][:10] = None
    make = registry.get(entry.name, entry.kind)
    with pytest.warns(ShortfallWarning, match="only 50 of 60 rows are usable: 5 are missing"):
        selector = make(budget=55).fit(**given(entry, columns))
    assert len(selector.indices_) == 50
    assert selector.report_["shortfall"] == 5
    with pytest.raises(BudgetError, match="strict"):
        make(budget=55, strict=True).fit(**given(entry, columns))


def table(seed=0):
    """A table with informative columns, copies of a column, a constant and noise."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 90)
    X = rng.normal(size=(90, 8))
    X[:, 0] += 3 * y
    X[:, 1] = X[:, 0]
    X[:, 5] = 4.0
    return X, y


@rankers
def test_a_ranking_is_complete_and_repeatable(entry):
    X, y = table()
    make = registry.get(entry.name, "ranker")
    first, again = (make(n_features_to_select=3).fit(X, y) for _ in range(2))
    assert sorted(first.ranking_.tolist()) == list(range(1, 9))
    assert np.isfinite(first.scores_).all()
    assert first.get_support().sum() == 3
    assert set(np.flatnonzero(first.get_support())) == set(np.argsort(first.ranking_)[:3])
    np.testing.assert_array_equal(first.scores_, again.scores_)
    assert first.ranking_[5] == 8
    if entry.copies_tie:  # and the earlier column comes first
        assert first.scores_[0] == pytest.approx(first.scores_[1])
        assert first.ranking_[0] + 1 == first.ranking_[1]
    order = np.random.default_rng(1).permutation(90)
    np.testing.assert_array_equal(make().fit(X[order], y[order]).ranking_, first.ranking_)


@rankers
def test_a_ranker_refuses_what_it_cannot_rank(entry):
    X, y = table()
    make = registry.get(entry.name, "ranker")
    if "labels" in entry.needs:
        with pytest.raises(AssayError):
            make().fit(X, np.zeros(90, dtype=int))
    for bad, options in (
        (np.inf, {}),
        (np.inf, {"missing": "raise"}),
        (np.nan, {"missing": "raise"}),
    ):
        broken = X.copy()
        broken[3, 2] = bad
        with pytest.raises(NonFiniteError):
            make(**options).fit(broken, y)
    for budget in (0, 9, 1.5, True):
        with pytest.raises(BudgetError):
            make(n_features_to_select=budget).fit(X, y).get_support()


@rankers
def test_a_ranker_fills_missing_values_and_says_so(entry):
    X, y = table()
    broken = X.copy()
    broken[3, 2] = np.nan
    filled = X.copy()
    # the lower of the two in the middle, where their number is even
    filled[3, 2] = np.sort(np.delete(X[:, 2], 3))[(len(X) - 2) // 2]
    made = registry.get(entry.name, "ranker")().fit(broken, y)
    expected = registry.get(entry.name, "ranker")().fit(filled, y)
    np.testing.assert_array_equal(made.scores_, expected.scores_)
    assert made.missing_["missing"].to_list() == [int(i == 2) for i in range(X.shape[1])]


NUMBER_TYPES = (np.float64, np.float32, np.int64, np.int32, np.uint8)


def whole_numbers(n, d, seed=0):
    """Whole numbers from 0 to 255, with copies of rows and columns, and labels that some tell."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = rng.integers(0, 200, size=(n, d))
    X[:, : d // 3] += 25 * y[:, None]
    X[:, d - 1] = X[:, d - 2]
    X[:5] = X[5:10]
    return X, y


@rankers
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_ranking_is_that_of_the_values_whatever_their_type(entry, order):
    X, y = whole_numbers(150, 12)
    make = registry.get(entry.name, "ranker")
    found = [make().fit(np.asarray(X, dtype=kind, order=order), y) for kind in NUMBER_TYPES]
    for other in found[1:]:
        np.testing.assert_array_equal(other.ranking_, found[0].ranking_)
        np.testing.assert_allclose(other.scores_, found[0].scores_, rtol=1e-9)


@pytest.mark.parametrize(
    "entry",
    [e for kind in ("selector", "scorer", "step") for e in registry.entries(kind)
     if "vectors" in e.needs or e.vectors_for_texts],
    ids=lambda entry: entry.name,
)  # fmt: skip
def test_a_choice_is_that_of_the_values_whatever_their_type(entry):
    X, y = whole_numbers(N, 5)
    columns = inputs()
    parameters = {"budget": 9} if entry.kind == "selector" else {}
    if entry.kind == "selector" and entry.covers_labeled:
        y = [label if row % 3 else None for row, label in enumerate(y.tolist())]
    if entry.name == "in_reference":
        parameters = {"reference": {"old": X[:4].astype(float)}}
    if "seeds" in entry.needs:
        parameters = {"seeds": sorted(columns["ids"].tolist())[:3]}
    found = []
    for kind in NUMBER_TYPES:
        arguments = given(entry, columns) | {"X": X.astype(kind), "y": y, "groups": None}
        arguments["target"] = X[:6].astype(kind)
        estimator = registry.get(entry.name, entry.kind)(**parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found.append(estimator.fit(**arguments))
    for other in found[1:]:
        if entry.kind == "step":
            np.testing.assert_array_equal(other.keep_, found[0].keep_)
            continue
        np.testing.assert_array_equal(other.scores_, found[0].scores_)
        if entry.kind == "selector":
            np.testing.assert_array_equal(other.indices_, found[0].indices_)


def test_unknown_methods_are_refused():
    with pytest.raises(ColumnError, match="Did you mean 'random'"):
        registry.get("randm", "selector")


@pytest.mark.parametrize(
    "entry",
    [*registry.entries("selector"), *registry.entries("scorer")],
    ids=lambda entry: f"{entry.kind} {entry.name}",
)
def test_the_threads_of_blas_change_nothing(entry, monkeypatch):
    rng = np.random.default_rng(3)
    # as many numbers as BLAS shares among its threads
    columns = inputs(600)
    columns["vectors"] = rng.normal(size=(600, 48)).astype(np.float32)
    columns["graph"] = knn(columns["vectors"], 6, ids=columns["ids"])
    monkeypatch.setattr(f"{__name__}.TARGET", rng.normal(size=(300, 48)) + 0.3)
    parameters = {"budget": 60} if entry.kind == "selector" else {}
    told = []
    for threads in (1, 2):
        with threadpool_limits(threads, user_api="blas"):
            told.append(fitted(entry, columns, **parameters))
    np.testing.assert_array_equal(told[0].scores_, told[1].scores_)
    assert str(told[0].report_) == str(told[1].report_)
    if entry.kind == "selector":
        np.testing.assert_array_equal(told[0].indices_, told[1].indices_)
        np.testing.assert_array_equal(told[0].weights_, told[1].weights_)


@pytest.mark.parametrize(
    "entry",
    [e for kind in ("selector", "scorer") for e in registry.entries(kind)
     if {"graph", "vectors"} & {*e.needs, *e.uses}],
    ids=lambda entry: f"{entry.kind} {entry.name}",
)  # fmt: skip
@pytest.mark.parametrize("in_order", [True, False])
def test_a_graph_and_vectors_may_lie_in_files(entry, in_order, tmp_path):
    rng = np.random.default_rng(4)
    columns = inputs()
    if in_order:
        columns = inputs(order=np.argsort(columns["ids"]))
    columns["vectors"] = columns["vectors"] + rng.normal(size=(N, 5)).astype(np.float32) / 8
    graph = SimilarityGraph.from_vectors(columns["vectors"], k=6, ids=columns["ids"])
    graph.save(tmp_path)
    np.save(tmp_path / "X.npy", columns["vectors"])
    parameters = {"budget": 9} if entry.kind == "selector" else {}
    inside = fitted(entry, columns | {"graph": graph}, **parameters)
    mapped = SimilarityGraph.load(tmp_path, mapped=True)
    assert mapping(mapped.indices) is not None
    vectors = np.load(tmp_path / "X.npy", mmap_mode="r")
    outside = fitted(entry, columns | {"graph": mapped, "vectors": vectors}, **parameters)
    np.testing.assert_array_equal(outside.scores_, inside.scores_)
    if entry.kind == "selector":
        np.testing.assert_array_equal(outside.indices_, inside.indices_)
        np.testing.assert_array_equal(outside.weights_, inside.weights_)
