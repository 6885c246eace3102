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
    content_digests,
    content_hashes,
    contents_of,
    embed_ref,
    folder,
    has_content,
    load_samples,
    make_stage,
    sampled,
    taken,
    usable,
)
from assay.flows.stages.changes import Changes, load_changes
from assay.flows.stages.drift import write_reference
from assay.flows.stages.generations import embedder_ref, usable_parent
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import Run, make_model
from assay.flows.stages.sharding import (
    Work,
    contents_of_shard,
    cut,
    is_made,
    keys_of,
    load_parts,
    save_all,
)
from assay.flows.stages.stage import EMBED, FIT
from assay.index.vectors.stored import read_vectors, storage_of, store_vectors
from assay.storage.disk.pages import mapping, new_mapped, release
from assay.storage.errors import CorruptArtifactError, InputError
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.hashing.rows import read_digests

# file that says which model made the vectors beside it
_MODEL = "model.json"
_BLOCK = 65_536


def fit(run: Run, samples: Ref) -> Ref | None:
    """Fit the embedder that begins a generation; None where there is nothing to fit."""
    if not run.fits:
        return None

    def make(out: Path) -> None:
        from assay.index.embedding.embedders import embedder_class

        if run.frozen:
            # what it was fitted on is gone
            raise CorruptArtifactError(
                f"The embedder of generation {run.generation} was damaged while the run was under "
                "way. Run the same command again: it begins a new generation."
            )
        settings = run.config.embedding.deciding(run.kind)
        rows = usable(load_samples(run, samples, ["sample_id", "problem"]))
        with step("fit", None):
            # the rows that the embedder would pick itself, so that only they are held in memory
            order = sampled(run, rows["sample_id"], settings["fit_rows"])
            picked = np.sort(order)
            content = taken(run, rows["key"].to_numpy()[picked])
            embedder = embedder_class(run.kind)(random_state=run.config.seed, **settings)
            embedder.fit(content, ids=rows["sample_id"][picked])
            embedder.save(out)
            place = np.searchsorted(picked, order)
            vectors = embedder.encode(content)
            if run.kind == "image":
                place = place[~np.isin(place, embedder.undecodable_)]
            write_reference(out, vectors[place])

    return make_stage(run, FIT, embedder_ref(run.generation), make)


def load_embedder(run: Run) -> Any:
    """Return the embedder of the run: that of its generation, or what calls its model."""
    from assay.index.embedding.embedders import embedder_class

    if not run.fits:
        return make_model(run.config, run.kind)
    return embedder_class(run.kind).load(folder(run, embedder_ref(run.generation)))


class _Room(NamedTuple):
    """Where the vector of every usable row is to come from.

    Attributes
    ----------
    keys : int64[n]
        The usable rows.
    before : int32[n]
        The parent's row of the same content; -1: none.
    slot : int32[m]
        The content of each of the other rows: its slot.
    first : int64[c]
        The first of these rows of each slot.
    known : list of (folder, slots, rows)
        Vectors of earlier runs.
    slots : int64[w]
        The slots that are left: they are encoded.
    """

    keys: np.ndarray
    before: np.ndarray
    slot: np.ndarray
    first: np.ndarray
    known: list[tuple[Path, np.ndarray, np.ndarray]]
    slots: np.ndarray

    @property
    def wanted(self) -> np.ndarray:
        """The rows whose content is to be encoded."""
        left = np.flatnonzero(self.before < 0)
        return np.asarray(self.keys[left[self.first[self.slots]]])


def _find(run: Run, samples: Ref, keep: np.ndarray, changes: Changes | None) -> _Room:
    from assay.index.embedding.cache import number_contents

    keys = np.flatnonzero(keep)
    before = np.full(len(keys), -1, np.int32)
    parent = run.parent
    if (
        parent
        and changes
        and usable_parent(run.store, EMBED, parent.vectors)
        and _serves(run, folder(run, parent.vectors))
    ):
        before = changes.contents[keys]
    hashes = content_hashes(run, samples, keys[before < 0])
    first, slot = number_contents(hashes)
    return _Room(keys, before, slot, first, *_known(run, hashes, first))


def _serves(run: Run, there: Path) -> bool:
    """Return whether vectors are stored as this run's will be, or as they were made."""
    return storage_of(there) in ("float32", run.config.embedding.storage)


def split(run: Run, samples: Ref, changes: Ref | None) -> Work | None:
    """Cut what is to be encoded into shards; None where there is no more than one."""
    ref = embed_ref(run)
    if run.kind == "vector" or run.store.artifacts.intact(*ref):
        return None
    keep = has_content(run, samples)
    wanted = _find(run, samples, keep, load_changes(run, changes)).wanted
    return cut(run, EMBED, ref, wanted)


def encode(run: Run, work: Work, place: int, samples: Ref, model: Ref | None) -> Ref:
    """Encode the contents of a shard; they are known by their hashes."""
    if is_made(run, work.target):
        return work.target
    keys = keys_of(run, work, place)
    made_by = run.embedder_fingerprint or model
    hashes = content_digests(run, samples, keys).to_list()
    ref = Ref("encoded", fingerprint(EMBED.revision, run.kind, made_by, hashes))

    def make(out: Path) -> None:
        embedder = load_embedder(run)
        found, broken, done = [], [np.empty(0, np.int64)], 0
        with step(f"embed {place + 1}/{work.shards}", len(keys)) as progress:
            for chosen in contents_of_shard(run, keys, progress):
                found.append(embedder.encode(chosen))
                if run.kind == "image":
                    broken.append(done + embedder.undecodable_)
                done += len(chosen)
        save_all(out, vectors=np.concatenate(found), broken=np.concatenate(broken))

    return make_stage(run, EMBED, ref, make, f"{place + 1}/{work.shards}")


def embed(
    run: Run,
    samples: Ref,
    changes: Ref | None,
    model: Ref | None,
    parts: Sequence[Ref] = (),
) -> Ref:
    """Turn the content of every usable row into a vector; what the parent encoded is taken over.

    `parts` are the shards that were encoded, where there are any.
    """
    ref = embed_ref(run)

    def make(out: Path) -> None:
        keep = has_content(run, samples)
        with step("embed", int(keep.sum())) as progress:
            if run.kind == "vector":
                vectors = run.read_pool().vectors()[keep]
                np.save(out / "vectors.npy", vectors)
                store_vectors(out, run.config.embedding.storage)
                progress.advance(len(vectors))
                return
            room = _find(run, samples, keep, load_changes(run, changes))
            _encode(run, room, [part for part in parts if part != ref], out, progress)
        store_vectors(out, run.config.embedding.storage)
        if run.embedder_fingerprint is not None:
            hashes = content_digests(run, samples, np.flatnonzero(keep))
            hashes.alias("hash").to_frame().write_parquet(out / "content.parquet")
            (out / _MODEL).write_text(json.dumps(run.embedder_fingerprint))

    return make_stage(run, EMBED, ref, make)


def _encode(run: Run, room: _Room, parts: Sequence[Ref], out: Path, progress: Any) -> None:
    """Encode every new content once, and write a vector per usable row.

    Rows that can't be decoded are written into `undecodable.npy` by their key, without a vector.
    """
    keys, before, slots = room.keys, room.before, room.slots
    parent = None
    if run.parent and (before >= 0).any():
        parent = read_vectors(folder(run, run.parent.vectors))
    _say(len(keys), len(slots))
    encoded, broken = _fill(run, room, parts, out, progress)
    place = np.full(len(keys), -1, np.int32)
    place[before < 0] = room.slot
    if run.kind == "image":
        lost = np.isin(place, slots[broken])
        np.save(out / "undecodable.npy", keys[lost].astype(np.int32))
        before, place = before[~lost], place[~lost]
        if not len(place):
            raise InputError("None of the images can be decoded.")
    if encoded is not None and np.array_equal(place, np.arange(len(encoded), dtype=np.int32)):
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
        for mapped in (vectors, encoded, mapping(source)):
            release(mapped)
    vectors.flush()
    (out / "encoded.npy").unlink(missing_ok=True)


def _say(rows: int, new: int) -> None:
    if new < rows:
        logger.info("embed: %s of %s contents are new", f"{new:,}", f"{rows:,}")


def _fill(
    run: Run, room: _Room, parts: Sequence[Ref], out: Path, progress: Any
) -> tuple[np.memmap[Any, Any] | None, np.ndarray]:
    """Return the vectors of the contents, known and new, and which of the new ones are broken."""
    encoded: np.memmap[Any, Any] | None = None
    for known_folder, slots, rows in room.known:
        vectors = read_vectors(known_folder)
        if encoded is None:
            encoded = _room(out / "encoded.npy", len(room.first), vectors.shape[1])
        encoded[slots] = vectors[rows]
    broken: list[np.ndarray] = [np.empty(0, np.int64)]
    done = 0
    for vectors, lost in _new(run, room.wanted, parts, progress):
        if encoded is None:
            encoded = _room(out / "encoded.npy", len(room.first), vectors.shape[1])
        encoded[room.slots[done : done + len(vectors)]] = vectors
        release(encoded)
        release(mapping(vectors))
        broken.append(done + lost)
        done += len(vectors)
    return encoded, np.concatenate(broken)


def _new(
    run: Run, wanted: np.ndarray, parts: Sequence[Ref], progress: Any
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the vectors of the rows `wanted`, and which can't be decoded, a batch at a time."""
    shards = (load_parts(run, parts, "vectors"), load_parts(run, parts, "broken"))
    # what was known when the work was cut may be gone, or the other way round
    if parts and sum(map(len, shards[0])) == len(wanted):
        yield from zip(*shards, strict=True)
        return
    if not len(wanted):
        return
    embedder = load_embedder(run)
    for chosen in contents_of(run, wanted, progress):
        vectors = embedder.encode(chosen)
        yield vectors, embedder.undecodable_ if run.kind == "image" else np.empty(0, np.int64)


def _room(path: Path, rows: int, dimensions: int) -> np.memmap[Any, Any]:
    shape = (rows, dimensions)
    return new_mapped(path, np.float32, shape)


def _known(
    run: Run, hashes: np.ndarray, first: np.ndarray
) -> tuple[list[tuple[Path, np.ndarray, np.ndarray]], np.ndarray]:
    """Return where the vectors of contents are among those of earlier runs, and which are nowhere.

    `first` holds the first row of each. Only a model's vectors are looked up beyond the parent's: a
    call of a model is dear.
    """
    from assay.index.embedding.cache import find_rows

    left = np.arange(len(first))
    known: list[tuple[Path, np.ndarray, np.ndarray]] = []
    for earlier_folder in _earlier(run) if len(left) else ():
        earlier = read_digests(pl.read_parquet(earlier_folder / "content.parquet")["hash"])
        at = find_rows(hashes[first[left]], earlier)
        found = at >= 0
        if not found.any():
            continue
        known.append((earlier_folder, left[found], at[found]))
        left = left[~found]
        if not len(left):
            break
    return known, left


def _earlier(run: Run) -> Iterator[Path]:
    """Yield the folders of vectors that the same model made, verified, the newest first."""
    if run.embedder_fingerprint is None:
        return
    artifacts = run.store.artifacts
    folders = [p for p in (artifacts.root / "vectors").glob("*") if (p / _MODEL).is_file()]
    for candidate in sorted(folders, key=lambda p: (-p.stat().st_mtime_ns, p.name)):
        try:
            made_by = json.loads((candidate / _MODEL).read_text())
            if made_by == run.embedder_fingerprint and _serves(run, candidate):
                yield artifacts.open("vectors", candidate.name)
        except (CorruptArtifactError, OSError, ValueError):
            continue
