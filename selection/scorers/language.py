"""How likely a text is in a language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from assay.selection.algorithms.language_model import language_posteriors, shipped_model
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs
from assay.storage.errors import ConfigError
from assay.storage.limits import Instance, Limits, Whole

# languages whose shares are reported
_SHOWN = 20


@dataclass(kw_only=True, eq=False, repr=False)
class Language(Scorer):
    r"""Probability that a text is in a language, by its runs of 1 to 4 letters.

    .. math:: p_l \propto \exp \Big(\frac{1}{T} \sum_{r \in x} \log \frac{q_l(r)}{q_0}\Big)

    A naive Bayes model of 64 languages, fitted on the Universal Declaration of Human Rights, comes
    with the package; nothing is downloaded.

    Parameters
    ----------
    language : str, default "en"
        ISO 639-1 code; `languages_` holds every row's likeliest one, whichever is asked for.
    letters : int, default 1,000
        Letters that are read from the start of each text. More change little.

    Attributes
    ----------
    scores_ : float64[n], from 0 to 1
        1/64 for a text without letters.
    languages_ : pl.Series of String
        The likeliest language of each row; null where a text has no letters.
    report_ : dict
        `languages` (the share of the rows in each of the 20 most frequent ones).

    Raises
    ------
    ConfigError
        `language` is not one of the model's; the message lists them.

    Notes
    -----
    On the paragraphs of XQuAD, in 12 languages, the likeliest of the 64 is right for 99.2 % of the
    pieces of 100 characters, for 97 % of 50 and for 83 % of 20: don't trust it on single words, or
    on code, which counts as some language too. Norwegian is Bokmål; a Han character says Chinese or
    Japanese, kana which of them. Some 30 to 85 MB/s for each core, the more
    the longer the texts.

    Claims
    ------
    paper
        langid.py: 97 languages by naive Bayes on byte n-grams, above .9 on most sets.
    here
        64 languages by naive Bayes on hashed runs of letters.
    deviates
        Fitted on one text of 2,000 words for each language; only the first 1,000 letters are read.
    measured
        XQuAD's 12 languages: right for .992 of pieces of 100 characters, .965 of 50, .832 of 20
        (`language_model.md`).

    References
    ----------
    Cavnar, Trenkle, "N-gram-based text categorization", 1994. Lui, Baldwin, "langid.py: an
    off-the-shelf language identification tool", 2012.

    Examples
    --------
    >>> texts = ["Wann fährt der nächste Zug nach Hause?", "When does the next train go home?"]
    >>> scorer = Language(language="de").fit(texts)
    >>> scorer.scores_.round(1).tolist(), scorer.languages_.to_list()
    ([1.0, 0.0], ['de', 'en'])
    """

    limits: ClassVar[Limits] = {
        "language": (Instance((str,), "an ISO 639-1 code"),),
        "letters": (Whole(1, 1_000_000),),
    }

    language: str = "en"
    letters: int = 1_000

    def check_parameters(self) -> None:
        super().check_parameters()
        known = shipped_model().languages
        if self.language not in known:
            raise ConfigError(
                f"language is {self.language!r}, which the model doesn't know; pass one of "
                f"{', '.join(known)}."
            )

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        letters, posteriors = language_posteriors(inputs.texts(), int(self.letters))
        names = pl.Series("language", shipped_model().languages)
        likeliest = names.gather(posteriors.argmax(axis=1))
        likeliest = likeliest.set(pl.Series(letters == 0), None)
        self.languages_ = likeliest.gather(inputs.as_given(np.arange(inputs.n)))
        counts = (
            likeliest.drop_nulls()
            .value_counts()
            .sort(["count", "language"], descending=[True, False])
        )
        shares = {name: count / inputs.n for name, count in counts.head(_SHOWN).iter_rows()}
        column = shipped_model().languages.index(self.language)
        return posteriors[:, column], {"languages": shares}
