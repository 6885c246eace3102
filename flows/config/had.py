"""What is had already: a list of ids, a file of ids, or an SQL condition."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from assay.storage.errors import InputError
from assay.storage.reading.finding import file_format
from assay.storage.reading.locations import scheme_of
from assay.storage.reading.tables import read_table, table_fingerprint

_TEXT = (".txt", ".ids")


def names_file(covered: str | Sequence[str]) -> bool:
    """Return whether `covered` is where ids are kept, rather than an SQL condition or the ids.

    Examples
    --------
    >>> names_file("labeled.csv"), names_file("label is not null"), names_file(("a", "b"))
    (True, False, False)
    """
    if not isinstance(covered, str) or not covered.strip():
        return False
    if scheme_of(covered) or Path(covered).exists():
        return True
    return covered.lower().endswith(_TEXT) or bool(
        file_format(covered) and " " not in covered.strip()
    )


def condition_of(covered: str | Sequence[str]) -> str | None:
    """Return the SQL condition that `covered` is, None where it is none."""
    return covered if isinstance(covered, str) and covered and not names_file(covered) else None


def ids_fingerprint(where: str) -> str:
    """Return the fingerprint of a file of ids.

    Raises
    ------
    InputError
        There is no such file.
    """
    if _is_text(where):
        return hashlib.blake2b(_read(where), digest_size=16).hexdigest()
    return table_fingerprint(where)


def _is_text(where: str) -> bool:
    return where.lower().endswith(_TEXT)


def _read(where: str) -> bytes:
    try:
        return Path(where).read_bytes()
    except OSError as error:
        raise InputError(f"The ids in {where} can't be read: {error.strerror}.") from error


def read_ids(where: str, column: str | None) -> pl.Series:
    """Return the ids that a file, folder or glob holds, as text, each once, in its order.

    A text file (.txt, .ids) holds one id per line. Of a table the column named as the pool's ids is
    read, else `sample_id`, else its only column.

    Raises
    ------
    InputError
        There is no such file, it is not UTF-8, or it has no column of ids.
    """
    if _is_text(where):
        try:
            lines = _read(where).decode("utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise InputError(f"The ids in {where} can't be read: they are not UTF-8.") from error
        held = [line.strip() for line in lines if line.strip()]
        return pl.Series("sample_id", held, dtype=pl.String).unique(maintain_order=True)
    table = read_table(where)
    known = [name for name in (column, "sample_id") if name in table.columns]
    name = known[0] if known else table.columns[0]
    if not known and table.width != 1:
        wanted = "sample_id" if column in (None, "sample_id") else f"{column!r} or 'sample_id'"
        raise InputError(
            f"{where} has {table.width} columns and none is called {wanted}; name the column of ids "
            "so, or give a file with that column alone."
        )
    values = table[name].drop_nulls()
    if not (values.dtype == pl.String or values.dtype.is_integer()):
        raise InputError(
            f"The column {name!r} of {where} holds {values.dtype}; ids are text or whole numbers."
        )
    return values.cast(pl.String).unique(maintain_order=True).alias("sample_id")
