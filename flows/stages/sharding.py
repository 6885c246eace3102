"""Stages that are spread over a cluster: cut into shards, each with an artifact of its own.

A shard is some seconds of work. What a stage makes of its shards is the artifact that it would have
made in one piece, to the byte; the shards' own go when it is there.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from assay.flows.config.curation import CLUSTERS
from assay.flows.stages.artifacts import contents_of, folder, make_stage, taken
from assay.flows.stages.plan import Plan
from assay.flows.stages.refs import Ref
from assay.storage.disk.atomic import remove
from assay.storage.errors import CorruptArtifactError, StoreError
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.runs.recovery import leftovers

# kinds of artifacts that are of use only until the stage's own is there
PARTS = ("shards", "encoded", "bucket_stream_part", "search_part", "score_part")
# rows that are taken out of the pool at a time
_TAKEN = 16_384


class Work(NamedTuple):
    """Rows of the pool that a stage must work through.

    Attributes
    ----------
    target : Ref
        What the stage makes.
    keys : Ref
        The artifact that holds the rows' keys, ascending.
    shards : int
        At least 2.
    """

    target: Ref
    keys: Ref
    shards: int


def is_sharded(plan: Plan) -> bool:
    """Say whether the plan's stages are to be cut into shards."""
    return plan.config.engine != "process"


def own_threads(plan: Plan) -> int | None:
    """Return how many threads a shard may use (None: all cores); on a cluster others run beside."""
    return 1 if plan.config.engine in CLUSTERS else None


def shard_count(plan: Plan, rows: int) -> int:
    """Return how many shards so many rows make."""
    return -(-rows // plan.config.shard_rows)


def shard(plan: Plan, place: int, rows: int) -> slice:
    """Return which of so many rows are in a shard."""
    size = plan.config.shard_rows
    return slice(place * size, min(rows, (place + 1) * size))


def cut(plan: Plan, stage: str, target: Ref, keys: np.ndarray) -> Work | None:
    """Note the rows that a stage must work through; None where one shard holds them all."""
    count = shard_count(plan, len(keys))
    if count < 2:
        return None
    digest = hashlib.blake2b(keys.astype(np.int64).tobytes(), digest_size=16).hexdigest()
    ref = Ref("shards", fingerprint(target, digest))
    make_stage(plan, stage, ref, lambda out: np.save(out / "keys.npy", keys))
    return Work(target, ref, count)


def is_made(plan: Plan, target: Ref) -> bool:
    """Say whether what shards are for is there, so that they are not needed any more."""
    return plan.store.artifacts.exists(*target)


def keys_of(plan: Plan, work: Work, place: int) -> np.ndarray:
    """Return the keys of the rows of a shard."""
    keys = np.load(folder(plan, work.keys) / "keys.npy", mmap_mode="r")
    return np.array(keys[shard(plan, place, len(keys))])


def content_hashes(plan: Plan, samples: Ref, keys: np.ndarray) -> pl.Series:
    """Return the hashes of the content of some rows."""
    path = folder(plan, samples) / "samples.parquet"
    return pl.read_parquet(path, columns=["content_hash"])["content_hash"].gather(keys)


def contents_of_shard(plan: Plan, keys: np.ndarray, progress: Any) -> Iterator[Any]:
    """Yield the content of the rows of a shard, in batches; what lies far from them is not read."""
    if plan.read_pool().n_rows is None:
        batches = contents_of(plan, keys, progress)
        left = len(keys)
        for batch in batches:
            yield batch
            left -= len(batch)
            if not left:
                return
        return
    for start in range(0, len(keys), _TAKEN):
        part = keys[start : start + _TAKEN]
        yield taken(plan, part)
        progress.advance(len(part))


def load_parts(plan: Plan, refs: Iterable[Ref], name: str) -> list[np.ndarray]:
    """Return an array of every shard, memory-mapped."""
    return [np.load(folder(plan, ref) / f"{name}.npy", mmap_mode="r") for ref in refs]


def sweep(plan: Plan, *after: Any) -> None:
    """Remove what the run made for or of shards, when all that was made of that is there.

    What workers that died left half-written goes too; the caller holds the store's lock.
    """
    for path in leftovers(plan.store.path):
        with suppress(OSError):
            remove(path)
    artifacts = plan.store.artifacts
    for kind in PARTS:
        for path in sorted((artifacts.root / kind).glob("[0-9a-f]*")):
            with suppress(StoreError, CorruptArtifactError):
                if artifacts.made_by(kind, path.name).get("run") == plan.run_id:
                    artifacts.discard(kind, path.name)


def save_all(out: Path, **arrays: np.ndarray) -> None:
    """Write arrays into a folder."""
    for name, array in arrays.items():
        np.save(out / f"{name}.npy", array)


def spread(call: Any, stage: Any, plan: Plan, work: Work | None, *args: Any) -> tuple[Any, ...]:
    """Call or submit `stage(plan, work, place, *args)` for every shard."""
    if work is None:
        return ()
    return tuple(
        itertools.starmap(call, [(stage, plan, work, i, *args) for i in range(work.shards)])
    )
