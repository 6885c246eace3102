"""What each kind of FAISS index is built from, how rows enter it and how it is searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from assay.index.threads import thread_count
from assay.index.vectors.centroids import assign
from assay.index.vectors.checks import Vectors
from assay.index.vectors.exact import (
    BlockScan,
    exact_knn,
    rank_candidates,
    unit_rows,
)

DEFAULT_PROBES = 32
FLAT_UP_TO = 50_000
# the types that come with FAISS don't know their arguments
_SearchHNSW: Any = faiss.SearchParametersHNSW  # type: ignore[attr-defined]
_SearchIVF: Any = faiss.SearchParametersIVF
_Bitmap: Any = faiss.IDSelectorBitmap
_HNSW_LINKS = 16
_HNSW_BUILD = 80
# a few more are fetched than asked for, since they are put in order again in float64
_SPARE = 8
_SEARCHED = 1_024
_COPIED = 65_536


def new_index(kind: str, metric: str, dimension: int, centroids: Vectors | None) -> Any:
    """Return an empty FAISS index; `centroids` are those of 'ivf'."""
    measure = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    if kind == "flat":
        return faiss.IndexFlatL2(dimension) if metric == "l2" else faiss.IndexFlatIP(dimension)
    if kind == "hnsw":
        graph = faiss.IndexHNSWFlat(dimension, _HNSW_LINKS, measure)
        graph.hnsw.efConstruction = _HNSW_BUILD
        return graph
    quantizer = faiss.IndexFlatL2(dimension)
    quantizer.add(centroids)
    index: Any = faiss.IndexIVFFlat(quantizer, dimension, quantizer.ntotal, measure)
    # by label, so that rows can be read back and removed
    index.set_direct_map_type(faiss.DirectMap.Hashtable)  # type: ignore[attr-defined]
    return index


def centroids_of(index: Any) -> Vectors | None:
    """Return the centroids of an 'ivf' index, None for the other kinds."""
    if not isinstance(index, faiss.IndexIVFFlat):
        return None
    quantizer = faiss.downcast_index(index.quantizer)
    return np.asarray(quantizer.reconstruct_n(0, quantizer.ntotal))


def stored_rows(index: Any) -> Vectors:
    """Return a view of what a flat index holds, valid until rows are added or removed."""
    view = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d)
    return np.asarray(view).reshape(index.ntotal, index.d)


def add_rows(
    index: Any, rows: Vectors, labels: NDArray[np.int64], metric: str, centroids: Vectors | None
) -> None:
    """Add rows; `labels` count for 'ivf', the other kinds number rows as they come.

    The lists are chosen here rather than by FAISS, whose choice between two nearly equal centroids
    depends on how many rows are added at once.
    """
    if centroids is not None:
        lists = assign(rows, centroids, metric, 1, threads=thread_count())
        lists = lists[:, 0].astype(np.int64)
        labels = np.ascontiguousarray(labels)
        pointers = [faiss.swig_ptr(array) for array in (rows, labels, lists)]
        index.add_core(len(rows), *pointers)
        return
    threads = faiss.omp_get_max_threads()
    # the links of a navigable graph depend on the order in which rows enter it
    faiss.omp_set_num_threads(1 if isinstance(index, faiss.IndexHNSWFlat) else threads)
    try:
        index.add(rows)
    finally:
        faiss.omp_set_num_threads(threads)


def read_rows(index: Any, labels: NDArray[np.int64]) -> Vectors:
    """Return the stored rows of some labels."""
    if isinstance(index, faiss.IndexFlat):
        return stored_rows(index)[labels]
    return np.asarray(index.reconstruct_batch(np.ascontiguousarray(labels)))


def search_among(
    index: Any,
    Q: Vectors,
    k: int,
    metric: str,
    labels: NDArray[np.int64],
    rank: NDArray[np.int32],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Search the rows of `labels` exactly, a part of them at a time.

    Returns keys float64[m, k] and places in `labels` (-1: none).
    """
    keys, places = np.full((len(Q), k), np.inf), np.full((len(Q), k), -1)
    rank = np.append(rank, np.iinfo(np.int32).max)
    for begin in range(0, len(labels), _COPIED):
        part = slice(begin, begin + _COPIED)
        searched = BlockScan(read_rows(index, labels[part]), metric, rank[:-1][part])
        more, rows = exact_knn(Q, searched, k, threads=thread_count())
        keys = np.concatenate([keys, more], axis=1)
        places = np.concatenate([places, np.where(rows < 0, -1, rows + begin)], axis=1)
        order = np.lexsort((rank[places], keys), axis=1)[:, :k]
        keys = np.take_along_axis(keys, order, axis=1)
        places = np.take_along_axis(places, order, axis=1)
    return keys, places


def search_approximately(
    index: Any,
    Q: Vectors,
    k: int,
    probes: int,
    metric: str,
    centroids: Vectors | None,
    labels: NDArray[np.int64],
    rank: NDArray[np.int32],
    lists_used: Callable[[NDArray[np.int64]], None] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Search an 'ivf' or 'hnsw' index and put what it finds in order of exact keys, then of rank.

    Only rows of the ascending `labels` are found. Returns keys float64[m, k] and places in `labels`
    (-1: none). `lists_used` is told which lists are about to be read.
    """
    keys, places = np.empty((len(Q), k)), np.empty((len(Q), k), np.int64)
    permitted = None
    if len(labels) < index.ntotal:
        bits = np.zeros(int(labels[-1]) + 1, bool)
        bits[labels] = True
        permitted = _Bitmap(np.packbits(bits, bitorder="little"))
    count = min(k + _SPARE, len(labels))
    for begin in range(0, len(Q), _SEARCHED):
        part = slice(begin, begin + _SEARCHED)
        asked = unit_rows(Q[part]) if metric == "cosine" else Q[part]
        if centroids is None:
            how = _SearchHNSW(efSearch=probes, sel=permitted)
            near = index.search(asked, count, params=how)[1]
        else:
            width = min(probes, len(centroids))
            lists = assign(asked, centroids, metric, width, threads=thread_count())
            near = _search_lists(index, asked, count, lists.astype(np.int64), permitted, lists_used)
        found = np.unique(near[near >= 0])
        local = np.where(near < 0, -1, np.searchsorted(found, near))
        at = np.searchsorted(labels, found)
        stored = index.reconstruct_batch(found)
        keys[part], rows = rank_candidates(Q[part], stored, local, k, metric=metric, rank=rank[at])
        # the last one stands for "none"
        places[part] = np.append(at, -1)[rows]
    return keys, places


def _search_lists(
    index: Any,
    asked: Vectors,
    count: int,
    lists: NDArray[np.int64],
    permitted: Any,
    lists_used: Callable[[NDArray[np.int64]], None] | None,
) -> NDArray[np.int64]:
    """Return the labels nearest to each row of `asked` in its own lists, -1 where there are fewer.

    The C++ method is called because the one for Python takes no parameters.
    """
    if lists_used is not None:
        lists_used(lists)
    how = _SearchIVF(nprobe=lists.shape[1], sel=permitted)
    asked = np.ascontiguousarray(asked)
    near = np.empty((len(asked), count), np.int64)
    arrays = (lists, np.zeros(lists.shape, np.float32), np.empty(near.shape, np.float32), near)
    given = [faiss.swig_ptr(array) for array in (asked, *arrays)]
    index.search_preassigned_c(len(asked), given[0], count, *given[1:], False, how)
    return near
