"""Vectors in half and a quarter of their size: what is found, how long it takes, how large it is.

    python benchmarks/vector_storage.py [--rows 40000] [--queries 2000]

Documents by the default embedder with 128 dimensions. Rows ask for their 10 nearest, exactly over the
float32 vectors for the truth: an index by its storage, alone and with the vectors in a mapped file to compare
60 candidates by; then an exact search over vectors that were stored, which is what a run reads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from common import fast_blas  # noqa: F401
from common.data import documents
from common.report import machine, table, verdict, write

from assay.index import HashedTextEmbedder, VectorIndex
from assay.index.vectors.stored import STORAGES, read_vectors, store_vectors
from assay.storage.hashing.rows import uniform

K, DIMENSIONS = 10, 128
GOAL, SHRUNK = 0.97, 3.9


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of the true neighbors that were found."""
    hits = (found[:, :, None] == truth[:, None, :]).any(axis=1)
    return float(hits.mean())


def size(folder: Path) -> float:
    """Return the size of a folder's files in MB."""
    return sum(path.stat().st_size for path in folder.iterdir()) / 1e6


def rate(index: VectorIndex, Q: np.ndarray, **how: object) -> tuple[np.ndarray, float]:
    """Return the positions found and how many queries are answered in a second."""
    index.search(Q[:5], K, **how)
    start = time.perf_counter()
    found = index.search(Q, K, **how)[1]
    return found, len(Q) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--queries", type=int, default=2_000)
    options = parser.parse_args()
    pool = documents()
    keys = uniform(pool["id"].cast(pl.String), 0)
    texts = pool["text"].gather(np.argsort(keys)[: options.rows])
    X = HashedTextEmbedder(dimensions=DIMENSIONS).fit(texts).encode(texts)
    Q = X[: options.queries]
    truth = VectorIndex.from_vectors(X, kind="flat").search(Q, K)[1]
    lines, artifacts, least, sizes = [], [], 1.0, {}
    with tempfile.TemporaryDirectory() as scratch:
        np.save(Path(scratch) / "whole.npy", X)
        mapped = np.load(Path(scratch) / "whole.npy", mmap_mode="r")
        for kind in ("flat", "ivf"):
            for storage in STORAGES:
                index = VectorIndex.from_vectors(X, kind=kind, storage=storage)
                folder = Path(scratch) / f"{kind}-{storage}"
                index.save(folder)
                file = (folder / "index.faiss").stat().st_size / 1e6
                how = {} if kind == "flat" else {"probes": len(index.centroids)}
                alone, quick = rate(index, Q, **how)
                line = [
                    kind,
                    storage,
                    f"{file:.1f}",
                    f"{recall(alone, truth):.3f}",
                    f"{quick:,.0f}",
                ]
                sizes[kind, storage] = file
                if storage == "float32":
                    lines.append([*line, "", ""])
                    continue
                exact, slower = rate(index, Q, vectors=mapped, **how)
                least = min(least, recall(exact, truth))
                lines.append([*line, f"{recall(exact, truth):.3f}", f"{slower:,.0f}"])
        for storage in STORAGES:
            folder = Path(scratch) / f"artifact-{storage}"
            folder.mkdir()
            np.save(folder / "vectors.npy", X)
            start = time.perf_counter()
            store_vectors(folder, storage)
            wrote = time.perf_counter() - start
            start = time.perf_counter()
            stored = np.array(read_vectors(folder))
            read = time.perf_counter() - start
            found = VectorIndex.from_vectors(stored, kind="flat").search(stored[: len(Q)], K)[1]
            worst = float(np.abs(stored - X).max())
            artifacts.append(
                [storage, f"{size(folder):.1f}", f"{recall(found, truth):.3f}", f"{worst:.1e}",
                 f"{wrote:.2f}", f"{read:.2f}"]
            )  # fmt: skip
    shrunk = sizes["flat", "float32"] / sizes["flat", "int8"]
    goals = [
        ["recall, re-ranked", f">= {GOAL}", f"{least:.3f}", verdict(least >= GOAL)],
        [
            "flat: file in float32 over int8",
            f">= {SHRUNK}",
            f"{shrunk:.1f}",
            verdict(shrunk >= SHRUNK),
        ],
    ]
    write(
        "vector_storage.md",
        f"""# Vectors in half and a quarter of their size

`python benchmarks/vector_storage.py --rows {options.rows} --queries {options.queries}`

{len(X):,} documents, {X.shape[1]} dimensions of the
default embedder; {len(Q):,} of the rows ask for their {K} nearest by cosine (each finds itself too). The truth
is exact search over float32.

## An index by `storage`

All lists of `ivf` are searched, so that only the codes decide. "Re-ranked" compares the 60 nearest by the
codes with the float32 vectors in a mapped file (`search(..., vectors=X)`).

{table(["kind", "storage", "file, MB", f"recall@{K}", "queries/s", "re-ranked", "queries/s"], lines)}

{table(["", "goal", "measured", ""], goals)}

## Vectors of a run by `[embedding] storage`

What a run reads back, searched exactly.

{table(["storage", "files, MB", f"recall@{K}", "greatest error", "write, s", "read, s"], artifacts)}

{machine()}
""",
    )


if __name__ == "__main__":
    main()
