"""Which share of a text is digits, symbols, punctuation or upper case."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from assay.selection.algorithms.text_blocks import character_counts
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs


class CharacterShare(Scorer):
    """Base of the scorers that count one class of characters; a subclass names the class.

    Attributes
    ----------
    scores_ : float64[n], from 0 to 1
        0 for a text that has nothing to be a share of.
    report_ : dict
        `share` (that of all texts together).
    """

    counted: ClassVar[str]

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        counts = character_counts(inputs.texts())
        part, whole = counts[self.counted], self._whole(counts)
        shares = np.divide(part, whole, out=np.zeros(inputs.n), where=whole > 0)
        return shares, {"share": float(part.sum() / max(1.0, whole.sum()))}

    def _whole(self, counts: dict[str, Floats]) -> Floats:
        """Return of how many characters it is a share."""
        return counts["characters"] - counts["space"]


class DigitShare(CharacterShare):
    r"""Share of the characters that are decimal digits, of any script.

    .. math:: \frac{|\{c : c \in \mathrm{Nd}\}|}{|\{c : c \text{ is no white space}\}|}

    Notes
    -----
    Characters are code points, classes those of Unicode's general categories. Linear in the text,
    more than 100 MB/s for each core.

    Claims
    ------
    paper
        RefinedWeb drops lines that are mostly numbers.
    here
        The share of each text.
    deviates
        A score of the text instead of a filter of lines; all scripts' digits.
    measured
        Equal to Unicode's categories, character by character (test); 227 MB/s for each core
        (`text_scores.md`).

    References
    ----------
    The Unicode Standard, section 4.5, "General category". Penedo et al., "The RefinedWeb dataset
    for Falcon LLM", 2023, which leaves out lines that are mostly numbers.

    Examples
    --------
    >>> DigitShare().fit(["call 0800 1234", "call me"]).scores_.round(3).tolist()
    [0.667, 0.0]
    """

    counted = "digit"


class SymbolShare(CharacterShare):
    r"""Share of the characters that are symbols: of money, mathematics, emoji, "#" is none.

    .. math:: \frac{|\{c : c \in \mathrm{S}\}|}{|\{c : c \text{ is no white space}\}|}

    Notes
    -----
    As of `DigitShare`. "#", "@", "%", "&" and "*" are punctuation to Unicode.

    Claims
    ------
    paper
        None: the standard defines the classes.
    here
        The share of each text.
    deviates
        Nothing.
    measured
        Equal to Unicode's categories, character by character (test).

    References
    ----------
    The Unicode Standard, section 4.5, "General category".

    Examples
    --------
    >>> SymbolShare().fit(["1 + 1 = 2", "one and one"]).scores_.tolist()
    [0.4, 0.0]
    """

    counted = "symbol"


class PunctuationShare(CharacterShare):
    r"""Share of the characters that are punctuation.

    .. math:: \frac{|\{c : c \in \mathrm{P}\}|}{|\{c : c \text{ is no white space}\}|}

    Notes
    -----
    As of `DigitShare`. Prose of most languages has 2 to 6 %, code and tables more, keyword spam none.

    Claims
    ------
    paper
        None: the standard defines the classes.
    here
        The share of each text.
    deviates
        Nothing.
    measured
        Equal to Unicode's categories, character by character (test).

    References
    ----------
    The Unicode Standard, section 4.5, "General category".

    Examples
    --------
    >>> PunctuationShare().fit(["Yes, no.", "f(x[0]);"]).scores_.round(3).tolist()
    [0.286, 0.625]
    """

    counted = "punctuation"


class UpperCaseShare(CharacterShare):
    r"""Share of the letters that are upper case.

    .. math:: \frac{|\{c : c \in \mathrm{Lu} \cup \mathrm{Lt}\}|}{|\{c : c \in \mathrm{L}\}|}

    Notes
    -----
    As of `DigitShare`. 0 for scripts without case.

    Claims
    ------
    paper
        None: the standard defines the classes.
    here
        The share of each text's letters.
    deviates
        Nothing.
    measured
        Equal to Unicode's categories, character by character (test).

    References
    ----------
    The Unicode Standard, section 4.5, "General category".

    Examples
    --------
    >>> UpperCaseShare().fit(["BUY NOW", "Buy now"]).scores_.round(3).tolist()
    [1.0, 0.167]
    """

    counted = "upper"

    def _whole(self, counts: dict[str, Floats]) -> Floats:
        return counts["letter"]
