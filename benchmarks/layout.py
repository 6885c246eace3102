"""The map against umap-learn and openTSNE: trustworthiness, neighbors kept, and CPU seconds.

Writes `benchmarks/results/layout.md`. All three lay out the same vectors; umap-learn and openTSNE
search their own neighbors, the map takes those of the similarity graph, whose making is counted
apart. openTSNE is left out where it is not installed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

from assay.examples import example_path
from assay.index import SimilarityGraph, embed

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RESULTS = Path(__file__).parent / "results" / "layout.md"
ROWS, NEIGHBORS = 5_000, 15
Vectors = NDArray[np.float32]


def pools() -> Iterator[tuple[str, Vectors]]:
    """Yield the name and vectors of each pool that is there."""
    example = pl.read_parquet(example_path("pool.parquet")).sample(ROWS, seed=0)
    yield "example pool (texts)", embed(example["text"], ids=example["id"])
    if (DATA / "text_pool.parquet").exists():
        texts = pl.read_parquet(DATA / "text_pool.parquet").sample(ROWS, seed=0)
        yield "texts of 21 domains", embed(texts["text"], ids=texts["id"])
    if (DATA / "cifar10_vectors.parquet").exists():
        images = pl.read_parquet(DATA / "cifar10_vectors.parquet").sample(ROWS, seed=0)
        yield "CIFAR-10 images", np.array(images["vec"].to_list(), dtype=np.float32)


def kept_neighbors(X: Vectors, places: NDArray[np.floating]) -> float:
    """Return the share of the nearest rows that are among the nearest on the map."""
    near = NearestNeighbors(n_neighbors=NEIGHBORS + 1).fit(X).kneighbors(return_distance=False)
    on_map = (
        NearestNeighbors(n_neighbors=NEIGHBORS + 1).fit(places).kneighbors(return_distance=False)
    )
    shared = (near[:, :NEIGHBORS, None] == on_map[:, None, :NEIGHBORS]).any(axis=2)
    return float(shared.mean())


def layouts(X: Vectors) -> Iterator[tuple[str, Callable[[], NDArray[np.floating]]]]:
    """Yield each layout, compiled already."""
    graph = SimilarityGraph.from_vectors(X, k=NEIGHBORS)
    SimilarityGraph.from_vectors(X[:50], k=5).layout(epochs=1)
    yield "assay, from the graph", graph.layout
    if find_spec("umap"):
        from umap import UMAP

        def by_umap() -> NDArray[np.floating]:
            return UMAP(n_neighbors=NEIGHBORS, random_state=0, n_jobs=1).fit_transform(X)

        # as many rows as are measured: it searches few of them by other code
        UMAP(n_neighbors=NEIGHBORS, random_state=0, n_jobs=1, n_epochs=2).fit_transform(X)
        yield "umap-learn", by_umap
    if find_spec("openTSNE"):
        from openTSNE import TSNE

        def by_tsne() -> NDArray[np.floating]:
            return np.asarray(TSNE(random_state=0, n_jobs=1).fit(X))

        yield "openTSNE", by_tsne


def main() -> None:
    """Measure, print and write the table."""
    lines = [
        "# The map",
        "",
        f"{ROWS:,} rows of each pool, {NEIGHBORS} neighbors, vectors of length 1, one thread. "
        "`python benchmarks/layout.py` writes this file.",
        "",
        "| pool | layout | trustworthiness | neighbors kept | CPU s |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, raw in pools():
        X = raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12)
        # equal rows have no order that a layout could keep
        X = np.ascontiguousarray(np.unique(X, axis=0), dtype=np.float32)
        X = X[np.random.default_rng(0).permutation(len(X))]
        for layout, make in layouts(X):
            start = time.process_time()
            places = make()
            seconds = time.process_time() - start
            trust = trustworthiness(X, places, n_neighbors=NEIGHBORS)
            kept = kept_neighbors(X, places)
            lines.append(f"| {name} | {layout} | {trust:.3f} | {kept:.3f} | {seconds:.1f} |")
            sys.stdout.write(lines[-1] + "\n")
            sys.stdout.flush()
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
