"""The labeled pools that selections are judged on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl
from common.data import data_folder

from assay.index import SimilarityGraph
from assay.index.embedding.text import HashedTextEmbedder
from subsets.models import Rows, Singles

NEIGHBORS = 10
DIMENSIONS = 128


@dataclass(frozen=True, eq=False)
class Task:
    """Rows to choose from (`X`, `y`) and to be judged on (`T`, `t`), standardized by one factor."""

    name: str
    X: Singles
    y: Rows
    T: Singles
    t: Rows
    graph: SimilarityGraph
    rankings: dict[str, Rows] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        return int(self.y.max()) + 1

    def noisy(self, share: float, seed: int) -> Rows:
        """Return the labels, each with probability `share` changed to any other."""
        rng = np.random.default_rng([seed, round(1_000 * share)])
        other = (self.y + rng.integers(1, self.classes, len(self.y))) % self.classes
        return np.where(rng.random(len(self.y)) < share, other, self.y)


def data(name: str) -> pl.DataFrame:
    """Return a table of the folder `ASSAY_TEST_DATA`, else of `shared/data` beside the repository."""
    return pl.read_parquet(data_folder() / name)


def task(name: str, X: Singles, y: Rows, T: Singles, t: Rows) -> Task:
    """Return a task with its graph; vectors are centered and divided by their mean deviation."""
    graph = SimilarityGraph.from_vectors(X, k=NEIGHBORS)
    center, spread = X.mean(axis=0), X.std(axis=0).mean()
    return Task(name, (X - center) / spread, y, (T - center) / spread, t, graph)


def cifar(
    train: slice = slice(None), test: slice = slice(None), name: str = "CIFAR-10 vectors"
) -> Task:
    """Return CIFAR-10, or a part of it."""
    frame = data("cifar10_vectors.parquet")
    parts = [frame.filter(split=split)[rows] for split, rows in (("train", train), ("test", test))]
    (X, T), (y, t) = (
        [part["vec"].to_numpy().astype(np.float32) for part in parts],
        [part["label"].to_numpy().astype(np.int64) for part in parts],
    )
    return task(name, X, y, T, t)


def texts(source: str, name: str) -> Task:
    """Return a source of `text_pool.parquet`: its train split, or 7 of 10 rows where it has none."""
    frame = data("text_pool.parquet").filter(source=source).drop_nulls("label")
    frame = frame.unique("text", keep="first", maintain_order=True)
    if set(frame["split"].drop_nulls()) >= {"train", "test"}:
        train = frame["split"] == "train"
    else:
        train = pl.Series(np.random.default_rng(0).random(len(frame)) < 0.7)
    parts = [frame.filter(train), frame.filter(~train)]
    embedder = HashedTextEmbedder(dimensions=DIMENSIONS).fit(parts[0]["text"])
    X, T = (embedder.encode(part["text"]) for part in parts)
    names = frame["label"].unique().sort()
    y, t = (
        part["label"].replace_strict(names, np.arange(len(names))).to_numpy().astype(np.int64)
        for part in parts
    )
    return task(name, X, y, T, t)
