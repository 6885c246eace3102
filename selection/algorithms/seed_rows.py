"""The rows that others should be like, by their ids."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
    listed = isinstance(seeds, Collection) and not isinstance(seeds, str | bytes | Mapping)
    # an array without a dimension has no length
    listed &= not (isinstance(seeds, np.ndarray) and seeds.ndim == 0)
    if seeds is None or not listed or not len(seeds) or not all(map(_is_id, seeds)):
        raise MissingInputError(
            f"{method} needs seeds, and they are {seeds!r}; pass a list of one id or more."
        )


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int | float | np.number) and not isinstance(value, bool)


def seed_positions(ids: pl.Series, seeds: Sequence[Any]) -> NDArray[np.int64]:
    """Return the ascending positions of the seeds, each once.

    Raises
    ------
    IdError
        A seed is not among the ids.
    """
    wanted = pl.Series("seed", [str(seed) for seed in seeds]).unique()
    unknown = wanted.filter(~wanted.is_in(ids.implode()))
    if len(unknown):
        raise IdError(
            f"{len(unknown)} of {len(wanted)} seeds are not ids of rows that can be used, such as "
            f"{unknown.sort()[0]!r}; name ids of the pool."
        )
    return np.flatnonzero(ids.is_in(wanted.implode()).to_numpy())
