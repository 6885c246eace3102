"""Runs of characters, against scikit-learn's."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from assay.index import HashedTextEmbedder
from assay.index.ngrams.characters import CharacterNGramHasher
from assay.storage.errors import ConfigError

TEXTS = st.lists(st.text("aé ñß\t\nB7-.Σσİ中😀", max_size=30), min_size=1, max_size=6)


def expected(texts, shortest, longest):
    analyze = CountVectorizer(analyzer="char_wb", ngram_range=(shortest, longest)).build_analyzer()
    return [analyze(text) for text in texts]


@settings(max_examples=30, deadline=None)
@given(texts=TEXTS, shortest=st.integers(1, 5), more=st.integers(0, 3))
def test_the_runs_are_those_of_scikit_learn(texts, shortest, more):
    hasher = CharacterNGramHasher(shortest, shortest + more, 1 << 28)
    wanted = expected(texts, shortest, shortest + more)
    # a bucket for each run alone: a text of one run and nothing else can't be had, so counts tell
    assert [Counter(runs) for runs in hasher.tokens(texts)] == [Counter(runs) for runs in wanted]
    found = hasher.transform(texts)
    assert found.n_tokens.tolist() == [len(runs) for runs in wanted]
    of_run: dict[str, int] = {}
    for row, runs in enumerate(wanted):
        buckets = found.buckets[found.indptr[row] : found.indptr[row + 1]]
        # both go through words, then lengths, then places
        for run, bucket in zip(runs, buckets.tolist(), strict=True):
            assert of_run.setdefault(run, bucket) == bucket
    assert len(set(of_run.values())) == len(of_run)


def test_rows_are_the_same_in_any_chunk_and_bounds_are_checked():
    texts = ["", None, "one", "a longer text of words", "word " * 50]
    hasher = CharacterNGramHasher(2, 4, 4_096)
    together = hasher.transform(texts)
    for row, text in enumerate(texts):
        alone = hasher.transform([text]).buckets
        part = together.buckets[together.indptr[row] : together.indptr[row + 1]]
        np.testing.assert_array_equal(alone, part)
    for wrong in ((0, 3, 10), (4, 3, 10), (3, 17, 10), (3, 3, 0)):
        with pytest.raises(ConfigError):
            CharacterNGramHasher(*wrong)


def test_the_embedder_takes_characters_and_is_read_back(tmp_path):
    texts = ["wireless keyboard", "wirelss keybord", "garden chair", "gardn chairs", "lamp", "lmap"]
    embedder = HashedTextEmbedder(4, ngrams=(3, 3), analyzer="char_wb").fit(texts)
    X = embedder.encode(texts)
    similarity = X @ X.T
    assert similarity[0, 1] > 0.7 > 0.2 > similarity[0, 2]
    words = HashedTextEmbedder(4).fit(texts)
    assert words.fingerprint != embedder.fingerprint
    embedder.save(tmp_path)
    again = HashedTextEmbedder.load(tmp_path)
    assert (again.analyzer, again.ngrams) == ("char_wb", (3, 3))
    assert again.fingerprint == embedder.fingerprint
    np.testing.assert_array_equal(again.encode(texts), X)
    same = HashedTextEmbedder(4, analyzer="char_wb").fit(texts)
    np.testing.assert_array_equal(same.encode(texts), X)
    with pytest.raises(ConfigError, match="longest length alone"):
        HashedTextEmbedder(ngrams=(1, 2))
