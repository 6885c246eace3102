"""Decisions in words."""

from __future__ import annotations

import polars as pl

# reason -> what it means, after "Left out: "
MEANINGS = {
    "not_drawn": "others were preferred under the budget",
    "filter": "it does not meet a filter",
    "hard_cutoff": "it is among the hardest rows",
    "contamination": "it is among the outliers",
    "lower_gain": "it adds less than the chosen rows",
    "lower_score": "its score is lower than that of the chosen rows",
    "lower_density": "it lies in a thinner region than the chosen rows",
    "farther_from_mean": "it would move the mean further from that of the pool",
    "covered": "a chosen row already covers it",
    "displaced": "a constraint gave its place to another row",
    "budget": "the budget was spent",
    "cost": "it costs more than was left of the budget",
    "exact_duplicates": "it is a copy of a row that stays",
    "near_duplicates": "it is nearly a copy of a row that stays",
    "semantic_duplicates": "it says the same as a row that stays",
    "pivot_duplicates": "it lies close to a row that stays",
    "leakage": "it holds an item of an evaluation set",
    "must_exclude": "its id is excluded",
    "quota": "its group is full",
    "empty": "it has no content",
    "missing": "it has no content",
    "undecodable": "its picture can't be decoded",
}


def decision_words() -> pl.Expr:
    """Return the decisions of rows as sentences.

    Needs the columns selected, position, stage, reason, and detail (JSON text).

    Examples
    --------
    >>> rows = pl.DataFrame({
    ...     "selected": [True, False], "position": [3, None], "stage": ["select", "cutoff"],
    ...     "reason": ["selected", "hard_cutoff"],
    ...     "detail": ["{}", '{"value": 0.25, "threshold": 0.2}'],
    ... })
    >>> for words in rows.select(decision_words()).to_series():
    ...     print(words)
    Chosen as number 3.
    Left out at the stage cutoff: it is among the hardest rows (0.25, threshold 0.2).
    """
    reason = pl.col("reason")
    meaning = reason.replace_strict(
        list(MEANINGS), list(MEANINGS.values()), default=reason.str.replace_all("_", " ")
    )
    value, threshold = _number("value"), _number("threshold")
    measured = pl.when(value.is_not_null() & threshold.is_not_null()).then(
        pl.format(" ({}, threshold {})", value, threshold)
    )
    rank = pl.when(reason == "not_drawn").then(
        pl.format(" (rank {} by the selector's score)", detail("rank").cast(pl.Int64, strict=False))
    )
    rule = pl.when(detail("rule").is_not_null()).then(pl.format(" ({})", detail("rule")))
    return (
        pl.when("selected")
        .then(pl.format("Chosen as number {}.", "position"))
        .otherwise(
            pl.format("Left out at the stage {}: {}", "stage", meaning)
            + pl.coalesce(rule, measured, rank, pl.lit(""))
            + "."
        )
        .alias("words")
    )


def detail(name: str) -> pl.Expr:
    """Return one field of the decisions' detail as text."""
    return pl.col("detail").str.json_path_match(f"$.{name}")


def _number(name: str) -> pl.Expr:
    return detail(name).cast(pl.Float64, strict=False).round_sig_figs(3)


def representatives() -> pl.Expr:
    """Return the id of the chosen row that is named as standing for each row, null where none is."""
    return pl.when("selected").then("sample_id").otherwise(detail("nearest"))
