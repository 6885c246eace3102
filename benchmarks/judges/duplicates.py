"""Duplicates: images that people judged, entities, clusters of records, signatures, a million texts."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common.data import data_folder, documents
from common.process import output_alone
from common.report import table
from common.timing import timed
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import average_precision_score

from assay.index import HashedTextEmbedder, SimilarityGraph
from assay.selection.algorithms.class_features import tf_idf
from assay.selection.algorithms.minhash import jaccard, shingles, signatures
from assay.selection.steps.near_duplicates import NearDuplicates
from assay.selection.steps.semantic_duplicates import SemanticDuplicates
from judges.goals import Section, goal, say

try:
    from datasketch import MinHash
except ImportError:
    MinHash = None

Goals = list[tuple[str, str, str, str]]
CANDIDATES = 10
SIZE = 112
# what becomes of a common word in the copies of the pool
CHANGES = ("$0", "rather", "mainly")


def image_pairs() -> tuple[str, Goals]:
    """Return how many judged pairs are in the candidates of the graph."""
    say("pairs of images")
    frame = pl.read_parquet(
        data_folder() / "cifar10_vectors.parquet", columns=["idx", "split", "vec"]
    )
    X = np.ascontiguousarray(frame["vec"].to_numpy(), dtype=np.float32)
    graph, spent = timed(lambda: SimilarityGraph.from_vectors(X, k=CANDIDATES))
    place = frame.select("idx", "split").with_row_index("row")
    pairs = pl.read_parquet(data_folder() / "cifar10_duplicates.parquet").with_columns(
        test=pl.lit("test")
    )
    for side, (idx, split) in (
        ("left", ("test_idx", "test")),
        ("right", ("other_idx", "other_split")),
    ):
        key = place.select(
            pl.col("row").alias(side),
            pl.col("idx").cast(pl.Int64).alias(idx),
            pl.col("split").alias(split),
        )
        pairs = pairs.join(key, on=[idx, split])
    left, right = pairs["left"].to_numpy(), pairs["right"].to_numpy()
    one = (graph.neighbors[left] == right[:, None]).any(axis=1)
    either = one | (graph.neighbors[right] == left[:, None]).any(axis=1)
    kinds = {0: "exact", 1: "near", 2: "very similar"}
    judgment = pairs["judgment"].to_numpy()
    groups = {"all": np.ones(len(left), dtype=bool)} | {
        name: judgment == kind for kind, name in kinds.items()
    }
    rows = [
        [name, int(where.sum()), f"{one[where].mean():.3f}", f"{either[where].mean():.3f}"]
        for name, where in groups.items()
        if where.any()
    ]
    near = either[judgment <= 1].mean()
    text = (
        f"{len(left)} pairs among 60,000 images; graph {spent.cpu:.1f} CPU s. One way: the other "
        "image is in the list of the test image; either way: or the test image in the list of the "
        "other.\n\n" + table(["judged", "pairs", "one way", "either way"], rows)
    )
    return text, [
        goal(f"3. pairs judged near duplicates, recall at {CANDIDATES}", ">= 0.95", f"{near:.3f}", near >= 0.95),
        goal(f"3. all {len(left)} judged pairs (with the very similar), recall at {CANDIDATES}",
             ">= 0.95", f"{either.mean():.3f}", either.mean() >= 0.95),
    ]  # fmt: skip


def characters() -> TfidfVectorizer:
    """Return TF-IDF of runs of three characters inside words."""
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3), sublinear_tf=True)


def entity_pairs() -> tuple[str, Goals]:
    """Return the AP of similarities on labeled pairs of records."""
    say("entities")
    records = pl.read_parquet(data_folder() / "er_records.parquet")
    pairs = pl.read_parquet(data_folder() / "er_pairs.parquet")
    rows, goals = [], []
    for (name,), part in pairs.group_by("dataset", maintain_order=True):
        told = records.filter(pl.col("dataset") == name)
        at = {key: row for row, key in enumerate(told["id"])}
        left = np.array([at[x] for x in part["left_id"]])
        right = np.array([at[x] for x in part["right_id"]])
        truth, texts = part["label"].to_numpy(), told["text"]
        found = {
            "text vectors, cosine": vector_cosine(texts, left, right),
            "TF-IDF of words, cosine": sparse_cosine(tf_idf(texts), left, right),
            "shingles of 1 word, Jaccard": word_jaccard(texts, left, right),
        }
        peer = sparse_cosine(characters().fit_transform(texts.to_list()), left, right)
        aps = {key: average_precision_score(truth, value) for key, value in found.items()}
        theirs = average_precision_score(truth, peer)
        best = max(aps, key=aps.__getitem__)
        rows.append([name, len(truth), *(f"{x:.3f}" for x in aps.values()), f"{theirs:.3f}"])
        goals.append(
            goal(f"3. entity pairs, AP, {name}", f">= {theirs:.3f} (character trigrams)",
                 f"{aps[best]:.3f} ({best})", aps[best] >= theirs)
        )  # fmt: skip
    return table(["set", "pairs", *found, "character trigrams, TF-IDF"], rows), goals


def vector_cosine(texts: pl.Series, left: Any, right: Any) -> NDArray[np.float32]:
    """Return the cosine of text vectors, of as many columns as the texts allow up to 512."""
    dimensions = min(512, len(texts) // 2)
    Z = HashedTextEmbedder(dimensions=dimensions).fit(texts).encode(texts)
    return np.einsum("ij,ij->i", Z[left], Z[right])


def sparse_cosine(Z: Any, left: Any, right: Any) -> NDArray[Any]:
    """Return the products of rows of length 1."""
    return np.asarray(Z[left].multiply(Z[right]).sum(axis=1)).ravel()


def word_jaccard(texts: pl.Series, left: Any, right: Any) -> NDArray[np.float64]:
    """Return the Jaccard similarity of the sets of words."""
    found = shingles(texts, 1)
    at = found.indptr
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    return np.array([jaccard(found.values, at[a], at[a + 1], at[b], at[b + 1]) for a, b in pairs])


def b_cubed(found: NDArray[Any], truth: NDArray[Any]) -> tuple[float, float, float]:
    """Return precision, recall and F1 of groups, averaged over rows."""
    both = np.stack([found, truth])
    _, inverse, count = np.unique(both, axis=1, return_inverse=True, return_counts=True)
    shared = count[inverse.ravel()]
    precision = float((shared / np.bincount(found)[found]).mean())
    recall = float((shared / np.bincount(truth)[truth]).mean())
    return precision, recall, 2 * precision * recall / (precision + recall)


def clusters() -> tuple[str, Goals]:
    """Return the B-cubed F1 of stars and of connected components of the same pairs."""
    say("clusters")
    frame = pl.read_parquet(data_folder() / "er_childcare_clusters.parquet")
    truth = np.unique(frame["cluster"].to_numpy(), return_inverse=True)[1]
    texts = frame["text"]
    Z = HashedTextEmbedder(dimensions=512).fit(texts).encode(texts)
    graph = SimilarityGraph.from_vectors(Z, k=CANDIDATES)
    lines, found = [], []
    for threshold in ("auto", 0.6, 0.65, 0.7, 0.75, 0.8, 0.9):
        stars = SemanticDuplicates(threshold=threshold).fit(graph=graph)
        close = (graph.neighbors >= 0) & (graph.similarities >= stars.report_["threshold"] - 1e-9)
        at, place = np.nonzero(close)
        central = -np.where(close, graph.similarities, 0).sum(axis=1)
        ranked = SemanticDuplicates(threshold=threshold).fit(graph=graph, priority=central)
        other = graph.neighbors[at, place]
        scores = compared((stars.keeper_, ranked.keeper_), at, other, truth)
        lines.append([f"text vectors, {threshold}", *(f"{x:.3f}" for s in scores for x in s)])
        found.append([score[2] for score in scores])
    for threshold in (0.4, 0.5, 0.6):
        near = NearDuplicates(threshold=threshold, ngrams=1, bands=56, rows=2)
        at, other = word_pairs(texts, threshold)
        central = -np.bincount(np.concatenate([at, other]), minlength=len(truth)).astype(float)
        keepers = near.fit(texts).keeper_, near.fit(texts, priority=central).keeper_
        scores = compared(keepers, at, other, truth)
        lines.append([f"words, Jaccard {threshold}", *(f"{x:.3f}" for s in scores for x in s)])
        found.append([score[2] for score in scores])
    by_id, by_rank, components = np.array(found).max(axis=0)
    text = (
        f"{len(truth):,} records of {truth.max() + 1:,} entities, precision / recall / F1 over rows. "
        "Components are those of all pairs at the same threshold. Stars by id: keepers in order of "
        "id, as by default; central: rows with the largest sum of similarities of close neighbors "
        "are keepers first (`priority`).\n\n"
        + table(
            [
                "pairs",
                *(
                    f"{k} {m}"
                    for k in ("by id:", "central:", "components:")
                    for m in ("P", "R", "F1")
                ),
            ],
            lines,
        )
    )
    above = int(sum(row[1] > row[2] for row in found))
    aim = f"> {components:.3f} (components at their best threshold)"
    return text, [
        goal("3. clusters of records, B-cubed F1, stars, keepers by id", aim, f"{by_id:.3f}", by_id > components),
        goal("3. clusters of records, B-cubed F1, stars, central keepers", aim,
             f"{by_rank:.3f} (above at {above} of {len(found)} thresholds)", by_rank > components),
    ]  # fmt: skip


def compared(keepers: Any, at: Any, other: Any, truth: Any) -> list[tuple[float, float, float]]:
    """Return precision, recall and F1 of stars and of the components of the same pairs."""
    n = len(truth)
    pairs = coo_array((np.ones(len(at), dtype=bool), (at, other)), shape=(n, n))
    groups = [np.unique(keeper, return_inverse=True)[1] for keeper in keepers]
    groups.append(connected_components(pairs, directed=False)[1])
    return [b_cubed(group, truth) for group in groups]


def word_pairs(texts: pl.Series, threshold: float) -> tuple[Any, Any]:
    """Return all pairs of texts whose words have that Jaccard similarity."""
    found = shingles(texts, 1)
    _, columns = np.unique(found.values, return_inverse=True)
    n = len(texts)
    rows = np.repeat(np.arange(n), np.diff(found.indptr))
    words = coo_array((np.ones(len(rows), dtype=np.float32), (rows, columns.ravel()))).tocsr()
    both = (words @ words.T).tocoo()
    size = np.diff(found.indptr)
    at, other = both.coords
    likeness = both.data / (size[at] + size[other] - both.data)
    told = (likeness >= threshold) & (at < other)
    return at[told], other[told]


def minhash(count: int) -> tuple[str, Goals]:
    """Return the time of signatures of the same texts, of one thread."""
    say("signatures")
    texts = documents()["text"].sample(count, seed=0)
    signatures(shingles(texts.head(10)), SIZE)
    found, words = timed(lambda: shingles(texts))
    _, signing = timed(lambda: signatures(found, SIZE))
    mine = words.cpu + signing.cpu
    name = f"3. MinHash signatures of {SIZE} values, texts in, per core"
    rows = [["assay, from texts", f"{mine:.2f}", f"{len(texts) / mine:,.0f}", ""],
            ["assay, from shingles", f"{signing.cpu:.2f}", f"{len(texts) / signing.cpu:,.0f}", ""]]  # fmt: skip
    if MinHash is None:
        return table(["", "CPU s", "texts per s", "times assay"], rows), [
            (name, ">= 5 x datasketch", "datasketch not installed", "-")
        ]
    few = texts.head(count // 10)  # a random tenth
    at = found.indptr
    sets = [[x.tobytes() for x in found.values[at[i] : at[i + 1]]] for i in range(len(few))]
    bulk = min(timed(lambda: list(MinHash.generator(sets, num_perm=SIZE)))[1].cpu for _ in range(2))
    began = time.process_time()
    split = [text.lower().split() for text in few]
    grams = [{" ".join(t[i : i + 5]).encode() for i in range(max(1, len(t) - 4))} for t in split]
    list(MinHash.generator([list(x) for x in grams], num_perm=SIZE))
    whole = time.process_time() - began
    theirs, signed = whole / len(few) * len(texts), bulk / len(few) * len(texts)
    rows += [
        ["datasketch, from texts", f"{theirs:.2f}", f"{len(texts) / theirs:,.0f}", f"{theirs / mine:.1f}"],
        ["datasketch, from shingles", f"{signed:.2f}", f"{len(texts) / signed:,.0f}", f"{signed / signing.cpu:.1f}"],
    ]  # fmt: skip
    told = (
        f"{len(texts):,} texts drawn from the pool; datasketch on a random tenth of them, its words "
        "split at white space, assay's by Unicode and punctuation."
    )
    return told + "\n\n" + table(["", "CPU s", "texts per s", "times assay"], rows), [
        goal(name, ">= 5 x datasketch", f"{theirs / mine:.1f} x", theirs >= 5 * mine),
        goal(f"3. MinHash signatures of {SIZE} values, shingles in, per core", ">= 5 x datasketch",
             f"{signed / signing.cpu:.1f} x", signed >= 5 * signing.cpu),
    ]  # fmt: skip


def million(count: int) -> tuple[str, Goals]:
    """Return time and memory of deduplicating many texts, in a process of its own."""
    say(f"{count:,} texts")
    pool = pl.read_parquet(data_folder() / "text_pool.parquet", columns=["text"])["text"]
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "texts.parquet"
        pl.DataFrame({"text": multiplied(pool, count)}).write_parquet(path)
        told: dict[str, Any] = json.loads(output_alone("judges.million", path))
    text = (
        f"{told['rows']:,} texts, {told['bytes'] / 1e6:,.0f} MB: the pool of {len(pool):,}, then "
        "copies of it: a tenth of each in upper case, the others with a number at the end and, in "
        "two of three copies, one common word replaced. "
        f"Exact: {told['exact']:,} left out in {told['exact_wall']:.0f} "
        f"s on the clock ({told['exact_cpu']:.0f} CPU s). Near: {told['near']:,} of the rest left "
        f"out, {told['compared']:,} pairs compared. In all {told['wall']:.0f} s on the clock, "
        f"{told['cpu']:.0f} CPU s; peak of memory {told['peak'] / 1e9:.2f} GB, "
        f"{told['loaded'] / 1e9:.2f} GB of it with the texts read and nothing done."
    )
    return text, [
        goal(f"3. {told['rows']:,} texts, exact + near, time", "<= 600 s on the clock",
             f"{told['wall']:.0f} s", told["wall"] <= 600),
        goal(f"3. {told['rows']:,} texts, exact + near, memory", "<= 4 GB",
             f"{told['peak'] / 1e9:.2f} GB", told["peak"] <= 4e9),
    ]  # fmt: skip


def multiplied(pool: pl.Series, count: int) -> pl.Series:
    """Return `count` texts: the pool, then copies of it, a tenth in upper case, the rest changed."""
    parts, made = [pool.head(count)], min(count, len(pool))
    while made < count:
        part = pool.head(count - made)
        same = pl.Series(np.random.default_rng(len(parts)).random(len(part)) < 0.1)
        word = CHANGES[(len(parts) - 1) % len(CHANGES)]
        changed = (
            part.str.replace(r"\b(?:which|with|from|have|what)\b", word) + f" copy {len(parts)}"
        )
        parts.append(part.str.to_uppercase().zip_with(same, changed))
        made += len(part)
    return pl.concat(parts)


def section(limit: int | None = None) -> tuple[Section]:
    """Measure duplicates."""
    parts = {
        "Pairs of images that people judged": image_pairs(),
        "Pairs of records": entity_pairs(),
        "Clusters of records": clusters(),
        "MinHash signatures": minhash(limit or 50_000),
        "Many texts": million((limit or 50_000) * 20),
    }
    goals = [line for _, found in parts.values() for line in found]
    text = "\n\n".join(f"### {title}\n\n{text}" for title, (text, _) in parts.items())
    return (Section(goals, f"## Duplicates\n\n{text}"),)
