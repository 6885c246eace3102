"""Do weights learned from labeled pairs tell the same record from another?

    python benchmarks/pair_weights.py

Five sets of pairs of records (products, articles, restaurants, beers) with their official splits. Weights are
learned by `assay.selection.pair_weights` from the training pairs, with its defaults, and judged by the average
precision (AP) on the test pairs; valid pairs have no part. Beside them the cosine of TF-IDF of the same
runs of three characters and of words, and of the vectors of `HashedTextEmbedder` of both kinds.
"""

from __future__ import annotations

from time import process_time

import numpy as np
import polars as pl
from common.data import data_folder
from common.report import machine, table, verdict, write
from sklearn.metrics import average_precision_score
from threadpoolctl import threadpool_limits

from assay.index import HashedTextEmbedder
from assay.selection import pair_weights

# AP of the specification
BARS = {"abt_buy": 0.82, "amazon_google": 0.648}


def main() -> None:
    """Measure and report."""
    records = pl.read_parquet(data_folder() / "er_records.parquet")
    pairs = pl.read_parquet(data_folder() / "er_pairs.parquet")
    rows, goals = [], []
    for (name,), part in pairs.group_by("dataset", maintain_order=True):
        told = records.filter(pl.col("dataset") == name)
        place = {key: row for row, key in enumerate(told["id"])}
        at = np.array(
            [[place[a], place[b]] for a, b in part.select("left_id", "right_id").iter_rows()]
        )
        same, split, texts = part["label"].to_numpy(), part["split"], told["text"]
        train, test = ((split == side).to_numpy() for side in ("train", "test"))

        def precision(
            values: np.ndarray, same: np.ndarray = same, test: np.ndarray = test
        ) -> float:
            return float(average_precision_score(same[test], values))

        found = {}
        started = process_time()
        learned = pair_weights(texts, at[train], same[train])
        seconds = process_time() - started
        words = pair_weights(texts, at[train], same[train], analyzer="word", ngrams=1)
        found["characters, learned"] = precision(learned.similarity(texts, at[test]))
        found["characters"] = precision(learned.plain().similarity(texts, at[test]))
        found["words, learned"] = precision(words.similarity(texts, at[test]))
        found["words"] = precision(words.plain().similarity(texts, at[test]))
        for analyzer in ("char_wb", "word"):
            Z = HashedTextEmbedder(min(512, len(texts) // 2), analyzer=analyzer).fit(texts)
            X = Z.encode(texts)
            cosine = (X[at[test, 0]] * X[at[test, 1]]).sum(axis=1)
            found[f"vectors, {analyzer}"] = precision(cosine)
        rows.append(
            [name, int(train.sum()), int(test.sum()), *(f"{x:.3f}" for x in found.values()),
             f"{seconds:.1f}"]
        )  # fmt: skip
        if str(name) in BARS:
            best = found["characters, learned"]
            bar = BARS[str(name)]
            goals.append([name, f">= {bar}", f"{best:.3f}", verdict(best >= bar)])
    head = ["set", "training pairs", "test pairs", *found, "CPU s to learn"]
    write(
        "pair_weights.md",
        "\n\n".join(
            [
                "# Weights of terms from labeled pairs",
                f"`python benchmarks/pair_weights.py` on {machine()}.",
                __doc__.split("\n\n", 2)[2].strip(),
                table(["set", "aim: AP", "found", ""], goals),
                table(head, rows),
                "",
            ]
        ),
    )


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
