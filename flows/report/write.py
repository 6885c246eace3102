"""Writing a report: the run is looked up, its map made if it has none, the page written whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from assay.flows.report.facts import curation_facts, feature_facts
from assay.flows.report.page import check_packages, curation_page, feature_page, no_rows
from assay.flows.running.maps import map_run
from assay.storage import ScoreStore
from assay.storage.disk.atomic import output_path
from assay.storage.errors import ColumnError, ConfigError, StoreError
from assay.storage.runs.schema import NEWEST_FIRST


class Written(NamedTuple):
    """A page that was written: of which run, and how many bytes."""

    run_id: str
    size: int


def write_report(
    store: ScoreStore,
    out: Path,
    *,
    run: str | None = None,
    with_map: bool = True,
    overwrite: bool = False,
) -> Written:
    """Write one self-contained HTML page about a finished run.

    Parameters
    ----------
    store : ScoreStore
    out : Path
        A file that ends in .html; it is written whole or not at all.
    run : str, optional
        A run's id, or its first digits; the newest finished run where left out.
    with_map : bool, default True
        Whether a map is shown. It is made from the stored graph if the run has none, and kept in
        the store as a run of its own.
    overwrite : bool, default False
        Whether an existing file is replaced.

    Raises
    ------
    ConfigError
        `out` has another ending, or a package of the extra `report` is missing.
    StoreError
        The store has no such finished run.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"{out} must end in .html.")
    check_packages()
    row = _finished_run(store, run)
    if row["kind"] == "features":
        page = feature_page(feature_facts(store, row))
    else:
        places = no_rows()
        if with_map:
            places = store.run_table(map_run(store, row["run_id"]), 'SELECT * FROM "map"')
        page = curation_page(curation_facts(store, row, places))
    content = page.encode("utf-8")
    with output_path(out, replace=overwrite) as temporary:
        temporary.write_bytes(content)
    return Written(row["run_id"], len(content))


def _finished_run(store: ScoreStore, run: str | None) -> dict[str, Any]:
    runs = store.trusted_sql(
        "SELECT * FROM runs WHERE kind IN ('curate', 'features') AND status = 'done' "
        f"ORDER BY {NEWEST_FIRST}",
        all_runs=run is not None,
    )
    if runs.is_empty():
        raise StoreError(
            f"The store {store.path} has no finished run to report. Run `assay curate` first."
        )
    if run is None:
        return runs.row(0, named=True)
    matching = runs.filter(pl.col("run_id").str.starts_with(run))
    if matching.height != 1:
        raise ColumnError.missing(run, runs["run_id"].to_list(), what="finished run")
    return matching.row(0, named=True)
