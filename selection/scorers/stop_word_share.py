"""Which share of a text's words hold sentences together rather than say something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from assay.selection.algorithms.stop_words import LANGUAGES, stop_word_shares
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs
from assay.storage.limits import Limits


@dataclass(kw_only=True, eq=False, repr=False)
class StopWordShare(Scorer):
    r"""Share of a text's words that are stop words of a language: low in lists, code and spam.

    .. math:: \frac{|\{w \in x : w \in S_{\text{language}}\}|}{|x|}

    Parameters
    ----------
    language : str, default "en"
        "ar", "bg", "ca", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fr", "he", "hi", "hr",
        "hu", "id", "it", "nb", "nl", "pl", "pt", "ro", "ru", "sv", "tr", "uk" or "vi"; "any": that
        of them that gives the highest share, for pools of many languages.

    Attributes
    ----------
    scores_ : float64[n], from 0 to 1
        Some .3 to .5 for English prose; 0 for a text without words.
    report_ : dict
        `mean` of the score.

    Notes
    -----
    20 to 50 words for each language: articles, prepositions, pronouns, conjunctions, auxiliaries.
    Words are runs of letters, digits and combining marks in lower case, so that "l'eau" is two.
    Scripts without spaces between words have no list. Linear in the text, some 100 MB/s for each
    core.

    Claims
    ------
    paper
        Gopher asks for two of eight English stop words; FineWeb2 has lists by language.
    here
        The share of the words, for 28 languages.
    deviates
        A share instead of a count; lists of our own.
    measured
        Equal to a count word by word (test); mean .03 for C#, .38 for film reviews, on the text pool;
        118 MB/s for each core (`text_scores.md`).

    References
    ----------
    Rae et al., "Scaling language models: methods, analysis & insights from training Gopher", 2021,
    appendix A1.1, asks for two of eight English ones. Penedo et al., "FineWeb2: one pipeline to
    scale them all", 2025, has lists by language.

    Examples
    --------
    >>> texts = ["the cat is on the roof of a house", "cheap shoes buy online shop"]
    >>> StopWordShare().fit(texts).scores_.round(3).tolist()
    [0.667, 0.0]
    """

    limits: ClassVar[Limits] = {"language": (*LANGUAGES, "any")}

    language: str = "en"

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        _, shares = stop_word_shares(inputs.texts())
        if self.language == "any":
            scores = shares.max(axis=1)
        else:
            scores = shares[:, LANGUAGES.index(self.language)]
        return scores, {"mean": float(scores.mean())}
