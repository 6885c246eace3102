"""Features for classifiers: standardized vectors, TF-IDF of texts, the classes of neighbors."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack, issparse

from assay.index.ngrams.hasher import NGramHasher
from assay.selection.contract.inputs import Graph, Labels

TERMS = 1 << 14


class Neighbors:
    """Shares of the classes among the neighbors of a row and among theirs."""

    def __init__(self, graph: Graph) -> None:
        n = len(graph.indptr) - 1
        weights = np.maximum(graph.weights, 0).astype(np.float64)
        self.W = csr_matrix((weights, graph.indices, graph.indptr), shape=(n, n))
        self.returns = np.asarray(self.W.multiply(self.W).sum(axis=1)).reshape(-1, 1)

    def beside(self, X: Any, labels: Labels, usable: NDArray[np.bool_]) -> Any:
        """Return the columns of X and, standardized, the shares in the labels of usable rows."""
        n, n_classes = len(labels.codes), len(labels.classes)
        onehot = np.zeros((n, n_classes))
        onehot[np.flatnonzero(usable), labels.codes[usable]] = 1
        prior = onehot.sum(axis=0) / onehot.sum()
        near = self.W @ onehot
        # what of a row's own label came back to it over two steps is taken off
        further = np.maximum(self.W @ near - self.returns * onehot, 0)
        shares = [
            (part + prior) / (part.sum(axis=1, keepdims=True) + 1) for part in (near, further)
        ]
        both = standard(np.hstack(shares).astype(np.float32))
        return hstack([X, csr_matrix(both)], format="csr") if issparse(X) else np.hstack([X, both])


def tf_idf(texts: pl.Series, terms: int = TERMS) -> csr_matrix:
    """Return float32 TF-IDF rows of length 1, of so many words that the most texts hold.

    A word that occurs c times in a text, and in m of the n texts, counts (1 + log c) times
    1 + log((1 + n) / (1 + m)). Words are hashed into 2^17 buckets; those of one text are left out.
    """
    hasher = NGramHasher(ngrams=1)
    grams = hasher.transform(texts)
    n = len(texts)
    ones = np.ones(len(grams.buckets), dtype=np.float32)
    counts = csr_matrix((ones, grams.buckets, grams.indptr), shape=(n, hasher.buckets))
    counts.sum_duplicates()
    texts_with = np.bincount(counts.indices, minlength=hasher.buckets)
    words = np.argsort(-texts_with, kind="stable")[:terms]
    words = np.sort(words[texts_with[words] >= min(2, n)])
    counts = counts[:, words]
    idf = (1 + np.log((1 + n) / (1 + texts_with[words]))).astype(np.float32)
    counts.data = (1 + np.log(counts.data)) * idf[counts.indices]
    lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1))).ravel()
    counts.data /= np.repeat(np.maximum(lengths, 1e-30), np.diff(counts.indptr)).astype(np.float32)
    return counts


def standard(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return columns with mean 0 and variance 1; constant ones are 0."""
    centered = X - X.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = np.sqrt(np.square(centered).mean(axis=0, dtype=np.float64)).astype(np.float32)
    constant = spread <= 1e-6 * np.abs(X).max(axis=0, initial=0)
    centered /= np.where(constant, 1, spread)
    centered[:, constant] = 0
    return np.asarray(centered, dtype=np.float32)
