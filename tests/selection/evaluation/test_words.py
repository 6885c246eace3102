"""Coverage of words: by hand, by brute force, and where facility location loses to random."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from assay.index import SimilarityGraph
from assay.index.embedding.text import HashedTextEmbedder
from assay.selection import FacilityLocationSelector, StratifiedSelector, evaluate_selection
from assay.selection.evaluation.words import word_coverage
from tests.data import shared

WORDS = [
    "cat",
    "dog",
    "fish",
    "bird",
    "bank",
    "loan",
    "fund",
    "share",
    "stock",
    "rose",
    "fell",
    "the",
    "a",
    "of",
]


def brute(texts: list[str], asked: list[int], chosen: list[int]) -> float:
    held = {word for row in chosen for word in re.findall(r"\w+", texts[row].lower())}
    words = [set(re.findall(r"\w+", texts[row].lower())) for row in asked]
    counts = {word: sum(word in row for row in words) for row in words for word in row}
    value = {w: math.log((1 + len(asked)) / (1 + c)) * (c >= 2) for w, c in counts.items()}
    shares = []
    for row in words:
        total = sum(value[w] for w in row)
        if total:
            shares.append(sum(value[w] for w in row if w in held) / total)
    return float(np.mean(shares))


@pytest.mark.parametrize("seed", range(4))
def test_coverage_is_that_of_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(WORDS, rng.integers(1, 7))).title() + "!" for _ in range(40)]
    asked, chosen = rng.permutation(40)[:25], rng.permutation(40)[:4]
    part, calls = int(rng.integers(1, 12)), []

    def read(rows: np.ndarray) -> Iterator[pl.Series]:
        assert (np.diff(rows) > 0).all()
        calls.append(len(rows))
        return (pl.Series(texts)[rows[i : i + part]] for i in range(0, len(rows), part))

    found = word_coverage(read, asked, [chosen, np.arange(40)])
    means = [shares.mean() for shares in found]
    assert means == pytest.approx([brute(texts, asked.tolist(), chosen.tolist()), 1])
    assert calls == [40]


def test_texts_without_a_common_word_have_no_share() -> None:
    texts = pl.Series(["a", "b", "", "c"])
    found = word_coverage(lambda rows: [texts.gather(rows)], np.arange(4), [np.array([0])])
    assert [len(shares) for shares in found] == [0]


def test_of_long_selections_a_sample_is_read() -> None:
    texts = pl.Series([f"word{row % 7} and word{row % 5}" for row in range(200)])
    read: list[int] = []

    def part(rows: np.ndarray) -> pl.Series:
        read.append(len(rows))
        return texts.gather(rows)

    evaluate_selection(np.arange(100), X=np.ones((200, 1)), texts=part, sample=5, draws=2)
    # the rows asked for, and as many of each subset
    assert len(read) == 1
    assert 5 < read[0] <= 20


def test_the_ledger_says_that_rows_which_say_little_were_chosen() -> None:
    rng = np.random.default_rng(0)
    full = [" ".join(rng.choice(WORDS[:11], 5)) for _ in range(150)]
    texts = [*full, *(["the a of"] * 50)]
    for X, given in ((texts, None), (rng.normal(size=(200, 4)), texts)):
        found = evaluate_selection(np.arange(150, 170), X=X, texts=given)
        line = found.filter(name="words_covered").row(0, named=True)
        assert line["verdict"] == "random is better"
        assert line["value"] < line["baseline"]
    one = evaluate_selection(np.arange(20), X=texts).filter(name="words_covered")
    read = evaluate_selection(np.arange(20), X=np.ones((200, 1)), texts=pl.Series(texts).gather)
    assert read.filter(name="words_covered")["value"].item() == one["value"].item()


@pytest.mark.slow
def test_titles_where_facility_location_is_worse_than_random() -> None:
    """100 of 6,000 Stack Overflow titles: facility location is 9 points worse than random."""
    frame = pl.read_parquet(shared("text_pool.parquet")).filter(source="stackoverflow_titles")
    texts = frame["text"].unique(maintain_order=True)[:6_000]
    X = HashedTextEmbedder().fit(texts).encode(texts)
    chosen = {
        "facility_location": FacilityLocationSelector(budget=100).fit(
            graph=SimilarityGraph.from_vectors(X, k=15)
        ),
        "stratified": StratifiedSelector(budget=100).fit(X),
    }
    verdicts = {
        name: evaluate_selection(selector.indices_, X=texts)
        .filter(name="words_covered")["verdict"]
        .item()
        for name, selector in chosen.items()
    }
    assert verdicts["facility_location"] == "random is better"
    assert verdicts["stratified"] != "random is better"
