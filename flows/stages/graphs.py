"""The stages that join rows to their neighbors: what the parent built is updated, not rebuilt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from assay.flows.progress import logger, step
from assay.flows.stages.artifacts import (
    folder,
    has_content,
    load_graph,
    load_vectors,
    make_stage,
    usable_ids,
)
from assay.flows.stages.changes import load_changes
from assay.flows.stages.contents import texts_of
from assay.flows.stages.generations import usable_parent
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import Run
from assay.flows.stages.stage import EMBED, GRAPH, INDEX, Stage
from assay.index.vectors.stored import storage_of
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.reading.tables import read_table

# beyond this share of new and gone rows, building anew is cheaper and better
_CHANGED = 0.2
# an update may lose so much of the recall that the graph had when it was built
_LOST_RECALL = 0.01


def graph_settings(run: Run) -> str:
    """Return what decides a graph besides the vectors."""
    # what is left at its default, and the memory that may be used, change nothing
    said = run.config.graph.model_dump(exclude_defaults=True, exclude={"memory_limit"})
    edges = () if run.edges_fingerprint is None else ("edges", run.edges_fingerprint)
    return fingerprint(said, run.config.seed, *edges)


def graph_to_build(run: Run, samples: Ref, changes: Ref | None, vectors: Ref) -> Ref | None:
    """Return where the graph will be if it must be built; None if it exists or is updated."""
    if run.config.edges is not None:
        return None
    settings = graph_settings(run)
    parent = None
    if not _fixed(run):
        parent = _parent(run, GRAPH, samples, changes, vectors, settings)
    ref = Ref("graph", fingerprint(GRAPH.revision, vectors, settings))
    return None if parent is not None or run.store.artifacts.intact(*ref) else ref


def graph(
    run: Run,
    samples: Ref,
    changes: Ref | None,
    vectors: Ref,
    found: Callable[[], Any] | None = None,
) -> Ref:
    """Make the similarity graph of the usable rows: the parent's with the changes, or a new one.

    `found` returns the neighbors where they were searched in shards.
    """
    config = run.config.graph
    settings = graph_settings(run)

    def build(out: Path) -> None:
        from assay.index import SimilarityGraph

        with step("graph", None) as progress:
            ids = ids_of(run, samples, vectors)
            if run.config.edges is not None:
                joined = SimilarityGraph.from_edges(
                    read_table(run.config.edges),
                    ids=ids,
                    vectors=load_vectors(run, vectors) if config.attribute_weight else None,
                    attribute_weight=config.attribute_weight,
                )
                logger.info("graph: %s", _describe_edges(joined.report_))
            else:
                how = {
                    "ids": ids,
                    "random_state": run.config.seed,
                    "found": found() if found else None,
                    **config.model_dump(exclude={"attribute_weight", "kind"}),
                }
                X = load_vectors(run, vectors)
                if config.kind == "hybrid":
                    keep = has_content(run, samples)
                    texts = texts_of(run, keep, None)
                    joined = SimilarityGraph.from_texts(texts, vectors=X, **how)
                else:
                    joined = SimilarityGraph.from_vectors(X, **how, progress=progress.reached)
            joined.save(out)

    def update(out: Path, parent: _Parent) -> None:
        with step("graph", None):
            after = load_graph(run, parent.ref, mapped=True).updated(
                load_vectors(run, vectors),
                parent.rows,
                before=load_vectors(run, parent.vectors),
                ids=ids_of(run, samples, vectors),
            )
        if after.report_["recall"] >= after.report_["built_recall"] - _LOST_RECALL:
            after.save(out)
            return
        logger.info("graph: its updates have lost recall, so it is built anew")
        build(out)

    parent = None
    if not _fixed(run):
        parent = _parent(run, GRAPH, samples, changes, vectors, settings)
    return _make(run, GRAPH, vectors, settings, parent, build, update)


def _fixed(run: Run) -> bool:
    """Return whether the graph is built anew every night, because it can't be updated."""
    config = run.config.graph
    return bool(config.robust) or config.kind == "hybrid" or run.config.edges is not None


def _describe_edges(report: dict[str, Any]) -> str:
    """Say what became of the edges that were given."""
    left_out = [
        f"{report[name]:,} {what}"
        for name, what in (
            ("unknown", "name rows that are not there"),
            ("loops", "join a row with itself"),
            ("repeated", "are there twice, or in both directions"),
        )
        if report[name]
    ]
    words = f"{report['edges']:,} undirected edges of {report['given']:,} given"
    return f"{words} ({', '.join(left_out)})" if left_out else words


def index(run: Run, samples: Ref, changes: Ref | None, vectors: Ref, graph: Ref) -> Ref:
    """Make the FAISS index of the usable rows: the parent's with the changes, or a new one."""
    metric = run.config.graph.metric
    linking = run.config.embedding.linking()
    storage = run.config.index_storage
    settings = fingerprint(
        metric,
        run.config.seed,
        *([linking] if linking else []),
        *([("storage", storage)] if storage != "float32" else []),
    )

    def build(out: Path) -> None:
        from assay.index import VectorIndex

        with step("index", None):
            made = load_graph(run, graph, mapped=True)
            centroids = None if made.centroids_ is None else np.array(made.centroids_)
            VectorIndex(metric, random_state=run.config.seed, storage=storage).write(
                out,
                load_vectors(run, vectors),
                ids=ids_of(run, samples, vectors),
                centroids=centroids,
                cells=None if centroids is None else made.cells_,
            )

    def update(out: Path, parent: _Parent) -> None:
        from assay.index import VectorIndex

        with step("index", None):
            updated = VectorIndex.load(folder(run, parent.ref), verify=False)
            gone = np.ones(len(updated), bool)
            gone[parent.rows[parent.rows >= 0]] = False
            if gone.any():
                before = ids_of(run, parent.samples, parent.vectors)
                updated.remove(before.filter(pl.Series(gone)))
            new = np.flatnonzero(parent.rows < 0)
            if len(new):
                updated.add(
                    load_vectors(run, vectors)[new], ids=ids_of(run, samples, vectors).gather(new)
                )
            updated.save(out)

    # an edge may have moved any vector
    parent = None if linking else _parent(run, INDEX, samples, changes, vectors, settings)
    return _make(run, INDEX, vectors, settings, parent, build, update)


class _Parent(NamedTuple):
    """The source of an update; `rows` gives each usable row's position in it, or -1."""

    ref: Ref
    samples: Ref
    vectors: Ref
    rows: np.ndarray


def _parent(
    run: Run, stage: Stage, samples: Ref, changes: Ref | None, vectors: Ref, settings: str
) -> _Parent | None:
    """Return the parent's output of a stage, if its settings agree and few rows have changed."""
    parent, found = run.parent, load_changes(run, changes)
    if parent is None or found is None:
        return None
    ref = parent.graph if stage == GRAPH else parent.index
    if ref is None:
        return None
    artifacts = run.store.artifacts
    if not (
        usable_parent(run.store, stage, ref)
        and artifacts.made_by(*ref).get("settings") == settings
        and usable_parent(run.store, EMBED, parent.vectors)
        and storage_of(folder(run, parent.vectors)) == run.config.embedding.storage
    ):
        return None
    rows = found.rows[has_content(run, samples, vectors)]
    new = int((rows < 0).sum())
    changed = new + found.before - (len(rows) - new)
    if changed > _CHANGED * found.before:
        logger.info("%s: %s rows are new or gone, so it is built anew", stage.name, f"{changed:,}")
        return None
    return _Parent(ref, parent.samples, parent.vectors, rows)


def _make(
    run: Run,
    stage: Stage,
    vectors: Ref,
    settings: str,
    parent: _Parent | None,
    build: Callable[[Path], None],
    update: Callable[[Path, _Parent], None],
) -> Ref:
    """Take over, update or build; what is updated carries its parent's fingerprint in its own."""
    ref = Ref(stage.name, fingerprint(stage.revision, vectors, settings))
    if parent is None or run.store.artifacts.intact(*ref):
        return make_stage(run, stage, ref, build, settings=settings)
    if parent.vectors == vectors:
        return make_stage(run, stage, parent.ref, build, settings=settings)
    ref = Ref(stage.name, fingerprint(stage.revision, "updated", parent.ref, vectors, settings))
    return make_stage(run, stage, ref, lambda out: update(out, parent), settings=settings)


def ids_of(run: Run, samples: Ref, vectors: Ref) -> pl.Series:
    """Return the ids of the usable rows."""
    return usable_ids(run, samples, vectors)
