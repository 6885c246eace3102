"""Where the texts of a pool or target come from: a column, a pool that streams, or a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.index.ngrams._unicode import as_texts
from assay.selection.contract.inputs import Rows, text_series
from assay.storage.errors import InputError
from assay.storage.reading.pools import Pool

_SURROGATE = re.compile("[\ud800-\udfff]")
# rows handed on at a time
_ROWS = 1 << 12


class Texts:
    """Texts that can be gone through, and looked up by row.

    Parameters
    ----------
    X : column or sequence of text, or Pool of kind text
    name : str
        What it is, for messages.

    Attributes
    ----------
    replaced : int
        Texts with lone surrogates, which UTF-8 can't hold: they became U+FFFD.

    Raises
    ------
    InputError
        `X` holds anything but text.
    """

    def __init__(self, X: Any, name: str = "X") -> None:
        self.replaced = 0
        self._pool = X if isinstance(X, Pool) else None
        self._column: pl.Series | pa.ChunkedArray | None = None
        if self._pool is not None:
            if self._pool.kind != "text":
                raise InputError(f"{name} is a pool of {self._pool.kind}s, not of texts.")
        elif isinstance(X, pa.Array | pa.ChunkedArray):
            self._column = as_texts(X)
        else:
            self._column = text_series(X, name)
            if isinstance(X, list | tuple | np.ndarray):
                held = self._column.str.contains("\ufffd", literal=True)
                self.replaced = sum(
                    _SURROGATE.search(X[row]) is not None for row in held.arg_true().to_list()
                )

    def batches(self) -> Iterator[Any]:
        """Yield columns of text in row order."""
        if self._pool is not None:
            yield from self._pool.batches(_ROWS)
            return
        column = self._column
        assert column is not None
        for row in range(0, len(column), _ROWS):
            yield column.slice(row, _ROWS)

    def take(self, rows: Rows) -> pl.Series:
        """Return the texts of `rows`."""
        if self._pool is not None:
            name = self._pool.roles.content
            return self._pool.take(rows, [name])[name].cast(pl.String)
        if isinstance(self._column, pl.Series):
            return self._column.gather(rows)
        assert self._column is not None
        return pl.Series(self._column.take(pa.array(rows)))
