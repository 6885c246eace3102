"""Would the ledger's coverage of words have shown which selectors are worse than random?

    python benchmarks/word_coverage.py --kept FOLDER [--seeds 0]

FOLDER is that of `default_selector.py`, which must have run: it holds every candidate's rows with the
accuracy of two judges trained on their labels. Here the same rows are judged without labels, by
`assay.selection.evaluation.words.word_coverage` over 5,000 rows of the pool, beside the same random
subsets.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl
from common.report import table, write
from default_selector import CHOOSE, POOL, REPORT, TEST, TEXTS
from scipy.stats import spearmanr
from subsets.pools import data

from assay.selection.evaluation.words import word_coverage

SIZES = ("100", "300", "1000")
ASKED = 5_000
# coverage as a share of random's, below which a selection is taken to be worse
LIMIT = 0.92


def texts_of(name: str) -> pl.Series:
    """Return the texts whose vectors `default_selector.load` stored, in their order."""
    frame = data("text_pool.parquet").filter(source=TEXTS[name]).drop_nulls("label")
    frame = frame.unique("text", keep="first", maintain_order=True)
    kept = np.sort(np.random.default_rng(0).permutation(len(frame))[: POOL + TEST])
    return frame[kept]["text"]


def measure(name: str, seed: int, kept: Path) -> pl.DataFrame:
    """Return each candidate's points over random, and its coverage as a share of random's."""
    texts = texts_of(name)
    order = np.random.default_rng([seed, 100]).permutation(len(texts))
    pool = texts.gather(order[min(TEST, len(texts) // 4) :][:POOL])
    asked = np.random.default_rng(seed).permutation(len(pool))[:ASKED]
    points = pl.read_parquet(kept / f"{name}-{seed}.parquet").filter(pl.col("size").is_in(SIZES))
    subsets = [rows.to_numpy()[:ASKED] for rows in points["rows"]]
    found = word_coverage(lambda rows: [pool.gather(rows)], asked, subsets)
    covered = [float(shares.mean()) for shares in found]
    points = points.select(
        "size", "candidate", accuracy=(pl.col("ridge") + pl.col("logistic")) / 2
    ).with_columns(covered=pl.Series(covered))
    random = points.filter(candidate="random").group_by("size").agg(
        pl.col("accuracy", "covered").mean().name.suffix(" 0")
    )  # fmt: skip
    return (
        points.filter(pl.col("candidate") != "random")
        .join(random, on="size")
        .select(
            pl.lit(name).alias("set"), "size", "candidate",
            gap=pl.col("accuracy") - pl.col("accuracy 0"),
            share=pl.col("covered") / pl.col("covered 0"),
        )
    )  # fmt: skip


def report(cells: pl.DataFrame, names: list[str]) -> str:
    """Return the report."""

    def row(part: pl.DataFrame, what: str) -> list[object]:
        low, rest = part.filter(pl.col("share") < LIMIT), part.filter(pl.col("share") >= LIMIT)
        worse = part.filter(pl.col("gap") < -4)
        return [
            what, part.height, f"{spearmanr(part['share'], part['gap']).statistic:.2f}",
            f"{(low['gap'] < 0).sum()} of {low.height}", f"{low['gap'].mean() or 0:+.1f}",
            f"{rest['gap'].mean() or 0:+.1f}",
            f"{(worse['share'] < LIMIT).sum()} of {worse.height}",
        ]  # fmt: skip

    head = ["sets", "subsets", "rank correlation", f"below {LIMIT}: worse than random",
            "below: points", "others: points", "worse by 4 points: below"]  # fmt: skip
    halves = [(half, [n for n in half if n in names]) for half in (CHOOSE, REPORT)]
    rows = [row(cells.filter(pl.col("set").is_in(part)), ", ".join(part)) for _, part in halves]
    own = cells.filter(candidate="facility location")
    listed = {(r["set"], r["size"]): f"{r['share']:.2f} / {r['gap']:+.1f}" for r in own.to_dicts()}
    return f"""# The judge without labels against the truth

`python benchmarks/word_coverage.py --kept FOLDER`. A subset is a candidate of `default_selector.py` at
100, 300 or 1,000 rows. Its coverage of words is a share of that of random subsets; its points are those
of classifiers trained on its labels over those trained on random subsets. The limit of {LIMIT} was
chosen on four sets of short texts.

{table(head, rows)}

## Facility location: coverage as a share of random's / points over random

{table(["set", *SIZES], [[name, *(listed[name, size] for size in SIZES)] for name in names])}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kept", type=Path, required=True)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    options = parser.parse_args()
    names = [name for name in (*CHOOSE, *REPORT) if name in TEXTS]
    cells = pl.concat([measure(n, seed, options.kept) for seed in options.seeds for n in names])
    cells = cells.group_by("set", "size", "candidate", maintain_order=True).mean()
    write("word_coverage.md", report(cells, names))


if __name__ == "__main__":
    main()
