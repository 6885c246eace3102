"""What moved between two pools or runs, by column and part of the space, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assay.flows.commands.contents import Contents, contents_of
from assay.flows.commands.run_columns import kept_columns, samples_of, scores_of
from assay.flows.config.curation import CurationConfig
from assay.flows.export.frames import rows_json
from assay.flows.export.rows import rows_of
from assay.flows.printing.output import print_table
from assay.flows.report.differences import Difference
from assay.flows.report.rows import graph_ids, stored_artifact, stored_graph
from assay.flows.stages.places import pool_of
from assay.index.embedding.embedders import embedder_class
from assay.index.embedding.table import TableEmbedder
from assay.index.vectors.stored import read_rows
from assay.selection.contract.inputs import Inputs
from assay.selection.evaluation.pool_shift import PoolShift, explain_shift
from assay.selection.scorers.training_logs import read_log
from assay.storage import ScoreStore, read_pool
from assay.storage.errors import AssayError, ColumnError, ConfigError, IdError, InputError
from assay.storage.reading.tables import read_table


@dataclass(frozen=True, eq=False)
class Asked:
    """What the command's options say.

    Attributes
    ----------
    roles : dict
        id, text, vector and image, as of `read_pool`, where they are given.
    label, loss : str or None
    log : tables of training logs, one for both pools or one for each
    columns : names of inputs, or None for all
    groups : group -> names of columns
    rows : which rows of runs, see `rows_of`
    """

    roles: dict[str, Any]
    label: str | None = None
    loss: str | None = None
    log: Sequence[Path] = ()
    columns: Sequence[str] | None = None
    groups: dict[str, list[str]] | None = None
    rows: str = "all"
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """Return what decides the explanation of two runs, as it is kept with it."""
        from assay.storage.reading.tables import table_fingerprint

        return {
            "label": self.label,
            "loss": self.loss,
            "log": [table_fingerprint(str(path)) for path in self.log],
            "columns": None if self.columns is None else list(self.columns),
            "groups": self.groups,
            "rows": self.rows,
            "seed": self.seed,
        }


@dataclass(frozen=True, eq=False)
class Side:
    """The rows of a pool or run that are compared."""

    table: pl.DataFrame
    ids: pl.Series | None
    labels: pl.Series | None
    loss: np.ndarray | None
    vectors: np.ndarray | None


def of_places(a: str, b: str, asked: Asked) -> PoolShift:
    """Explain the difference of two files, folders or globs."""
    logs = _logs(asked)
    if {"text", "vector", "image"} & set(asked.roles):
        contents = contents_of(a, asked.roles)
        other = read_pool(b, **asked.roles)
        samples = other.samples()
        rows = np.flatnonzero(samples["problem"].is_null().to_numpy())
        second = Contents(other, rows, samples[rows], contents.vectors_of(other), contents.embedder)
        sides = [
            _of_contents(each, asked, log)
            for each, log in zip((contents, second), logs, strict=True)
        ]
    else:
        sides = [_of_table(place, asked, log) for place, log in zip((a, b), logs, strict=True)]
        sides = _with_table_vectors(*sides)
    return _explained(sides, asked)


def of_runs(store: ScoreStore, found: Difference, asked: Asked) -> tuple[PoolShift, list[str]]:
    """Explain the difference of two runs' pools, or of their selections; and say what was not compared."""
    runs, logs = (found.run_a, found.run_b), _logs(asked)
    sides = [_of_run(store, run, asked, log) for run, log in zip(runs, logs, strict=True)]
    if runs[0]["generation"] == runs[1]["generation"]:
        return _explained([side for side, _ in sides], asked), []
    # one of the two pools, if it is still there, by the embedder of the other
    for own in (0, 1):
        side, keys = sides[1 - own]
        vectors = _embedded_as(store, runs[own]["run_id"], runs[1 - own], keys)
        if vectors is not None:
            both = [each for each, _ in sides]
            both[1 - own] = replace(side, vectors=vectors)
            return _explained(both, asked), []
    note = (
        "The runs embed by different generations and neither pool is what it was, so that parts of "
        "the space are not compared."
    )
    return _explained([replace(side, vectors=None) for side, _ in sides], asked), [note]


def _embedded_as(
    store: ScoreStore, fitted_by: str, run: dict[str, Any], keys: np.ndarray
) -> np.ndarray | None:
    """Return vectors of a run's rows by the embedder that another run fitted, where that can be."""
    folder = stored_artifact(store, fitted_by, "fit")
    if folder is None:
        return None
    config = CurationConfig.build(json.loads(run["config"]))
    try:
        pool = pool_of(store, run["run_id"], config)
    except AssayError:  # the pool has changed, or is gone
        return None
    order = np.argsort(keys, kind="stable")
    vectors = embedder_class(pool.kind).load(folder).encode(pool.contents_at(keys[order]))
    return np.asarray(vectors[np.argsort(order, kind="stable")])


def print_shift(shift: PoolShift, notes: Sequence[str] = ()) -> None:
    """Print what moved, farthest first, and what it cost."""
    report = shift.report_
    print(
        f"{report['rows_a']:,} rows before, {report['rows_b']:,} after. Beyond chance moved: "
        f"{', '.join(report['moved']) or 'nothing'}."
    )
    print_table(shift.columns, title="By column:")
    if shift.cells is not None and shift.cells.height:
        shown = shift.cells.with_columns(pl.col("near_a", "near_b").list.join(", "))
        print_table(shown, title="Parts of the space that grew, then those that shrank:")
    if shift.cost is not None:
        cost = shift.cost
        print(
            f"\nThe mean loss went from {cost['loss_a']:.4g} to {cost['loss_b']:.4g}: "
            f"{cost['change']:+.4f} (standard error {cost['change_error']:.4f}). Other inputs cost "
            f"{cost['inputs']:+.4f} ({cost['inputs_error']:.4f}); other labels for the same inputs "
            f"{cost['labels']:+.4f}."
        )
        if cost["effective_rows"] < report["rows_a"] / 10:
            print(
                f"Only {cost['effective_rows']:,.0f} rows before count for what came after: much of "
                "it lies where there was little, so the parts are rough."
            )
    if shift.groups is not None:
        print_table(shift.groups, title="What other inputs cost, by group of columns:")
    for name, why in report["left_out"].items():
        print(f"Not compared: {name}: {why}.")
    for note in notes:
        print(note)


def shift_json(shift: PoolShift, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the explanation as a JSON-ready object."""
    return {
        "columns": rows_json(shift.columns)["rows"],
        "cells": None if shift.cells is None else rows_json(shift.cells)["rows"],
        "cost": shift.cost,
        "groups": None if shift.groups is None else rows_json(shift.groups)["rows"],
        "report": shift.report_,
        "notes": list(notes),
    }


def _explained(sides: Sequence[Side], asked: Asked) -> PoolShift:
    a, b = sides
    return explain_shift(
        a.table,
        b.table,
        loss_a=a.loss,
        loss_b=b.loss,
        vectors_a=a.vectors,
        vectors_b=b.vectors,
        ids_a=a.ids,
        ids_b=b.ids,
        groups=asked.groups,
        random_state=asked.seed,
    )


def _logs(asked: Asked) -> list[pl.DataFrame | None]:
    if not asked.log:
        return [None, None]
    if asked.loss is not None:
        raise ConfigError("--loss and --log both give losses; give one of them.")
    if len(asked.log) > 2:
        raise ConfigError("--log is given more than twice; give one log for both, or one for each.")
    logs = [read_table(path) for path in asked.log]
    return [logs[0], logs[-1]]


def _side(
    table: pl.DataFrame,
    asked: Asked,
    log: pl.DataFrame | None,
    *,
    ids: pl.Series | None,
    labels: pl.Series | None,
    loss: pl.Series | None,
    vectors: np.ndarray | None,
) -> Side:
    """Return a side whose table holds inputs alone, and its losses as numbers."""
    if asked.columns is not None:
        for name in asked.columns:
            if name not in table.columns:
                raise ColumnError.missing(name, table.columns)
        table = table.select(asked.columns)
    if log is not None:
        if ids is None:
            raise IdError("A log is matched by ids; name the column of ids with --id.")
        coded = None if labels is None else Inputs(y=labels, ids=None).labels
        return Side(table, ids, labels, read_log(log, ids).losses(coded), vectors)
    numbers = None if loss is None else loss.cast(pl.Float64, strict=False).to_numpy()
    return Side(table, ids, labels, numbers, vectors)


def _column(table: pl.DataFrame, name: str | None) -> pl.Series | None:
    if name is None:
        return None
    if name not in table.columns:
        raise ColumnError.missing(name, table.columns)
    return table[name]


def _of_table(place: str, asked: Asked, log: pl.DataFrame | None) -> Side:
    table = read_table(place)
    ids = _column(table, asked.roles.get("id"))
    loss, labels = _column(table, asked.loss), _column(table, asked.label)
    named = {name for name in (asked.roles.get("id"), asked.loss, asked.label) if name is not None}
    inputs = table.drop(named & set(table.columns))
    return _side(inputs, asked, log, ids=ids, labels=labels, loss=loss, vectors=None)


def _with_table_vectors(a: Side, b: Side) -> list[Side]:
    """Return both sides with vectors of their rows, by an embedder that is fitted on A."""
    shared = [name for name in a.table.columns if a.table.schema[name] == b.table.schema.get(name)]
    embedder = TableEmbedder()
    try:
        embedder.fit(a.table.select(shared), ids=a.ids)
    except InputError:  # no column can be embedded
        return [a, b]
    return [replace(side, vectors=embedder.encode(side.table.select(shared))) for side in (a, b)]


def _of_contents(contents: Contents, asked: Asked, log: pl.DataFrame | None) -> Side:
    named = {*asked.roles.values(), asked.loss, asked.label}
    names = asked.columns
    if names is None:
        names = [name for name in contents.pool.columns if name not in named]
    wanted = [*names, *(name for name in (asked.loss, asked.label) if name is not None)]
    table = pl.DataFrame(height=len(contents.rows))
    if wanted:
        table = contents.pool.typed_columns(wanted)[contents.rows]
    return _side(
        table.drop(set(wanted) - set(names)),
        asked,
        log,
        ids=contents.samples["sample_id"],
        labels=_column(table, asked.label),
        loss=_column(table, asked.loss),
        vectors=contents.vectors,
    )


def _of_run(
    store: ScoreStore,
    run: dict[str, Any],
    asked: Asked,
    log: pl.DataFrame | None,
) -> tuple[Side, np.ndarray]:
    """Return the rows of a run that have content, and their keys."""
    run_id = run["run_id"]
    config = CurationConfig.build(json.loads(run["config"]))
    keys = rows_of(store, run_id, asked.rows, config).frame.select("key")
    table, wide = samples_of(store, run_id, keys), scores_of(store, run_id, keys)
    vectors = None
    folder, graph = stored_artifact(store, run_id, "embed"), stored_graph(store, run_id)
    if folder is not None and graph is not None:
        nodes = pl.DataFrame({"sample_id": graph_ids(graph)}).with_row_index("node")
        place = table.select("sample_id").join(
            nodes, on="sample_id", how="left", maintain_order="left"
        )["node"]
        usable = place.is_not_null()
        table, wide = table.filter(usable), wide.filter(usable)
        vectors = read_rows(folder, place.drop_nulls().to_numpy())
    kept = kept_columns(table)
    known = kept.with_columns(wide.get_columns())
    loss = _column(known, asked.loss)
    labels = table["label"] if asked.label is None else _column(kept, asked.label)
    if labels is not None and labels.null_count() == len(labels):
        labels = None
    inputs = kept.drop([name for name in kept.columns if name in (asked.loss, asked.label)])
    if table["group_id"].null_count() < table.height:
        inputs = inputs.with_columns(table["group_id"])
    side = _side(
        inputs, asked, log, ids=table["sample_id"], labels=labels, loss=loss, vectors=vectors
    )
    return side, table["key"].to_numpy().astype(np.int64)
