"""Labels that are kept apart from the pool: a file, a folder or a table that grows."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from assay.storage.errors import ColumnError, InputError
from assay.storage.hashing.fingerprints import fingerprint
from assay.storage.reading.finding import readable
from assay.storage.reading.formats import open_sources
from assay.storage.reading.locations import scheme_of
from assay.storage.reading.values import as_text

# the columns of labels where the configuration names none
ID, LABEL = "sample_id", "label"


def read_labels(where: str, *, id: str | None, label: str | None) -> pl.DataFrame:
    """Return the labels that a file, folder, glob or URL holds: `sample_id` and `label`, by id.

    Of a row that was labeled more than once the last label counts, in the order of the files' names
    and of the rows; rows without a label are passed over. A folder without files holds no labels.

    Parameters
    ----------
    where : str
    id : str or None
        The pool's column of ids: that of the labels, if they have it; else `sample_id` is.
    label : str or None
        The column of labels; by default `label`.

    Raises
    ------
    SourceError
        There is nothing, or it can't be read.
    ColumnError, InputError
        A file has no column of ids or of labels, or they can't be used as such.
    """
    nothing = pl.DataFrame(schema={"sample_id": pl.String, "label": pl.String})
    if _is_empty_folder(where):
        return nothing
    frames = [nothing]
    for source in open_sources(where)[1]:
        names = source.schema.names
        own_id = next((name for name in (id, ID) if name in names), None)
        if own_id is None:
            raise ColumnError.missing(id or ID, names, what=f"column of ids in {source.name}")
        own_label = label or LABEL
        if own_label not in names:
            raise ColumnError.missing(own_label, names, what=f"column of labels in {source.name}")
        for batch in source.batches([own_id, own_label]):
            columns = {"sample_id": own_id, "label": own_label}
            frames.append(
                pl.DataFrame(
                    {
                        name: _as_text(batch.column(column), column, source.name)
                        for name, column in columns.items()
                    }
                )
            )
    labels = pl.concat(frames).drop_nulls()
    return labels.unique("sample_id", keep="last").sort("sample_id")


def labels_fingerprint(labels: pl.DataFrame) -> str:
    """Return the fingerprint of labels: the same wherever, and in whatever files, they are kept."""
    return fingerprint("labels", labels["sample_id"].to_list(), labels["label"].to_list())


def _as_text(values: object, column: str, file: str) -> pl.Series:
    try:
        return pl.Series(as_text(values), dtype=pl.String)
    except TypeError as error:
        raise InputError(
            f"The column {column!r} of {file} can't be read as ids or labels: {error}."
        ) from None


def _is_empty_folder(where: str) -> bool:
    if scheme_of(where) is not None or not Path(where).is_dir():
        return False
    folder = Path(where)
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return not readable(files)
