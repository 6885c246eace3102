"""Rows as int8 codes, and scans that compare all pairs of two sets of them.

Every row x is scaled (to length 1 for the cosine, by a power of two otherwise), centered, rotated by
random signs and a Walsh-Hadamard transform, and rounded: y = a q with q int8[d] and a = max |y| / 127.
The key of two rows,

    D(i, j) = s_i + s_j - (2 a_i) a_j (q_i . q_j),    s = a^2 |q|^2  (0 for the inner product),

is near their squared distance (or twice the negated inner product) and comes out the same, to the
bit, from either side and on every processor, since the product is a sum of integers. It says which
pairs are worth their exact key.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba.core.registry import cpu_target
from numpy.typing import NDArray

from assay.index.vectors import _scan_kernels as kernels
from assay.index.vectors._code_kernels import encode_rows
from assay.index.vectors._tile_kernels import tile_steps
from assay.index.vectors._tiles import COLUMNS, KINDS, ROWS, has
from assay.index.vectors.checks import Vectors
from assay.index.vectors.exact import frozen, run_alone
from assay.index.vectors.mapped import scratch_room, take_rows
from assay.storage.disk.pages import mapping, release
from assay.storage.errors import ConfigError

Keys = NDArray[np.float32]
Rows = NDArray[np.integer]

# the environment variable that chooses a kind of tile
TILES = "ASSAY_TILES"
_CHUNK = 8_192
_COLUMNS = 4_096
_SAMPLED = 16_384
_LANE = 64
# rows so much longer than the median one don't move the center
_LONG = 100.0


@cache
def _works(kind: str) -> bool:
    """Return whether this processor has a kind of tile, and it computes what it should."""
    if not has(cpu_target.target_context.codegen().magic_tuple()[2], kind):
        return False
    if kind == "words":
        return True
    rng = np.random.default_rng(0)
    codes = frozen(rng.integers(-127, 128, (COLUMNS + ROWS, _LANE)).astype(np.int8))
    facts = np.ones((2, len(codes)), np.float32)
    offsets = 128 * codes.astype(np.int32).sum(axis=1, dtype=np.int32)
    results = []
    for tried in (kind, "words"):
        steps = int(tile_steps(KINDS[tried], _LANE))
        lists = empty_code_lists(len(codes), 8)
        everyone = np.arange(len(codes))
        kernels.scan(
            KINDS[tried], steps, codes, facts, offsets, everyone, codes, facts, 0, len(codes),
            kernels.OTHERS, kernels.QUERIES, 0, *lists,
        )  # fmt: skip
        results.append(lists)
    return all(np.array_equal(*pair) for pair in zip(*results, strict=True))


def tile_kind() -> int:
    """Return the fastest kind of tile that this processor has, or the one that is asked for.

    Raises
    ------
    ConfigError
        ASSAY_TILES names no kind, or one that the processor lacks.
    """
    named = os.environ.get(TILES)
    if named:
        if named not in KINDS or not _works(named):
            able = ", ".join(kind for kind in KINDS if _works(kind))
            raise ConfigError(f"{TILES} is {named!r}; this processor has: {able}.")
        return KINDS[named]
    return next(number for kind, number in KINDS.items() if _works(kind))


@dataclass(frozen=True)
class Frame:
    """What rows are encoded with.

    Attributes
    ----------
    metric : {'l2', 'cosine', 'ip'}
    mean : float32[d]
        Of the scaled rows.
    signs : float32[2, d]
        -1 and 1.
    power : float
        A power of two by which rows are multiplied (1 for the cosine).
    """

    metric: str
    mean: NDArray[np.float32]
    signs: NDArray[np.float32]
    power: float


@dataclass(frozen=True)
class Codes:
    """Encoded rows.

    Attributes
    ----------
    codes : int8[n, width]
        Padded with zeros to a multiple of 64.
    facts : float32[2, n]
        s and a of every row.
    offsets : int32[n]
        128 times the sum of its code.
    squares, errors : float32[n]
        a^2 |q|^2, and the length of what rounding lost.
    dimension : int
    power : float
        As of the frame.
    """

    codes: NDArray[np.int8]
    facts: NDArray[np.float32]
    offsets: NDArray[np.int32]
    squares: NDArray[np.float32]
    errors: NDArray[np.float32]
    dimension: int
    power: float = 1.0

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, which: Any, room: NDArray[np.int8] | None = None) -> Codes:
        """Return the codes of some of the rows."""
        codes = self.codes[which] if room is None else np.take(self.codes, which, axis=0, out=room)
        return Codes(
            frozen(codes),
            np.ascontiguousarray(self.facts[:, which]),
            self.offsets[which],
            self.squares[which],
            self.errors[which],
            self.dimension,
            self.power,
        )

    def by_distance(self) -> Codes:
        """Return the same codes with keys that are squared distances, whatever the metric."""
        return replace(self, facts=np.stack([self.squares, self.facts[1]]))

    def scanned(self) -> tuple[int, int, NDArray[np.int8], Keys, NDArray[np.int32]]:
        """Return the first arguments of every scan: kind of tile, its steps, and the codes."""
        kind = tile_kind()
        steps = int(tile_steps(kind, self.dimension))
        return kind, steps, self.codes, self.facts, self.offsets

    def decoded(self, which: Rows | slice) -> NDArray[np.float64]:
        """Return the rotated rows that the codes stand for."""
        codes = self.codes[which, : self.dimension].astype(np.float64)
        return codes * self.facts[1, which][:, None].astype(np.float64)


def frame_of(
    X: Vectors, take: NDArray[np.int64], squares: NDArray[np.float64], metric: str
) -> Frame:
    """Return the frame of the rows X[take], whose squared lengths are given.

    The mean is that of up to 16,384 rows at equal steps; the inner product has none. The scale is
    that of the median length, so that a row far out does not blind the codes of the others.
    """
    d = X.shape[1]
    signs = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), size=(2, d))
    mean, power = np.zeros(d, np.float32), 1.0
    middle = float(np.median(squares)) if len(squares) else 0.0
    middle = middle or float(squares.max(initial=0.0))
    if metric != "cosine" and middle > 0:
        power = float(2.0 ** -np.ceil(np.log2(np.sqrt(middle))))
    if metric != "ip":
        places = np.arange(0, len(take), max(1, len(take) // _SAMPLED))
        places = places[squares[places] <= _LONG * middle]
        some = take_rows(X, take[places]).astype(np.float64)
        if metric == "cosine":
            lengths = np.sqrt(squares[places])
            some *= np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)[:, None]
        else:
            some *= power
        if len(some):
            mean = some.mean(axis=0).astype(np.float32)
    return Frame(metric, mean, signs, power)


def encode(
    X: Vectors,
    take: NDArray[np.int64],
    squares: NDArray[np.float64],
    frame: Frame,
    *,
    threads: int = 1,
    scratch: str | Path | None = None,
) -> Codes:
    """Encode the rows X[take], each on its own; `scratch`: a folder for a nameless file of codes."""
    n, d = len(take), X.shape[1]
    shape = n, -(-d // _LANE) * _LANE
    codes = np.zeros(shape, np.int8) if scratch is None else scratch_room(shape, np.int8, scratch)
    facts, offsets = np.empty((2, n), np.float32), np.empty(n, np.int32)
    lengths, errors = np.empty(n, np.float32), np.empty(n, np.float32)
    mapped, written = mapping(X), mapping(codes)

    def work(begin: int) -> None:
        part = slice(begin, begin + _CHUNK)
        rows, which = X, take[part]
        if mapped is not None:
            rows, which = take_rows(X, which), np.arange(len(which))
        encode_rows(
            frozen(rows), which, squares[part],
            frame.mean, frame.metric == "cosine", frame.power, frame.signs,
            codes[part], facts[1, part], lengths[part], offsets[part], errors[part],
        )  # fmt: skip
        release(written)

    run_alone(work, range(0, n, _CHUNK), threads)
    facts[0] = 0.0 if frame.metric == "ip" else lengths
    return Codes(frozen(codes), facts, offsets, lengths, errors, d, frame.power)


def encode_points(points: NDArray[np.float64]) -> Codes:
    """Encode points that are in the rotated space already, such as means of decoded rows."""
    n, d = points.shape
    codes = np.zeros((n, -(-d // _LANE) * _LANE), np.int8)
    largest = np.abs(points).max(axis=1, initial=0.0)
    scale = np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
    rounded = np.rint(points / scale[:, None]).clip(-127, 127).astype(np.int64)
    codes[:, :d] = rounded
    squares = (scale * scale) * (rounded * rounded).sum(axis=1).astype(np.float32)
    offsets = (128 * rounded.sum(axis=1)).astype(np.int32)
    return Codes(
        frozen(codes), np.stack([squares, scale]), offsets, squares, np.zeros_like(squares), d
    )


def empty_code_lists(n: int, k: int) -> tuple[Keys, Keys, NDArray[np.int32]]:
    """Return limits, keys and rows of n empty lists."""
    return (
        np.full(n, np.inf, np.float32),
        np.full((n, k), np.inf, np.float32),
        np.full((n, k), -1, np.int32),
    )


def nearest_codes(
    codes: Codes, others: Codes, k: int, *, threads: int = 1
) -> tuple[Keys, NDArray[np.int32]]:
    """Return the k rows of `others` of least key for each row: keys float32[n, k], rows int32[n, k]."""
    lists = empty_code_lists(len(codes), k)
    everyone = np.arange(len(codes))
    part = min(_CHUNK, max(240, -(-len(codes) // (2 * threads))))

    def work(begin: int) -> None:
        for low in range(0, len(others), _COLUMNS):
            kernels.scan(
                *codes.scanned(), everyone[begin : begin + part], others.codes, others.facts,
                low, min(low + _COLUMNS, len(others)), kernels.OTHERS, kernels.QUERIES, 0, *lists,
            )  # fmt: skip

    run_alone(work, range(0, len(codes), part), threads)
    return lists[1], lists[2]
