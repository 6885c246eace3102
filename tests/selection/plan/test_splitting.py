"""Splits that don't leak, and leaks of splits that do."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.index import SimilarityGraph
from assay.selection import split_leaks, split_pool
from assay.storage.errors import ConfigError, InputError

WORDS = [f"w{i}" for i in range(300)]
PARTS = {"train": 0.7, "valid": 0.1, "test": 0.2}


def documents(seed, n=300, copied=60):
    """Texts of which some are copies of earlier ones, exact or with a word changed."""
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, 20)) for _ in range(n - copied)]
    origin = list(range(n - copied))
    for _ in range(copied):
        source = rng.integers(len(texts))
        words = texts[source].split()
        if rng.random() < 0.5:
            words[rng.integers(20)] = "changed"
        texts.append(" ".join(words))
        origin.append(origin[source])
    return texts, np.array(origin)


def part_of(split):
    return dict(split.frame.select("sample_id", "part").iter_rows())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_group_straddles_parts(seed):
    texts, _ = documents(seed)
    ids = [f"t{i:03}" for i in range(300)]
    split = split_pool(PARTS, texts, ids=ids, near=0.4, random_state=seed)
    frame = split.frame
    assert frame.group_by("group_id").agg(pl.col("part").n_unique())["part"].max() == 1
    sets = [{tuple(t.split()[i : i + 5]) for i in range(16)} for t in texts]
    parts, groups = frame["part"].to_list(), frame["group_id"].to_list()
    for row, held in enumerate(sets):
        for other in range(row):
            # MinHash finds all but a few pairs right at the threshold
            if len(held & sets[other]) >= 0.65 * len(held | sets[other]):
                assert groups[row] == groups[other]
                assert parts[row] == parts[other]
    # the group is named by its least id, and holds it
    least = frame.group_by("group_id").agg(pl.col("sample_id").min())
    assert (least["group_id"] == least["sample_id"]).all()


def test_copies_that_are_planted_are_the_groups():
    texts, origin = documents(1)
    split = split_pool(PARTS, texts, near=0.5)
    group = split.frame["group_id"].to_numpy()
    same = origin[:, None] == origin
    assert ((group[:, None] == group)[same]).mean() > 0.98
    assert not (group[:, None] == group)[~same].any()


@pytest.mark.parametrize("seed", range(3))
def test_rows_keep_their_part_as_the_pool_grows(seed):
    texts, _ = documents(seed)
    ids = [f"{seed}-{i:04}" for i in np.random.default_rng(seed).permutation(300)]
    before = split_pool(PARTS, texts[:200], ids=ids[:200], random_state=seed)
    after = split_pool(PARTS, texts, ids=ids, random_state=seed)
    order = np.random.default_rng(9).permutation(300)
    shuffled = split_pool(
        PARTS, [texts[i] for i in order], ids=[ids[i] for i in order], random_state=seed
    )
    assert part_of(after) == part_of(shuffled)
    groups = dict(before.frame.select("sample_id", "group_id").iter_rows())
    later = dict(after.frame.select("sample_id", "group_id").iter_rows())
    old, new = part_of(before), part_of(after)
    # a group moves only where a row of a lesser id has come into it
    assert all(old[i] == new[i] for i in old if groups[i] == later[i])
    kept = split_pool(PARTS, texts, ids=ids, random_state=seed, previous=before.frame)
    merged = {i for i in old if groups[i] != later[i]}
    assert all(part_of(kept)[i] == old[i] for i in old if i not in merged)


def test_labels_are_stratified_exactly_up_to_groups():
    rng = np.random.default_rng(0)
    y = rng.choice(["a", "b", "c"], 1000, p=[0.6, 0.3, 0.1])
    texts = [f"{y[i]} text {i} {rng.integers(10**9)}" for i in range(1000)]
    split = split_pool(PARTS, texts, stratify=y, semantic=None)
    for label in "abc":
        mine = split.frame.filter(pl.Series(y == label))
        for part, share in PARTS.items():
            count = mine.filter(pl.col("part") == part).height
            assert abs(count - share * mine.height) <= 1
    assert split.report["deviation"] < 0.005
    more = [*texts, *[f"new {i} {rng.integers(10**9)}" for i in range(500)]]
    labels = np.concatenate([y, rng.choice(["a", "b", "c"], 500)])
    grown = split_pool(PARTS, more, stratify=labels, previous=split.frame, semantic=None)
    assert part_of(split).items() <= part_of(grown).items()
    assert grown.report["label_deviation"] < 0.03


def test_values_of_by_stay_together_and_time_orders_parts():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(400, 5)).astype(np.float32)
    user = rng.integers(0, 50, 400)
    split = split_pool(PARTS, X, by=user)
    parts = pl.DataFrame({"user": user, "part": split.frame["part"]})
    assert parts.group_by("user").agg(pl.col("part").n_unique())["part"].max() == 1
    day = rng.permutation(400)
    timed = split_pool(PARTS, X, time=day)
    latest = -1
    for part, share in PARTS.items():
        days = day[(timed.frame["part"] == part).to_numpy()]
        assert days.min() > latest
        assert abs(len(days) - share * 400) <= 1
        latest = days.max()


def test_rows_that_are_close_on_the_graph_are_one_group():
    rng = np.random.default_rng(3)
    X = rng.normal(size=(200, 8)).astype(np.float32)
    X[100:150] = X[:50] + 0.001 * rng.normal(size=(50, 8))
    ids = [f"r{i:03}" for i in range(200)]
    graph = SimilarityGraph.from_vectors(X, k=5, ids=ids)
    for semantic in ("auto", 0.99):
        split = split_pool(PARTS, X, graph=graph, ids=ids, semantic=semantic)
        group = split.frame["group_id"].to_list()
        assert group[100:150] == ids[:50]
        # the automatic threshold may take a pair that lies close by chance
        assert 145 <= split.report["groups"] <= 150


def test_leaks_are_the_pairs_across_parts():
    texts, origin = documents(4)
    rng = np.random.default_rng(4)
    part = rng.choice(["train", "test"], 300, p=[0.8, 0.2])
    y = origin % 7
    X = np.random.default_rng(0).normal(size=(300, 6))[origin].astype(np.float32)
    leaks, report = split_leaks(part, texts, y=y, vectors=X, near=0.4)
    pairs = {tuple(sorted(map(int, pair))) for pair in leaks["sample_id", "other_id"].iter_rows()}
    assert set(leaks["part"]) == {"test"}
    assert set(leaks["other_part"]) == {"train"}
    for a, b in pairs:
        assert origin[a] == origin[b]
        assert part[a] != part[b]
    sets = [{tuple(t.split()[i : i + 5]) for i in range(16)} for t in texts]
    train = np.flatnonzero(part == "train")
    # MinHash finds all but a few pairs right at the threshold
    leaking = {
        row
        for row in np.flatnonzero(part == "test")
        if max(len(sets[row] & sets[o]) / len(sets[row] | sets[o]) for o in train) >= 0.6
    }
    found = {int(row) for row in leaks["sample_id"]}
    assert leaking <= found
    assert len(leaking) > 5
    assert report["rows"] == {"test": len(found), "train": 0}
    nearest = report["nearest"]["test"]
    assert nearest["accuracy"] > nearest["without"]
    split = split_pool({"train": 0.8, "test": 0.2}, texts, near=0.4)
    assert split_leaks(split.frame["part"], texts, near=0.4)[0].is_empty()


def test_parts_that_can_not_be_made_are_refused():
    texts = ["a", "b", "c"]
    for parts in ({"train": 1.0}, {"train": 0.5, "test": 0}, {"train": 1, "test": "x"}, 3):
        with pytest.raises(ConfigError):
            split_pool(parts, texts)
    with pytest.raises(ConfigError, match="leave time or stratify"):
        split_pool(PARTS, texts, time=[1, 2, 3], stratify=["a", "b", "a"])
    with pytest.raises(InputError, match="time"):
        split_pool(PARTS, texts, time=[1, None, 2])
