from __future__ import annotations

import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection.contract.inputs import Inputs
from assay.selection.selectors.bandit import BanditSelector
from assay.storage.errors import ConfigError, InputError, MissingInputError, NonFiniteError
from tests.data import shared
from tests.selection.small_graphs import from_dense


def blobs(sizes, seed=0):
    """Directions far apart, with the given numbers of rows around each."""
    rng = np.random.default_rng(seed)
    blob = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = 5 * np.eye(len(sizes))[blob] + 0.05 * rng.normal(size=(len(blob), len(sizes)))
    return X.astype(np.float32), blob


def plain(arm, noise, reward, budget, probe, exploration, rounds):
    """The same bandit, one arm and one row at a time."""
    n_arms = max(arm) + 1
    rows = [sorted(np.flatnonzero(arm == a), key=lambda row: -noise[row]) for a in range(n_arms)]
    known = [{row: reward[row] for row in rows[a][:probe]} for a in range(n_arms)]
    first = [list(found.values()) for found in known]
    within = sum((r - np.mean(found)) ** 2 for found in first for r in found)
    spread = math.sqrt(within / max(1, sum(map(len, first)) - n_arms))
    at_once = max(1, n_arms // 20)
    batch = math.ceil(budget / (rounds * at_once))
    chosen: list[int] = []
    while len(chosen) < budget:
        total = sum(map(len, known))
        bounds = [
            np.mean(list(known[a].values()))
            + exploration * spread * math.sqrt(2 * math.log(total + 1) / len(known[a]))
            for a in range(n_arms)
        ]
        open_arms = [a for a in range(n_arms) if not set(rows[a]) <= set(chosen)]
        for a in sorted(open_arms, key=lambda a: -bounds[a])[:at_once]:
            part = [row for row in rows[a] if row not in chosen][:batch]
            part = part[: budget - len(chosen)]
            chosen += part
            new = [row for row in part if row not in known[a]][:probe]
            known[a].update({row: reward[row] for row in new})
    return chosen


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 5),
    st.sampled_from([0.0, 0.3, 2.0]),
    st.integers(1, 12),
    st.integers(0, 99),
)
def test_draws_are_those_of_the_plain_bandit(budget, probe, exploration, rounds, seed):
    rng = np.random.default_rng(seed)
    groups, reward = rng.integers(0, 5, 30), rng.normal(size=30)
    selector = BanditSelector(
        budget=budget,
        arms="groups",
        reward=lambda rows: reward[rows],
        probe=probe,
        exploration=exploration,
        rounds=rounds,
        random_state=seed,
    ).fit(groups=groups)
    arm = np.unique(groups, return_inverse=True)[1]
    noise = Inputs(groups=groups).noise(seed, "bandit")
    expected = plain(arm, noise, reward, budget, probe, exploration, rounds)
    assert selector.indices_.tolist() == expected


def test_with_many_arms_several_draw_in_a_round():
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(60), 6))
    reward = rng.normal(size=360) + groups / 20
    options = {"probe": 2, "exploration": 0.5, "rounds": 7}
    selector = BanditSelector(
        budget=90, arms="groups", reward=lambda rows: reward[rows], **options
    ).fit(groups=[f"{group:02}" for group in groups])
    noise = Inputs(groups=groups).noise(0, "bandit")
    assert selector.indices_.tolist() == plain(groups, noise, reward, 90, **options)


def test_without_exploration_arms_empty_from_the_best_down():
    sizes, worth = [30, 12, 25, 9], np.array([0.1, 0.9, -3.0, 0.5])
    X, blob = blobs(sizes)
    selector = BanditSelector(
        budget=45, n_clusters=4, exploration=0, radius=0, reward=lambda rows: worth[blob[rows]]
    ).fit(X)
    assert np.bincount(blob[selector.indices_], minlength=4).tolist() == [24, 12, 0, 9]
    assert (np.diff(worth[blob[selector.indices_]]) <= 0).all()
    np.testing.assert_allclose(selector.scores_, worth[blob])
    report = selector.report_
    assert (report["reward"], report["arms"], report["arms_drawn"]) == ("callable", 4, 3)
    assert report["reward_pool"] == pytest.approx(worth @ sizes / 76)


def test_no_row_is_rewarded_twice_and_few_are():
    X, blob = blobs([400] * 10)
    rng = np.random.default_rng(1)
    noise = rng.normal(size=4_000)
    asked: list[int] = []

    def reward(rows):
        asked.extend(rows.tolist())
        return (blob[rows] == 3) + 0.5 * noise[rows]

    selector = BanditSelector(budget=300, reward=reward, n_clusters=25).fit(X)
    assert len(asked) == len(set(asked)) == selector.report_["evaluations"]
    assert len(asked) < 800
    assert (blob[selector.indices_] == 3).mean() > 0.9
    assert selector.report_["reward_selected"] > 0.8
    assert abs(selector.report_["reward_pool"] - 0.1) < 0.15
    details = [json.loads(detail) for detail in selector.decisions()["detail"]]
    assert {row for row, detail in enumerate(details) if detail["reward"] is not None} == set(asked)
    for detail in details:
        assert detail["arm_drawn"] <= detail["arm_rows"]


def test_near_clusters_learn_from_each_other():
    # two directions 10 degrees apart and one across; only the first arm's rewards are high
    angles = np.repeat(np.radians([0, 10, 90]), 50)
    X = np.c_[np.cos(angles), np.sin(angles)].astype(np.float32)
    worth = np.repeat([1.0, 0.0, 0.0], 50)
    apart = 1 - np.cos(np.radians(10))
    for radius, share in ((0.2, 1 - apart / 0.2), (0.01, 0.0), (0, 0.0)):
        selector = BanditSelector(
            budget=1, n_clusters=3, radius=radius, probe=10, reward=lambda rows: worth[rows]
        ).fit(X)
        means = selector.scores_[[0, 50, 100]]
        expected = [1 / (1 + share), share / (1 + share), 0]
        np.testing.assert_allclose(means, expected, atol=1e-5)


def test_arms_may_be_groups_or_communities():
    worth = np.array([0.0, 1.0, 0.5])
    blob = np.repeat([0, 1, 2], [20, 5, 20])
    reward = lambda rows: worth[blob[rows]]  # noqa: E731
    dense = np.equal.outer(blob, blob).astype(float)
    for arms, inputs in (
        ("groups", {"groups": blob}),
        ("communities", {"graph": from_dense(dense)}),
    ):
        selector = BanditSelector(budget=10, arms=arms, reward=reward).fit(**inputs)
        assert np.bincount(blob[selector.indices_]).tolist() == [0, 5, 5]
    missing = [None if b == 1 else str(b) for b in blob]
    selector = BanditSelector(budget=5, arms="groups", reward=reward).fit(groups=missing)
    assert set(blob[selector.indices_]) == {1}


def test_rewards_by_default():
    X, blob = blobs([60, 60, 60], seed=2)
    target = X[blob == 1][:7] + 0.01
    selector = BanditSelector(budget=40, probe=60, n_clusters=3, radius=0).fit(X, target=target)
    assert selector.report_["reward"] == "target"
    assert set(blob[selector.indices_]) == {1}
    unit, wanted = (A / np.linalg.norm(A, axis=1, keepdims=True) for A in (X, target))
    cosines = (unit @ wanted.T).mean(axis=1)
    for b in range(3):
        np.testing.assert_allclose(
            selector.scores_[blob == b], cosines[blob == b].mean(), atol=1e-5
        )
    scores = (blob == 2) * 1.0
    selector = BanditSelector(budget=40).fit(X, scores=scores)
    assert selector.report_["reward"] == "scores"
    assert set(blob[selector.indices_]) == {2}
    both = BanditSelector(budget=40).fit(X, scores=scores, target=target)
    assert both.report_["reward"] == "target"
    order = np.random.default_rng(0).permutation(7)
    again = BanditSelector(budget=40).fit(X, target=target[order])
    np.testing.assert_array_equal(again.scores_, both.scores_)


def test_rewards_follow_the_rows_as_given():
    X, blob = blobs([50, 50], seed=3)
    ids = np.array([f"{row:03}" for row in np.random.default_rng(0).permutation(100)])
    found = BanditSelector(budget=20, reward=lambda rows: blob[rows]).fit(X, ids=ids)
    order = np.random.default_rng(1).permutation(100)
    other = BanditSelector(budget=20, reward=lambda rows: blob[order][rows]).fit(
        X[order], ids=ids[order]
    )
    assert set(blob[found.indices_]) == {1}
    assert ids[found.indices_].tolist() == ids[order][other.indices_].tolist()


def test_what_can_not_be_played_is_refused():
    X, _ = blobs([20, 20])
    with pytest.raises(MissingInputError, match="needs a reward"):
        BanditSelector(budget=3).fit(X)
    scores = np.zeros(40)
    for arms, needed in (("groups", "groups"), ("communities", "graph")):
        with pytest.raises(MissingInputError, match=needed):
            BanditSelector(budget=3, arms=arms).fit(X, scores=scores)
    with pytest.raises(MissingInputError, match="vectors"):
        BanditSelector(budget=3, arms="groups").fit(groups=[1] * 40, target=X)
    with pytest.raises(InputError, match="one number per row"):
        BanditSelector(budget=3, reward=lambda rows: 1.0).fit(X)
    with pytest.raises(NonFiniteError):
        BanditSelector(budget=3, reward=lambda rows: rows * np.nan).fit(X)
    for options in (
        {"arms": "trees"},
        {"reward": "score"},
        {"probe": 0},
        {"rounds": 1.5},
        {"n_clusters": "many"},
        {"exploration": -1},
        {"radius": math.nan},
        {"metric": "ip"},
    ):
        with pytest.raises(ConfigError, match=next(iter(options))):
            BanditSelector(budget=3, **options).fit(X, scores=scores)


def test_clusters_like_the_target_are_found_among_images():
    images = pl.read_parquet(shared("cifar10_vectors.parquet"))
    pool, ships = images.filter(split="train")[:10_000], images.filter(split="test", label=8)
    X, target = (np.stack(part["vec"].to_numpy()).astype(np.float32) for part in (pool, ships))
    labels = pool["label"].to_numpy()
    selector = BanditSelector(budget=500).fit(X, target=target)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    wanted = (target / np.linalg.norm(target, axis=1, keepdims=True)).mean(axis=0)
    cosines = unit @ wanted
    best = np.sort(cosines)[-500:].mean()
    reached = cosines[selector.indices_].mean()
    assert reached - cosines.mean() > 0.5 * (best - cosines.mean())
    assert (labels[selector.indices_] == 8).mean() > 2 * (labels == 8).mean()
    assert selector.report_["evaluations"] < 2_000
