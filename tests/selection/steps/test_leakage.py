"""Leakage: the longest common run of words against brute force, and items planted in real texts."""

from __future__ import annotations

import re
from unicodedata import normalize

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection import Leakage
from assay.selection.algorithms.span_matching import SpanMatcher, words_of
from assay.selection.steps.leakage import leak_neighbors
from assay.storage.errors import ConfigError, InputError, MissingInputError
from tests.data import shared
from tests.index.search.test_sparse_index import made, weighted

TEXTS = st.lists(
    st.lists(st.sampled_from("abcd"), max_size=14).map(" ".join), min_size=1, max_size=6
)


def longest(text: list[str], item: list[str], n: int) -> int:
    """Return the longest common run of at least n words; of a short item only the whole."""
    if len(item) < n:
        return len(item) if item and text == item else 0
    best = 0
    for i in range(len(text)):
        for j in range(len(item)):
            k = 0
            while i + k < len(text) and j + k < len(item) and text[i + k] == item[j + k]:
                k += 1
            best = max(best, k)
    return best if best >= n else 0


@settings(max_examples=1000, deadline=None)
@given(TEXTS, TEXTS, st.integers(1, 4))
def test_longest_runs_are_those_of_all_pairs(texts, items, n) -> None:
    found = SpanMatcher(words_of(pl.Series(items)), n).longest(words_of(pl.Series(texts)))
    for row, text in enumerate(texts):
        lengths = [longest(text.split(), item.split(), n) for item in items]
        assert found.length[row] == max(lengths)
        expected = lengths.index(max(lengths)) if max(lengths) else -1
        assert found.item[row] == expected


def test_case_punctuation_and_spacing_do_not_count() -> None:
    item = "How many legs has a spider that lost two of them in a fight with a wasp"
    changed = (
        "...HOW many\n legs: has a spider   that lost - two - of them, in a fight with a wasp!!"
    )
    found = Leakage(evaluation={"quiz": [item]}).fit([changed, item[: len(item) // 3], "wasp"])
    assert found.keep_.tolist() == [False, True, True]
    assert found.span_.tolist() == [17, 0, 0]
    assert found.leaks().row(0) == ("0", "quiz", "0", 17, "span")
    assert found.report_["sets"] == {"quiz": {"items": 1, "short": 0, "found": 1, "rows": 1}}


SPELLED = {
    "de": "Größere Flüsse überqueren wir nur im schönen Sommer bei müder Strömung früh",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다 그리고",
    "vi": "tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm",
    "ja": "バス が ガタガタ と 走り パン屋 で ピザ を 食べ ビール も 飲んだ",
}


@pytest.mark.parametrize("language", SPELLED)
@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_composed_and_decomposed_texts_leak_alike(language: str, forms: tuple[str, str]) -> None:
    item = SPELLED[language]
    of_text, of_item = forms
    texts = [f"before it {item} after it", item, " ".join(item.split()[:2]), "something else"]
    assert len({normalize(form, item) for form in ("NFC", "NFD")}) == 2
    plain = Leakage(evaluation={"s": [normalize("NFC", item)]}, ngrams=8).fit(
        [normalize("NFC", text) for text in texts]
    )
    found = Leakage(evaluation={"s": [normalize(of_item, item)]}, ngrams=8).fit(
        [normalize(of_text, text) for text in texts]
    )
    words = len(re.findall(r"[^\W_]+", item)) if language in ("de", "vi") else plain.span_[0]
    assert found.span_.tolist() == plain.span_.tolist() == [words, words, 0, 0]
    assert found.keep_.tolist() == [False, False, True, True]
    short = Leakage(evaluation={"s": [normalize(of_item, texts[2])]}, ngrams=8)
    assert short.fit([normalize(of_text, text) for text in texts]).keep_.tolist() == [
        True, True, False, True,
    ]  # fmt: skip


def test_short_items_are_found_only_alone() -> None:
    found = Leakage(evaluation={"s": ["two plus two"]}).fit(
        ["Two, plus two?", "and two plus two is"]
    )
    assert found.keep_.tolist() == [False, True]


@pytest.fixture(scope="module")
def pool() -> pl.Series:
    return pl.read_parquet(shared("text_pool.parquet"), columns=["text"])["text"].head(60_000)


def test_planted_items_are_found_and_clean_texts_are_not(pool) -> None:
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(pool))
    words = pool.str.count_matches(r"\w+")
    items = [r for r in rows if 20 <= words[int(r)] <= 120][:400]
    hosts = [r for r in rows if words[int(r)] > 60 and r not in set(items)][:1_200]
    clean = np.setdiff1d(np.arange(len(pool)), [*items, *hosts])
    tests = pool.gather(items)

    def planted(change, hosts):
        return [f"{pool[int(h)]}\n{change(t)}\n" for h, t in zip(hosts, tests, strict=True)]

    verbatim = planted(lambda t: t, hosts[:400])
    cased = planted(lambda t: re.sub(r"\s+", "  ", t).upper(), hosts[400:800])
    halved = planted(lambda t: " ".join(t.split()[: -(-len(t.split()) * 3 // 4)]), hosts[800:])
    texts = pl.concat([pool.gather(clean), pl.Series([*verbatim, *cased, *halved])])
    found = Leakage(evaluation={"tests": tests}).fit(texts)
    kept = found.keep_[len(clean) :]
    assert 1 - kept[:400].mean() >= 0.99
    assert 1 - kept[400:].mean() >= 0.95
    # an item may really be in the pool twice: those are no false alarms
    alarms = np.flatnonzero(~found.keep_[: len(clean)])
    twice = [
        longest(re.findall(r"\w+", texts[int(r)].lower()),
                re.findall(r"\w+", tests[int(found.item_[int(r)])].lower()), 8)
        for r in alarms
    ]  # fmt: skip
    assert all(length >= 8 for length in twice)
    assert len([x for x in twice if x < 20]) / len(clean) <= 1e-4


@pytest.mark.parametrize(
    ("options", "texts", "error"),
    [
        ({"evaluation": {}}, ["a"], ConfigError),
        ({"evaluation": {"x": []}}, ["a"], InputError),
        ({"evaluation": {"x": ["a"]}, "ngrams": 0}, ["a"], ConfigError),
        ({"evaluation": {"x": ["a"]}, "share": 2}, ["a"], ConfigError),
        ({"evaluation": {"x": ["a"]}}, None, MissingInputError),
    ],
)
def test_what_is_wrong_is_told(options, texts, error) -> None:
    with pytest.raises(error):
        Leakage(**options).fit(texts, ids=[1])


def test_neighbors_are_those_of_all_pairs() -> None:
    rng = np.random.default_rng(0)
    X, items = rng.normal(size=(9_000, 5)), rng.normal(size=(1_500, 5))
    ids = [f"{i:05}" for i in rng.permutation(9_000)]
    found = leak_neighbors(X, items, threshold=0.99, ids=ids)
    unit = [Y / np.linalg.norm(Y, axis=1, keepdims=True) for Y in (X, items)]
    cosine = unit[0] @ unit[1].T
    close = np.flatnonzero(cosine.max(axis=1) >= 0.99)
    assert 100 < len(close) == found.height
    rows = [ids.index(name) for name in found["sample_id"]]
    assert sorted(rows) == close.tolist()
    np.testing.assert_array_equal(found["item"], cosine[rows].argmax(axis=1))
    np.testing.assert_allclose(found["similarity"], cosine[rows].max(axis=1), rtol=1e-5)
    assert leak_neighbors(np.zeros((3, 2)), [[1.0, 0.0]]).is_empty()
    with pytest.raises(InputError, match="one embedder"):
        leak_neighbors(X, items[:, :3])
    with pytest.raises(ConfigError, match="threshold"):
        leak_neighbors(X, items, threshold=1.5)


def test_reworded_items_are_found_by_their_rare_words() -> None:
    items = made(30, 1)
    rng = np.random.default_rng(0)
    pool = [*made(100, 2), *(" ".join(rng.permutation(item.split())) for item in items[:10])]
    ids = [f"r{row:03}" for row in rng.permutation(len(pool))]
    found = leak_neighbors(pool, items, kind="words", threshold=0.8, ids=ids)
    cosine = (weighted(pool, pool) @ weighted(items, pool).T).toarray()
    close = np.flatnonzero(cosine.max(axis=1) >= 0.8)
    rows = [ids.index(name) for name in found["sample_id"]]
    assert sorted(rows) == close.tolist()
    assert {*range(100, 110)} <= {*rows}
    np.testing.assert_allclose(found["similarity"], cosine[rows].max(axis=1), atol=1e-6)
    np.testing.assert_allclose(cosine[rows, found["item"]], cosine[rows].max(axis=1), atol=1e-6)
    assert leak_neighbors(["", "x"], ["y", None], kind="words").is_empty()
    with pytest.raises(ConfigError, match="kind"):
        leak_neighbors(pool, items, kind="letters")
