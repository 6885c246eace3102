"""Rules of quality, against the same rules word by word in Python."""

from __future__ import annotations

import json
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection import C4Quality, GopherQuality, SelectionPlan
from assay.storage.errors import InputError

STOP = {"the", "be", "to", "of", "and", "that", "have", "with"}


def gopher(text):
    words, lines = text.split(), [line for line in text.split("\n") if line.strip()]
    n, m = len(words), len(lines)
    mean = sum(map(len, words)) / n if n else None
    dots = text.replace("...", "…").count("…")
    return {
        "too_few_words": n < 50,
        "too_many_words": n > 100_000,
        "word_length": bool(n) and not 3 <= mean <= 10,
        "symbols": bool(n) and text.count("#") / n > 0.1,
        "ellipses": bool(n) and dots / n > 0.1,
        "bullets": bool(m) and sum(line.strip()[0] in "•‣▶◀◦■□▪▫*-" for line in lines) / m > 0.9,
        "lines_end_in_ellipsis": bool(m)
        and sum(line.strip().endswith(("...", "…")) for line in lines) / m > 0.3,
        "not_alphabetic": bool(n) and sum(any(c.isalpha() for c in w) for w in words) / n < 0.8,
        "stop_words": len(STOP & {w.lower() for w in words}) < 2,
    }


WORDS = st.sampled_from(
    ["the", "To", "of", "graph", "sampling", "x", "12", "#", "...", "…", "-", "*", "word,"]
)
ODD = st.sampled_from(
    [
        "",
        "\t",
        "WITH",
        "withé",
        "éthe",
        "....",
        "......",
        "….",
        "...…",
        "•",
        "▪ Ünïcode",
        "x...",
        "字",
        "٣",
        "\u3000",
    ]
)
TEXTS = st.lists(
    st.lists(WORDS | ODD, min_size=1, max_size=30).map(" ".join), min_size=1, max_size=6
)


@settings(max_examples=80, deadline=None)
@given(texts=st.lists(TEXTS.map("\n".join), min_size=1, max_size=8))
def test_gopher_rules_are_those_of_plain_python(texts):
    scorer = GopherQuality().fit(texts)
    for row, text in enumerate(texts):
        expected = gopher(text)
        assert scorer.rules_.row(row, named=True) == expected
        assert scorer.scores_[row] == sum(expected.values())
    assert scorer.report_["kept"] == (scorer.scores_ == 0).sum()


def test_each_rule_of_c4():
    good = "One thing. Another one! Is it? It is. And so on."
    cases = {
        "too_few_sentences": "One thing. Another one.",
        "placeholder": f"{good} Lorem ipsum dolor.",
        "curly_bracket": f"{good} A {{ bracket.",
        "open_lines": f"Home\nAbout\nMenu\n{good}",
        "javascript": f"{good} Enable JavaScript.",
        "policy": f"{good} We use cookies.",
    }
    scorer = C4Quality().fit([good, *cases.values()])
    assert scorer.scores_[0] == 0
    for row, rule in enumerate(cases, start=1):
        broken = [name for name, value in scorer.rules_.row(row, named=True).items() if value]
        assert broken == [rule]


def test_the_order_of_rows_and_missing_texts():
    texts = np.array(["the cat and the dog", None, "", "# # #"], dtype=object)
    ids = ["d", "c", "b", "a"]
    scorer = GopherQuality().fit(texts, ids=ids)
    other = GopherQuality().fit(texts[::-1], ids=ids[::-1])
    np.testing.assert_array_equal(scorer.scores_, other.scores_[::-1])
    assert scorer.rules_.equals(other.rules_[::-1])
    assert scorer.rules_["too_few_words"].all()
    with pytest.raises(InputError):
        GopherQuality().fit(np.ones((3, 2)))


def test_words_are_what_white_space_parts():
    scorer = GopherQuality().fit([" ".join(["the", "of", "word"] * 20)])
    assert re.fullmatch(r"0\.0", str(scorer.scores_[0]))


def test_a_filter_names_the_rules_that_a_row_breaks():
    good = "The parts of a text that people write to be read have words with a point. " * 5
    texts = [good, "# # buy now ...", f"{good} A {{ bracket."]
    table = pl.DataFrame({"own": [1, 2, 3]})
    scores = {
        "gopher_quality": GopherQuality().fit(texts).scores_,
        "c4_quality": C4Quality().fit(texts).scores_,
    }
    plan = SelectionPlan(
        budget=1,
        selector="random",
        filters=["own > 0", "gopher_quality = 0", "c4_quality + 0 < 1"],
    )
    plan.fit(texts=texts, scores=scores, table=table, ids=["a", "b", "c"])
    details = dict(zip("abc", plan.decisions()["detail"], strict=True))
    broken = json.loads(details["b"])["gopher_quality_rules"].split(", ")
    rules = GopherQuality().fit(texts).rules_.row(1, named=True)
    assert broken == [name for name, breaks in rules.items() if breaks]
    assert json.loads(details["b"])["value"] == len(broken)
    assert json.loads(details["c"])["c4_quality_rules"] == "curly_bracket"
    assert "gopher_quality_rules" not in json.loads(details["a"])


def test_the_rules_are_counted_in_every_block_of_texts():
    texts = ["# a word …", "", "x" * 3_000_000, "- one\n- two"]
    words = GopherQuality.measured(pl.Series(texts)).collect()
    assert words["words"].to_list() == [4, 0, 1, 4]
    assert words["bullets"].to_list() == [0, 0, 0, 2]
    assert words["word_characters"].to_list() == [7, 0, 3_000_000, 8]
