"""The content of some rows of a run's pool, as far as the pool is still what it was."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import polars as pl

from assay.flows.config.curation import CurationConfig
from assay.flows.report.thumbnails import Sprite, sprite, thumbnail
from assay.flows.stages.places import pool_of
from assay.storage import Pool, ScoreStore
from assay.storage.errors import AssayError


class Contents:
    """Reads the texts and pictures of rows of the pool that a run was made from.

    Attributes
    ----------
    problem : str or None
        Why no content can be shown.
    kind : str
        "text", "image", "vector", or "" where the pool can't be read.
    """

    def __init__(self, store: ScoreStore, run: dict[str, Any]) -> None:
        self.problem: str | None = None
        self.kind = ""
        self._pool: Pool | None = None
        try:
            config = CurationConfig.build(json.loads(run["config"]))
            self._pool = pool_of(store, run["run_id"], config)
            self.kind = self._pool.kind
        except (AssayError, OSError) as error:
            self.problem = f"The content of rows is not shown. {error}"

    def texts(self, keys: pl.Series) -> pl.Series:
        """Return the rows' texts, or empty texts."""
        if self._pool is None or self.kind != "text" or keys.is_empty():
            return pl.Series([""] * len(keys), dtype=pl.String)
        content = str(self._pool.roles.text)
        taken = self._pool.take(keys.to_numpy(), [content])[content]
        if taken.dtype.is_nested():
            return taken.map_elements(_as_json, return_dtype=pl.String).fill_null("")
        return taken.cast(pl.String).fill_null("")

    def excerpts(self, keys: pl.Series, length: int) -> pl.Series:
        """Return the beginnings of the rows' texts on one line, or empty texts."""
        flat = self.texts(keys).str.replace_all(r"\s+", " ").str.strip_chars()
        short = flat.str.slice(0, length)
        longer = flat.str.len_chars() > length
        return pl.select(pl.when(longer).then(short + "…").otherwise(short)).to_series()

    def rows(self, keys: pl.Series) -> pl.DataFrame:
        """Return the rows with all columns of the pool that are not pictures or vectors."""
        if self._pool is None:
            return pl.DataFrame()
        left_out = {self._pool.roles.image, self._pool.roles.vector}
        names = [name for name in self._pool.columns if name not in left_out]
        return self._pool.take(keys.to_numpy(), names)

    def pictures(self, keys: pl.Series) -> list[str]:
        """Return the rows' pictures as data URLs, or empty texts."""
        return [thumbnail(value) for value in self._pictures(keys)] or [""] * len(keys)

    def sprite(self, keys: pl.Series) -> Sprite | None:
        """Return all pictures of the rows in one, None where the pool holds no pictures."""
        if self.kind != "image" or keys.is_empty():
            return None
        return sprite(self._pictures(keys))

    def _pictures(self, keys: pl.Series) -> list[Any]:
        if self._pool is None or self.kind != "image" or keys.is_empty():
            return []
        rows, place = np.unique(keys.to_numpy(), return_inverse=True)
        content = self._pool.contents_at(rows)
        return [content[int(i)].as_py() for i in place]


def _as_json(value: Any) -> str:
    items = value.to_list() if isinstance(value, pl.Series) else value
    return json.dumps(items, ensure_ascii=False, default=str)
