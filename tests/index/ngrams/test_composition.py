"""Composed and decomposed spellings of a text give the same tokens; the stored text stays."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.index.embedding.text import HashedTextEmbedder
from assay.index.ngrams._unicode import _scanned_kinds, as_texts, utf8_chunks
from assay.index.ngrams.hasher import NGramHasher
from assay.selection import ImportanceResampler, NearDuplicates
from assay.storage.errors import AssayError

LETTERS = "aäöéñçşğıİΣσ한국어조선วันนี้नमस्तेがぎバパ\u0301\u0308\u1161 .,"  # noqa: RUF001


@settings(max_examples=80, deadline=None)
@given(st.lists(st.text(st.sampled_from(LETTERS), max_size=30), max_size=6), st.booleans())
def test_every_form_gives_the_tokens_of_nfc(texts: list[str], characters: bool) -> None:
    hasher = NGramHasher(characters=characters)
    composed = [unicodedata.normalize("NFC", text) for text in texts]
    plain = NGramHasher(characters=characters, compose=False)
    expected = plain.transform(composed)
    for form in ("NFC", "NFD"):
        found = hasher.transform([unicodedata.normalize(form, text) for text in texts])
        np.testing.assert_array_equal(found.indptr, expected.indptr)
        np.testing.assert_array_equal(found.buckets, expected.buckets)
    assert hasher.tokens(texts) == plain.tokens(composed)


def test_text_of_many_chunks_is_composed() -> None:
    texts = ["plain words only"] * 50_000 + [unicodedata.normalize("NFD", "öffentlich İstanbul")]
    found = NGramHasher().transform([*texts, *texts])
    again = NGramHasher().transform([unicodedata.normalize("NFC", text) for text in texts])
    np.testing.assert_array_equal(found.buckets[: len(again.buckets)], again.buckets)


PLAIN = ["the", "quick", "brown", "fox", "jumps", "over", "dogs"]
SENTENCES = {
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다",
    "vi": "tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm",
    "de": "früh über Bäume Möhren Füße grün schön höflich müde Tür Nächte",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_pool_in_two_forms_is_one_pool(language: str) -> None:
    rng, words = np.random.default_rng(0), SENTENCES[language].split()
    texts = [" ".join(rng.choice(words, 20)) for _ in range(80)]
    decomposed = [unicodedata.normalize("NFD", text) for text in texts]
    others = [" ".join(rng.choice(PLAIN, 20)) for _ in texts]
    embedder = HashedTextEmbedder(dimensions=16).fit(texts + others)
    np.testing.assert_array_equal(embedder.encode(texts), embedder.encode(decomposed))
    near = NearDuplicates().fit([texts[0], decomposed[0]])
    assert near.keep_.tolist() == [True, False]
    target = [" ".join(rng.choice(words, 20)) for _ in range(40)]
    pool = decomposed[:40] + texts[40:] + others
    step = ImportanceResampler(budget=60, random_state=0).fit(pool, target=target)
    assert 20 <= (step.indices_ < 40).sum() <= 40
    assert (step.indices_ >= 80).sum() <= 6
    plain = ImportanceResampler(budget=60, random_state=0).fit(texts + others, target=target)
    np.testing.assert_array_equal(step.indices_, plain.indices_)


def test_the_published_mode_leaves_short_texts_out_and_forms_as_they_are() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(50)]
    lengths = rng.integers(1, 30, 200)
    texts = [" ".join(rng.choice(words, n)) for n in lengths]
    options = {"budget": 40, "mode": "dsir", "random_state": 1}
    step = ImportanceResampler(**options, min_example_length=12).fit(texts, target=texts[:50])
    assert (lengths[step.indices_] >= 12).all()
    assert step.report_["dropped"] == {"empty": 0, "short": int((lengths < 12).sum())}
    every = ImportanceResampler(**options).fit(texts, target=texts[:50])
    long = lengths >= 12
    np.testing.assert_array_equal(step.log_weights_[long], every.log_weights_[long])
    assert np.isnan(step.log_weights_[~long]).all()
    # the package draws noise for the rows that are left, in their order
    noise = np.random.RandomState(1).gumbel(size=int(long.sum()))
    keys = every.log_weights_[long] + noise
    expected = np.flatnonzero(long)[np.argsort(-keys, kind="stable")[:40]]
    np.testing.assert_array_equal(step.indices_, expected)
    assert not ImportanceResampler(budget=1, mode="dsir").hasher().compose


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(st.sampled_from("a1ä\u0308 .,-_'é\n한"), max_size=40), min_size=4, max_size=20
    ),
    st.integers(1, 12),
)
def test_short_texts_are_those_with_fewer_words_and_signs(texts: list[str], least: int) -> None:
    # what the package counts: runs of word characters and runs of other signs, of the text as it is
    lengths = np.array([len(re.findall(r"\w+|[^\w\s]+", text.lower())) for text in texts])
    usable = lengths >= least
    step = ImportanceResampler(
        budget=max(int(usable.sum()), 1), mode="dsir", tokenizer="re", min_example_length=least
    )
    if not usable.any():
        with pytest.raises(AssayError):
            step.fit(texts, target=["a 1"])
        return
    step.fit(texts, target=["a 1"])
    assert sorted(step.indices_) == np.flatnonzero(usable).tolist()
    dropped = {"short": 0, **step.report_["dropped"]}
    assert sum(dropped.values()) == int((~usable).sum())
    assert dropped["empty"] == sum(not text.split() for text in texts)


# marks, Hangul's parts, vowels of class 0 that compose, characters whose NFC is another, far planes
TRICKY = (
    "aAeIİiΣς\u03c3\u0131\u0300\u0301\u0307\u0316\u0327\u0340\u0344\u0958\u09c7\u09be\u0b47\u0b3e\u0dd9\u0dcf"
    "\u0dca\u1100\u1161\u11a8\uac00\u212a\u2126\u3046\u3099\ufb1d\ufb2a\U00011099\U000110ba"
    "\U0001d15e\U0001d165\U0002f800\U000e0100\U00030000ü\u2013한国"
)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.none(),
            st.text(st.sampled_from(TRICKY), max_size=6),
            st.text(st.one_of(st.sampled_from(TRICKY), st.characters(exclude_categories=["Cs"]))),
            st.text("plain words ", max_size=80),
        )
    ),
    st.integers(1, 40),
    st.booleans(),
    st.booleans(),
)
def test_chunks_hold_what_unicodedata_and_lower_make_of_each_row(
    texts: list[str | None], size: int, compose: bool, lower: bool
) -> None:
    rows = []
    for data, offsets in utf8_chunks(as_texts(texts), size, compose, lower):
        held = data.tobytes()
        rows += [
            held[i:j].decode()
            for i, j in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
        ]
    expected = [
        unicodedata.normalize("NFC", text or "") if compose else text or "" for text in texts
    ]
    if lower:
        expected = [text.lower() if {"İ", "Σ"} & set(text) else text for text in expected]
    assert rows == expected


def test_text_without_unsettled_characters_is_in_nfc() -> None:
    # alone, and after and before every character that is part of a composition
    settled = [chr(c) for c in range(0x300, 0x30000) if not _scanned_kinds()[c] & 1]
    settled = [c for c in settled if unicodedata.category(c) != "Cs"]
    assert len(settled) > 0.9 * 0x2F000
    assert unicodedata.is_normalized("NFC", "".join(settled))
    parts = {
        part
        for c in map(chr, range(0xA0, 0x30000))
        if (d := unicodedata.decomposition(c)) and d[0] != "<"
        for part in (chr(int(p, 16)) for p in d.split())
    }
    firsts = sorted(p for p in parts if ord(p) < 0x300 or not _scanned_kinds()[ord(p)] & 1)
    every = settled + [chr(c) for c in range(0x20, 0x300)]
    assert all(unicodedata.is_normalized("NFC", first.join(every)) for first in firsts[::20])
