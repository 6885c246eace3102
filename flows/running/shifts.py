"""What moved between two runs, kept in the store: a run of its own, which names the later of the two."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl

from assay.flows.running.finished import finished_run
from assay.flows.running.noting import noted
from assay.flows.stages.run import versions
from assay.selection.evaluation.pool_shift import PoolShift
from assay.storage import ScoreStore
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.runs.run_file import RunInfo, RunTablesData

KIND = "shift"
# of the table and of how it is computed
_REVISION = 1
_SCHEMA = {
    "kind": pl.String,
    "name": pl.String,
    "value": pl.String,
    "share_a": pl.Float64,
    "share_b": pl.Float64,
    "drift": pl.Float64,
    "noise": pl.Float64,
    "cost": pl.Float64,
}
_COSTS = ("change", "inputs", "labels")


def keep_shift(
    store: ScoreStore,
    run_a: str,
    run_b: str,
    shift: PoolShift,
    settings: Mapping[str, Any],
) -> str:
    """Keep what moved between two finished runs as the table `shift` of a run; return that run's id.

    Parameters
    ----------
    store : ScoreStore
    run_a, run_b : str
        Their ids.
    shift : PoolShift
    settings : mapping
        What decided it besides the runs.
    """
    config = {"run_a": run_a, "run_b": run_b, **settings}
    run_id = fingerprint(KIND, _REVISION, config)[:16]
    later = finished_run(store, run_b, kinds=("curate",))
    with store.writing(KIND) as lock:
        lock.say(KIND, run_id)
        if store.is_finished(run_id):
            store.make_current(run_id)
        else:
            info = RunInfo(
                run_id=run_id,
                kind=KIND,
                pool=later["pool"],
                started_at=datetime.now(UTC),
                n_samples=later["n_samples"],
                seed=settings["seed"],
                generation=later["generation"],
                config=config,
                versions=versions(),
                of_run=run_b,
            )
            with noted(store, info):
                store.begin(info)
                store.finish(info, RunTablesData(shift=shift_rows(shift)))
        store.publish()
        store.archive(later["pool"], KIND, keep=json.loads(later["config"])["keep_runs"])
    return run_id


def shift_rows(shift: PoolShift) -> pl.DataFrame:
    """Return the rows of the table `shift`: of columns, parts of the space, costs, and groups."""
    return pl.DataFrame(list(_rows(shift)), schema=_SCHEMA)


def _rows(shift: PoolShift) -> Iterator[dict[str, Any]]:
    for row in shift.columns.rows(named=True):
        value = row["value"]
        yield {
            **{name: row.get(name) for name in _SCHEMA},
            "kind": "column",
            "name": row["column"],
            "value": None if value is None else str(value),
        }
    for row in [] if shift.cells is None else shift.cells.rows(named=True):
        yield {
            **{name: row.get(name) for name in _SCHEMA},
            "kind": "cell",
            "name": str(row["cell"]),
            "value": ", ".join(row["near_b"] or row["near_a"]) or None,
            "drift": row["change"],
        }
    if shift.cost is not None:
        for name in _COSTS:
            yield {"kind": "cost", "name": name, "cost": shift.cost[name]}
    for row in [] if shift.groups is None else shift.groups.rows(named=True):
        yield {"kind": "group", "name": row["group"], "cost": row["cost"]}
