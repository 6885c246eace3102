"""Running one query over a store: as many runs are opened for it as it may be about."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from assay.storage.errors import QueryError, StoreError
from assay.storage.runs.attaching import attach, connect_runs, names_history
from assay.storage.runs.catalogue import find_run
from assay.storage.sql.sandbox import close_off, fetch
from assay.storage.sql.statements import check_reading, reading

if TYPE_CHECKING:
    import polars as pl


def query_store(
    store: Path,
    query: str,
    *,
    archived: bool = False,
    only: Collection[str] | None = None,
    printable: bool = False,
) -> pa.Table:
    """Query the runs of a store's folder in this process; see `ScoreStore.sql`."""
    for run_id in only or ():
        located(store, run_id)
    if only is None and not names_history(query):
        # a name that is not there may be one of those that are defined over the history
        with suppress(duckdb.CatalogException):
            return _query(store, query, printable, archived=archived, history=False)
    try:
        return _query(store, query, printable, archived=archived, only=only)
    except duckdb.CatalogException as error:
        raise _failed(error) from error


def query_run(store: Path, run_id: str, query: str) -> pl.DataFrame:
    """Query the tables of one run; see `ScoreStore.run_table`."""
    path = located(store, run_id)
    with duckdb.connect(":memory:") as con:
        if not attach(con, store, path):
            raise _missing(store, run_id)
        con.execute(f"USE r_{run_id}")
        close_off(con, bounded=False)
        frame: pl.DataFrame = con.sql(query).pl()
    return frame


def located(store: Path, run_id: str) -> Path:
    """Return the file of a finished run, kept or archived.

    Raises
    ------
    StoreError
        There is none.
    """
    path = find_run(store, run_id)
    if path is None:
        raise _missing(store, run_id)
    return path


def _missing(store: Path, run_id: str) -> StoreError:
    return StoreError(f"There is no finished run {run_id} in {store}.")


def _query(store: Path, query: str, printable: bool, **opened: Any) -> pa.Table:
    with connect_runs(store, **opened) as con:
        try:
            check_reading(con, query)
            with reading(con):
                return fetch(con, query, printable=printable)
        except duckdb.CatalogException:
            raise
        except duckdb.Error as error:
            raise _failed(error) from error


def _failed(error: duckdb.Error) -> QueryError:
    return QueryError(f"The query failed: {' '.join(str(error).split())}")
