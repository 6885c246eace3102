"""The stages of a curation run: plain functions over references, each leaving one artifact.

A stage takes the plan and references to what it reads, and returns a reference to what it made: the
kind and fingerprint of an artifact in the store. Where the artifact is there already nothing is
computed, which is how a run that was killed goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from assay.flows.plans import Plan, run_info
from assay.flows.progress import found, step
from assay.flows.revisions import REVISIONS
from assay.flows.rules import check_budget
from assay.storage import Pool, ScoreStore
from assay.storage.errors import InputError
from assay.storage.fingerprints import fingerprint


class Ref(NamedTuple):
    """A reference to an artifact."""

    kind: str
    fingerprint: str


def folder(plan: Plan, ref: Ref) -> Path:
    """Return the folder of an artifact, verified."""
    return plan.store.artifacts.open(*ref)


def get_or_make(
    store: ScoreStore,
    stage: str,
    ref: Ref,
    make: Callable[[Path], None],
    *,
    run: str,
    label: str = "",
) -> Ref:
    """Make the artifact of a stage unless it is there; say which."""
    made = store.artifacts.get_or_make(*ref, make, stage=stage, revision=REVISIONS[stage], run=run)[
        1
    ]
    if not made:
        found(f"{stage} {label}".strip())
    return ref


def make_stage(
    plan: Plan, stage: str, ref: Ref, make: Callable[[Path], None], label: str = ""
) -> Ref:
    """Make the artifact of a stage of this plan unless it is there."""
    return get_or_make(plan.store, stage, ref, make, run=plan.run_id, label=label)


def read(plan: Plan, started_at: datetime) -> Ref:
    """Read every row's id, label, group, content hash and kept columns; check them.

    Nothing is written to the store before everything that can be wrong with the pool, the target
    and the budget has been looked at; then the run is noted as begun.
    """
    ref = Ref("samples", fingerprint(REVISIONS["read"], plan.pool_fingerprint, plan.config.roles()))
    store = plan.store
    there = store.artifacts.intact(*ref)
    with step("read"):
        frame = load_samples(plan, ref) if there else plan.read_pool().samples()
        check(plan, frame)
        store.begin(run_info(plan, started_at, frame.height))
        return make_stage(
            plan, "read", ref, lambda out: frame.write_parquet(out / "samples.parquet")
        )


def check(plan: Plan, frame: pl.DataFrame) -> None:
    """Raise what is wrong with the pool's content, with the budget, or with the target."""
    if frame["problem"].is_not_null().all():
        raise InputError(
            f"The pool {plan.config.pool} has no usable rows: all {frame.height} are without "
            f"content. Is {plan.content!r} the right column?"
        )
    check_budget(plan.config, frame.height)
    if plan.config.target is not None:
        check_target(plan.read_target(), plan.config.target)


def check_target(target: Pool, where: str) -> None:
    """Raise `InputError` where the target has no usable row."""
    rows = target.samples()
    if rows["problem"].is_not_null().all():
        raise InputError(
            f"The target has no usable rows: all {rows.height} of {where} are without content. "
            f"Name a target with content in the column {getattr(target.roles, target.kind)!r}."
        )


def load_samples(plan: Plan, samples: Ref) -> pl.DataFrame:
    """Return the samples with their key (row number) and problem (null: usable)."""
    frame = pl.read_parquet(folder(plan, samples) / "samples.parquet")
    frame = frame.with_row_index("key").with_columns(pl.col("key").cast(pl.Int32))
    vectors = embed_ref(plan)
    if plan.kind != "image" or not plan.store.artifacts.exists(*vectors):
        return frame
    undecodable = np.load(folder(plan, vectors) / "undecodable.npy")
    return frame.with_columns(
        problem=pl.when(pl.col("key").is_in(undecodable))
        .then(pl.lit("undecodable"))
        .otherwise("problem")
    )


def usable(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the samples that have content; everything computed is in their order."""
    return frame.filter(pl.col("problem").is_null())


def embed_ref(plan: Plan) -> Ref:
    """Return where the vectors are or will be: labels and kept columns leave them as they are."""
    config = plan.config
    settings = plan.embedder_fingerprint or config.embedding.deciding(plan.kind)
    content = (plan.pool_fingerprint, plan.kind, plan.content, config.id)
    return Ref("vectors", fingerprint(REVISIONS["embed"], content, settings, config.seed))


def load_vectors(plan: Plan, vectors: Ref) -> np.ndarray:
    """Return the vectors of the usable rows, memory-mapped."""
    found: np.ndarray = np.load(folder(plan, vectors) / "vectors.npy", mmap_mode="r")
    return found


def graph(plan: Plan, samples: Ref, vectors: Ref) -> Ref:
    """Build the similarity graph of the usable rows."""
    settings = plan.config.graph
    ref = Ref(
        "graph",
        fingerprint(
            REVISIONS["graph"],
            vectors,
            # what is left at its default, and the memory that may be used, change nothing
            settings.model_dump(exclude_defaults=True, exclude={"memory_limit"}),
            plan.config.seed,
        ),
    )

    def make(out: Path) -> None:
        from assay.index import SimilarityGraph

        ids = usable(load_samples(plan, samples))["sample_id"]
        with step("graph", None):
            SimilarityGraph.from_vectors(
                load_vectors(plan, vectors),
                ids=ids,
                random_state=plan.config.seed,
                **settings.model_dump(),
            ).save(out)

    return make_stage(plan, "graph", ref, make)


def load_graph(plan: Plan, ref: Ref) -> Any:
    """Return the similarity graph."""
    from assay.index import SimilarityGraph

    return SimilarityGraph.load(folder(plan, ref))


def index(plan: Plan, samples: Ref, vectors: Ref, graph: Ref) -> Ref:
    """Build the FAISS index of the usable rows."""
    metric = plan.config.graph.metric
    ref = Ref("index", fingerprint(REVISIONS["index"], vectors, metric, plan.config.seed))

    def make(out: Path) -> None:
        from assay.index import VectorIndex

        ids = usable(load_samples(plan, samples))["sample_id"]
        with step("index", None):
            VectorIndex.from_vectors(
                load_vectors(plan, vectors),
                ids=ids,
                metric=metric,
                random_state=plan.config.seed,
                centroids=load_graph(plan, graph).centroids_,
            ).save(out)

    return make_stage(plan, "index", ref, make)


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON; NumPy numbers become plain ones."""

    def plain(value: Any) -> Any:
        return value.tolist() if hasattr(value, "tolist") else str(value)

    path.write_text(json.dumps(report, default=plain))
