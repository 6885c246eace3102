"""Pools: the data sets to choose from, read from files or frames."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.storage.errors import ColumnError, ConfigError, InputError
from assay.storage.hashing.rows import hash_rows
from assay.storage.reading.class_names import stated_features
from assay.storage.reading.formats import images_beside, open_sources
from assay.storage.reading.frames import MemorySource, as_table
from assay.storage.reading.images import FILE_COLUMN, ImageFolder, image_paths, load_images
from assay.storage.reading.roles import Kind, Roles, resolve_roles
from assay.storage.reading.samples import (
    as_frame,
    batch_rows,
    checked_vectors,
    content_values,
    join_frames,
    sample_frame,
    typed_columns,
)
from assay.storage.reading.source import BATCH_ROWS, Source
from assay.storage.reading.values import Mask, Matrix
from assay.storage.reading.vector_files import with_vectors

# rows by which it is decided whether a column may be the content by default
_LOOKED_AT = 10_000


def read_pool(
    source: Any,
    *,
    id: str | None = None,
    text: str | None = None,
    vector: str | None = None,
    image: str | None = None,
    label: str | None = None,
    group: str | None = None,
    keep: Sequence[str] = (),
    name: str | None = None,
    template: str | None = None,
    turns: str | None = None,
    system: bool | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> Pool:
    """Read a data set to choose from, without loading its content.

    Parameters
    ----------
    source : path, URL, or frame
        A file, a folder (searched to its bottom, files in order of their relative path; hidden
        ones and those that start with ``_`` left out) or a glob: Parquet, Arrow IPC, CSV and TSV
        with a header, JSON lines, the text formats also compressed (.gz, .zst), NumPy's .npy (column
        ``vector``) and .npz. Folders ``name=value`` become columns. A folder of images has the
        columns ``image``, ``file``, ``folder`` (that the file lies in) and ``split`` (the topmost
        folder, where there are folders in folders). Or a URL of object
        storage (``s3://bucket/folder/``; see `assay.storage.reading.remote`), as text. Or a frame: what
        has ``__arrow_c_stream__`` (Polars, pandas, Arrow, DuckDB relation), a Polars LazyFrame, a
        Hugging Face Dataset, a mapping of columns, a list of mappings, a list of texts.
    id : str, optional
        Column of unique ids, kept as text (numbers in canonical decimal form, those of CSV files
        as written). Without it a row is known by its content: 128 bits of BLAKE2b in hex, with
        ``-2``, ``-3`` ... for the second, third ... equal row. An empty id counts as missing.
    text, vector, image : str, optional
        Column of the content, one of the three: text, or conversations (lists of messages with
        `role` and `content`, or `from` and `value`); lists of numbers, equally long, read as
        float32, or the name of a .npy file beside the pool with a vector for each of its rows; or
        the bytes of image files, their paths (relative to the file that names them, or to the
        working directory), or a struct of `bytes` and `path`, whose path counts where the bytes are
        null. By default the column named ``text``, else the only text column without another role,
        else ``messages`` or ``conversations``, else a list column named ``vector`` or
        ``embedding``, else bytes in ``image``. A text column that is called as a label is, or whose
        values come twice or more in the mean, is not taken by default (one named ``text`` is,
        unless there are images).
    label, group : str, optional
        Columns of class labels, and of groups of rows that belong together; kept as text.
    keep : sequence of str, optional
        Further columns to keep with the samples. Those of CSV files become numbers where all their
        values are.
    name : str, optional
        Name of the pool; by default the stem of the path, or ``pool``.
    template : str, default "{role}: {content}"
        How each message of a conversation is written, one a line.
    turns : {"all", "last"}, default "all"
        Of a conversation: all messages, or the last one of the user and those after it.
    system : bool, default True
        Whether the messages of the system or the developer are part of a conversation's text.
    delimiter : str, optional
        What stands between the fields of CSV files: one character, or ``tab``. By default the comma
        (the tab in .tsv files), or the semicolon, tab or vertical bar where only that one fits.
    encoding : str, default "utf-8"
        Encoding of text files, such as ``utf-16``, ``latin-1`` or ``cp1252``.

    Raises
    ------
    SourceError
        A file is missing, broken or of a format that can't be read.
    UnreachableError
        Object storage does not answer.
    ColumnError
        A column does not exist, in any file or in one.
    ConfigError
        No column to be taken as content, or names that clash.
    InputError
        No rows, or a column whose type is not what its role needs.

    Notes
    -----
    Here files are opened for their columns only, except that JSON lines are read once to know the
    types. `Pool.samples` and `Pool.batches` stream: memory follows the metadata and one batch.

    Examples
    --------
    >>> pool = read_pool({"id": [7, 8], "text": ["to be", None], "year": [1601, 1602]},
    ...                  id="id", keep=["year"])
    >>> pool.samples().select("sample_id", "problem", "year").rows()
    [('7', None, 1601), ('8', 'empty', 1602)]
    >>> pool.take([1]).rows()
    [(8, None, 1602)]
    """
    kept = (keep,) if isinstance(keep, str) else tuple(keep)
    named = Roles(
        id, text, vector, image, label, group, kept, template, turns, system, delimiter, encoding
    )
    reading = named.reading
    sources: list[Source]
    if isinstance(source, str | os.PathLike):
        found_name, sources = open_sources(source, reading)
    else:
        found_name, sources = "pool", [MemorySource(as_table(source))]
    if vector is not None and vector.endswith(".npy"):
        sources = with_vectors(sources, vector)
    sources = [each for each in sources if each.n_rows != 0]
    schemas = {each.name: each.schema for each in sources}
    try:
        roles = resolve_roles(named, schemas, partial(_repeats, sources)) if sources else named
    except ConfigError as error:
        if isinstance(source, str | os.PathLike) and (beside := images_beside(source)):
            raise ConfigError(f"{error}{beside}") from None
        raise
    if not any(_has_rows(each, roles) for each in sources):
        raise InputError(
            f"The pool {name or found_name!r} has no rows; there is nothing to choose."
        )
    return Pool(sources, roles, name or found_name)


def _repeats(sources: Sequence[Source], column: str) -> bool:
    """Return whether the values of a column's first rows come twice each, or more, in the mean."""
    values: list[pa.Array] = []
    for source in (each for each in sources if column in each.schema.names):
        for batch in source.batches([column], _LOOKED_AT):
            values.append(batch.column(0))
            if sum(map(len, values)) >= _LOOKED_AT:
                break
        else:
            continue
        break
    if not values:
        return False
    present = pl.concat([pl.Series(part).cast(pl.String) for part in values]).drop_nulls()
    return len(present) > 1 and 2 * present.n_unique() <= len(present)


def _has_rows(source: Source, roles: Roles) -> bool:
    if source.n_rows is not None:
        return source.n_rows > 0
    return next(source.batches([roles.content], 1), None) is not None


class Pool:
    """A data set to choose from; made by `read_pool`.

    Rows have one order throughout: that of the files, and within a file that of its rows.

    Attributes
    ----------
    name : str
    kind : {"text", "vector", "image"}
    roles : Roles
        The columns' roles, with the content column that was chosen by default filled in.
    columns : list of str
        All columns there are.
    n_rows : int or None
        None until it is known: CSV and Arrow files must be read once for it.
    fingerprint : str
        BLAKE2b in hex of the names and bytes of the files, or of a frame's columns with a role.
        It is computed when first asked for, in one pass over the files.

    Examples
    --------
    >>> pool = read_pool({"vector": [[1, 0], [0, 1]]})
    >>> pool.kind, pool.n_rows
    ('vector', 2)
    >>> pool.vectors()
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """

    def __init__(self, sources: Sequence[Source], roles: Roles, name: str) -> None:
        self.name = name
        self.roles = roles
        self._sources = list(sources)

    @property
    def kind(self) -> Kind:
        return self.roles.kind

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for each in self._sources for name in each.schema.names))

    @property
    def features(self) -> dict[str, Any]:
        """What the files state of their columns for Hugging Face's `datasets`, by column, as JSON.

        The first file that states a column's feature counts; most pools state none.
        """
        stated: dict[str, Any] = {}
        for each in reversed(self._sources):
            stated |= stated_features(each.schema)
        return stated

    @property
    def n_rows(self) -> int | None:
        counts = [each.n_rows for each in self._sources]
        return None if None in counts else sum(count or 0 for count in counts)

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.blake2b(digest_size=16)
        for each in self._sources:
            each.digest_into(digest, self.roles.columns)
        self._digest_images(digest)
        return digest.hexdigest()

    def _digest_images(self, digest: Any) -> None:
        """Feed the images that are separate files, because their paths alone don't identify them."""
        if self.kind != "image" or isinstance(self._sources[0], ImageFolder):
            return
        for source, _, array in self._content(BATCH_ROWS):
            images, read = load_images(array, source.folder)
            if read:
                digest.update(hash_rows(images).tobytes())

    def __repr__(self) -> str:
        rows = "" if self.n_rows is None else f", {self.n_rows} rows"
        return f"Pool({self.name!r}, {self.kind} in {self.roles.content!r}{rows})"

    def samples(self) -> pl.DataFrame:
        """Return one record per row, in row order.

        Returns
        -------
        polars.DataFrame
            sample_id, source (file within the folder, or ``memory``), row (within the source,
            from 0), label, group_id, content_hash (128-bit BLAKE2b in hex of UTF-8, float32
            or image bytes), problem (``empty``: null, without length, or only white space;
            ``not_finite``: a vector with NaN or an infinite value; else null), then the columns
            to keep (one that is called ``problem`` or ``key`` itself as ``kept.problem``,
            ``kept.key``). Computed once, and then held.

        Raises
        ------
        IdError
            Ids that are null or not unique.
        InputError
            Vectors of different lengths.
        """
        return self._samples.clone()

    def batches(self, size: int = BATCH_ROWS) -> Iterator[pa.Array]:
        """Yield the content in row order, at most `size` rows at a time, nulls kept.

        The type is large_string, fixed_size_list of float32, or large_binary. A batch also ends
        when it holds 16 MiB. An empty vector is null.
        """
        if size < 1:
            raise ConfigError(f"size must be at least 1, not {size}.")
        for source, row, array in self._content(size):
            yield self._as_content(array, source, row)

    def contents_at(self, rows: np.ndarray[Any, Any]) -> pa.ChunkedArray:
        """Return the content of the rows of ascending numbers, as `batches` yields it."""
        parts = [
            self._as_content(chunk, source, 0)
            for source, table in self._taken(rows, [self.roles.content])
            for chunk in table.column(0).chunks
        ]
        return pa.chunked_array(parts)

    def content_parts_at(self, rows: np.ndarray[Any, Any]) -> Iterator[pa.Array]:
        """Yield the content of the rows of ascending numbers in parts, as `batches` yields it.

        The pool is read once up to the last of them, a batch at a time, so memory doesn't grow with
        the rows asked for.
        """
        start = 0
        for source, row, array in self._content(BATCH_ROWS):
            first, last = np.searchsorted(rows, (start, start + len(array)))
            if first < last:
                taken = array.take(pa.array(rows[first:last] - start))
                yield self._as_content(taken, source, row)
            start += len(array)
            if last == len(rows):
                return
        if len(rows):
            raise InputError(f"The pool has no row {rows[-1]}; its last row is {start - 1}.")

    def image_files(self, rows: np.ndarray[Any, Any]) -> list[Path | None]:
        """Return the files of the images of the rows of ascending numbers; None: bytes in a table.

        Raises
        ------
        ConfigError
            A pool of text or vectors.
        """
        if self.kind != "image":
            raise ConfigError(f"The pool {self.name!r} holds {self.kind}s, not images.")
        files: list[Path | None] = []
        folder = isinstance(self._sources[0], ImageFolder)
        column = FILE_COLUMN if folder else self.roles.content
        for source, table in self._taken(rows, [column]):
            if isinstance(source, ImageFolder):
                files += source.files_of(table.column(0).to_pylist())
            else:
                files += image_paths(table.column(0), source.folder)
        return files

    def contents(self) -> pa.ChunkedArray:
        """Return the content of all rows, as `batches` yields it."""
        return pa.chunked_array(list(self.batches()))

    @cached_property
    def dimension(self) -> int:
        """Length of the vectors, known from the first one."""
        if self.kind != "vector":
            raise ConfigError(f"The pool {self.name!r} holds {self.kind}s, not vectors.")
        for source, row, array in self._content(BATCH_ROWS):
            vectors, empty = self._checked(array, source, row, None)
            if not empty.all():
                return int(vectors.shape[1])
        raise InputError(f"Column {self.roles.content!r} holds no vector, only nulls.")

    def vectors(self) -> Matrix:
        """Return all vectors as float32[n, d], C-contiguous; empty ones are NaN.

        Raises
        ------
        ConfigError
            A pool of text or images.
        """
        parts = [
            self._checked(array, source, row, self.dimension)[0]
            for source, row, array in self._content(BATCH_ROWS)
        ]
        return np.concatenate(parts)

    def take(
        self, rows: Sequence[int] | np.ndarray[Any, Any], columns: Sequence[str] | None = None
    ) -> pl.DataFrame:
        """Return rows, given by their number in the pool, in the order asked for.

        Parameters
        ----------
        rows : integers, shape (m,)
            From 0; a row may be asked for more than once.
        columns : sequence of str, optional
            By default all. The columns come with their own types; a file that lacks one gives
            nulls. The values of CSV files are text, as written.

        Raises
        ------
        ColumnError
            A column that no file has.
        InputError
            A row that the pool has not.

        Notes
        -----
        Memory follows the result. Files are read up to the last row asked for, of Parquet files
        only the row groups with rows asked for.
        """
        there_are = dict.fromkeys(self.columns)
        names = list(there_are if columns is None else dict.fromkeys(columns))
        for column in names:
            if column not in there_are:
                raise ColumnError.missing(column, there_are)
        wanted = np.asarray(rows)
        if wanted.ndim != 1 or (len(wanted) and wanted.dtype.kind not in "iu"):
            raise InputError("rows must be a one-dimensional sequence of integers.")
        order, place = np.unique(wanted.astype(np.int64), return_inverse=True)
        if len(order) and order[0] < 0:
            raise InputError(f"Rows are counted from 0; there is no row {order[0]}.")
        frames = [as_frame(table) for _, table in self._taken(order, names)]
        joined = join_frames(frames, "diagonal_relaxed")
        # not by `select`, which takes ^...$ for a pattern
        return pl.DataFrame({name: joined.get_column(name) for name in names})[place]

    def typed_columns(self, names: Sequence[str]) -> pl.DataFrame:
        """Return columns of all rows with the types that they would be kept with.

        Those of CSV files are numbers where every value is written as one; a file that lacks a
        column gives nulls.

        Raises
        ------
        ColumnError
            A column that no file has.
        InputError
            A column whose type can't be kept.
        """
        for column in names:
            if column not in self.columns:
                raise ColumnError.missing(column, self.columns)
        return typed_columns(self._sources, names)

    def _taken(
        self, order: np.ndarray[Any, Any], names: Sequence[str]
    ) -> Iterator[tuple[Source, pa.Table]]:
        """Yield each source with those of the ascending rows that it has."""
        start = done = 0
        for source in self._sources:
            own = set(source.schema.names)
            here = [name for name in names if name in own]
            local = order[done:] - start
            if source.n_rows is not None:
                local = local[local < source.n_rows]
            # without any column the number of rows found would be lost
            table = source.take(local, here or source.schema.names[:1])
            yield source, table
            done += table.num_rows
            start += source.n_rows or 0
        if done < len(order):
            raise InputError(f"The pool has no row {order[done]}; its last row is {start - 1}.")

    def _content(self, size: int) -> Iterator[tuple[Source, int, pa.Array]]:
        """Yield the content column with its source and the number of its first row there."""
        for source in self._sources:
            row = 0
            for batch in source.batches([self.roles.content], batch_rows(self.roles, size)):
                yield source, row, batch.column(0)
                row += batch.num_rows

    def _as_content(self, array: pa.Array, source: Source, row: int) -> pa.Array:
        """Return the content of some rows in the type that `batches` yields; `row` is the first's."""
        if self.kind != "vector":
            return content_values(array, source, self.roles)[0]
        vectors, empty = self._checked(array, source, row, self.dimension)
        flat = pa.array(vectors.reshape(-1))
        return pa.FixedSizeListArray.from_arrays(flat, self.dimension, mask=pa.array(empty))

    def _checked(
        self, array: pa.Array, source: Source, row: int, dimension: int | None
    ) -> tuple[Matrix, Mask]:
        return checked_vectors(array, self.roles.content, source, row, dimension)

    @cached_property
    def _samples(self) -> pl.DataFrame:
        dimension = self.dimension if self.kind == "vector" else None
        return sample_frame(self._sources, self.roles, dimension)
