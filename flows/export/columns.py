"""What is added to the rows' own columns: position, weight, decision, scores, map, vectors, neighbors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.flows.report.rows import stored_artifact
from assay.flows.running.maps import map_run
from assay.index import SimilarityGraph
from assay.index.vectors.stored import read_vectors
from assay.storage import ScoreStore
from assay.storage.errors import ConfigError, StoreError
from assay.storage.names import fold

NONE = "none"
DECISIONS = ("selected", "stage", "reason", "detail")


def check_additions(names: Collection[str]) -> frozenset[str]:
    """Return the additions that are wanted; scores are among them unless ``none`` is.

    Raises
    ------
    ConfigError
        There is no such addition.
    """
    known = (*_ADDED, NONE)
    for name in names:
        if name not in known:
            raise ConfigError(
                f"There is nothing named {name!r} to add; there is: {_listed(known)}."
            )
    wanted = frozenset(names) - {NONE}
    return wanted if NONE in names else wanted | {"scores"}


def _listed(names: Collection[str]) -> str:
    return ", ".join(names)


def added_columns(
    store: ScoreStore, run_id: str, rows: pl.DataFrame, wanted: Collection[str]
) -> pl.DataFrame:
    """Return the columns that are added to rows of a run, in the rows' order.

    Parameters
    ----------
    store : ScoreStore
    run_id : str
    rows : DataFrame
        See `assay.flows.export.rows.Rows`.
    wanted : collection of str
        See `check_additions`.

    Raises
    ------
    StoreError
        What is wanted is no longer in the store.
    """
    parts = [rows.select("sample_id", "position", "weight")]
    parts += [add(store, run_id, rows) for name, add in _ADDED.items() if name in wanted]
    return pl.concat([part for part in parts if part.width], how="horizontal")


def _decisions(store: ScoreStore, run_id: str, rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(DECISIONS)


def _scores(store: ScoreStore, run_id: str, rows: pl.DataFrame) -> pl.DataFrame:
    # the methods' order is that of the columns
    scores = store.run_table(run_id, "SELECT key, method, score FROM scores ORDER BY method, key")
    if scores.is_empty():
        return pl.DataFrame()
    wide = scores.pivot("method", index="key", values="score")
    joined = rows.select("key").join(wide, on="key", how="left", maintain_order="left")
    return joined.drop("key")


def _map(store: ScoreStore, run_id: str, rows: pl.DataFrame) -> pl.DataFrame:
    places = store.run_table(map_run(store, run_id), 'SELECT sample_id, x, y FROM "map"')
    joined = rows.select("sample_id").join(
        places, on="sample_id", how="left", maintain_order="left"
    )
    return joined.select("x", "y")


def _vectors(store: ScoreStore, run_id: str, rows: pl.DataFrame) -> pl.DataFrame:
    vectors = read_vectors(_folder(store, run_id, "embed", "vectors"))
    place = _places(_graph(store, run_id), rows)
    taken = np.zeros((rows.height, vectors.shape[1]), np.float32)
    taken[place >= 0] = vectors[place[place >= 0]]
    column = pl.Series("vector", taken, dtype=pl.Array(pl.Float32, vectors.shape[1]))
    return column.set(pl.Series(place < 0), None).to_frame()


def _neighbors(store: ScoreStore, run_id: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Return each row's neighbors: their row numbers in this export with distances, and their ids.

    Row numbers and distances have the form that Embedding Atlas takes.
    """
    graph = _graph(store, run_id)
    place = _places(graph, rows)
    usable = place >= 0
    row_of_node = np.full(len(graph), -1, np.int64)
    row_of_node[place[usable]] = np.flatnonzero(usable)
    neighbors, distances = graph.neighbors[place], graph.distances()[place]
    listed = (neighbors >= 0) & usable[:, None]
    exported = listed & (row_of_node[neighbors] >= 0)
    ids = graph.sample_ids
    assert ids is not None
    names = ids.gather(neighbors[listed]).to_arrow(compat_level=pl.CompatLevel.oldest())
    parts = [
        _lists(row_of_node[neighbors], exported, usable),
        _lists(distances.astype(np.float64), exported, usable),
    ]
    empty = pa.array(~usable)
    pairs = pa.StructArray.from_arrays(parts, ["ids", "distances"], mask=empty)
    return pl.DataFrame(
        {"neighbors": pl.Series(pairs), "neighbor_ids": pl.Series(_lists(names, listed, usable))}
    )


def _lists(values: Any, keep: np.ndarray, usable: np.ndarray) -> Any:
    """Return each row's kept values as a list; null for rows that are not usable."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(keep.sum(axis=1))]).astype(np.int64))
    items = pa.array(values[keep]) if isinstance(values, np.ndarray) else values
    return pa.LargeListArray.from_arrays(offsets, items, mask=pa.array(~usable))


def _places(graph: SimilarityGraph, rows: pl.DataFrame) -> np.ndarray:
    """Return the node of each row; -1 for rows without content."""
    ids = graph.sample_ids
    assert ids is not None
    nodes = pl.DataFrame({"sample_id": ids}).with_row_index("node")
    joined = rows.select("sample_id").join(nodes, on="sample_id", how="left", maintain_order="left")
    return joined["node"].cast(pl.Int64).fill_null(-1).to_numpy()


def _graph(store: ScoreStore, run_id: str) -> SimilarityGraph:
    return SimilarityGraph.load(_folder(store, run_id, "graph", "neighbors"))


def _folder(store: ScoreStore, run_id: str, stage: str, what: str) -> Path:
    folder = stored_artifact(store, run_id, stage)
    if folder is None:
        raise StoreError(
            f"The {what} of run {run_id} are no longer in the store {store.path}. Run `assay "
            "curate` again, or export without them."
        )
    return folder


_ADDED: dict[str, Callable[[ScoreStore, str, pl.DataFrame], pl.DataFrame]] = {
    "decisions": _decisions,
    "scores": _scores,
    "map": _map,
    "vectors": _vectors,
    "neighbors": _neighbors,
}


def own_names(added: Sequence[str], of_pool: Sequence[str]) -> dict[str, str]:
    """Return new names for added columns that the pool has, in any case; the pool's stay."""
    pool = {fold(name) for name in of_pool}
    taken = pool | {fold(name) for name in added}
    names: dict[str, str] = {}
    for name in (n for n in added if fold(n) in pool):
        own = f"assay_{name}"
        while fold(own) in taken:
            own = f"assay_{own}"
        taken.add(fold(own))
        names[name] = own
    return names
