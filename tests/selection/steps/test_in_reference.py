"""Rows that a reference holds: exactly, nearly, or by their vectors."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.index import SimilarityGraph
from assay.selection import InReference, SelectionPlan
from assay.selection.steps.reference_set import ReferenceSet
from assay.storage.errors import ConfigError, CorruptArtifactError, IdError, InputError
from tests.index.search.test_sparse_index import weighted

WORDS = [f"w{i}" for i in range(40)]


def texts(rng, n, length=14):
    return [" ".join(rng.choice(WORDS, length)) for _ in range(n)]


def edited(rng, text, words):
    parts = text.split()
    for place in rng.choice(len(parts), words, replace=False):
        parts[place] = "other"
    return " ".join(parts)


def jaccard(a, b, n=3):
    left, right = (
        {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}
        for words in (a.split(), b.split())
    )
    return len(left & right) / len(left | right)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), threshold=st.sampled_from([0.3, 0.5, 0.8]))
def test_near_rows_are_those_of_brute_force(seed, threshold):
    rng = np.random.default_rng(seed)
    sets = {name: texts(rng, 25) for name in ("old", "bought")}
    every = [*sets["old"], *sets["bought"]]
    pool = [edited(rng, every[rng.integers(50)], rng.integers(1, 6)) for _ in range(40)]
    pool += texts(rng, 10)
    step = InReference(reference=sets, near=threshold, semantic=None, ngrams=3).fit(pool)
    for row, text in enumerate(pool):
        best = max(jaccard(text, other) for other in every)
        if best >= threshold + 0.25:
            # MinHash finds all but a few of those right at the threshold
            assert not step.keep_[row]
        if best < threshold:
            assert step.keep_[row]
        if not step.keep_[row]:
            held = sets[step.reference_[row]][int(step.match_[row])]
            assert step.similarity_[row] == pytest.approx(jaccard(text, held))
            assert step.similarity_[row] <= best + 1e-12
            assert step.kind_[row] == "near"


def test_words_in_another_order_are_found_as_by_the_product(tmp_path):
    rng = np.random.default_rng(3)
    old, ids = texts(rng, 40), [f"o{i}" for i in range(40)]
    pool = [" ".join(rng.permutation(text.split())[:-2]) for text in old]
    pool += [*texts(rng, 20), ""]
    held = ReferenceSet.of(old, ids=ids, words=True)
    held.save(tmp_path)
    options = {"near": "none", "semantic": "none", "words": 0.6}
    for known in (held, ReferenceSet.load(tmp_path)):
        step = InReference(reference={"old": known}, **options).fit(pool)
        cosines = (weighted(pool[:-1], old) @ weighted(old, old).T).toarray()
        best = cosines.max(axis=1)
        np.testing.assert_array_equal(step.keep_, [*(best < 0.6), True])
        assert step.report_["in_reference"] >= 35
        for row in np.flatnonzero(~step.keep_):
            assert step.kind_[int(row)] == "words"
            assert step.match_[int(row)] == ids[cosines[row].argmax()]
            assert step.similarity_[row] == pytest.approx(best[row], abs=1e-6)
    assert InReference(reference={"old": old}, near=None, semantic=None).fit(pool).keep_.all()


def test_the_same_content_is_found_with_its_row():
    sets = {
        "old": pl.Series(["A  cat sat", None, "", "a dog"]),
        "older": ["a cat SAT", "a bird"],
    }
    step = InReference(reference=sets).fit(["a cat sat", "a bird", None, "", "a fish"])
    assert step.keep_.tolist() == [False, False, True, True, True]
    assert step.reference_.to_list() == ["old", "older", None, None, None]
    assert step.match_.to_list() == ["0", "1", None, None, None]
    assert step.kind_.to_list()[:2] == ["exact", "exact"]
    assert step.report_["sets"] == {"old": 1, "older": 1}


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_vectors_are_found_as_by_brute_force(metric):
    rng = np.random.default_rng(4)
    held = rng.normal(size=(60, 5)).astype(np.float32)
    X = np.concatenate([held[:20] + 0.05 * rng.normal(size=(20, 5)), rng.normal(size=(60, 5))])
    X = X.astype(np.float32)
    X[0] = held[7]
    graph = SimilarityGraph.from_vectors(X, k=5, metric=metric)
    threshold = 0.97 if metric == "cosine" else 0.85
    ids = [f"h{i}" for i in range(60)]
    old = ReferenceSet.of(vectors=held, ids=ids)
    step = InReference(reference={"old": old}, semantic=threshold).fit(X, graph=graph)
    if metric == "cosine":
        unit = [V / np.linalg.norm(V, axis=1, keepdims=True) for V in (X, held)]
        likeness = unit[0] @ unit[1].T
    else:
        likeness = 1 / (1 + np.sqrt(((X[:, None] - held) ** 2).sum(axis=2)))
    near = likeness.max(axis=1) >= threshold
    np.testing.assert_array_equal(step.keep_, ~near)
    assert step.kind_[0] == "exact"
    assert step.match_[0] == "h7"
    for row in np.flatnonzero(near):
        assert step.match_[int(row)] == ids[likeness[row].argmax()]
        assert step.similarity_[row] == pytest.approx(likeness[row].max(), abs=1e-5)
    automatic = InReference(reference={"old": held}).fit(X, graph=graph)
    assert not automatic.keep_[0]
    assert automatic.report_["threshold"] > 0


def test_the_order_of_rows_does_not_matter(tmp_path):
    rng = np.random.default_rng(2)
    old = texts(rng, 30)
    pool = [edited(rng, text, 2) for text in old] + texts(rng, 20)
    ids = [f"p{i}" for i in range(50)]
    held = ReferenceSet.of(old, ids=[f"o{i}" for i in range(30)], ngrams=3)
    held.save(tmp_path)
    step = InReference(reference={"old": held}, near=0.4, ngrams=3).fit(pool, ids=ids)
    order = rng.permutation(50)
    loaded = ReferenceSet.load(tmp_path)
    other = InReference(reference={"old": loaded}, near=0.4, ngrams=3).fit(
        [pool[i] for i in order], ids=[ids[i] for i in order]
    )
    np.testing.assert_array_equal(step.keep_[order], other.keep_)
    assert step.match_.gather(order).equals(other.match_)
    assert 10 < (~step.keep_).sum() <= 30


def test_a_plan_leaves_out_what_is_had_and_lets_it_cover():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(np.float32)
    ids = [f"r{i:02}" for i in range(60)]
    graph = SimilarityGraph.from_vectors(X, k=6, ids=ids)
    given = {"graph": graph, "ids": ids, "X": X}
    rules = {"budget": 8, "reference": {"old": X[:20]}, "must_include": ["r03"]}
    rules["reference_options"] = {"semantic": None}
    plan = SelectionPlan(**rules).fit(**given)
    told = plan.decisions()
    left_out = [i for i in range(20) if i != 3]
    assert np.flatnonzero((told["reason"] == "in_reference").to_numpy()).tolist() == left_out
    detail = told["detail"].str.json_decode(
        pl.Struct({"reference": pl.String, "match": pl.String, "similarity": pl.Float64})
    )
    assert detail[0] == {"reference": "old", "match": "0", "similarity": 1.0}
    covering = SelectionPlan(**rules, reference_covers=True).fit(**given)
    had = SelectionPlan(budget=8, covered=[ids[i] for i in left_out], must_include=["r03"])
    assert covering.indices_.tolist() == had.fit(**given).indices_.tolist()
    reasons = covering.decisions()["reason"]
    assert (reasons == "in_reference").sum() == 19
    assert (reasons == "covered").sum() == 0
    assert len(reasons) == 60


def test_what_can_not_be_a_reference_is_refused():
    with pytest.raises(ConfigError, match="reference is empty"):
        InReference().fit(["a"])
    with pytest.raises(ConfigError, match="near"):
        InReference(reference={"a": ["a"]}, near=2.0).fit(["a"])
    with pytest.raises(InputError, match="texts or vectors"):
        ReferenceSet.of()
    with pytest.raises(IdError):
        ReferenceSet.of(["a"], ids=["1", "2"])
    with pytest.raises(InputError, match="5 numbers"):
        InReference(reference={"old": np.ones((3, 5))}, semantic=0.9).fit(np.zeros((2, 4)) + 1)


def test_a_changed_file_of_a_reference_is_named(tmp_path):
    rng = np.random.default_rng(8)
    ReferenceSet.of(texts(rng, 9), ngrams=3, permutations=16, words=True).save(tmp_path)
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(files) > 8
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(CorruptArtifactError, match=path.name):
            ReferenceSet.load(tmp_path)
        path.write_bytes(whole)
    assert len(ReferenceSet.load(tmp_path).ids) == 9


def test_a_reference_that_comes_in_parts_is_written_as_in_one(tmp_path):
    rng = np.random.default_rng(5)
    held = [*texts(rng, 40), "", "one", None, *texts(rng, 17)]
    ids = pl.Series([f"o{i}" for i in rng.permutation(len(held))])
    for near in (True, False):
        whole, parts = tmp_path / f"whole-{near}", tmp_path / f"parts-{near}"
        whole.mkdir()
        parts.mkdir()
        ReferenceSet.of(held, ids=ids, near=near, ngrams=3, permutations=32).save(whole)
        cuts = [held[:1], held[1:1], held[1:43], held[43:]]
        given = (pl.Series(part, dtype=pl.String) for part in cuts)
        ReferenceSet.write(parts, given, ids, near=near, ngrams=3, permutations=32)
        names = sorted(path.name for path in whole.iterdir())
        assert sorted(path.name for path in parts.iterdir()) == names
        for name in names:
            if name.endswith(".npy"):
                np.testing.assert_array_equal(np.load(parts / name), np.load(whole / name))
        assert pl.read_parquet(parts / "ids.parquet").equals(pl.read_parquet(whole / "ids.parquet"))
    for count in (len(held) - 1, len(held), len(held) + 2):
        with pytest.raises(IdError, match=f"{count} ids"):
            ReferenceSet.write(tmp_path, [held, ["one more"]], pl.Series(range(count)))


def test_equally_near_rows_are_told_apart_by_id_in_any_order():
    rng = np.random.default_rng(6)
    base = texts(rng, 30)
    # three rows of the reference are as near to each row of the pool
    held = [f"{text} {word}" for text in base for word in ("x", "y", "z")]
    ids = np.array([f"o{i}" for i in rng.permutation(len(held))])
    others = texts(rng, 50)
    pool = [f"{text} q" for text in base] + texts(rng, 10)
    order = rng.permutation(len(held) + 50)
    every = np.array(held + others, dtype=object)[order].tolist()
    names = np.concatenate([ids, [f"u{i}" for i in range(50)]])[order]
    old = ReferenceSet.of(every, ids=names, ngrams=3)
    step = InReference(reference={"old": old}, near=0.6, ngrams=3).fit(pool)
    least = [min(ids[3 * i : 3 * i + 3]) for i in range(30)]
    assert step.match_.to_list() == least + [None] * 10
