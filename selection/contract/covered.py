"""Rows of a pool that are had already: they count as chosen, and are not handed out."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.storage.errors import IdError, InputError


def covered_mask(
    covered: Any, ids: pl.Series, order: NDArray[np.int64] | None
) -> NDArray[np.bool_]:
    """Return where the rows of a pool are covered, in the order of `ids`.

    Parameters
    ----------
    covered : None, n booleans in the order of the pool, or ids
    ids : Series of n texts
        In canonical order.
    order : int64[n] or None
        The given row of each canonical one; None where both orders are the same.

    Raises
    ------
    InputError
        A mask of another length, or neither a mask nor ids.
    IdError
        An id is missing, or not in the pool.

    Examples
    --------
    >>> ids = pl.Series(["a", "b", "c"])
    >>> covered_mask(["c"], ids, None).tolist()
    [False, False, True]
    """
    n = len(ids)
    if covered is None:
        return np.zeros(n, dtype=bool)
    if isinstance(covered, str | bytes):
        raise InputError(
            f"covered is the text {covered!r}; pass one boolean per row, or a sequence of ids."
        )
    if isinstance(covered, set | frozenset):
        covered = sorted(covered, key=str)
    try:
        values = pl.Series("covered", covered)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise InputError(f"covered is neither a mask nor ids: {error}") from error
    if values.dtype == pl.Boolean:
        if len(values) != n or values.null_count():
            raise InputError(
                f"covered holds {len(values)} booleans, {values.null_count()} of them null, for "
                f"{n} rows; pass true or false for every row, or the ids of the covered rows."
            )
        mask = values.to_numpy().astype(bool)
        return mask if order is None else mask[order]
    if values.dtype not in (pl.String, pl.Null) and not values.dtype.is_integer():
        raise InputError(
            f"covered holds {values.dtype}; pass one boolean per row, or ids (text or whole numbers)."
        )
    if values.null_count():
        raise IdError(f"{values.null_count()} ids in covered are null; leave them out.")
    wanted = values.cast(pl.String).unique()
    unknown = wanted.filter(~wanted.is_in(ids.implode()))
    if len(unknown):
        raise IdError(
            f"covered names {len(unknown)} ids that the pool does not have, such as "
            f"{unknown.sort()[0]!r}; leave them out."
        )
    return ids.is_in(wanted.implode()).to_numpy().astype(bool)


def check_some_left(covered: NDArray[np.bool_]) -> None:
    """Raise `InputError` where no row is left to choose."""
    if covered.all():
        raise InputError(
            f"All {len(covered)} rows of the pool are covered, so none is left to choose; add rows "
            "to the pool, or cover fewer."
        )
