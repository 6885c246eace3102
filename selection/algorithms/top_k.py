"""The k largest keys of a pool that lies in shards, found by histograms alone.

>>> shards = [np.array([0.5, 3.0, -1.0]), np.array([2.0, 3.0])]
>>> cut = cut_at(shards, 2)
>>> [take_shard(keys, cut)[0].tolist() for keys in shards]
[[1], [1]]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.selection.contract.inputs import Floats, Rows

_BITS = 16
_LEVELS = 64 // _BITS
BINS = 1 << _BITS
# keys looked at together
_PART = 1 << 18


@dataclass(frozen=True)
class Cut:
    """What is known of the k-th largest key: its first ``16 * level`` bits.

    Keys whose first bits are larger are among the k largest; they are ``k - left``. Of those whose
    first bits are `prefix`, `left` belong to the k.

    Attributes
    ----------
    left : int
    prefix : int
    level : int, from 0 (nothing is known) to 4 (the key itself is)
    tied : int
        Keys with that prefix; -1 where not counted yet.
    """

    left: int
    prefix: int = 0
    level: int = 0
    tied: int = -1

    @property
    def done(self) -> bool:
        """Whether every key is decided, or those that are not are equal."""
        return self.level == _LEVELS or self.left in (0, self.tied)


def key_histogram(keys: Floats, cut: Cut) -> Rows:
    """Return int64[65536]: keys with the cut's prefix, by their next 16 bits. NaN is no key.

    Histograms of shards are added.
    """
    counts = np.zeros(BINS, dtype=np.int64)
    shift = np.uint64(64 - _BITS * (cut.level + 1))
    for _, bits in _sortable(keys):
        if cut.level:
            bits = bits[bits >> np.uint64(64 - _BITS * cut.level) == np.uint64(cut.prefix)]
        digits = (bits >> shift) & np.uint64(BINS - 1)
        counts += np.bincount(digits.astype(np.int64), minlength=BINS)
    return counts


def refine(cut: Cut, histogram: Rows) -> Cut:
    """Return the cut with 16 more bits known, from the sum of all shards' histograms."""
    from_above = np.cumsum(histogram[::-1])
    left = min(cut.left, int(from_above[-1]))
    place = int(np.searchsorted(from_above, left)) if left else 0
    digit = BINS - 1 - place
    tied = int(histogram[digit])
    return Cut(left - int(from_above[place]) + tied if left else 0, cut.prefix << _BITS | digit,
               cut.level + 1, tied)  # fmt: skip


def threshold(histogram_of: Callable[[Cut], Rows], k: int) -> Cut:
    """Return the cut between the k largest keys and the rest.

    Parameters
    ----------
    histogram_of : callable
        Gives the sum of `key_histogram` over all shards; it is called one to four times.
    k : int
        Where there are fewer keys, all are above the cut or tied.
    """
    cut = Cut(k)
    while not cut.done:
        cut = refine(cut, histogram_of(cut))
    return cut


def cut_at(shards: Sequence[Floats], k: int) -> Cut:
    """Return `threshold` of shards that are in memory."""

    def histogram_of(cut: Cut) -> Rows:
        return np.asarray(sum(key_histogram(keys, cut) for keys in shards))

    return threshold(histogram_of, k)


def take_shard(keys: Floats, cut: Cut) -> tuple[Rows, Rows]:
    """Return the rows of a shard that are among the k largest, and those tied at the cut, ascending.

    Of all shards' tied rows ``cut.left`` belong to the k largest; take those whose ids come first.
    Rows are tied only where there is a choice between them.
    """
    above, tied = [], []
    shift = np.uint64(64 - _BITS * cut.level) if cut.level else None
    for rows, bits in _sortable(keys):
        if shift is None:
            continue
        first = bits >> shift
        sure, at = first > np.uint64(cut.prefix), first == np.uint64(cut.prefix)
        if cut.left == cut.tied:
            sure |= at
        elif cut.left:
            tied.append(rows[at])
        above.append(rows[sure])
    return _joined(above), _joined(tied)


def top_k(keys: Floats, k: int, in_order: Callable[[Rows], Rows]) -> Rows:
    """Return the rows of the k largest keys, largest first.

    Parameters
    ----------
    keys : float64[n]
        NaN is never taken.
    k : int
        All keys where there are fewer.
    in_order : callable
        Puts rows in the order by which ties break.

    Notes
    -----
    Time linear in n plus the sorting of k; memory beyond the keys follows k.
    """
    cut = cut_at([keys], k)
    above, tied = take_shard(keys, cut)
    if cut.left < len(tied):
        tied = in_order(tied)[: cut.left]
    rows = in_order(np.concatenate([above, tied]))
    return rows[np.argsort(-keys[rows], kind="stable")]


def _sortable(keys: Floats) -> Iterator[tuple[Rows, NDArray[np.uint64]]]:
    """Yield rows and their keys as whole numbers in the same order, a part at a time."""
    sign = np.uint64(1 << 63)
    for start in range(0, len(keys), _PART):
        part: NDArray[Any] = np.asarray(keys[start : start + _PART], dtype=np.float64)
        rows = np.flatnonzero(~np.isnan(part))
        # adding 0 makes -0.0 the same key as 0.0
        bits = (part[rows] + 0.0).view(np.uint64)
        yield rows + start, np.where(bits >= sign, ~bits, bits | sign)


def _joined(parts: list[Rows]) -> Rows:
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])
