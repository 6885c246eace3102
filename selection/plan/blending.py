"""Combine several scores: a weighted mean of ranks or z-scores, or a consensus of rankings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from assay.selection.contract.inputs import Floats
from assay.storage.errors import ConfigError, InputError, NonFiniteError
from assay.storage.limits import check_parameters

METHODS = ("rank", "z", "none", "rra", "median")


def blend_scores(
    scores: Mapping[str, ArrayLike],
    weights: Mapping[str, float] | None = None,
    *,
    method: Literal["rank", "z", "none", "rra", "median"] = "rank",
) -> Floats:
    r"""Return one score per row from several.

    .. math:: b_i = \sum_m w_m\, t_m(s_{mi}) \Big/ \sum_m |w_m|

    Parameters
    ----------
    scores : mapping of name to float[n]
        Finite, higher = more of what the name says.
    weights : mapping of name to number, optional
        Names in `scores`; 1 for each where None. A negative weight turns a score round.
    method : {"rank", "z", "none", "rra", "median"}, default "rank"
        t: "rank" is (mean rank - 1) / (n - 1), from 0 for the lowest to 1, equal scores alike,
        so that neither unit nor outliers count; "z" is (s - mean) / deviation (0 for a constant
        score); "none" takes the scores as they are. The others are robust consensuses of the
        rankings, in which weights give the direction alone: "rra" is -log10 of the least chance
        P(Beta(i, m + 1 - i) <= r_(i)) that i of m random rankings put a row as high (see
        `consensus_ranking`), "median" is 1 - (median rank - 1) / (n - 1), which a minority of the
        rankings can't move.

    Returns
    -------
    float64[n]

    Raises
    ------
    ConfigError
        Nothing to blend, a weight for a score that is not there, weights that are all 0 or not
        finite, or an unknown method.
    InputError, NonFiniteError
        Scores differ in length, or hold NaN.

    Notes
    -----
    O(m n log n) time, O(m n) memory.

    Examples
    --------
    >>> blend_scores({"a": [1.0, 2.0, 30.0], "b": [5.0, 5.0, 1.0]}, {"a": 1, "b": -1}).tolist()
    [-0.375, -0.125, 0.5]
    """
    check_parameters(method=(method, *METHODS))
    signed = dict.fromkeys(scores, 1.0) if weights is None else dict(weights)
    unknown = [name for name in signed if name not in scores]
    if unknown or not signed:
        raise ConfigError(
            f"The blend names {', '.join(unknown) or 'no score'}; there are: {', '.join(scores)}."
        )
    factor = np.array(list(signed.values()), dtype=np.float64)
    if not np.isfinite(factor).all() or not factor.any():
        raise ConfigError(f"The blend's weights are {signed}; pass finite ones, not all 0.")
    table = _table({name: scores[name] for name in signed})
    if method in ("rra", "median"):
        return _consensus(table * np.sign(factor)[:, None], method)
    blend = np.zeros(table.shape[1])
    # one score at a time: a product of matrices may round by the place of a row
    for weight, row in zip(factor, table, strict=True):
        blend += weight * _scaled(row, method)
    return np.asarray(blend / abs(factor).sum())


def _table(scores: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
    rows: list[Floats] = []
    for name, values in scores.items():
        row = np.asarray(values, dtype=np.float64)
        if row.ndim != 1 or (rows and len(row) != len(rows[0])):
            raise InputError(f"The score {name!r} has shape {row.shape}; pass one number per row.")
        bad = np.flatnonzero(~np.isfinite(row))
        if len(bad):
            raise NonFiniteError(
                f"The score {name!r} is NaN or infinite in {len(bad)} rows, first in row {bad[0]}; "
                "it can't be blended."
            )
        rows.append(row)
    return np.stack(rows)


def _scaled(row: Floats, method: str) -> Floats:
    if method == "none":
        return row
    if method == "z":
        # sums round by the order of the rows
        ordered = np.sort(row)
        spread = ordered.std()
        return (row - ordered.mean()) / spread if spread else np.zeros_like(row)
    return (_mean_ranks(row) - 1) / max(len(row) - 1, 1)


def _mean_ranks(row: Floats) -> Floats:
    from scipy.stats import rankdata

    return np.asarray(rankdata(row, method="average"), dtype=np.float64)


def _consensus(table: NDArray[np.float64], method: str) -> Floats:
    from scipy.special import betainc

    m, n = table.shape
    ranks = np.sort([_mean_ranks(-row) for row in table], axis=0)
    if method == "median":
        return np.asarray(1 - (np.median(ranks, axis=0) - 1) / max(n - 1, 1))
    i = np.arange(1, m + 1)[:, None]
    return np.asarray(-np.log10(betainc(i, m + 1 - i, ranks / n).min(axis=0)))
