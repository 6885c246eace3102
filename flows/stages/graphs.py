"""The stages that join rows to their neighbours: what the parent built is updated, not rebuilt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from assay.flows.progress import logger, step
from assay.flows.stages.artifacts import (
    folder,
    load_graph,
    load_samples,
    load_vectors,
    make_stage,
    samples_of,
    usable,
)
from assay.flows.stages.changes import load_changes
from assay.flows.stages.generations import usable_parent
from assay.flows.stages.plan import Plan
from assay.flows.stages.refs import Ref
from assay.flows.stages.revisions import REVISIONS
from assay.storage.hashing.fingerprints import fingerprint

# beyond this share of new and gone rows, building anew is cheaper and better
_CHANGED = 0.2
# an update may lose so much of the recall that the graph had when it was built
_LOST_RECALL = 0.01


def graph_settings(plan: Plan) -> str:
    """Return what decides a graph besides the vectors."""
    # what is left at its default, and the memory that may be used, change nothing
    said = plan.config.graph.model_dump(exclude_defaults=True, exclude={"memory_limit"})
    return fingerprint(said, plan.config.seed)


def graph_to_build(plan: Plan, samples: Ref, changes: Ref | None, vectors: Ref) -> Ref | None:
    """Return where the graph will be if it must be built, None where it is there or updated."""
    settings = graph_settings(plan)
    parent = (
        None if plan.config.graph.robust else _parent(plan, "graph", samples, changes, settings)
    )
    ref = Ref("graph", fingerprint(REVISIONS["graph"], vectors, settings))
    return None if parent is not None or plan.store.artifacts.intact(*ref) else ref


def graph(
    plan: Plan,
    samples: Ref,
    changes: Ref | None,
    vectors: Ref,
    found: Callable[[], Any] | None = None,
) -> Ref:
    """Make the similarity graph of the usable rows: the parent's with the changes, or a new one.

    `found` returns the neighbours where they were searched in shards.
    """
    config = plan.config.graph
    settings = graph_settings(plan)

    def build(out: Path) -> None:
        from assay.index import SimilarityGraph

        with step("graph", None):
            SimilarityGraph.from_vectors(
                load_vectors(plan, vectors),
                ids=ids_of(plan, samples),
                random_state=plan.config.seed,
                found=found() if found else None,
                **config.model_dump(),
            ).save(out)

    def update(out: Path, parent: _Parent) -> None:
        with step("graph", None):
            after = load_graph(plan, parent.ref).updated(
                load_vectors(plan, vectors),
                parent.rows,
                before=load_vectors(plan, parent.vectors),
                ids=ids_of(plan, samples),
            )
        if after.report_["recall"] >= after.report_["built_recall"] - _LOST_RECALL:
            after.save(out)
            return
        logger.info("graph: its updates have lost recall, so it is built anew")
        build(out)

    parent = None if config.robust else _parent(plan, "graph", samples, changes, settings)
    return _make(plan, "graph", vectors, settings, parent, build, update)


def index(plan: Plan, samples: Ref, changes: Ref | None, vectors: Ref, graph: Ref) -> Ref:
    """Make the FAISS index of the usable rows: the parent's with the changes, or a new one."""
    metric = plan.config.graph.metric
    settings = fingerprint(metric, plan.config.seed)

    def build(out: Path) -> None:
        from assay.index import VectorIndex

        with step("index", None):
            VectorIndex.from_vectors(
                load_vectors(plan, vectors),
                ids=ids_of(plan, samples),
                metric=metric,
                random_state=plan.config.seed,
                centroids=load_graph(plan, graph).centroids_,
            ).save(out)

    def update(out: Path, parent: _Parent) -> None:
        from assay.index import VectorIndex

        with step("index", None):
            made = VectorIndex.load(folder(plan, parent.ref), verify=False)
            gone = np.ones(len(made), bool)
            gone[parent.rows[parent.rows >= 0]] = False
            if gone.any():
                before = usable(samples_of(plan, parent.samples, parent.vectors))
                made.remove(before["sample_id"].filter(pl.Series(gone)))
            new = np.flatnonzero(parent.rows < 0)
            if len(new):
                made.add(load_vectors(plan, vectors)[new], ids=ids_of(plan, samples).gather(new))
            made.save(out)

    parent = _parent(plan, "index", samples, changes, settings)
    return _make(plan, "index", vectors, settings, parent, build, update)


class _Parent(NamedTuple):
    """What an artifact is updated from; `rows` tells which of its rows each usable row is, or -1."""

    ref: Ref
    samples: Ref
    vectors: Ref
    rows: np.ndarray


def _parent(
    plan: Plan, stage: str, samples: Ref, changes: Ref | None, settings: str
) -> _Parent | None:
    """Return what the parent made in a stage, where it was made alike and few rows have changed."""
    parent, found = plan.parent, load_changes(plan, changes)
    ref = getattr(parent, stage, None)
    if parent is None or found is None or ref is None:
        return None
    artifacts = plan.store.artifacts
    if not (
        usable_parent(plan.store, stage, ref)
        and artifacts.made_by(*ref).get("settings") == settings
        and usable_parent(plan.store, "embed", parent.vectors)
    ):
        return None
    rows = found.rows[usable(load_samples(plan, samples))["key"].to_numpy()]
    new = int((rows < 0).sum())
    changed = new + found.before - (len(rows) - new)
    if changed > _CHANGED * found.before:
        logger.info("%s: %s rows are new or gone, so it is built anew", stage, f"{changed:,}")
        return None
    return _Parent(ref, parent.samples, parent.vectors, rows)


def _make(
    plan: Plan,
    stage: str,
    vectors: Ref,
    settings: str,
    parent: _Parent | None,
    build: Callable[[Path], None],
    update: Callable[[Path, _Parent], None],
) -> Ref:
    """Take over, update or build; what is updated carries its parent's fingerprint in its own."""
    ref = Ref(stage, fingerprint(REVISIONS[stage], vectors, settings))
    if parent is None or plan.store.artifacts.intact(*ref):
        return make_stage(plan, stage, ref, build, settings=settings)
    if parent.vectors == vectors:
        return make_stage(plan, stage, parent.ref, build, settings=settings)
    ref = Ref(stage, fingerprint(REVISIONS[stage], "updated", parent.ref, vectors, settings))
    return make_stage(plan, stage, ref, lambda out: update(out, parent), settings=settings)


def ids_of(plan: Plan, samples: Ref) -> pl.Series:
    """Return the ids of the usable rows."""
    return usable(load_samples(plan, samples))["sample_id"]
