"""The stage that makes references ready: data sets that are had already, hashed and embedded once."""

from __future__ import annotations

from collections.abc import Iterator
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
from assay.selection.steps.in_reference import InReference
from assay.selection.steps.reference_set import ReferenceSet
from assay.storage import Pool
from assay.storage.disk.pages import open_mapped
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
            rows = open_mapped(folder(run, vectors) / "vectors.npy")
        loaded[name] = ReferenceSet.load(folder(run, content), rows, verify=False)
    return loaded


def _prepared(run: Run, vectors: Ref, name: str, pool: Pool) -> ReferenceRefs:
    step_ = InReference(**run.config.plan.reference_options)
    check_limits(InReference.limits, step_.get_params(deep=False))
    near = run.kind == "text" and step_.compares_texts
    hashed: tuple[Any, ...] | None = (step_.ngrams, step_.permutations) if near else None
    by_words = run.kind == "text" and step_.compares_words
    if by_words:
        hashed = (hashed, "words")
    roles = run.config.roles()
    made_of = (REFER.revision, pool.fingerprint, run.kind, pool.roles.id, pool.roles.content, roles)
    content = Ref("reference", fingerprint(*made_of, hashed))

    def hash_content(out: Path) -> None:
        with step(f"hash reference {name}", None):
            samples = pool.samples()
            keep = samples["problem"].is_null().to_numpy()
            ids = samples.filter(pl.Series(keep))["sample_id"]
            del samples
            how: dict[str, Any] = {
                "near": near,
                "ngrams": step_.ngrams,
                "permutations": step_.permutations,
            }
            if run.kind == "text" and not by_words:
                ReferenceSet.write(out, _texts(pool, keep), ids, **how)
            else:
                own_content = _content(run, pool, keep)
                ReferenceSet.of(**own_content, ids=ids, words=by_words, **how).save(out)

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


def _texts(pool: Pool, keep: np.ndarray) -> Iterator[pa.Array]:
    """Yield the texts of a reference's usable rows in parts."""
    begin = 0
    for part in pool.batches():
        yield part.filter(pa.array(keep[begin : begin + len(part)]))
        begin += len(part)


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
