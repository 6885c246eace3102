"""What a run says of its pool besides scores: weak slices, and labels that simple attributes give away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from assay.flows.config.curation import CurationConfig
from assay.flows.config.slices import LEAKED, LEFT, NEIGHBORS
from assay.flows.progress import logger, step
from assay.flows.stages.artifacts import taken
from assay.flows.stages.run import Run
from assay.index import SimilarityGraph
from assay.selection.evaluation.shortcuts import WARN, find_shortcuts
from assay.selection.evaluation.slices import weak_slices
from assay.selection.scorers.label_agreement import LabelAgreement
from assay.storage.errors import AssayError
from assay.storage.hashing.rows import uniform
from assay.storage.names import SAMPLE_NAMES, own_name

# rows that shortcuts are measured on, those whose ids hash smallest
_ROWS = 4_000
# what a run knows of every sample that is no column of the pool's own
_OURS = ("key", "problem", *SAMPLE_NAMES)


class Findings(NamedTuple):
    """The tables `slices` and `shortcuts` of a run, and its metrics; None where not asked for."""

    slices: pl.DataFrame | None
    shortcuts: pl.DataFrame | None
    metrics: dict[str, float]


def cut_columns(samples: pl.DataFrame, config: CurationConfig) -> pl.DataFrame:
    """Return the columns that slices of a run are of: kept ones, label, group and source."""
    kept = samples.drop(_OURS, strict=False)
    kept = kept.rename({name: own_name(name) for name in kept.columns})
    roles = {
        "label": config.label or "label",
        "group_id": config.group or "group",
        "source": "source",
    }
    for stored, name in roles.items():
        if name not in kept.columns and samples[stored].n_unique() > 1:
            kept = kept.with_columns(samples[stored].alias(name))
    return kept


def above_least(values: pl.Series) -> pl.Series:
    """Return numbers that are >= 0, as slices need them: less the smallest where that is below 0."""
    numbers = values.cast(pl.Float64).rename("by").to_frame()
    return numbers.select(pl.col("by") - pl.min_horizontal(0, pl.col("by").min()))["by"]


def other_neighbors(
    graph: SimilarityGraph, nodes: pl.DataFrame, samples: pl.DataFrame
) -> pl.Series | None:
    """Return the share of each sample's neighbors that carry another label (or group); None without them.

    Parameters
    ----------
    graph : SimilarityGraph
    nodes : DataFrame
        The `sample_id` of each node.
    samples : DataFrame
        `sample_id`, `label`, `group_id`.
    """
    name = next(
        (n for n in ("label", "group_id") if samples[n].null_count() < samples.height), None
    )
    if name is None:
        return None
    known = nodes.join(
        samples.select("sample_id", name), on="sample_id", how="left", maintain_order="left"
    )
    scores = LabelAgreement().fit(graph=graph, y=known[name]).scores_
    other = known.with_columns(pl.Series("other", 1 - scores)).select("sample_id", "other")
    return samples.join(other, on="sample_id", how="left", maintain_order="left")["other"]


def find(
    run: Run,
    frame: pl.DataFrame,
    decisions: pl.LazyFrame,
    leaks: pl.DataFrame | None,
    scores: Mapping[str, pl.DataFrame],
    graph: SimilarityGraph,
) -> Findings:
    """Find what the configuration asks for.

    Parameters
    ----------
    run : Run
    frame : DataFrame
        The samples with their `key` and `problem`.
    decisions, leaks : LazyFrame, DataFrame
        Of the selection, by key.
    scores : mapping of method to DataFrame
        `key` and `score`.
    graph : SimilarityGraph
        Of the usable rows.
    """
    config = run.config
    slices = shortcuts = None
    metrics: dict[str, float] = {}
    if config.slices:
        with step("slices", None):
            table = cut_columns(frame, config)
            columns: dict[str, Any] = {
                "decisions": decisions, "leaks": leaks, "scores": scores, "graph": graph,
            }  # fmt: skip
            slices = pl.concat(
                _slices(by, table, _judged(by, frame, table, **columns)) for by in config.slices
            )
    if config.shortcuts:
        with step("shortcuts", None):
            shortcuts = _shortcuts(run, frame)
        if shortcuts.height:
            metrics["shortcuts.share"] = float(shortcuts["share"][0])
            if shortcuts["share"][0] > WARN:
                logger.warning(
                    "simple attributes give away %.0f%% of the label: a model may learn them and "
                    "not the task (the view shortcuts)",
                    100 * shortcuts["share"][0],
                )
    return Findings(slices, shortcuts, metrics)


def _judged(
    by: str,
    frame: pl.DataFrame,
    table: pl.DataFrame,
    *,
    decisions: pl.LazyFrame,
    leaks: pl.DataFrame | None,
    scores: Mapping[str, pl.DataFrame],
    graph: SimilarityGraph,
) -> pl.Series | None:
    """Return what is bad where it is high for each row."""
    if by in table.columns:
        return table[by]
    keys = frame.select("key")
    if by in scores:
        return keys.join(scores[by], on="key", how="left", maintain_order="left")["score"]
    if by == LEFT:
        left = decisions.select("key", ~pl.col("selected")).collect()
        return keys.join(left, on="key", how="left", maintain_order="left")["selected"]
    if by == LEAKED:
        leaked = leaks["key"] if leaks is not None else pl.Series([], dtype=pl.Int32)
        return frame["key"].is_in(leaked.implode())
    assert by == NEIGHBORS  # the rules of a run know no other
    nodes = frame.filter(pl.col("problem").is_null()).select("sample_id")
    return other_neighbors(graph, nodes, frame)


def _slices(by: str, table: pl.DataFrame, values: pl.Series | None) -> pl.DataFrame:
    """Return the rows of the table `slices`; none where there is nothing to cut or to judge by."""
    empty = weak_slices(pl.DataFrame({"a": ["x"]}), [1.0]).frame.clear()
    found = empty
    if values is not None:
        try:
            found = weak_slices(table.drop(by, strict=False), above_least(values)).frame
        except AssayError as error:
            logger.warning("no slices by %s: %s", by, error)
    return found.select(pl.lit(by).alias("judged_by"), *empty.columns)


def label_shortcuts(
    labeled: pl.DataFrame, contents: Callable[[np.ndarray], list[Any]] | None, seed: int
) -> pl.DataFrame:
    """Return what simple attributes tell about the label, on at most 4,000 rows by the hash of their ids.

    Parameters
    ----------
    labeled : DataFrame
        `key`, `sample_id`, `label`, `group_id` and `source` of rows with a label, in order of the key.
    contents : callable, optional
        Returns the texts or images of ascending keys.
    seed : int

    Raises
    ------
    AssayError
        Too few labels of a kind, or nothing to measure.
    """
    order = np.argsort(uniform(labeled["sample_id"], 0), kind="stable")[:_ROWS]
    drawn = labeled[np.sort(order)]
    attributes = drawn.select("source", group="group_id", place="key")
    attributes = attributes.select(s for s in attributes.get_columns() if s.n_unique() > 1)
    return find_shortcuts(
        None if contents is None else contents(drawn["key"].to_numpy()),
        drawn["label"],
        attributes=attributes,
        ids=drawn["sample_id"],
        random_state=seed,
    ).frame


def _shortcuts(run: Run, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the table `shortcuts`."""
    labeled = frame.filter(pl.col("label").is_not_null() & pl.col("problem").is_null())

    def contents(keys: np.ndarray) -> list[Any]:
        return taken(run, keys).to_list()

    try:
        return label_shortcuts(labeled, None if run.kind == "vector" else contents, run.config.seed)
    except AssayError as error:
        logger.warning("no shortcuts: %s", error)
        schema = {"attribute": pl.String, "bits": pl.Float64, "share": pl.Float64}
        return pl.DataFrame(schema=schema)
