"""Leakage: rows of the pool that hold items of the sets a model will be evaluated on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import polars as pl

from assay.index.search.sparse_index import SparseIndex
from assay.index.threads import one_thread
from assay.selection.algorithms.minhash import MOST_WORDS
from assay.selection.algorithms.span_matching import SpanMatcher, Words, words_of
from assay.selection.base import PoolMethod
from assay.selection.contract.inputs import Inputs, text_series
from assay.selection.contract.parameters import check_is_fitted
from assay.storage.errors import ConfigError, InputError
from assay.storage.limits import Limits, Number, Whole, check_parameters

SCHEMA = {
    "sample_id": pl.String,
    "evaluation_set": pl.String,
    "item": pl.String,
    "span": pl.Int64,
    "kind": pl.String,
}
# rows searched at a time
_PART = 16_384


@dataclass(kw_only=True, eq=False, repr=False)
class Leakage(PoolMethod):
    r"""Find rows that share a long run of words with an item of an evaluation set.

    A row leaks an item of L words where the longest run of words that both hold has at least

    .. math:: \min(span, \lceil share \cdot L \rceil), \text{ and at least } ngrams

    words. Case, punctuation, spacing and compatible letter forms don't count; a letter of a script
    without spaces counts as a word. The longest run rather than the share of all common n-grams, so
    that common phrases scattered over a long text do not add up. An item of fewer than `ngrams`
    words is found only where a row is nothing else.

    Parameters
    ----------
    evaluation : mapping of name to texts
        The items of each evaluation set: a sequence or column of texts, or a frame with columns
        `item` (what to call it) and `text`.
    ngrams : int, default 8
        Least run of words that counts at all.
    span : int, default 50
        Run of words that is proof enough, however long the item. Signatures, licenses and the like
        are runs of 10 to 30 words that have nothing to do with the item.
    share : float in (0, 1], default 0.4
        Part of a shorter item that is.

    Attributes
    ----------
    keep_ : bool[n]
        Rows that leak nothing.
    evaluation_set_, item_ : pl.Series of String
        The item with the longest common run, null where nothing leaks.
    span_ : int64[n]
        Words of the longest run of at least `ngrams`, whether it counts or not; else 0.
    report_ : dict
        `rows`, `leaks`, `items`, and `sets`: for each set its items, those too short to be found
        inside a text, items found and rows that leak them.

    Raises
    ------
    MissingInputError
        No texts were given.
    ConfigError, InputError
        A parameter is out of range, or an evaluation set has no texts.

    Notes
    -----
    Time O(words log(words of the items)), memory that of 16,384 rows and 32 bytes per word of the
    items. An item that is reworded, or translated, is not found.

    Claims
    ------
    paper
        ConTAM: the longest contaminated run says more than unions of n-grams; larger models gain
        more from it.
    here
        The longest common run of words, by item.
    deviates
        A threshold of length and share rather than one chosen for each model; no gap budget in a
        run.
    measured
        Recall 1.00 verbatim, .997 truncated; 4 false alarms in 251,273 documents (`judging.md`).

    References
    ----------
    Singh et al.,
    "Evaluation data contamination in LLMs: how do we measure it and (when) does it matter?", 2024
    (the longest run rather than a union).

    Examples
    --------
    >>> test = ["What is the capital of the country that borders both France and Spain?"]
    >>> pool = ["Q: what is the capital of  the country that borders both France and spain", "Spain"]
    >>> found = Leakage(evaluation={"quiz": test}).fit(pool)
    >>> found.keep_.tolist(), found.span_.tolist()
    ([False, True], [13, 0])
    """

    limits: ClassVar[Limits] = {
        "ngrams": (Whole(1, MOST_WORDS),),
        "span": (Whole(1, 1_000_000),),
        "share": (Number("(0, 1]"),),
    }

    evaluation: Mapping[str, Any] | None = None
    ngrams: int = 8
    span: int = 50
    share: float = 0.4

    def _fit(self, **arguments: Any) -> None:
        inputs: Inputs = self._inputs(**arguments)
        if not self.evaluation:
            raise ConfigError("evaluation is empty; name at least one evaluation set.")
        items = _items(self.evaluation or {})
        words = words_of(items["text"])
        matcher = SpanMatcher(words, self.ngrams)
        texts = text_series(arguments["X"])
        parts = [
            matcher.longest(words_of(texts[start : start + _PART]))
            for start in range(0, len(texts), _PART)
        ]
        item = np.concatenate([part.item for part in parts])
        length = np.concatenate([part.length for part in parts])
        size = np.diff(words.indptr)
        enough = np.minimum(self.span, np.ceil(self.share * size)).astype(np.int64)
        enough = np.where(size < self.ngrams, size, np.maximum(enough, self.ngrams))
        leaks = (item >= 0) & (length >= enough[item])
        named = pl.Series(np.where(leaks, item, -1)).replace(-1, None)
        self.keep_ = ~leaks
        self.span_ = length
        self.evaluation_set_ = items["evaluation_set"].gather(named)
        self.item_ = items["item"].gather(named)
        self._ids = inputs.given_ids.alias("sample_id")
        self.report_: dict[str, Any] = {
            "rows": inputs.n,
            "leaks": int(leaks.sum()),
            "items": items.height,
            "sets": _by_set(items, words, item[leaks], self.ngrams),
        }

    def leaks(self) -> pl.DataFrame:
        """Return the rows that leak: sample_id, evaluation_set, item, span (words), kind."""
        check_is_fitted(self)
        rows = np.flatnonzero(~self.keep_)
        return pl.DataFrame(
            {
                "sample_id": self._ids.gather(rows),
                "evaluation_set": self.evaluation_set_.gather(rows),
                "item": self.item_.gather(rows),
                "span": self.span_[rows],
                "kind": ["span"] * len(rows),
            },
            schema=SCHEMA,
        )


def _items(evaluation: Mapping[str, Any]) -> pl.DataFrame:
    """Return evaluation_set, item and text of every item."""
    frames = []
    for name, table in evaluation.items():
        if isinstance(table, pl.DataFrame) and {"item", "text"} <= set(table.columns):
            item, text = table["item"].cast(pl.String), table["text"]
        else:
            text = text_series(table, name=f"evaluation[{name!r}]")
            item = pl.Series(np.arange(len(text))).cast(pl.String)
        if not len(text):
            raise InputError(f"The evaluation set {name!r} is empty; leave it out.")
        frames.append(
            pl.DataFrame({"evaluation_set": [name] * len(text), "item": item, "text": text})
        )
    return pl.concat(frames)


def _by_set(
    items: pl.DataFrame, words: Words, matches: np.ndarray, ngrams: int
) -> dict[str, dict[str, int]]:
    counted = items.select("evaluation_set").with_columns(
        short=pl.Series(np.diff(words.indptr) < ngrams),
        rows=pl.Series(np.bincount(matches, minlength=items.height)),
    )
    by = counted.group_by("evaluation_set", maintain_order=True).agg(
        items=pl.len(), short=pl.col("short").sum(), found=(pl.col("rows") > 0).sum(),
        rows=pl.col("rows").sum(),
    )  # fmt: skip
    return {row.pop("evaluation_set"): row for row in by.rows(named=True)}


# rows of the pool, and items, compared at a time
_ROWS, _ITEMS = 8_192, 1_024
# cosines from which a row is like an item
_ALIKE = {"vectors": 0.95, "words": 0.6}


def leak_neighbors(
    X: Any,
    items: Any,
    *,
    kind: Literal["vectors", "words"] = "vectors",
    threshold: float | None = None,
    ids: Any = None,
) -> pl.DataFrame:
    r"""Return the rows whose cosine with the nearest item is at least `threshold`.

    Reworded items share no run of words with a row; a close neighbor is a hint, to be looked at, and
    no proof. What is close depends on the embedder: 0.95 suits hashed n-grams and most sentence
    models.

    Parameters
    ----------
    X : array of shape (n, d), or n texts
        Vectors of the pool; with ``kind="words"`` its texts.
    items : array of shape (m, d), or m texts
        Those of the items, vectors made by the same embedder.
    kind : {"vectors", "words"}, default "vectors"
        "words" compares the rare words of texts, weighed by how few rows of the pool hold them
        (`assay.index.SparseIndex`): it finds *the* document where vectors of few numbers find its kind.
    threshold : float in (-1, 1], optional
        0.95 by default, and 0.6 for words.
    ids : n unique texts or whole numbers, optional
        Where None, the positions.

    Returns
    -------
    pl.DataFrame
        sample_id, item (row of `items`), similarity; the most similar first, ties by sample_id.

    Raises
    ------
    ConfigError, InputError
        A parameter is out of range, or the vectors differ in length.

    Notes
    -----
    Vectors: O(n m d) time in blocks, O(n) memory beside the vectors. Words: time linear in the texts and in
    the items that share a rare word with a row.

    References
    ----------
    Reimers, Gurevych, "The curse of dense low-dimensional information retrieval for large index
    sizes", 2021 (words).

    Examples
    --------
    >>> leak_neighbors([[1.0, 0.0], [0.0, 1.0]], [[0.1, 1.0]])["sample_id"].to_list()
    ['1']
    >>> pool = ["the boiling point of osmium", "a red bus"]
    >>> leak_neighbors(pool, ["osmium has a high boiling point"], kind="words", threshold=0.4).row(0)[:2]
    ('0', 0)
    """
    check_parameters(
        kind=(kind, "vectors", "words"), threshold=(threshold, Number("(-1, 1]"), None)
    )
    if threshold is None:
        threshold = _ALIKE[kind]
    pool = Inputs(X=X, ids=ids)
    if kind == "words":
        best, which = _nearest_by_words(pool.texts(), text_series(items, name="items"))
    else:
        best, which = _nearest_by_vectors(pool.vectors(), Inputs(X=items).vectors())
    near = np.flatnonzero((best >= threshold) & (which >= 0))
    return pl.DataFrame(
        {
            "sample_id": pool.ids.gather(near),
            "item": which[near],
            "similarity": best[near].astype(np.float64),
        }
    ).sort("similarity", "sample_id", descending=[True, False])


def _nearest_by_vectors(vectors: Any, others: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the greatest cosine of each row with an item, and which item that is."""
    if vectors.shape[1] != others.shape[1]:
        raise InputError(
            f"The pool's vectors have {vectors.shape[1]} numbers and the items' {others.shape[1]}; "
            "make both with one embedder."
        )
    n = len(vectors)
    best = np.full(n, -np.inf, dtype=np.float32)
    which = np.zeros(n, dtype=np.int64)
    with one_thread("blas"):
        for first in range(0, len(others), _ITEMS):
            part = _unit(others[first : first + _ITEMS])
            for start in range(0, n, _ROWS):
                rows = slice(start, min(start + _ROWS, n))
                cosine = _unit(vectors[rows]) @ part.T
                nearest = cosine.argmax(axis=1)
                value = cosine[np.arange(len(nearest)), nearest]
                closer = value > best[rows]
                best[rows][closer] = value[closer]
                which[rows][closer] = nearest[closer] + first
    return best, which


def _nearest_by_words(texts: pl.Series, items: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the greatest cosine of each text with an item by rare words, and which item; or -1."""
    index = SparseIndex()
    index.build(items, frequencies=index.count_frequencies(texts))
    cosines, items_found = index.search(texts, 1)
    return cosines[:, 0], items_found[:, 0]


def _unit(X: Any) -> Any:
    length = np.linalg.norm(X, axis=1, keepdims=True)
    return X / np.where(length > 0, length, 1)
