"""Which language a text is in, by its letters and runs of letters."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.ngrams._ngram_kernels import chain, code_point, mix
from assay.selection.algorithms.text_blocks import (
    LETTER,
    MARK,
    character_classes,
    folding_table,
    measured,
)
from assay.storage.compiling import njit

LONGEST = 4
_FILE = "language_weights.npz"
# a Han character says that a text is Chinese or Japanese, whichever it is
_HAN = np.uint32(0x4E00)
_HAN_BLOCKS = ((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))
# weights of one byte whose sum surely fits into two bytes
_SMALL = 256
# what stands before and after each word
_EDGE = np.uint64(32)


class LanguageModel(NamedTuple):
    """A naive Bayes model of languages over hashed runs of 1 to 4 letters within words.

    Attributes
    ----------
    languages : tuple of str
        ISO 639-1 codes, ascending.
    weights : uint8[buckets, languages]
        Log probability of each bucket under each language, less that of a run never seen, in units
        of `unit`.
    unit : float
    temperature : float
        By which sums of weights are divided, as runs that overlap count several times.
    """

    languages: tuple[str, ...]
    weights: NDArray[np.uint8]
    unit: float
    temperature: float


@lru_cache(maxsize=1)
def shipped_model() -> LanguageModel:
    """Return the model that comes with the package; ``benchmarks/language_model.py`` fits it."""
    with (
        files(__package__).joinpath(_FILE).open("rb") as file,
        np.load(file, allow_pickle=False) as held,
    ):
        languages = tuple(str(name) for name in held["languages"])
        weights = np.zeros((len(held["counts"]), len(languages)), np.uint8)
        rows = np.repeat(np.arange(len(weights)), held["counts"])
        weights[rows, held["columns"]] = held["weights"]
        return LanguageModel(languages, weights, float(held["unit"]), float(held["temperature"]))


def language_posteriors(
    texts: pl.Series, most: int = 1_000, model: LanguageModel | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Return the letters of each text, and the probability of each language.

    .. math:: p_l \propto \exp \Big(\frac{1}{T} \sum_{r \in x} \log \frac{q_l(r)}{q_0}\Big)

    r are the runs of 1 to 4 letters within words, edges of words included; all languages are
    equally likely beforehand.

    Parameters
    ----------
    texts : pl.Series of String
    most : int, default 1,000
        Letters that are read from the start of each text.
    model : LanguageModel, optional
        The shipped one by default.

    Returns
    -------
    letters : float64[n]
        Those that were read.
    posteriors : float64[n, languages]
        Equal for a text without letters.

    Examples
    --------
    >>> _, p = language_posteriors(pl.Series(["The house is old.", "Das Haus ist alt."]))
    >>> [shipped_model().languages[column] for column in p.argmax(axis=1)]
    ['en', 'de']
    """
    model = shipped_model() if model is None else model
    table = letter_table()
    used = model.weights.any(axis=1)
    weights = model.weights[used]
    rows = np.where(used, np.cumsum(used) - 1, -1)

    def add(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.int32]:
        sums = np.zeros((len(offsets) - 1, 1 + len(model.languages)), np.int32)
        space = _space(int(np.diff(offsets).max()))
        _add_weights(data, offsets, table, rows, weights, most, space, sums)
        return sums

    sums = measured(texts, add, 1 + len(model.languages), folded=True)
    posteriors = sums[:, 1:] * (model.unit / model.temperature)
    posteriors -= posteriors.max(axis=1, keepdims=True)
    np.exp(posteriors, out=posteriors)
    posteriors /= posteriors.sum(axis=1, keepdims=True)
    return sums[:, 0].astype(np.float64), posteriors


def letter_runs(text: str, buckets: int) -> NDArray[np.int64]:
    """Return the bucket of each run of letters of one text, as `language_posteriors` counts them."""
    parts: list[NDArray[np.int64]] = []

    def look(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        out = _space(int(offsets[1] - offsets[0]))
        _, count = _buckets(data, offsets[0], offsets[1], letter_table(), buckets, len(data), out)
        parts.append(out[:count])
        return np.zeros((1, 1))

    measured(pl.Series([text]), look, 1, folded=True)
    return parts[0]


def _space(size: int) -> NDArray[np.int64]:
    """Return room for the runs of a text of so many bytes, with an edge after each word."""
    return np.empty(LONGEST * (size + 1) + LONGEST, np.int64)


@lru_cache(maxsize=1)
def letter_table() -> NDArray[np.uint32]:
    """Return for each code point the letter that it counts as; 0 where it is none."""
    letters = character_classes() & (LETTER | MARK) > 0
    table = np.where(letters, folding_table() >> 2, 0).astype(np.uint32)
    for first, last in _HAN_BLOCKS:
        block = table[first : last + 1]
        block[letters[first : last + 1]] = _HAN
    table.flags.writeable = False
    return table


@njit(cache=True, nogil=True)
def _add_weights(
    data: Any, offsets: Any, table: Any, rows: Any, weights: Any, most: int, space: Any, sums: Any
) -> None:  # pragma: no cover
    """Add up the weights of each text's runs; `rows` is each bucket's row of them, below 0 if none."""
    buckets = len(rows)
    width = np.uint64(weights.shape[1])
    small = np.zeros(width, np.uint16)
    total = np.zeros(width, np.int32)
    for text in range(len(offsets) - 1):
        letters, count = _buckets(
            data, offsets[text], offsets[text + 1], table, buckets, most, space
        )
        kept = 0
        for run in range(count):
            row = rows[space[run]]
            space[kept] = row
            kept += row >= 0
        total[:] = 0
        for first in range(0, kept, _SMALL):
            small[:] = 0
            last = min(first + _SMALL, kept)
            run = first
            while run + 4 <= last:
                # unsigned, so that no index counts from the end and the loop is vectorized
                a = np.uint64(space[run])
                b = np.uint64(space[run + 1])
                c = np.uint64(space[run + 2])
                d = np.uint64(space[run + 3])
                for column in range(width):
                    ab = np.uint16(weights[a, column]) + np.uint16(weights[b, column])
                    cd = np.uint16(weights[c, column]) + np.uint16(weights[d, column])
                    small[column] += np.uint16(ab + cd)
                run += 4
            while run < last:
                a = np.uint64(space[run])
                for column in range(width):
                    small[column] += np.uint16(weights[a, column])
                run += 1
            for column in range(width):
                total[column] += np.int32(small[column])
        sums[text, 0] = letters
        sums[text, 1:] = total


@njit(cache=True, nogil=True)
def _buckets(
    data: Any, i: Any, end: Any, table: Any, buckets: int, most: int, out: Any
) -> tuple[int, int]:  # pragma: no cover
    """Write the bucket of each run of 1 to 4 letters of the first `most`; return how many of both."""
    scale = np.uint64(buckets)
    letters = 0
    count = 0
    # the letters before this one, the last first, and how many of them
    one = _EDGE
    two = np.uint64(0)
    three = np.uint64(0)
    before = 1
    while i < end or before > 1:
        letter = np.uint32(0)
        if letters >= most:
            i = end
        elif i < end:
            code, i = code_point(data, i)
            letter = table[code]
        if letter == np.uint32(0) and before == 1:
            continue
        new = _EDGE if letter == np.uint32(0) else np.uint64(letter)
        h = mix(new)
        if letter != np.uint32(0):
            letters += 1
            out[count] = ((h >> np.uint64(32)) * scale) >> np.uint64(32)
            count += 1
        h = chain(one, h)
        out[count] = ((h >> np.uint64(32)) * scale) >> np.uint64(32)
        count += 1
        if before > 1:
            h = chain(two, h)
            out[count] = ((h >> np.uint64(32)) * scale) >> np.uint64(32)
            count += 1
        if before > 2:
            h = chain(three, h)
            out[count] = ((h >> np.uint64(32)) * scale) >> np.uint64(32)
            count += 1
        if letter == np.uint32(0):
            one = _EDGE
            before = 1
        else:
            three = two
            two = one
            one = new
            before += 1
    return letters, count
