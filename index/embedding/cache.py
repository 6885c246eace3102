"""Vectors of content that is known already are looked up; only what is new is encoded."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from assay.index.embedding.embedders import Embedder
from assay.storage.errors import InputError


class Encoded(NamedTuple):
    """What `encode_new` returns.

    Attributes
    ----------
    vectors : float32[n, d]
        Of all rows, in their order.
    rows : int64[m]
        The rows that were encoded, ascending: the first of each content that was not known.
    """

    vectors: np.ndarray
    rows: np.ndarray


def new_rows(hashes: Any, known: Any = None) -> np.ndarray:
    """Return the first row of each content that is not known, ascending.

    Parameters
    ----------
    hashes : uint64[n, 2] or polars Series of text
        Content hash of every row, as `hash_rows` or `Pool.samples` gives it.
    known : as `hashes`, optional
        Hashes of the content whose vectors there are.

    Examples
    --------
    >>> new_rows(pl.Series(["a", "b", "a", "c"]), known=pl.Series(["b"])).tolist()
    [0, 3]
    """
    frame = _keys(hashes)
    fresh = frame.with_row_index("row").unique(frame.columns, keep="first", maintain_order=True)
    if known is not None:
        fresh = fresh.join(_keys(known), on=frame.columns, how="anti", maintain_order="left")
    return fresh["row"].to_numpy().astype(np.int64)


def find_rows(hashes: Any, among: Any) -> np.ndarray:
    """Return for every hash its first position in `among`, -1 where it is not there.

    Examples
    --------
    >>> find_rows(pl.Series(["a", "b", "a"]), among=pl.Series(["c", "a"])).tolist()
    [1, -1, 1]
    """
    wanted, known = _keys(hashes), _keys(among)
    known = known.with_row_index("row").unique(known.columns, keep="first", maintain_order=True)
    rows = wanted.join(known, on=wanted.columns, how="left", maintain_order="left")["row"]
    return rows.cast(pl.Int64).fill_null(-1).to_numpy()


def number_contents(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number different contents in the order in which they first come.

    Parameters
    ----------
    hashes : uint64[n, 2]

    Returns
    -------
    first : int64[c]
        The first row of each content, ascending: that of number i is the i-th.
    number : int32[n]
        The number of each row's content.

    Notes
    -----
    O(n log n) time; beside the result 24 bytes a row.

    Examples
    --------
    >>> hashes = np.array([[7, 1], [7, 2], [7, 1], [3, 1]], np.uint64)
    >>> [part.tolist() for part in number_contents(hashes)]
    [[0, 1, 3], [0, 1, 0, 2]]
    """
    words = np.ascontiguousarray(hashes[:, 0])
    order = np.argsort(words)
    words = words[order]
    again = np.zeros(len(order) + 1, np.bool_)
    again[1:-1] = words[1:] == words[:-1]
    # what shares its first word with another
    rows = np.sort(order[again[1:] | again[:-1]])
    del words, order
    leads = np.ones(len(hashes), np.bool_)
    if len(rows):
        # sorted stably, so that the first row of a content leads it
        rows = rows[np.lexsort((hashes[rows, 1], hashes[rows, 0]))]
        new = np.any(np.diff(hashes[rows], axis=0, prepend=~hashes[rows[:1]]), axis=1)
        leads[rows[~new]] = False
    number = np.cumsum(leads, dtype=np.int32)
    number -= 1
    if len(rows):
        number[rows] = number[rows[np.flatnonzero(new)[np.cumsum(new) - 1]]]
    return np.flatnonzero(leads), number


def encode_new(
    embedder: Embedder,
    hashes: Any,
    contents: Any,
    known_hashes: Any = None,
    known_vectors: np.ndarray | None = None,
) -> Encoded:
    """Return the vectors of all rows, encoding each content that is not known once.

    Parameters
    ----------
    embedder : Embedder
        The one that made `known_vectors`: its fingerprint belongs to what is known.
    hashes : uint64[n, 2] or polars Series of text
        Content hash of every row.
    contents : sequence, pyarrow array or polars Series of length n
        Content of every row; only rows that are encoded are looked at.
    known_hashes, known_vectors : as `hashes`, float32[m, d], optional
        What is known; the vectors may be memory-mapped.

    Raises
    ------
    InputError
        There are not as many contents as hashes, or vectors as known hashes, or the embedder's
        vectors are of another length than the known ones.

    Notes
    -----
    The embedder is called once, or not at all. Besides its cost: O(n + m) time, and memory for the
    result and three integers per row.

    Examples
    --------
    >>> from assay.index import HashedTextEmbedder
    >>> texts = ["red apple", "steel bridge", "red apple"]
    >>> embedder = HashedTextEmbedder(dimensions=2).fit(texts)
    >>> vectors, rows = encode_new(embedder, pl.Series(["h1", "h2", "h1"]), texts)
    >>> rows.tolist(), bool((vectors[0] == vectors[2]).all())
    ([0, 1], True)
    """
    n = len(hashes)
    if len(contents) != n:
        raise InputError(f"There are {n} hashes for {len(contents)} rows of content.")
    if (known_hashes is None) != (known_vectors is None):
        raise InputError("Give known_hashes and known_vectors, or neither.")
    if known_vectors is None or not len(known_vectors):
        known_hashes, known_vectors = None, None
    elif len(known_hashes) != len(known_vectors):
        raise InputError(
            f"There are {len(known_hashes)} known hashes for {len(known_vectors)} vectors."
        )
    rows = new_rows(hashes, known_hashes)
    fresh: np.ndarray | None = None
    if len(rows) or known_vectors is None:
        fresh = embedder.encode(_taken(contents, rows))
    width = (fresh if known_vectors is None else known_vectors).shape[1]  # type: ignore[union-attr]
    if fresh is not None and fresh.shape != (len(rows), width):
        raise InputError(
            f"The embedder returned vectors of shape {fresh.shape}, not {(len(rows), width)}: the "
            "known vectors are of another embedder."
        )
    out = np.empty((n, width), np.float32)
    if fresh is not None:
        place = find_rows(hashes, hashes[rows])
        out[place >= 0] = fresh[place[place >= 0]]
    if known_vectors is not None:
        place = find_rows(hashes, known_hashes)
        out[place >= 0] = known_vectors[place[place >= 0]]
    return Encoded(out, rows)


def _keys(hashes: Any) -> pl.DataFrame:
    if isinstance(hashes, pl.Series):
        return pl.DataFrame({"hash": hashes})
    words = np.asarray(hashes, dtype=np.uint64)
    if words.ndim != 2 or words.shape[1] != 2:
        raise InputError(f"hashes has shape {words.shape}; give uint64 of shape (n, 2), or text.")
    return pl.DataFrame({"first": words[:, 0], "second": words[:, 1]})


def _taken(contents: Any, rows: np.ndarray) -> Any:
    if isinstance(contents, pa.Array | pa.ChunkedArray):
        return contents.take(pa.array(rows))
    if isinstance(contents, pl.Series | np.ndarray | pl.DataFrame):
        return contents[rows]
    return [contents[row] for row in rows.tolist()]
