"""Opening files: where they are, and the reader of each format."""

from __future__ import annotations

import os
from pathlib import Path

from assay.storage.errors import SourceError
from assay.storage.reading.added import with_partitions
from assay.storage.reading.finding import (
    CSV,
    IPC,
    NUMPY,
    PARQUET,
    file_format,
    is_image,
    local_files,
)
from assay.storage.reading.images import ImageFolder
from assay.storage.reading.locations import as_path, scheme_of
from assay.storage.reading.remote import fetch
from assay.storage.reading.source import PLAIN, FileSource, Reading, Source, require_column_names


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


def images_beside(where: str | os.PathLike[str]) -> str:
    """Return a sentence about images of a folder that are left out for its data; "" if there are none."""
    folder = as_path(where) if scheme_of(where) in (None, "file") else None
    if folder is None or not folder.is_dir():
        return ""
    images = sorted(within for within in folder.rglob("*") if is_image(within.name))
    if not images:
        return ""
    data = local_files(folder)[1][0][1]
    return (
        f" {folder} also holds {len(images):,} images, which are left out because it holds data "
        f"({data}): move the data elsewhere, or name the images, as in "
        f"'{folder}/**/*{images[0].suffix}'."
    )


def open_sources(
    where: str | os.PathLike[str], reading: Reading = PLAIN
) -> tuple[str, list[Source]]:
    """Return a name for a file, folder, glob or URL, and its files as sources.

    Folders ``name=value`` are a column of that name; a folder of images is one source.
    """
    name, files = find_files(where)
    if all(is_image(path.name) for path, _ in files):
        return name, [ImageFolder(name, files)]
    return name, [with_partitions(open_source(path, within, reading)) for path, within in files]


def open_source(path: Path, name: str, reading: Reading = PLAIN) -> Source:
    """Open a file in the format of its extension."""
    kind = file_format(path.name)
    source: FileSource
    # imported here because some load compiled code
    if kind in PARQUET + IPC:
        from assay.storage.reading.arrow import IpcSource, ParquetSource

        source = (ParquetSource if kind in PARQUET else IpcSource)(path, name)
    elif kind in NUMPY:
        from assay.storage.reading.numpy_files import NumpySource

        source = NumpySource(path, name)
    elif kind in CSV:
        from assay.storage.reading.csv import CsvSource

        source = CsvSource(path, name, reading)
    else:
        from assay.storage.reading.json_lines import JsonLinesSource

        source = JsonLinesSource(path, name, reading)
    with source.guard():
        names = source.schema.names
    require_column_names(names, source.shown)
    return source
