"""N-gram hashing against `re`, `regex`, `hashlib` and a hash written out in Python."""

from __future__ import annotations

import hashlib
import re
import sys
import unicodedata
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.index import NGramHasher as ComposingHasher
from assay.index.ngrams import _unicode
from assay.index.ngrams import hasher as ngrams
from assay.storage.errors import ConfigError, DependencyError, InputError
from tests.data import shared

# compared with plain `re`, which takes texts as they are
NGramHasher = partial(ComposingHasher, compose=False)

NASTY = [
    "",
    None,
    " \t\n\u2028\u00a0\u3000",
    "\x1c\x1d\x1e\x1f\x85 a\x1cb",
    "a\x00b \x00",
    "one",
    "It's 3.14 -- isn't it?! #tag @you_and_me",
    "\u0130stanbul D\u0130YARBAKIR \u0131",
    "\u0391\u03a3 \u03a3 \u03a3\u03b1 \u038c\u0394\u039f\u03a3. \u03a3\u03a3",
    "\u212aelvin \u212bngstr\u00f6m \u2126",
    "\u023a\u023e \u1e9e \u01c5 \ufb01 \u0345",
    "e\u0301t\u00e9 n\u0303 x\u00b2 \u00bd \u2460",
    "\u4f60\u597d\uff0c\u4e16\u754c \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0928\u092e\u0938\u094d\u0924\u0947 \u0645\u0631\u062d\u0628\u0627",
    "\U00010400\U00010428 \U0001f469\u200d\U0001f52c\U0001f3fd \U0010ffff \ufffe",
    "word" * 5_000,
    "!" * 300 + "x" * 300,
    "\u4f60" * 100 + " " + "\u597d" * 30,
]
MASK = (1 << 64) - 1


def split(text: str | None, engine: str = "re") -> list[str]:
    return import_module(engine).findall(r"\w+|[^\w\s]+", (text or "").lower())


def grams(tokens: list[str], n: int) -> list[tuple[str, ...]]:
    return [
        tuple(tokens[j - m + 1 : j + 1])
        for j in range(len(tokens))
        for m in range(1, n + 1)
        if j - m + 1 >= 0
    ]


def mix(x: int) -> int:
    x = ((x ^ x >> 33) * 0xFF51AFD7ED558CCD) & MASK
    x = ((x ^ x >> 33) * 0xC4CEB9FE1A85EC53) & MASK
    return x ^ x >> 33


def fast(gram: tuple[str, ...], buckets: int) -> int:
    fingerprints = []
    for token in gram:
        h = 0x9AE16A3B2F90404F
        for character in token:
            h = ((h ^ ord(character)) * 0xC6A4A7935BD1E995) & MASK
            h ^= h >> 32
        fingerprints.append(mix(h))
    found = fingerprints.pop()
    while fingerprints:
        found = mix((fingerprints.pop() * 0x9E3779B97F4A7C15 + found) & MASK)
    return (found >> 32) * buckets >> 32


def sha256(gram: tuple[str, ...], buckets: int) -> int:
    return int(hashlib.sha256(" ".join(gram).encode()).hexdigest(), 16) % buckets


ORACLES = {"fast": fast, "sha256": sha256}


def check(texts: list[Any], n: int, buckets: int, hash: str, engine: str = "re") -> None:
    hasher = NGramHasher(n, buckets, hash=hash, tokenizer=engine)
    found = hasher.transform(texts)
    memory: dict[tuple[str, ...], int] = {}
    at = 0
    assert found.indptr.dtype == np.int64
    assert found.buckets.dtype == found.n_tokens.dtype == np.int32
    assert len(found.n_tokens) == len(texts)
    everything = []
    for row, text in enumerate(texts):
        tokens = split(text, engine)
        wanted = []
        for gram in grams(tokens, n):
            if gram not in memory:
                memory[gram] = ORACLES[hash](gram, buckets)
            wanted.append(memory[gram])
        assert found.n_tokens[row] == len(tokens)
        assert found.indptr[row] == at
        at += len(wanted)
        np.testing.assert_array_equal(found.buckets[found.indptr[row] : at], wanted)
        everything += wanted
    assert found.indptr[-1] == at == len(found.buckets)
    if buckets <= 1 << 17:
        counts = np.bincount(everything, minlength=buckets)
        np.testing.assert_array_equal(hasher.counts(texts), counts)


@pytest.fixture(scope="module")
def real_texts() -> list[str]:
    return pl.read_parquet(shared("text_pool.parquet"))["text"].sample(4_000, seed=0).to_list()


def test_the_whole_of_unicode_has_the_tokens_of_re() -> None:
    points = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
    texts = ["".join(points), " ".join(points), "a".join(points)]
    for found, text in zip(NGramHasher().tokens(texts), texts, strict=True):
        assert found == split(text)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("hash", ["fast", "sha256"])
def test_nasty_texts(n: int, hash: str) -> None:
    assert NGramHasher().tokens(NASTY) == [split(text) for text in NASTY]
    check(NASTY, n, 10_000, hash)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_sha256_counts_of_real_texts(real_texts: list[str], n: int) -> None:
    check(real_texts[:3_000] + NASTY, n, 10_000, "sha256")


def test_fast_buckets_of_real_texts(real_texts: list[str]) -> None:
    assert NGramHasher().tokens(real_texts) == [split(text) for text in real_texts]
    check(real_texts[:400], 2, 1 << 17, "fast")


@given(
    st.lists(st.none() | st.text(max_size=40), max_size=8),
    st.integers(1, 4),
    st.integers(1, 1 << 28),
)
@settings(deadline=None, max_examples=150)
def test_any_text(texts: list[str | None], n: int, buckets: int) -> None:
    hasher = NGramHasher(n, buckets)
    assert hasher.tokens(texts) == [split(text) for text in texts]
    found = hasher.transform(texts)
    wanted = [fast(gram, buckets) for text in texts for gram in grams(split(text), n)]
    assert found.buckets.tolist() == wanted
    if n == 2:
        assert np.diff(found.indptr).tolist() == np.maximum(2 * found.n_tokens - 1, 0).tolist()


@given(st.lists(st.text(alphabet="aA\u03a3\u0130\u00df\u0301 .\n\u4f60\U00010400", max_size=30)))
@settings(deadline=None, max_examples=150)
def test_any_text_of_treacherous_characters(texts: list[str]) -> None:
    assert NGramHasher().tokens(texts) == [split(text) for text in texts]


def test_published_buckets() -> None:
    # stated in the tests of the package data-selection
    found = NGramHasher(2, 10_000, hash="sha256").transform(["Alice went"])
    assert found.buckets[0] == 6720
    assert found.buckets[2] == 114


@pytest.mark.parametrize("buckets", [1, 2, 9_973, 1 << 28])
def test_sha256_of_every_length_and_number_of_buckets(buckets: int) -> None:
    texts = ["x" * length for length in range(1, 260)] + ["\u4f60" * k for k in range(1, 90)]
    check(texts, 1, buckets, "sha256")


@pytest.mark.parametrize("hash", ["fast", "sha256"])
def test_a_text_does_not_depend_on_its_neighbors(
    hash: str, real_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*NASTY, *real_texts[:200]]
    hasher = NGramHasher(2, 5_000, hash=hash)
    whole = hasher.transform(texts)
    monkeypatch.setattr(ngrams, "_CHUNK", 700)
    parts = list(hasher.stream(texts))
    assert len(parts) > 50
    np.testing.assert_array_equal(np.concatenate([p.buckets for p in parts]), whole.buckets)
    np.testing.assert_array_equal(hasher.transform(texts).indptr, whole.indptr)
    for row in range(0, len(texts), 17):
        alone = hasher.transform([texts[row]])
        held = whole.buckets[whole.indptr[row] : whole.indptr[row + 1]]
        np.testing.assert_array_equal(alone.buckets, held)
    np.testing.assert_array_equal(hasher.counts(texts), np.bincount(whole.buckets, minlength=5_000))


def test_distinct_ngrams_collide_as_rarely_as_chance() -> None:
    buckets = 1 << 17
    words = [f"w{i}" for i in range(60_000)]
    for texts in (words, [f"the {word}" for word in words], [f"{word} the" for word in words]):
        found = NGramHasher(2, buckets).transform(texts)
        last = np.unique(found.buckets[found.indptr[1:] - 1])
        n = len(words)
        expected = buckets * (1 - (1 - 1 / buckets) ** n)
        # standard deviation of the occupied buckets of random balls
        sigma = np.sqrt(
            buckets * np.exp(-n / buckets) * (1 - (1 + n / buckets) * np.exp(-n / buckets))
        )
        assert abs(len(last) - expected) < 5 * sigma
    assert len(set(NGramHasher(2, 1 << 28).transform(["a b", "b a"]).buckets.tolist())) == 4


def test_every_kind_of_input_gives_the_same() -> None:
    texts = ["A rose", None, "is a \u0130rose", "", "\u00c5 \u4f60", "z"]
    wanted = NGramHasher().transform(texts)
    large = pa.array(texts, pa.large_string())
    # a null whose slot is not empty
    _, offsets, data = (
        pa.array(["hidden" if text is None else text for text in texts]).cast(pa.string()).buffers()
    )
    hidden = pa.StringArray.from_buffers(
        6, offsets, data, pa.py_buffer(np.packbits([1, 0, 1, 1, 1, 1, 0, 0], bitorder="little"))
    )
    kinds = [
        tuple(texts),
        np.array(texts, object),
        large,
        pa.array(texts),
        pa.array(texts, pa.string_view()),
        pa.array(texts).dictionary_encode(),
        pa.array(["x", "y", *texts, "z"])[2:8],
        pa.chunked_array([large[:2], large[2:2], large[2:]]),
        hidden,
        pl.Series(texts),
        pl.Series(texts, dtype=pl.Categorical),
        pl.Series(["x", *texts]).slice(1),
        pl.concat([pl.Series(texts[:3]), pl.Series(texts[3:])], rechunk=False),
    ]
    for kind in kinds:
        found = NGramHasher().transform(kind)
        np.testing.assert_array_equal(found.buckets, wanted.buckets)
        np.testing.assert_array_equal(found.indptr, wanted.indptr)
        np.testing.assert_array_equal(found.n_tokens, wanted.n_tokens)
    plain = [text or "" for text in texts]
    np.testing.assert_array_equal(NGramHasher().transform(np.array(plain)).buckets, wanted.buckets)


@pytest.mark.parametrize(
    "empty", [[], pa.array([], pa.string()), pl.Series([], dtype=pl.String), [None, None], ["", ""]]
)
def test_no_tokens_at_all(empty: Any) -> None:
    found = NGramHasher(3, 64, hash="sha256").transform(empty)
    assert found.indptr.tolist() == [0] * (len(empty) + 1)
    assert found.n_tokens.tolist() == [0] * len(empty)
    assert found.buckets.size == 0
    assert NGramHasher(3, 64).counts(empty).tolist() == [0] * 64


def test_lone_surrogates_become_replacement_characters() -> None:
    assert NGramHasher().tokens(["a\ud800b", None, "\udfff"]) == [
        ["a", "\ufffd", "b"],
        [],
        ["\ufffd"],
    ]


def test_the_other_engine() -> None:
    pytest.importorskip("regex")
    texts = [text for text in NASTY if text is not None]
    found = NGramHasher(tokenizer="regex").tokens(texts)
    assert found == [split(text, "regex") for text in texts]
    assert found != NGramHasher().tokens(texts)
    check(texts, 2, 10_000, "sha256", "regex")


def test_the_other_engine_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "regex", None)
    _unicode.lowering_table.cache_clear()
    with pytest.raises(DependencyError, match="pip install regex"):
        NGramHasher(tokenizer="regex")


@pytest.mark.parametrize(
    "wrong",
    [
        {"ngrams": 0},
        {"ngrams": 1.5},
        {"ngrams": True},
        {"buckets": 0},
        {"buckets": (1 << 28) + 1},
        {"hash": "md5"},
        {"tokenizer": "nltk"},
    ],
)
def test_parameters_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        NGramHasher(**wrong)


@pytest.mark.parametrize(
    "wrong", ["one text", [1, 2], pl.Series([1.5]), ["a", 1], pl.DataFrame({"a": ["b"]}), 3]
)
def test_what_is_no_text_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError):
        NGramHasher().transform(wrong)


def test_broken_utf8_is_refused() -> None:
    for raw in (b"ab\xc3", b"\xff\xfe", b"\xf7\xbf\xbf\xbf"):
        broken = pa.array([raw], pa.large_binary()).view(pa.large_string())
        with pytest.raises(InputError):
            NGramHasher().transform(broken)


def test_tables_agree_with_each_character() -> None:
    table = _unicode.lowering_table("re")
    for code in range(0, sys.maxunicode + 1, 37):
        lower = chr(code).lower()
        if chr(code) in _unicode.CONTEXTUAL:
            continue
        kind = 1 if re.match(r"\w", lower) else 0 if re.match(r"\s", lower) else 2
        assert int(table[code]) == 4 * ord(lower) + kind


def test_planes_that_are_not_looked_at_hold_no_character(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []

    class Engine:
        @staticmethod
        def finditer(pattern: str, text: str) -> Any:
            looked_at.append(set(text))
            return re.finditer(pattern, text)

    monkeypatch.setattr(_unicode, "import_module", lambda name: Engine)
    _unicode.lowering_table.cache_clear()
    table = _unicode.lowering_table("re")
    _unicode.lowering_table.cache_clear()
    others = [code for code in range(sys.maxunicode + 1) if chr(code) not in looked_at[0]]
    assert len(others) > 700_000
    assert {unicodedata.category(chr(code)) for code in others} <= {"Cn", "Co"}
    assert (table[others] == 4 * np.array(others) + 2).all()
