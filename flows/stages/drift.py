"""How far a pool has moved away from what its generation was fitted on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from assay.flows.stages.artifacts import (
    folder,
    load_samples,
    load_vectors,
    make_stage,
    sampled,
    usable,
)
from assay.flows.stages.generations import embedder_ref
from assay.flows.stages.plan import Plan
from assay.flows.stages.refs import Ref
from assay.flows.stages.revisions import REVISIONS
from assay.storage.hashing.fingerprints import fingerprint

# parts of the space in which rows are counted
_CELLS = 64
# rows that are counted: with 64 cells, two samples of one pool differ by less than .05 on average
_SAMPLE = 10_000


def write_reference(out: Path, vectors: np.ndarray) -> None:
    """Write how the vectors of a sample, in a fixed order, lie in the space, for `measure`."""
    from assay.index.vectors.centroids import train_centroids

    alive = vectors[np.einsum("ij,ij->i", vectors, vectors) > 0]
    count = min(_CELLS, len(alive))
    centroids = train_centroids(alive, count, "cosine") if count else vectors[:0]
    np.save(out / "cells.npy", centroids)
    np.save(out / "shares.npy", _shares(vectors[:_SAMPLE], centroids))


def _shares(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return the share of the vectors in each cell; the last is that of the zero vectors."""
    from assay.index.vectors.centroids import assign

    alive = vectors[np.einsum("ij,ij->i", vectors, vectors) > 0]
    cells = np.full(len(vectors), len(centroids))
    if len(alive) and len(centroids):
        cells[: len(alive)] = assign(alive, centroids, "cosine", 1)[:, 0]
    found: np.ndarray = np.bincount(cells, minlength=len(centroids) + 1) / max(1, len(vectors))
    return found


def measure(plan: Plan, samples: Ref, vectors: Ref) -> Ref | None:
    """Measure the drift; None where nothing is fitted, or it was fitted on this very pool.

    Half the sum of the differences between the shares of rows in 64 cells of the space, then and
    now (the total variation distance): 0 where rows lie as they did, 1 where all lie elsewhere.
    """
    if not (plan.fits and plan.frozen):
        return None
    ref = Ref("drift", fingerprint(REVISIONS["drift"], samples, vectors))

    def make(out: Path) -> None:
        at = folder(plan, embedder_ref(plan.generation))
        ids = usable(load_samples(plan, samples))["sample_id"]
        picked = np.sort(sampled(plan, ids, _SAMPLE))
        now = _shares(load_vectors(plan, vectors)[picked], np.load(at / "cells.npy"))
        distance = float(np.abs(now - np.load(at / "shares.npy")).sum() / 2)
        (out / "drift.json").write_text(json.dumps(distance))

    return make_stage(plan, "drift", ref, make)


def load_drift(plan: Plan, drift: Ref | None) -> float:
    """Return the drift, 0 where nothing can have drifted."""
    if drift is None:
        return 0.0
    return float(json.loads((folder(plan, drift) / "drift.json").read_text()))
