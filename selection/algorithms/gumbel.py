"""Noise by whose keys rows are drawn in proportion to weights."""

from __future__ import annotations

import numpy as np

from assay.selection.contract.inputs import Floats


def gumbel(noise: Floats) -> Floats:
    """Return standard Gumbel noise from numbers in (0, 1), in their place.

    The rows of the k largest log w + noise are k draws without replacement in proportion to w.

    Examples
    --------
    >>> import numpy as np
    >>> gumbel(np.array([0.1, 0.5, 0.9])).round(2).tolist()
    [-0.83, 0.37, 2.25]
    """
    for transform in (np.log, np.negative, np.log, np.negative):
        transform(noise, out=noise)
    return noise
