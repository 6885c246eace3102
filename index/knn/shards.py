"""The search for nearest neighbors by map and reduce: functions for whatever runs tasks.

Shards are slices of the rows that are searched, and their lists the only thing that is reduced. Each
list holds the best of the rows that its row met, whatever the shard, so that the result is that of
`nearest_neighbors` to the byte. What tasks share lies in files, whose vectors are mapped.

1. `begin` finds the rows to search, and trains the centroids of a block join.
2. `cells_of_shard` finds the nearest cells of a shard's rows (block join only).
3. `lay_out` puts the vectors cell by cell.
4. `join_shard`, and for a block join `expand_shard` as `knn_block_join.seek` says, where `measure`
   gives the recall.
5. `collect` makes of it what `SimilarityGraph.from_vectors` takes as `found`.

Examples
--------
>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> from assay.index import SimilarityGraph
>>> X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
>>> with TemporaryDirectory() as name:
...     begun, laid = Path(name) / "begun", Path(name) / "laid"
...     begun.mkdir(), laid.mkdir()
...     facts = begin(begun, X, None, k=5)
...     lay_out(laid, X, begun, [])
...     parts = [join_shard(begun, laid, slice(b, b + 100)) for b in (0, 100, 200)]
...     found = collect(X, None, begun, laid, parts, k=5)
(None, None)
>>> whole = SimilarityGraph.from_vectors(X, k=5)
>>> bool((SimilarityGraph.from_vectors(X, k=5, found=found).neighbors == whole.neighbors).all())
True
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.knn.block_join import finish, first_probes, join_centroids
from assay.index.knn.block_join import lay_out as layout_of
from assay.index.knn.lists import Layout, Lists
from assay.index.knn.nearest_neighbors import Distinct, Search, distinct_rows
from assay.index.vectors.centroids import assign
from assay.index.vectors.checks import Vectors, as_ids, as_vectors
from assay.index.vectors.exact import BlockScan, Recall, RecallProbe, exact_knn, recall_interval
from assay.index.vectors.mapped import take_rows
from assay.storage.disk.refusals import reserve

PERFECT = Recall(1.0, 1.0, 1.0)
METHODS = ("exact", "block_join")


class Part(NamedTuple):
    """The lists of a shard's rows, by place in the layout, and the cells that these have met."""

    keys: NDArray[np.float64]
    rows: NDArray[np.int32]
    met: NDArray[np.int32]


def begin(folder: Path, X: Any, ids: Any, *, threads: int = 1, **settings: Any) -> dict[str, Any]:
    """Write the files that every shard needs into a folder, and return their description.

    Parameters
    ----------
    folder : Path
    X, ids
        As of `SimilarityGraph.from_vectors`.
    threads : int
    **settings
        k, metric, method, target_recall, random_state and memory_limit, likewise.

    Returns
    -------
    dict
        method ("exact", "block_join", or another that is not sharded), rows, k, metric, lists
        (cells) and probes.
    """
    X, distinct = _distinct(X, ids, **settings)
    facts = {
        "method": distinct.method,
        "rows": len(distinct.take),
        "k": distinct.k,
        "metric": settings.get("metric", "cosine"),
        "lists": 0,
        "probes": 0,
    }
    if distinct.method == "block_join" and distinct.k > 0:
        centroids = join_centroids(
            X, distinct.take, distinct.k, facts["metric"], distinct.noise, threads
        )
        facts["lists"] = len(centroids)
        facts["probes"] = first_probes(len(distinct.take), len(centroids), distinct.k)
        np.save(folder / "centroids.npy", centroids)
        np.save(folder / "noise.npy", distinct.noise)
    np.save(folder / "take.npy", distinct.take)
    (folder / "facts.json").write_text(json.dumps(facts))
    return facts


def _distinct(
    X: Any,
    ids: Any,
    *,
    k: int = 15,
    metric: str = "cosine",
    method: str = "auto",
    target_recall: float = 0.95,
    random_state: int = 0,
    memory_limit: int | None = None,
) -> tuple[Vectors, Distinct]:
    X = as_vectors(X, ids=ids)
    named: pl.Series | None = as_ids(ids, len(X))
    return X, distinct_rows(
        X, named, k=k, metric=metric, method=method, target_recall=target_recall,
        random_state=random_state, memory_limit=memory_limit,
    )  # fmt: skip


def _facts(begun: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((begun / "facts.json").read_text())
    return found


def cells_of_shard(X: Vectors, begun: Path, rows: slice, *, threads: int = 1) -> NDArray[np.int32]:
    """Return the nearest cells of some of the rows to search."""
    facts = _facts(begun)
    take = np.load(begun / "take.npy")[rows]
    centroids = np.load(begun / "centroids.npy")
    return assign(X, centroids, facts["metric"], facts["probes"], take=take, threads=threads)


def lay_out(
    folder: Path, X: Vectors, begun: Path, met: Sequence[NDArray[np.int32]], *, threads: int = 1
) -> None:
    """Write the layout into a folder; `met` are the shards' cells, in their order."""
    facts, take = _facts(begun), np.load(begun / "take.npy")
    room = np.lib.format.open_memmap(
        folder / "X.npy", mode="w+", dtype=np.float32, shape=(len(take), X.shape[1])
    )
    reserve(folder / "X.npy")
    if facts["method"] == "exact":
        take_rows(X, take, room)
        room.flush()
        return
    layout, place = layout_of(
        X,
        take,
        np.concatenate(met),
        np.load(begun / "centroids.npy"),
        facts["metric"],
        np.load(begun / "noise.npy"),
        room,
    )
    room.flush()
    truth = RecallProbe(layout.searched, layout.sample, facts["k"], threads, None)
    for name, array in (
        ("rank", layout.searched.rank),
        ("met", layout.met),
        ("sample", layout.sample),
        ("worst", truth.worst),
        ("place", place),
    ):
        np.save(folder / f"{name}.npy", array)


def _layout(begun: Path, laid: Path, metric: str) -> Layout:
    X = np.load(laid / "X.npy", mmap_mode="r")
    rank, met, sample = (np.load(laid / f"{name}.npy") for name in ("rank", "met", "sample"))
    return Layout(BlockScan(X, metric, rank), met, np.load(begun / "centroids.npy"), sample)


def join_shard(
    begun: Path,
    laid: Path,
    rows: slice,
    *,
    probes: int = 0,
    before: Part | None = None,
    threads: int = 1,
) -> Part:
    """Search for some of the rows laid out: everywhere, or in their `probes` nearest cells.

    `before`: their lists, which have met fewer cells.
    """
    facts = _facts(begun)
    if facts["method"] == "exact":
        searched = BlockScan(np.load(laid / "X.npy", mmap_mode="r"), facts["metric"])
        itself = np.arange(rows.start, rows.stop)
        found = exact_knn(searched.X[rows], searched, facts["k"], itself=itself, threads=threads)
        return Part(*found, np.empty((len(itself), 0), np.int32))
    lists = _lists(begun, laid, rows, before, threads)
    lists.join(lists.nearest(probes))
    return Part(lists.keys, lists.rows, lists.met)


def expand_shard(
    begun: Path, laid: Path, rows: slice, parts: Sequence[Part], place: int, *, threads: int = 1
) -> Part:
    """Try neighbors of neighbors for some of the rows, those of `parts[place]`."""
    everyone = np.concatenate([part.rows for part in parts])
    lists = _lists(begun, laid, rows, parts[place], threads)
    lists.expand(everyone)
    return Part(lists.keys, lists.rows, lists.met)


def _lists(begun: Path, laid: Path, rows: slice, before: Part | None, threads: int) -> Lists:
    facts = _facts(begun)
    layout = _layout(begun, laid, facts["metric"])
    count = rows.stop - rows.start
    lists = Lists(layout, facts["k"], threads, first=rows.start, count=count)
    if before is not None:
        lists.keys, lists.rows = before.keys.copy(), before.rows.copy()
        lists.met = before.met
    return lists


def measure(laid: Path, parts: Sequence[Part]) -> Recall:
    """Return the recall of the lists of all rows, the shards in their order."""
    sample, worst = np.load(laid / "sample.npy"), np.load(laid / "worst.npy")
    bounds = np.cumsum([0, *(len(part.keys) for part in parts)])
    found = np.empty((len(sample), parts[0].keys.shape[1]))
    for part, first in zip(parts, bounds, strict=False):
        here = np.flatnonzero((sample >= first) & (sample < first + len(part.keys)))
        found[here] = part.keys[sample[here] - first]
    return recall_interval((found <= worst).mean(axis=1), int(bounds[-1]))


def collect(
    X: Any,
    ids: Any,
    begun: Path,
    laid: Path,
    parts: Sequence[Part],
    *,
    recall: Recall = PERFECT,
    rounds: int = 0,
    probes: int = 0,
    threads: int = 1,
    **settings: Any,
) -> tuple[Distinct, Search]:
    """Return the neighbors that the shards found; `settings` as for `begin`."""
    facts = _facts(begun)
    _, distinct = _distinct(X, ids, **settings)
    keys, rows = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    if facts["method"] == "exact":
        return distinct, Search(keys, rows, recall)
    layout = _layout(begun, laid, facts["metric"])
    lists = Lists(layout, facts["k"], threads)
    lists.keys, lists.rows = keys, rows
    lists.complete()
    place = np.load(laid / "place.npy")
    keys, rows = finish(keys, rows, place, layout.searched.rank)
    cells = layout.met[place, 0]
    return distinct, Search(keys, rows, recall, layout.centroids, rounds, probes, cells)
