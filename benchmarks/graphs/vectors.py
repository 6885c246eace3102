"""Vectors for the benchmark of the similarity graph, and the truth about their neighbors."""

from __future__ import annotations

import numpy as np
import polars as pl
from common.data import data_folder, documents
from numpy.typing import NDArray

from assay.index import embed
from assay.index.vectors.checks import Vectors
from assay.index.vectors.code_search import exact_knn
from assay.index.vectors.exact import BlockScan

K = 15
_LATENT, _HIDDEN, _COMPONENTS = 15, 256, 64


def cifar10() -> Vectors:
    """Return features of the 60,000 images of CIFAR-10, 192 columns."""
    frame = pl.read_parquet(data_folder() / "cifar10_vectors.parquet", columns=["vec"])
    return np.ascontiguousarray(frame["vec"].to_numpy(), dtype=np.float32)


def resnet18() -> Vectors:
    """Return the 5,263 distinct or equal rows of CIFAR10_4 of ADBench, 512 columns."""
    frame = pl.read_parquet(data_folder() / "adbench" / "CIFAR10_4_resnet18.parquet")
    return np.ascontiguousarray(frame.drop("y").to_numpy(), dtype=np.float32)


def generated(n: int, d: int = 128, seed: int = 0) -> Vectors:
    """Return a Gaussian mixture of 15 dimensions, sent through one layer of tanh into d."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(_COMPONENTS, _LATENT))
    inner = rng.normal(size=(_LATENT, _HIDDEN)) * 1.5 / _LATENT**0.5
    outer = rng.normal(size=(_HIDDEN, d)) / _HIDDEN**0.5
    X = np.empty((n, d), np.float32)
    for begin in range(0, n, 65_536):
        part = X[begin : begin + 65_536]
        latent = centers[rng.integers(_COMPONENTS, size=len(part))]
        latent += rng.normal(size=latent.shape)
        part[:] = np.tanh(latent @ inner) @ outer
    return X


def texts(n: int) -> Vectors:
    """Return the vectors of random documents of the text pool by the default embedder, of length 1."""
    chosen = documents()["text"].sample(n, seed=0)
    X = np.asarray(embed(chosen), dtype=np.float32)
    return np.ascontiguousarray(X[(X != 0).any(axis=1)])


class Truth:
    """The true k-th distances of sampled rows; ties count as found.

    Parameters
    ----------
    X : float32[n, d]
    rows : int64[m]
        The sampled rows.
    """

    def __init__(self, X: Vectors, rows: NDArray[np.int64]) -> None:
        self.X, self.rows = X, rows
        keys, _ = exact_knn(X[rows], BlockScan(X, "l2"), K, itself=rows, threads=2)
        self._worst = keys[:, -1:] * (1 + 1e-9) + 1e-12
        distances = np.sqrt(keys[keys[:, 0] > 0])
        ratios = np.log(distances[:, :-1] / distances[:, -1:]).mean(axis=1)
        self.dimension = float(np.median(-1 / ratios[ratios < 0]))

    @classmethod
    def sampled(cls, X: Vectors, count: int = 1_000, seed: int = 1) -> Truth:
        """Return the truth about `count` random rows."""
        rows = np.random.default_rng(seed).permutation(len(X))[:count]
        return cls(X, np.sort(rows))

    def recall(self, neighbors: NDArray[np.integer]) -> float:
        """Return the share of true neighbors in `neighbors` of the sampled rows (-1: none)."""
        near = self.X[np.maximum(neighbors, 0)].astype(np.float64)
        near -= self.X[self.rows][:, None]
        keys = np.einsum("ijk,ijk->ij", near, near)
        return float(((keys <= self._worst) & (neighbors >= 0)).mean())
