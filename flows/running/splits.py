"""Splits of a finished run's pool: a run of its own, which names the run it belongs to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.flows.config.curation import CurationConfig
from assay.flows.progress import step
from assay.flows.running.noting import noted
from assay.flows.stages.maps import graph_of
from assay.flows.stages.run import versions
from assay.flows.stages.stage import SPLIT
from assay.index import SimilarityGraph
from assay.index.vectors.stored import read_vectors
from assay.selection.plan.splitting import Split, split_leaks, split_pool
from assay.storage import Pool, ScoreStore, read_pool
from assay.storage.errors import StoreError
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.runs.run_file import RunInfo, RunTablesData
from assay.storage.runs.schema import NEWEST_FIRST, literal

# a column of this name is the folder that a row's file lies in
FOLDER = "folder"


@dataclass(frozen=True, eq=False)
class Contents:
    """The usable rows of a finished run's pool, in the forms in which they are compared."""

    run: dict[str, Any]
    config: CurationConfig
    pool: Pool
    samples: pl.DataFrame
    keep: np.ndarray
    graph: SimilarityGraph
    vectors: np.ndarray | None

    @classmethod
    def of(cls, store: ScoreStore, run_id: str) -> Contents:
        """Open what a run left, and its pool.

        Raises
        ------
        StoreError
            The run or its graph is gone, or the pool has changed since.
        """
        rows = store.trusted_sql("SELECT * FROM runs WHERE status = 'done'", all_runs=True)
        rows = rows.filter(pl.col("run_id") == run_id, pl.col("kind") == "curate")
        if rows.is_empty():
            raise StoreError(f"There is no finished run {run_id} of a pool in {store.path}.")
        run = rows.row(0, named=True)
        config = CurationConfig.build(json.loads(run["config"]))
        pool = read_pool(config.pool, **config.roles())
        was = store.run_table(run_id, "SELECT pool_fingerprint FROM run").item()
        if pool.fingerprint != was:
            raise StoreError(
                f"The pool {config.pool} has changed since run {run_id}; run `assay curate` again."
            )
        graph = SimilarityGraph.load(store.artifacts.open(*graph_of(store, run_id)))
        samples = pool.samples()
        ids = graph.sample_ids
        keep = samples["sample_id"].is_in(ids.implode()).to_numpy() if ids is not None else None
        if keep is None:
            keep = samples["problem"].is_null().to_numpy()
        vectors = None
        held = store.run_table(
            run_id, "SELECT kind, fingerprint FROM artifacts WHERE stage = 'embed'"
        )
        if held.height and store.artifacts.intact(*held.row(0)):
            vectors = read_vectors(store.artifacts.open(*held.row(0)))
        kept = samples.filter(pl.Series(keep))
        if config.labels is not None:
            labels = store.run_table(run_id, "SELECT sample_id, label FROM samples")
            kept = kept.drop("label").join(
                labels, on="sample_id", how="left", maintain_order="left"
            )
        return cls(run, config, pool, kept, keep, graph, vectors)

    def given(self) -> dict[str, Any]:
        """Return the arguments of `split_pool` and `split_leaks` that say what a row holds."""
        given: dict[str, Any] = {
            "graph": self.graph,
            "ids": self.samples["sample_id"],
            "vectors": self.vectors,
        }
        if self.pool.kind == "text":
            given["X"] = self.pool.contents().filter(pa.array(self.keep))
        elif self.vectors is not None:
            given["X"] = np.asarray(self.vectors)
        return given

    def column(self, name: str) -> pl.Series:
        """Return a column of the pool; its labels by the name of their column, or the folder."""
        if name == self.config.label:
            return self.samples["label"]
        if name == FOLDER and FOLDER not in self.pool.columns:
            return self.samples["source"].str.replace(r"[/\\]?[^/\\]*$", "")
        return self.pool.typed_columns([name])[name].filter(pl.Series(self.keep))


def newest_run(store: ScoreStore, pool: str | None = None) -> str:
    """Return the newest finished run of a pool, or of all.

    Raises
    ------
    StoreError
        There is none.
    """
    which = f" AND pool = {literal(pool)}" if pool is not None else ""
    rows = store.trusted_sql(
        f"SELECT run_id FROM runs WHERE kind = 'curate' AND status = 'done'{which} "
        f"ORDER BY {NEWEST_FIRST} LIMIT 1"
    )
    if rows.is_empty():
        raise StoreError(f"{store.path} holds no finished run; run `assay curate` first.")
    return str(rows.item())


def split_run(
    store: ScoreStore,
    run_id: str,
    parts: Mapping[str, float],
    *,
    stratify: str | None = None,
    by: str | None = None,
    time: str | None = None,
    seed: int = 0,
) -> tuple[str, Split | None]:
    """Split the pool of a finished run, and keep that as a run of its own.

    Rows that an earlier split of the pool into the same parts placed stay in their part. Returns the
    id of the new run, and the split where it was made now.
    """
    options = {"parts": dict(parts), "stratify": stratify, "by": by, "time": time}
    contents = Contents.of(store, run_id)
    before, previous = _before(store, contents.run["pool"], run_id, options)
    split_id = fingerprint("split", SPLIT.revision, run_id, options, seed, before)[:16]
    with store.writing("split") as lock:
        if store.is_finished(split_id):
            store.make_current(split_id)
            store.publish()
            return split_id, None
        lock.say("split", split_id)
        info = RunInfo(
            run_id=split_id,
            kind="split",
            pool=contents.run["pool"],
            started_at=datetime.now(UTC),
            n_samples=contents.samples.height,
            seed=seed,
            generation=contents.run["generation"],
            config=options,
            versions=versions(),
            of_run=run_id,
        )
        with noted(store, info):
            store.begin(info)
            named = {"stratify": stratify, "by": by, "time": time}
            columns: dict[str, Any] = {
                k: contents.column(c) for k, c in named.items() if c is not None
            }
            with step("split"):
                split = split_pool(
                    parts, **contents.given(), **columns, previous=previous, random_state=seed
                )
            metrics = _metrics(split.report)
            store.finish(info, RunTablesData(splits=split.frame, metrics=metrics))
        store.publish()
        store.archive(contents.run["pool"], "split", keep=contents.config.keep_runs)
    return split_id, split


def leaks_of_run(
    store: ScoreStore, run_id: str, column: str
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return the leaks between the parts that a column of the pool names; see `split_leaks`."""
    contents = Contents.of(store, run_id)
    labels = contents.samples["label"] if contents.config.label else None
    with step("leaks"):
        return split_leaks(contents.column(column), y=labels, **contents.given())


def _before(
    store: ScoreStore, pool: str, run_id: str, options: Mapping[str, Any]
) -> tuple[str | None, pl.DataFrame | None]:
    """Return the newest split of another run of the pool with the same options, and its rows."""
    rows = store.trusted_sql(
        f"SELECT run_id, config FROM runs WHERE kind = 'split' AND status = 'done' "
        f"AND pool = {literal(pool)} AND of_run <> {literal(run_id)} ORDER BY {NEWEST_FIRST}"
    )
    for before, config in rows.iter_rows():
        if json.loads(config) == options:
            return before, store.run_table(before, "SELECT sample_id, part FROM splits")
    return None, None


def _metrics(report: Mapping[str, Any]) -> pl.DataFrame:
    values = {name: float(report[name]) for name in ("rows", "groups", "largest_group")}
    values |= {
        name: float(report[name]) for name in ("deviation", "label_deviation") if name in report
    }
    values |= {f"part.{name}": part["got"] for name, part in report["parts"].items()}
    wanted = {f"part.{name}": part["share"] for name, part in report["parts"].items()}
    return pl.DataFrame(
        {
            "name": list(values),
            "value": list(values.values()),
            "baseline": [wanted.get(name) for name in values],
        },
        schema={"name": pl.String, "value": pl.Float64, "baseline": pl.Float64},
    )
