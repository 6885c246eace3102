"""How much a text repeats itself: shares of duplicate lines, paragraphs and runs of words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from assay.selection.algorithms.repetition import SHARES, repetition_shares
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs
from assay.selection.scorers.text_rules import TextRules
from assay.storage.limits import Limits

# what Gopher lets through of each share
_MOST = dict(
    zip(
        SHARES,
        (0.3, 0.2, 0.3, 0.2, 0.2, 0.18, 0.16, 0.15, 0.14, 0.13, 0.12, 0.11, 0.1),
        strict=True,
    )
)


@dataclass(kw_only=True, eq=False, repr=False)
class Repetition(Scorer):
    r"""Share of a text that repeats what the text said before.

    By default, with w the words of the text and n = 5,

    .. math:: \frac{\text{characters of words in runs of } n \text{ words that came before}}
              {\text{characters of the text}}

    Parameters
    ----------
    share : str, default "duplicate_5_grams"
        Which share is the score. "duplicate_N_grams" for N from 5 to 10, of which that of 5 words
        sees the shortest repeats; "top_N_gram" for N from 2 to 4, the characters of the most
        frequent run, times how often it occurs; "duplicate_lines", "duplicate_paragraphs", and
        "duplicate_line_characters", "duplicate_paragraph_characters" for their characters.

    Attributes
    ----------
    scores_ : float64[n], from 0 to 1
        0 = nothing is repeated; also for a text without words.
    shares_ : pl.DataFrame
        A column for every share, in the order of the rows.
    report_ : dict
        `mean` of the score.

    Notes
    -----
    Words are what white space parts; lines are trimmed, blank ones part paragraphs; a run that
    occurs once is no top run. Linear in the text, some 30 to 50 MB/s for each core.

    Claims
    ------
    paper
        Gopher filters by thirteen shares of repetition.
    here
        All thirteen; one is the score, all are in `shares_`.
    deviates
        Words are what white space parts; a run of words that occurs once is no most frequent one.
    measured
        Equal to plain Python on random texts of many scripts (tests); 55 MB/s for each core
        (`text_scores.md`).

    References
    ----------
    Rae et al., "Scaling language models: methods, analysis & insights from training Gopher", 2021,
    appendix A1.1, table A1.

    See Also
    --------
    GopherRepetition

    Examples
    --------
    >>> texts = ["buy it now and pay later buy it now and pay later", "each word is another one"]
    >>> Repetition().fit(texts).scores_.round(3).tolist()
    [0.286, 0.0]
    """

    limits: ClassVar[Limits] = {"share": SHARES}

    share: str = "duplicate_5_grams"

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        shares = repetition_shares(inputs.texts())
        self.shares_ = pl.DataFrame(shares)[inputs.as_given(np.arange(inputs.n))]
        return shares[self.share], {"mean": float(shares[self.share].mean())}


class GopherRepetition(TextRules):
    """How many of Gopher's rules of repetition a text breaks.

    ==============================  =============================================
    rule                            a text breaks it with a share of more than
    ==============================  =============================================
    duplicate_lines                 .30 of the lines
    duplicate_line_characters       .20 of the characters
    duplicate_paragraphs            .30 of the paragraphs
    duplicate_paragraph_characters  .20 of the characters
    top_2_gram to top_4_gram        .20, .18, .16 of the characters
    duplicate_5_grams to _10_grams  .15, .14, .13, .12, .11, .10 of the characters
    ==============================  =============================================

    The shares are those of `Repetition`.

    Notes
    -----
    Linear in the text, some 30 to 50 MB/s for each core. As a filter: ``gopher_repetition = 0``.

    Claims
    ------
    paper
        Texts that repeat themselves are filtered from MassiveText; better language models without them.
    here
        All thirteen rules with the published limits, counted.
    deviates
        A count instead of a filter; words and runs as of `Repetition`.
    measured
        On 4,000 documents the verdicts are datatrove's, but where that counts a most frequent run of
        words that occurs once; 0 dropped by ours alone (`text_scores.md`).

    References
    ----------
    Rae et al., "Scaling language models: methods, analysis & insights from training Gopher", 2021,
    appendix A1.1, table A1.

    Examples
    --------
    >>> scorer = GopherRepetition().fit(["one\\ntwo\\none\\none", "each word is another one"])
    >>> scorer.scores_.tolist()
    [2.0, 0.0]
    """

    @classmethod
    def rules(cls) -> Mapping[str, pl.Expr]:
        return {name: pl.col(name) > most for name, most in _MOST.items()}

    @classmethod
    def measured(cls, texts: pl.Series) -> pl.LazyFrame:
        return pl.LazyFrame(repetition_shares(texts))
