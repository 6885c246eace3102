"""How much of a text is lines, paragraphs and runs of words that were there before."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.index.ngrams._ngram_kernels import chain, code_point, mix
from assay.selection.algorithms.text_blocks import SPACE, character_classes, measured
from assay.storage.compiling import njit

TOP = (2, 3, 4)
REPEATED = (5, 6, 7, 8, 9, 10)
SHARES = (
    "duplicate_lines",
    "duplicate_line_characters",
    "duplicate_paragraphs",
    "duplicate_paragraph_characters",
    *(f"top_{n}_gram" for n in TOP),
    *(f"duplicate_{n}_grams" for n in REPEATED),
)
_SEED = np.uint64(0x9AE16A3B2F90404F)
_STEP = np.uint64(0xC6A4A7935BD1E995)
_HALF = np.uint64(32)
_NEWLINE = np.uint32(10)


def repetition_shares(texts: pl.Series) -> dict[str, NDArray[np.float64]]:
    """Return the shares of Gopher's rules of repetition, each a float64[n] in [0, 1].

    Words are what white space parts; lines are trimmed, and blank ones part paragraphs; characters
    are code points. ``duplicate_lines`` and ``duplicate_paragraphs``: those that were there before,
    of all of them; ``..._characters``: their characters, of all characters of the text.
    ``top_N_gram``: the characters of the most frequent run of N words, with one space between
    words, times how often it occurs, where it occurs twice or more. ``duplicate_N_grams``: the
    characters of the words in runs of N words that were there before, none counted twice.

    Notes
    -----
    Runs are told apart by 64-bit hashes. Time is linear in the text, memory 100 bytes for each word
    of the longest one.

    Examples
    --------
    >>> shares = repetition_shares(pl.Series(["one line\\nanother\\none line"]))
    >>> {name: round(float(values[0]), 3) for name, values in shares.items() if values[0]}
    {'duplicate_lines': 0.333, 'duplicate_line_characters': 0.32, 'top_2_gram': 0.64}
    """
    classes = character_classes()

    def share(data: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        out = np.zeros((len(offsets) - 1, len(SHARES)))
        longest = int(np.diff(offsets).max())
        places = longest // 2 + 2
        # less than half full
        size = 1 << (2 * places).bit_length()
        table = _work_space(size, places)
        _shares(data, offsets, classes, *table, out)
        return out

    return dict(zip(SHARES, measured(texts, share, len(SHARES)).T, strict=True))


def _work_space(size: int, places: int) -> tuple[NDArray[Any], ...]:
    """Return the working space of `_shares`: a hash table, and an entry for each word."""
    return (
        np.empty(size, np.uint64),  # keys
        np.zeros(size, np.int32),  # rounds in which they were written
        np.empty(size, np.int32),  # counts
        np.empty(places, np.uint64),  # words, lines or paragraphs: hashes
        np.empty((3, places), np.uint64),  # runs, lines, paragraphs
        np.empty((3, places + 1), np.int64),  # characters up to each word, of lines, of paragraphs
        np.empty((2, places), np.int32),  # slots by first occurrence, and where that is
    )


@njit(inline="always")
def _find(keys, stamps, stamp, key):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Return the slot of a key and whether it is there in this round."""
    mask = np.uint64(len(keys) - 1)
    slot = (key ^ (key >> _HALF)) & mask
    while stamps[slot] == stamp:
        if keys[slot] == key:
            return np.int64(slot), True
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot), False


@njit(cache=True, nogil=True)
def _shares(
    data: Any,
    offsets: Any,
    classes: Any,
    keys: Any,
    stamps: Any,
    counts: Any,
    words: Any,
    runs: Any,
    sizes: Any,
    firsts: Any,
    out: Any,
) -> None:  # pragma: no cover
    stamp = np.int32(0)
    for row in range(len(offsets) - 1):
        n_words, n_lines, n_paragraphs, total = _parse(
            data, offsets[row], offsets[row + 1], classes, words, runs, sizes
        )
        if n_words == 0:
            continue
        for of in range(2):
            n = n_paragraphs if of else n_lines
            stamp += np.int32(1)
            again = 0
            characters = 0
            for i in range(n):
                slot, known = _find(keys, stamps, stamp, runs[1 + of, i])
                if known:
                    again += 1
                    characters += sizes[1 + of, i]
                else:
                    keys[slot] = runs[1 + of, i]
                    stamps[slot] = stamp
            out[row, 2 * of] = again / n
            out[row, 2 * of + 1] = characters / total
        for i in range(n_words):
            runs[0, i] = words[i]
        for n in range(2, 11):
            last = n_words - n
            if last < 1:
                break
            for i in range(last + 1):
                runs[0, i] = chain(runs[0, i], words[i + n - 1])
            stamp += np.int32(1)
            if n < 5:
                different = 0
                most = 1
                for i in range(last + 1):
                    slot, known = _find(keys, stamps, stamp, runs[0, i])
                    if known:
                        counts[slot] += 1
                        most = max(most, counts[slot])
                    else:
                        keys[slot] = runs[0, i]
                        stamps[slot] = stamp
                        counts[slot] = 1
                        firsts[0, different] = slot
                        firsts[1, different] = i
                        different += 1
                if most == 1:
                    break
                for k in range(different):
                    if counts[firsts[0, k]] == most:
                        first = firsts[1, k]
                        length = sizes[0, first + n] - sizes[0, first] + n - 1
                        out[row, 2 + n] = min(1.0, most * length / total)
                        break
            else:
                characters = 0
                i = 0
                while i <= last:
                    slot, known = _find(keys, stamps, stamp, runs[0, i])
                    if known:
                        characters += sizes[0, i + n] - sizes[0, i]
                        i += n
                    else:
                        keys[slot] = runs[0, i]
                        stamps[slot] = stamp
                        i += 1
                if characters == 0:
                    break
                out[row, 2 + n] = characters / total


@njit(cache=True, nogil=True)
def _parse(
    data: Any, i: Any, end: Any, classes: Any, words: Any, runs: Any, sizes: Any
) -> tuple[int, int, int, int]:  # pragma: no cover
    """Write hashes and lengths of words, lines and paragraphs; return how many, and characters."""
    n_words = 0
    n_lines = 0
    n_paragraphs = 0
    total = 0
    upto = 0
    word = _SEED
    in_word = False
    # of the line and the paragraph: hash and length so far, and those up to the last word
    line = _SEED
    line_size = 0
    line_hash = _SEED
    line_end = 0
    part = _SEED
    part_size = 0
    part_hash = _SEED
    part_end = 0
    sizes[0, 0] = 0
    while i < end:
        code, i = code_point(data, i)
        total += 1
        if classes[code] & SPACE:
            if in_word:
                words[n_words] = mix(word)
                n_words += 1
                sizes[0, n_words] = upto
                word = _SEED
                in_word = False
            if code == _NEWLINE:
                if line_end:
                    runs[1, n_lines] = mix(line_hash)
                    sizes[1, n_lines] = line_end
                    n_lines += 1
                elif part_end:
                    runs[2, n_paragraphs] = mix(part_hash)
                    sizes[2, n_paragraphs] = part_end
                    n_paragraphs += 1
                    part = _SEED
                    part_size = 0
                    part_end = 0
                line = _SEED
                line_size = 0
                line_end = 0
            elif line_end:
                line = (line ^ np.uint64(code)) * _STEP
                line ^= line >> _HALF
                line_size += 1
            if part_end:
                part = (part ^ np.uint64(code)) * _STEP
                part ^= part >> _HALF
                part_size += 1
        else:
            in_word = True
            upto += 1
            word = (word ^ np.uint64(code)) * _STEP
            word ^= word >> _HALF
            line = (line ^ np.uint64(code)) * _STEP
            line ^= line >> _HALF
            line_size += 1
            line_hash = line
            line_end = line_size
            part = (part ^ np.uint64(code)) * _STEP
            part ^= part >> _HALF
            part_size += 1
            part_hash = part
            part_end = part_size
    if in_word:
        words[n_words] = mix(word)
        n_words += 1
        sizes[0, n_words] = upto
    if line_end:
        runs[1, n_lines] = mix(line_hash)
        sizes[1, n_lines] = line_end
        n_lines += 1
    if part_end:
        runs[2, n_paragraphs] = mix(part_hash)
        sizes[2, n_paragraphs] = part_end
        n_paragraphs += 1
    return n_words, n_lines, n_paragraphs, total
