from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.algorithms.allocation import allocate
from assay.selection.selectors.hierarchical import HierarchicalBalancedSelector
from assay.storage.errors import ConfigError
from tests.data import shared


def nested(sizes, seed=0):
    """Rows in blobs that lie in groups far apart; `sizes` holds the sizes of each group's blobs."""
    rng = np.random.default_rng(seed)
    rows, group, blob = [], [], []
    for g, inside in enumerate(sizes):
        for b, size in enumerate(inside):
            center = np.array([100.0 * g, 10.0 * b, 0.0])
            rows.append(center + 0.1 * rng.normal(size=(size, 3)))
            group += [g] * size
            blob += [(g, b)] * size
    order = rng.permutation(len(group))
    X = np.concatenate(rows).astype(np.float32)[order]
    return X, np.array(group)[order], [blob[i] for i in order]


@pytest.mark.parametrize("budget", [1, 6, 13, 40, 117])
def test_one_level_is_water_filling_over_the_blobs(budget):
    sizes = [5, 12, 100]
    X, group, _ = nested([[size] for size in sizes])
    selector = HierarchicalBalancedSelector(budget=budget, levels=[3], metric="l2").fit(X)
    assert selector.report_["levels"] == [3]
    taken = np.bincount(group[selector.indices_], minlength=3)
    assert sorted(taken) == sorted(allocate(sizes, budget))
    # one of every blob before the second of any
    assert len(set(group[selector.indices_[:3]])) == min(3, budget)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 186), st.integers(0, 5))
def test_two_levels_share_out_from_the_top_down(budget, seed):
    sizes = [[60, 3, 20], [2, 1, 100]]
    X, group, _ = nested(sizes)
    selector = HierarchicalBalancedSelector(
        budget=budget, levels=[40, 2], metric="l2", iterations=20, resampling=0, random_state=seed
    ).fit(X)
    assert len(set(selector.indices_.tolist())) == budget
    over_groups = allocate([83, 103], budget)
    np.testing.assert_array_equal(np.bincount(group[selector.indices_], minlength=2), over_groups)
    assert sorted(selector.report_["top"]["rows"]) == [83, 103]
    assert sorted(selector.report_["top"]["budgets"]) == sorted(over_groups)


def test_every_cell_is_served_evenly():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 5)).astype(np.float32)
    selector = HierarchicalBalancedSelector(budget=120, levels=[30, 5]).fit(X)
    decisions = selector.decisions()
    told = pl.DataFrame([json.loads(detail) for detail in decisions["detail"]])
    told = told.with_columns(selected=decisions["selected"])
    cells = told.group_by("cell").agg(
        pl.len(),
        pl.col("selected").sum(),
        pl.col("cell_rows", "cell_budget", "cluster").first(),
    )
    assert (cells["len"] == cells["cell_rows"]).all()
    assert (cells["selected"] == cells["cell_budget"]).all()
    for _, of_cluster in cells.group_by("cluster"):
        shares = of_cluster["cell_budget"].to_numpy()
        open_ = shares < of_cluster["cell_rows"].to_numpy()
        if open_.any():
            assert shares.max() - shares[open_].min() <= 1
    clusters = cells.group_by("cluster").agg(pl.col("cell_budget", "cell_rows").sum())
    clusters = clusters.sort("cluster")
    assert selector.report_["top"] == {
        "rows": clusters["cell_rows"].to_list(),
        "budgets": clusters["cell_budget"].to_list(),
    }
    assert selector.report_["entropy"] > selector.report_["entropy_random"]
    # inside a cell the rows with the largest numbers are taken
    scores = selector.scores_
    for cell in told["cell"].unique():
        inside = np.flatnonzero(told["cell"] == cell)
        taken = np.intersect1d(inside, selector.indices_)
        left = np.setdiff1d(inside, taken)
        if len(taken) and len(left):
            assert scores[taken].min() > scores[left].max()


def test_levels_by_default_and_as_given():
    X = np.random.default_rng(0).normal(size=(2_000, 3))
    assert HierarchicalBalancedSelector(budget=9).fit(X).report_["levels"] == [179, 18]
    for levels in ([], [5, 5], [3, 9], [0], [2_001], [4.0], "many", 7, [True], None):
        with pytest.raises(ConfigError, match="levels"):
            HierarchicalBalancedSelector(budget=9, levels=levels).fit(X)
    for name, value in (("resampling", -1), ("iterations", 0), ("iterations", 2.0)):
        with pytest.raises(ConfigError, match=name):
            HierarchicalBalancedSelector(budget=9, **{name: value}).fit(X)
    with pytest.raises(ConfigError, match="metric"):
        HierarchicalBalancedSelector(budget=9, metric="ip").fit(X)


def entropy(labels):
    shares = np.bincount(labels, minlength=10) / len(labels)
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def test_rare_classes_of_images_are_chosen_more_often():
    images = pl.read_parquet(shared("cifar10_vectors.parquet")).filter(split="train")
    labels = images["label"].to_numpy().astype(int)
    # every class has 0.6 times the rows of the one before
    kept = np.concatenate(
        [np.flatnonzero(labels == c)[: int(4_000 * 0.6**c)] for c in np.unique(labels)]
    )
    X, labels = np.stack(images["vec"].to_numpy()).astype(np.float32)[kept], labels[kept]
    selector = HierarchicalBalancedSelector(budget=0.1).fit(X)
    random = np.random.default_rng(0)
    subsets = [entropy(labels[random.permutation(len(X))[:990]]) for _ in range(20)]
    assert entropy(labels[selector.indices_]) > np.mean(subsets) + 4 * np.std(subsets)
