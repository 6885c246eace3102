"""The rows that others should be like, by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.storage.errors import IdError, MissingInputError


def check_seeds(method: str, seeds: Sequence[Any] | None) -> None:
    """Refuse seeds that are no list of ids.

    Raises
    ------
    MissingInputError
    """
    if seeds is None or isinstance(seeds, str) or not len(seeds):
        raise MissingInputError(
            f"{method} needs seeds, and they are {seeds!r}; pass a list of one id or more."
        )


def seed_positions(ids: pl.Series, seeds: Sequence[Any]) -> NDArray[np.int64]:
    """Return the ascending positions of the seeds, each once.

    Raises
    ------
    IdError
        A seed is not among the ids.
    """
    wanted = pl.Series("seed", list(seeds)).cast(pl.String).unique()
    unknown = wanted.filter(~wanted.is_in(ids.implode()))
    if len(unknown):
        raise IdError(
            f"{len(unknown)} of {len(wanted)} seeds are not ids of rows that can be used, such as "
            f"{unknown.sort()[0]!r}; name ids of the pool."
        )
    return np.flatnonzero(ids.is_in(wanted.implode()).to_numpy())
