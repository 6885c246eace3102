"""How far a pool has moved away from what its generation was fitted on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from assay.flows.stages.artifacts import (
    folder,
    load_vectors,
    make_stage,
    sampled,
    usable_ids,
)
from assay.flows.stages.generations import embedder_ref
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import Run
from assay.flows.stages.stage import DRIFT
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


def _cells(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return the cell of each vector; zero vectors are in the last, which has no centroid."""
    from assay.index.vectors.centroids import assign

    alive = np.einsum("ij,ij->i", vectors, vectors) > 0
    cells = np.full(len(vectors), len(centroids))
    if alive.any() and len(centroids):
        cells[alive] = assign(vectors[alive], centroids, "cosine", 1)[:, 0]
    return cells


def _shares(vectors: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """Return the share of the vectors in each cell; the last is that of the zero vectors."""
    counts = np.bincount(_cells(vectors, centroids), minlength=len(centroids) + 1)
    shares: np.ndarray = counts / max(1, len(vectors))
    return shares


def cell_ratios(fitted: Path, vectors: np.ndarray) -> np.ndarray:
    """Return how frequent each row's cell is among `vectors`, as a multiple of what was fitted on.

    Parameters
    ----------
    fitted : Path
        The folder of the embedder that was fitted.
    vectors : float32[n, d]

    Returns
    -------
    float64[n]
        inf for rows in cells that were empty.
    """
    centroids, before = np.load(fitted / "cells.npy"), np.load(fitted / "shares.npy")
    cells = _cells(vectors, centroids)
    now = np.bincount(cells, minlength=len(centroids) + 1) / max(1, len(vectors))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: np.ndarray = (now / before)[cells]
    return ratios


def measure(run: Run, samples: Ref, vectors: Ref) -> Ref | None:
    """Measure the drift; None where nothing is fitted, or it was fitted on this very pool.

    Half the sum of the differences between the shares of rows in 64 cells of the space, then and
    now (the total variation distance): 0 where rows lie as they did, 1 where all lie elsewhere.
    """
    if not (run.fits and run.frozen):
        return None
    ref = Ref("drift", fingerprint(DRIFT.revision, samples, vectors))

    def make(out: Path) -> None:
        at = folder(run, embedder_ref(run.generation))
        picked = np.sort(sampled(run, usable_ids(run, samples, vectors), _SAMPLE))
        now = _shares(load_vectors(run, vectors)[picked], np.load(at / "cells.npy"))
        distance = float(np.abs(now - np.load(at / "shares.npy")).sum() / 2)
        (out / "drift.json").write_text(json.dumps(distance))

    return make_stage(run, DRIFT, ref, make)


def load_drift(run: Run, drift: Ref | None) -> float:
    """Return the drift, 0 where nothing can have drifted."""
    if drift is None:
        return 0.0
    return float(json.loads((folder(run, drift) / "drift.json").read_text()))
