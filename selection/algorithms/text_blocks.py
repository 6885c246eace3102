"""Numbers of each text, measured by kernels on the bytes of many texts at once."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.ngrams._ngram_kernels import code_point
from assay.index.ngrams._unicode import WORD, as_texts, lowering_table, row_chunks, settling
from assay.index.threads import ordered_map, thread_count
from assay.storage.compiling import njit

# bytes of text at a time
_BLOCK = 1 << 20
_CODE_POINTS = 0x110000
SPACE, LETTER, UPPER, DIGIT, PUNCTUATION, SYMBOL, MARK = 1, 2, 4, 8, 16, 32, 64
CLASSES = ("characters", "space", "letter", "upper", "digit", "punctuation", "symbol", "words")

Measure = Callable[[NDArray[np.uint8], NDArray[np.int64]], NDArray[Any]]


def measured(
    texts: pl.Series, measure: Measure, width: int, *, folded: bool = False
) -> NDArray[np.float64]:
    """Return float64[n, width]: what `measure` returns for the bytes and offsets of each block.

    Blocks are whole texts, about a MB together; nulls are empty; for `folding_table` texts are
    `folded`: in NFC, and in lower case where that isn't one character for each. Threads change
    nothing but the time, where `measure` runs without the interpreter lock.
    """
    settle, blocks = settling(folded, folded), row_chunks(as_texts(texts), _BLOCK)
    parts = list(ordered_map(lambda rows: measure(*settle(rows)), blocks, thread_count()))
    return np.concatenate(parts) if parts else np.empty((0, width))


@lru_cache(maxsize=1)
def character_classes() -> NDArray[np.uint8]:
    """Return for each code point the sum of the classes that it belongs to.

    They follow Unicode's general categories, letters those of L, upper case Lu and Lt, digits Nd,
    punctuation P, symbols S, marks M; white space is what Python's `str.isspace` says.
    """
    classes = np.zeros(_CODE_POINTS, dtype=np.uint8)
    of_category = {"L": LETTER, "P": PUNCTUATION, "S": SYMBOL, "M": MARK}
    for code in range(_CODE_POINTS):
        category = unicodedata.category(chr(code))
        kind = of_category.get(category[0], 0)
        if category in ("Lu", "Lt"):
            kind |= UPPER
        elif category == "Nd":
            kind = DIGIT
        classes[code] = kind
    spaces = [code for code in range(0x10000) if chr(code).isspace()]
    classes[spaces] |= SPACE
    classes.flags.writeable = False
    return classes


@lru_cache(maxsize=1)
def folding_table() -> NDArray[np.uint32]:
    r"""Return for each code point ``4 * lower case + 1`` inside words, ``+ 0`` or ``+ 2`` outside.

    Words are runs of ``\w`` and of combining marks, which scripts such as Devanagari need.
    """
    table = lowering_table("re").copy()
    marks = character_classes() & MARK > 0
    table[marks] = table[marks] & ~np.uint32(3) | np.uint32(WORD)
    table.flags.writeable = False
    return table


def character_counts(texts: pl.Series) -> dict[str, NDArray[np.float64]]:
    """Return for each text how many characters of each class it holds, and how many words.

    Characters are code points; words are what white space parts.

    Examples
    --------
    >>> counts = character_counts(pl.Series(["Two  words, 3 €"]))
    >>> {name: int(values[0]) for name, values in counts.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'characters': 15, 'space': 4, 'letter': 8, 'upper': 1, 'digit': 1, 'punctuation': 1,
     'symbol': 1, 'words': 4}
    """
    classes = character_classes()

    def count(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        counts = np.zeros((len(offsets) - 1, len(CLASSES)))
        _count(data, offsets, classes, counts)
        return counts

    counts = measured(texts, count, len(CLASSES))
    return dict(zip(CLASSES, counts.T, strict=True))


@njit(cache=True, nogil=True)
def _count(data: Any, offsets: Any, classes: Any, counts: Any) -> None:  # pragma: no cover
    for row in range(len(offsets) - 1):
        i = offsets[row]
        end = offsets[row + 1]
        characters = 0
        spaces = 0
        letters = 0
        uppers = 0
        digits = 0
        marks = 0
        symbols = 0
        words = 0
        outside = 1
        while i < end:
            code, i = code_point(data, i)
            kind: Any = np.int64(classes[code])
            characters += 1
            space = kind & 1
            spaces += space
            letters += kind >> 1 & 1
            uppers += kind >> 2 & 1
            digits += kind >> 3 & 1
            marks += kind >> 4 & 1
            symbols += kind >> 5 & 1
            words += outside & (1 - space)
            outside = space
        counts[row, 0] = characters
        counts[row, 1] = spaces
        counts[row, 2] = letters
        counts[row, 3] = uppers
        counts[row, 4] = digits
        counts[row, 5] = marks
        counts[row, 6] = symbols
        counts[row, 7] = words
