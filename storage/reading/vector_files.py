"""Vectors in a .npy file beside the rows that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from assay.storage.errors import InputError, SourceError
from assay.storage.reading.added import Added, AddedColumns
from assay.storage.reading.numpy_files import NumpySource, column
from assay.storage.reading.source import BATCH_ROWS, Source


def with_vectors(sources: Sequence[Source], name: str) -> list[Source]:
    """Return sources with a column `name`: the vectors of that .npy file, in the order of the rows.

    A relative name begins where the first source lies, else in the working directory. Sources that
    have a column of that name stay as they are.

    Raises
    ------
    SourceError
        There is no such file.
    InputError
        It has more or fewer vectors than there are rows.
    """
    if any(name in source.schema.names for source in sources):
        return list(sources)
    folder = sources[0].folder if sources else None
    beside = [folder / name] if folder is not None else []
    path = next((p for p in (*beside, Path(name)) if p.is_file()), None)
    if path is None:
        raise SourceError(
            f"There is no file {name} beside the pool, and no column of that name. Give the path of "
            "the .npy file with a vector for each row."
        )
    file = NumpySource(path, name)
    vectors = file.array("vector")
    counts = [_count(source) for source in sources]
    if sum(counts) != len(vectors):
        raise InputError(
            f"{path} has {len(vectors):,} vectors, but the pool has {sum(counts):,} rows; they must "
            "be in the same order, one for each row."
        )
    starts = np.cumsum([0, *counts])
    return [
        AddedColumns(source, {name: _vectors(file, vectors, int(start), place == 0)})
        for place, (source, start) in enumerate(zip(sources, starts[:-1], strict=True))
    ]


def _vectors(file: NumpySource, vectors: np.ndarray[Any, Any], start: int, first: bool) -> Added:
    return Added(
        column(vectors[:0]).type,
        lambda rows: column(vectors[rows + start]),
        (lambda digest: file.digest_into(digest, [])) if first else None,
    )


def _count(source: Source) -> int:
    if source.n_rows is None:
        for _ in source.batches(source.schema.names[:1], BATCH_ROWS):
            pass
    return source.n_rows or 0
