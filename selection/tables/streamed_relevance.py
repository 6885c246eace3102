"""Relevance of columns from two passes over rows that need not fit in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from assay.selection.contract.inputs import Floats
from assay.selection.tables.moments import Counts, Parts, Relevance, entropy_weights, finish
from assay.selection.tables.relevance import default_bins

WEIGHTS_UP_TO = 1 << 20  # rows; beyond, logarithms cost less than a table of them
BLOCK_VALUES = 1 << 20

Batches = Callable[[NDArray[np.int64]], Iterator[Floats]]


class Streamed(NamedTuple):
    """What `streamed_relevance` returns.

    Attributes
    ----------
    complete : int64[c]
        Positions of the columns without NaN or infinite values; the others are left to the caller.
    relevance : Relevance
        Figures of these columns.
    low, high : float64[c]
        Their smallest and largest value.
    """

    complete: NDArray[np.int64]
    relevance: Relevance
    low: Floats
    high: Floats


def streamed_relevance(
    batches: Batches, d: int, y: NDArray[np.integer[Any]], *, n_bins: int | None = None
) -> Streamed:
    """Fisher score, mutual information, deviation and span of columns that are read by rows.

    The first pass takes means and bounds of every class, the second squared deviations from these
    means and counts of equal-width bins between these bounds. Counts, and so mutual information,
    are those of `column_relevance`; moments are equal up to rounding (a relative 1e-12).

    Parameters
    ----------
    batches : callable
        From positions of columns to an iterator over float64[rows, columns], all rows in order;
        called twice.
    d : int
        How many columns there are.
    y : int array of shape (n,)
        Class of each row, 0 ... k - 1, each present.
    n_bins : int, optional
        As in `column_relevance`.

    Notes
    -----
    O(n d) time, O(d k bins) memory beside y and a batch.

    References
    ----------
    T. F. Chan, G. H. Golub, R. J. LeVeque, Algorithms for computing the sample variance, The
    American Statistician 37, 1983.

    Examples
    --------
    >>> import numpy as np
    >>> from assay.selection.tables.streamed_relevance import streamed_relevance
    >>> X = np.array([[0.0], [1], [4], [5]])
    >>> found = streamed_relevance(lambda some: iter(np.split(X[:, some], 2)), 1, [0, 0, 1, 1])
    >>> found.relevance.fisher, found.high
    (array([16.]), array([5.]))
    """
    y = np.asarray(y)
    sizes = np.bincount(y)
    k = len(sizes)
    low, high = np.full((k, d), np.inf), np.full((k, d), -np.inf)
    total = np.zeros((k, d))
    absent = np.zeros(d, dtype=bool)
    origin: Floats | None = None
    for block, classes, starts in _by_class(batches(np.arange(d)), y):
        absent |= ~np.isfinite(block).all(axis=0)
        origin = block[0].copy() if origin is None else origin
        low[classes] = np.minimum(low[classes], np.minimum.reduceat(block, starts, axis=0))
        high[classes] = np.maximum(high[classes], np.maximum.reduceat(block, starts, axis=0))
        with np.errstate(invalid="ignore"):
            total[classes] += np.add.reduceat(block - origin, starts, axis=0)
    assert origin is not None
    some = np.flatnonzero(~absent)
    low, high, mean = low[:, some], high[:, some], (total / sizes[:, None] + origin)[:, some]
    least, most = low.min(axis=0), high.max(axis=0)
    bins = n_bins or default_bins(len(y))
    scale = bins / np.where(most > least, most - least, 1.0)
    rest, squares = np.zeros_like(mean), np.zeros_like(mean)
    table = np.zeros(len(some) * k * bins, dtype=np.int64)
    for block, classes, starts in _by_class(batches(some), y) if len(some) else ():
        of_row = np.repeat(classes, np.diff(np.append(starts, len(block))))
        deviation = block - mean[of_row]
        rest[classes] += np.add.reduceat(deviation, starts, axis=0)
        squares[classes] += np.add.reduceat(np.square(deviation), starts, axis=0)
        width = max(1, BLOCK_VALUES // max(len(block), k * bins))
        for start in range(0, len(some), width):
            part = slice(start, start + width)
            place = np.minimum((block[:, part] - least[part]) * scale[part], bins - 1)
            cell = place.astype(np.int64) + of_row[:, None] * bins
            cell += np.arange(cell.shape[1]) * (k * bins)
            counts = np.bincount(cell.ravel(), minlength=cell.shape[1] * k * bins)
            table[start * k * bins : start * k * bins + len(counts)] += counts
    squares -= np.square(rest) / sizes[:, None]  # what rounding left of the means
    mean += rest / sizes[:, None]
    constant = low == high
    parts = Parts(
        np.where(constant, low, mean) - least,
        np.where(constant, 0.0, np.maximum(squares, 0.0)),
        most - least,
        table.reshape(len(some), k, bins),
    )
    weight = entropy_weights(len(y)) if len(y) <= WEIGHTS_UP_TO else None
    return Streamed(some, finish(parts, sizes, weight), least, most)


def _by_class(
    batches: Iterator[Floats], y: NDArray[np.integer[Any]]
) -> Iterator[tuple[Floats, Counts, Counts]]:
    """Yield each batch with its rows in order of class, the classes there and where they start."""
    done = 0
    for block in batches:
        codes = y[done : done + len(block)]
        done += len(block)
        order = np.argsort(codes, kind="stable")
        classes, starts = np.unique(codes[order], return_index=True)
        yield np.ascontiguousarray(block)[order], classes, starts
