"""Feature ranking by Laplacian score: how smooth a column is on the similarity graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from assay.index.graph.similarity_graph import SimilarityGraph
from assay.selection.contract.row_order import rows_by_content
from assay.selection.rankers.base import FeatureRanker
from assay.selection.tables.blocks import dense_rows
from assay.storage.limits import Flag, Limits, Whole

BLOCK_VALUES = 1 << 20


@dataclass(kw_only=True, eq=False, repr=False)
class LaplacianScore(FeatureRanker):
    """Rank columns by how alike their values are in neighboring rows (Laplacian score); no labels.

    With S the weights of the similarity graph of the rows, D its degrees and f a column less its
    mean under D, the Laplacian score is L = f'(D - S)f / f'Df, in [0, 2], and smaller is better. As
    everywhere here a higher score is better, `scores_` holds 1 - L = f'Sf / f'Df: the correlation
    of the column between the two ends of an edge.

    Parameters
    ----------
    n_neighbors : int, default 5
        Rows that each row is joined to, before the edges are made symmetric (n - 1 where there are
        fewer). The usual choice: the score looks at the local structure.
    metric : {"l2", "cosine"}, default "l2"
        Similarity of rows, as in `SimilarityGraph`. Under "l2" an edge weighs 1 / (1 + distance).
    scale : bool, default True
        Bring every column to [0, 1] before rows are compared, so that no column's unit decides
        which rows are near. The score of a column does not depend on its own scale.

    Attributes
    ----------
    scores_ : float64[d]
        1 - L, in [-1, 1]; -1 for constant columns.

    Notes
    -----
    Building the graph (exact up to n^2 d = 2e10), then O(n k d) time; a dense float32 copy of X and
    O(block) memory. Rows are put in order of their content first, so that their order does not matter.

    Claims
    ------
    paper
        Without labels, columns that keep neighborhoods beat those of large variance.
    here
        The score on the run's kind of graph.
    deviates
        1 - L, so that higher is better; columns are scaled unless told otherwise.
    measured
        All 20 of madelon's columns among the first 20, but 66.9 at k = 50 on nine sets
        (`features_quality.md`).

    References
    ----------
    X. He, D. Cai, P. Niyogi, Laplacian score for feature selection, NIPS 2005.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.rankers.laplacian import LaplacianScore
    >>> smooth = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 5.2])
    >>> rough = np.array([0.0, 3.0, 0.0, 3.0, 0.0, 3.0])
    >>> ranker = LaplacianScore(n_neighbors=2).fit(np.column_stack([rough, smooth, smooth]))
    >>> ranker.ranking_
    array([3, 1, 2])
    """

    _uses_labels = False

    limits: ClassVar[Limits] = {
        "scale": (Flag(),),
        "n_neighbors": (Whole(1),),
        "metric": ("l2", "cosine"),
    }

    n_neighbors: int = 5
    metric: str = "l2"
    scale: bool = True

    def _score(self, X: Any, y: Any) -> NDArray[np.float64]:
        X = X[rows_by_content(X)]
        n, d = X.shape
        rows = np.empty((n, d), dtype=np.float32)
        width = max(1, BLOCK_VALUES // n)
        for start in range(0, d, width):
            columns = slice(start, start + width)
            rows[:, columns] = _centered(X, columns, self.scale).T
        graph = SimilarityGraph.from_vectors(
            rows, k=min(int(self.n_neighbors), n - 1), metric=self.metric
        )
        weights = graph.weights.astype(np.float64)
        edges = csr_array((weights, graph.indices, graph.indptr), shape=(n, n))
        owners = np.repeat(np.arange(n), np.diff(graph.indptr))
        degree = np.bincount(owners, weights, minlength=n).astype(np.float64)
        scores = np.empty(d)
        for start in range(0, d, width):
            columns = slice(start, start + width)
            scores[columns] = _smoothness(edges, degree, _centered(X, columns, True))
        return scores


def _centered(X: Any, columns: slice, scale: bool) -> NDArray[np.float64]:
    """Columns as contiguous rows, from 0 (and up to 1)."""
    values = dense_rows(X, columns)
    block: NDArray[np.float64] = values - values.min(axis=1, keepdims=True)
    if scale:
        span = block.max(axis=1, keepdims=True)
        block /= np.where(span > 0, span, 1.0)
    return block


def _smoothness(
    edges: csr_array, degree: NDArray[np.float64], block: NDArray[np.float64]
) -> NDArray[np.float64]:
    """f'Sf / f'Df of each row f of the block; -1 where f'Df vanishes."""
    constant = block.max(axis=1) == 0
    mean = (block * degree).sum(axis=1) / max(degree.sum(), 1e-300)
    block -= mean[:, None]
    spread = (np.square(block) * degree).sum(axis=1)
    along = np.ascontiguousarray((edges @ np.ascontiguousarray(block.T)).T)
    along *= block
    flat = constant | ~(spread > 1e-30)
    return np.where(flat, -1.0, along.sum(axis=1) / np.where(flat, 1.0, spread))
