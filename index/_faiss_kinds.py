"""What each kind of FAISS index is built from, how rows enter it and how it is searched."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from assay.index.centroids import assign
from assay.index.knn_exact import available_threads, rank_candidates, unit_rows
from assay.index.vectors import Vectors

DEFAULT_PROBES = 32
_HNSW_LINKS = 16
_HNSW_BUILD = 80
# a few more are fetched than asked for, since they are put in order again in float64
_SPARE = 8
_SEARCHED = 1_024


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
        lists = assign(rows, centroids, metric, 1, threads=available_threads())
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


def approximate_search(
    index: Any,
    Q: Vectors,
    k: int,
    probes: int,
    metric: str,
    centroids: Vectors | None,
    labels: NDArray[np.int64],
    rank: NDArray[np.int32],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Search an 'ivf' or 'hnsw' index and put what it finds in order of exact keys, then of rank.

    Returns keys float64[m, k] and places in `labels`, the ascending labels of all rows (-1: none).
    """
    keys, places = np.empty((len(Q), k)), np.empty((len(Q), k), np.int64)
    for begin in range(0, len(Q), _SEARCHED):
        part = slice(begin, begin + _SEARCHED)
        asked = unit_rows(Q[part]) if metric == "cosine" else Q[part]
        count = min(k + _SPARE, len(labels))
        if centroids is None:
            breadth = faiss.SearchParametersHNSW(efSearch=probes)  # type: ignore[attr-defined]
            near = index.search(asked, count, params=breadth)[1]
        else:
            index.nprobe = min(probes, len(centroids))
            lists = assign(asked, centroids, metric, index.nprobe, threads=available_threads())
            near = index.search_preassigned(asked, count, lists, None)[1]
        found = np.unique(near[near >= 0])
        local = np.where(near < 0, -1, np.searchsorted(found, near))
        at = np.searchsorted(labels, found)
        stored = index.reconstruct_batch(found)
        keys[part], rows = rank_candidates(Q[part], stored, local, k, metric=metric, rank=rank[at])
        # the last one stands for "none"
        places[part] = np.append(at, -1)[rows]
    return keys, places
