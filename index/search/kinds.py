"""What each kind of FAISS index is built from, how rows enter it and how it is searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from assay.index.search.coding import Coding
from assay.index.threads import thread_count
from assay.index.vectors.centroids import assign
from assay.index.vectors.checks import Vectors
from assay.index.vectors.code_search import exact_knn
from assay.index.vectors.exact import BlockScan, rank_candidates, unit_rows

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
# of codes, so many are fetched, to be compared by their rows
_RERANKED = 60
_SEARCHED = 1_024
_COPIED = 65_536
# rows that enter an index at a time
ADDED = 65_536


def new_index(
    kind: str, metric: str, dimension: int, centroids: Vectors | None, coding: Coding
) -> Any:
    """Return an empty FAISS index; `centroids` are those of 'ivf'."""
    if coding.coded:
        return _new_coded(kind, dimension, centroids, coding)
    measure = coding.measure
    if kind == "flat":
        return faiss.IndexFlatL2(dimension) if metric == "l2" else faiss.IndexFlatIP(dimension)
    if kind == "hnsw":
        graph = faiss.IndexHNSWFlat(dimension, _HNSW_LINKS, measure)
        graph.hnsw.efConstruction = _HNSW_BUILD
        return graph
    quantizer = faiss.IndexFlatL2(dimension)
    quantizer.add(centroids)
    return _by_label(faiss.IndexIVFFlat(quantizer, dimension, quantizer.ntotal, measure))


def _new_coded(kind: str, dimension: int, centroids: Vectors | None, coding: Coding) -> Any:
    """Return an empty index of codes, whose range does not depend on the rows."""
    # a number, which the types that come with FAISS take for the quantizer itself
    how: Any
    how, ends = coding.quantizer(dimension)
    measure = coding.measure
    index: Any
    if kind == "flat":
        index = faiss.IndexScalarQuantizer(dimension, how, measure)
    elif kind == "hnsw":
        index = faiss.IndexHNSWSQ(dimension, how, _HNSW_LINKS, measure)
        index.hnsw.efConstruction = _HNSW_BUILD
    else:
        quantizer = faiss.IndexFlatL2(dimension)
        quantizer.add(centroids)
        lists = quantizer.ntotal
        index = faiss.IndexIVFScalarQuantizer(quantizer, dimension, lists, how, measure, False)
        index = _by_label(index)
    index.train(ends)
    return index


def _by_label(index: Any) -> Any:
    """Return the index with its rows known by label, so that they can be read back and removed."""
    index.set_direct_map_type(faiss.DirectMap.Hashtable)  # type: ignore[attr-defined]
    return index


def centroids_of(index: Any) -> Vectors | None:
    """Return the centroids of an 'ivf' index, None for the other kinds."""
    if not isinstance(index, faiss.IndexIVF):
        return None
    quantizer = faiss.downcast_index(index.quantizer)
    return np.asarray(quantizer.reconstruct_n(0, quantizer.ntotal))


def stored_rows(index: Any) -> Vectors:
    """Return a view of what a flat index holds, valid until rows are added or removed."""
    view = faiss.rev_swig_ptr(index.get_xb(), index.ntotal * index.d)
    return np.asarray(view).reshape(index.ntotal, index.d)


def reserve_lists(index: Any, sizes: NDArray[np.int64]) -> None:
    """Give the lists of an empty 'ivf' index room for so many rows; they would grow by doubling."""
    lists = faiss.downcast_InvertedLists(index.invlists)
    for number, size in enumerate(sizes.tolist()):
        lists.resize(number, size)
        lists.resize(number, 0)


def add_rows(
    index: Any,
    rows: Vectors,
    labels: NDArray[np.int64],
    metric: str,
    centroids: Vectors | None,
    coding: Coding,
    cells: NDArray[np.integer] | None = None,
) -> None:
    """Add rows; `labels` count for 'ivf', the other kinds number rows as they come.

    Rows enter the lists `cells`. Where these are None or -1 it is that of the nearest centroid, found
    here because FAISS's choice between two nearly equal centroids depends on how many rows are added
    at once.
    """
    if centroids is not None:
        lists = np.full(len(rows), -1) if cells is None else cells.astype(np.int64)
        without = np.flatnonzero(lists < 0)
        if len(without):
            lists[without] = assign(rows[without], centroids, metric, 1, threads=thread_count())[
                :, 0
            ]
        labels = np.ascontiguousarray(labels)
        rows = coding.encode(rows)
        pointers = [faiss.swig_ptr(array) for array in (rows, labels, lists)]
        index.add_core(len(rows), *pointers)
        return
    threads = faiss.omp_get_max_threads()
    # the links of a navigable graph depend on the order in which rows enter it
    faiss.omp_set_num_threads(1 if isinstance(index, faiss.IndexHNSW) else threads)
    try:
        index.add(coding.encode(rows))
    finally:
        faiss.omp_set_num_threads(threads)


def read_rows(index: Any, labels: NDArray[np.int64]) -> Vectors:
    """Return the stored rows of some labels."""
    if isinstance(index, faiss.IndexFlat):
        return stored_rows(index)[labels]
    return np.asarray(index.reconstruct_batch(np.ascontiguousarray(labels)))


def search_among(
    Q: Vectors,
    k: int,
    metric: str,
    labels: NDArray[np.int64],
    rank: NDArray[np.int32],
    read: Callable[[NDArray[np.int64]], Vectors],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Search the rows of `labels` exactly, a part of them at a time; `read` returns those of labels.

    Returns keys float64[m, k] and places in `labels` (-1: none).
    """
    keys, places = np.full((len(Q), k), np.inf), np.full((len(Q), k), -1)
    rank = np.append(rank, np.iinfo(np.int32).max)
    for begin in range(0, len(labels), _COPIED):
        part = slice(begin, begin + _COPIED)
        searched = BlockScan(read(labels[part]), metric, rank[:-1][part])
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
    read: Callable[[NDArray[np.int64]], Vectors],
    coding: Coding,
    lists_used: Callable[[NDArray[np.int64]], None] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Search an 'ivf' or 'hnsw' index, or codes, and put what is found in order of exact keys, then rank.

    Only rows of the ascending `labels` are found. Returns keys float64[m, k] and places in `labels`
    (-1: none). `read` returns the rows of labels, which the keys are of. `lists_used` is told which
    lists are about to be read.
    """
    keys, places = np.empty((len(Q), k)), np.empty((len(Q), k), np.int64)
    permitted = None
    if len(labels) < index.ntotal:
        bits = np.zeros(int(labels[-1]) + 1, bool)
        bits[labels] = True
        permitted = _Bitmap(np.packbits(bits, bitorder="little"))
    count = min(max(k + _SPARE, _RERANKED if coding.coded else 0), len(labels))
    for begin in range(0, len(Q), _SEARCHED):
        part = slice(begin, begin + _SEARCHED)
        queries = unit_rows(Q[part]) if metric == "cosine" else Q[part]
        if centroids is None:
            graph = isinstance(index, faiss.IndexHNSW)
            how = _SearchHNSW(efSearch=probes, sel=permitted) if graph else None
            near = index.search(coding.asked(queries), count, params=how)[1]
        else:
            width = min(probes, len(centroids))
            lists = assign(queries, centroids, metric, width, threads=thread_count())
            queries = coding.asked(queries)
            near = _search_lists(
                index, queries, count, lists.astype(np.int64), permitted, lists_used
            )
        candidates = np.unique(near[near >= 0])
        local = np.where(near < 0, -1, np.searchsorted(candidates, near))
        at = np.searchsorted(labels, candidates)
        keys[part], rows = rank_candidates(
            Q[part], read(candidates), local, k, metric=metric, rank=rank[at]
        )
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
