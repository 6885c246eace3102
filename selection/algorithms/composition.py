"""The make-up of an unlabeled target in terms of the pool's groups: label shift, with intervals."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.embedding.text import HashedTextEmbedder
from assay.index.threads import one_thread
from assay.selection.algorithms.allocation import allocate
from assay.selection.algorithms.cells import cluster, prepared
from assay.selection.algorithms.target_shift import fit_target_shift
from assay.selection.contract.inputs import Floats, Inputs, Labels, Rows, text_series
from assay.storage.errors import InputError, MissingInputError
from assay.storage.hashing.rows import first_rows, uniform
from assay.storage.limits import MOST_ROUNDS, SEED, Whole, check_parameters

# rows of the pool that the classifier sees, and its inverse penalty
_FIT_ROWS = 50_000
_C = 10.0
# EM stops where no share moves further, or after so many rounds; the intervals' starts are near
_TOLERANCE, _ROUNDS = 1e-9, 1_000
_LOOSE, _FEW_ROUNDS = 1e-5, 100
# target rows that are resampled; intervals of larger targets are scaled
_RESAMPLED = 2_000
# a target row is like no group where its best posterior is below this quantile of the pool's
_QUANTILE, _UNLIKE = 0.05, 0.1
# target rows per group below which the report says that they are few
_FEW = 10
# bins of a numeric label in the table
_BINS = 8
# a group that the target lacks still takes rows where the others are used up
_LEAST_SHARE = 1e-9


class CompositionWarning(UserWarning):
    """The target may hold what no group of the pool holds."""


@dataclass(frozen=True, eq=False)
class Composition:
    """The shares of the pool's groups in a target.

    Attributes
    ----------
    frame : pl.DataFrame
        `group`, `pool_share`, `target_share`, `low`, `high` (a 95 % interval), by group.
    codes : int64[n]
        The group of every row of the pool as a row of `frame`, -1 for none.
    weights_ : float64[n]
        Target share over pool share of the row's group, 1 on average; 0 for a row without group.
        With numeric labels the estimated ratio of densities at the row's label.
    report_ : dict
        `groups`, `target_rows`, `unlike` (the share of target rows that are like no group),
        `few` (whether there are fewer than 10 target rows per group), `rounds`.
    """

    frame: pl.DataFrame
    codes: Rows
    weights_: Floats
    report_: dict[str, Any]

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Hand the table on: ``pl.DataFrame(composition)``."""
        return self.frame.__arrow_c_stream__(requested_schema)

    def quotas(self, budget: int, usable: NDArray[np.bool_] | None = None) -> dict[str, int]:
        """Return how many rows of each group make `budget` rows of the target's composition.

        Parameters
        ----------
        budget : int
            At most the rows that have a group.
        usable : bool[n], optional
            Rows that may be chosen. A group that holds fewer than its share gives all of them, and
            the others share what is missing.
        """
        open_rows = self.codes >= 0 if usable is None else (self.codes >= 0) & usable
        names = self.frame["group"].to_list()
        shares = target_quotas(
            np.bincount(self.codes[open_rows], minlength=len(names)),
            self.frame["target_share"].to_numpy(),
            budget,
        )
        return dict(zip(names, shares.tolist(), strict=True))


def target_quotas(counts: Any, shares: Any, budget: int) -> Rows:
    """Return rows per group: `shares` of the budget by largest remainder, at most `counts`.

    Groups of share 0 get rows only where all others are used up.

    Examples
    --------
    >>> target_quotas([10, 2, 50], [0.5, 0.5, 0.0], 8).tolist()
    [6, 2, 0]
    """
    sizes = np.asarray(counts, dtype=np.int64)
    weights = np.asarray(shares, dtype=np.float64)
    if weights.sum() <= 0:
        weights = sizes / max(1, sizes.sum())
    weights = weights / weights.sum() + _LEAST_SHARE * (sizes > 0) / max(1, len(sizes))
    return allocate(sizes, int(min(budget, sizes.sum())), rule="largest_remainder", weights=weights)


def estimate_composition(
    X: Any,
    y: Any = None,
    *,
    target: Any = None,
    ids: Any = None,
    cells: int = 32,
    bootstraps: int = 200,
    random_state: int = 0,
) -> Composition:
    r"""Estimate the shares of the pool's groups in a target whose groups are not known.

    Under label shift, where a group looks the same in pool and target and only its share differs,
    the shares q maximize the likelihood of the target given the posteriors p(g | x) of a classifier
    fitted on the pool, whose shares are s. From q = s, EM repeats

    .. math:: q_g \leftarrow \frac{1}{m} \sum_i
              \frac{p(g \mid x_i)\, q_g / s_g}{\sum_h p(h \mid x_i)\, q_h / s_h}

    Counting predictions, in contrast, carries the classifier's errors into the shares.

    Parameters
    ----------
    X : array of shape (n, d), or n texts
        The pool. Texts are embedded as a run does by default.
    y : n labels, optional
        The group of each row; rows without one are left out of the fit. Floats are a numeric label:
        see `assay.selection.algorithms.target_shift`. Where None, the groups are k-means cells.
    target : as X
        The rows whose composition is wanted.
    ids : n unique texts or whole numbers, optional
        With ids the result does not depend on the order of the rows.
    cells : int, default 32
        Where `y` is None.
    bootstraps : int, default 200
        Resamplings of the target's rows that the intervals come from.
    random_state : int, default 0
        Of cells and resamplings.

    Returns
    -------
    Composition

    Warns
    -----
    CompositionWarning
        More than a tenth of the target's rows are like no group: their best posterior is below what
        all but 5 % of the pool's rows have out of fold. Then label shift does not hold.

    Notes
    -----
    The classifier is a logistic regression on at most 50,000 rows, chosen by the hash of their ids,
    fitted once for the target and twice for the check. Then O(m G) for each round of EM.

    References
    ----------
    Saerens, Latinne, Decaestecker, "Adjusting the outputs of a classifier to new a priori
    probabilities", 2002. Garg et al., "A unified view of label shift estimation", 2020.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(-2, 1, (300, 2)), rng.normal(2, 1, (300, 2))])
    >>> y = ["a"] * 300 + ["b"] * 300
    >>> target = np.concatenate([rng.normal(-2, 1, (20, 2)), rng.normal(2, 1, (180, 2))])
    >>> estimate_composition(X, y, target=target).frame["target_share"].round(2).to_list()
    [0.1, 0.9]
    """
    check_parameters(
        cells=(cells, Whole(2)),
        bootstraps=(bootstraps, Whole(0, MOST_ROUNDS)),
        random_state=(random_state, *SEED),
    )
    if target is None:
        raise MissingInputError(
            "estimate_composition needs target, and target was not given; pass a sample of the "
            "distribution wanted as target."
        )
    inputs = Inputs(X=X, ids=ids, y=y, method="estimate_composition")
    rows, of_target = _vectors(inputs, target)
    if y is not None and (numbers := _numeric(y)) is not None:
        return _numeric_composition(inputs, rows, numbers, of_target, random_state)
    if inputs.labels is not None:
        labels = inputs.labels
    else:
        cell = cluster(
            prepared(rows, "cosine"), cells, "cosine", inputs.noise(random_state, "cells")
        )
        width = len(str(len(cell.centroids) - 1))
        names = [f"cell-{code:0{width}d}" for code in range(len(cell.centroids))]
        labels = Labels(cell.of_row.astype(np.int32), names)
    fit = np.flatnonzero(labels.codes >= 0)
    sizes = np.bincount(labels.codes[fit], minlength=len(labels.classes))
    noise = inputs.noise(0, "composition")
    if len(fit) > _FIT_ROWS:
        fit = np.sort(fit[first_rows(noise[fit], _FIT_ROWS)])
    shares = sizes / sizes.sum()
    posteriors, unlike = _posteriors(rows[fit], labels.codes[fit], of_target, noise[fit], shares)
    estimated, rounds = target_shares(posteriors, shares)
    low, high = _intervals(posteriors, shares, estimated, bootstraps, of_target, random_state)
    m = len(of_target)
    if unlike > _UNLIKE:
        warnings.warn(
            f"{unlike:.0%} of the target's rows are like no group of the pool, so the shares of the "
            "groups in it mean little. Check that the pool holds what the target shows.",
            CompositionWarning,
            stacklevel=2,
        )
    codes = labels.codes.astype(np.int64)
    ratio = np.append(
        np.divide(estimated, shares, out=np.zeros(len(estimated)), where=shares > 0), 0.0
    )
    weights = ratio[codes]
    return Composition(
        pl.DataFrame(
            {
                "group": labels.classes,
                "pool_share": shares,
                "target_share": estimated,
                "low": low,
                "high": high,
            }
        ),
        np.asarray(inputs.as_given(codes)),
        np.asarray(inputs.as_given(weights / weights.mean())),
        {
            "groups": len(shares),
            "target_rows": m,
            "unlike": unlike,
            "few": m < _FEW * len(shares),
            "rounds": rounds,
        },
    )


def target_shares(posteriors: Floats, pool_shares: Floats) -> tuple[Floats, int]:
    """Return the shares of maximum likelihood by EM, and the rounds that it took.

    Parameters
    ----------
    posteriors : float64[m, G]
        Of the target's rows, from a model of the pool.
    pool_shares : float64[G]

    Examples
    --------
    >>> P = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.1]])
    >>> target_shares(P, np.array([0.5, 0.5]))[0].round(4).tolist()
    [0.8125, 0.1875]
    """
    present = pool_shares > 0
    ratio = posteriors[:, present] / pool_shares[present]
    q = pool_shares[present] / pool_shares[present].sum()
    rounds, moved = 0, np.inf
    while moved >= _TOLERANCE and rounds < _ROUNDS:
        rounds += 1
        updated = q * (ratio.T @ (1.0 / np.maximum(ratio @ q, 1e-300))) / len(ratio)
        moved = float(np.abs(updated - q).max())
        q = updated / updated.sum()
    shares = np.zeros(len(pool_shares))
    shares[present] = q
    return shares, rounds


def _intervals(
    posteriors: Floats,
    pool_shares: Floats,
    estimated: Floats,
    bootstraps: int,
    target: NDArray[np.float32],
    random_state: int,
) -> tuple[Floats, Floats]:
    """Return the 2.5 and 97.5 percentiles over resamplings of the target, all run at once."""
    if not bootstraps:
        return np.full(len(estimated), np.nan), np.full(len(estimated), np.nan)
    # by content, so that the order of the target's rows does not matter
    order = np.argsort(uniform(target, random_state), kind="stable")[:_RESAMPLED]
    m, present = len(order), pool_shares > 0
    ratio = posteriors[order][:, present] / pool_shares[present]
    times = np.random.default_rng(random_state).multinomial(m, np.full(m, 1 / m), bootstraps)
    q = np.tile(0.9 * estimated[present] + 0.1 * pool_shares[present], (bootstraps, 1))
    with one_thread():
        for _ in range(_FEW_ROUNDS):
            updated = q * ((times / np.maximum(q @ ratio.T, 1e-300)) @ ratio) / m
            moved = np.abs(updated - q).max()
            q = updated / updated.sum(axis=1, keepdims=True)
            if moved < _LOOSE:
                break
    low, high = estimated.copy(), estimated.copy()
    scale = np.sqrt(m / len(target))
    sides = np.quantile(q, [0.025, 0.975], axis=0)
    low[present], high[present] = estimated[present] + scale * (sides - estimated[present])
    return np.clip(np.minimum(low, estimated), 0, 1), np.clip(np.maximum(high, estimated), 0, 1)


def _posteriors(
    X: NDArray[np.float32],
    codes: NDArray[Any],
    target: NDArray[np.float32],
    noise: Floats,
    shares: Floats,
) -> tuple[Floats, float]:
    """Return p(g | x) of the target's rows, and the share of them that are like no group."""
    posteriors = _predicted(X, codes, target, len(shares))
    half = np.argsort(np.argsort(noise, kind="stable"), kind="stable") % 2
    own = np.empty(len(X))
    if min(len(np.unique(codes[half == side])) for side in (0, 1)) < 1:
        return posteriors, 0.0
    for side in (0, 1):
        train, test = half != side, half == side
        own[test] = _predicted(X[train], codes[train], X[test], len(shares)).max(axis=1)
    least = np.quantile(own, _QUANTILE)
    return posteriors, float((posteriors.max(axis=1) < least).mean())


def _predicted(
    X: NDArray[np.float32], codes: NDArray[Any], rows: NDArray[np.float32], n_classes: int
) -> Floats:
    """Return the class probabilities of `rows` by a logistic regression on X."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    present = np.unique(codes)
    out = np.zeros((len(rows), n_classes))
    if len(present) < 2:
        out[:, present] = 1.0
        return out
    center = X.mean(axis=0, dtype=np.float64)
    # one scale for all columns: directions of little spread stay so
    scale = float(X.std(axis=0, dtype=np.float64).max()) or 1.0
    unit = np.sqrt(np.square((X - center) / scale).sum(axis=1).mean())
    model = LogisticRegression(C=_C, max_iter=300, tol=1e-4)
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((X - center) / (scale * unit), codes)
        out[:, model.classes_] = model.predict_proba((rows - center) / (scale * unit))
    return out


def _vectors(inputs: Inputs, target: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return vectors of the pool, in canonical order, and of the target."""
    if inputs.holds_vectors:
        rows = inputs.vectors()
        of_target = np.ascontiguousarray(np.asarray(target, dtype=np.float32))
        if of_target.ndim != 2 or of_target.shape[1] != rows.shape[1]:
            raise InputError(
                f"target has shape {of_target.shape} and the pool {rows.shape}; pass vectors of the "
                "same length."
            )
    else:
        texts = inputs.texts()
        embedder = HashedTextEmbedder().fit(texts)
        rows = embedder.encode(texts)
        of_target = embedder.encode(text_series(target, "target"))
        of_target = of_target[of_target.any(axis=1)]
    if not len(of_target):
        raise InputError("The target has no usable row; pass at least one.")
    return rows, of_target


def _numeric(y: Any) -> Floats | None:
    """Return labels that are floats as float64, None where they name groups."""
    series = pl.Series(y)
    if not series.dtype.is_float():
        return None
    values = series.to_numpy().astype(np.float64)
    if not np.isfinite(values).all():
        raise InputError("y holds numeric labels, some missing; drop those rows first.")
    return values


def _numeric_composition(
    inputs: Inputs, X: NDArray[np.float32], values: Floats, target: Any, random_state: int
) -> Composition:
    own = values if inputs.order is None else values[inputs.order]
    shift = fit_target_shift(X, own, target, inputs.noise(random_state, "target shift"))
    weights = shift.weights(own)
    weights = weights / weights.mean()
    edges = np.unique(np.quantile(own, np.linspace(0, 1, _BINS + 1)))
    codes = np.clip(np.searchsorted(edges, own, side="right") - 1, 0, max(0, len(edges) - 2))
    n_bins = max(1, len(edges) - 1)
    names = [f"{edges[b]:.6g} to {edges[min(b + 1, len(edges) - 1)]:.6g}" for b in range(n_bins)]
    missing = np.full(n_bins, np.nan)
    return Composition(
        pl.DataFrame(
            {
                "group": names,
                "pool_share": np.bincount(codes, minlength=n_bins) / inputs.n,
                "target_share": np.bincount(codes, weights, n_bins) / weights.sum(),
                "low": missing,
                "high": missing,
            }
        ),
        np.asarray(inputs.as_given(codes.astype(np.int64))),
        np.asarray(inputs.as_given(weights)),
        {"groups": n_bins, "target_rows": len(target), "fitted_rows": shift.rows},
    )
