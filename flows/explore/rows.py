"""The rows of a finished run, searched by text, by SQL, and by what they are like."""

from __future__ import annotations

import json
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assay.flows.config.curation import CurationConfig
from assay.flows.export.rows import rows_of
from assay.flows.report.contents import Contents
from assay.flows.report.decisions import decision_words
from assay.flows.report.facts import run_rows
from assay.flows.report.rows import graph_ids, stored_artifact
from assay.index import SimilarityGraph, VectorIndex
from assay.index.vectors.stored import read_rows
from assay.storage import ScoreStore
from assay.storage.errors import IdError, StoreError

PAGE = 50
LIKE = 200
_EXCERPT = 240


class ExploredRows:
    """Reads one run and its pool; writes nothing.

    Parameters
    ----------
    store : ScoreStore
    run : dict
        The run's row of the view `runs`.
    """

    def __init__(self, store: ScoreStore, run: dict[str, Any]) -> None:
        self.store = store
        self.run_id = str(run["run_id"])
        self._config = CurationConfig.build(json.loads(run["config"]))
        self._contents = Contents(store, run)
        rows, self.scores = run_rows(store, self.run_id)
        self._rows = rows
        self.found = lru_cache(maxsize=32)(self._search)

    def page(self, kind: str, query: str, offset: int) -> dict[str, Any]:
        """Return `PAGE` rows of what a search finds, from `offset` on, and how many it finds.

        Parameters
        ----------
        kind : {"all", "text", "sql", "like"}
            All rows; rows whose content holds a text; rows that meet an SQL condition over their
            columns, decisions and scores, or that a query names (`assay.flows.export.rows.rows_of`); the rows most like the one of an id.
        query : str
        offset : int

        Raises
        ------
        QueryError
            The condition is malformed or names what does not exist.
        IdError, StoreError
            There is no such row, or the index is no longer in the store.
        """
        keys = self.found(kind, query)
        part = self._rows[keys[offset : offset + PAGE]]
        shown = part.select("sample_id", "label", "selected", decision_words()).with_columns(
            excerpt=self._contents.excerpts(part["key"], _EXCERPT)
        )
        return {"total": len(keys), "offset": offset, "rows": shown.rows(named=True)}

    def row(self, sample_id: str) -> dict[str, Any]:
        """Return a row's whole content and its columns, as text.

        Raises
        ------
        IdError
            There is no row of that id.
        """
        key = pl.Series([self._key_of(sample_id)])
        columns = self._contents.rows(key)
        values = {
            name: None if columns[name][0] is None else str(columns[name][0])[:2_000]
            for name in columns.columns
        }
        return {"text": self._contents.texts(key)[0][:100_000], "columns": values}

    def holds(self, ids: list[str]) -> None:
        """Raise `IdError` unless the run has all of these rows."""
        unknown = pl.Series("id", ids, dtype=pl.String).filter(
            ~pl.Series(ids, dtype=pl.String).is_in(self._rows["sample_id"].implode())
        )
        if len(unknown):
            raise IdError(f"The run {self.run_id} has no row {unknown[0]!r}.")

    @cached_property
    def _texts(self) -> pl.Series:
        return self._contents.texts(self._rows["key"]).str.to_lowercase()

    def _search(self, kind: str, query: str) -> np.ndarray:
        if kind == "text":
            wanted = query.lower()
            in_text = self._texts.str.contains(wanted, literal=True)
            in_id = self._rows["sample_id"].str.to_lowercase().str.contains(wanted, literal=True)
            return np.flatnonzero((in_text | in_id).to_numpy())
        if kind == "sql":
            return self._meeting(query)
        if kind == "like":
            return self._like(query)
        return np.arange(self._rows.height)

    def _meeting(self, condition: str) -> np.ndarray:
        frame = rows_of(self.store, self.run_id, condition, self._config).frame
        hit = self._rows["sample_id"].is_in(frame["sample_id"].implode())
        return np.flatnonzero(hit.to_numpy())

    def _like(self, sample_id: str) -> np.ndarray:
        self._key_of(sample_id)
        index = self._index
        # vectors are in the order of the graph's rows, the index in one of its own
        at = self._usable_ids.index_of(sample_id)
        if at is None or index.ids is None:
            raise IdError(f"The row {sample_id!r} has no content to compare.")
        _, positions = index.search(
            read_rows(self._folder("embed"), np.array([at])),
            min(LIKE, len(index)),
            vectors=self._vectors_at,
        )
        near = pl.Series(index.ids[positions[0][positions[0] >= 0]], dtype=pl.String)
        keys = pl.DataFrame({"sample_id": near}).join(
            self._rows.select("sample_id", "key"), on="sample_id", maintain_order="left"
        )
        return keys["key"].to_numpy().astype(np.int64)

    @cached_property
    def _usable_ids(self) -> pl.Series:
        return graph_ids(SimilarityGraph.load(self._folder("graph")))

    def _vectors_at(self, positions: np.ndarray) -> np.ndarray:
        """Return the vectors of positions of the index."""
        ids = self._index.ids
        assert ids is not None  # whoever searches has looked
        wanted = pl.DataFrame({"id": pl.Series(ids[positions], dtype=pl.String)})
        known = self._usable_ids.alias("id").to_frame().with_row_index("at")
        return read_rows(
            self._folder("embed"),
            wanted.join(known, on="id", how="left", maintain_order="left")["at"].to_numpy(),
        )

    @cached_property
    def _index(self) -> VectorIndex:
        return VectorIndex.load(self._folder("index"))

    def _folder(self, stage: str) -> Path:
        folder = stored_artifact(self.store, self.run_id, stage)
        if folder is None:
            raise StoreError(
                f"What the stage {stage} of run {self.run_id} made is no longer in the store, so "
                "no rows can be compared. Run `assay curate` again."
            )
        return folder

    def _key_of(self, sample_id: str) -> int:
        at = self._rows["sample_id"].index_of(sample_id)
        if at is None:
            raise IdError(f"The run {self.run_id} has no row {sample_id!r}.")
        return int(at)
