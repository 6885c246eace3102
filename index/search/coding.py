"""How an index stores its rows: in float32, or as float16 or int8 codes of rotated rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from assay.index.vectors.checks import Vectors
from assay.index.vectors.exact import row_squares
from assay.index.vectors.rotation import rotate

# bytes of a coordinate
SIZES = {"float32": 4, "float16": 2, "int8": 1}
_BLOCK = 65_536
# coordinates of a rotated row of length 1 are about 1 / sqrt(d): few are so many times as large
_WIDE = 4.5
# squared length above which a row is the corner that zeros are stored as: others are about 1 long
_CORNER = 4.0
# queries farther away are moved up to here, so that float32 holds their distances
_FAR = 4_096.0


@dataclass(frozen=True)
class Coding:
    """What rows become in FAISS, y = (x - mean) / reach, rotated for int8, and back.

    With the cosine, FAISS compares distances of unit rows: of near ones, rounding changes them least.
    Rows of zeros, which have the cosine 0 to all, are stored as a corner that is far from all others.

    Attributes
    ----------
    metric : {"cosine", "l2", "ip"}
    storage : {"float32", "float16", "int8"}
        float32 leaves rows as they are.
    reach : float
        A power of two that is not below the length of any row less the mean; 1 for the cosine.
    mean : float32[d], or None
        Of the first rows (l2).
    """

    metric: str = "cosine"
    storage: str = "float32"
    reach: float = 1.0
    mean: NDArray[np.float32] | None = None

    @classmethod
    def of(cls, storage: str, metric: str, X: Vectors, order: NDArray[np.int64]) -> Coding:
        """Return the coding for the rows X[order]."""
        if storage == "float32" or metric == "cosine":
            return cls(metric, storage)
        mean = None
        if metric == "l2":
            total = np.zeros(X.shape[1])
            for begin in range(0, len(order), _BLOCK):
                total += X[order[begin : begin + _BLOCK]].sum(axis=0, dtype=np.float64)
            mean = (total / max(1, len(order))).astype(np.float32)
        coding = cls(metric, storage, 0.0, mean).reaching(X)
        return coding if coding.reach else replace(coding, reach=1.0)

    @property
    def coded(self) -> bool:
        """Whether rows are stored as codes."""
        return self.storage != "float32"

    def reaching(self, X: Vectors) -> Coding:
        """Return the coding with a reach that holds the rows too."""
        longest = 0.0
        for begin in range(0, len(X), _BLOCK):
            squares = row_squares(np.ascontiguousarray(self._centered(X[begin : begin + _BLOCK])))
            longest = max(longest, float(np.sqrt(squares.max(initial=0.0))))
        if longest <= self.reach:
            return self
        return replace(self, reach=float(2.0 ** np.ceil(np.log2(longest))))

    def encode(self, X: Vectors) -> Vectors:
        """Return what FAISS is given for rows, which it rounds to codes."""
        if not self.coded:
            return X
        rows = (self._centered(X) / np.float32(self.reach)).astype(np.float32)
        rows = rotate(rows) if self.storage == "int8" else np.ascontiguousarray(rows)
        if self.metric == "cosine":
            rows[~rows.any(axis=1)] = self._widest(X.shape[1])
        return rows

    def decode(self, Y: Vectors) -> Vectors:
        """Return the rows that stored ones stand for."""
        if not self.coded:
            return Y
        if self.metric == "cosine":
            Y = np.where((np.einsum("ij,ij->i", Y, Y) > _CORNER)[:, None], np.float32(0), Y)
        rows = rotate(Y, back=True) if self.storage == "int8" else Y
        rows = rows * np.float32(self.reach)
        return rows if self.mean is None else rows + self.mean

    @property
    def measure(self) -> int:
        """The metric by which FAISS compares."""
        inner = self.metric == "ip" or (self.metric == "cosine" and not self.coded)
        return int(faiss.METRIC_INNER_PRODUCT if inner else faiss.METRIC_L2)

    def asked(self, Q: Vectors) -> Vectors:
        """Return queries among what FAISS stores."""
        if not self.coded:
            return Q
        if self.metric == "l2":
            # in float64: a query may be far beyond the reach
            far = self._centered(Q.astype(np.float64)) / self.reach
            lengths = np.linalg.norm(far, axis=1)
            far *= np.minimum(1.0, _FAR / np.maximum(lengths, 1.0))[:, None]
            Q = far.astype(np.float32)
        return rotate(Q) if self.storage == "int8" else np.ascontiguousarray(Q)

    def quantizer(self, dimension: int) -> tuple[int, Vectors]:
        """Return the kind of FAISS's scalar quantizer, and the two rows that its range is between."""
        if self.storage == "float16":
            return faiss.ScalarQuantizer.QT_fp16, np.zeros((2, dimension), np.float32)
        ends = np.full((2, dimension), self._widest(dimension), np.float32)
        ends[0] *= -1
        return faiss.ScalarQuantizer.QT_8bit_uniform, ends

    def described(self) -> dict[str, Any]:
        """Return what is written of the coding; nothing of float32."""
        if not self.coded:
            return {}
        mean = None if self.mean is None else self.mean.tolist()
        return {"storage": self.storage, "reach": self.reach, "mean": mean}

    @classmethod
    def from_description(cls, said: dict[str, Any]) -> Coding:
        """Return the coding that `described` wrote."""
        mean = said.get("mean")
        return cls(
            said["metric"],
            said.get("storage", "float32"),
            float(said.get("reach", 1.0)),
            None if mean is None else np.array(mean, np.float32),
        )

    def _widest(self, dimension: int) -> float:
        """Return the largest coordinate that int8 holds."""
        widest = _WIDE / float(np.sqrt(dimension))
        return widest if self.metric == "cosine" else min(1.0, widest)

    def _centered(self, X: NDArray[np.floating]) -> NDArray[np.floating]:
        return X if self.mean is None else np.asarray(X - self.mean)
