"""Weights of terms, learned from pairs of texts of which it is known whether they mean the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, hstack

from assay.index.embedding.text import hasher_of
from assay.index.ngrams._unicode import as_texts
from assay.index.ngrams.hasher import MOST_BUCKETS, NGramHasher
from assay.selection.contract.inputs import Floats, Rows
from assay.storage.errors import InputError
from assay.storage.hashing.rows import uniform
from assay.storage.limits import Number, Whole, check_parameters

# pairs whose products are held at once
_PAIRS = 100_000


@dataclass(frozen=True, eq=False)
class PairWeights:
    """What each term says about two texts being the same, and the similarity that follows.

    Attributes
    ----------
    hasher : NGramHasher
        Makes the terms.
    rarity : float64[buckets]
        The factor of each term for being in few texts.
    weights : float64[buckets], >= 0
        What was learned; 1 everywhere for the plain cosine.
    report_ : dict
        `pairs`, `same`, `terms` (in both texts of some pair), `raised` and `lowered` (of those, the
        shares that weigh more and less than a term never seen in a pair).
    """

    hasher: NGramHasher
    rarity: Floats
    weights: Floats
    report_: dict[str, Any] = field(default_factory=dict)

    def plain(self) -> Self:
        """Return the same without what was learned: the cosine of TF-IDF."""
        return type(self)(self.hasher, self.rarity, np.ones_like(self.weights))

    def similarity(self, texts: Any, pairs: Any) -> Floats:
        """Return float64[m]: the weighted cosine of each pair of `texts`, from 0 to 1.

        Parameters
        ----------
        texts : sequence of str or None, length n
        pairs : int[m, 2]
            Positions in `texts`.
        """
        rows = as_pairs(pairs, len(texts))
        Z = term_weights(self.hasher, texts, self.rarity) @ diags_array(np.sqrt(self.weights))
        Z = _unit(Z.tocsr())
        cosines = np.empty(len(rows))
        for begin in range(0, len(rows), _PAIRS):
            part = rows[begin : begin + _PAIRS]
            cosines[begin : begin + _PAIRS] = _products(Z, part).sum(axis=1)
        return np.clip(cosines, 0.0, 1.0)


def pair_weights(
    texts: Any,
    pairs: Any,
    labels: Any,
    *,
    C: float = 3.0,
    analyzer: Literal["word", "char_wb"] = "char_wb",
    ngrams: int | tuple[int, int] = (3, 3),
    buckets: int = 1 << 18,
) -> PairWeights:
    r"""Learn from labeled pairs which terms tell that two texts are the same.

    With x the unit TF-IDF rows of the texts, logistic regression

    .. math::
        \min_{w, w_0, c} \; \tfrac12 (\|w\|^2 + w_0^2) + C \sum_{(a, b)} \log\bigl(1 + e^{-y_{ab}
        (c + \sum_t (s\, w_t + w_0)\, x_{at} x_{bt})}\bigr)

    is fitted, and terms weigh :math:`v_t = \max(0, s w_t + w_0)` in the cosine

    .. math:: \frac{\sum_t v_t x_{at} x_{bt}}{\sqrt{\sum_t v_t x_{at}^2 \sum_t v_t x_{bt}^2}}

    Parameters
    ----------
    texts : sequence of str or None, length n
        Rarity of terms is that among them, so give all texts, those of unlabeled pairs too.
    pairs : int[m, 2]
        Positions in `texts`.
    labels : bool[m]
        Whether the two are the same.
    C : float > 0, default 3
        How much the pairs count beside the penalty. s makes the products of a pair as long as 1 on
        average: they are a tenth of that by themselves, and the penalty would leave nothing of them.
    analyzer : {"word", "char_wb"}, default "char_wb"
    ngrams : int or pair of int, default (3, 3)
        As in `assay.index.HashedTextEmbedder`.
    buckets : int, default 262,144

    Returns
    -------
    PairWeights

    Raises
    ------
    InputError
        Pairs or labels of a wrong shape, positions outside the texts, or pairs of one kind only.
    ConfigError
        A parameter is out of its range.

    Notes
    -----
    Time and memory are linear in the terms that the texts of pairs share. On the official test pairs
    AP rises from .751 to .839 (abt_buy) and from .598 to .650 (amazon_google); where the cosine
    is right already, nothing changes (`benchmarks/results/pair_weights.md`).

    References
    ----------
    Schultz, Joachims, "Learning a distance metric from relative comparisons", 2003.

    Examples
    --------
    >>> texts = ["red lamp x1", "lamp x1 (red)", "red lamp x2", "blue lamp x2", "lamp blue x2"]
    >>> pairs, same = [[0, 1], [3, 4], [0, 2], [2, 3], [1, 2]], [True, True, False, False, False]
    >>> learned = pair_weights(texts, pairs, same)
    >>> values = learned.similarity(texts, pairs)
    >>> bool(values[:2].min() > values[2:].max())
    True
    """
    from sklearn.linear_model import LogisticRegression

    check_parameters(
        C=(C, Number("(0, inf)")), buckets=(buckets, Whole(1, MOST_BUCKETS)),
        analyzer=(analyzer, "word", "char_wb"),
    )  # fmt: skip
    rows = as_pairs(pairs, len(texts))
    same = np.asarray(labels)
    if same.shape != (len(rows),) or not np.isin(same, (0, 1)).all():
        raise InputError(
            f"labels has shape {same.shape} for {len(rows)} pairs; give True or False for each pair."
        )
    same = same.astype(bool)
    if same.all() or not same.any():
        kind = "the same" if len(same) and same[0] else "different"
        raise InputError(
            f"All {len(rows)} pairs are {kind}, so that nothing tells the two kinds apart; add pairs of "
            "the other kind."
        )
    hasher = hasher_of(analyzer, ngrams, buckets)
    rarity = _rarity(hasher, texts)
    Z = _unit(term_weights(hasher, texts, rarity))
    # in an order of their content, so that the fit does not depend on that of the pairs
    P = _products(Z, rows)
    order = np.lexsort((same, *_digest(P)))
    P, same = P[order], same[order]
    terms = np.flatnonzero(np.bincount(P.indices, minlength=buckets))
    total = np.asarray(P.sum(axis=1))
    mean_square = float(np.square(P.data).sum()) / len(same)
    scale = 1.0 / np.sqrt(mean_square) if mean_square > 0 else 1.0
    features = hstack([P[:, terms] * scale, csr_array(total[:, None])]).tocsr()
    model = LogisticRegression(C=C, max_iter=1_000).fit(features, same)
    learned = np.asarray(model.coef_[0], dtype=np.float64)
    weights = np.full(buckets, max(0.0, learned[-1]))
    weights[terms] = np.maximum(0.0, scale * learned[:-1] + learned[-1])
    report = {
        "pairs": len(same),
        "same": int(same.sum()),
        "terms": len(terms),
        "raised": float((learned[:-1] > 0).mean()) if len(terms) else 0.0,
        "lowered": float((learned[:-1] < 0).mean()) if len(terms) else 0.0,
    }
    return PairWeights(hasher, rarity, weights, report)


def held_out_similarity(
    texts: Any, pairs: Any, labels: Any, *, ids: Any = None, folds: int = 5, **options: Any
) -> tuple[Floats, Floats]:
    """Return the similarity of each labeled pair by weights learned from the others, and the plain one.

    Parameters
    ----------
    texts, pairs, labels
        As of `pair_weights`.
    ids : n texts, optional
        By which pairs are put into folds; else by their positions.
    folds : int, default 5
    **options
        Of `pair_weights`.

    Returns
    -------
    learned, plain : float64[m]

    Examples
    --------
    >>> texts = ["red lamp x1", "lamp x1 (red)", "red lamp x2", "blue lamp x2", "lamp blue x2"]
    >>> pairs, same = [[0, 1], [3, 4], [0, 2], [2, 3]], [True, True, False, False]
    >>> [len(part) for part in held_out_similarity(texts, pairs, same, folds=2)]
    [4, 4]
    """
    rows = as_pairs(pairs, len(texts))
    same = np.asarray(labels).astype(bool)
    names = pl.Series(range(len(texts)) if ids is None else ids).cast(pl.String)
    noise = uniform(names.gather(rows[:, 0]) + "\x00" + names.gather(rows[:, 1]), 0)
    # each kind dealt out in turn, so that every fold and its rest hold both
    fold = np.empty(len(rows), np.int64)
    for kind in (False, True):
        members = np.flatnonzero(same == kind)
        fold[members[np.argsort(noise[members], kind="stable")]] = np.arange(len(members)) % folds
    plain = pair_weights(texts, rows, same, **options).plain().similarity(texts, rows)
    learned = plain.copy()
    for held in range(folds):
        rest = fold != held
        if same[rest].all() or not same[rest].any():
            continue
        weights = pair_weights(texts, rows[rest], same[rest], **options)
        learned[~rest] = weights.similarity(texts, rows[~rest])
    return learned, plain


def as_pairs(pairs: Any, n: int) -> Rows:
    """Return pairs as int64[m, 2], checked.

    Examples
    --------
    >>> as_pairs([(0, 1)], 2).tolist()
    [[0, 1]]
    """
    rows = np.asarray(pairs)
    if rows.size == 0:
        return np.empty((0, 2), np.int64)
    if rows.ndim != 2 or rows.shape[1] != 2 or rows.dtype.kind not in "iu":
        raise InputError(
            f"pairs has shape {rows.shape} and type {rows.dtype}; give two positions for each pair."
        )
    if rows.min() < 0 or rows.max() >= n:
        raise InputError(
            f"A pair names position {int(rows.max() if rows.max() >= n else rows.min())}, and there are "
            f"{n} texts; give positions from 0 to {n - 1}."
        )
    return rows.astype(np.int64)


def term_weights(hasher: NGramHasher, texts: Any, rarity: Floats) -> csr_array:
    """Return (1 + ln count) times rarity of the terms of each text."""
    grams = hasher.transform(as_texts(texts))
    Z = csr_array(
        (np.ones(len(grams.buckets)), grams.buckets, grams.indptr),
        shape=(len(grams.indptr) - 1, hasher.buckets),
    )
    Z.sum_duplicates()
    Z.data = (1 + np.log(Z.data)) * rarity[Z.indices]
    return Z


def _rarity(hasher: NGramHasher, texts: Any) -> Floats:
    ones = term_weights(hasher, texts, np.ones(hasher.buckets))
    frequencies = np.bincount(ones.indices, minlength=hasher.buckets)
    return np.asarray(1.0 + np.log((1.0 + ones.shape[0]) / (1.0 + frequencies)))


def _unit(Z: csr_array) -> csr_array:
    lengths = np.sqrt(np.asarray(Z.power(2).sum(axis=1)))
    Z.data = Z.data / np.repeat(np.maximum(lengths, 1e-300), np.diff(Z.indptr))
    return Z


def _products(Z: csr_array, pairs: Rows) -> csr_array:
    products = (Z[pairs[:, 0]] * Z[pairs[:, 1]]).tocsr()
    products.sort_indices()
    return products


def _digest(P: csr_array) -> tuple[Floats, NDArray[np.integer]]:
    """Return what rows are put in order by: their sum, and how many terms they hold."""
    return np.asarray(P.sum(axis=1)), np.diff(P.indptr)
