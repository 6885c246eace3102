"""What each recipe is for, measured beside random subsets of equal size, on open data.

Data: `text_pool.parquet` and `alpaca_52k.parquet` in the folder named by `ASSAY_TEST_DATA`, else in
`../shared/data` beside the repository.

    python benchmarks/recipes.py
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from common.data import data_folder, documents
from common.report import machine, table, write

from assay.flows.running.runner import curate
from assay.index import SimilarityGraph, embed

ROWS, TARGET, SEEDS = 3_000, 100, 1
DOMAINS = ("medical_abstracts", "biochem_sentences", "code_java")


def run(folder: Path, pool: pl.DataFrame, target: pl.DataFrame | None, **settings: Any) -> Any:
    """Run a recipe on a frame of `id` and `text`; return the result."""
    pool.write_parquet(folder / "pool.parquet")
    where: dict[str, Any] = {"pool": str(folder / "pool.parquet"), "id": "id", "text": "text"}
    if target is not None:
        target.write_parquet(folder / "target.parquet")
        where["target"] = str(folder / "target.parquet")
    return curate(**where, **settings, store=str(folder / "store"))


def chosen(result: Any) -> list[str]:
    """Return the ids chosen, in order."""
    query = "SELECT sample_id FROM latest_selection ORDER BY position"
    return list(result.sql(query)["sample_id"])


def spread(vectors: np.ndarray, rows: np.ndarray, every: np.ndarray) -> float:
    """Return the mean cosine of all rows to the chosen row nearest to each: coverage."""
    return float((vectors[every] @ vectors[rows].T).max(axis=1).mean())


def of_target(name: str) -> list[list[str]]:
    """Return, for each domain as target, the share of the chosen rows that are of it."""
    rows = []
    for domain in DOMAINS:
        found, random, pairs = [], [], []
        for seed in range(SEEDS):
            pool = documents().select("id", "text", "domain").sample(ROWS, seed=seed)
            own = documents().filter(
                (pl.col("domain") == domain) & ~pl.col("id").is_in(pool["id"].implode())
            )
            target = own.sample(TARGET, seed=seed).select("id", "text")
            count = int((pool["domain"] == domain).sum())
            # twice the budget is left to choose from
            settings: dict[str, Any] = {}
            if name == "dsir-diverse":
                settings["plan"] = {"cutoff": 1 - 2 * count / len(pool)}
            with tempfile.TemporaryDirectory() as folder:
                ids = chosen(run(Path(folder), pool, target, recipe=name, budget=count, **settings))
            inside = pool.filter(pl.col("id").is_in(ids))["domain"] == domain
            found.append(float(inside.mean()))
            random.append(count / len(pool))
            vectors = embed(pool["text"], ids=pool["id"])
            place = np.flatnonzero(pool["id"].is_in(ids).to_numpy())
            similar = vectors[place] @ vectors[place].T
            np.fill_diagonal(similar, 0)
            pairs.append(float((similar.max(axis=1) >= 0.95).mean()))
        rows.append(
            [f"`{name}`", domain, f"{np.mean(found):.3f}", f"{np.mean(random):.3f}",
             f"{np.mean(pairs):.3f}"]
        )  # fmt: skip
    return rows


def instructions() -> list[list[str]]:
    """Return what the recipes for instruction data do on Alpaca."""
    alpaca = pl.read_parquet(data_folder() / "alpaca_52k.parquet").sample(ROWS, seed=0)
    # quality from the grade of one judge, with noise as a grader has; complexity from the length
    noise = np.random.default_rng(0).normal(size=len(alpaca))
    pool = alpaca.select(
        pl.col("id").cast(pl.String),
        text=pl.concat_str("instruction", "input", "output", separator="\n"),
        graded="claude_ge_4p5",
        quality=pl.col("helpfulness_ge_4p5").cast(pl.Float64) + 1 + 0.3 * np.abs(noise),
        complexity=pl.col("output").str.len_chars().cast(pl.Float64).log1p(),
    ).filter(pl.col("text").str.strip_chars() != "")
    vectors = embed(pool["text"], ids=pool["id"])
    every = np.arange(len(pool))
    budget = 300
    rows = []
    picks = {"random": {"select": "random", "scores": []}, "top by score alone": None,
             "`deita`": {"recipe": "deita"}, "`deita-coverage`": {"recipe": "deita-coverage"}}  # fmt: skip
    for name, settings in picks.items():
        if settings is None:
            settings = {
                "select": "top", "scores": [], "expressions": {"s": "quality * complexity"},
                "difficulty": "s",
            }  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            ids = chosen(run(Path(folder), pool, None, budget=budget, **settings))
        place = np.flatnonzero(pool["id"].is_in(ids).to_numpy())
        similar = vectors[place] @ vectors[place].T
        np.fill_diagonal(similar, 0)
        product = (pool["quality"] * pool["complexity"]).to_numpy()
        rows.append(
            [name, f"{product[place].mean() / product.mean():.2f}",
             f"{(similar.max(axis=1) >= 0.9).mean():.3f}", f"{spread(vectors, place, every):.3f}"]
        )  # fmt: skip
    return rows


def duplicates() -> list[list[str]]:
    """Return what the recipes against duplicates leave, with copies planted in the pool."""
    pool = documents().select("id", "text").sample(ROWS, seed=1)
    changed = [" ".join(text.split()[:-1]) for text in pool["text"][:600]]
    copies = pl.DataFrame({"id": pool["id"][:600] + "-copy", "text": changed})
    copies = copies.filter(pl.col("text").str.count_matches(r"\S+") >= 30)
    both = pl.concat([pool, copies])
    origin = copies["id"].str.strip_suffix("-copy")
    rows = []
    vectors = embed(both["text"], ids=both["id"])
    for name in ("random", "semdedup", "d4"):
        settings: dict[str, Any] = {"recipe": name, "budget": "50%"}
        if name == "random":
            settings = {"select": "random", "scores": [], "budget": "50%"}
        if name == "semdedup":
            settings["budget"] = "100%"
        with tempfile.TemporaryDirectory() as folder:
            ids = chosen(run(Path(folder), both, None, **settings))
        kept = set(ids)
        left = sum(o in kept and f"{o}-copy" in kept for o in origin)
        graph = SimilarityGraph.from_vectors(vectors[both["id"].is_in(ids).to_numpy()], k=5)
        rows.append(
            [f"`{name}`" if name != "random" else name, f"{len(ids):,} of {len(both):,}",
             f"{left / len(copies):.3f}", f"{1 - float(graph.similarities[:, 0].mean()):.3f}"]
        )  # fmt: skip
    return rows


def main() -> None:
    """Write the report."""
    warnings.simplefilter("ignore")
    targets = [row for name in ("rds", "dclm", "dsir-diverse") for row in of_target(name)]
    text = f"""# Recipes

`python benchmarks/recipes.py`: {machine()}. {ROWS:,} documents or instructions each; vectors are those
of the default embedder.

## Towards a target

A domain is the target, {TARGET} documents of it that are not in the pool; the budget is as many rows as
the pool has of it. `found` is the share of the chosen rows that are of the domain, `random` the same of
random rows, `copies` the share with a chosen row at a cosine of .95 or more. One seed.
`dsir-diverse` with a cutoff that leaves twice the budget to choose from.

{table(("recipe", "target", "found", "random", "copies"), targets)}

## Instruction data

Alpaca, budget 300. Quality is 1 + the grade of one judge (helpfulness of 4.5 or more) with noise,
complexity the logarithm of the answer's length. `score` is the mean product of the chosen rows over that
of the pool, `alike` the share of the chosen rows with another at a cosine of .9 or more, `coverage` the
mean cosine of all rows to the chosen row nearest to each.

{table(("choice", "score", "alike", "coverage"), instructions())}

## Duplicates

Documents of 30 words and more among 600 come a second time without their last word. `pairs left` is the
share of them of which both stay, `apart` the mean distance (1 - cosine) of the kept rows to the nearest
other one.

{table(("choice", "kept", "pairs left", "apart"), duplicates())}
"""
    write("recipes.md", text)


if __name__ == "__main__":
    main()
