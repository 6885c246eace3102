"""A selection beside random subsets: figures, baselines, verdicts, independence of order."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from threadpoolctl import threadpool_limits

from assay.index import SimilarityGraph
from assay.selection import evaluate_selection
from assay.selection.selectors.facility_location import FacilityLocationSelector
from assay.storage.errors import ConfigError, InputError, NonFiniteError
from tests.data import shared

N = 300
VECTOR_FIGURES = {
    "coverage.auc",
    "coverage.mean_distance",
    "coverage.max_distance",
    "coverage.radius_50",
    "coverage.radius_90",
    "coverage.radius_95",
    "coverage.radius_99",
    "cmmd_pool",
    "spread.early_enrichment",
    "spread.vasicek_ratio_error",
    "spread.vendi",
    "duplicates_left",
}


def pool(seed=0, n=N):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 6)).astype(np.float32)
    X += rng.standard_normal((5, 6)).astype(np.float32)[rng.integers(0, 5, n)] * 3
    return {
        "X": X,
        "y": rng.integers(0, 3, n),
        "groups": rng.choice(["g", "h"], n, p=[0.8, 0.2]),
        "scores": rng.random(n),
        "cutoff_kept": rng.random(n) < 0.7,
        "ids": np.array([f"row {i:03}" for i in rng.permutation(n)]),
    }


def everything(columns):
    graph = SimilarityGraph.from_vectors(columns["X"], ids=columns["ids"], k=5)
    return columns | {"graph": graph, "target": pool(seed=1)["X"][:40]}


def named(frame):
    return {row["name"]: row for row in frame.to_dicts()}


def test_every_figure_with_its_baselines():
    rows = np.arange(0, N, 10)
    found = evaluate_selection(rows, **everything(pool()), weights=np.linspace(1, 2, len(rows)))
    assert found.columns == ["name", "value", "baseline", "after_cutoff", "better", "verdict"]
    assert found["name"].is_unique().all()
    balances = {"entropy", "largest_share", "smallest_share", "distance_to_pool"}
    assert set(found["name"]) == (
        VECTOR_FIGURES
        | {f"{side}.{name}" for side in ("class", "group") for name in balances}
        | {"kl_target", "kl_target_reduction", "cmmd_target", "facility_location_ratio"}
        | {"effective_sample_size", "score_mean"}
    )
    assert found.select("value", "baseline", "after_cutoff").null_count().sum_horizontal()[0] == 0
    assert set(found["better"].drop_nulls()) == {"lower", "higher"}
    assert (found["verdict"].is_null() == found["better"].is_null()).all()
    # nearness to the pool is no aim where there is a target
    assert named(found)["cmmd_pool"]["better"] is None


@pytest.mark.parametrize("given", ["X", "graph", "y", "groups", "scores"])
def test_each_input_alone(given):
    columns = everything(pool())
    found = evaluate_selection([1, 2, 30], **{given: columns[given]})
    assert found.height > 0
    assert found["after_cutoff"].is_null().all()
    if given == "X":
        assert set(found["name"]) == VECTOR_FIGURES
        assert named(found)["cmmd_pool"]["better"] == "lower"


def test_the_order_of_the_rows_does_not_matter():
    columns = pool()
    rows = np.random.default_rng(3).choice(N, 40, replace=False)
    order = np.random.default_rng(4).permutation(N)
    shuffled = {name: values[order] for name, values in columns.items()}
    places = np.argsort(order)[rows]
    weights = np.random.default_rng(5).random(40)
    first, other = (
        evaluate_selection(some, **everything(given), weights=weights, sample=100)
        for some, given in ((rows, columns), (places, shuffled))
    )
    assert first.equals(other)
    back = evaluate_selection(rows[::-1], **everything(columns), weights=weights[::-1], sample=100)
    assert first.equals(back)
    assert not first.equals(
        evaluate_selection(rows, **everything(columns), weights=weights, sample=100, random_state=1)
    )


def test_the_target_may_come_in_any_order():
    columns = everything(pool())
    target = columns.pop("target")
    rows = np.arange(25)
    first, other = (
        evaluate_selection(rows, **columns, target=given) for given in (target, target[::-1].copy())
    )
    assert first.equals(other)


def test_verdicts():
    columns = everything(pool(n=600))
    columns["cutoff_kept"] = np.ones(600, dtype=bool)
    graph = columns["graph"]
    spread_out = FacilityLocationSelector(budget=60).fit(graph=graph).indices_
    found = named(evaluate_selection(spread_out, graph=graph, X=columns["X"]))
    assert found["facility_location_ratio"]["verdict"] == "better than random"
    assert found["facility_location_ratio"]["value"] > found["facility_location_ratio"]["baseline"]
    # the 60 rows around one point leave the rest uncovered
    corner = np.argsort(np.linalg.norm(columns["X"] - columns["X"][0], axis=1))[:60]
    found = named(evaluate_selection(corner, X=columns["X"], cutoff_kept=columns["cutoff_kept"]))
    for name in ("coverage.auc", "coverage.radius_90", "cmmd_pool"):
        assert found[name]["verdict"] == "random is better, also after the cutoff", name
    # a cutoff that leaves only the corner is no better
    kept = np.isin(np.arange(600), corner)
    found = named(evaluate_selection(corner, X=columns["X"], cutoff_kept=kept))
    assert found["coverage.auc"]["verdict"] == "random is better"
    assert found["coverage.auc"]["after_cutoff"] == found["coverage.auc"]["value"]


def test_random_is_seldom_told_from_random():
    columns = {name: value for name, value in pool().items() if name != "cutoff_kept"}
    told = []
    for seed in range(12):
        rows = np.random.default_rng(seed).choice(N, 40, replace=False)
        found = evaluate_selection(rows, **columns, random_state=seed)
        told += found["verdict"].drop_nulls().to_list()
    assert np.mean([verdict == "like random" for verdict in told]) > 0.94


def test_a_random_subset_of_kept_rows_is_better_than_hard_rows():
    columns = pool()
    hard = np.argsort(-columns["scores"])[:30]
    kept = columns["scores"] < 0.5
    found = named(
        evaluate_selection(hard, X=columns["X"], scores=columns["scores"], cutoff_kept=kept)
    )
    assert found["score_mean"]["value"] > 0.8
    assert found["score_mean"]["after_cutoff"] < 0.5
    assert found["score_mean"]["verdict"] is None


def test_a_whole_pool_is_covered():
    columns = pool()
    found = named(evaluate_selection(np.arange(N), X=columns["X"], y=columns["y"]))
    assert found["coverage.auc"]["value"] == 0
    assert found["cmmd_pool"]["value"] == pytest.approx(0, abs=1e-6)
    assert found["class.distance_to_pool"]["value"] == 0
    assert found["coverage.auc"]["verdict"] == "like random"


def test_a_selection_like_the_target_has_less_divergence():
    columns = pool()
    X = columns["X"]
    wanted = X[:, 0] > np.quantile(X[:, 0], 0.8)
    rows = np.flatnonzero(wanted)
    found = named(evaluate_selection(rows[::2], X=X, target=X[rows[1::2]], draws=20))
    for name in ("kl_target", "kl_target_reduction", "cmmd_target"):
        assert found[name]["verdict"] == "better than random", name
    assert found["kl_target_reduction"]["value"] > 0.5
    assert abs(found["cmmd_target"]["value"]) < 0.2 * found["cmmd_target"]["baseline"]


def test_texts():
    texts = [f"the cat {i} sat" for i in range(50)] + ["stocks rose again"] * 50
    target = ["stocks rose", "again stocks fell"]
    rows = np.arange(60, 80)
    for given in (texts, pl.Series(texts), pl.Series(texts).to_arrow(), np.array(texts, object)):
        found = named(evaluate_selection(rows, X=given, target=target, draws=20))
        assert set(found) == {"duplicates_left", "kl_target", "kl_target_reduction"}
        assert found["duplicates_left"]["value"] == 1
        assert found["duplicates_left"]["verdict"] == "random is better"
        assert found["kl_target_reduction"]["verdict"] == "better than random"


def test_copies():
    X = pool()["X"].copy()
    X[1], X[2] = X[0], -X[0]
    X[3] = 0.0
    X[4] = -0.0
    assert named(evaluate_selection([0, 1, 3, 4, 5], X=X))["duplicates_left"]["value"] == 0.8
    groups = [None] * N
    groups[10] = groups[20] = "same"
    given = named(evaluate_selection([0, 1, 10, 20], X=X, duplicates=groups))
    assert given["duplicates_left"]["value"] == 0.5
    codes = np.full(N, -1)
    codes[:2] = 7
    given = named(evaluate_selection([0, 1, 10, 20], X=X, duplicates=codes))
    assert given["duplicates_left"]["value"] == 0.5


def test_cosine_graphs_look_at_directions():
    X = pool()["X"]
    graph = SimilarityGraph.from_vectors(X, k=5)
    longer = X * np.random.default_rng(0).uniform(1, 5, (N, 1)).astype(np.float32)
    plain, scaled = (
        named(evaluate_selection(np.arange(20), X=given, graph=graph)) for given in (X, longer)
    )
    assert plain["coverage.auc"]["value"] == pytest.approx(scaled["coverage.auc"]["value"])


def test_repeated_rows_count_once():
    X = pool()["X"]
    once, twice = (
        evaluate_selection(rows, X=X, weights=np.ones(len(rows)))
        for rows in ([3, 5, 9], [3, 5, 9, 9])
    )
    once, twice = named(once), named(twice)
    assert once["coverage.auc"] == twice["coverage.auc"]
    assert twice["effective_sample_size"]["value"] == pytest.approx(16 / 6)
    assert twice["effective_sample_size"]["baseline"] == 3


def test_one_row_and_one_draw():
    found = named(evaluate_selection([5], X=pool()["X"], draws=1))
    assert found["cmmd_pool"]["value"] is None
    assert found["spread.early_enrichment"]["value"] is None
    assert found["coverage.auc"]["value"] > 0
    assert found["coverage.auc"]["verdict"] is None


@pytest.mark.parametrize(
    ("chosen", "options", "error"),
    [
        ([], {}, InputError),
        ([0.5], {}, InputError),
        ([-1], {}, InputError),
        ([N], {}, InputError),
        ([0], {"weights": [1.0, 2.0]}, InputError),
        ([0], {"weights": [-1.0]}, InputError),
        ([0], {"cutoff_kept": [True]}, InputError),
        ([0], {"duplicates": [1]}, InputError),
        ([0], {"target": np.ones((3, 5))}, InputError),
        ([0], {"sample": 0}, ConfigError),
        ([0], {"draws": True}, ConfigError),
        ([0], {"y": [1, 2]}, InputError),
    ],
)
def test_what_can_not_be_measured_is_refused(chosen, options, error):
    with pytest.raises(error):
        evaluate_selection(chosen, X=pool()["X"], **options)


def test_vectors_must_be_numbers():
    X = pool()["X"].copy()
    X[4] = np.nan
    with pytest.raises(NonFiniteError):
        evaluate_selection([0], X=X)
    with pytest.raises(InputError):
        evaluate_selection([0], X=np.full((N, 2, 2), 1.0))
    with pytest.raises(InputError):
        evaluate_selection([0])


def test_real_vectors():
    frame = pl.read_parquet(shared("cifar10_vectors.parquet")).head(4_000)
    X = frame["vec"].to_numpy().astype(np.float32)
    graph = SimilarityGraph.from_vectors(X, k=10)
    chosen = FacilityLocationSelector(budget=0.05).fit(graph=graph).indices_
    found = named(evaluate_selection(chosen, X=X, graph=graph, y=frame["label"]))
    assert found["facility_location_ratio"]["verdict"] == "better than random"
    # dense regions are served first, outliers late
    assert found["coverage.auc"]["baseline"] < found["coverage.auc"]["value"] * 1.1


def test_figures_do_not_depend_on_the_threads_of_blas() -> None:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(5_000, 64)).astype(np.float32)
    graph = SimilarityGraph.from_vectors(X, k=5)
    told = []
    for threads in (1, 2, 4):
        with threadpool_limits(threads, user_api="blas"):
            told.append(
                evaluate_selection(
                    np.arange(0, 5_000, 7), X=X, graph=graph, target=X[:3_000] + 0.5,
                    duplicates=np.arange(5_000),
                )
            )  # fmt: skip
    assert told[1].equals(told[0])
    assert told[2].equals(told[0])
