"""What rules of quality are about: words, lines, bullets, ellipses and stop words of each text."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.ngrams._ngram_kernels import code_point
from assay.selection.algorithms.text_blocks import LETTER, SPACE, character_classes, measured
from assay.storage.compiling import njit

COUNTS = (
    "words",
    "word_characters",
    "hashes",
    "ellipses",
    "lines",
    "bullets",
    "open_lines",
    "alphabetic",
    "stop_words",
)
STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_BULLETS = np.array([ord(mark) for mark in "•‣▶◀◦■□▪▫*-"], dtype=np.uint32)
# the bytes of each stop word as one number
_PACKED = np.array([int.from_bytes(word.encode(), "big") for word in STOP_WORDS], dtype=np.int64)
_DOT, _HASH, _NEWLINE, _ELLIPSIS = (np.uint32(ord(mark)) for mark in ".#\n…")
_SPACE, _LETTER = np.int64(SPACE), np.int64(LETTER)


def quality_counts(texts: pl.Series) -> dict[str, NDArray[np.float64]]:
    """Return for each text what rules of quality are about.

    Words are what white space parts; `alphabetic` are those that hold a letter, `stop_words` how many
    of `STOP_WORDS` occur, in any case. Lines are those that hold more than white space; `bullets` of
    them begin with a bullet, `open_lines` end in an ellipsis.

    Examples
    --------
    >>> counts = quality_counts(pl.Series(["- The end of ...\\n\\n# 12 of"]))
    >>> {name: int(values[0]) for name, values in counts.items()}  # doctest: +NORMALIZE_WHITESPACE
    {'words': 8, 'word_characters': 17, 'hashes': 1, 'ellipses': 1, 'lines': 2, 'bullets': 1,
     'open_lines': 1, 'alphabetic': 4, 'stop_words': 2}
    """
    classes = character_classes()

    def count(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        counts = np.zeros((len(offsets) - 1, len(COUNTS)))
        _count(data, offsets, classes, _BULLETS, _PACKED, counts)
        return counts

    counts = measured(texts, count, len(COUNTS))
    return dict(zip(COUNTS, counts.T, strict=True))


@njit(cache=True, nogil=True)
def _count(
    data: Any, offsets: Any, classes: Any, bullets: Any, stop_words: Any, counts: Any
) -> None:  # pragma: no cover
    for row in range(len(offsets) - 1):
        i = offsets[row]
        end = offsets[row + 1]
        words = 0
        characters = 0
        hashes = 0
        ellipses = 0
        lines = 0
        n_bullets = 0
        open_lines = 0
        alphabetic = 0
        seen = 0
        # of the word under way
        inside = False
        letters: Any = np.int64(0)
        length = 0
        packed: Any = np.int64(0)
        # of the line under way
        filled = False
        bulleted = False
        # full stops in a row before this character, and whether an ellipsis was the last thing seen
        stops = 0
        ends = False
        while i <= end:
            last = i == end
            code: Any = _NEWLINE
            if last:
                i += 1
            else:
                code, i = code_point(data, i)
            kind: Any = np.int64(classes[code])
            if kind & _SPACE:
                if inside:
                    alphabetic += letters > 0
                    if length <= 4:
                        for k in range(len(stop_words)):
                            if stop_words[k] == packed:
                                seen |= 1 << k
                    inside = False
                stops = 0
                if code == _NEWLINE and filled:
                    lines += 1
                    n_bullets += bulleted
                    open_lines += ends
                    filled = False
                    ends = False
                continue
            if not inside:
                inside = True
                words += 1
                letters = np.int64(0)
                length = 0
                packed = np.int64(0)
                if not filled:
                    filled = True
                    bulleted = False
                    for k in range(len(bullets)):
                        if bullets[k] == code:
                            bulleted = True
            characters += 1
            letters |= kind & _LETTER
            length += 1
            if length <= 4:
                lower: Any = np.int64(code)
                if np.int64(65) <= lower <= np.int64(90):
                    lower += np.int64(32)
                # what isn't ASCII is in no stop word
                packed = packed << 8 | min(lower, np.int64(255))
            hashes += code == _HASH
            if code == _DOT:
                stops += 1
                ellipses += stops % 3 == 0
                ends = stops >= 3
            else:
                stops = 0
                ends = code == _ELLIPSIS
                ellipses += ends
        counts[row, 0] = words
        counts[row, 1] = characters
        counts[row, 2] = hashes
        counts[row, 3] = ellipses
        counts[row, 4] = lines
        counts[row, 5] = n_bullets
        counts[row, 6] = open_lines
        counts[row, 7] = alphabetic
        total = 0
        for k in range(len(stop_words)):
            total += seen >> k & 1
        counts[row, 8] = total
