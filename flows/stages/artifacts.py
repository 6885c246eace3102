"""The stages of a curation run: plain functions over references, each leaving one artifact.

A stage takes the plan and references to what it reads, and returns a reference to what it made: the
kind and fingerprint of an artifact in the store. Where the artifact is there already nothing is
computed, which is how a run that was killed goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.flows.config.rules import check_budget
from assay.flows.progress import found, step
from assay.flows.stages.generations import embedder_ref
from assay.flows.stages.memory import check_memory
from assay.flows.stages.plan import Plan, run_info
from assay.flows.stages.refs import Ref
from assay.flows.stages.revisions import REVISIONS
from assay.storage import Pool, ScoreStore
from assay.storage.errors import InputError
from assay.storage.hashing.fingerprints import fingerprint

# up to so many rows are taken out of the pool, without reading all of its content
_TAKEN = 16_384


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
    **made_by: Any,
) -> Ref:
    """Make the artifact of a stage unless it is there; say which."""
    made_by |= {"stage": stage, "revision": REVISIONS[stage], "run": run}
    _, made = store.artifacts.get_or_make(*ref, make, **made_by)
    if not made:
        found(f"{stage} {label}".strip())
    return ref


def make_stage(
    plan: Plan,
    stage: str,
    ref: Ref,
    make: Callable[[Path], None],
    label: str = "",
    **made_by: Any,
) -> Ref:
    """Make the artifact of a stage of this plan unless it is there."""
    return get_or_make(plan.store, stage, ref, make, run=plan.run_id, label=label, **made_by)


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
    dimensions = plan.read_pool().dimension if plan.kind == "vector" else None
    check_memory(plan.config, plan.kind, frame.height, dimensions)
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
    return samples_of(plan, samples, embed_ref(plan))


def samples_of(plan: Plan, samples: Ref, vectors: Ref) -> pl.DataFrame:
    """Return samples with their key and problem; images that could not be decoded have one."""
    frame = pl.read_parquet(folder(plan, samples) / "samples.parquet")
    frame = frame.with_row_index("key").with_columns(pl.col("key").cast(pl.Int32))
    artifacts = plan.store.artifacts
    # damaged vectors are discarded, and made again after the samples were read
    if plan.kind != "image" or not artifacts.intact(*vectors):
        return frame
    undecodable = np.load(artifacts.open(*vectors) / "undecodable.npy")
    return frame.with_columns(
        problem=pl.when(pl.col("key").is_in(undecodable))
        .then(pl.lit("undecodable"))
        .otherwise("problem")
    )


def usable(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the samples that have content; everything computed is in their order."""
    return frame.filter(pl.col("problem").is_null())


def sampled(plan: Plan, ids: pl.Series, count: int) -> np.ndarray:
    """Return the rows whose ids hash smallest, in that order: a sample that stays."""
    from assay.storage.hashing.rows import hash_rows, smallest_rows

    return smallest_rows(hash_rows(ids, salt=plan.config.seed), count)


def contents_of(plan: Plan, keys: np.ndarray, progress: Any = None) -> Iterator[Any]:
    """Yield the content of the rows of the ascending `keys`, in batches."""
    done = progress.advance if progress else lambda rows: None
    if len(keys) <= _TAKEN and (plan.read_pool().n_rows or 0) > len(keys):
        if len(keys):
            yield taken(plan, keys)
            done(len(keys))
        return
    row = 0
    for batch in plan.read_pool().batches():
        first, last = np.searchsorted(keys, [row, row + len(batch)])
        if last > first:
            yield batch.take(pa.array(keys[first:last] - row))
        done(last - first)
        row += len(batch)


def taken(plan: Plan, keys: np.ndarray) -> pl.Series:
    """Return the content of the rows of `keys`; they are held in memory at once."""
    content = plan.read_pool().take(keys, [plan.content])[plan.content]
    if content.dtype == pl.Struct:  # images of Hugging Face
        content = content.struct.field("bytes")
    return content


def embed_ref(plan: Plan) -> Ref:
    """Return where the vectors are or will be: labels and kept columns leave them as they are."""
    config = plan.config
    made_by = plan.embedder_fingerprint or (embedder_ref(plan.generation) if plan.fits else None)
    content = (plan.pool_fingerprint, plan.kind, plan.content, config.id)
    return Ref("vectors", fingerprint(REVISIONS["embed"], content, made_by))


def load_vectors(plan: Plan, vectors: Ref) -> np.ndarray:
    """Return the vectors of the usable rows, memory-mapped."""
    found: np.ndarray = np.load(folder(plan, vectors) / "vectors.npy", mmap_mode="r")
    return found


def load_graph(plan: Plan, ref: Ref) -> Any:
    """Return the similarity graph."""
    from assay.index import SimilarityGraph

    return SimilarityGraph.load(folder(plan, ref))


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON; NumPy numbers become plain ones."""

    def plain(value: Any) -> Any:
        return value.tolist() if hasattr(value, "tolist") else str(value)

    path.write_text(json.dumps(report, default=plain))
