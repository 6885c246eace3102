"""Do splits leak? Pairs found against truth, and what they do to a nearest neighbor's accuracy.

    python benchmarks/leaks.py

On the vectors of CIFAR-10, people have judged 286 pairs of a test and a training image as duplicates
(ciFAIR): `split_leaks` looks for them. On documents of `text_pool.parquet` copies are planted whose
likeness is known, in random splits; `split_pool` then cuts the same pool. Data is read from the folder
`ASSAY_TEST_DATA`, else from `shared/data` beside the repository.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl
from common.data import documents
from common.report import machine, table, write
from subsets.pools import data

from assay.index import SimilarityGraph
from assay.selection import split_leaks, split_pool

NEIGHBORS = 15
THRESHOLDS = ("auto", 0.95, 0.9)
JUDGMENTS = ("exact", "near", "very similar")
DOCUMENTS, PLANTED, SEEDS = 20_000, 500, 3
PARTS = {"train": 0.8, "test": 0.2}
# what is done to a copy, and how
EDITS: dict[str, Any] = {
    "the same": lambda text: text,
    "upper case": lambda text: text.str.to_uppercase(),
    "first word dropped": lambda text: text.str.replace(r"^\S+\s+", ""),
    "every 20th word changed": lambda text: text.str.replace_all(
        r"((?:\S+\s+){19})\S+", "${1}changed"
    ),
    "first half": lambda text: text.str.slice(0, text.str.len_chars() // 2),
}


def images() -> str:
    """Return the part about CIFAR-10."""
    pool = data("cifar10_vectors.parquet").with_columns(id=pl.format("{}-{}", "split", "idx"))
    truth = data("cifar10_duplicates.parquet").filter(other_split="train")
    pairs = truth.with_columns(
        sample_id=pl.format("test-{}", "test_idx"), other_id=pl.format("train-{}", "other_idx")
    )
    X = pool["vec"].to_numpy().astype(np.float32)
    graph = SimilarityGraph.from_vectors(X, ids=pool["id"], k=NEIGHBORS)
    rows, effect = [], []
    for threshold in THRESHOLDS:
        leaks, report = split_leaks(
            pool["split"], X, graph=graph, y=pool["label"], ids=pool["id"],
            semantic=threshold,
        )  # fmt: skip
        found = pairs.join(leaks, on=["sample_id", "other_id"], how="left")
        of = [found.filter(judgment=j)["kind"].is_not_null() for j in range(3)]
        judged = pairs.select("sample_id", "other_id").join(
            leaks, on=["sample_id", "other_id"], how="semi"
        )
        rows.append(
            [
                threshold,
                *(f"{hit.sum()} of {len(hit)}" for hit in of),
                f"{leaks.height:,}",
                f"{judged.height / max(1, leaks.height):.2f}",
                f"{report['rows']['test']:,}",
            ]
        )
        nearest = report["nearest"]["test"]
        effect.append([threshold, f"{nearest['accuracy']:.4f}", f"{nearest['without']:.4f}"])
    head = ("least similarity", *JUDGMENTS, "pairs found", "of them judged", "test images")
    return f"""## CIFAR-10, 50,000 training and 10,000 test images

Duplicates between test and training images, by what people judged them to be, that are among the pairs
of `split_leaks`. Vectors are of patches and gradients, without a pretrained network; `auto` is the
threshold that a run takes.

{table(head, rows)}

Accuracy of the nearest training image's label, on all test images and on those that don't leak:

{table(("least similarity", "all", "without leaks"), effect)}
"""


def planted(seed: int) -> pl.DataFrame:
    """Return documents with copies of some of them: `id`, `text`, `of`, `edit`."""
    pool = documents().filter(pl.col("text").str.count_matches(r"\S+") >= 40)
    pool = pool.sample(DOCUMENTS, seed=seed).select("id", "text")
    sources = pool.sample(PLANTED * len(EDITS), seed=seed + 1)
    copies = [
        sources[at * PLANTED : (at + 1) * PLANTED].select(
            pl.format("{}-copy", "id").alias("id"),
            edit(pl.col("text")).alias("text"),
            of="id",
            edit=pl.lit(name),
        )
        for at, (name, edit) in enumerate(EDITS.items())
    ]
    return pl.concat([pool, *copies], how="diagonal")


def texts() -> str:
    """Return the part about documents."""
    kinds: dict[str, list[tuple[int, int]]] = {name: [] for name in EDITS}
    after, others, deviations, moved, seconds = [], [], [], [], []
    for seed in range(SEEDS):
        pool = planted(seed)
        rng = np.random.default_rng(seed)
        part = np.where(rng.random(pool.height) < PARTS["train"], "train", "test")
        began = time.perf_counter()
        leaks, _ = split_leaks(part, pool["text"], ids=pool["id"], semantic=None)
        seconds.append(time.perf_counter() - began)
        of_part = dict(zip(pool["id"], part, strict=True))
        pairs = pool.filter(pl.col("of").is_not_null()).filter(
            pl.col("id").replace_strict(of_part) != pl.col("of").replace_strict(of_part)
        )
        both = pl.concat(
            [
                leaks.select("sample_id", "other_id"),
                leaks.select(sample_id="other_id", other_id="sample_id"),
            ]
        )
        hits = pairs.join(
            both, left_on=["id", "of"], right_on=["sample_id", "other_id"], how="semi"
        )
        others.append(leaks.height - hits.height)
        for name in EDITS:
            kinds[name].append((hits.filter(edit=name).height, pairs.filter(edit=name).height))
        split = split_pool(PARTS, pool["text"], ids=pool["id"], semantic=None)
        deviations.append(split.report["deviation"])
        own = split.frame
        again, _ = split_leaks(own["part"], pool["text"], ids=own["sample_id"], semantic=None)
        after.append(again.height)
        grown = split_pool(PARTS, pool["text"][:-5_000], ids=pool["id"][:-5_000], semantic=None)
        joined = grown.frame.join(own, on="sample_id")
        moved.append(joined.filter(pl.col("part") != pl.col("part_right")).height)
    rows = [
        [name, f"{sum(h for h, _ in found):,} of {sum(n for _, n in found):,}",
         f"{sum(h for h, _ in found) / sum(n for _, n in found):.3f}"]
        for name, found in kinds.items()
    ]  # fmt: skip
    return f"""## Documents, {DOCUMENTS:,} with {PLANTED * len(EDITS):,} copies, {SEEDS} seeds

Copies that a random split puts into the other part than their original, and how many of these pairs
`split_leaks` finds by equal content and MinHash (Jaccard similarity of runs of five words of .75 or more). A
changed word breaks five runs: with every 20th changed the similarity is about .6, with half of a text .5,
and neither is meant to be found.

{table(("copy", "pairs found", "share"), rows)}

Beyond the planted pairs, {np.mean(others):,.0f} pairs in each split are the documents' own. Looking took
{np.mean(seconds):.1f} s. In splits by `split_pool` {max(after)} pairs leak; the shares are off by at most
{max(deviations):.4f}. When 5,000 of the rows come later, {np.mean(moved):,.1f} of the others change their part: those
that a new row joins to another group.
"""


def main() -> None:
    """Write the report."""
    text = (
        f"# Splits that leak\n\n`python benchmarks/leaks.py`: {machine()}\n\n{images()}\n{texts()}"
    )
    write("leaks.md", text)


if __name__ == "__main__":
    main()
