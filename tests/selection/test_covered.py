"""Rows that are had already: they count as chosen and are not handed out."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from assay.index import SimilarityGraph
from assay.selection import (
    CoverageCentricSelector,
    D2Selector,
    FacilityLocationSelector,
    GraphCutSelector,
    HerdingSelector,
    HierarchicalBalancedSelector,
    ImportanceResampler,
    KCenterSelector,
    ModerateSelector,
    RandomSelector,
    SaturatedCoverageSelector,
    StratifiedSelector,
    TransportSelector,
    TwoStageSelector,
    registry,
)
from assay.selection.base import Selector
from assay.selection.conformance import check
from assay.selection.contract.budgets import ShortfallWarning
from assay.selection.importance.missing import missing_share
from assay.storage.errors import ConfigError, IdError, InputError

selectors = pytest.mark.parametrize(
    "entry", registry.entries("selector"), ids=lambda entry: entry.name
)


@selectors
def test_every_selector_keeps_the_promises_about_covered_rows(entry):
    assert entry.honors_covered
    parameters = {"budget": 13} if entry.name != "importance" else {"budget": 13, "temperature": 1}
    check(entry.load(), **parameters)


def pool(seed, n=40, d=3, clusters=5):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(clusters, d)) * 3
    X = (centers[rng.integers(0, clusters, n)] + rng.normal(size=(n, d))).astype(np.float32)
    covered = rng.random(n) < 0.25
    covered[rng.integers(n)] = True
    covered[rng.integers(n)] = False
    return X, covered


def dense(graph):
    S = graph.to_scipy().toarray().astype(np.float64).clip(min=0)
    np.fill_diagonal(S, np.maximum(1, S.max(axis=1)))
    return S


def facility_location(S, rows):
    return S[:, rows].max(axis=1).sum() if len(rows) else 0.0


def saturated(S, rows):
    return np.minimum(0.25 * S.sum(axis=1), S[:, rows].sum(axis=1)).sum()


def graph_cut(S, rows):
    return 2 * S[:, rows].sum() - S[np.ix_(rows, rows)].sum()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("make", "value"),
    [
        (FacilityLocationSelector, facility_location),
        (SaturatedCoverageSelector, saturated),
        (GraphCutSelector, graph_cut),
    ],
)
def test_greedy_goes_on_from_the_covered_rows(seed, make, value):
    X, covered = pool(seed)
    graph = SimilarityGraph.from_vectors(X, k=6)
    S = dense(graph)
    selector = make(budget=8).fit(graph=graph, covered=covered)
    chosen = np.flatnonzero(covered).tolist()
    for row, gain in zip(selector.indices_, selector.scores_[selector.indices_], strict=True):
        free = [other for other in range(len(X)) if other not in chosen]
        gains = [value(S, [*chosen, other]) - value(S, chosen) for other in free]
        assert gains[free.index(row)] == pytest.approx(max(gains), abs=1e-5)
        assert gain == pytest.approx(max(gains), abs=1e-5)
        chosen.append(row)
    assert selector.report_["objective"] == pytest.approx(value(S, chosen), rel=1e-6)
    had = value(S, np.flatnonzero(covered).tolist())
    assert selector.report_["objective_covered"] == pytest.approx(had, rel=1e-6)
    ranking = selector.ranking_
    assert sorted(ranking) == np.flatnonzero(~covered).tolist()
    np.testing.assert_array_equal(ranking[:8], selector.indices_)


@pytest.mark.parametrize("seed", range(3))
def test_what_greedy_took_can_be_covered_and_it_goes_on(seed):
    X, _ = pool(seed, n=80)
    graph = SimilarityGraph.from_vectors(X, k=6)
    for make in (FacilityLocationSelector, SaturatedCoverageSelector, GraphCutSelector):
        whole = make(budget=30).fit(graph=graph).indices_
        rest = make(budget=18).fit(graph=graph, covered=whole[:12]).indices_
        np.testing.assert_array_equal(rest, whole[12:])
    herded = HerdingSelector(budget=30).fit(X).indices_
    rest = HerdingSelector(budget=18).fit(X, covered=herded[:12]).indices_
    np.testing.assert_array_equal(rest, herded[12:])
    spread = KCenterSelector(budget=30, metric="l2").fit(X).indices_
    rest = KCenterSelector(budget=18, metric="l2").fit(X, covered=spread[:12]).indices_
    np.testing.assert_array_equal(rest, spread[12:])
    difficulty = np.random.default_rng(seed).random(80)
    pushed = D2Selector(budget=30, cutoff=0).fit(graph=graph, scores=difficulty).indices_
    rest = D2Selector(budget=18, cutoff=0).fit(graph=graph, scores=difficulty, covered=pushed[:12])
    np.testing.assert_array_equal(rest.indices_, pushed[12:])


@pytest.mark.parametrize("seed", range(5))
def test_k_center_takes_the_farthest_from_covered_rows_and_those_taken(seed):
    X, covered = pool(seed)
    selector = KCenterSelector(budget=8, metric="l2").fit(X, covered=covered)
    centers = np.flatnonzero(covered).tolist()
    for row in selector.indices_:
        away = np.sqrt(((X[:, None] - X[centers].astype(np.float64)) ** 2).sum(axis=2)).min(axis=1)
        assert away[row] == pytest.approx(away.max())
        assert selector.scores_[row] == pytest.approx(away.max())
        centers.append(row)


@pytest.mark.parametrize("seed", range(5))
def test_herding_keeps_the_mean_with_the_covered_rows(seed):
    X, covered = pool(seed)
    selector = HerdingSelector(budget=8).fit(X, covered=covered)
    X = X.astype(np.float64)
    chosen = np.flatnonzero(covered).tolist()
    for row in selector.indices_:
        means = (X[chosen].sum(axis=0) + X) / (len(chosen) + 1)
        away = np.sqrt(((X.mean(axis=0) - means) ** 2).sum(axis=1))
        away[chosen] = np.inf
        assert away[row] == pytest.approx(away.min())
        chosen.append(row)


def test_two_stages_start_from_the_covered_rows():
    X, covered = pool(3, n=300, clusters=12)
    graph = SimilarityGraph.from_vectors(X, k=8)
    selector = TwoStageSelector(budget=20, shards=4, compare=True).fit(graph=graph, covered=covered)
    whole = FacilityLocationSelector(budget=20).fit(graph=graph, covered=covered)
    report = selector.report_
    assert report["objective_centralised"] == pytest.approx(whole.report_["objective"])
    assert 0.97 < report["objective_ratio"] <= 1 + 1e-9
    assert report["objective"] == pytest.approx(
        facility_location(dense(graph), [*np.flatnonzero(covered), *selector.indices_]), rel=1e-6
    )


def test_strata_are_filled_with_covered_rows_first():
    difficulty = np.arange(100.0)
    # ten rows of each of ten strata; the hardest stratum has five already, the next two
    covered = np.isin(np.arange(100), [99, 98, 97, 96, 95, 89, 88])
    selector = CoverageCentricSelector(budget=33, cutoff=0, n_strata=10)
    chosen = selector.fit(scores=difficulty, covered=covered).indices_
    both = np.concatenate([chosen, np.flatnonzero(covered)])
    counts = np.bincount(both // 10, minlength=10)
    assert counts.sum() == 40
    assert counts[9] == 5
    assert set(counts[:9]) <= {3, 4}


def test_the_cut_is_that_of_the_whole_pool_and_leaves_the_budget():
    difficulty = np.arange(100.0)
    covered = np.arange(100) < 60
    selector = CoverageCentricSelector(budget=30, cutoff=0.3).fit(
        scores=difficulty, covered=covered
    )
    # 40 rows are left, so that 10 can be cut
    assert sorted(selector.indices_) == list(range(60, 90))


def test_clusters_with_covered_rows_get_less():
    X = np.repeat(np.eye(3), [60, 30, 10], axis=0)
    kind = np.repeat([0, 1, 2], [60, 30, 10])
    covered = np.zeros(100, dtype=bool)
    covered[:8] = True
    even = HierarchicalBalancedSelector(budget=16, levels=[3]).fit(X, covered=covered)
    assert np.bincount(kind[even.indices_], minlength=3).tolist() == [0, 8, 8]
    parts = ModerateSelector(budget=32).fit(X, y=kind, covered=covered)
    assert np.bincount(kind[parts.indices_], minlength=3).tolist() == [16, 12, 4]
    spread = StratifiedSelector(budget=32).fit(X, covered=covered)
    assert np.bincount(kind[spread.indices_], minlength=3).tolist() == [16, 12, 4]


@pytest.mark.parametrize("seed", range(4))
def test_a_stratified_draw_evens_out_what_is_had(seed):
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 6, 600)
    X = np.eye(6)[kind] + 0.05 * rng.normal(size=(600, 6))
    covered = (kind < 2) & (rng.random(600) < 0.2)
    both = np.concatenate(
        [
            StratifiedSelector(budget=120, random_state=seed).fit(X, covered=covered).indices_,
            np.flatnonzero(covered),
        ]
    )
    wanted = np.bincount(kind) * len(both) / 600
    assert np.abs(np.bincount(kind[both]) - wanted).max() <= 3


def test_transport_serves_target_rows_that_covered_rows_do_not():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 4))
    target = np.concatenate([X[:20], X[50:70]]) + 0.01
    covered = np.arange(300) < 20
    chosen = TransportSelector(budget=20, folds=0).fit(X, target=target, covered=covered)
    assert sorted(chosen.indices_) == list(range(50, 70))


WORDS = {
    "pets": ["cat", "dog", "paw", "fur", "tail", "kitten", "puppy", "leash"],
    "money": ["stock", "share", "bond", "fund", "yield", "bank", "rate", "loan"],
    "food": ["bread", "soup", "rice", "salt", "oven", "dish", "cook", "plate"],
}


def documents(kinds, seed):
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS[kind], 8)) for kind in kinds]


def test_importance_draws_what_is_missing_of_the_target():
    rng = np.random.default_rng(0)
    kinds = rng.choice(list(WORDS), 900)
    texts = documents(kinds, 1)
    target = documents(["pets"] * 60 + ["money"] * 60, 2)
    pets = np.flatnonzero(kinds == "pets")
    covered = pets[:80]
    for X, wanted in ((texts, target), (np.eye(3)[np.unique(kinds, return_inverse=True)[1]], None)):
        if wanted is None:
            names = sorted(WORDS)
            X = X + 0.1 * rng.normal(size=X.shape)
            wanted = np.eye(3)[[names.index("pets")] * 60 + [names.index("money")] * 60]
            wanted = wanted + 0.1 * rng.normal(size=wanted.shape)
        plain = ImportanceResampler(budget=80).fit(X, target=wanted)
        beside = ImportanceResampler(budget=80).fit(X, target=wanted, covered=covered)
        assert (kinds[plain.indices_] == "money").mean() < 0.75
        assert (kinds[beside.indices_] == "money").mean() > 0.9


def test_covered_rows_belong_to_the_target_they_are_likeliest_under():
    kinds = np.random.default_rng(0).choice(list(WORDS), 900)
    texts = documents(kinds, 1)
    targets = {name: documents([name] * 40, 3) for name in ("pets", "money")}
    shares = {"pets": 1, "money": 1}
    covered = np.flatnonzero(kinds == "pets")[:30]
    selector = ImportanceResampler(budget=70, proportions=shares, temperature=0)
    selector.fit(texts, target=targets, covered=covered)
    assert {name: part["quota"] for name, part in selector.report_["targets"].items()} == {
        "pets": 20,
        "money": 50,
    }


def test_the_missing_share_completes_the_target():
    rng = np.random.default_rng(3)
    wanted = rng.integers(30, 50, 30).astype(float)
    had = rng.integers(0, 5, 30).astype(float)
    drawn = 20 * had.sum()
    share = missing_share(wanted, had, drawn)
    # where no part is cut off, covered rows and the draw are the target together
    left = wanted / wanted.sum() * (had.sum() + drawn) - had
    assert (left > 0).all()
    below = share < 1
    ratio = share * wanted / left
    assert ratio[below] == pytest.approx(ratio[below][0])


def test_masks_and_ids_are_checked():
    ids = ["a", "b", "c", "d"]
    selector = RandomSelector(budget=2)
    for covered in (["b"], np.array([False, True, False, False]), {"b"}):
        assert 1 not in selector.fit(ids=ids, covered=covered).indices_
    assert 1 not in RandomSelector(budget=2).fit(scores=np.arange(4.0), covered=[1]).indices_
    with pytest.raises(IdError, match="'x'"):
        selector.fit(ids=ids, covered=["b", "x"])
    with pytest.raises(InputError, match="booleans"):
        selector.fit(ids=ids, covered=[True, False])
    with pytest.raises(InputError, match="All 4 rows"):
        selector.fit(ids=ids, covered=ids)
    with pytest.raises(InputError, match="is the text"):
        selector.fit(ids=ids, covered="b")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = RandomSelector(budget=3).fit(ids=ids, covered=["a", "b"])
    assert [w.category for w in caught] == [ShortfallWarning]
    assert sorted(made.indices_) == [2, 3]
    assert made.report_["covered"] == 2


def test_a_selector_that_does_not_honor_covered_rows_refuses_them():
    class Plain(Selector):
        """Takes the first rows."""

        kind = "selector"

        def _select(self, inputs, budget):
            raise AssertionError

    with pytest.raises(ConfigError, match="honors_covered"):
        Plain(budget=1).fit(ids=["a", "b"], covered=["a"])
