"""What a click on a row shows: its neighbors, its duplicates, and the chosen row beside it."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.flows.report.contents import Contents
from assay.flows.report.decisions import decision_words, detail, representatives
from assay.flows.stages.drift import cell_ratios
from assay.index import SimilarityGraph
from assay.index.vectors.stored import read_vectors
from assay.storage import ScoreStore
from assay.storage.errors import AssayError

NEIGHBORS = 6
MEMBERS = 20
EXCERPT = 80
EXPLAINED = 2_000
Rows = NDArray[np.int64]


def stored_artifact(store: ScoreStore, run_id: str, stage: str) -> Path | None:
    """Return the folder of a stage's output, None if it is no longer in the store."""
    rows = store.run_table(run_id, "SELECT stage, kind, fingerprint FROM artifacts")
    refs = rows.filter(pl.col("stage") == stage).select("kind", "fingerprint").rows()
    if not refs or not store.artifacts.intact(*refs[0]):
        return None
    return store.artifacts.open(*refs[0])


def stored_graph(store: ScoreStore, run_id: str) -> SimilarityGraph | None:
    """Return the similarity graph of a run, None where it is no longer in the store."""
    folder = stored_artifact(store, run_id, "graph")
    return None if folder is None else SimilarityGraph.load(folder)


def graph_ids(graph: SimilarityGraph) -> pl.Series:
    """Return the ids of a graph's nodes."""
    if graph.sample_ids is not None:
        return graph.sample_ids
    return pl.Series(np.arange(len(graph))).cast(pl.String)


def row_payload(
    store: ScoreStore,
    run_id: str,
    rows: pl.DataFrame,
    points: pl.DataFrame,
    scores: list[str],
    contents: Contents,
) -> dict[str, Any]:
    """Return what the page's script needs of the points, as lists in their order.

    Parameters
    ----------
    rows : DataFrame
        All rows of the run.
    points : DataFrame
        Those on the page, with their excerpts.
    """
    ranks = store.run_table(run_id, "SELECT key, method, rank FROM scores ORDER BY method, key")
    ranks = ranks.filter(pl.col("key").is_in(points["key"].implode()))
    by_method = dict(ranks.group_by("method", maintain_order=True))
    graph = stored_graph(store, run_id)
    neighbors = None if graph is None else neighbors_among(graph, points["sample_id"])
    represented = representative_ids(rows, points, graph)
    sprite = contents.sprite(points["key"])
    return {
        "ids": points["sample_id"].to_list(),
        "x": _rounded(points["x"]),
        "y": _rounded(points["y"]),
        "chosen": points["selected"].cast(pl.Int8).to_list(),
        "words": points.select(decision_words()).to_series().to_list(),
        "excerpts": points["excerpt"].to_list(),
        "sprite": None if sprite is None else sprite._asdict(),
        "values": {
            name: codes
            for name, column in (("reason", "reason"), ("label", "label"), ("group", "group_id"))
            if (codes := _coded(points[column])) is not None
        },
        "scores": {name: _significant(points[name]) for name in scores},
        "ranks": {
            name: points.select("key")
            .join(by_method[(name,)], on="key", how="left", maintain_order="left")["rank"]
            .to_list()
            for name in scores
            if (name,) in by_method
        },
        "neighbors": [] if neighbors is None else neighbors.tolist(),
        "represented": represented.to_list(),
        "duplicates": _duplicates(store, run_id, points),
    }


def surroundings(store: ScoreStore, run: dict[str, Any], sample_id: str) -> dict[str, Any]:
    """Return what stands around a row: its content, neighbors, duplicates and representative.

    Returns
    -------
    dict
        content : text, or None where it can't be shown; content_problem : why.
        neighbors : the nearest rows, with similarity, selected and excerpt.
        duplicates : the rows of its group, with kind and keeper.
        represented_by : the chosen row that stands for it, with its excerpt, or None.
    """
    run_id = run["run_id"]
    rows = store.run_table(
        run_id,
        "SELECT s.key, s.sample_id, d.selected, d.detail::VARCHAR AS detail "
        "FROM samples s JOIN decisions d USING (key) ORDER BY s.key",
    )
    contents = Contents(store, run)
    own = rows.filter(pl.col("sample_id") == sample_id)
    graph = stored_graph(store, run_id)
    near = own.head(0).with_columns(similarity=pl.lit(None, pl.Float32))
    if graph is not None:
        nodes = graph_ids(graph)
        at = nodes.index_of(sample_id)
        if at is not None:
            lists = graph.neighbors[at]
            present = lists >= 0
            near = (
                pl.DataFrame(
                    {
                        "sample_id": nodes.gather(lists[present]),
                        "similarity": graph.similarities[at][present],
                    }
                )
                .head(NEIGHBORS)
                .join(rows, on="sample_id", how="left", maintain_order="left")
            )
    copies = store.run_table(
        run_id,
        "SELECT key, kind, keeper, group_id FROM duplicates WHERE group_id IN "
        f"(SELECT group_id FROM duplicates WHERE key = {own['key'][0]}) ORDER BY key",
    ).join(rows, on="key", maintain_order="left")
    stands = representative_ids(rows, own, graph)[0]
    chosen = rows.filter(pl.col("sample_id") == stands) if stands else rows.head(0)
    text = contents.texts(own["key"])[0]
    return {
        "content": text[:EXPLAINED] if text else None,
        "content_problem": contents.problem,
        "neighbors": near.select(
            "sample_id",
            "similarity",
            "selected",
            excerpt=contents.excerpts(near["key"], EXCERPT),
        ).rows(named=True),
        "duplicates": copies.filter(pl.col("sample_id") != sample_id)
        .select("sample_id", "kind", "keeper")
        .head(MEMBERS)
        .rows(named=True),
        "represented_by": None
        if chosen.is_empty() or stands == sample_id
        else {
            "sample_id": stands,
            "excerpt": contents.excerpts(chosen["key"], EXCERPT)[0],
        },
    }


def packed(value: Any) -> str:
    """Return a value as base64 of compressed JSON, which holds no markup whatever the value says."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=6, mtime=0)).decode()


def neighbors_among(graph: SimilarityGraph, ids: pl.Series) -> NDArray[np.int64]:
    """Return, for each id, up to `NEIGHBORS` positions in `ids` of its nearest rows, -1 beyond."""
    nodes = graph_ids(graph)
    place = pl.DataFrame({"sample_id": ids}).with_row_index("place")
    at = pl.DataFrame({"sample_id": nodes}).join(
        place, on="sample_id", how="left", maintain_order="left"
    )
    place_of_node = at["place"].cast(pl.Int64).fill_null(-1).to_numpy()
    node_of_place = np.full(len(ids), -1)
    on_page = np.flatnonzero(place_of_node >= 0)
    node_of_place[place_of_node[on_page]] = on_page
    positions = np.full((len(ids), NEIGHBORS), -1)
    known = node_of_place >= 0
    lists = graph.neighbors[node_of_place[known]]
    targets = np.where(lists >= 0, place_of_node[lists], -1)
    order = np.argsort(targets < 0, axis=1, kind="stable")[:, :NEIGHBORS]
    nearest = np.take_along_axis(targets, order, axis=1)
    positions[known, : nearest.shape[1]] = nearest
    return positions


def representative_ids(
    rows: pl.DataFrame, points: pl.DataFrame, graph: SimilarityGraph | None
) -> pl.Series:
    """Return the id of the chosen row that stands for each point, null where none is near.

    That is the nearest chosen row as the decision names it, that of the duplicate that stays, or
    the first chosen row among the neighbors.
    """
    own = rows.select("sample_id", representatives().alias("represented"))
    named = points.select("sample_id", represented=representatives(), keeper=detail("keeper")).join(
        own.rename({"sample_id": "keeper", "represented": "of_keeper"}),
        on="keeper",
        how="left",
        maintain_order="left",
    )
    ids = named.select(pl.coalesce("represented", "of_keeper")).to_series()
    if graph is None or not ids.is_null().any():
        return ids
    nodes = graph_ids(graph)
    chosen = nodes.is_in(rows.filter("selected")["sample_id"].implode()).to_numpy()
    lists = graph.neighbors
    hits = (lists >= 0) & chosen[lists]
    first = np.where(hits.any(axis=1), lists[np.arange(len(lists)), hits.argmax(axis=1)], -1)
    nearest = pl.DataFrame({"sample_id": nodes, "at": first}).with_columns(
        near=nodes.gather(np.maximum(first, 0)) if len(nodes) else nodes
    )
    near = named.select("sample_id").join(
        nearest.filter(pl.col("at") >= 0), on="sample_id", how="left", maintain_order="left"
    )["near"]
    return pl.select(pl.coalesce(ids, near)).to_series()


def drift_ratios(store: ScoreStore, run_id: str, points: pl.DataFrame) -> NDArray[Any] | None:
    """Return how much more frequent rows like each point are than when the generation was fitted.

    None where nothing was fitted, or its artifacts are no longer in the store.
    """
    fitted = stored_artifact(store, run_id, "fit")
    vectors = stored_artifact(store, run_id, "embed")
    graph = stored_graph(store, run_id)
    if fitted is None or vectors is None or graph is None:
        return None
    try:
        ratios = cell_ratios(fitted, read_vectors(vectors))
    except (AssayError, OSError, ValueError):
        return None
    nodes = graph_ids(graph)
    if len(ratios) != len(nodes):
        return None
    joined = points.select("sample_id").join(
        pl.DataFrame({"sample_id": nodes, "ratio": ratios}),
        on="sample_id",
        how="left",
        maintain_order="left",
    )
    return joined["ratio"].fill_null(float("nan")).to_numpy()


def _duplicates(store: ScoreStore, run_id: str, points: pl.DataFrame) -> dict[str, Any]:
    """Return each point's group of duplicates by number (-1: none), and of each group its size."""
    members = store.run_table(
        run_id,
        "SELECT key, dense_rank() OVER (ORDER BY group_id, kind) - 1 AS number, kind, keeper, "
        "count(*) OVER (PARTITION BY group_id, kind) AS size FROM duplicates ORDER BY key, number",
    )
    if members.is_empty():
        return {"groups": [], "sizes": [], "kinds": []}
    groups = members.unique("number", keep="first").sort("number")
    of_points = (
        points.select("key")
        .join(
            members.unique("key", keep="first").select("key", "number"),
            on="key",
            how="left",
            maintain_order="left",
        )["number"]
        .fill_null(-1)
    )
    return {
        "groups": of_points.to_list(),
        "sizes": groups["size"].to_list(),
        "kinds": groups["kind"].to_list(),
    }


def _coded(values: pl.Series) -> dict[str, Any] | None:
    if not values.is_not_null().any():
        return None
    names = values.drop_nulls().unique().sort().to_list()
    codes = values.replace_strict(names, range(len(names)), default=-1, return_dtype=pl.Int32)
    return {"names": [str(name) for name in names], "codes": codes.fill_null(-1).to_list()}


def _rounded(values: pl.Series) -> list[float]:
    return values.round(3).to_list()


def _significant(values: pl.Series) -> list[float | None]:
    numbers = values.cast(pl.Float64)
    finite = pl.select(pl.when(numbers.is_finite()).then(numbers.round_sig_figs(4))).to_series()
    return finite.to_list()
