"""What one export hands out: rows of a run with their columns, and what is known about them."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assay.flows.config.curation import CurationConfig
from assay.flows.export.columns import added_columns, own_names
from assay.flows.export.rows import rows_of
from assay.flows.stages.places import place_of, pool_of
from assay.storage import Pool, ScoreStore


@dataclass(frozen=True)
class Selection:
    """Rows of a run, in the order in which they are handed out.

    Attributes
    ----------
    store : ScoreStore
    run : dict
        The run's row of the view `runs`.
    config : CurationConfig
    pool : Pool
    location : str
        Where the pool is now.
    rows : DataFrame
        See `assay.flows.export.rows.Rows`.
    words : str
        Which rows these are.
    frame : DataFrame
        The pool's own columns, then those that are added.
    renamed : mapping of str to str
        Added columns that have another name, since the pool has one of theirs.
    """

    store: ScoreStore
    run: dict[str, Any]
    config: CurationConfig
    pool: Pool
    location: str
    rows: pl.DataFrame
    words: str
    frame: pl.DataFrame
    renamed: dict[str, str]

    @property
    def run_id(self) -> str:
        return str(self.run["run_id"])

    @property
    def ids(self) -> pl.Series:
        return self.rows["sample_id"]

    @property
    def content_column(self) -> str:
        return self.pool.roles.content

    @cached_property
    def contents(self) -> pl.Series:
        """The rows' texts, vectors or bytes of images, as a run reads them."""
        order, place = np.unique(self.rows["key"].to_numpy(), return_inverse=True)
        if not len(order):
            return pl.Series([], dtype=pl.String if self.pool.kind == "text" else pl.Binary)
        return pl.Series(self.pool.contents_at(order))[place]

    @cached_property
    def image_files(self) -> list[Path | None]:
        """The files of the rows' images; None where a table holds the bytes."""
        order, place = np.unique(self.rows["key"].to_numpy(), return_inverse=True)
        files = self.pool.image_files(order)
        return [files[each] for each in place.tolist()]


def select(
    store: ScoreStore,
    run: dict[str, Any],
    *,
    rows: str,
    additions: Collection[str],
    columns: Sequence[str] | None,
    pool: str | os.PathLike[str] | None,
) -> Selection:
    """Gather what an export of a run hands out; see `assay.flows.export.write.export`."""
    config = CurationConfig.build(json.loads(run["config"]))
    picked = rows_of(store, run["run_id"], rows, config)
    opened = pool_of(store, run["run_id"], config, pool)
    own = opened.take(picked.frame["key"].to_numpy(), list(columns) if columns else None)
    added = added_columns(store, run["run_id"], picked.frame, additions)
    if config.id is not None:
        added = added.drop("sample_id")
    renamed = own_names(added.columns, own.columns)
    return Selection(
        store,
        run,
        config,
        opened,
        os.fspath(pool) if pool is not None else place_of(store, str(config.pool)),
        picked.frame,
        picked.words,
        own.hstack(added.rename(renamed)),
        renamed,
    )
