"""The stages that turn content into vectors; what was encoded before is looked up."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from assay.flows.progress import logger, step
from assay.flows.stages.artifacts import (
    contents_of,
    embed_ref,
    folder,
    load_samples,
    make_stage,
    sampled,
    taken,
    usable,
)
from assay.flows.stages.changes import Changes, load_changes
from assay.flows.stages.drift import write_reference
from assay.flows.stages.generations import embedder_ref, usable_parent
from assay.flows.stages.plan import Plan, make_model
from assay.flows.stages.refs import Ref
from assay.flows.stages.revisions import REVISIONS
from assay.flows.stages.sharding import (
    Work,
    content_hashes,
    contents_of_shard,
    cut,
    is_made,
    keys_of,
    load_parts,
    save_all,
)
from assay.storage.disk.refusals import reserve
from assay.storage.errors import CorruptArtifactError, InputError
from assay.storage.hashing.fingerprints import fingerprint

# file that says which model made the vectors beside it
_MODEL = "model.json"
_BLOCK = 65_536


def fit(plan: Plan, samples: Ref) -> Ref | None:
    """Fit the embedder that begins a generation; None where there is nothing to fit."""
    if not plan.fits:
        return None

    def make(out: Path) -> None:
        from assay.index.embedding.embedders import embedder_class

        if plan.frozen:
            # what it was fitted on is gone
            raise CorruptArtifactError(
                f"The embedder of generation {plan.generation} was damaged while the run was under "
                "way. Run the same command again: it begins a new generation."
            )
        settings = plan.config.embedding.deciding(plan.kind)
        rows = usable(load_samples(plan, samples))
        with step("fit", None):
            # the rows that the embedder would pick itself, so that only they are held in memory
            order = sampled(plan, rows["sample_id"], settings["fit_rows"])
            picked = np.sort(order)
            content = taken(plan, rows["key"].to_numpy()[picked])
            embedder = embedder_class(plan.kind)(random_state=plan.config.seed, **settings)
            embedder.fit(content, ids=rows["sample_id"][picked])
            embedder.save(out)
            place = np.searchsorted(picked, order)
            vectors = embedder.encode(content)
            if plan.kind == "image":
                place = place[~np.isin(place, embedder.undecodable_)]
            write_reference(out, vectors[place])

    return make_stage(plan, "fit", embedder_ref(plan.generation), make)


def load_embedder(plan: Plan) -> Any:
    """Return the embedder of the plan: that of its generation, or what calls its model."""
    from assay.index.embedding.embedders import embedder_class

    if not plan.fits:
        return make_model(plan.config, plan.kind)
    return embedder_class(plan.kind).load(folder(plan, embedder_ref(plan.generation)))


class _Room(NamedTuple):
    """Where the vector of every usable row is to come from.

    Attributes
    ----------
    keys : int64[n]
        The usable rows.
    before : int32[n]
        The parent's row of the same content; -1: none.
    hashes : Series of length m
        The contents of the other rows.
    first : int64[c]
        The first row of each of them, a slot each.
    known : list of (folder, slots, rows)
        Vectors of earlier runs.
    slots : int64[w]
        The slots that are left: they are encoded.
    """

    keys: np.ndarray
    before: np.ndarray
    hashes: pl.Series
    first: np.ndarray
    known: list[tuple[Path, np.ndarray, np.ndarray]]
    slots: np.ndarray

    @property
    def wanted(self) -> np.ndarray:
        """The rows whose content is to be encoded."""
        left = np.flatnonzero(self.before < 0)
        return np.asarray(self.keys[left[self.first[self.slots]]])


def _find(plan: Plan, frame: pl.DataFrame, keep: np.ndarray, changes: Changes | None) -> _Room:
    from assay.index.embedding.cache import new_rows

    keys = np.flatnonzero(keep)
    before = np.full(len(keys), -1, np.int32)
    if plan.parent and changes and usable_parent(plan.store, "embed", plan.parent.vectors):
        before = changes.contents[keys]
    hashes = frame["content_hash"].gather(keys[before < 0])
    first = new_rows(hashes)
    return _Room(keys, before, hashes, first, *_known(plan, hashes[first]))


def split(plan: Plan, samples: Ref, changes: Ref | None) -> Work | None:
    """Cut what is to be encoded into shards; None where there is no more than one."""
    ref = embed_ref(plan)
    if plan.kind == "vector" or plan.store.artifacts.intact(*ref):
        return None
    frame = load_samples(plan, samples)
    keep = frame["problem"].is_null().to_numpy()
    wanted = _find(plan, frame, keep, load_changes(plan, changes)).wanted
    return cut(plan, "embed", ref, wanted)


def encode(plan: Plan, work: Work, place: int, samples: Ref, model: Ref | None) -> Ref:
    """Encode the contents of a shard; they are known by their hashes."""
    if is_made(plan, work.target):
        return work.target
    keys = keys_of(plan, work, place)
    made_by = plan.embedder_fingerprint or model
    hashes = content_hashes(plan, samples, keys).to_list()
    ref = Ref("encoded", fingerprint(REVISIONS["embed"], plan.kind, made_by, hashes))

    def make(out: Path) -> None:
        embedder = load_embedder(plan)
        found, broken, done = [], [np.empty(0, np.int64)], 0
        with step(f"embed {place + 1}/{work.shards}", len(keys)) as progress:
            for chosen in contents_of_shard(plan, keys, progress):
                found.append(embedder.encode(chosen))
                if plan.kind == "image":
                    broken.append(done + embedder.undecodable_)
                done += len(chosen)
        save_all(out, vectors=np.concatenate(found), broken=np.concatenate(broken))

    return make_stage(plan, "embed", ref, make, f"{place + 1}/{work.shards}")


def embed(
    plan: Plan,
    samples: Ref,
    changes: Ref | None,
    model: Ref | None,
    parts: Sequence[Ref] = (),
) -> Ref:
    """Turn the content of every usable row into a vector; what the parent encoded is taken over.

    `parts` are the shards that were encoded, where there are any.
    """
    ref = embed_ref(plan)

    def make(out: Path) -> None:
        frame = load_samples(plan, samples)
        keep = frame["problem"].is_null().to_numpy()
        with step("embed", int(keep.sum())) as progress:
            if plan.kind == "vector":
                vectors = plan.read_pool().vectors()[keep]
                np.save(out / "vectors.npy", vectors)
                progress.advance(len(vectors))
                return
            room = _find(plan, frame, keep, load_changes(plan, changes))
            _encode(plan, room, [part for part in parts if part != ref], out, progress)
        if plan.embedder_fingerprint is not None:
            hashes = frame["content_hash"].filter(pl.Series(keep))
            hashes.alias("hash").to_frame().write_parquet(out / "content.parquet")
            (out / _MODEL).write_text(json.dumps(plan.embedder_fingerprint))

    return make_stage(plan, "embed", ref, make)


def _encode(plan: Plan, room: _Room, parts: Sequence[Ref], out: Path, progress: Any) -> None:
    """Encode every new content once, and write a vector per usable row.

    Rows that can't be decoded are written into `undecodable.npy` by their key, without a vector.
    """
    from assay.index.embedding.cache import find_rows

    keys, before, slots = room.keys, room.before, room.slots
    parent = None
    if plan.parent and (before >= 0).any():
        parent = np.load(folder(plan, plan.parent.vectors) / "vectors.npy", mmap_mode="r")
    _say(len(keys), len(slots))
    encoded, broken = _fill(plan, room, parts, out, progress)
    place = np.full(len(keys), -1)
    place[before < 0] = find_rows(room.hashes, room.hashes[room.first])
    if plan.kind == "image":
        lost = np.isin(place, slots[broken])
        np.save(out / "undecodable.npy", keys[lost].astype(np.int32))
        before, place = before[~lost], place[~lost]
        if not len(place):
            raise InputError("None of the images can be decoded.")
    if encoded is not None and np.array_equal(place, np.arange(len(encoded))):
        encoded.flush()
        (out / "encoded.npy").rename(out / "vectors.npy")
        return
    source = encoded if parent is None else parent
    assert source is not None  # a usable row is known, or was encoded
    vectors = _room(out / "vectors.npy", len(place), source.shape[1])
    for start in range(0, len(place), _BLOCK):
        part = slice(start, start + _BLOCK)
        old = before[part] >= 0
        if parent is not None:
            vectors[part][old] = parent[before[part][old]]
        if encoded is not None:
            vectors[part][~old] = encoded[place[part][~old]]
    vectors.flush()
    (out / "encoded.npy").unlink(missing_ok=True)


def _say(rows: int, new: int) -> None:
    if new < rows:
        logger.info("embed: %s of %s contents are new", f"{new:,}", f"{rows:,}")


def _fill(
    plan: Plan, room: _Room, parts: Sequence[Ref], out: Path, progress: Any
) -> tuple[np.memmap[Any, Any] | None, np.ndarray]:
    """Return the vectors of the contents, known and new, and which of the new ones are broken."""
    encoded: np.memmap[Any, Any] | None = None
    for there, slots, rows in room.known:
        vectors = np.load(there / "vectors.npy", mmap_mode="r")
        if encoded is None:
            encoded = _room(out / "encoded.npy", len(room.first), vectors.shape[1])
        encoded[slots] = vectors[rows]
    broken: list[np.ndarray] = [np.empty(0, np.int64)]
    done = 0
    for vectors, lost in _new(plan, room.wanted, parts, progress):
        if encoded is None:
            encoded = _room(out / "encoded.npy", len(room.first), vectors.shape[1])
        encoded[room.slots[done : done + len(vectors)]] = vectors
        broken.append(done + lost)
        done += len(vectors)
    return encoded, np.concatenate(broken)


def _new(
    plan: Plan, wanted: np.ndarray, parts: Sequence[Ref], progress: Any
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the vectors of the rows `wanted`, and which can't be decoded, a batch at a time."""
    shards = (load_parts(plan, parts, "vectors"), load_parts(plan, parts, "broken"))
    # what was known when the work was cut may be gone, or the other way round
    if parts and sum(map(len, shards[0])) == len(wanted):
        yield from zip(*shards, strict=True)
        return
    if not len(wanted):
        return
    embedder = load_embedder(plan)
    for chosen in contents_of(plan, wanted, progress):
        vectors = embedder.encode(chosen)
        yield vectors, embedder.undecodable_ if plan.kind == "image" else np.empty(0, np.int64)


def _room(path: Path, rows: int, dimensions: int) -> np.memmap[Any, Any]:
    shape = (rows, dimensions)
    room = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    reserve(path)
    return room


def _known(
    plan: Plan, hashes: pl.Series
) -> tuple[list[tuple[Path, np.ndarray, np.ndarray]], np.ndarray]:
    """Return where the vectors of `hashes` are among those of earlier runs, and which are nowhere.

    Only a model's vectors are looked up beyond the parent's: a call of a model is dear.
    """
    from assay.index.embedding.cache import find_rows

    left = np.arange(len(hashes))
    known: list[tuple[Path, np.ndarray, np.ndarray]] = []
    for there in _earlier(plan) if len(left) else ():
        at = find_rows(hashes[left], pl.read_parquet(there / "content.parquet")["hash"])
        found = at >= 0
        if not found.any():
            continue
        known.append((there, left[found], at[found]))
        left = left[~found]
        if not len(left):
            break
    return known, left


def _earlier(plan: Plan) -> Iterator[Path]:
    """Yield the folders of vectors that the same model made, verified, the newest first."""
    if plan.embedder_fingerprint is None:
        return
    artifacts = plan.store.artifacts
    folders = [p for p in (artifacts.root / "vectors").glob("*") if (p / _MODEL).is_file()]
    for there in sorted(folders, key=lambda p: (-p.stat().st_mtime_ns, p.name)):
        try:
            if json.loads((there / _MODEL).read_text()) == plan.embedder_fingerprint:
                yield artifacts.open("vectors", there.name)
        except (CorruptArtifactError, OSError, ValueError):
            continue
