"""The other libraries that build graphs of nearest neighbors, each with a grid to be tuned over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.index.knn.nearest_neighbors import nearest_neighbors
from assay.index.vectors.checks import Vectors
from graphs.vectors import K

Labels = NDArray[np.int64]
Setting = dict[str, float]
Rows = NDArray[np.int64] | slice

_PROBES = tuple(sorted({round(1.25**i) for i in range(26)}))
_EFFORTS = tuple(sorted({round(8 * 1.2**i) for i in range(24)}))


@dataclass(frozen=True)
class Peer:
    """A library: how it builds, how it finds neighbors of rows that it holds, what can be tuned.

    `settings` rise in quality; `efforts` are the breadths of a search, or (0,) where the build
    already ends in a graph.
    """

    name: str
    package: str
    settings: tuple[Setting, ...]
    efforts: tuple[int, ...]
    build: Callable[[Vectors, Setting], Any]
    find: Callable[[Any, Vectors, Rows, int, int], Labels]


def _faiss() -> Any:
    faiss = import_module("faiss")
    faiss.omp_set_num_threads(1)
    return faiss


def _faiss_ivf(X: Vectors, setting: Setting) -> Any:
    faiss = _faiss()
    lists = int(setting["lists / sqrt(n)"] * len(X) ** 0.5)
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(X.shape[1]), X.shape[1], lists)
    index.cp.niter, index.cp.max_points_per_centroid = 8, 64
    index.train(X)
    index.add(X)
    return index


def _find_faiss_ivf(index: Any, X: Vectors, rows: Rows, effort: int, count: int) -> Labels:
    _faiss()
    index.nprobe = effort
    return np.asarray(index.search(X[rows], count)[1])


def _faiss_hnsw(X: Vectors, setting: Setting) -> Any:
    index = _faiss().IndexHNSWFlat(X.shape[1], int(setting["M"]))
    index.hnsw.efConstruction = int(setting["ef_construction"])
    index.add(X)
    return index


def _find_faiss_hnsw(index: Any, X: Vectors, rows: Rows, effort: int, count: int) -> Labels:
    index.hnsw.efSearch = effort
    return np.asarray(index.search(X[rows], count)[1])


def _faiss_nn_descent(X: Vectors, setting: Setting) -> Labels:
    faiss = _faiss()
    width = int(setting["K"])
    index = faiss.IndexNNDescentFlat(X.shape[1], width)
    index.nndescent.iter = int(setting["iterations"])
    index.nndescent.L = width + int(setting["extra"])
    index.add(X)
    found = faiss.vector_to_array(index.nndescent.final_graph)
    return np.asarray(found, np.int64).reshape(len(X), width)


def _faiss_fast_scan(X: Vectors, setting: Setting) -> Any:
    faiss = _faiss()
    lists = int(setting["lists / sqrt(n)"] * len(X) ** 0.5)
    d = X.shape[1]
    codes = faiss.IndexIVFPQFastScan(faiss.IndexFlatL2(d), d, lists, d // 2, 4)
    codes.cp.niter, codes.cp.max_points_per_centroid = 8, 64
    index = faiss.IndexRefineFlat(codes)
    index.train(X)
    index.add(X)
    index.k_factor = setting["refined / k"]
    return index, codes


def _find_faiss_fast_scan(state: Any, X: Vectors, rows: Rows, effort: int, count: int) -> Labels:
    _faiss()
    index, codes = state
    codes.nprobe = effort
    return np.asarray(index.search(X[rows], count)[1])


def _scann(X: Vectors, setting: Setting) -> Any:
    leaves = int(setting["leaves / sqrt(n)"] * len(X) ** 0.5)
    builder = import_module("scann").scann_ops_pybind.builder(X, K + 1, "squared_l2")
    builder.set_n_training_threads(1)
    builder.tree(leaves, 1, training_sample_size=min(len(X), 64 * leaves))
    builder.score_ah(2, anisotropic_quantization_threshold=float("nan"))
    index = builder.reorder(int(setting["reordered"])).build()
    return index, int(setting["reordered"])


def _find_scann(state: Any, X: Vectors, rows: Rows, effort: int, count: int) -> Labels:
    index, reordered = state
    labels, _ = index.search_batched(
        X[rows],
        leaves_to_search=effort,
        pre_reorder_num_neighbors=reordered,
        final_num_neighbors=count,
    )
    return np.asarray(labels).astype(np.int64)


def _svs(X: Vectors, setting: Setting) -> Any:
    svs = import_module("svs")
    degree = int(setting["degree"])
    parameters = svs.VamanaBuildParameters(
        graph_max_degree=degree,
        window_size=int(setting["window"]),
        alpha=1.2,
        max_candidate_pool_size=4 * degree,
        prune_to=degree - 4,
    )
    return svs.Vamana.build(parameters, X, svs.DistanceType.L2, num_threads=1)


def _find_svs(index: Any, X: Vectors, rows: Rows, effort: int, count: int) -> Labels:
    index.search_window_size = max(effort, count)
    return np.asarray(index.search(X[rows], count)[0]).astype(np.int64)


def _hnswlib(X: Vectors, setting: Setting) -> Any:
    index = import_module("hnswlib").Index(space="l2", dim=X.shape[1])
    index.init_index(
        len(X), ef_construction=int(setting["ef_construction"]), M=int(setting["M"]), random_seed=1
    )
    index.add_items(X, num_threads=1)
    return index


def _find_hnswlib(index: Any, X: Vectors, rows: Rows, effort: int, count: int) -> Labels:
    index.set_ef(max(effort, count))
    return np.asarray(index.knn_query(X[rows], k=count, num_threads=1)[0]).astype(np.int64)


def _usearch(X: Vectors, setting: Setting) -> Any:
    index = import_module("usearch.index").Index(
        ndim=X.shape[1],
        metric="l2sq",
        dtype="f32",
        connectivity=int(setting["M"]),
        expansion_add=int(setting["ef_construction"]),
    )
    index.add(np.arange(len(X)), X, threads=1)
    return index


def _find_usearch(index: Any, X: Vectors, rows: Rows, effort: int, count: int) -> Labels:
    index.expansion_search = max(effort, count)
    return np.asarray(index.search(X[rows], count, threads=1).keys).astype(np.int64)


def _pynndescent(X: Vectors, setting: Setting) -> Labels:
    found = import_module("pynndescent").NNDescent(
        X,
        metric="euclidean",
        n_neighbors=int(setting["neighbors"]),
        delta=setting["delta"],
        random_state=1,
        n_jobs=1,
    )
    return np.asarray(found.neighbor_graph[0]).astype(np.int64)


def _rows_of_graph(graph: Labels, X: Vectors, rows: Rows, effort: int, count: int) -> Labels:
    return graph[rows, :count]


_HNSW: tuple[Setting, ...] = (
    {"M": 8, "ef_construction": 40},
    {"M": 12, "ef_construction": 60},
    {"M": 16, "ef_construction": 80},
)
_ALL = (
    Peer(
        "faiss IVF-Flat",
        "faiss",
        ({"lists / sqrt(n)": 1.0}, {"lists / sqrt(n)": 2.0}, {"lists / sqrt(n)": 4.0}),
        _PROBES,
        _faiss_ivf,
        _find_faiss_ivf,
    ),
    Peer(
        "faiss IVF-PQ fast scan",
        "faiss",
        tuple(
            {"lists / sqrt(n)": x, "refined / k": y}
            for x, y in ((1.0, 4.0), (2.0, 8.0), (2.0, 16.0))
        ),
        _PROBES,
        _faiss_fast_scan,
        _find_faiss_fast_scan,
    ),
    Peer(
        "ScaNN",
        "scann",
        tuple(
            {"leaves / sqrt(n)": x, "reordered": y}
            for x, y in ((1.0, 60.0), (2.0, 120.0), (2.0, 250.0))
        ),
        _PROBES,
        _scann,
        _find_scann,
    ),
    Peer(
        "SVS Vamana",
        "svs",
        tuple(
            {"degree": x, "window": y}
            for x, y in ((16.0, 32.0), (24.0, 40.0), (32.0, 64.0), (48.0, 100.0))
        ),
        _EFFORTS,
        _svs,
        _find_svs,
    ),
    Peer("faiss HNSW", "faiss", _HNSW, _EFFORTS, _faiss_hnsw, _find_faiss_hnsw),
    Peer(
        "faiss NN-descent",
        "faiss",
        tuple(
            {"K": width, "iterations": rounds, "extra": extra}
            for width, rounds, extra in (
                (18, 6, 20),
                (20, 8, 30),
                (24, 8, 50),
                (32, 8, 50),
                (40, 10, 60),
            )
        ),
        (0,),
        _faiss_nn_descent,
        _rows_of_graph,
    ),
    Peer("hnswlib", "hnswlib", _HNSW, _EFFORTS, _hnswlib, _find_hnswlib),
    Peer("usearch", "usearch", _HNSW, _EFFORTS, _usearch, _find_usearch),
    Peer(
        "pynndescent",
        "pynndescent",
        tuple(
            {"neighbors": neighbors, "delta": delta}
            for neighbors, delta in (
                (16, 0.01),
                (16, 0.001),
                (20, 0.001),
                (30, 0.001),
                (40, 0.001),
                (60, 0.001),
            )
        ),
        (0,),
        _pynndescent,
        _rows_of_graph,
    ),
)


def peers(named: str) -> tuple[list[Peer], list[str]]:
    """Return the peers that can be imported, and "name: why not" for the others."""
    found, missing = [], []
    for peer in _ALL:
        if named and peer.name not in named.split(","):
            missing.append(f"{peer.name} (not asked for)")
            continue
        try:
            import_module(peer.package)
        except ImportError:
            missing.append(f"{peer.name} (not installed)")
        else:
            found.append(peer)
    return found, missing


_PACKAGES = (
    *("numpy", "faiss-cpu", "scann", "scalable-vs", "hnswlib", "usearch", "pynndescent"),
    *("networkx", "igraph"),
)


def versions() -> str:
    """Return the versions of the packages compared."""
    told = []
    for name in _PACKAGES:
        try:
            told.append(f"{name} {version(name)}")
        except ImportError:
            continue
    return ", ".join(told)


def without_itself(labels: Labels, rows: Labels, k: int) -> Labels:
    """Return the first k labels of every row that are not the row itself."""
    same = labels == rows[:, None]
    order = np.argsort(same, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(labels, order, axis=1)


def own_graph(X: Vectors, k: int, target: float, threads: int = 1) -> Any:
    """Return assay's nearest neighbors, with the recall that it measured for itself."""
    return nearest_neighbors(X, k=k, metric="l2", target_recall=target, threads=threads)
