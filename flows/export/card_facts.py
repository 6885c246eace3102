"""What a card states of a run beside its figures, and what it can't know: both are never left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from assay.flows.export.selection import Selection
from assay.flows.stages.findings import label_shortcuts
from assay.selection.evaluation.shortcuts import WARN
from assay.selection.evaluation.slices import weak_slices
from assay.storage.errors import AssayError
from assay.storage.names import own_name
from assay.storage.runs.schema import SAMPLE_COLUMNS

NOT_STATED = "not stated"
# what only people know, and the property of Croissant's RAI vocabulary that holds it
OF_PEOPLE = (
    ("purpose that the data was collected for", "dataUseCases"),
    ("how it was collected", "dataCollection"),
    ("consent of the people in it, and personal data", "personalSensitiveInformation"),
    ("who is missing from it", "dataSocialImpact"),
    ("how labels were made", "dataAnnotationProtocol"),
    ("who annotated", "annotatorDemographics"),
)
# values of a column that are listed, slices that are listed
_VALUES, _SLICES = 12, 5
_FIXED = ("key", *(part.split()[0] for part in SAMPLE_COLUMNS.split(", ")), "selected", "stage")


class Facts(NamedTuple):
    """Rows of the card's tables.

    Attributes
    ----------
    shares : list of (column, value, share of the pool, share of the selection)
    leaks : list of (evaluation set, how it was found, rows)
    slices : list of (columns and values, rows, share left out)
    shortcuts : list of (attribute, share of the labels' entropy)
    """

    shares: list[tuple[str, str, float, float]]
    leaks: list[tuple[str, str, int]]
    slices: list[tuple[str, int, float]]
    shortcuts: list[tuple[str, float]]

    def sentences(self) -> Iterator[str]:
        """Yield what should worry a reader."""
        for column, value, before, after in self.shares:
            if after > 2 * before or after < before / 2:
                yield (
                    f"{column} {value!r} is {before:.1%} of the pool and {after:.1%} of the selection."
                )
        for name, share in self.shortcuts:
            if share > WARN:
                yield f"{name} gives away {share:.0%} of the label: a model may learn it and not the task."


def facts_of(selection: Selection) -> Facts:
    """Gather the facts of a run from its tables and its pool."""
    rows = selection.store.run_table(
        selection.run_id,
        "SELECT s.*, d.selected, d.stage FROM samples s JOIN decisions d USING (key) ORDER BY key",
    )
    leaks = selection.store.run_table(
        selection.run_id,
        "SELECT evaluation_set, kind, count(DISTINCT key) AS n FROM leaks GROUP BY ALL ORDER BY ALL",
    )
    return Facts(
        list(_shares(selection, rows)), leaks.rows(), _slices(rows), _shortcuts(selection, rows)
    )


def _shares(selection: Selection, rows: pl.DataFrame) -> Iterator[tuple[str, str, float, float]]:
    """Yield the shares of labels, groups and sources before and after."""
    config = selection.config
    by = config.plan.by
    columns = {
        "label": config.label or "label",
        "group_id": config.group or "group",
        "source": "source",
        **({by: by} if by in rows.columns else {}),
    }
    for stored, name in columns.items():
        counts = (
            rows.filter(pl.col(stored).is_not_null())
            .group_by(pl.col(stored).cast(pl.String).alias("value"))
            .agg(pool=pl.len(), chosen=pl.col("selected").sum())
            .sort("pool", "value", descending=[True, False])
        )
        if not 1 < counts.height < rows.height:
            continue
        pool, chosen = counts["pool"].sum(), max(1, counts["chosen"].sum())
        for value, before, after in counts.head(_VALUES).rows():
            yield name, value, before / pool, after / chosen


def _slices(rows: pl.DataFrame) -> list[tuple[str, int, float]]:
    """Return the slices of kept columns, labels and sources of which most was left out."""
    kept = [name for name in rows.columns if name not in _FIXED]
    columns = {own_name(name): rows[name] for name in kept}
    for name in ("label", "source", "group_id"):
        if 1 < rows[name].n_unique() < rows.height:
            columns.setdefault(name, rows[name])
    if not columns:
        return []
    try:
        slices = weak_slices(pl.DataFrame(columns), ~rows["selected"], most=_SLICES).frame
    except AssayError:  # no column can be cut, or no row was left out
        return []
    return [
        (" and ".join(f"{c} {v}" for c, v in zip(of, values, strict=True)), n, mean)
        for of, values, n, mean in slices.select("columns", "values", "n", "mean").rows()
    ]


def _shortcuts(selection: Selection, rows: pl.DataFrame) -> list[tuple[str, float]]:
    """Return what simple attributes tell about the label."""
    labeled = rows.filter(pl.col("label").is_not_null() & (pl.col("stage") != "read"))
    if labeled["label"].n_unique() < 2:
        return []

    def contents(keys: np.ndarray) -> list[Any]:
        content: list[Any] = selection.pool.contents_at(keys).to_pylist()
        return content

    try:
        shortcuts = label_shortcuts(
            labeled,
            None if selection.pool.kind == "vector" else contents,
            selection.config.seed,
        )
    except AssayError:  # too few labels of a kind, or nothing to measure
        return []
    return shortcuts.select("attribute", "share").rows()
