"""Content in the form that a method takes: texts, their stored n-grams, the target's vectors."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.flows.changes import load_changes
from assay.flows.embedding import load_embedder
from assay.flows.generations import usable_parent
from assay.flows.plans import Plan
from assay.flows.progress import step
from assay.flows.refs import Ref
from assay.flows.revisions import REVISIONS
from assay.flows.rules import OF_SAMPLES
from assay.flows.stages import contents_of, folder, make_stage, usable
from assay.selection import registry
from assay.storage import Pool
from assay.storage.errors import InputError
from assay.storage.fingerprints import fingerprint


def hash_texts(plan: Plan, samples: Ref, changes: Ref | None) -> dict[str, Ref]:
    """Hash the n-grams of the pool's texts, as the plan's methods want them.

    Returns the streams, for whatever target and budget comes, by the names of the methods.
    """
    if plan.kind != "text":
        return {}
    return {
        name: _stream(plan, method.hasher(), method.threads, changes)
        for name, method in _methods(plan).items()
        if _hashes(method)
    }


def _methods(plan: Plan) -> dict[str, Any]:
    """Return the methods of the plan that take texts."""
    scorers = [name for name in plan.scores if name not in plan.config.expressions]
    found: dict[str, Any] = {}
    for name in scorers:
        entry = registry.entry(name, "scorer")
        if "texts" in {*entry.needs, *entry.uses} and "log" not in entry.needs:
            found[name] = registry.get(name, "scorer")()
    if "texts" in registry.entry(plan.select, "selector").needs:
        make = registry.get(plan.select, "selector")
        found[plan.select] = make(budget=1, **plan.config.options)
    return found


def _hashes(method: Any) -> bool:
    return hasattr(method, "hasher") and not method.embedding


def _stream_ref(pool: str, content: str, hasher: Any) -> tuple[str, Ref]:
    from assay.index.bucket_stream import BucketStream

    address = fingerprint(REVISIONS["hash"], pool, content)
    return address, Ref("bucket_stream", BucketStream.fingerprint_of(address, hasher))


def _stream(plan: Plan, hasher: Any, threads: int | None, changes: Ref | None) -> Ref:
    """Hash every row's text; what was hashed for the parent is copied."""
    content, ref = _stream_ref(plan.pool_fingerprint, plan.content, hasher)

    def make(out: Path) -> None:
        from assay.index._threads import thread_count
        from assay.index.bucket_stream import BucketStream
        from assay.index.stream_updates import write_updated

        count = thread_count(threads)
        found = load_changes(plan, changes)
        earlier = None
        if plan.parent and found:
            _, earlier = _stream_ref(plan.parent.pool_fingerprint, plan.content, hasher)
        with step("hash", None):
            if found and usable_parent(plan.store, "hash", earlier):
                before = BucketStream.load(folder(plan, earlier))
                texts = contents_of(plan, np.flatnonzero(found.keys < 0))
                write_updated(out, before, found.keys, texts, threads=count, content=content)
            else:
                texts = plan.read_pool().batches()
                BucketStream.write(out, texts, hasher, threads=count, content=content)

    return make_stage(plan, "hash", ref, make)


def texts_of(plan: Plan, keep: np.ndarray, stream: Ref | None) -> Any:
    """Return the texts of the rows to keep, as their stored n-grams where there are any."""
    if stream is None:
        return plan.read_pool().contents().filter(pa.array(keep))
    from assay.index.bucket_stream import BucketStream

    return BucketStream.load(folder(plan, stream)).select(np.flatnonzero(keep))


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
    embedder = load_embedder(plan)
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
