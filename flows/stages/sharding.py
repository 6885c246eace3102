"""Stages that are spread over a cluster: cut into shards, each with an artifact of its own.

A shard is some seconds of work. What a stage makes of its shards is the artifact that it would have
made in one piece, to the byte; the shards' own go when it is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from assay.flows.config.curation import CLUSTERS
from assay.flows.stages.artifacts import contents_of, folder, make_stage, taken
from assay.flows.stages.calls import Call
from assay.flows.stages.refs import Outputs, Ref
from assay.flows.stages.run import Run
from assay.flows.stages.stage import Stage
from assay.storage.disk.atomic import remove
from assay.storage.disk.pages import open_mapped
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


def is_sharded(run: Run) -> bool:
    """Say whether the run's stages are to be cut into shards."""
    return run.config.engine != "process"


def own_threads(run: Run) -> int | None:
    """Return how many threads a shard may use (None: all cores); on a cluster others run beside."""
    return 1 if run.config.engine in CLUSTERS else None


def shard_count(run: Run, rows: int) -> int:
    """Return how many shards a number of rows needs."""
    return -(-rows // run.config.shard_rows)


def shard(run: Run, place: int, rows: int) -> slice:
    """Return the rows of a shard."""
    size = run.config.shard_rows
    return slice(place * size, min(rows, (place + 1) * size))


def cut(run: Run, stage: Stage, target: Ref, keys: np.ndarray) -> Work | None:
    """Note the rows that a stage must work through; None where one shard holds them all."""
    count = shard_count(run, len(keys))
    if count < 2:
        return None
    digest = hashlib.blake2b(keys.astype(np.int64).tobytes(), digest_size=16).hexdigest()
    ref = Ref("shards", fingerprint(target, digest))
    make_stage(run, stage, ref, lambda out: np.save(out / "keys.npy", keys))
    return Work(target, ref, count)


def is_made(run: Run, target: Ref) -> bool:
    """Return whether the result of the shards exists, so that they are no longer needed."""
    return run.store.artifacts.exists(*target)


def keys_of(run: Run, work: Work, place: int) -> np.ndarray:
    """Return the keys of the rows of a shard."""
    keys = open_mapped(folder(run, work.keys) / "keys.npy")
    return np.array(keys[shard(run, place, len(keys))])


def contents_of_shard(run: Run, keys: np.ndarray, progress: Any) -> Iterator[Any]:
    """Yield the content of a shard's rows, in batches; rows far from them are not read."""
    if run.read_pool().n_rows is None:
        batches = contents_of(run, keys, progress)
        left = len(keys)
        for batch in batches:
            yield batch
            left -= len(batch)
            if not left:
                return
        return
    for start in range(0, len(keys), _TAKEN):
        part = keys[start : start + _TAKEN]
        yield taken(run, part)
        progress.advance(len(part))


def load_parts(run: Run, refs: Iterable[Ref], name: str) -> list[np.ndarray]:
    """Return an array of every shard, memory-mapped."""
    return [open_mapped(folder(run, ref) / f"{name}.npy") for ref in refs]


def sweep(run: Run, outputs: Outputs) -> None:
    """Remove the run's shard artifacts once everything built from them (`outputs`) exists.

    Remove what dead workers left half-written too; the caller holds the store's lock.
    """
    for path in leftovers(run.store.path):
        with suppress(OSError):
            remove(path)
    artifacts = run.store.artifacts
    for kind in PARTS:
        for path in sorted((artifacts.root / kind).glob("[0-9a-f]*")):
            with suppress(StoreError, CorruptArtifactError):
                if artifacts.made_by(kind, path.name).get("run") == run.run_id:
                    artifacts.discard(kind, path.name)


def save_all(out: Path, **arrays: np.ndarray) -> None:
    """Write arrays into a folder."""
    for name, array in arrays.items():
        np.save(out / f"{name}.npy", array)


def spread(call: Call, stage: Stage, run: Run, work: Work | None, *args: Any) -> Any:
    """Call or submit `stage(run, work, place, *args)` for every shard."""
    return call.spread(stage, run, work, 0 if work is None else work.shards, *args)
