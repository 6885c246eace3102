"""Closing a DuckDB connection: it reads what it was given, and reaches nothing else."""

from __future__ import annotations

import os
import re
from threading import Timer

import duckdb
import pyarrow as pa

from assay.storage.errors import ConfigError, QueryError
from assay.storage.sql.carrying import carried

MEMORY = "4GB"
"""What a query may take with its result, unless `ASSAY_SQL_MEMORY` says otherwise.

DuckDB does not count single values and lists while it makes them; the process that a user's query
runs in has a limit of its own.
"""

SECONDS = 600
"""How long a query may take, unless `ASSAY_SQL_SECONDS` says otherwise."""

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_CLOSED = (
    # neither files nor network, nor the caller's variables, and nothing is spilled to disk
    "python_enable_replacements = false",
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "allow_community_extensions = false",
    "temp_directory = ''",
    "enable_external_access = false",
    "lock_configuration = true",
)
_BATCH_ROWS = 1 << 16


def memory_limit() -> int:
    """Return how many bytes a query may take.

    Raises
    ------
    ConfigError
        `ASSAY_SQL_MEMORY` is no size.

    Examples
    --------
    >>> memory_limit() > 0
    True
    """
    setting = os.environ.get("ASSAY_SQL_MEMORY") or MEMORY
    match = re.fullmatch(r"(\d{1,15})\s*([KMGT]?)B?", setting.strip(), re.IGNORECASE)
    if not match or not int(match[1]):
        raise ConfigError(f"ASSAY_SQL_MEMORY is {setting!r}; write a size such as 4GB or 500MB.")
    return int(match[1]) * _UNITS[match[2].upper()]


def time_limit() -> int:
    """Return how many seconds a query may take.

    Raises
    ------
    ConfigError
        `ASSAY_SQL_SECONDS` is no whole number above 0.
    """
    setting = os.environ.get("ASSAY_SQL_SECONDS") or str(SECONDS)
    if not re.fullmatch(r"[1-9]\d{0,7}", setting.strip()):
        raise ConfigError(f"ASSAY_SQL_SECONDS is {setting!r}; write a whole number above 0.")
    return int(setting)


def close_off(con: duckdb.DuckDBPyConnection, *, bounded: bool = True) -> None:
    """Let a connection read the tables that it has, within `memory_limit`, and nothing else."""
    if bounded:
        con.execute(f"SET memory_limit = '{memory_limit()}B'")
    for setting in _CLOSED:
        con.execute(f"SET {setting}")


def fetch(con: duckdb.DuckDBPyConnection, query: str, *, printable: bool = False) -> pa.Table:
    """Return the rows of a query, as far as they fit into `memory_limit` and `time_limit`.

    What a frame can't hold is text (see `assay.storage.sql.carrying`, also for `printable`). Column
    names that come again are numbered. The time limit ends a query between two steps of an
    operator; `assay.storage.runs.query_process` ends one that does not come to the next step.

    Raises
    ------
    QueryError
        They don't fit.
    """
    limit, seconds = memory_limit(), time_limit()
    held, size = [], 0
    alarm = Timer(seconds, con.interrupt)
    alarm.daemon = True
    alarm.start()
    try:
        reader = carried(con.sql(query), printable=printable).to_arrow_reader(_BATCH_ROWS)
        for batch in reader:
            size += batch.nbytes
            if size > limit:
                raise QueryError(
                    f"The query gives more than {limit / 1e9:g} GB of rows. Add a LIMIT, ask for "
                    "fewer columns or count, or allow more with the environment variable "
                    "ASSAY_SQL_MEMORY."
                )
            held.append(batch)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        # what goes wrong behind the first rows comes through Arrow
        if "INTERRUPT" in str(error).upper():
            raise QueryError(took_too_long(seconds)) from None
        if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in str(error):
            raise QueryError(took_too_much(limit)) from None
        if isinstance(error, duckdb.Error):
            raise
        raise QueryError(f"The query failed: {' '.join(str(error).split())}") from None
    except MemoryError:
        raise QueryError(took_too_much(limit)) from None
    finally:
        alarm.cancel()
    table = pa.Table.from_batches(held, schema=reader.schema)
    return table.rename_columns(_told_apart(table.column_names))


def took_too_long(seconds: float) -> str:
    """Say that a query was ended because of its time."""
    return (
        f"The query took more than {seconds:g} s. Ask for less, or allow more with the environment "
        "variable ASSAY_SQL_SECONDS."
    )


def took_too_much(limit: int) -> str:
    """Say that a query was ended because of its memory."""
    return (
        f"The query took more than {limit / 1e9:g} GB of memory. Ask for less, or allow more with "
        "the environment variable ASSAY_SQL_MEMORY."
    )


def _told_apart(names: list[str]) -> list[str]:
    """Return column names of which those that come again are numbered: a, a_1, a_2."""
    numbered: dict[str, None] = {}
    for name in names:
        own, n = name, 0
        while own in numbered or (n and own in names):
            n += 1
            own = f"{name}_{n}"
        numbered[own] = None
    return list(numbered)
