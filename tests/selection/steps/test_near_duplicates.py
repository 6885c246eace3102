"""Near, semantic and pivot duplicates, against brute force."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from assay.index import SimilarityGraph
from assay.selection import NearDuplicates, PivotDeduplicator, SemanticDuplicates
from assay.selection.algorithms.minhash import shingles, signatures
from assay.selection.steps.near_duplicates import banding
from assay.storage.errors import ConfigError, MissingInputError
from tests.data import shared

WORDS = [f"w{i}" for i in range(400)]


def texts_with_copies(n: int, seed: int) -> list[str]:
    """Return texts of which half are others with a few words changed."""
    rng = np.random.default_rng(seed)
    made = [" ".join(rng.choice(WORDS, rng.integers(3, 80))) for _ in range(n // 2)]
    for text in rng.choice(made, n - len(made)):
        words = str(text).split()
        for place in rng.choice(len(words), rng.integers(0, 4)):
            words[place] = str(rng.choice(WORDS))
        made.append(" ".join(words))
    return made


def shingle_set(text: str, n: int) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+|[^\w\s]+", text.lower())
    if not words:
        return set()
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))}


def jaccard(a: set, b: set) -> float:
    return len(a & b) / len(a | b) if a or b else 0.0


@pytest.mark.parametrize("n", [1, 3, 5])
def test_shingles_are_those_of_sets(n) -> None:
    texts = [*texts_with_copies(60, 0), "", "one", "One, two! one, two!", "  "]
    found = shingles(texts, n)
    sets = [shingle_set(text, n) for text in texts]
    assert np.diff(found.indptr).tolist() == [len(s) for s in sets]
    parts = [set(found.values[a:b]) for a, b in zip(found.indptr, found.indptr[1:], strict=False)]
    for i in range(len(texts)):
        for j in range(i):
            assert jaccard(parts[i], parts[j]) == jaccard(sets[i], sets[j])


def test_signatures_agree_as_often_as_the_jaccard_similarity_says() -> None:
    texts = texts_with_copies(60, 1)
    found = shingles(texts, 2)
    signature = signatures(found, 2_000, random_state=3)
    sets = [shingle_set(text, 2) for text in texts]
    close = [(a, b) for a in range(60) for b in range(a) if jaccard(sets[a], sets[b]) > 0.1]
    assert len(close) > 10
    for i, j in close:
        agree = (signature[i] == signature[j]).mean()
        assert abs(agree - jaccard(sets[i], sets[j])) < 4.5 * np.sqrt(0.25 / 2_000)


def stars(similarity, order, threshold):
    """Return keepers by comparing every row with every keeper."""
    keepers: list[int] = []
    for row in order:
        if all(similarity[row, k] < threshold for k in keepers):
            keepers.append(row)
    keeper = np.arange(len(similarity))
    for row in set(order) - set(keepers):
        keeper[row] = -max((similarity[row, k], -k) for k in keepers)[1]
    return keeper


@pytest.mark.parametrize("seed", range(4))
def test_near_duplicates_are_those_of_all_pairs(seed) -> None:
    texts = texts_with_copies(300, seed)
    sets = [shingle_set(text, 3) for text in texts]
    similarity = np.array([[jaccard(a, b) for b in sets] for a in sets])
    priority = np.random.default_rng(seed).integers(0, 50, 300)
    order = np.argsort(priority, kind="stable")
    # so many bands of one value each find every pair of at least .6
    step = NearDuplicates(threshold=0.6, ngrams=3, bands=60, rows=1)
    found = step.fit(texts, priority=priority)
    expected = stars(similarity, order, 0.6)
    np.testing.assert_array_equal(found.keeper_, expected)
    assert 50 < (~found.keep_).sum() < 200
    np.testing.assert_allclose(found.similarity_[~found.keep_],
                               similarity[np.arange(300), expected][~found.keep_])  # fmt: skip


def test_the_default_bands_find_close_pairs_and_nothing_else() -> None:
    texts = texts_with_copies(2_000, 7)
    found = NearDuplicates().fit(texts)
    sets = [shingle_set(text, 5) for text in texts]
    for row in np.flatnonzero(~found.keep_):
        assert jaccard(sets[row], sets[found.keeper_[row]]) == found.similarity_[row] >= 0.75
    close = {tuple(sorted(s)): i for i, s in reversed(list(enumerate(sets)))}
    same = [row for row in range(2_000) if close[tuple(sorted(sets[row]))] != row]
    assert len(same) > 100
    assert not found.keep_[same].any()
    alone = NearDuplicates().fit(["", None, "  ", "a b"])
    assert alone.keep_.all()


def test_order_of_rows_does_not_matter() -> None:
    texts = pl.Series(texts_with_copies(500, 5))
    ids = pl.Series([f"{i:03}" for i in np.random.default_rng(1).permutation(500)])
    order = np.random.default_rng(2).permutation(500)
    one = NearDuplicates(threshold=0.5, ngrams=2).fit(texts, ids=ids)
    two = NearDuplicates(threshold=0.5, ngrams=2).fit(texts[order], ids=ids[order])
    assert one.duplicates().equals(two.duplicates())
    assert one.report_ == two.report_


THRESHOLDS = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]


def optimal_banding(threshold: float, permutations: int) -> tuple[int, int]:
    """Return the bands and rows of least error, false positives and negatives alike (datasketch)."""
    below, above = np.linspace(0, threshold, 200), np.linspace(threshold, 1, 200)
    errors = {
        (bands, rows): np.trapezoid(1 - (1 - below**rows) ** bands, below)
        + np.trapezoid((1 - above**rows) ** bands, above)
        for bands in range(1, permutations + 1)
        for rows in range(1, permutations // bands + 1)
    }
    return min(errors, key=lambda pair: errors[pair])


@pytest.mark.parametrize("permutations", [32, 64, 128, 256])
def test_bands_find_no_fewer_pairs_than_those_of_least_error(permutations: int) -> None:
    for threshold in THRESHOLDS:
        bands, rows = banding(threshold, permutations)
        assert bands * rows <= permutations
        theirs, values = optimal_banding(threshold, permutations)
        likeness = np.linspace(threshold, 1, 50)
        missed = (1 - likeness**rows) ** bands
        assert (missed <= (1 - likeness**values) ** theirs + 1e-12).all()
        if permutations >= 128:
            assert missed[0] <= 0.05


def similar_pairs(texts: list[str], n: int) -> sparse.coo_array:
    """Return the Jaccard similarities above 0 of all pairs, each once."""
    hashed = shingles(texts, n)
    columns = np.unique(hashed.values, return_inverse=True)[1]
    sets = sparse.csr_array((np.ones(len(columns)), columns, hashed.indptr))
    both = sparse.triu(sets @ sets.T, k=1).tocoo()
    sizes = np.diff(hashed.indptr)
    both.data = both.data / (sizes[both.row] + sizes[both.col] - both.data)
    return both


@pytest.fixture(scope="module")
def edited() -> list[str]:
    """Return real texts, and copies of half of them with words changed."""
    texts = pl.read_parquet(shared("text_pool.parquet"))["text"].drop_nulls().head(1_500).to_list()
    rng = np.random.default_rng(0)
    copies = []
    for text in texts[:750]:
        words = text.split()[:200]
        for place in rng.choice(len(words), rng.integers(0, 1 + len(words) // 8)):
            words[place] = f"edit{rng.integers(50)}"
        copies.append(" ".join(words))
    return [" ".join(text.split()[:200]) for text in texts] + copies


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_recall_on_real_text_at_every_threshold(threshold: float, edited: list[str]) -> None:
    pairs = similar_pairs(edited, 3)
    close = pairs.data >= threshold
    assert close.sum() > 50
    step = NearDuplicates(threshold=threshold, ngrams=3).fit(edited)
    left = step.keep_[pairs.row[close]] & step.keep_[pairs.col[close]]
    assert left.mean() <= 0.05
    assert step.similarity_.min() >= threshold


@pytest.mark.parametrize("threshold", [0.5, 0.99])
def test_equal_texts_are_found_in_a_crowded_bucket(threshold: float) -> None:
    boilerplate = [f"boil{i}" for i in range(150)]
    texts = [" ".join([*boilerplate, *(f"u{i}_{j}" for j in range(3))]) for i in range(600)]
    step = NearDuplicates(threshold=threshold).fit([*texts, *texts[:100]])
    assert not step.keep_[600:].any()
    if threshold == 0.99:
        assert step.keep_[:600].all()
        assert step.keeper_[600:].tolist() == list(range(100))


def test_chinese_is_shingled_by_character() -> None:
    text = "数据集进来图和分数出来每天晚上都可以重新运行而且每一行都有理由"
    found = NearDuplicates(threshold=0.9).fit([text, text[:-1], "完全不同的一句话在这里"])
    assert found.keeper_.tolist() == [0, 0, 2]


def test_pivots() -> None:
    rng = np.random.default_rng(4)
    X = rng.normal(size=(400, 4)).astype(np.float32)
    X[0] = 0
    found = PivotDeduplicator(n_pivots=10, threshold=0.8).fit(X)
    assert found.report_["pivots"] == 10
    unit = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9)
    pivots = np.unique(found.keeper_[~found.keep_])
    likeness = unit @ unit[pivots].T
    own = found.keep_ & ~np.isin(np.arange(400), pivots)
    assert (likeness[own].max(axis=1) < 0.8 + 1e-5).all()
    out = np.flatnonzero(~found.keep_)
    np.testing.assert_array_equal(found.keeper_[out], pivots[likeness[out].argmax(axis=1)])
    assert found.keep_[0]
    assert 50 < len(out) < 350


@pytest.mark.parametrize(
    ("step", "given", "error"),
    [
        (NearDuplicates(threshold=0), {"X": ["a"]}, ConfigError),
        (NearDuplicates(bands=0, rows=2), {"X": ["a"]}, ConfigError),
        (NearDuplicates(bands=4), {"X": ["a"]}, ConfigError),
        (NearDuplicates(permutations=0), {"X": ["a"]}, ConfigError),
        (NearDuplicates(), {"ids": [1]}, MissingInputError),
        (SemanticDuplicates(), {"X": [[1.0]]}, MissingInputError),
        (SemanticDuplicates(threshold="high"), {"graph": "graph"}, ConfigError),
        (PivotDeduplicator(n_pivots=0), {"X": [[1.0]]}, ConfigError),
        (PivotDeduplicator(threshold=2), {"X": [[1.0]]}, ConfigError),
    ],
)
def test_what_is_wrong_is_told(step, given, error) -> None:
    if given.get("graph"):
        given["graph"] = SimilarityGraph.from_vectors(np.eye(3), k=1)
    with pytest.raises(error):
        step.fit(**given)


def test_templated_texts_of_the_pool_fall_together() -> None:
    frame = pl.read_parquet(shared("text_pool.parquet")).head(20_000)
    column = "text" if "text" in frame.columns else frame.columns[1]
    texts = frame[column]
    found = NearDuplicates().fit(pl.concat([texts, texts[:500].str.to_uppercase()]))
    copies = np.arange(20_000, 20_500)
    worded = (texts[:500].str.count_matches(r"\w") > 0).fill_null(False).to_numpy()
    assert not found.keep_[copies[worded]].any()
