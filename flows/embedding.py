"""The stage that turns content into vectors; what was encoded before is looked up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.flows.plans import Plan, make_model
from assay.flows.progress import logger, step
from assay.flows.stages import Ref, embed_ref, load_samples, make_stage
from assay.storage.errors import CorruptArtifactError, InputError

# file that says which model made the vectors beside it
_MODEL = "model.json"


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
        if plan.embedder_fingerprint is not None:
            hashes = frame["content_hash"].filter(pl.Series(keep))
            hashes.alias("hash").to_frame().write_parquet(out / "content.parquet")
            (out / _MODEL).write_text(json.dumps(plan.embedder_fingerprint))

    return make_stage(plan, "embed", ref, make)


def _room(path: Path, rows: int, dimensions: int) -> np.memmap[Any, Any]:
    shape = (rows, dimensions)
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)


def _known(
    plan: Plan, hashes: pl.Series, path: Path
) -> tuple[np.memmap[Any, Any] | None, np.ndarray]:
    """Return room for the vectors of `hashes`, those of earlier runs filled in, and what is not.

    Only a model's vectors are looked up: the default embedders are fitted on the pool itself.
    """
    from assay.index.embedding_cache import find_rows

    left = np.arange(len(hashes))
    encoded: np.memmap[Any, Any] | None = None
    for folder in _earlier(plan):
        there = find_rows(hashes[left], pl.read_parquet(folder / "content.parquet")["hash"])
        found = there >= 0
        if not found.any():
            continue
        vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        if encoded is None:
            encoded = _room(path, len(hashes), vectors.shape[1])
        encoded[left[found]] = vectors[there[found]]
        left = left[~found]
        if not len(left):
            break
    if len(left) < len(hashes):
        logger.info(
            "embed: %s of %s contents were encoded before",
            f"{len(hashes) - len(left):,}",
            f"{len(hashes):,}",
        )
    return encoded, left


def _earlier(plan: Plan) -> Iterator[Path]:
    """Yield the folders of vectors that the same model made, verified, the newest first."""
    if plan.embedder_fingerprint is None:
        return
    artifacts = plan.store.artifacts
    folders = [p for p in (artifacts.root / "vectors").glob("*") if (p / _MODEL).is_file()]
    for folder in sorted(folders, key=lambda p: (-p.stat().st_mtime_ns, p.name)):
        try:
            if json.loads((folder / _MODEL).read_text()) == plan.embedder_fingerprint:
                yield artifacts.open("vectors", folder.name)
        except (CorruptArtifactError, OSError, ValueError):
            continue


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
    path = out / "encoded.npy"
    encoded, slots = _known(plan, hashes[first], path)
    wanted = np.zeros(len(keep), bool)
    wanted[np.flatnonzero(keep)[first[slots]]] = True
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
            encoded = _room(path, len(first), vectors.shape[1])
        encoded[slots[done : done + len(chosen)]] = vectors
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
    vectors = _room(out / "vectors.npy", len(place), encoded.shape[1])
    for start in range(0, len(place), 65_536):
        vectors[start : start + 65_536] = encoded[place[start : start + 65_536]]
    vectors.flush()
    path.unlink()
