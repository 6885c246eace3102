"""Approximate nearest neighbors by NN-descent, through FAISS."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from assay.index.vectors.code_search import RecallProbe, exact_knn
from assay.index.vectors.exact import BlockScan, Recall, empty_lists, rank_candidates, unit_rows

# below this, everything is compared
_FEW = 1_024
_SPARE = 9
_WIDEST = 256
_CHUNK = 16_384


def nn_descent(
    searched: BlockScan,
    k: int,
    *,
    truth: RecallProbe,
    target_recall: float,
    random_state: int = 0,
    threads: int = 1,
) -> tuple[NDArray[np.float64], NDArray[np.int32], Recall, int]:
    """Return lists of the rows that are searched, their recall and the rounds it took.

    Random lists are improved by comparing neighbors of neighbors. Lists are longer than k by 9
    and, while the lower end of the interval of the recall is below `target_recall`, twice as long
    again, up to 256; a recall that is still below is reported as it is. What is found is put in
    order of exact keys.

    Notes
    -----
    One thread, so that the order in which rows meet stays the same. Of use to compare with
    `block_join`.

    References
    ----------
    Dong, Moses and Li, "Efficient k-nearest neighbor graph construction for generic similarity
    measures", WWW 2011.
    """
    n, d = searched.X.shape
    itself = np.arange(n)
    if n <= max(_FEW, 4 * k):
        keys, rows = exact_knn(searched.X, searched, k, itself=itself, threads=threads)
        return keys, rows, Recall(1.0, 1.0, 1.0), 0
    X = unit_rows(searched.X) if searched.metric == "cosine" else searched.X
    measure = faiss.METRIC_INNER_PRODUCT if searched.metric == "ip" else faiss.METRIC_L2
    width, rounds = k + _SPARE, 0
    before = faiss.omp_get_max_threads()
    while True:
        index = faiss.IndexNNDescentFlat(d, width, measure)
        index.nndescent.random_seed = random_state
        rounds += 1
        faiss.omp_set_num_threads(1)
        try:
            index.add(X)
        finally:
            faiss.omp_set_num_threads(before)
        near = faiss.vector_to_array(index.nndescent.final_graph).reshape(n, width)
        near = near.astype(np.int64)
        near[near == itself[:, None]] = -1
        keys, rows = empty_lists(n, k)
        for begin in range(0, n, _CHUNK):
            part = slice(begin, begin + _CHUNK)
            keys[part], rows[part] = rank_candidates(
                searched.X[part],
                searched.X,
                near[part],
                k,
                metric=searched.metric,
                rank=searched.rank,
            )
        recall = truth.measure(keys)
        if recall.low >= target_recall or 2 * width > min(_WIDEST, n // 4):
            return keys, rows, recall, rounds
        width *= 2
