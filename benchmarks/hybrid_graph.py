"""Graphs of texts by vectors and by rare words, beside graphs of vectors alone.

    python benchmarks/hybrid_graph.py [--rows 6000] [--seeds 3]

A tenth of the labels is made wrong; the AUROC of `label_agreement` says how well a graph tells which. Then
near copies of short texts: the share of all pairs of that Jaccard similarity which MinHash finds, and which
a search by rare words would find as candidates.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import polars as pl
from common import fast_blas  # noqa: F401
from common.data import documents
from common.report import machine, table, verdict, write
from scipy import sparse
from sklearn.metrics import roc_auc_score

from assay.index import HashedTextEmbedder, SimilarityGraph, SparseIndex
from assay.selection import LabelAgreement
from assay.selection.algorithms.close_pairs import near_pairs
from assay.selection.algorithms.minhash import shingles
from assay.selection.steps.near_duplicates import banding, bucketed

SETS = ("20newsgroups", "medquad", "clinc150", "stackoverflow", "trec")
SHORT = ("clinc150", "stackoverflow", "trec")
WRONG = 0.1
THRESHOLD = 0.75
JOINED = (15_000, 30_000, 60_000)


def agreement(graph: SimilarityGraph, codes: np.ndarray, seeds: int) -> float:
    """Return how well the labels' agreement tells the wrong ones, as the mean AUROC over the seeds."""
    found, classes = [], codes.max() + 1
    for seed in range(seeds):
        draw = np.random.default_rng(seed)
        wrong = draw.random(len(codes)) < WRONG
        moved = (codes + draw.integers(1, classes, len(codes))) % classes
        scores = LabelAgreement().fit(graph=graph, y=np.where(wrong, moved, codes)).scores_
        found.append(roc_auc_score(wrong, -scores))
    return float(np.mean(found))


def near_copies(texts: pl.Series, ngrams: int) -> list[str]:
    """Return how many pairs are near copies, and the shares that MinHash and words find."""
    held = shingles(texts.to_arrow(), ngrams)
    n = len(texts)
    _, codes = np.unique(held.values, return_inverse=True)
    matrix = sparse.csr_array((np.ones(len(codes)), codes, held.indptr), shape=(n, codes.max() + 1))
    both = sparse.coo_array(sparse.triu(matrix @ matrix.T, 1))
    one, other = both.coords
    sizes = np.diff(held.indptr)
    likeness = both.data / (sizes[one] + sizes[other] - both.data)
    near = likeness >= THRESHOLD
    truth = set(zip(one[near].tolist(), other[near].tolist(), strict=True))
    bands, values = banding(THRESHOLD, 128)
    buckets = bucketed(held, np.ones(n, bool), bands, values, 0)
    left, right = near_pairs(held, buckets, THRESHOLD)[:2]
    hashed = {(min(p), max(p)) for p in zip(left.tolist(), right.tolist(), strict=True)}
    line = [f"{len(truth):,}", f"{len(truth & hashed) / max(1, len(truth)):.3f}"]
    for k in (10, 50):
        places = SparseIndex.from_texts(texts).neighbors(k)[1]
        rows, at = np.nonzero(places >= 0)
        listed = {
            (min(p), max(p)) for p in zip(rows.tolist(), places[rows, at].tolist(), strict=True)
        }
        line.append(f"{len(truth & listed) / max(1, len(truth)):.3f}")
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    pool, lines, copies, gains = documents(), [], [], []
    for name in SETS:
        rows = pool.filter(pl.col("source").str.starts_with(name) & pl.col("label").is_not_null())
        rows = rows.sample(min(len(rows), options.rows), seed=0)
        texts, codes = rows["text"], rows["label"].cast(pl.Categorical).to_physical().to_numpy()
        codes = np.unique(codes, return_inverse=True)[1]
        X = HashedTextEmbedder().fit(texts).encode(texts)
        found = [
            agreement(SimilarityGraph.from_vectors(X, k=k), codes, options.seeds)
            for k in (10, 15, 20)
        ]
        found += [
            agreement(SimilarityGraph.from_texts(texts, vectors=X, k=k), codes, options.seeds)
            for k in (10, 15)
        ]
        gains.append(found[3] - found[1])
        lines.append([name, f"{len(rows):,}", *(f"{value:.3f}" for value in found)])
        if name in SHORT:
            copies += [
                [name, f"{ngrams}", *near_copies(texts.unique(maintain_order=True), ngrams)]
                for ngrams in (1, 2, 5)
            ]
    times = []
    for n in JOINED:
        texts = pool["text"].sample(n, seed=0)
        begin = time.process_time()
        index = SparseIndex.from_texts(texts)
        built = time.process_time() - begin
        begin = time.process_time()
        index.neighbors(10)
        times.append([f"{n:,}", f"{built:.1f}", f"{time.process_time() - begin:.1f}"])
    mean = float(np.mean(gains))
    write(
        "hybrid_graph.md",
        f"""# Graphs by vectors and words

`python benchmarks/hybrid_graph.py --rows {options.rows} --seeds {options.seeds}`

AUROC of `label_agreement` for a tenth of wrong labels, means over {options.seeds} seeds: graphs of the
default vectors (`dense`), and those that also join each text to as many by its rare words (`hybrid`,
`SimilarityGraph.from_texts`).

{table(["set", "rows", "dense 10", "dense 15", "dense 20", "hybrid 10 + 10", "hybrid 15 + 15"], lines)}

Hybrid 10 + 10 over dense 15, the default: {mean:+.3f} on average, {min(gains):+.3f} where it gains least
(goal: at least 0 on average: {verdict(mean >= 0)}).

## What the search by words takes

| texts | index, CPU-s | 10 neighbors of each, CPU-s |
| --- | --- | --- |
{chr(10).join("| " + " | ".join(line) + " |" for line in times)}

## Near copies of short texts

Pairs of texts with a Jaccard similarity of {THRESHOLD} or more by runs of words, by comparing all pairs; the
shares that MinHash finds (as `near_duplicates` and `split_pool` do), and that are among the texts which a
search by rare words lists.

{table(["set", "words in a run", "pairs", "MinHash", "10 by words", "50 by words"], copies)}

{machine()}
""",
    )


if __name__ == "__main__":
    main()
