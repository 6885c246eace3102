"""Running one query over a store: as many runs are opened for it as it may be about."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from assay.storage.errors import QueryError, StoreError
from assay.storage.runs.attaching import attach, connect_runs, names_history
from assay.storage.runs.catalogue import find_run
from assay.storage.sql.sandbox import close_off, fetch, statement_kind

if TYPE_CHECKING:
    import polars as pl

_READS = ("SELECT", "EXPLAIN", "MULTI")  # MULTI is what DuckDB makes of PIVOT


def query_store(
    store: Path, query: str, *, archived: bool = False, only: Collection[str] | None = None
) -> pl.DataFrame:
    """Query the runs of a store's folder; see `ScoreStore.sql`."""
    for run_id in only or ():
        located(store, run_id)
    if only is None and not names_history(query):
        # a name that is not there may be one of those that are defined over the history
        with suppress(duckdb.CatalogException):
            return _query(store, query, archived=archived, history=False)
    try:
        return _query(store, query, archived=archived, only=only)
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


def _query(store: Path, query: str, **opened: Any) -> pl.DataFrame:
    with connect_runs(store, **opened) as con:
        try:
            parsed = con.extract_statements(query)
            if len(parsed) != 1:
                raise QueryError(f"One SQL statement is run at a time; {len(parsed)} were given.")
            kind = statement_kind(parsed[0])
            if kind not in _READS:
                raise QueryError(
                    f"Only reading is allowed here; {kind} is not. "
                    "Use SELECT, WITH, FROM, PIVOT, DESCRIBE, SUMMARIZE or EXPLAIN."
                )
            return fetch(con, query)
        except duckdb.CatalogException:
            raise
        except duckdb.Error as error:
            raise _failed(error) from error


def _failed(error: duckdb.Error) -> QueryError:
    return QueryError(f"The query failed: {' '.join(str(error).split())}")
