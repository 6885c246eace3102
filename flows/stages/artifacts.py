"""The stages of a curation run: plain functions over references, each leaving one artifact.

A stage takes the run and references to what it reads, and returns a reference to what it made: the
kind and fingerprint of an artifact in the store. Where the artifact is there already nothing is
computed, which is how a run that was killed goes on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from assay.flows.config.curation import CurationConfig
from assay.flows.config.labels import labels_fingerprint
from assay.flows.config.rules import check_budget
from assay.flows.progress import found, logger, step
from assay.flows.stages.generations import embedder_ref
from assay.flows.stages.memory import check_memory
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import Run, labels_of
from assay.flows.stages.run_info import run_info
from assay.flows.stages.stage import EMBED, READ, Stage
from assay.index.vectors.stored import read_vectors
from assay.selection import registry
from assay.storage import Pool, ScoreStore
from assay.storage.disk.parquet import write_frame
from assay.storage.errors import IdError, InputError
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.hashing.rows import hash_rows, read_digests, smallest_rows

# up to so many rows are taken out of the pool, without reading all of its content
_TAKEN = 16_384
# rows of the samples that are read at a time
_PART = 65_536
# smaller graphs are read into memory
_MAPPED = 2**26


def folder(run: Run, ref: Ref) -> Path:
    """Return the folder of an artifact, verified."""
    return run.store.artifacts.open(*ref)


def get_or_make(
    store: ScoreStore,
    stage: Stage,
    ref: Ref,
    make: Callable[[Path], None],
    *,
    run_id: str,
    label: str = "",
    **made_by: Any,
) -> Ref:
    """Make the artifact of a stage unless it is there; say which."""
    made_by |= {"stage": stage.name, "revision": stage.revision, "run": run_id}
    _, was_made = store.artifacts.get_or_make(*ref, make, **made_by)
    if not was_made:
        found(stage.labeled(label).title)
    return ref


def make_stage(
    run: Run,
    stage: Stage,
    ref: Ref,
    make: Callable[[Path], None],
    label: str = "",
    **made_by: Any,
) -> Ref:
    """Build the artifact of a stage of this run unless it exists."""
    return get_or_make(run.store, stage, ref, make, run_id=run.run_id, label=label, **made_by)


def read(run: Run, started_at: datetime) -> Ref:
    """Read every row's id, label, group, content hash and kept columns; check them.

    Nothing is written to the store before everything that can be wrong with the pool, the target
    and the budget has been looked at; then the run is noted as begun.
    """
    ref = Ref("samples", fingerprint(READ.revision, run.pool_fingerprint, run.config.roles()))
    store = run.store
    stored = store.artifacts.intact(*ref)
    with step("read"):
        # the labels that are kept apart may not be there yet
        held = folder(run, ref) / "samples.parquet" if stored else None
        frame = run.read_pool().samples() if held is None else pl.read_parquet(held)
        check(run, frame)
        store.begin(run_info(run, started_at, frame.height))
        keep_labels(run, frame)
        return make_stage(run, READ, ref, lambda out: write_frame(out / "samples.parquet", frame))


def check(run: Run, frame: pl.DataFrame) -> None:
    """Check the pool's content, the budget and the target."""
    if frame["problem"].is_not_null().all():
        raise InputError(
            f"The pool {run.config.pool} has no usable rows: all {frame.height} are without "
            f"content. Is {run.content!r} the right column?"
        )
    check_budget(run.config, frame.height)
    check_seeds(run.config.like, frame)
    check_labels(run.config, frame)
    dimensions = run.read_pool().dimension if run.kind == "vector" else None
    check_memory(run.config, run.kind, frame.height, dimensions)
    if run.config.target is not None:
        check_target(run.read_target(), run.config.target)


def check_seeds(seeds: Sequence[str], frame: pl.DataFrame) -> None:
    """Raise `IdError` if a row to be like is not in the pool, or is without content."""
    ids = usable(frame)["sample_id"].implode()
    wanted = pl.Series("like", list(seeds), dtype=pl.String).unique(maintain_order=True)
    unknown = wanted.filter(~wanted.is_in(ids))
    if len(unknown):
        raise IdError(
            f"`like` names {unknown[0]!r}, which is not the id of a row with content"
            f"{f', and {len(unknown) - 1} more' if len(unknown) > 1 else ''}. Name ids of the pool; "
            '`assay sql "select sample_id from latest_samples limit 5"` shows some of an earlier run.'
        )


def check_labels(config: CurationConfig, frame: pl.DataFrame) -> None:
    """Raise `InputError` where a method needs labels, and their column holds none."""
    if config.label is None or config.labels is not None or frame["label"].count():
        return
    entries = [registry.entry(str(config.select), "selector")]
    entries += [
        registry.entry(name, "scorer")
        for name in config.scores or ()
        if name not in config.expressions
    ]
    needing = [entry.name for entry in entries if "labels" in {*entry.needs, *entry.uses}]
    if needing and not config.next_wanted:
        raise InputError(
            f"The column of labels {config.label!r} holds no value in any row, and "
            f"{', '.join(needing)} would go by it. Leave --label (`label`) out, or name another column."
        )


def check_target(target: Pool, where: str) -> None:
    """Raise `InputError` where the target has no usable row."""
    rows = target.samples()
    if rows["problem"].is_not_null().all():
        raise InputError(
            f"The target has no usable rows: all {rows.height} of {where} are without content. "
            f"Name a target with content in the column {target.roles.content!r}."
        )


def load_samples(run: Run, samples: Ref, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Return the samples as they were read, with their key (row number) and problem (null: none).

    `columns` names those to read; by default all are.
    """
    path = folder(run, samples) / "samples.parquet"
    read = None if columns is None else list(columns)
    frame = pl.read_parquet(path, columns=read).with_row_index("key")
    frame = frame.with_columns(pl.col("key").cast(pl.Int32))
    labels = labels_ref(run)
    if labels is None or "label" not in frame.columns:
        return frame
    kept_apart = pl.read_parquet(folder(run, labels) / "labels.parquet")
    labeled = frame.drop("label").join(
        kept_apart, on="sample_id", how="left", maintain_order="left"
    )
    return labeled.select(frame.columns)


def sample_parts(
    run: Run, samples: Ref, columns: Sequence[str], rows: slice | None = None
) -> Iterator[pl.DataFrame]:
    """Yield columns of the samples as they were read, a part of the rows at a time, with their key.

    `rows` names those that are wanted: parts without any of them are not read. Labels that are kept
    apart are not looked at.
    """
    first, last = (0, None) if rows is None else (rows.start, rows.stop)
    with pq.ParquetFile(folder(run, samples) / "samples.parquet") as file:
        begin = 0
        for group in range(file.num_row_groups):
            end = begin + file.metadata.row_group(group).num_rows
            if first < end and (last is None or begin < last):
                for batch in file.iter_batches(_PART, [group], list(columns)):
                    part = pl.DataFrame(batch)
                    yield part.with_row_index("key", begin)
                    begin += part.height
            begin = end


def has_content(run: Run, samples: Ref, vectors: Ref | None = None) -> np.ndarray:
    """Return which of the samples have content: bool, one for each row.

    As they were read; with `vectors` images that can't be decoded have none.
    """
    mask = np.concatenate(
        [part["problem"].is_null().to_numpy() for part in sample_parts(run, samples, ["problem"])]
    )
    if vectors is not None and run.kind == "image":
        mask[np.load(folder(run, vectors) / "undecodable.npy")] = False
    return mask


def usable_ids(run: Run, samples: Ref, vectors: Ref) -> pl.Series:
    """Return the ids of the samples that have content, in their order."""
    mask = has_content(run, samples, vectors)
    path = folder(run, samples) / "samples.parquet"
    ids = pl.read_parquet(path, columns=["sample_id"])["sample_id"]
    return ids if mask.all() else ids.filter(pl.Series(mask))


def content_hashes(run: Run, samples: Ref, keys: np.ndarray) -> np.ndarray:
    """Return the hashes of the content of the rows of ascending keys, uint64[n, 2]."""
    hashes = np.empty((len(keys), 2), np.uint64)
    for part, digests in _digests(run, samples, keys):
        hashes[part] = read_digests(digests)
    return hashes


def content_digests(run: Run, samples: Ref, keys: np.ndarray) -> pl.Series:
    """Return the same hashes as text."""
    return pl.concat(
        [pl.Series("content_hash", [], pl.String)]
        + [digests for _, digests in _digests(run, samples, keys)]
    )


def _digests(run: Run, samples: Ref, keys: np.ndarray) -> Iterator[tuple[slice, pl.Series]]:
    """Yield the hashes of a part of the rows at a time, and which of the keys these are."""
    if not len(keys):
        return
    rows = slice(int(keys[0]), int(keys[-1]) + 1)
    for part in sample_parts(run, samples, ["content_hash"], rows):
        begin = int(part["key"][0])
        low, high = np.searchsorted(keys, (begin, begin + part.height))
        if low < high:
            yield slice(low, high), part["content_hash"].gather(keys[low:high] - begin)


def labels_ref(run: Run) -> Ref | None:
    """Return where the labels that are kept apart from the pool are; None where there are none."""
    made_of = run.labels_fingerprint
    return None if made_of is None else Ref("labels", fingerprint(READ.revision, made_of))


def keep_labels(run: Run, frame: pl.DataFrame) -> None:
    """Copy the labels that are kept apart into the store, so that the whole run sees the same ones.

    Raises
    ------
    InputError
        They have changed since the run was planned.
    IdError
        None of them is of a row of the pool.
    """
    ref = labels_ref(run)
    if ref is None or run.store.artifacts.intact(*ref):
        return
    labels = labels_of(run.config)
    where = run.config.labels
    if labels_fingerprint(labels) != run.labels_fingerprint:
        raise InputError(f"The labels in {where} changed while the run began; run it again.")
    known = labels["sample_id"].is_in(frame["sample_id"].implode())
    if labels.height and not known.any():
        raise IdError(
            f"None of the {labels.height} ids with a label in {where} is in the pool, such as "
            f"{labels['sample_id'][0]!r}; give the ids of the pool's rows."
        )
    logger.info(
        "%s rows of the pool have a label in %s; %s more labels are of other rows",
        f"{int(known.sum()):,}",
        where,
        f"{int((~known).sum()):,}",
    )
    make_stage(run, READ, ref, lambda out: labels.write_parquet(out / "labels.parquet"), "labels")


def load_rows(
    run: Run, samples: Ref, vectors: Ref, columns: Sequence[str] | None = None
) -> pl.DataFrame:
    """Return the samples after they were embedded: images that can't be decoded have a problem.

    `columns` is as for `load_samples`.
    """
    frame = load_samples(run, samples, columns)
    if run.kind != "image":
        return frame
    undecodable = np.load(folder(run, vectors) / "undecodable.npy")
    return frame.with_columns(
        problem=pl.when(pl.col("key").is_in(undecodable))
        .then(pl.lit("undecodable"))
        .otherwise("problem")
    )


def usable(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the samples that have content; everything computed is in their order."""
    if frame["problem"].null_count() == frame.height:
        return frame
    return frame.filter(pl.col("problem").is_null())


def sampled(run: Run, ids: pl.Series, count: int) -> np.ndarray:
    """Return the rows whose ids hash smallest, in that order: a sample that stays."""
    return smallest_rows(hash_rows(ids, salt=run.config.seed), count)


def contents_of(run: Run, keys: np.ndarray, progress: Any = None) -> Iterator[Any]:
    """Yield the content of the rows of the ascending `keys`, in batches."""
    done = progress.advance if progress else lambda rows: None
    if len(keys) <= _TAKEN and (run.read_pool().n_rows or 0) > len(keys):
        if len(keys):
            yield taken(run, keys)
            done(len(keys))
        return
    row = 0
    for batch in run.read_pool().batches():
        first, last = np.searchsorted(keys, [row, row + len(batch)])
        if last > first:
            yield batch.take(pa.array(keys[first:last] - row))
        done(last - first)
        row += len(batch)


def taken(run: Run, keys: np.ndarray) -> pl.Series:
    """Return the content of the rows of `keys`; they are held in memory at once."""
    order, place = np.unique(keys, return_inverse=True)
    return pl.Series(run.content, run.read_pool().contents_at(order))[place]


def embed_ref(run: Run) -> Ref:
    """Return where the vectors are or will be: labels and kept columns leave them as they are."""
    config = run.config
    made_by = run.embedder_fingerprint or (embedder_ref(run.generation) if run.fits else None)
    content: tuple[Any, ...] = (run.pool_fingerprint, run.kind, run.content, config.id)
    if written := config.writing():
        content += (written,)
    if config.embedding.storage != "float32":
        content += (("storage", config.embedding.storage),)
    return Ref("vectors", fingerprint(EMBED.revision, content, made_by))


def load_vectors(run: Run, vectors: Ref) -> np.ndarray:
    """Return the vectors of the usable rows, float32, in a mapped file where they are many."""
    return read_vectors(folder(run, vectors))


def load_graph(run: Run, ref: Ref, *, mapped: bool = False, ids: pl.Series | None = None) -> Any:
    """Return the similarity graph; with `mapped` a large one stays in its files.

    Where its ids are `ids`, it holds these, so that they are in memory once.
    """
    from assay.index import SimilarityGraph

    graph = folder(run, ref)
    size = sum(path.stat().st_size for path in graph.glob("*.npy"))
    loaded = SimilarityGraph.load(graph, mapped=mapped and size > _MAPPED)
    if ids is not None and loaded.sample_ids is not None and loaded.sample_ids.equals(ids):
        loaded.sample_ids = ids
    return loaded


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON; NumPy numbers become plain ones."""

    def plain(value: Any) -> Any:
        return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)

    path.write_text(json.dumps(report, default=plain))
