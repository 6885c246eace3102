"""Handing out the subset: the chosen rows with all their original columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from assay.flows.config.curation import CurationConfig
from assay.flows.export.destination import check_destination
from assay.flows.export.frames import write_frame
from assay.storage import ScoreStore, read_pool
from assay.storage.errors import ColumnError, ConfigError, StoreError
from assay.storage.names import fold
from assay.storage.runs.schema import NEWEST_FIRST

_FORMATS = {".parquet": "parquet", ".jsonl": "jsonl", ".csv": "csv"}


def chosen_run(store: ScoreStore, run: str | None, *, all_runs: bool = False) -> dict[str, Any]:
    """Return the finished `curate` run named (by its id or a beginning of it), else the newest.

    Archived runs are looked at with `all_runs`.
    """
    runs = store.trusted_sql(
        f"SELECT * FROM runs WHERE kind = 'curate' AND status = 'done' ORDER BY {NEWEST_FIRST}",
        all_runs=all_runs,
    )
    if runs.is_empty():
        raise StoreError(f"The store {store.path} has no finished curation run to export.")
    if run is None:
        pools = runs["pool"].unique().sort().to_list()
        if len(pools) > 1:
            raise ConfigError(
                f"The store holds several pools ({', '.join(pools)}); name a run with --run "
                "(`assay runs` lists them)."
            )
        return runs.row(0, named=True)
    found = runs.filter(pl.col("run_id").str.starts_with(run))
    if found.height != 1:
        raise ColumnError.missing(run, runs["run_id"].to_list(), what="finished run")
    return found.row(0, named=True)


def export(
    store: ScoreStore,
    out: Path,
    *,
    run: str | None = None,
    columns: Sequence[str] | None = None,
    all_runs: bool = False,
    raw: bool = False,
    overwrite: bool = False,
) -> int:
    """Write the chosen rows to `out` in order of position; return how many.

    Parameters
    ----------
    store : ScoreStore
        The store.
    out : Path
        A .parquet, .jsonl or .csv file; it is written whole or not at all. Never a file of the
        store, or one that its runs were made from.
    run : str, optional
        A run's id, or its first digits; the newest finished run where left out.
    columns : sequence of str, optional
        Which of the pool's own columns to hand out; all by default.
    all_runs : bool, default False
        Whether `run` may name an archived run.
    raw : bool, default False
        Whether CSV keeps texts that a spreadsheet would take for formulas as they are; otherwise
        they get a quote in front (see `assay.flows.export.csv_cells`).
    overwrite : bool, default False
        Whether an existing file may be replaced.

    Raises
    ------
    ConfigError
        If `out` may not be written.
    StoreError
        If the pool is not what it was when the run was made.
    """
    format = _FORMATS.get(out.suffix.lower())
    if format is None:
        raise ConfigError(f"{out} must end in one of {', '.join(_FORMATS)}.")
    check_destination(out, store, overwrite=overwrite)
    chosen = chosen_run(store, run, all_runs=all_runs)
    config = CurationConfig.build(json.loads(chosen["config"]))
    pool = read_pool(config.pool, **config.roles())
    was = store.run_table(chosen["run_id"], "SELECT pool_fingerprint FROM run").item()
    if pool.fingerprint != was:
        raise StoreError(
            f"The pool {config.pool} is not what it was when run {chosen['run_id']} was made. "
            "Put it back, or run `assay curate` again and export that run."
        )
    picked = store.run_table(
        chosen["run_id"],
        "SELECT key, samples.sample_id, selections.position, selections.weight "
        "FROM selections JOIN samples USING (key) ORDER BY selections.position",
    )
    frame = pool.take(picked["key"].to_numpy(), list(columns) if columns else None)
    scores = store.run_table(
        chosen["run_id"],
        "SELECT key, method, score FROM scores SEMI JOIN selections USING (key) "
        # the methods' order is that of the columns
        "ORDER BY method, key",
    )
    extra = picked.select("key", "sample_id", "position", "weight")
    if scores.height:
        wide = scores.pivot("method", index="key", values="score")
        extra = extra.join(wide, on="key", how="left", maintain_order="left")
    extra = extra.drop("key")
    if config.id is not None:
        extra = extra.drop("sample_id")
    extra = extra.rename(_own_names(extra.columns, frame.columns))
    write_frame(frame.hstack(extra), out, format, raw=raw, overwrite=overwrite)
    return picked.height


def _own_names(added: Sequence[str], of_pool: Sequence[str]) -> dict[str, str]:
    """Return new names for added columns that the pool has, in any case; the pool's stay."""
    pool = {fold(name) for name in of_pool}
    taken = pool | {fold(name) for name in added}
    names: dict[str, str] = {}
    for name in (n for n in added if fold(n) in pool):
        own = f"assay_{name}"
        while fold(own) in taken:
            own = f"assay_{own}"
        taken.add(fold(own))
        names[name] = own
    return names
