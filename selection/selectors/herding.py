"""Herding: rows whose mean stays next to the mean of the pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from assay.selection.algorithms.allocation import allocate
from assay.selection.base import Selector
from assay.selection.contract.inputs import Inputs, Labels, Rows
from assay.selection.contract.outcomes import Choice, Outcome
from assay.selection.selectors.k_center import warn_of_cost
from assay.storage.compiling import njit
from assay.storage.errors import MissingInputError
from assay.storage.limits import Limits


@dataclass(kw_only=True, eq=False, repr=False)
class HerdingSelector(Selector):
    r"""Greedy matching of the mean of the pool.

    .. math:: j_{t+1} = \arg\min_{i \notin S} \Big\lVert \mu - \frac{1}{t + 1}
              \Big(x_i + \sum_{s \in S} x_s\Big) \Big\rVert

    with :math:`\mu` the mean of all vectors (of a class, where the classes are herded apart). S
    begins with the covered rows.

    Parameters
    ----------
    by : {"labels", "groups"}, optional
        Herd each class or group towards its own mean. The budget is shared out over them as evenly
        as their sizes allow; rows without a label are one of them.
    random_state : int, default 0
        No effect: nothing is random. Equal distances are decided by id.

    Attributes
    ----------
    indices_ : int64[budget]
        In the order in which they were taken (with `by`: the first of every class, then the second
        of every class, ...). Without `by` every smaller budget is a prefix. There is no
        `ranking_`, as the order is computed up to the budget only.
    scores_ : float64[n]
        Minus the distance above, at the moment when the row is taken; for the other rows, if they
        were taken next.
    report_ : dict
        `mean_distance` (from the mean of the rows chosen to that of the pool), `mean_norm` (the
        length of the latter, for comparison), `multiply_adds`; with `by` also `shares` (rows chosen
        of each class).

    Raises
    ------
    MissingInputError
        `X`, or what `by` names, was not given.

    Warns
    -----
    CostWarning
        n * budget * d exceeds 1e12.

    Notes
    -----
    Time O(n budget d) (over the classes: O(sum of n_c budget_c d)), memory O(n) beside the vectors.

    Claims
    ------
    paper
        The mean of T herded points converges as 1/T, that of random ones as 1/sqrt(T).
    here
        The greedy argmin, whole or class by class.
    deviates
        Linear features, no kernel; rows are taken without replacement.
    measured
        57.5 against random's 57.0 at 90 % of CIFAR-10 vectors (`quality.md`).

    References
    ----------
    Welling, "Herding dynamical weights to learn", 2009. Chen, Welling, Smola, "Super-samples from
    kernel herding", 2010.

    Examples
    --------
    >>> X = [[0.0], [1.0], [2.0], [7.0]]
    >>> HerdingSelector(budget=2).fit(X).indices_.tolist()
    [2, 1]
    """

    limits: ClassVar[Limits] = {
        "by": ("labels", "groups", None),
    }

    by: Literal["labels", "groups"] | None = None

    def _select(self, inputs: Inputs, budget: int) -> Choice:
        members = _members(inputs, self.by)
        X, unit = inputs.moved_vectors()
        sizes = np.array([len(rows) for rows in members.values()])
        had = np.array([int(inputs.covered[rows].sum()) for rows in members.values()])
        shares = allocate(sizes, budget + int(had.sum()), minima=had) - had
        work = sum(
            warn_of_cost(int(size), X.shape[1], int(share))
            for size, share in zip(sizes, shares + had, strict=True)
        )
        scores = np.empty(inputs.n)
        order, places = [], []
        for rows, share in zip(members.values(), shares, strict=True):
            mean = X[rows].mean(axis=0, dtype=np.float64)
            taken, squares = _herd(X, rows, mean, inputs.covered[rows], int(share))
            scores[rows] = -unit * np.sqrt(squares)
            order.append(rows[taken])
            places.append(np.arange(len(taken)))
        chosen = np.concatenate(order)[np.argsort(np.concatenate(places), kind="stable")]
        rest = np.setdiff1d(np.arange(inputs.n), chosen)
        mean = X.mean(axis=0, dtype=np.float64)
        given_mean = inputs.vectors().mean(axis=0, dtype=np.float64)
        in_all = np.concatenate([inputs.covered_rows, chosen])
        away = X[in_all].mean(axis=0, dtype=np.float64) - mean
        report: dict[str, Any] = {
            "mean_distance": unit * float(np.sqrt((away * away).sum())),
            "mean_norm": float(np.sqrt((given_mean * given_mean).sum())),
            "multiply_adds": work,
        }
        if self.by is not None:
            report["shares"] = dict(zip(members, shares.tolist(), strict=True))
        return Choice(
            chosen=chosen,
            scores=scores,
            outcomes=[Outcome(rest, "select", "farther_from_mean", {"score": scores[rest]})],
            report=report,
        )


def _members(inputs: Inputs, by: str | None) -> dict[str, Rows]:
    """Return the rows of each class, ascending; all rows where the classes don't matter."""
    if by is None:
        return {"all": np.arange(inputs.n)}
    classes = inputs.labels if by == "labels" else inputs.groups
    if classes is None:
        argument = {"labels": "y", "groups": "groups"}[by]
        raise MissingInputError(
            f"HerdingSelector with by={by!r} needs {by}, and {argument} was not given; pass one "
            f"value per row as {argument}."
        )
    return rows_by_class(classes)


def rows_by_class(labels: Labels) -> dict[str, Rows]:
    """Return the rows of each class, ascending, by name; rows without a label are one class."""
    order = np.argsort(labels.codes, kind="stable")
    codes, starts = np.unique(labels.codes[order], return_index=True)
    names = [labels.classes[code] if code >= 0 else labels.without for code in codes]
    return dict(zip(names, np.split(order, starts[1:]), strict=True))


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _dots(X: Any, rows: Any, point: Any) -> Any:  # pragma: no cover
    """Return the product of each of the rows with a point, in float64."""
    products = np.empty(len(rows))
    for at in range(len(rows)):
        total = 0.0
        for column in range(X.shape[1]):
            total += np.float64(X[rows[at], column]) * np.float64(point[column])
        products[at] = total
    return products


@njit(cache=True, nogil=True)
def _herd(X: Any, rows: Any, mean: Any, covered: Any, budget: int) -> Any:  # pragma: no cover
    """Return places in `rows` in the order taken, and each row's squared distance of means.

    The covered ones of the rows are in the mean from the start.
    """
    m, d = len(rows), X.shape[1]
    own = np.empty(m)
    for at in range(m):
        own[at] = 0.0
        for column in range(d):
            own[at] += np.float64(X[rows[at], column]) ** 2
    with_mean = _dots(X, rows, mean)
    with_taken = np.zeros(m)
    residual = mean.copy()
    squares = np.empty(m)
    free = ~covered
    taken = np.empty(budget, dtype=np.int64)
    before = 0
    had = np.zeros(d)
    for at in range(m):
        if covered[at]:
            before += 1
            squares[at] = 0.0
            for column in range(d):
                had[column] += np.float64(X[rows[at], column])
                residual[column] += mean[column] - np.float64(X[rows[at], column])
    if before:
        with_taken = _dots(X, rows, had)
    for step in range(before, before + budget + 1):
        # the residual is what the next row should be: (step + 1) mean - sum of the rows taken
        length = 0.0
        for column in range(d):
            length += residual[column] ** 2
        best, least = -1, np.inf
        for at in range(m):
            if free[at]:
                away = length + own[at] - 2 * ((step + 1) * with_mean[at] - with_taken[at])
                squares[at] = max(0.0, away) / (step + 1) ** 2
                if squares[at] < least:
                    best, least = at, squares[at]
        if step == before + budget or best < 0:
            break
        taken[step - before] = best
        free[best] = False
        with_taken += _dots(X, rows, X[rows[best]])
        for column in range(d):
            residual[column] += mean[column] - np.float64(X[rows[best], column])
    return taken, squares
