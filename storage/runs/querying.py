"""Running one query over a store: as many runs are opened for it as it may be about."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from assay.storage.errors import QueryError, StoreError
from assay.storage.runs.attaching import connect_runs, names_history, open_runs
from assay.storage.runs.catalogue import finished_run
from assay.storage.runs.facts import RunFile
from assay.storage.runs.opening import REMEDY, Misfit
from assay.storage.sql.carrying import carried
from assay.storage.sql.sandbox import fetch
from assay.storage.sql.statements import check_reading, reading

if TYPE_CHECKING:
    import polars as pl

_OPENED: ContextVar[Mapping[tuple[Path, str], tuple[duckdb.DuckDBPyConnection, Path]]] = ContextVar(
    "runs that are kept open, by store and id", default=MappingProxyType({})
)
# what DuckDB raises over blocks that don't match their checksums
_DAMAGE = (duckdb.IOException, duckdb.FatalException, duckdb.SerializationException)


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
    with run_opened(store, run_id):
        con, path = _OPENED.get()[store, run_id]
        try:
            frame: pl.DataFrame = carried(con.sql(query)).pl()
        except _DAMAGE as error:
            problem = f"it can't be read ({' '.join(str(error).split())})."
            raise StoreError(str(Misfit(path, problem))) from error
    return frame


@contextmanager
def run_opened(store: Path, run_id: str) -> Iterator[None]:
    """Keep a run open: queries of it within the context share a connection; see `ScoreStore.opened`."""
    if (store, run_id) in _OPENED.get():
        yield
        return
    run = located(store, run_id)
    with duckdb.connect(":memory:") as con:
        opened, misfits = open_runs(con, store, [run], bounded=False)
        if misfits:
            raise StoreError(str(misfits[0]))
        if not opened:
            raise _missing(store, run_id)
        con.execute(f"USE r_{run_id}")
        token = _OPENED.set({**_OPENED.get(), (store, run_id): (con, run.path)})
        try:
            yield
        finally:
            _OPENED.reset(token)


def located(store: Path, run_id: str) -> RunFile:
    """Return a finished run, kept or archived.

    Raises
    ------
    StoreError
        There is none, or its file is not as it was written.
    """
    run = finished_run(store, run_id)
    if run is None:
        raise _missing(store, run_id)
    return run


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
    message = f"The query failed: {' '.join(str(error).split())}"
    if isinstance(error, _DAMAGE):
        message += f" If a run file is damaged, `assay check` names it, and {REMEDY}"
    return QueryError(message)
