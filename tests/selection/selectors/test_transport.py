from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from assay.index.embedding.embedders import embed
from assay.selection.algorithms.sinkhorn import sinkhorn
from assay.selection.algorithms.whitening import fit_whitening
from assay.selection.contract.inputs import derived_seed
from assay.selection.selectors.transport import TransportSelector
from assay.selection.selectors.transport_layers import cosine_distance
from assay.storage.errors import ConfigError, InputError, MissingInputError, NonFiniteError
from assay.storage.hashing.rows import hash_rows, hex_digests, uniform
from tests.data import shared


def pools(n=150, m=12, d=4, seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d))
    X = (rng.normal(size=(n, d)) @ mix).astype(np.float32)
    target = (rng.normal(loc=0.5, size=(m, d)) @ mix).astype(np.float32)
    return X, target


def whitened(X, target, eps=1e-5):
    """Rows of length 1 after whitening, written out in full."""
    both = np.concatenate([X, target]).astype(np.float64)
    centered = both - both.mean(axis=0)
    factor = np.linalg.cholesky(centered.T @ centered / len(both) + eps * np.eye(both.shape[1]))
    found = centered @ np.linalg.inv(factor).T
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found[: len(X)], found[len(X) :]


def plain_layers(cosines):
    """Lowest rank (from 1) at which any target row lists each row."""
    ranks = np.argsort(np.argsort(-cosines, axis=1, kind="stable"), axis=1)
    return ranks.min(axis=0) + 1


def test_whitening_gives_unit_variance_in_every_direction():
    X, target = pools(500, 60, 6)
    whitening = fit_whitening([X, target], eps=1e-9)
    found = np.concatenate([whitening.apply(X), whitening.apply(target)]).astype(np.float64)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(found.T @ found / len(found), np.eye(6), atol=1e-4)
    # and does not depend on scale or mixing of the columns, apart from a rotation
    mixed = np.random.default_rng(1).normal(size=(6, 6)) * 30
    parts = [(X @ mixed).astype(np.float32), (target @ mixed).astype(np.float32)]
    other = fit_whitening(parts, eps=1e-9)
    again = np.concatenate([other.apply(part) for part in parts]).astype(np.float64)
    np.testing.assert_allclose(found @ found[:50].T, again @ again[:50].T, atol=0.02)
    constant = np.ones((5, 3), np.float32)
    assert not fit_whitening([constant]).directions(constant).any()


@pytest.mark.parametrize("budget", [1, 7, 12, 20, 61, 149, 150])
def test_layers_are_those_of_the_full_matrix(budget):
    X, target = pools()
    left, right = whitened(X, target)
    cosines = right @ left.T
    layers = plain_layers(cosines)
    selector = TransportSelector(budget=budget, folds=0, transport_rows=1_000).fit(X, target=target)
    np.testing.assert_allclose(selector.scores_, cosines.max(axis=0), atol=1e-5)
    # all layers but the last are complete, and nothing of a later one is there
    last = np.sort(layers)[budget - 1]
    assert set(np.flatnonzero(layers < last)) <= set(selector.indices_.tolist())
    assert layers[selector.indices_].max() == last == selector.report_["depth"]
    assert (np.diff(layers[selector.indices_]) >= 0).all()
    told = np.bincount(layers[selector.indices_])[1:101].tolist()
    assert selector.report_["layers"] == told
    assert selector.report_["filled"] == 0
    details = [json.loads(detail) for detail in selector.decisions()["detail"]]
    for row in selector.indices_:
        assert details[row]["layer"] == layers[row]
        target_row = details[row]["target"]
        assert details[row]["similarity"] == pytest.approx(cosines[target_row, row], abs=1e-5)
        assert np.sum(cosines[target_row] > cosines[target_row, row]) + 1 == layers[row]


@pytest.mark.parametrize("budget", [5, 17, 30])
def test_the_last_layer_is_cut_by_potential(budget):
    X, target = pools()
    left, right = whitened(X, target)
    layers = plain_layers(right @ left.T)
    last = np.sort(layers)[budget - 1]
    inside, cut = np.flatnonzero(layers <= last), np.flatnonzero(layers == last)
    cost = np.sqrt(np.maximum(2 - 2 * left[inside] @ right.T, 0))
    found = sinkhorn(cost, tolerance=1e-3)
    potential = dict(zip(inside.tolist(), found.rows, strict=True))
    need = budget - np.count_nonzero(layers < last)
    assert 0 < need < len(cut)
    best = sorted(cut.tolist(), key=lambda row: potential[row])[:need]
    selector = TransportSelector(budget=budget, folds=0, transport_rows=1_000).fit(X, target=target)
    assert selector.indices_[budget - need :].tolist() == best
    decisions = selector.decisions()
    passed = decisions.filter(reason="less_use_to_transport")
    assert passed.height == len(cut) - need
    for detail in map(json.loads, passed["detail"]):
        assert detail["potential"] >= detail["threshold"]


def plain_estimate(left, right, fold, folds):
    """The depths of the folds and the number of rows listed, from the full matrix."""
    cosines = right @ left.T
    order = np.argsort(-cosines, axis=1, kind="stable")
    depths, listed = [], set()
    for number in range(folds):
        inside, best, kept = np.flatnonzero(fold == number), np.inf, set()
        for depth in range(1, 65):
            found = {int(row) for t in inside for row in order[t, :depth] if cosines[t, row] > 0}
            rows = sorted(found)
            distance = np.sqrt(np.maximum(2 - 2 * left[rows] @ right[fold != number].T, 0))
            cost = sinkhorn(distance, tolerance=1e-3).cost
            if cost > best:
                break
            best, kept = cost, found
        depths.append(depth - 1)
        listed |= kept
    return len(listed), depths


def test_the_estimated_budget_stops_before_it_gets_worse():
    X, target = pools(300, 24, 3)
    selector = TransportSelector(budget=10, folds=3, transport_rows=1_000).fit(X, target=target)
    report = selector.report_
    left, right = whitened(X, target)
    noise = uniform(hex_digests(hash_rows(target)), derived_seed(0, "transport/target"))
    fold = np.empty(24, dtype=int)
    fold[np.argsort(noise)] = np.arange(24) % 3
    budget, depths = plain_estimate(left, right, fold, 3)
    assert (report["estimated_budget"], report["estimated_depths"]) == (budget, depths)
    assert report["estimated_share"] == budget / 300
    assert report["estimate_limited"] is False
    without = TransportSelector(budget=10, folds=0).fit(X, target=target)
    assert without.report_["estimated_budget"] is None
    single = TransportSelector(budget=10).fit(X, target=target[:1])
    assert single.report_["estimated_budget"] is None


def test_a_denser_pool_has_a_larger_estimate():
    rng = np.random.default_rng(0)
    target = rng.normal(loc=[2, 2, 0, 0], size=(60, 4))
    estimates = []
    for share in (20, 400):
        near = rng.normal(loc=[2, 2, 0, 0], size=(share, 4))
        X = np.concatenate([near, rng.normal(loc=[-1, -1, 0, 0], size=(600 - share, 4))])
        selector = TransportSelector(budget=10, transport_rows=200).fit(X, target=target)
        estimates.append(selector.report_["estimated_budget"])
    assert estimates[0] < estimates[1]


def test_rows_beyond_the_lists_fill_the_budget_by_similarity():
    X, target = pools()
    selector = TransportSelector(budget=40, max_depth=1, folds=0).fit(X, target=target)
    report = selector.report_
    assert report["depth"] == 1
    assert report["filled"] == 40 - sum(report["layers"])
    filled = selector.indices_[40 - report["filled"] :]
    rest = np.setdiff1d(np.arange(150), selector.indices_)
    assert selector.scores_[filled].min() >= selector.scores_[rest].max()
    assert (np.diff(selector.scores_[filled]) <= 0).all()


def test_neither_the_order_of_the_target_nor_sampling_noise_decides():
    X, target = pools(200, 40)
    arguments = {"budget": 30, "folds": 2, "transport_rows": 20}
    first = TransportSelector(**arguments).fit(X, target=target)
    other = TransportSelector(**arguments).fit(X, target=target[::-1].tolist())
    np.testing.assert_array_equal(first.indices_, other.indices_)
    assert first.report_ == other.report_
    assert first.report_["distance"] < first.report_["distance_random"]


def test_the_distance_of_directions():
    left, right = whitened(*pools())
    single = cosine_distance(left.astype(np.float32), right.astype(np.float32))
    expected = np.linalg.norm(left[:, None] - right[None], axis=2)
    np.testing.assert_allclose(single, expected, atol=1e-5)


def test_what_is_no_target_is_refused():
    X, target = pools()
    make = TransportSelector(budget=5, folds=0)
    with pytest.raises(MissingInputError, match="target"):
        make.fit(X)
    with pytest.raises(InputError, match="columns"):
        make.fit(X, target=target[:, :2])
    with pytest.raises(InputError):
        make.fit(X, target=["a text"])
    with pytest.raises(NonFiniteError):
        make.fit(X, target=np.full((2, 4), np.nan))
    for options in (
        {"eps": 0},
        {"max_depth": 0},
        {"folds": 1},
        {"folds": -1},
        {"transport_rows": 1},
    ):
        with pytest.raises(ConfigError, match=next(iter(options))):
            TransportSelector(budget=5, **options).fit(X, target=target)


def test_a_target_of_one_class_raises_its_share():
    images = pl.read_parquet(shared("cifar10_vectors.parquet"))
    pool, ships = images.filter(split="train")[:10_000], images.filter(split="test", label=8)[:150]
    X, target = (np.stack(part["vec"].to_numpy()).astype(np.float32) for part in (pool, ships))
    selector = TransportSelector(budget=300).fit(X, target=target)
    labels = pool["label"].to_numpy()
    assert (labels[selector.indices_] == 8).mean() > 4 * (labels == 8).mean()
    assert selector.report_["distance"] < 0.97 * selector.report_["distance_random"]
    assert 100 < selector.report_["estimated_budget"] < 5_000


def test_a_target_of_one_domain_of_texts_is_found():
    texts = pl.read_parquet(shared("text_pool.parquet"), columns=["id", "text", "domain"])
    texts = texts.gather_every(84).head(3_000)
    X = embed(texts["text"], ids=texts["id"])
    wanted = (texts["domain"] == "newsgroups").to_numpy()
    target = np.flatnonzero(wanted)[:40]
    pool = np.setdiff1d(np.arange(3_000), target)
    selector = TransportSelector(budget=80).fit(X[pool], target=X[target], ids=texts["id"][pool])
    assert wanted[pool][selector.indices_].mean() > 6 * wanted[pool].mean()
    assert selector.report_["distance"] < selector.report_["distance_random"]


def test_without_whitening_target_rows_take_turns_by_the_plain_cosine():
    rng = np.random.default_rng(8)
    X, target = rng.normal(size=(60, 4)), rng.normal(size=(5, 4))
    selector = TransportSelector(budget=15, whiten=False, folds=0).fit(X, target=target)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (X, target)]
    cosines = (unit[0] @ unit[1].T).astype(np.float32)
    np.testing.assert_allclose(selector.scores_, cosines.max(axis=1), atol=1e-6)
    order = np.argsort(-cosines, axis=0, kind="stable")
    whole, depth = set(), 0
    while len(whole | set(order[depth])) <= 15:
        whole |= set(order[depth])
        depth += 1
    assert whole <= set(selector.indices_.tolist()) <= whole | set(order[depth])


def test_whitening_costs_precision_on_embeddings_of_texts():
    """Measured: .71, .62, .53, .89 whitened, .78, .88, .59, .86 by the plain cosine."""
    texts = pl.read_parquet(shared("text_pool.parquet"), columns=["id", "text", "domain"])
    texts = texts.gather_every(42).head(6_000)
    X = embed(texts["text"], ids=texts["id"])
    precision = {True: [], False: []}
    for domain in ("newsgroups", "medical_abstracts", "factoid_questions", "code_csharp"):
        wanted = (texts["domain"] == domain).to_numpy()
        target = np.flatnonzero(wanted)[:20]
        pool = np.setdiff1d(np.arange(texts.height), target)
        for whiten, found in precision.items():
            selector = TransportSelector(budget=100, whiten=whiten, folds=0)
            selector.fit(X[pool], target=X[target], ids=texts["id"][pool])
            found.append(wanted[pool][selector.indices_].mean())
    assert np.mean(precision[False]) >= np.mean(precision[True]) + 0.05
