"""Opening files: where they are, and the reader of each format."""

from __future__ import annotations

import os
from pathlib import Path

from assay.storage.errors import SourceError
from assay.storage.reading.finding import CSV, IPC, PARQUET, file_format, local_files
from assay.storage.reading.locations import as_path, scheme_of
from assay.storage.reading.remote import fetch
from assay.storage.reading.source import FileSource, Source, require_column_names


def find_files(where: str | os.PathLike[str]) -> tuple[str, list[tuple[Path, str]]]:
    """Return a name for a file, folder, glob or URL, and its files with their names within it.

    Of a URL, the files are local copies. See `local_files` and `fetch`.

    Raises
    ------
    SourceError
        Nothing is there, or nothing that can be read.
    """
    if scheme_of(where) not in (None, "file"):
        return fetch(str(where))
    try:
        path = as_path(where)
    except RuntimeError as error:  # a ~ without a home folder
        raise SourceError(f"{str(where)[:200]!r} can't be read: {error}") from None
    return local_files(path)


def open_source(path: Path, name: str) -> Source:
    """Open a file in the format of its extension."""
    kind = file_format(path.name)
    reader: type[FileSource]
    # imported here because some load compiled code
    if kind in PARQUET + IPC:
        from assay.storage.reading.arrow import IpcSource, ParquetSource

        reader = ParquetSource if kind in PARQUET else IpcSource
    elif kind in CSV:
        from assay.storage.reading.csv import CsvSource as reader
    else:
        from assay.storage.reading.json_lines import JsonLinesSource as reader
    source = reader(path, name)
    with source.guard():
        names = source.schema.names
    require_column_names(names, source.shown)
    return source
