"""Vectors of the files that a command names, by the default embedder of a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from assay.index.embedding.embedders import embed, embedder_class
from assay.selection.contract.inputs import Rows
from assay.storage import Pool, read_pool
from assay.storage.errors import InputError
from assay.storage.hashing.rows import uniform


@dataclass(frozen=True, eq=False)
class Contents:
    """The usable rows of a pool, up to a limit, and the embedder for others.

    Attributes
    ----------
    pool : Pool
    rows : int64[n]
        Their numbers in the pool.
    samples : pl.DataFrame
        What `Pool.samples` says about them.
    vectors : float32[n, d]
    """

    pool: Pool
    rows: Rows
    samples: pl.DataFrame
    vectors: np.ndarray
    embedder: Any

    def vectors_of(self, other: Pool) -> np.ndarray:
        """Return the vectors of the usable rows of another set."""
        rows = np.flatnonzero(other.samples()["problem"].is_null().to_numpy())
        return _embedded(other, rows, self.embedder)


def contents_of(source: str, roles: dict[str, Any], *, most: int | None = None) -> Contents:
    """Read a pool and embed its usable rows; of more than `most`, those whose ids hash smallest.

    Parameters
    ----------
    source : str
        As of `read_pool`.
    roles : dict
        The arguments of `read_pool`.
    most : int, optional

    Raises
    ------
    InputError
        No row is usable.
    """
    pool = read_pool(source, **roles)
    samples = pool.samples()
    rows = np.flatnonzero(samples["problem"].is_null().to_numpy())
    if not len(rows):
        raise InputError(f"The pool {pool.name!r} has no usable row; every one is empty.")
    ids = samples["sample_id"].gather(rows)
    if most is not None and len(rows) > most:
        rows = np.sort(rows[np.argsort(uniform(ids, 0), kind="stable")[:most]])
    samples = samples[rows]
    embedder = None
    if pool.kind != "vector":
        embedder = embedder_class(pool.kind)()
        embedder.fit(pool.contents_at(rows), ids=samples["sample_id"].to_list())
    return Contents(pool, rows, samples, _embedded(pool, rows, embedder), embedder)


def _embedded(pool: Pool, rows: Rows, embedder: Any) -> np.ndarray:
    content = pool.contents_at(rows)
    vectors: np.ndarray = embed(content) if embedder is None else embedder.encode(content)
    return vectors
