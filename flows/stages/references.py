"""The stage that makes references ready: data sets that are had already, hashed and embedded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.flows.progress import step
from assay.flows.stages.artifacts import folder, make_stage
from assay.flows.stages.contents import vectors_of
from assay.flows.stages.refs import Ref, ReferenceRefs
from assay.flows.stages.run import Run, read_references
from assay.flows.stages.sharding import own_threads
from assay.flows.stages.stage import REFER
from assay.selection.steps.in_reference import InReference, ReferenceSet
from assay.storage import Pool
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.limits import check_limits


def refer(run: Run, vectors: Ref) -> dict[str, ReferenceRefs]:
    """Hash and embed the references, unless that was done for an earlier run."""
    return {
        name: _prepared(run, vectors, name, pool)
        for name, pool in read_references(run.config).items()
    }


def load_references(run: Run, refs: dict[str, ReferenceRefs]) -> dict[str, ReferenceSet]:
    """Return the references as they are compared with the pool."""
    loaded = {}
    for name, (content, vectors) in refs.items():
        rows = None
        if vectors is not None:
            rows = np.load(folder(run, vectors) / "vectors.npy", mmap_mode="r")
        loaded[name] = ReferenceSet.load(folder(run, content), rows)
    return loaded


def _prepared(run: Run, vectors: Ref, name: str, pool: Pool) -> ReferenceRefs:
    step_ = InReference(**run.config.plan.reference_options)
    check_limits(InReference.limits, step_.get_params(deep=False))
    near = run.kind == "text" and step_.compares_texts
    how: tuple[Any, ...] | None = (step_.ngrams, step_.permutations) if near else None
    by_words = run.kind == "text" and step_.compares_words
    if by_words:
        how = (how, "words")
    roles = run.config.roles()
    made_of = (REFER.revision, pool.fingerprint, run.kind, pool.roles.id, pool.roles.content, roles)
    content = Ref("reference", fingerprint(*made_of, how))

    def hash_content(out: Path) -> None:
        with step(f"hash reference {name}", None):
            samples = pool.samples()
            keep = samples["problem"].is_null().to_numpy()
            ids = samples.filter(pl.Series(keep))["sample_id"]
            given = _content(run, pool, keep)
            made = ReferenceSet.of(
                **given,
                ids=ids,
                near=near,
                words=by_words,
                ngrams=step_.ngrams,
                permutations=step_.permutations,
            )
            made.save(out)

    make_stage(run, REFER, content, hash_content, name)
    # images that can't be decoded have no vectors
    if not step_.compares_vectors or run.kind == "image":
        return ReferenceRefs(content, None)
    embedder = run.embedder_fingerprint or run.generation
    encoded = Ref("reference_vectors", fingerprint(*made_of, embedder))

    def encode(out: Path) -> None:
        with step(f"embed reference {name}", None):
            np.save(out / "vectors.npy", vectors_of(run, vectors, pool).astype(np.float32))

    return ReferenceRefs(content, make_stage(run, REFER, encoded, encode, f"{name} vectors"))


def _content(run: Run, pool: Pool, keep: np.ndarray) -> dict[str, Any]:
    """Return the content of a reference's usable rows as the pool's is compared."""
    if run.kind == "vector":
        return {"vectors": np.asarray(pool.vectors()[keep])}
    if run.kind == "text":
        return {"texts": pool.contents().filter(pa.array(keep))}
    from assay.index.embedding.pixels import pixel_digests
    from assay.index.threads import thread_count

    digests = pixel_digests(pool.batches(), thread_count(own_threads(run)))
    return {"texts": digests.filter(pl.Series(keep))}
