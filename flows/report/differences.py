"""What changed between two selections, and why."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from assay.storage import ScoreStore
from assay.storage.errors import ColumnError, ConfigError, StoreError
from assay.storage.runs.schema import NEWEST_FIRST, literal

LATEST, PREVIOUS = "latest", "previous"


class Difference(NamedTuple):
    """Two runs (their rows of `runs`), the rows that differ, and how many stayed chosen."""

    run_a: dict[str, Any]
    run_b: dict[str, Any]
    rows: pl.DataFrame
    stayed: int

    def counts(self) -> pl.DataFrame:
        """Return how many rows came in and went out, by cause."""
        return self.rows.group_by("change", "cause").len("rows").sort("change", "cause")

    def summary(self) -> dict[str, Any]:
        """Return the runs and the counts as a JSON-ready object."""
        came = int((self.rows["change"] == "in").sum())
        return {
            "run_a": self.run_a["run_id"],
            "run_b": self.run_b["run_id"],
            "pool": self.run_b["pool"],
            "in": came,
            "out": self.rows.height - came,
            "stayed": self.stayed,
            "causes": self.counts().rows(named=True),
        }


def difference(
    store: ScoreStore, run_a: str = PREVIOUS, run_b: str = LATEST, *, pool: str | None = None
) -> Difference:
    """Return the rows that came in or went out from one run to another, and why.

    Parameters
    ----------
    store : ScoreStore
    run_a, run_b : str
        Ids of finished `curate` runs, kept or archived, or their first digits; ``"latest"``, the
        newest of the pool; ``"previous"``, the one before the other run named.
    pool : str, optional
        The pool's name; needed where neither run is named by its id and there are several.

    Raises
    ------
    ColumnError, ConfigError, StoreError
        There is no such run, several begin so, or it is no finished `curate` run.
    """
    runs = store.trusted_sql(
        "SELECT run_id, kind, pool, status, finished_at, generation, config::VARCHAR AS config "
        f"FROM runs ORDER BY {NEWEST_FIRST}",
        all_runs=True,
    )
    named = {run: _by_id(runs, run) for run in (run_a, run_b) if run not in (LATEST, PREVIOUS)}
    if named:
        pool = next(iter(named.values()))["pool"]
    elif pool is None:
        pool = _only_pool(store, runs)
    nights = runs.filter(kind="curate", status="done", pool=pool)
    if not named and nights.is_empty():
        raise StoreError(f"The store {store.path} has no finished curation run of the pool {pool}.")
    # "latest" before "previous", which is relative to the other
    for run in (run_a, run_b):
        if run == LATEST:
            named[run] = nights.row(0, named=True)
    other = next(iter(named.values())) if len(named) == 1 else nights.row(0, named=True)
    if PREVIOUS in (run_a, run_b):
        named[PREVIOUS] = _before(nights, other)
    a, b = named[run_a], named[run_b]
    one, two = literal(a["run_id"]), literal(b["run_id"])
    rows = store.trusted_sql(f"FROM diff({one}, {two})", runs=(a["run_id"], b["run_id"]))
    came = int((rows["change"] == "in").sum())
    chosen = store.run_table(b["run_id"], "SELECT count(*) AS n FROM selections")["n"].item()
    return Difference(a, b, rows, chosen - came)


def _by_id(runs: pl.DataFrame, run: str) -> dict[str, Any]:
    matching = runs.filter(pl.col("run_id").str.starts_with(run)) if run else runs.head(0)
    if matching.is_empty():
        raise ColumnError.missing(run, runs["run_id"].to_list(), what="run")
    if matching.height > 1:
        raise ConfigError(
            f"{matching.height} runs begin with {run}: {', '.join(matching['run_id'][:5])}; give more "
            "of the id."
        )
    one = matching.row(0, named=True)
    if one["kind"] != "curate" or one["status"] != "done":
        raise ConfigError(
            f"Run {one['run_id']} is a {one['kind']!r} run and {one['status']}; only finished "
            "'curate' runs can be compared."
        )
    return one


def _only_pool(store: ScoreStore, runs: pl.DataFrame) -> str:
    pools = runs.filter(kind="curate", status="done")["pool"].unique().sort().to_list()
    if not pools:
        raise StoreError(f"The store {store.path} has no finished curation run.")
    if len(pools) > 1:
        raise ConfigError(
            f"The store holds several pools ({', '.join(pools)}); name one with --pool, or the runs "
            "by their ids (`assay runs` lists them)."
        )
    return str(pools[0])


def _before(nights: pl.DataFrame, run: dict[str, Any]) -> dict[str, Any]:
    """Return the run before `run`; `nights` are the newest first."""
    place = nights["run_id"].index_of(run["run_id"])
    if place is None or place + 1 >= nights.height:
        raise ConfigError(
            f"Run {run['run_id']} is the first of the pool {run['pool']}: there is none before it."
        )
    return nights.row(place + 1, named=True)
