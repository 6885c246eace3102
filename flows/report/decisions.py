"""Decisions in words."""

from __future__ import annotations

import polars as pl

from assay.storage.runs.reasons import REASONS

# reason -> what it means, in one sentence
MEANINGS = {reason.reason: reason.meaning for reason in REASONS}
# the same inside a sentence
_INSIDE = {
    reason: meaning[0].lower() + meaning[1:].removesuffix(".")
    for reason, meaning in MEANINGS.items()
}


def decision_words() -> pl.Expr:
    """Return the decisions of rows as sentences.

    Needs the columns selected, position, stage, reason, and detail (JSON text).

    Examples
    --------
    >>> rows = pl.DataFrame({
    ...     "selected": [True, False], "position": [3, None], "stage": ["select", "cutoff"],
    ...     "reason": ["selected", "hard_cutoff"],
    ...     "detail": ["{}", '{"value": -0.0, "threshold": -0.2}'],
    ... })
    >>> for words in rows.select(decision_words()).to_series():
    ...     print(words)
    Chosen as number 3.
    Left out at the stage cutoff: the row is among the hardest, which are cut off (0, threshold -0.2).
    """
    reason = pl.col("reason")
    meaning = reason.replace_strict(
        list(_INSIDE), list(_INSIDE.values()), default=reason.str.replace_all("_", " ")
    )
    value, threshold = _number("value"), _number("threshold")
    measured = pl.when(value.is_not_null() & threshold.is_not_null()).then(
        pl.format(" ({}, threshold {})", value, threshold)
    )
    rank = pl.when(reason == "not_drawn").then(
        pl.format(" (rank {} by the selector's score)", detail("rank").cast(pl.Int64, strict=False))
    )
    rule = pl.when(detail("rule").is_not_null()).then(
        pl.format(" ({}{})", detail("rule"), pl.format("; it has {}", value).fill_null(""))
    )
    quota = pl.when((reason == "quota") & detail("limit").is_not_null()).then(
        pl.format(" ({}: {})", detail("group"), _number("limit"))
    )
    return (
        pl.when("selected")
        .then(pl.format("Chosen as number {}.", "position"))
        .otherwise(
            pl.format("Left out at the stage {}: {}", "stage", meaning)
            + pl.coalesce(rule, quota, measured, rank, pl.lit(""))
            + "."
        )
        .alias("words")
    )


def detail(name: str) -> pl.Expr:
    """Return one field of the decisions' detail as text."""
    return pl.col("detail").str.json_path_match(f"$.{name}")


def _number(name: str) -> pl.Expr:
    number = detail(name).cast(pl.Float64, strict=False).round_sig_figs(6)
    return number.cast(pl.String).str.strip_suffix(".0").str.replace("^-0$", "0")


def representatives() -> pl.Expr:
    """Return the id of the chosen row that is named as standing for each row, null where none is."""
    return pl.when("selected").then("sample_id").otherwise(detail("nearest"))
