"""Rows worth looking at: chosen, left out, likely errors, duplicates, outliers, leaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from assay.flows.report.contents import Contents
from assay.flows.report.decisions import decision_words
from assay.flows.report.rows import graph_ids
from assay.index import SimilarityGraph
from assay.storage import ScoreStore
from assay.storage.hashing.rows import hash_rows, smallest_rows

SHOWN = 12
EXCERPT = 480
_LABEL_SCORES = ("self_confidence", "label_agreement", "margin")
_OUTLIER_SCORES = (("outlierness", True), ("lof", True), ("knn_density", False))


@dataclass
class Gallery:
    """Some rows that belong together: a title, why they are shown, and the rows in order."""

    title: str
    note: str
    rows: list[dict[str, Any]]


def galleries(
    store: ScoreStore,
    run_id: str,
    rows: pl.DataFrame,
    scores: list[str],
    contents: Contents,
    graph: SimilarityGraph | None,
) -> list[Gallery]:
    """Return every gallery that has rows; `rows` are all rows of the run with their scores."""
    parts = [
        _chosen(rows),
        _left_out(rows),
        _label_errors(rows, scores, graph),
        _duplicates(store, run_id, rows),
        _outliers(rows, scores),
        _leaks(store, run_id, rows),
    ]
    return [
        Gallery(title, note, cards(part, contents)) for title, note, part in parts if part.height
    ]


def cards(part: pl.DataFrame, contents: Contents) -> list[dict[str, Any]]:
    """Return what a card shows of each row; the column `extra`, if any, is a remark on it."""
    if "extra" not in part.columns:
        part = part.with_columns(extra=pl.lit(""))
    shown = part.select("sample_id", "label", "extra", decision_words()).with_columns(
        text=contents.excerpts(part["key"], EXCERPT),
        picture=pl.Series(contents.pictures(part["key"]), dtype=pl.String),
    )
    return shown.rows(named=True)


Part = tuple[str, str, pl.DataFrame]


def _chosen(rows: pl.DataFrame) -> Part:
    first = rows.filter("selected").sort("position").head(SHOWN)
    return "Chosen first", "The first rows of the selection, in order.", first


def _left_out(rows: pl.DataFrame) -> Part:
    left = rows.filter(~pl.col("selected"))
    last = left.filter(pl.col("reason") == "not_drawn") if left.height else left
    ranked = last.with_columns(
        rank=pl.col("detail").str.json_path_match("$.rank").cast(pl.Int64, strict=False)
    ).filter(pl.col("rank").is_not_null())
    if ranked.height:
        part = ranked.sort("rank", "sample_id", descending=[True, False]).head(SHOWN)
        return "Left out last", "The rows that the selector ranked lowest.", part.drop("rank")
    drawn = smallest_rows(hash_rows(left["sample_id"]), SHOWN)
    return "Left out", "Some rows that were left out, drawn by a hash of their ids.", left[drawn]


def _label_errors(rows: pl.DataFrame, scores: list[str], graph: SimilarityGraph | None) -> Part:
    title = "Likeliest label errors"
    name = next((score for score in _LABEL_SCORES if score in scores), None)
    if name is None:
        return title, "", rows.head(0)
    suspects = rows.filter(pl.col(name).is_not_null() & pl.col("label").is_not_null())
    suspects = suspects.sort(name, "sample_id").head(SHOWN)
    suggested = _suggested_labels(suspects, rows, graph)
    suspects = suspects.with_columns(
        extra=pl.when(suggested.is_not_null())
        .then(pl.format("Most of its neighbors are labeled {}.", suggested))
        .otherwise(pl.lit(""))
        + pl.format(f" {name} {{}}.", pl.col(name).round_sig_figs(3))
    )
    note = f"The rows with the lowest {name}, each with the label that most of its neighbors have."
    return title, note, suspects


def _suggested_labels(
    suspects: pl.DataFrame, rows: pl.DataFrame, graph: SimilarityGraph | None
) -> pl.Series:
    """Return the label that most of each row's neighbors have, null where that is its own."""
    if graph is None or suspects.is_empty():
        return pl.Series([None] * suspects.height, dtype=pl.String)
    nodes = pl.DataFrame({"sample_id": graph_ids(graph)}).with_row_index("node")
    at = suspects.select("sample_id").join(nodes, on="sample_id", maintain_order="left")
    lists = graph.neighbors[at["node"].to_numpy()]
    near = pl.DataFrame(
        {
            "row": np.repeat(np.arange(at.height), lists.shape[1]),
            "node": lists.ravel().astype(np.int64),
        }
    ).filter(pl.col("node") >= 0)
    votes = (
        near.with_columns(sample_id=nodes["sample_id"].gather(near["node"]))
        .join(rows.select("sample_id", "label"), on="sample_id")
        .drop_nulls("label")
        .group_by("row", "label")
        .len()
        .sort("row", "len", "label", descending=[False, True, False])
        .unique("row", keep="first", maintain_order=True)
    )
    winners = (
        at.with_row_index("row")
        .select(pl.col("row").cast(pl.Int64), "sample_id")
        .join(votes.select("row", winner="label"), on="row", how="left")
    )
    joined = suspects.select("sample_id", "label").join(
        winners, on="sample_id", how="left", maintain_order="left"
    )
    return joined.select(
        pl.when(pl.col("winner") != pl.col("label")).then(pl.col("winner"))
    ).to_series()


def _duplicates(store: ScoreStore, run_id: str, rows: pl.DataFrame) -> Part:
    copies = store.run_table(
        run_id,
        "SELECT key, group_id AS duplicate_group, keeper, similarity, kind, "
        "count(*) OVER (PARTITION BY group_id, kind) AS size FROM duplicates",
    )
    largest = copies.sort(
        *("size", "duplicate_group", "keeper", "key"), descending=[True, False, True, False]
    ).head(SHOWN)
    part = largest.join(rows, on="key", how="left", maintain_order="left").with_columns(
        extra=pl.format(
            "In a group of {} {} copies: {}.",
            "size",
            pl.col("kind").str.replace_all("_", " "),
            pl.when("keeper").then(pl.lit("the row that stays")).otherwise(pl.lit("a copy")),
        )
    )
    note = "The row that stays comes first in its group."
    return "Largest groups of duplicates", note, part


def _outliers(rows: pl.DataFrame, scores: list[str]) -> Part:
    for name, high in _OUTLIER_SCORES:
        if name in scores:
            far = rows.filter(pl.col(name).is_not_null())
            far = far.sort(name, "sample_id", descending=[high, False]).head(SHOWN)
            extra = pl.format(f"{name} {{}}.", pl.col(name).round_sig_figs(3))
            side = "highest" if high else "lowest"
            return "Outliers", f"The rows with the {side} {name}.", far.with_columns(extra=extra)
    return "Outliers", "", rows.head(0)


def _leaks(store: ScoreStore, run_id: str, rows: pl.DataFrame) -> Part:
    leaks = store.run_table(run_id, "SELECT key, evaluation_set, item, span FROM leaks")
    part = leaks.sort("span", "key", "item", descending=[True, False, False], nulls_last=True)
    part = part.head(SHOWN).join(rows, on="key", how="left", maintain_order="left")
    words = pl.when(pl.col("span").is_not_null()).then(
        pl.format("{} words of {}, item {}.", "span", "evaluation_set", "item")
    )
    near = pl.format("Close to {}, item {}.", "evaluation_set", "item")
    part = part.with_columns(extra=words.otherwise(near))
    return "Leaked items", "Rows that hold items of an evaluation set.", part
