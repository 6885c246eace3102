"""Looking up finished runs by their ids."""

from __future__ import annotations

from typing import Any

import polars as pl

from assay.storage import ScoreStore
from assay.storage.errors import ColumnError, ConfigError, StoreError
from assay.storage.runs.schema import NEWEST_FIRST


def finished_run(
    store: ScoreStore,
    run: str | None,
    *,
    kinds: tuple[str, ...] = ("curate", "features"),
    all_runs: bool | None = None,
) -> dict[str, Any]:
    """Return the row of `runs` of a finished run by its id or first digits; the newest by default.

    Archived runs are looked at with `all_runs`, by default where a run is named.

    Raises
    ------
    ColumnError, StoreError
        There is no such run, or several.
    """
    return _named(
        store, _finished(store, kinds, run is not None if all_runs is None else all_runs), run
    )


def curation_run(store: ScoreStore, run: str | None, *, all_runs: bool = False) -> dict[str, Any]:
    """Return a finished `curate` run likewise; the newest is meant only in a store with one pool.

    Raises
    ------
    ConfigError
        No run is named, and the store holds several pools.
    ColumnError, StoreError
        As `finished_run`.
    """
    runs = _finished(store, ("curate",), all_runs)
    pools = runs["pool"].unique().sort().to_list()
    if run is None and len(pools) > 1:
        raise ConfigError(
            f"The store holds several pools ({', '.join(pools)}); name a run with --run "
            "(`assay runs` lists them)."
        )
    return _named(store, runs, run)


def _finished(store: ScoreStore, kinds: tuple[str, ...], all_runs: bool) -> pl.DataFrame:
    return store.trusted_sql(
        f"SELECT * FROM runs WHERE status = 'done' ORDER BY {NEWEST_FIRST}", all_runs=all_runs
    ).filter(pl.col("kind").is_in(kinds))


def _named(store: ScoreStore, runs: pl.DataFrame, run: str | None) -> dict[str, Any]:
    if runs.is_empty():
        raise StoreError(f"The store {store.path} has no finished run. Run `assay curate` first.")
    matching = runs.head(1) if run is None else runs.filter(pl.col("run_id").str.starts_with(run))
    if matching.height != 1:
        raise ColumnError.missing(str(run), runs["run_id"].to_list(), what="finished run")
    return matching.row(0, named=True)
