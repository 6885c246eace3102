"""Scorers that fit on what is known already, and score what is new."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from assay.index.vectors.checks import equal_rows
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Inputs
from assay.storage.errors import ConfigError, InputError
from assay.storage.hashing.rows import uniform
from assay.storage.reading.pools import Pool


class KnownRowsScorer(Scorer):
    """Base of scorers that are fitted on known rows: `reference`, which is `target` to others."""

    def fit(self, X: Any = None, y: Any = None, *, reference: Any = None, **others: Any) -> Self:
        """Score every row of X against the rows of `reference`.

        Parameters
        ----------
        X : array of shape (n, d)
        y : n labels, optional
        reference : array of shape (m, d), or Pool of vectors, optional
            What is had already. ``target=`` means the same.
        **others
            As of `Scorer.fit`.
        """
        if reference is not None:
            if others.get("target") is not None:
                raise ConfigError(
                    "reference and target are both given and mean the same; pass one."
                )
            others["target"] = reference
        return super().fit(X, y, **others)


def known_rows(inputs: Inputs) -> NDArray[np.float32]:
    """Return the distinct rows of the reference, in an order that is their content's.

    Raises
    ------
    InputError
        They are not vectors of the pool's length, or there is none.
    """
    known = inputs.target
    if isinstance(known, Pool):
        known = known.vectors()
    try:
        rows = np.ascontiguousarray(np.asarray(known, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise InputError(f"The reference is not a numeric array: {error}.") from error
    width = inputs.vectors().shape[1]
    if rows.ndim != 2 or rows.shape[1] != width:
        raise InputError(
            f"The reference has shape {rows.shape} and the pool vectors of length {width}; pass "
            "vectors of the same length."
        )
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        raise InputError("The reference has no usable row; pass at least one.")
    rows = rows[equal_rows(rows, np.arange(len(rows))).first]
    return np.ascontiguousarray(rows[np.argsort(uniform(rows, 0), kind="stable")])
