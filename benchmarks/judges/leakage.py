"""Leakage: benchmark items planted in the text pool in several ways, and false alarms without them."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable

import numpy as np
import polars as pl
from common.data import data_folder, documents
from common.report import table
from common.timing import timed

from assay.selection import Leakage
from judges.goals import Section, goal, say

ITEMS = 2_000


def first_part(text: str) -> str:
    """Return the first three quarters of the words."""
    words = text.split()
    return " ".join(words[: -(-len(words) * 3 // 4)])


def spaced(text: str) -> str:
    """Return the text in upper case, with other spacing."""
    return re.sub(r"\s+", " \n ", text).upper()


WAYS: dict[str, tuple[Callable[[str], str], float]] = {
    "verbatim": (str, 0.99),
    "first three quarters": (first_part, 0.95),
    "upper case, other spacing": (spaced, 0.95),
    "first three quarters, upper case, other spacing": (lambda t: spaced(first_part(t)), 0.95),
}


def section(limit: int | None = None) -> tuple[Section]:
    """Measure recall, false alarms and throughput."""
    say("leakage")
    sets = pl.read_parquet(data_folder() / "benchmarks.parquet").with_columns(
        pl.col("benchmark").str.replace("_.*", "")
    )
    evaluation = {
        str(name): part.select(item="id", text="prompt")
        for (name,), part in sets.group_by("benchmark", maintain_order=True)
    }
    pool = documents()["text"].drop_nulls().head(limit * 5 if limit else 10**9)
    Leakage(evaluation=evaluation).fit(pool.head(10))
    clean, spent = timed(lambda: Leakage(evaluation=evaluation).fit(pool))
    size = int(pool.str.len_bytes().sum())
    again = statistics.median(
        timed(lambda: Leakage(evaluation=evaluation).fit(pool))[1].cpu for _ in range(2)
    )
    cpu = min(spent.cpu, again)
    alarms = clean.leaks()
    rate = len(alarms) / len(pool) * 10_000
    rng = np.random.default_rng(0)
    items = sets.filter(pl.col("prompt").str.count_matches(r"\w+") >= 8).sample(ITEMS, seed=0)
    long = np.flatnonzero((pool.str.count_matches(r"\w+") > 60).to_numpy() & clean.keep_)
    rows, goals = [], []
    for way, (change, least) in WAYS.items():
        hosts = pool.gather(rng.choice(long, ITEMS, replace=len(long) < ITEMS))
        planted = pl.Series(
            [f"{host}\n{change(item)}\n" for host, item in zip(hosts, items["prompt"], strict=True)]
        )
        found = Leakage(evaluation=evaluation).fit(planted)
        recall = float((~found.keep_).mean())
        named = (found.item_ == items["id"]).fill_null(False).mean()
        by_set = [
            f"{(~found.keep_)[(items['benchmark'] == name).to_numpy()].mean():.4f}"
            for name in evaluation
        ]
        rows.append([way, f"{recall:.4f}", *by_set, f"{named:.4f}"])
        goals.append(
            goal(
                f"4. planted items, {way}, recall", f">= {least}", f"{recall:.4f}", recall >= least
            )
        )
    goals.append(
        goal("4. false alarms per 10,000 documents without planted items", "<= 1",
             f"{rate:.2f} ({len(alarms)} of {len(pool):,})", rate <= 1)
    )  # fmt: skip
    goals.append(("4. throughput", "stated", f"{size / cpu / 1e6:.1f} MB per CPU s", "-"))
    lines = [
        [str(row["evaluation_set"]), str(row["span"]), excerpt(pool[int(row["sample_id"])])]
        for row in alarms.sort("span").head(12).rows(named=True)
    ]
    short = {name: told["short"] for name, told in clean.report_["sets"].items()}
    text = "\n\n".join(
        (
            "## Leakage",
            f"{sets.height:,} items of {', '.join(evaluation)} (too short to be found inside a text: "
            f"{short}), searched in {len(pool):,} documents of {size / 1e6:.0f} MB in {cpu:.1f} CPU s, "
            f"items indexed anew. {ITEMS:,} items of at least 8 words each were planted at the end of "
            "documents of more than 60 words. Named: the item told is the one planted (items that "
            "share their text with others are told as the first of them).",
            table(["planted", "recall", *evaluation, "named"], rows),
            "What was found in the documents without planted items (all count as false alarms; the "
            "shortest runs first):",
            table(["set", "words in a row", "document"], lines) if lines else "Nothing.",
        )
    )
    return (Section(goals, text),)


def excerpt(text: str) -> str:
    """Return the beginning of a text, on one line of a table."""
    return re.sub(r"[\s|]+", " ", text)[:100]
