"""Seats for columns: importance shared out as parliaments share out seats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from assay.selection.algorithms.allocation import allocate
from assay.storage.errors import InputError
from assay.storage.limits import Number, Whole, check_parameters

# every column by itself
_ITSELF = ""


def share_seats(
    features: Sequence[str],
    scores: Any,
    *,
    seats: int = 100,
    threshold: float = 0.0,
    alliance: str | Callable[[str], str] = _ITSELF,
) -> pl.DataFrame:
    r"""Share seats out among columns, or alliances of them, by D'Hondt over their importance.

    With :math:`v_g` the sum of the scores above 0 of alliance g, seats go one at a time to the largest
    :math:`v_g / (s_g + 1)` for the seats :math:`s_g` that it has. A whole number of seats is easier to
    read and compare than scores, and columns that stand for one thing (the levels of one category, lags of
    one series) are judged together.

    Parameters
    ----------
    features : d names
    scores : d numbers
        Importance; what is 0 or below counts for nothing.
    seats : int, default 100
    threshold : float in [0, 1), default 0
        Share of all importance below which an alliance gets no seat.
    alliance : str or function of a name, default ""
        A separator: columns with the same name up to the first of it stand together (``"_"``: `race_a`
        with `race_b`). "": each by itself. A function returns the alliance of a column.

    Returns
    -------
    polars.DataFrame
        One row for each alliance, most seats first: alliance, columns (their number), share (of all
        importance), seats.

    Raises
    ------
    InputError
        Scores are not finite, are not one for each column, or none that reaches the threshold is above 0.
    ConfigError
        `seats` or `threshold` is out of its range.

    Notes
    -----
    Time O(d + 64 g). Ties go to the alliance whose name comes first.

    References
    ----------
    "DhondtXAI: democratic feature importance", 2024. Balinski, Young, "Fair representation", 1982.

    Examples
    --------
    >>> found = share_seats(["age", "race_a", "race_b"], [0.5, 0.2, 0.3], seats=4, alliance="_")
    >>> found.rows()
    [('age', 1, 0.5, 2), ('race', 2, 0.5, 2)]
    """
    check_parameters(
        seats=(seats, Whole(1, 1_000_000)), threshold=(threshold, Number("[0, 1)"))
    )  # fmt: skip
    values = np.asarray(scores, dtype=np.float64)
    if values.shape != (len(features),) or not np.isfinite(values).all():
        raise InputError(
            f"scores has shape {values.shape} for {len(features)} columns; pass one finite number for each."
        )
    if isinstance(alliance, str):
        separator = alliance
        names = [name.split(separator, 1)[0] if separator else name for name in features]
    else:
        names = [alliance(name) for name in features]
    votes = (
        pl.DataFrame({"alliance": names, "votes": np.maximum(values, 0.0)})
        .group_by("alliance")
        # in one order of summation
        .agg(columns=pl.len(), votes=pl.col("votes").sort().sum())
        .sort("alliance")
    )
    total = float(votes["votes"].sum())
    share = votes["votes"].to_numpy() / (total or 1.0)
    counted = np.where((share >= threshold) & (share > 0), votes["votes"].to_numpy(), 0.0)
    if not counted.any():
        raise InputError(
            f"No alliance has importance above 0 and {threshold:.0%} of all; lower the threshold, or rank "
            "by a method whose scores are positive."
        )
    shared = allocate(np.full(len(counted), seats), seats, rule="dhondt", weights=counted)
    votes_of_columns = votes.select("alliance", pl.col("columns").cast(pl.Int64)).with_columns(
        share=pl.Series(share), seats=pl.Series(shared)
    )
    return votes_of_columns.sort("seats", "share", "alliance", descending=[True, True, False])
