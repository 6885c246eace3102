"""The stage that puts the pool's own edges into its vectors: smoothed along them, and joined with structure."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from assay.flows.progress import step
from assay.flows.stages.artifacts import folder, load_vectors, make_stage
from assay.flows.stages.graphs import ids_of
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import Run
from assay.flows.stages.stage import LINK
from assay.index.vectors.stored import store_vectors
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.reading.tables import read_table

# of images: the rows without a vector
_UNDECODABLE = "undecodable.npy"


def link(run: Run, samples: Ref, vectors: Ref) -> Ref:
    """Return the vectors that the edges are in; those of the content where they are not wanted."""
    how = run.config.embedding.linking()
    if not how:
        return vectors
    ref = Ref("vectors", fingerprint(LINK.revision, vectors, run.edges_fingerprint, how))

    def make(out: Path) -> None:
        from assay.index import SimilarityGraph
        from assay.index.algorithms.structure import joined_vectors

        with step("link", None):
            ids = ids_of(run, samples, vectors)
            # so that sums run in the same order, whatever the order of the rows
            order = ids.arg_sort().to_numpy()
            edges = read_table(str(run.config.edges))
            graph = SimilarityGraph.from_edges(edges, ids=ids.gather(order))
            X = np.asarray(load_vectors(run, vectors)[order])
            if run.config.embedding.smooth:
                X = graph.smooth(X, run.config.embedding.smooth)
            if run.config.embedding.structure:
                where = graph.structure(
                    run.config.embedding.structure, run.config.embedding.structure_method
                )
                X = joined_vectors(X, where)
            linked = np.empty_like(X)
            linked[order] = X
            np.save(out / "vectors.npy", linked)
            store_vectors(out, run.config.embedding.storage)
            if run.kind == "image":
                shutil.copyfile(folder(run, vectors) / _UNDECODABLE, out / _UNDECODABLE)

    return make_stage(run, LINK, ref, make)
