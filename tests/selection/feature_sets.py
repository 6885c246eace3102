"""Public data sets of many columns, for the tests of feature rankers."""

from __future__ import annotations

import numpy as np

from tests.data import shared


def load(name):
    """Return X, y of a data set, as the authors' code was given it, or skip the test."""
    with np.load(shared(f"featsel/{name}.npz")) as stored:
        X, y = stored["X"], stored["y"].astype(np.int64)
    if name == "Prostate-GE":
        # kept in float32; the originals are logarithms of intensities with one decimal
        X = np.log(np.round(10.0 ** X.astype(np.float64), 1)) / np.log(10)
    return X, y
