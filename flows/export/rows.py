"""Which rows are handed out: the chosen ones, those left, all, or what a query names."""

from __future__ import annotations

import re
from typing import NamedTuple

import polars as pl

from assay.flows.config.curation import CurationConfig
from assay.storage import ScoreStore
from assay.storage.errors import ConfigError, IdError
from assay.storage.names import EXPORT_NAMES, SAMPLE_NAMES, fold
from assay.storage.runs.schema import identifier

NAMED_ROWS = {
    "chosen": "the chosen rows, in order of position",
    "left": "the rows that were left out, in the pool's order",
    "all": "all rows: the chosen ones in order of position, then the others in the pool's order",
}
_QUERY = re.compile(
    r"(?:\s|--[^\n]*\n|/\*.*?\*/)*(?:select|from|with|values|table|pivot|unpivot)\b",
    re.IGNORECASE | re.DOTALL,
)
_DECISIONS = ("selected", "stage", "reason", "detail")


class Rows(NamedTuple):
    """Rows of a run, in the order in which they are handed out.

    Attributes
    ----------
    frame : DataFrame
        key, sample_id, label, position, weight, selected, stage, reason, detail (JSON).
    words : str
        Which rows these are.
    """

    frame: pl.DataFrame
    words: str


def rows_of(store: ScoreStore, run_id: str, rows: str, config: CurationConfig) -> Rows:
    """Return the rows of a run that a word, a condition or a query names.

    Parameters
    ----------
    store : ScoreStore
    run_id : str
    rows : str
        ``chosen``, ``left`` or ``all``; or an SQL condition over the columns of `latest_samples`,
        `latest_decisions`, `latest_selection` and `latest_scores`; or a query with a column
        `sample_id`, whose order is kept. The views show this run alone.
    config : CurationConfig
        The run's: in a condition, its kept columns, id, label and group go by their own names, and
        come before columns of decisions.

    Raises
    ------
    ConfigError
        A query has no column `sample_id`.
    QueryError
        The condition or query can't be run, or does more than read.
    IdError
        A query names ids that the run does not have.
    """
    frame = store.run_table(
        run_id,
        "SELECT key, s.sample_id, s.label, c.position, c.weight, d.selected, d.stage, d.reason, "
        "d.detail::VARCHAR AS detail FROM samples s JOIN decisions d USING (key) "
        "LEFT JOIN selections c USING (key) ORDER BY c.position NULLS LAST, key",
    )
    word = rows.strip()
    if not word:
        raise ConfigError(f"`rows` is empty; name {', '.join(NAMED_ROWS)}, or a condition in SQL.")
    if word in NAMED_ROWS:
        if word != "all":
            frame = frame.filter(pl.col("selected") == (word == "chosen"))
        return Rows(frame, NAMED_ROWS[word])
    is_query = _QUERY.match(rows) is not None
    query = rows if is_query else _condition(rows, config)
    answer = store.sql(query, runs=[run_id])
    name = next((name for name in answer.columns if fold(name) == "sample_id"), None)
    if name is None:
        raise ConfigError(
            f"The query gives the columns {', '.join(answer.columns)}, and none of them is "
            "sample_id, by which rows are known. Select sample_id too."
        )
    ids = answer[name].cast(pl.String).unique(maintain_order=True)
    unknown = ids.filter(~ids.is_in(frame["sample_id"].implode()))
    if ids.null_count() or len(unknown):
        raise IdError(
            f"The query gives the id {unknown[0] if len(unknown) else None!r}, which is not a "
            f"sample of run {run_id}. Select sample_id from the views of samples."
        )
    if is_query:
        wanted = ids.to_frame("sample_id").join(
            frame, on="sample_id", how="left", maintain_order="left"
        )
        return Rows(wanted.select(frame.columns), f"the rows of the query `{_one_line(rows)}`")
    return Rows(
        frame.filter(pl.col("sample_id").is_in(ids.implode())),
        f"the rows that meet `{_one_line(rows)}`",
    )


def _condition(condition: str, config: CurationConfig) -> str:
    own = {name: identifier(name) for name in config.keep}
    for role, column in (
        ("sample_id", config.id),
        ("label", config.label),
        ("group_id", config.group),
    ):
        if column is not None and fold(column) not in map(fold, (*own, *SAMPLE_NAMES)):
            own[column] = role
    taken = {fold(name) for name in own}
    columns = [
        *(f"s.{name}" for name in SAMPLE_NAMES),
        *(f"s.{stored} AS {identifier(name)}" for name, stored in own.items()),
        *(f"d.{name}" for name in _DECISIONS if fold(name) not in taken),
        *(f"c.{name}" for name in EXPORT_NAMES if fold(name) not in taken),
        "w.* EXCLUDE (pool, run_id, sample_id)",
    ]
    # a comment at the condition's end must not hide the parenthesis
    return (
        f"SELECT sample_id FROM (SELECT {', '.join(columns)} FROM latest_samples s "
        "JOIN latest_decisions d ON s.sample_id = d.sample_id "
        "LEFT JOIN latest_selection c ON s.sample_id = c.sample_id "
        "LEFT JOIN latest_scores w ON s.sample_id = w.sample_id)\n"
        f"WHERE ({condition}\n)"
    )


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("`", "'")
