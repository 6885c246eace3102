"""Edges that come with a pool - citations, links, replies - as a graph of its rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from assay.index.graph.symmetric_edges import Edges
from assay.storage.errors import ColumnError, InputError

# how a graph of given edges says that its lists are not those of the nearest vectors
GIVEN = "edges"
# share of the edges whose ends the pool may not know
UNKNOWN = 0.05
_LEAST = np.float32(1e-6)
_COLUMNS = ("source", "target", "weight")
_BLOCK = 65_536


class GivenEdges(NamedTuple):
    """Edges in compressed rows, the heaviest of each row as lists, and what is reported of them."""

    edges: Edges
    neighbors: NDArray[np.int32]
    distances: NDArray[np.float32]
    report: dict[str, Any]


def edge_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """Return edges as `source`, `target` (text) and, where there is one, `weight`.

    Two columns of any name are the ends.

    Raises
    ------
    ColumnError, InputError
        There are no such columns, or a weight is no finite number above 0.

    Examples
    --------
    >>> edge_columns(pl.DataFrame({"from": [1], "to": [2]})).row(0)
    ('1', '2')
    """
    if len(frame.columns) == 2 and not {"source", "target"} <= set(frame.columns):
        frame = frame.rename(dict(zip(frame.columns, ("source", "target"), strict=True)))
    for name in ("source", "target"):
        if name not in frame.columns:
            raise ColumnError.missing(name, frame.columns, what="column of the edges")
    frame = frame.select(name for name in _COLUMNS if name in frame.columns)
    if "weight" in frame.columns:
        if not frame["weight"].dtype.is_numeric():
            raise InputError(
                f"The column weight of the edges holds {frame['weight'].dtype}; give numbers above 0, or "
                "leave it out."
            )
        weights = frame["weight"].cast(pl.Float64)
        wrong = int((~(weights.is_finite() & (weights > 0)).fill_null(False)).sum())
        if wrong:
            raise InputError(
                f"{wrong:,} weights of edges are not finite numbers above 0; drop these edges, or the "
                "column weight."
            )
    return frame.with_columns(pl.col("source", "target").cast(pl.String))


def given_edges(
    edges: Any, ids: pl.Series, vectors: NDArray[Any] | None, attribute_weight: str | None, k: int
) -> GivenEdges:
    """Join rows as `SimilarityGraph.from_edges` says.

    Raises
    ------
    ColumnError, InputError
        The edges can't be used, or more than 5 % of them name rows that are not there.
    """
    frame = edge_columns(pl.DataFrame(edges))
    places = pl.DataFrame({"id": ids.cast(pl.String), "place": np.arange(len(ids))})
    joined = frame
    for end in ("source", "target"):
        named = places.rename({"id": end, "place": f"{end} place"})
        joined = joined.join(named, on=end, how="left", maintain_order="left")
    known = joined.drop_nulls(["source place", "target place"])
    unknown = frame.height - known.height
    if unknown > UNKNOWN * frame.height:
        missing = joined.filter(pl.col("source place").is_null() | pl.col("target place").is_null())
        end = "source" if missing["source place"].is_null()[0] else "target"
        raise InputError(
            f"{unknown:,} of the {frame.height:,} edges name rows that the pool does not have, such as "
            f"{missing[end][0]!r}; at most {UNKNOWN:.0%} may. Edges name the ids of the pool's rows: name "
            "their column with --id."
        )
    i, j = (known[f"{end} place"].to_numpy().astype(np.int64) for end in ("source", "target"))
    weights = np.ones(len(i), dtype=np.float32)
    if attribute_weight is not None:
        if vectors is None:
            raise InputError("attribute_weight needs vectors; pass those of the rows.")
        weights = gaussian_weights(vectors, i, j)
    elif "weight" in known.columns:
        weights = np.maximum(known["weight"].to_numpy().astype(np.float32), _LEAST)
    apart = i != j
    one, other, weights = np.minimum(i, j)[apart], np.maximum(i, j)[apart], weights[apart]
    order = np.lexsort((-weights, other, one))
    one, other, weights = one[order], other[order], weights[order]
    first = np.ones(len(one), dtype=bool)
    first[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    one, other, weights = one[first], other[first], weights[first]
    n = len(ids)
    matrix = sparse.csr_array(
        (np.tile(weights, 2), (np.concatenate([one, other]), np.concatenate([other, one]))),
        shape=(n, n),
    )
    matrix.sort_indices()
    indptr = matrix.indptr.astype(np.int64)
    kept = (indptr, matrix.indices.astype(np.int32), matrix.data.astype(np.float32))
    neighbors, distances = _heaviest(kept, ids, k)
    report = {
        "method": "given",
        "n": n,
        "k": neighbors.shape[1],
        "metric": "ip",
        "symmetrise": "union",
        "robust": GIVEN,
        "recall": 1.0,
        "given": frame.height,
        "unknown": unknown,
        "loops": int((~apart).sum()),
        "repeated": int((~first).sum()),
        "isolated": int((np.diff(indptr) == 0).sum()),
        "attribute_weight": attribute_weight,
    }
    return GivenEdges(kept, neighbors, distances, report)


def gaussian_weights(
    vectors: NDArray[Any], i: NDArray[np.int64], j: NDArray[np.int64]
) -> NDArray[np.float32]:
    r"""Weigh edges by :math:`\exp(-\gamma \lVert x_i - x_j \rVert^2)`, gamma one over the median.

    Raises
    ------
    InputError
        The vectors are none of the rows.
    """
    X = np.asarray(vectors)
    if X.ndim != 2 or (len(i) and max(int(i.max()), int(j.max())) >= len(X)):
        raise InputError(f"vectors has shape {X.shape}; pass one vector for each row.")
    squares = np.empty(len(i))
    for start in range(0, len(i), _BLOCK):
        some = slice(start, start + _BLOCK)
        between = X[i[some]].astype(np.float64) - X[j[some]]
        squares[some] = np.einsum("ij,ij->i", between, between)
    middle = float(np.median(squares)) if len(squares) else 1.0
    return np.maximum(np.exp(-squares / (middle or 1.0)), _LEAST).astype(np.float32)


def _heaviest(
    edges: Edges, ids: pl.Series, k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the k heaviest edges of each row as lists, ties by id, and minus their weights."""
    indptr, indices, weights = edges
    degrees = np.diff(indptr)
    width = max(1, min(k, int(degrees.max(initial=0))))
    rank = ids.cast(pl.String).rank("ordinal").to_numpy()
    rows = np.repeat(np.arange(len(degrees)), degrees)
    order = np.lexsort((rank[indices], -weights, rows))
    place = np.arange(len(indices)) - indptr[rows]
    near = place < width
    neighbors = np.full((len(degrees), width), -1, dtype=np.int32)
    distances = np.full((len(degrees), width), np.inf, dtype=np.float32)
    neighbors[rows[near], place[near]] = indices[order][near]
    distances[rows[near], place[near]] = -weights[order][near]
    return neighbors, distances
