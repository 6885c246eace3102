"""The stages of a curation run: plain functions over references, each leaving one artifact.

A stage takes the plan and references to what it reads, and returns a reference to what it made: the
kind and fingerprint of an artifact in the store. Where the artifact is there already nothing is
computed, which is how a run that was killed goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from assay.flows.plans import Plan, make_model, run_info
from assay.flows.progress import found, step
from assay.flows.revisions import REVISIONS
from assay.selection.budgets import resolve_budget
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


def _stage(plan: Plan, stage: str, ref: Ref, make: Callable[[Path], None], label: str = "") -> Ref:
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
        return _stage(plan, "read", ref, lambda out: frame.write_parquet(out / "samples.parquet"))


def check(plan: Plan, frame: pl.DataFrame) -> None:
    """Raise what is wrong with the pool's content, with the budget, or with the target."""
    if frame["problem"].is_not_null().all():
        raise InputError(
            f"The pool {plan.config.pool} has no usable rows: all {frame.height} are without "
            f"content. Is {plan.content!r} the right column?"
        )
    resolve_budget(plan.config.budget, frame.height)
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


def embed(plan: Plan, samples: Ref) -> Ref:
    """Turn the content of every usable row into a vector, in batches."""
    ref = embed_ref(plan)

    def make(out: Path) -> None:
        frame = load_samples(plan, samples)
        keep = frame["problem"].is_null().to_numpy()
        pool = plan.read_pool()
        with step("embed", int(keep.sum())) as progress:
            if plan.kind == "vector":
                vectors = pool.vectors()[keep]
                np.save(out / "vectors.npy", vectors)
                progress.advance(len(vectors))
            else:
                embedder = make_model(plan.config, plan.kind) or _fitted(plan, frame, keep, out)
                _encode(plan, frame, keep, embedder, out, progress)

    return _stage(plan, "embed", ref, make)


def _fitted(plan: Plan, frame: pl.DataFrame, keep: np.ndarray, out: Path) -> Any:
    """Fit the default embedder, and save it with the vectors."""
    from assay.index.embedders import embedder_class
    from assay.storage.rowhash import hash_rows

    settings = plan.config.embedding.deciding(plan.kind)
    ids = frame["sample_id"].filter(pl.Series(keep))
    # the rows that the embedder would pick itself, so that only they are held in memory
    hashes = hash_rows(ids, salt=plan.config.seed)
    picked = np.sort(np.lexsort(hashes.T[::-1])[: settings["fit_rows"]])
    pool = plan.read_pool()
    content = pool.take(np.flatnonzero(keep)[picked], [plan.content])[plan.content]
    if content.dtype == pl.Struct:  # images of Hugging Face
        content = content.struct.field("bytes")
    embedder = embedder_class(plan.kind)(random_state=plan.config.seed, **settings)
    embedder.fit(content, ids=ids[picked])
    (out / "embedder").mkdir()
    embedder.save(out / "embedder")
    return embedder


def _encode(
    plan: Plan, frame: pl.DataFrame, keep: np.ndarray, embedder: Any, out: Path, progress: Any
) -> None:
    """Encode every content once, and write a vector per usable row.

    Rows that can't be decoded are written into `undecodable.npy` by their key, without a vector.
    """
    from assay.index.embedding_cache import find_rows, new_rows

    hashes = frame["content_hash"].filter(pl.Series(keep))
    first = new_rows(hashes)
    wanted = np.zeros(len(keep), bool)
    wanted[np.flatnonzero(keep)[first]] = True
    path, encoded = out / "encoded.npy", None
    broken, row, done = [], 0, 0
    for batch in plan.read_pool().batches():
        here = slice(row, row + len(batch))
        row += len(batch)
        progress.advance(int(keep[here].sum()))
        chosen = batch.filter(pa.array(wanted[here]))
        if not len(chosen):
            continue
        vectors = embedder.encode(chosen)
        if encoded is None:
            shape = (len(first), vectors.shape[1])
            encoded = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
        encoded[done : done + len(chosen)] = vectors
        if plan.kind == "image":
            broken.append(done + embedder.undecodable_)
        done += len(chosen)
    if encoded is None:
        raise InputError("The pool has no usable rows; there is nothing to embed.")
    place = find_rows(hashes, hashes[first])
    if plan.kind == "image":
        lost = np.isin(place, np.concatenate(broken))
        np.save(out / "undecodable.npy", np.flatnonzero(keep)[lost].astype(np.int32))
        place = place[~lost]
        if not len(place):
            raise InputError("None of the images can be decoded.")
    encoded.flush()
    if np.array_equal(place, np.arange(len(encoded))):
        path.rename(out / "vectors.npy")
        return
    shape = (len(place), encoded.shape[1])
    vectors = np.lib.format.open_memmap(
        out / "vectors.npy", mode="w+", dtype=np.float32, shape=shape
    )
    for start in range(0, len(place), 65_536):
        vectors[start : start + 65_536] = encoded[place[start : start + 65_536]]
    vectors.flush()
    path.unlink()


def load_vectors(plan: Plan, vectors: Ref) -> np.ndarray:
    """Return the vectors of the usable rows, memory-mapped."""
    found: np.ndarray = np.load(folder(plan, vectors) / "vectors.npy", mmap_mode="r")
    return found


def graph(plan: Plan, samples: Ref, vectors: Ref) -> Ref:
    """Build the similarity graph of the usable rows."""
    settings = plan.config.graph
    ref = Ref(
        "graph", fingerprint(REVISIONS["graph"], vectors, settings.model_dump(), plan.config.seed)
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

    return _stage(plan, "graph", ref, make)


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

    return _stage(plan, "index", ref, make)


def inputs(
    plan: Plan, needs: Collection[str], samples: Ref, vectors: Ref, graph: Ref
) -> dict[str, Any]:
    """Return the arguments of `fit` for a method that declares `needs`, over the usable rows."""
    import pyarrow as pa

    frame = load_samples(plan, samples)
    rows = usable(frame)
    given: dict[str, Any] = {"ids": rows["sample_id"]}
    if plan.config.label:
        given["y"] = rows["label"].to_numpy()
    if plan.config.group:
        given["groups"] = rows["group_id"].to_numpy()
    if "texts" in needs:
        contents = plan.read_pool().contents()
        given["X"] = contents.filter(pa.array(frame["problem"].is_null().to_numpy()))
        if "target" in needs:
            given["target"] = plan.read_target().contents()
    elif "vectors" in needs:
        given["X"] = load_vectors(plan, vectors)
    if "graph" in needs:
        given["graph"] = load_graph(plan, graph)
    return given


def score(plan: Plan, method: str, samples: Ref, vectors: Ref, graph: Ref) -> Ref:
    """Compute one score for every usable row."""
    from assay.selection import registry

    entry = registry.entry(method, "scorer")
    made_of = {
        "labels": plan.config.label,
        "target": plan.target_fingerprint,
        "graph": graph,
    }
    of = [made_of.get(need) for need in (*entry.needs, *entry.uses)]
    ref = Ref("scores", fingerprint(REVISIONS["score"], method, vectors, of, plan.config.seed))

    def make(out: Path) -> None:
        with step(f"score {method}", None):
            given = inputs(plan, (*entry.needs, *entry.uses), samples, vectors, graph)
            scorer = registry.get(method, "scorer")().fit(**given)
            np.save(out / "scores.npy", np.asarray(scorer.scores_, dtype=np.float64))

    return _stage(plan, "score", ref, make, method)


def load_scores(plan: Plan, ref: Ref) -> np.ndarray:
    """Return one score of every usable row."""
    found: np.ndarray = np.load(folder(plan, ref) / "scores.npy")
    return found


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON; NumPy numbers become plain ones."""

    def plain(value: Any) -> Any:
        return value.tolist() if hasattr(value, "tolist") else str(value)

    path.write_text(json.dumps(report, default=plain))
