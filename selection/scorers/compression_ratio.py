"""How many times smaller a text becomes when it is compressed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from assay.selection.algorithms.text_blocks import measured
from assay.selection.base import Scorer
from assay.selection.contract.inputs import Floats, Inputs
from assay.storage.limits import Limits, Whole

# DEFLATE without the header and checksum of zlib, which would count against short texts
_RAW = -15


@dataclass(kw_only=True, eq=False, repr=False)
class CompressionRatio(Scorer):
    r"""Bytes of a text for each byte of its compressed form: high = it repeats itself.

    .. math:: \frac{|x|}{|\mathrm{DEFLATE}(x)|}

    Parameters
    ----------
    level : int from 1 to 9, default 1
        Of zlib. Level 1 is several times as fast as the 6 of gzip, and orders texts nearly alike.

    Attributes
    ----------
    scores_ : float64[n]
        1 for an empty text. Some 1.2 to 2 for short prose, 2 to 3 for long prose; below 1 for a
        few words.
    report_ : dict
        `ratio` (bytes of all texts over bytes of all compressed ones).

    Notes
    -----
    Texts are compressed one by one, without zlib's header. Some 20 to 40 MB/s for each core at
    level 1, less for texts below 500 bytes. A longer text compresses better: compare texts of
    like length.

    Claims
    ------
    paper
        Compression ratios tell repetitive text as well as slower measures of diversity do.
    here
        The ratio of each text, by DEFLATE.
    deviates
        Each text by itself, without a header, where the paper joins the texts of a set.
    measured
        Equal to zlib (test); 29 MB/s for each core on short texts, 50 on long ones
        (`text_scores.md`).

    References
    ----------
    Deutsch, "DEFLATE compressed data format specification version 1.3", RFC 1951, 1996. Shaib et
    al., "Standardizing the measurement of text diversity", 2024.

    Examples
    --------
    >>> CompressionRatio().fit(["ha " * 100, "no two words of this are the same"]).scores_ > 10
    array([ True, False])
    """

    limits: ClassVar[Limits] = {"level": (Whole(1, 9),)}

    level: int = 1

    def _score(self, inputs: Inputs) -> tuple[Floats, dict[str, Any]]:
        level = int(self.level)

        def compress(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
            view = data.data
            sizes = [
                len(zlib.compress(view[first:last], level, _RAW))
                for first, last in pairwise(offsets.tolist())
            ]
            return np.column_stack([np.diff(offsets), sizes]).astype(np.float64)

        before, after = measured(inputs.texts(), compress, 2).T
        ratios = np.where(before > 0, before / after, 1.0)
        return ratios, {"ratio": float(before.sum() / after.sum())}
