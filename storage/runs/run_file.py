"""Writing one finished run into one DuckDB file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl

from assay.storage.disk.atomic import atomic_path
from assay.storage.disk.boundaries import boundary
from assay.storage.errors import StoreError
from assay.storage.names import KEY, SAMPLE_NAMES, VIEW_NAMES, fold
from assay.storage.runs.schema import LATER_RUN_COLUMNS, RUN_COLUMNS, TABLES, identifier

# every DuckDB since 1.2 reads it; that of 2.0 no earlier one does
STORAGE_VERSION = "v1.2.0"
# rows that are handed to DuckDB at a time: one of its own groups
_PART = 122_880
_FIXED = frozenset(map(fold, (KEY, *VIEW_NAMES, *SAMPLE_NAMES)))


@dataclass(frozen=True)
class RunInfo:
    """Who and what a run is.

    `kind` is "curate", "features", "split", "map" or "shift"; `of_run` names the run that a split, a
    map or a shift belongs to. `ranked_by` names the score that its selection was made by.
    """

    run_id: str
    kind: str
    pool: str
    started_at: datetime
    n_samples: int
    seed: int
    generation: str
    config: Mapping[str, Any]
    versions: Mapping[str, Any]
    ranked_by: str | None = None
    pool_fingerprint: str = ""
    of_run: str | None = None


@dataclass
class RunTablesData:
    """The frames of one run.

    Attributes
    ----------
    samples : DataFrame
        One row per sample in the order of the pool: sample_id, source, row, label, group_id,
        content_hash, then the kept columns under their `stored_name`. Its row number is the key of the other frames.
    scores : dict of str to DataFrame
        Method -> columns key, score (rows without a score are left out).
    selections, decisions, feature_scores, metrics, ledger, intervals, leaks, duplicates, artifacts, map, splits, slices, shortcuts, shift : DataFrame
        Columns as in `assay.storage.runs.schema.TABLES`, with `key` where samples are meant. Decisions
        may be a LazyFrame, which is read a part at a time.
    """

    samples: pl.DataFrame | None = None
    scores: dict[str, pl.DataFrame] = field(default_factory=dict)
    selections: pl.DataFrame | None = None
    decisions: pl.DataFrame | pl.LazyFrame | None = None
    feature_scores: pl.DataFrame | None = None
    metrics: pl.DataFrame | None = None
    ledger: pl.DataFrame | None = None
    intervals: pl.DataFrame | None = None
    leaks: pl.DataFrame | None = None
    duplicates: pl.DataFrame | None = None
    artifacts: pl.DataFrame | None = None
    map: pl.DataFrame | None = None
    splits: pl.DataFrame | None = None
    slices: pl.DataFrame | None = None
    shortcuts: pl.DataFrame | None = None
    shift: pl.DataFrame | None = None


def write_run(path: Path, info: RunInfo, finished_at: datetime, data: RunTablesData) -> None:
    """Write the run to `path` atomically: the file exists only once it is complete.

    Raises
    ------
    StoreError
        If decisions or selections don't fit the samples, or DuckDB can't write.
    """
    _check(info, data)
    with atomic_path(path) as temporary:
        try:
            with duckdb.connect(
                str(temporary),
                config={"threads": 1, "storage_compatibility_version": STORAGE_VERSION},
            ) as con:
                con.begin()
                _fill(con, info, finished_at, data)
                con.commit()
                boundary("run filled", path)
                con.execute("CHECKPOINT")
                boundary("run checkpointed", path)
        except duckdb.Error as error:
            reason = " ".join(str(error).split())
            raise StoreError(f"The run {info.run_id} could not be written: {reason}") from error


def kept_columns(stored: Iterable[str]) -> list[str]:
    """Return, of the columns of a table of samples, those that were kept, as they are stored."""
    return [name for name in stored if fold(name) not in _FIXED]


def _check(info: RunInfo, data: RunTablesData) -> None:
    if data.samples is None:
        return
    n = data.samples.height
    decided = pl.DataFrame({"key": [], "selected": []})
    if data.decisions is not None:
        decided = data.decisions.lazy().select("key", "selected").collect()
    if decided["key"].n_unique() != n or decided.height != n:
        raise StoreError(
            f"The run {info.run_id} must hold exactly one decision for each of its {n} samples."
        )
    chosen = 0 if data.selections is None else data.selections.height
    if chosen != decided["selected"].sum():
        raise StoreError(
            f"The run {info.run_id} selects {chosen} samples but decides for "
            f"{decided['selected'].sum()}."
        )


def _fill(
    con: duckdb.DuckDBPyConnection, info: RunInfo, finished_at: datetime, data: RunTablesData
) -> None:
    con.execute(f"CREATE TABLE run ({RUN_COLUMNS}, {LATER_RUN_COLUMNS})")
    con.execute(
        "INSERT INTO run VALUES (?, ?, ?, 'done', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            info.run_id,
            info.kind,
            info.pool,
            info.started_at,
            finished_at,
            info.n_samples,
            info.seed,
            info.generation,
            json.dumps(info.config, sort_keys=True),
            json.dumps(info.versions, sort_keys=True),
            info.ranked_by,
            info.pool_fingerprint,
            sorted(data.scores),
            info.of_run,
        ],
    )
    for table, columns in TABLES.items():
        con.execute(f"CREATE TABLE {table} ({columns})")
    if data.samples is not None:
        kept = kept_columns(data.samples.columns)
        extra = "".join(f", {identifier(c)}" for c in kept)
        columns = (
            "key::INTEGER AS key, sample_id::VARCHAR AS sample_id, source::VARCHAR AS source, "
            "row::BIGINT AS row, label::VARCHAR AS label, group_id::VARCHAR AS group_id, "
            f"content_hash::VARCHAR AS content_hash{extra}"
        )
        into = "CREATE OR REPLACE TABLE samples AS"
        for part in _parts(data.samples.with_row_index(KEY)):
            con.register("_rows", part)
            con.execute(f"{into} SELECT {columns} FROM _rows")
            con.unregister("_rows")
            into = "INSERT INTO samples"
        for method, frame in data.scores.items():
            con.register("_scores", _ranked(frame, data.samples["sample_id"]))
            con.execute("INSERT INTO scores SELECT key, ?, score, rank FROM _scores", [method])
            con.unregister("_scores")
    for table in TABLES:
        if table in ("samples", "scores"):
            continue
        rows = getattr(data, table)
        if rows is not None:
            names = [c.split()[0] for c in TABLES[table].split(", ")]
            for part in _parts(rows):
                con.register("_rows", part)
                con.execute(f"INSERT INTO {table} SELECT {', '.join(names)} FROM _rows")
                con.unregister("_rows")


def _parts(rows: pl.DataFrame | pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """Yield rows a part at a time: DuckDB takes a copy of each. No rows are one part."""
    lazy = rows.lazy()
    height = lazy.select(pl.len()).collect().item()
    for begin in range(0, max(1, height), _PART):
        yield lazy.slice(begin, _PART).collect()


def _ranked(frame: pl.DataFrame, ids: pl.Series) -> pl.DataFrame:
    """Return scores in the order of their keys, with their ranks: equal ones by sample id."""
    frame = frame.select(pl.col("key").cast(pl.Int32), pl.col("score").cast(pl.Float64)).sort("key")
    scores = frame["score"].to_numpy()
    order = np.argsort(-scores, kind="stable")
    equal = scores[order[1:]] == scores[order[:-1]]
    tied = np.flatnonzero(np.append(equal, False) | np.append(False, equal))
    if len(tied):
        rows = order[tied]
        named = pl.DataFrame(
            {"row": rows, "score": scores[rows], "id": ids.gather(frame["key"].gather(rows))}
        )
        by_id = named.sort("score", "id", descending=[True, False])
        order[tied] = by_id["row"].to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    return frame.with_columns(rank=rank)
