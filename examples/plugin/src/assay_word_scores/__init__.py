"""A scorer, a selector and an embedder for assay."""

from typing import Any

import numpy as np

from assay.selection.base import Scorer, Selector
from assay.selection.contract.inputs import Inputs
from assay.selection.contract.outcomes import Choice, Outcome


class WordVariety(Scorer):
    """Share of the words of a text that are different words."""

    kind = "scorer"
    needs = ("texts",)
    points = "harder"

    def _score(self, inputs: Inputs) -> tuple[np.ndarray, dict[str, Any]]:
        words = inputs.texts().fill_null("").str.split(" ")
        scores = (words.list.n_unique() / words.list.len()).to_numpy()
        return scores, {"mean": float(scores.mean())}


class LongestSelector(Selector):
    """The longest texts."""

    kind = "selector"
    needs = ("texts",)
    nested = True

    def _select(self, inputs: Inputs, budget: int) -> Choice:
        length = inputs.texts().fill_null("").str.len_chars().to_numpy().astype(float)
        ranking = np.argsort(-length, kind="stable")
        rest = ranking[budget:]
        left = Outcome(rest, "select", "shorter", {"score": length[rest]})
        return Choice(chosen=ranking[:budget], scores=length, outcomes=[left], ranking=ranking)


class LetterEmbedder:
    """How often each letter from a to z occurs in a text."""

    fingerprint = "letters 1"

    def encode(self, batch: Any) -> np.ndarray:
        """Return float32[n, 26]."""
        counts = [[str(text).lower().count(chr(97 + i)) for i in range(26)] for text in batch]
        return np.asarray(counts, dtype=np.float32)
