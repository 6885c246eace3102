"""Pools that are tables: rows are embedded by their columns, and the store keeps them with vectors."""

from __future__ import annotations

from typing import Any

import polars as pl

from assay.flows.config.curation import CurationConfig
from assay.flows.progress import logger, step
from assay.flows.running.frames import stored_path
from assay.storage import ScoreStore
from assay.storage.errors import ColumnError, ConfigError
from assay.storage.reading.frames import as_table
from assay.storage.reading.tables import read_table, table_name

_VECTOR = "vector"


def with_vectors(
    config: CurationConfig, store: ScoreStore, pool: Any = None, target: Any = None
) -> CurationConfig:
    """Embed the rows of a table by the configuration's `columns`.

    The store keeps a copy of the table, and of the target, with a column of vectors.

    Parameters
    ----------
    config : CurationConfig
        With `columns`, and without a column of content.
    store : ScoreStore
        Its lock is held.
    pool, target : path or frame, optional
        Where the configuration names no file.

    Raises
    ------
    ConfigError
        There is a column of content too, or no pool.
    ColumnError
        A column is not there.
    InputError, NonFiniteError
        Rows can't be embedded by the columns.
    """
    from assay.index.embedding.table import TableEmbedder

    content = [kind for kind in ("text", "image") if config.content(kind)]
    if content:
        raise ConfigError(
            f"`columns` embeds rows by several columns, and `{content[0]}` by one: give one of them."
        )
    source = config.pool if pool is None else pool
    if source is None:
        raise ConfigError(
            "No pool was given. Name one with --pool, or `pool = ...` in the configuration."
        )
    table = _read(source)
    sample = _read(config.target if target is None else target)
    assert table is not None
    named = (*config.columns, *(name for name in (config.id,) if name))
    for name in named:
        if name not in table.columns:
            raise ColumnError.missing(name, table.columns)
    vector = _VECTOR if _VECTOR not in table.columns else f"{_VECTOR} of columns"
    ids = table[config.id].cast(pl.String) if config.id else None
    embedder = TableEmbedder(
        columns=sorted(config.columns),
        fit_rows=config.embedding.fit_rows,
        random_state=config.seed,
    )
    with step("embed columns"):
        embedder.fit(table, ids=ids)
        for name, reason in embedder.left_out_.items():
            logger.warning("column %s is left out of the vectors: %s", name, reason)
        paths = {
            role: stored_path(store, role, frame.with_columns(_vectors(embedder, frame, vector)))
            for role, frame in (("pool", table), ("target", sample))
            if frame is not None
        }
    own = config.name or (table_name(source) if pool is None else None)
    named_as = {"name": own} if own else {}
    values = config.model_dump(exclude_unset=True)
    return CurationConfig.build(values | paths | named_as | {"vector": vector})


def _read(source: Any) -> pl.DataFrame | None:
    if source is None:
        return None
    return read_table(source) if isinstance(source, str) else pl.DataFrame(as_table(source))


def _vectors(embedder: Any, frame: pl.DataFrame, name: str) -> pl.Series:
    vectors = embedder.encode(frame)
    return pl.Series(name, vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))
