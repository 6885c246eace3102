"""A small network that learns an expensive pairwise utility from vectors."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from assay.index.threads import one_thread
from assay.index.vectors.checks import as_vectors, check_width
from assay.selection.contract.inputs import (
    Floats,
    Graph,
    GraphView,
    Inputs,
    Rows,
    derived_seed,
)
from assay.storage.errors import InputError, NonFiniteError
from assay.storage.limits import MOST_ROUNDS, SEED, Flag, Limits, Number, Whole, check_limits

Vectors = NDArray[np.float32]
Utility = Callable[[Rows, Rows], Any]
_CHUNK = 16_384
# of the sampled rows on each side, the part whose pairs measure the fit
_HELD_OUT = 0.2


@dataclass(frozen=True, eq=False)
class UtilityGraph(GraphView):
    """A similarity graph whose weights are utilities: those of a row are its use to others."""


@dataclass(kw_only=True, eq=False, repr=False)
class InfluenceNetwork(BaseEstimator):  # type: ignore[misc]
    r"""Regression of a pairwise utility u(i, j) on the vectors of i and j.

    The utility, such as what training on row i does for the loss on row j, is computed for all
    pairs of two small samples of rows only, and a network with one hidden layer learns

    .. math:: u(i, j) \approx g([x_i, x_j, x_i \circ x_j])

    by least squares. Then `predict` costs what a product of the vectors does, and `graph` puts
    utilities on the edges of a similarity graph, for `FacilityLocationSelector`.

    Parameters
    ----------
    sample : int, default 256
        Rows on each side; the utility is computed for the sample squared.
    products : bool, default True
        Whether the network also sees the products of the coordinates, without which it hardly
        learns any kind of similarity from a sample of this size.
    hidden : int, default 100
    epochs : int, default 20
    batch_size : int, default 256
    learning_rate : float, default 3e-3
    random_state : int, default 0
        Decides, with the ids, which rows are sampled, and the network's start.

    Attributes
    ----------
    report_ : dict
        `rows`, `evaluations` (pairs whose utility was computed), `pairs` (learned from), and the
        fit on pairs of rows that were both held out, a fifth on each side: `held_out` pairs, `r2`
        and `rank_correlation` (None where there are too few, or the utility is constant).

    Raises
    ------
    InputError, NonFiniteError
        Vectors or utilities can't be used.
    ConfigError
        A parameter is not what it may be.

    Notes
    -----
    Time O(sample^2 * epochs * d * hidden), memory O(sample^2 * d); a prediction of m pairs takes
    O(m d hidden) and memory for 16,384 pairs. The samples are drawn apart, so that they name up to
    twice as many rows as a square block of the utility's matrix would.

    References
    ----------
    Agarwal, Hakkani-Tür, "Neural networks for learnable and scalable influence estimation of
    instruction fine-tuning data", 2025.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(300, 4))
    >>> network = InfluenceNetwork(sample=60).fit(X, lambda left, right: X[left] @ X[right].T)
    >>> network.report_["evaluations"], network.report_["r2"] > 0.9
    (3600, True)
    """

    limits: ClassVar[Limits] = {
        "sample": (Whole(2),),
        "products": (Flag(),),
        "hidden": (Whole(1, MOST_ROUNDS),),
        "epochs": (Whole(1, MOST_ROUNDS),),
        "batch_size": (Whole(1),),
        "learning_rate": (Number("(0, inf)"),),
        "random_state": SEED,
    }

    sample: int = 256
    products: bool = True
    hidden: int = 100
    epochs: int = 20
    batch_size: int = 256
    learning_rate: float = 3e-3
    random_state: int = 0

    def fit(self, X: Any, utility: Utility | ArrayLike, *, ids: Any = None) -> Self:
        """Learn the utility from a sample of pairs.

        Parameters
        ----------
        X : array of shape (n, d)
        utility : callable or array of shape (n, n)
            Called once, with row numbers left int64[a] and right int64[b]; returns u of every pair,
            shape (a, b), finite. u(i, j) is the use of i to j. Pairs of a row with itself are
            not learned from.
        ids : n unique texts or whole numbers, optional
            Decide what is sampled, whatever the order of the rows.
        """
        check_limits(self.limits, self.get_params(deep=False))
        inputs = Inputs(X=as_vectors(X), ids=ids)
        vectors = inputs.vectors()
        scale = vectors.std(axis=0, dtype=np.float64)
        self._mean = vectors.mean(axis=0, dtype=np.float64)
        self._scale = np.where(scale > 0, scale, 1.0)
        count = min(int(self.sample), inputs.n)
        left, right = (
            np.argsort(-inputs.noise(self.random_state, f"influence/{side}"), kind="stable")[:count]
            for side in ("left", "right")
        )
        utilities = _utilities(utility, inputs.given_rows(left), inputs.given_rows(right))
        held = int(_HELD_OUT * count)
        kept = count - held
        apart = left[:, None] != right
        learned = np.argwhere(apart[:kept, :kept])
        if not len(learned):
            raise InputError(f"There are {inputs.n} rows; pass at least 2 to learn from.")
        values = utilities[tuple(learned.T)]
        self._center = float(values.mean())
        self._spread = float(values.std()) or 1.0
        self._learn(
            vectors[left[learned[:, 0]]],
            vectors[right[learned[:, 1]]],
            (values - self._center) / self._spread,
        )
        tested = np.argwhere(apart[kept:, kept:]) + kept
        predicted = self.predict(vectors[left[tested[:, 0]]], vectors[right[tested[:, 1]]])
        self.report_: dict[str, Any] = {
            "rows": inputs.n,
            "evaluations": utilities.size,
            "pairs": len(learned),
            "held_out": len(tested),
            **_fit_of(predicted, utilities[tuple(tested.T)]),
        }
        return self

    def predict(self, X_left: Any, X_right: Any) -> Floats:
        """Return the utility of each row of `X_left` to the same row of `X_right`, float64[m]."""
        check_is_fitted(self, "network_")
        left, right = (np.asarray(side, dtype=np.float32) for side in (X_left, X_right))
        if left.ndim != 2 or left.shape != right.shape:
            raise InputError(
                f"The pairs have shapes {left.shape} and {right.shape}; pass rows of equal number."
            )
        check_width(left, len(self._mean))
        predicted = np.empty(len(left))
        with one_thread("blas"):
            for begin in range(0, len(left), _CHUNK):
                part = slice(begin, begin + _CHUNK)
                predicted[part] = self.network_.predict(self._features(left[part], right[part]))
        return self._center + self._spread * predicted

    def graph(self, graph: Graph, X: Any) -> UtilityGraph:
        """Return `graph` with the utilities of its edges as weights, scaled to [0, 1].

        The weight of the edge from i to j is ``max(u(i, j), 0)`` over the largest of all edges, so
        that a row is of at least as much use to itself as any other row is.

        Parameters
        ----------
        graph : SimilarityGraph
        X : array of shape (n, d)
            The vectors of its rows.
        """
        vectors = as_vectors(X)
        n = len(graph.indptr) - 1
        if len(vectors) != n:
            raise InputError(f"X has {len(vectors)} rows but the graph has {n}; pass the same.")
        weights = self._of_pairs(
            vectors, np.repeat(np.arange(n), np.diff(graph.indptr)), graph.indices
        )
        listed = graph.neighbors >= 0
        rows, _ = np.nonzero(listed)
        near = np.full(graph.neighbors.shape, -np.inf)
        near[listed] = self._of_pairs(vectors, rows, graph.neighbors[listed])
        highest = max(weights.max(initial=0), near.max(initial=0)) or 1.0
        weights = np.maximum(weights, 0) / highest
        near[listed] = np.maximum(near[listed], 0) / highest
        order = np.argsort(-near, axis=1, kind="stable")
        return UtilityGraph(
            indptr=graph.indptr,
            indices=graph.indices,
            weights=weights.astype(np.float32),
            neighbors=np.take_along_axis(graph.neighbors, order, axis=1),
            similarities=np.take_along_axis(near, order, axis=1).astype(np.float32),
            ids=graph.ids,
        )

    def _of_pairs(self, X: Vectors, left: NDArray[Any], right: NDArray[Any]) -> Floats:
        predicted = np.empty(len(left))
        for begin in range(0, len(left), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            predicted[part] = self.predict(X[left[part]], X[right[part]])
        return predicted

    def _features(self, left: Vectors, right: Vectors) -> Vectors:
        """Return what the network sees of pairs, in units of the pool's spread."""
        sides = [(side - self._mean) / self._scale for side in (left, right)]
        if self.products:
            sides.append(sides[0] * sides[1])
        return np.concatenate(sides, axis=1).astype(np.float32)

    def _learn(self, left: Vectors, right: Vectors, values: Floats) -> None:
        # takes half a second to import, and only this needs it
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPRegressor

        self.network_ = MLPRegressor(
            hidden_layer_sizes=(int(self.hidden),),
            batch_size=min(int(self.batch_size), len(values)),
            learning_rate_init=float(self.learning_rate),
            max_iter=int(self.epochs),
            n_iter_no_change=int(self.epochs),
            tol=0.0,
            random_state=derived_seed(self.random_state, "influence") % 2**32,
        )
        with one_thread("blas"), warnings.catch_warnings():
            # a fixed number of epochs is what was asked for
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.network_.fit(self._features(left, right), values.astype(np.float32))


def _utilities(utility: Any, left: Rows, right: Rows) -> Floats:
    """Return the utilities of all pairs, checked."""
    if callable(utility):
        values = utility(left.copy(), right.copy())
    else:
        matrix = np.asarray(utility)
        if (
            matrix.ndim != 2
            or len(set(matrix.shape)) > 1
            or len(matrix) <= max(left.max(), right.max())
        ):
            raise InputError(
                f"utility has shape {matrix.shape}; pass one value per pair of rows, or a callable."
            )
        values = matrix[np.ix_(left, right)]
    utilities = np.asarray(values, dtype=np.float64)
    if utilities.shape != (len(left), len(right)):
        raise InputError(
            f"The utility of {len(left)} x {len(right)} pairs has shape {utilities.shape}; return one "
            "number per pair."
        )
    if not np.isfinite(utilities).all():
        raise NonFiniteError("The utility holds NaN or infinite values; return finite numbers.")
    return utilities


def _fit_of(predicted: Floats, values: Floats) -> dict[str, float | None]:
    """Return the share of variance explained and the correlation of ranks."""
    if len(values) < 2 or np.ptp(values) == 0:
        return {"r2": None, "rank_correlation": None}
    from scipy.stats import rankdata

    residual = ((values - predicted) ** 2).sum() / ((values - values.mean()) ** 2).sum()
    constant = np.ptp(predicted) == 0
    ranks = 0.0 if constant else np.corrcoef(rankdata(predicted), rankdata(values))[0, 1]
    return {"r2": float(1 - residual), "rank_correlation": float(ranks)}
