"""Content in the form that a method takes: texts, their stored n-grams, the target's vectors."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.flows.config.had import read_ids
from assay.flows.progress import logger, step
from assay.flows.stages.artifacts import (
    content_digests,
    contents_of,
    folder,
    has_content,
    make_stage,
    usable,
)
from assay.flows.stages.changes import Changes, load_changes
from assay.flows.stages.embedding import load_embedder
from assay.flows.stages.generations import usable_parent
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import Run
from assay.flows.stages.sharding import (
    Work,
    contents_of_shard,
    cut,
    is_made,
    keys_of,
    own_threads,
)
from assay.flows.stages.stage import HASH
from assay.selection import registry
from assay.storage import Pool
from assay.storage.errors import IdError, InputError
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.names import SAMPLE_NAMES, stored_name


def hash_texts(
    run: Run,
    samples: Ref,
    changes: Ref | None,
    parts: Mapping[str, Sequence[Ref]] = MappingProxyType({}),
) -> dict[str, Ref]:
    """Hash the n-grams of the pool's texts, as the run's methods want them.

    Returns the streams, for whatever target and budget comes, by the names of the methods. `parts`
    are the shards that were hashed, by method, where there are any.
    """
    return {
        name: _stream(run, method.hasher(), method.threads, samples, changes, parts.get(name, ()))
        for name, method in _hashing(run).items()
    }


def split_texts(run: Run, samples: Ref, changes: Ref | None) -> dict[str, Work]:
    """Cut the rows to hash into shards, by method; methods with one shard are left out."""
    works: dict[str, Work] = {}
    targets = set()
    for name, method in _hashing(run).items():
        _, ref = _stream_ref(run, run.pool_fingerprint, method.hasher())
        if ref in targets or run.store.artifacts.intact(*ref):
            continue
        targets.add(ref)
        change, _ = _changes(run, method.hasher(), changes)
        rows = len(has_content(run, samples))
        keys = np.arange(rows) if change is None else np.flatnonzero(change.keys < 0)
        work = cut(run, HASH, ref, keys)
        if work is not None:
            works[name] = work
    return works


def hash_shard(run: Run, work: Work, place: int, samples: Ref, method: str) -> Ref:
    """Hash the texts of a shard; they are known by their hashes."""
    if is_made(run, work.target):
        return work.target
    from assay.index.ngrams.stream import BucketStream
    from assay.index.threads import thread_count

    hasher = _hashing(run)[method].hasher()
    keys = keys_of(run, work, place)
    hashes = content_digests(run, samples, keys).to_list()
    content = fingerprint(HASH.revision, hashes)
    ref = Ref("bucket_stream_part", BucketStream.fingerprint_of(content, hasher))

    def make(out: Path) -> None:
        count = thread_count(own_threads(run))
        with step(f"hash {place + 1}/{work.shards}", len(keys)) as progress:
            texts = contents_of_shard(run, keys, progress)
            BucketStream.write(out, texts, hasher, threads=count, content=content)

    return make_stage(run, HASH, ref, make, f"{place + 1}/{work.shards}")


def _hashing(run: Run) -> dict[str, Any]:
    if run.kind != "text":
        return {}
    return {name: method for name, method in _methods(run).items() if _hashes(method)}


def _changes(run: Run, hasher: Any, changes: Ref | None) -> tuple[Changes | None, Ref | None]:
    """Return what has changed since the parent, and its stream, if that can be built upon."""
    change = load_changes(run, changes)
    if run.parent and change:
        _, earlier = _stream_ref(run, run.parent.pool_fingerprint, hasher)
        if usable_parent(run.store, HASH, earlier):
            return change, earlier
    return None, None


def _methods(run: Run) -> dict[str, Any]:
    """Return the methods of the run that take texts."""
    scorers = [name for name in run.scores if name not in run.config.expressions]
    methods: dict[str, Any] = {}
    for name in scorers:
        entry = registry.entry(name, "scorer")
        if "texts" in {*entry.needs, *entry.uses} and "log" not in entry.needs:
            methods[name] = registry.get(name, "scorer")(**run.config.score_options.get(name, {}))
    if "texts" in registry.entry(run.select, "selector").needs:
        make = registry.get(run.select, "selector")
        methods[run.select] = make(budget=1, **run.config.options)
    return methods


def _hashes(method: Any) -> bool:
    return bool(method.has_hasher) and not method.embedding


def _stream_ref(run: Run, pool: str, hasher: Any) -> tuple[str, Ref]:
    from assay.index.ngrams.stream import BucketStream

    written = run.config.writing()
    address = fingerprint(HASH.revision, pool, run.content, *([written] if written else []))
    return address, Ref("bucket_stream", BucketStream.fingerprint_of(address, hasher))


def _stream(
    run: Run,
    hasher: Any,
    threads: int | None,
    samples: Ref,
    changes: Ref | None,
    parts: Sequence[Ref],
) -> Ref:
    """Hash every row's text; hashes of the parent are copied."""
    content, ref = _stream_ref(run, run.pool_fingerprint, hasher)

    def make(out: Path) -> None:
        from assay.index.ngrams.stream import BucketStream
        from assay.index.ngrams.updates import join_streams, write_stream, write_updated
        from assay.index.threads import thread_count

        count = thread_count(threads)
        change, earlier = _changes(run, hasher, changes)
        texts: Any = None
        hashed = [BucketStream.load(folder(run, part)) for part in parts if part != ref]
        if hashed:
            texts = join_streams(hashed)
            new = change.keys < 0 if change else np.ones(len(has_content(run, samples)), bool)
            if len(texts) != int(new.sum()):
                texts = None  # the parent's stream has gone or come since the work was cut
        with step("hash", None):
            if change and earlier:
                before = BucketStream.load(folder(run, earlier))
                if texts is None:
                    texts = contents_of(run, np.flatnonzero(change.keys < 0))
                write_updated(out, before, change.keys, texts, threads=count, content=content)
            elif texts is not None:
                write_stream(out, texts, content=content)
            else:
                texts = run.read_pool().batches()
                BucketStream.write(out, texts, hasher, threads=count, content=content)

    return make_stage(run, HASH, ref, make)


def texts_of(run: Run, keep: np.ndarray, stream: Ref | None) -> Any:
    """Return the texts of the rows to keep, as their stored n-grams if available."""
    if stream is None:
        return run.read_pool().contents().filter(pa.array(keep))
    from assay.index.ngrams.stream import BucketStream

    return BucketStream.load(folder(run, stream)).select(np.flatnonzero(keep))


def target_of(run: Run, vectors: Ref, needs: Collection[str]) -> Any:
    """Return the target's texts if needed and available, else its vectors."""
    if run.kind == "text" and "texts" in needs:
        return run.read_target().contents()
    return target_vectors(run, vectors)


def target_vectors(run: Run, vectors: Ref) -> np.ndarray:
    """Return the vectors of the target's usable rows, by the pool's embedder."""
    return vectors_of(run, vectors, run.read_target())


def vectors_of(run: Run, vectors: Ref, other: Pool) -> np.ndarray:
    """Return the vectors of another set's usable rows, by the pool's embedder.

    Raises
    ------
    InputError
        The set holds images, none of which can be decoded.
    """
    keep = other.samples()["problem"].is_null().to_numpy()
    if run.kind == "vector":
        return np.asarray(other.vectors()[keep])
    embedder = load_embedder(run)
    encoded: np.ndarray = embedder.encode(other.contents().filter(pa.array(keep)))
    if run.kind == "image":
        encoded = np.delete(encoded, embedder.undecodable_, axis=0)
        if not len(encoded):
            raise InputError(f"None of the images of the {other.name} can be decoded.")
    return encoded


def columns_of(run: Run, frame: pl.DataFrame, named: Sequence[str]) -> pl.DataFrame:
    """Return the named columns of the pool for its usable rows.

    A column has the same type whether the run keeps it or not.
    """
    rows = usable(frame)
    columns = {n: rows.get_column(stored_name(n)) for n in named if n in run.config.keep}
    more = [name for name in named if name not in columns]
    if more:
        typed = run.read_pool().typed_columns(more)[rows["key"].to_numpy()]
        columns |= {name: typed.get_column(name) for name in more}
    return pl.DataFrame({name: columns[name] for name in named})


def facts_of(frame: pl.DataFrame) -> pl.DataFrame:
    """Return what a run knows of the usable rows besides their content and kept columns."""
    return usable(frame).select(SAMPLE_NAMES)


def covered_ids(run: Run, frame: pl.DataFrame) -> list[str]:
    """Return the ids of the usable rows that a list or a file covers.

    A list may name rows of the pool alone; a file of ids may be older than the pool.
    """
    covered = run.config.plan.covered
    if isinstance(covered, str):
        ids = read_ids(covered, run.config.id)
        unknown = int((~ids.is_in(frame["sample_id"].implode())).sum())
        if len(ids) and unknown == len(ids):
            raise IdError(
                f"None of the {len(ids)} ids of {covered} is in the pool, such as "
                f"{ids.sort()[0]!r}; give the ids of the pool's rows."
            )
        if unknown:
            logger.info("%s of the %s covered ids are not in the pool", unknown, len(ids))
    else:
        ids = pl.Series("sample_id", covered, dtype=pl.String)
        strange = ids.filter(~ids.is_in(frame["sample_id"].implode()))
        if len(strange):
            raise IdError(
                f"covered names {len(strange)} ids that the pool does not have, such as "
                f"{strange.sort()[0]!r}; leave them out."
            )
    rows = usable(frame)
    return rows.filter(pl.col("sample_id").is_in(ids.implode()))["sample_id"].to_list()
