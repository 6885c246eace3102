"""The order of the epochs of a training log, whatever they are written as."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from assay.storage.errors import InputError

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
_RUNS = re.compile(r"\d+|\D+")


def epoch_places(epochs: pl.Series) -> pl.Series:
    """Return the place of each row's epoch among the epochs, from 0.

    Numbers and times are in their own order; text and categories in the natural order of the
    numbers in them: "epoch 9" before "epoch 10".

    Raises
    ------
    InputError
        An epoch is missing, or nothing says in which order the epochs were.
    """
    dtype = epochs.dtype
    if dtype.is_float():
        epochs = epochs.fill_nan(None)
    if epochs.null_count():
        raise InputError(
            f"The log has no epoch in {epochs.null_count()} rows; write one in every row."
        )
    if dtype.is_numeric() or dtype.is_temporal():
        return epochs.rank("dense").cast(pl.Int64) - 1
    if dtype not in (pl.String, pl.Categorical, pl.Enum):
        raise InputError(f"The log's column epoch holds {dtype}; number the epochs.")
    texts = epochs.cast(pl.String)
    names = texts.unique().sort().to_list()
    order = natural_order(names)
    if order is None:
        raise InputError(
            f"The log's epochs can't be put in order: {', '.join(map(repr, names[:10]))}; number "
            "them."
        )
    places = {names[at]: place for place, at in enumerate(order)}
    return texts.replace_strict(places, return_dtype=pl.Int64)


def natural_order(names: Sequence[str]) -> list[int] | None:
    """Return the positions of names in the order of the numbers in them; None if there is none.

    The names must differ in their numbers only. Where "1.10" may come before or after "1.9", as a
    decimal or as step 10 of epoch 1, there is no order either.

    Examples
    --------
    >>> natural_order(["epoch 10", "epoch 9"]), natural_order(["early", "late"])
    ([1, 0], None)
    """
    texts = [name.strip() for name in names]
    if len(texts) < 2:
        return list(range(len(texts)))
    parts = [_RUNS.findall(text) for text in texts]
    numbers = [tuple(int(part) for part in each if part.isdecimal()) for each in parts]
    between = {tuple(part.casefold() for part in each if not part.isdecimal()) for each in parts}
    orders = []
    if len(between) == 1 and len({len(each) for each in parts}) == 1:
        orders.append(_order(numbers))
    if all(_NUMBER.fullmatch(text) for text in texts):
        orders.append(_order([float(text) for text in texts]))
    elif orders and any("." in gap for gap in next(iter(between))):
        decimals = [re.findall(r"\d+(?:\.\d+)?", text) for text in texts]
        orders.append(_order([tuple(map(float, each)) for each in decimals]))
    if not orders or any(order != orders[0] for order in orders):
        return None
    return orders[0]


def _order(keys: Sequence[float | tuple[float, ...]]) -> list[int] | None:
    if len(set(keys)) < len(keys):
        return None
    return sorted(range(len(keys)), key=lambda at: keys[at])
