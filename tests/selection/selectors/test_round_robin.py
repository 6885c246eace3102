"""Round robin, against turns taken one by one over the full matrix of cosines."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection import RoundRobinSelector, TransportSelector
from assay.selection.algorithms.whitening import fit_whitening
from assay.storage.errors import ConfigError, InputError
from assay.storage.hashing.rows import hash_rows


def directions(rows):
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_content(rows):
    """The order in which target rows have their turns."""
    hashes = hash_rows(np.asarray(rows, dtype=np.float32))
    return np.lexsort((hashes[:, 1], hashes[:, 0])).tolist()


def turns(X, tasks, budget, covered=()):
    """(row, task, target row) taken, one turn after the other."""
    left, taken, place = set(range(len(X))), [], 0
    orders = {name: by_content(rows) for name, rows in tasks.items()}
    cosines = {name: directions(rows) @ directions(X).T for name, rows in tasks.items()}
    while len(taken) < budget and left:
        for name in sorted(tasks):
            row_of = orders[name][place % len(orders[name])]
            if left and len(taken) < budget:
                best = max(left, key=lambda i: (cosines[name][row_of, i], -i))
                left.remove(best)
                if best not in covered:
                    taken.append((best, name, row_of))
        place += 1
    return taken


def single(target):
    """A target without names: a task for each row, in the order of their turns."""
    return {f"{turn:03}": target[[row]] for turn, row in enumerate(by_content(target))}


def pools(seed, n=40, m=5, d=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)).astype(np.float32), rng.normal(size=(m, d)).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    budget=st.integers(1, 25),
    had=st.sets(st.integers(0, 39), max_size=14),
)
def test_turns_are_those_of_the_full_matrix(seed, budget, had):
    X, target = pools(seed)
    covered = np.isin(np.arange(40), list(had))
    selector = RoundRobinSelector(budget=budget).fit(X, target=target, covered=covered)
    expected = turns(X, single(target), budget, had)
    assert selector.indices_.tolist() == [row for row, _, _ in expected]
    assert len(set(selector.indices_.tolist())) == budget
    details = [json.loads(detail) for detail in selector.decisions()["detail"]]
    cosines = directions(target) @ directions(X).T
    for place, row in enumerate(selector.indices_):
        assert details[row]["target"] == by_content(target)[int(expected[place][1])]
        assert details[row]["similarity"] == pytest.approx(
            cosines[details[row]["target"], row], abs=1e-5
        )
    if not had:
        assert selector.report_["rounds"] == -(-budget // 5)
    np.testing.assert_allclose(selector.scores_, cosines.max(axis=0), atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), budget=st.integers(1, 40))
def test_tasks_take_turns_whatever_their_size(seed, budget):
    X, target = pools(seed, m=9)
    tasks = {"law": target[:1], "code": target[1:3], "math": target[3:]}
    selector = RoundRobinSelector(budget=budget).fit(X, target=tasks)
    expected = turns(X, tasks, budget)
    assert selector.indices_.tolist() == [row for row, _, _ in expected]
    counts = selector.report_["tasks"]
    assert sum(counts.values()) == budget
    assert max(counts.values()) - min(counts.values()) <= 1
    again = RoundRobinSelector(budget=budget).fit(
        X, target={"math": target[3:][::-1], "law": target[:1], "code": target[1:3]}
    )
    np.testing.assert_array_equal(selector.indices_, again.indices_)


def test_budgets_are_prefixes_and_the_order_of_rows_changes_nothing():
    X, target = pools(3, n=200, m=7)
    ids = np.array([f"{i:03}" for i in range(200)])
    large = RoundRobinSelector(budget=150).fit(X, target=target, ids=ids)
    small = RoundRobinSelector(budget=31).fit(X, target=target, ids=ids)
    np.testing.assert_array_equal(small.indices_, large.indices_[:31])
    order = np.random.default_rng(0).permutation(200)
    other = RoundRobinSelector(budget=150).fit(X[order], target=target[::-1], ids=ids[order])
    assert ids[large.indices_].tolist() == ids[order][other.indices_].tolist()


def test_whitened_turns_and_lists_that_end():
    X, target = pools(5)
    whitening = fit_whitening([X, target])
    order = by_content(target)
    white = RoundRobinSelector(budget=12, whiten=True).fit(X, target=target)
    # turns go by the content as given, not by the whitened one
    found = turns_in_order(whitening.directions(X), whitening.directions(target)[order], 12)
    assert white.indices_.tolist() == found
    short = RoundRobinSelector(budget=30, max_depth=2).fit(X, target=target)
    assert len(set(short.indices_.tolist())) == 30
    assert short.report_["filled"] == 30 - len(turned(X, target, 2))
    rest = short.indices_[-short.report_["filled"] :]
    assert (np.diff(short.scores_[rest]) <= 0).all()


def turns_in_order(X, target, budget):
    cosines, left, taken = target @ X.T, set(range(len(X))), []
    while len(taken) < budget:
        for row in cosines:
            if len(taken) < budget:
                best = max(left, key=lambda i, row=row: (row[i], -i))
                left.remove(best)
                taken.append(best)
    return taken


def turned(X, target, depth):
    """The rows that lists of so many rows can give."""
    cosines = directions(target) @ directions(X).T
    return {int(i) for row in cosines for i in np.argsort(-row)[:depth]}


def test_what_is_wrong_is_refused():
    X, target = pools(1)
    with pytest.raises(InputError, match="empty mapping"):
        RoundRobinSelector(budget=3).fit(X, target={})
    with pytest.raises(InputError, match="columns"):
        RoundRobinSelector(budget=3).fit(X, target=target[:, :2])
    with pytest.raises(ConfigError, match="max_depth is 0"):
        RoundRobinSelector(budget=3, max_depth=0).fit(X, target=target)


def test_on_text_vectors_plain_cosines_find_more_of_a_target():
    """Of the rows of one domain, as S14 measured: plain above whitened."""
    from assay.index import embed
    from tests.data import shared

    pool = pl.read_parquet(shared("text_pool.parquet"), columns=["id", "text", "domain"])
    pool = pool.sample(6_000, seed=1)
    vectors = embed(pool["text"], ids=pool["id"])
    found = {"plain": [], "transport": []}
    for domain in ("medical_abstracts", "news", "code_java"):
        inside = np.flatnonzero((pool["domain"] == domain).to_numpy())
        target, rest = inside[:40], np.setdiff1d(np.arange(len(pool)), inside[:40])
        budget = len(inside) - 40
        for name, made in (
            ("plain", RoundRobinSelector(budget=budget)),
            ("transport", TransportSelector(budget=budget, folds=0)),
        ):
            chosen = made.fit(vectors[rest], target=vectors[target]).indices_
            found[name].append(float(np.isin(rest[chosen], inside).mean()))
    assert np.mean(found["plain"]) > np.mean(found["transport"])
