"""The map of a finished run: a run of its own, which names the run it belongs to."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import polars as pl

from assay.flows.running.noting import noted
from assay.flows.stages.maps import graph_of, load_places
from assay.flows.stages.persisting import artifact_rows
from assay.flows.stages.refs import Ref
from assay.flows.stages.run import versions
from assay.flows.stages.stage import MAP
from assay.storage import ScoreStore
from assay.storage.errors import StoreError
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.runs.run_file import RunInfo, RunTablesData
from assay.storage.runs.schema import NEWEST_FIRST


def map_run(store: ScoreStore, run_id: str) -> str:
    """Return the run that holds the map of a finished run; compute it first if needed.

    Rows that the pool's map before already placed stay where they are.

    Raises
    ------
    StoreError
        There is no such run, or its graph is no longer in the store.
    """
    map_id = fingerprint("map", MAP.revision, run_id)[:16]
    if store.is_finished(map_id):
        return map_id
    with store.writing("map") as lock:
        of_run = _of_run(store, run_id)
        graph_of(store, run_id)
        lock.say("map", map_id)
        started_at = datetime.now(UTC)
        info = RunInfo(
            run_id=map_id,
            kind="map",
            pool=of_run["pool"],
            started_at=started_at,
            n_samples=of_run["n_samples"],
            seed=of_run["seed"],
            generation=of_run["generation"],
            config={"dims": 2},
            versions=versions(),
            of_run=run_id,
        )
        with noted(store, info):
            store.begin(info)
            ref = MAP(store, run_id, of_run["seed"], _map_before(store, of_run["pool"]))
            places = load_places(store, ref)
            data = RunTablesData(map=places, artifacts=artifact_rows({MAP.name: ref}))
            store.finish(info, data)
        store.publish()
        store.archive(of_run["pool"], "map", keep=json.loads(of_run["config"])["keep_runs"])
    return map_id


def _of_run(store: ScoreStore, run_id: str) -> dict[str, Any]:
    rows = store.trusted_sql("SELECT * FROM runs WHERE status = 'done'", all_runs=True)
    rows = rows.filter(pl.col("run_id") == run_id)
    if rows.is_empty():
        raise StoreError(f"There is no finished run {run_id} in {store.path}.")
    return rows.row(0, named=True)


def _map_before(store: ScoreStore, pool: str) -> Ref | None:
    """Return the newest map of the pool, if its artifact is still in the store."""
    runs = store.trusted_sql(
        f"SELECT run_id, pool FROM runs WHERE kind = 'map' AND status = 'done' ORDER BY {NEWEST_FIRST}"
    ).filter(pl.col("pool") == pool)
    for run_id in runs["run_id"]:
        rows = store.run_table(run_id, "SELECT kind, fingerprint FROM artifacts")
        if rows.height == 1 and store.artifacts.intact(*rows.row(0)):
            return Ref(*rows.row(0))
    return None
