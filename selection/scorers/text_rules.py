"""The rules by which pretraining pipelines leave texts out: how many of them a text breaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from assay.selection.algorithms.quality_counts import quality_counts
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs

_LINE = r"(?m)^.*\S.*$"


class TextRules(Scorer):
    """Base of the scorers that count broken rules.

    A subclass gives its rules as expressions over the columns of `measured`, true where a text
    breaks them.

    Attributes
    ----------
    scores_ : float64[n]
        Rules broken; 0 = a text that the rules let through.
    rules_ : pl.DataFrame
        A column of booleans for each rule, in the order of the rows.
    report_ : dict
        `kept` (texts that break none), `rule.NAME` (texts that break it).
    """

    @classmethod
    def rules(cls) -> Mapping[str, pl.Expr]:
        """Return, by name, where a text breaks a rule."""
        raise NotImplementedError(f"{cls.__name__} defines no rules.")

    @classmethod
    def measured(cls, texts: pl.Series) -> pl.LazyFrame:
        """Return what the rules are about, a row for each text."""
        return pl.DataFrame({"text": texts}).lazy().select(**_measures())

    @classmethod
    def broken(cls, texts: pl.Series) -> pl.Series:
        """Return the names of the rules that each text breaks, parted by ", ".

        Examples
        --------
        >>> GopherQuality.broken(pl.Series(["# # buy now ..."]))[0]
        'too_few_words, word_length, symbols, ellipses, lines_end_in_ellipsis, not_alphabetic, stop_words'
        """
        rules = cls.rules()
        named = [pl.when(rule.fill_null(False)).then(pl.lit(name)) for name, rule in rules.items()]
        return (
            cls.measured(texts.fill_null(""))
            .select(rules=pl.concat_str(named, separator=", ", ignore_nulls=True))
            .collect()["rules"]
        )

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        texts = inputs.texts().fill_null("")
        rules = self.rules()
        broken = self.measured(texts).select(**rules).select(pl.all().fill_null(False)).collect()
        order = inputs.as_given(np.arange(inputs.n))
        self.rules_ = broken[order]
        counts = broken.select(pl.all().sum()).row(0, named=True)
        total = broken.select(pl.sum_horizontal(pl.all().cast(pl.Float64))).to_series().to_numpy()
        kept = int((total == 0).sum())
        return total, {"kept": kept, **{f"rule.{name}": int(n) for name, n in counts.items()}}


class GopherQuality(TextRules):
    """How many of Gopher's rules of quality a text breaks.

    ========================  ========================================================
    rule                      a text breaks it with
    ========================  ========================================================
    too_few_words             fewer than 50 words
    too_many_words            more than 100,000 words
    word_length               words of fewer than 3 or more than 10 characters on average
    symbols                   more than a tenth as many "#" as words
    ellipses                  more than a tenth as many ellipses as words
    bullets                   more than 90 % of the lines begin with a bullet
    lines_end_in_ellipsis     more than 30 % of the lines end in an ellipsis
    not_alphabetic            fewer than 80 % of the words hold a letter
    stop_words                fewer than two of: the, be, to, of, and, that, have, with
    ========================  ========================================================

    Words are what white space parts. The rule of stop words is for English.

    Notes
    -----
    Linear in the text. As a filter: ``gopher_quality = 0``; the detail of the reason then names the
    rules that a row breaks, as `gopher_quality_rules`.

    Claims
    ------
    paper
        Rules of quality that filter MassiveText; better language models with them.
    here
        The rules, counted.
    deviates
        A count instead of a filter; the rules of repetition are `gopher_repetition`.
    measured
        Equal to plain Python on real texts (test).

    References
    ----------
    Rae et al., "Scaling language models: methods, analysis & insights from training Gopher", 2021,
    appendix A1.1.

    Examples
    --------
    >>> text = "The parts of a text that people write to be read have words with a point . " * 5
    >>> scorer = GopherQuality().fit([text, "# # buy now ..."])
    >>> scorer.scores_.tolist()
    [0.0, 7.0]
    """

    @classmethod
    def measured(cls, texts: pl.Series) -> pl.LazyFrame:
        """Return what the rules are about, a row for each text."""
        return pl.DataFrame(quality_counts(texts)).lazy()

    @classmethod
    def rules(cls) -> Mapping[str, pl.Expr]:
        words = _some("words")
        length = pl.col("word_characters") / words
        return {
            "too_few_words": pl.col("words") < 50,
            "too_many_words": words > 100_000,
            "word_length": (length < 3) | (length > 10),
            "symbols": pl.col("hashes") / words > 0.1,
            "ellipses": pl.col("ellipses") / words > 0.1,
            "bullets": pl.col("bullets") / _some("lines") > 0.9,
            "lines_end_in_ellipsis": pl.col("open_lines") / _some("lines") > 0.3,
            "not_alphabetic": pl.col("alphabetic") / words < 0.8,
            "stop_words": pl.col("stop_words") < 2,
        }


class C4Quality(TextRules):
    """How many of the rules of C4 a text breaks.

    ====================  =====================================================
    rule                  a text breaks it with
    ====================  =====================================================
    too_few_sentences     fewer than 5 sentences
    placeholder           "lorem ipsum"
    curly_bracket         a curly bracket, which code has and prose does not
    open_lines            more than half of the lines without a mark at the end
    javascript            a line that asks for JavaScript
    policy                a line about cookies, terms of use or privacy
    ====================  =====================================================

    C4 itself removes single lines for the last three, and then counts sentences; here they count
    against the text, as rows are not changed.

    Notes
    -----
    Linear in the text, by regular expressions. As a filter: ``c4_quality = 0``; the detail of the
    reason names the rules, as `c4_quality_rules`.

    Claims
    ------
    paper
        Heuristics that clean Common Crawl; pretraining on the rest is better.
    here
        The rules, counted.
    deviates
        Lines count against the text instead of being removed; no language or bad-word filter.
    measured
        Each rule's case (test).

    References
    ----------
    Raffel et al., "Exploring the limits of transfer learning with a unified text-to-text
    transformer", 2020, section 2.2.

    Examples
    --------
    >>> C4Quality().fit(["One. Two. Three. Four. Five.", "f() { return }"]).scores_.tolist()
    [0.0, 3.0]
    """

    @classmethod
    def rules(cls) -> Mapping[str, pl.Expr]:
        return {
            "too_few_sentences": pl.col("sentences") < 5,
            "placeholder": pl.col("placeholder"),
            "curly_bracket": pl.col("curly_bracket"),
            "open_lines": pl.col("unmarked_lines") / _some("lines") > 0.5,
            "javascript": pl.col("javascript"),
            "policy": pl.col("policy"),
        }


def _some(name: str) -> pl.Expr:
    """Return a count, null where it is 0: a text without words has no share that is too large."""
    return pl.when(pl.col(name) > 0).then(pl.col(name))


def _measures() -> dict[str, pl.Expr]:
    """Return what the rules are about, by name."""
    text = pl.col("text").str

    def count(pattern: str) -> pl.Expr:
        return text.count_matches(pattern).cast(pl.Float64)

    policy = "terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies"
    return {
        "lines": count(_LINE),
        "sentences": count(r"[.!?][\"'”)]*(?:\s|$)"),
        "placeholder": text.contains("(?i)lorem ipsum"),
        "curly_bracket": text.contains(r"[{}]"),
        "unmarked_lines": count(r"(?m)^.*[^\s.!?\"'”)]\s*$"),
        "javascript": text.contains("(?i)javascript"),
        "policy": text.contains(f"(?i){policy}"),
    }
