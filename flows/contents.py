"""Content in the form that a method takes: texts, their stored n-grams, the target's vectors."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.flows.plans import Plan, make_model
from assay.flows.progress import step
from assay.flows.revisions import REVISIONS
from assay.flows.rules import OF_SAMPLES
from assay.flows.stages import Ref, folder, make_stage, usable
from assay.storage import Pool
from assay.storage.errors import InputError
from assay.storage.fingerprints import fingerprint


def bucket_stream(plan: Plan, hasher: Any, threads: int | None) -> Ref:
    """Hash the n-grams of every row's text, for whatever target and budget comes."""
    from assay.index._threads import thread_count
    from assay.index.bucket_stream import BucketStream

    content = fingerprint(REVISIONS["hash"], plan.pool_fingerprint, plan.content)
    ref = Ref("bucket_stream", BucketStream.fingerprint_of(content, hasher))

    def make(out: Path) -> None:
        texts = plan.read_pool().batches()
        with step("hash", None):
            BucketStream.write(out, texts, hasher, threads=thread_count(threads), content=content)

    return make_stage(plan, "hash", ref, make)


def texts_of(plan: Plan, keep: np.ndarray, method: Any) -> Any:
    """Return the texts of the rows to keep, as their stored n-grams where the method takes those."""
    if not hasattr(method, "hasher") or method.embedding:
        return plan.read_pool().contents().filter(pa.array(keep))
    from assay.index.bucket_stream import BucketStream

    ref = bucket_stream(plan, method.hasher(), method.threads)
    return BucketStream.load(folder(plan, ref)).select(np.flatnonzero(keep))


def target_of(plan: Plan, vectors: Ref, needs: Collection[str]) -> Any:
    """Return the target's texts where those are needed and there, else its vectors."""
    if plan.kind == "text" and "texts" in needs:
        return plan.read_target().contents()
    return target_vectors(plan, vectors)


def target_vectors(plan: Plan, vectors: Ref) -> np.ndarray:
    """Return the vectors of the target's usable rows, made as the pool's were."""
    return vectors_of(plan, vectors, plan.read_target())


def vectors_of(plan: Plan, vectors: Ref, other: Pool) -> np.ndarray:
    """Return the vectors of another set's usable rows, made as the pool's were.

    Raises
    ------
    InputError
        The set holds images, none of which can be decoded.
    """
    keep = other.samples()["problem"].is_null().to_numpy()
    if plan.kind == "vector":
        return np.asarray(other.vectors()[keep])
    from assay.index.embedders import embedder_class

    embedder: Any = make_model(plan.config, plan.kind)
    if embedder is None:
        embedder = embedder_class(plan.kind).load(folder(plan, vectors) / "embedder")
    found: np.ndarray = embedder.encode(other.contents().filter(pa.array(keep)))
    if plan.kind == "image":
        found = np.delete(found, embedder.undecodable_, axis=0)
        if not len(found):
            raise InputError(f"None of the images of the {other.name} can be decoded.")
    return found


def columns_of(plan: Plan, frame: pl.DataFrame, named: Sequence[str]) -> pl.DataFrame:
    """Return, of the usable rows, what samples hold and the pool's columns that are named."""
    there = [*OF_SAMPLES, *plan.config.keep]
    table = usable(frame).select(there)
    more = [name for name in named if name not in there]
    if not more:
        return table
    rows = np.flatnonzero(frame["problem"].is_null().to_numpy())
    return table.hstack(plan.read_pool().take(rows, more))
