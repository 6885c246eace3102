"""Texts as UTF-8 buffers, and the Unicode tables of the running Python."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.index.ngrams._ngram_kernels import scan
from assay.storage.errors import DependencyError, InputError
from assay.storage.interfaces import ArrowStream
from assay.storage.limits import check_parameters

SPACE, WORD, OTHER, SINGLE = 0, 1, 2, 3
TOKENIZERS = ("re", "regex")
# The lower case of these is longer than one character, or depends on the letters around it.
CONTEXTUAL = "\u0130\u03a3"
# Blocks of the scripts that are written without spaces between words: Thai, Lao, Myanmar, Khmer,
# Tai, Hiragana, Katakana, Bopomofo and Han, with their extensions.
_UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19FF), (0x1A20, 0x1AAF),
    (0x3005, 0x3007), (0x3031, 0x3035), (0x3040, 0x312F), (0x31A0, 0x31BF), (0x31F0, 0x31FF),
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA9E0, 0xA9FF), (0xAA60, 0xAADF), (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F), (0x1AFF0, 0x1B16F), (0x20000, 0x323AF),
)  # fmt: skip
_CODE_POINTS = 0x110000
# The planes that have characters: the others are empty, or for private use.
_ASSIGNED = ((0, 0x40000), (0xE0000, 0xF0000))
# what `scan` looks for
_UNSETTLED, _LOWERING = 1, 2


@lru_cache(maxsize=2 * len(TOKENIZERS))
def lowering_table(tokenizer: str, characters: bool = False) -> np.ndarray:
    """Return uint32[0x110000]: for each code point ``4 * lower case + class of the lower case``.

    The classes are `SPACE` (``\\s``), `WORD` (``\\w``) and `OTHER`, as the regular expressions of
    the module `tokenizer` see them. Of the `CONTEXTUAL` characters only the class is right. With
    `characters` the letters and marks of scripts without spaces are `SINGLE`: a token each.
    """
    if characters:
        single = lowering_table(tokenizer).copy()
        for first, last in _UNSPACED:
            part = single[first : last + 1]
            letters = np.array(
                [unicodedata.category(chr(code))[0] in "LM" for code in range(first, last + 1)]
            )
            part[letters] |= SINGLE
        single.flags.writeable = False
        return single
    check_parameters(tokenizer=(tokenizer, *TOKENIZERS))
    try:
        engine = import_module(tokenizer)
    except ModuleNotFoundError as error:
        raise DependencyError(
            "tokenizer='regex' needs the package 'regex', which is not installed; run "
            "`pip install regex` or take tokenizer='re'."
        ) from error
    points = np.concatenate([np.arange(first, last, dtype="<u4") for first, last in _ASSIGNED])
    text = points.tobytes().decode("utf-32-le", "surrogatepass")
    kinds = np.full(_CODE_POINTS, OTHER, np.uint32)
    for pattern, kind in ((r"\w+", WORD), (r"\s+", SPACE)):
        for match in engine.finditer(pattern, text):
            kinds[points[match.start() : match.end()]] = kind
    for character in CONTEXTUAL:
        text = text.replace(character, character.swapcase()[0])
    lowered = text.lower()
    if len(lowered) != len(points):
        raise DependencyError(
            f"Unicode {unicodedata.unidata_version} of this Python has lower cases of several "
            "characters that assay doesn't know; run it on an older Python."
        )
    lower = np.arange(_CODE_POINTS, dtype="<u4")
    lower[points] = np.frombuffer(lowered.encode("utf-32-le", "surrogatepass"), "<u4")
    table: np.ndarray = lower << 2 | kinds[lower]
    table.flags.writeable = False
    return table


def as_texts(texts: Any) -> pa.ChunkedArray:
    """Return `texts` as a chunked array of large_string, without a copy where it is one already.

    Lone surrogates, which UTF-8 can't hold, become U+FFFD.

    Raises
    ------
    InputError
        `texts` is a single string, or holds anything but strings and nulls.
    """
    if isinstance(texts, str | bytes):
        raise InputError("texts is one string; give a sequence of strings, such as [text].")
    try:
        array = _arrow(texts)
        if pa.types.is_dictionary(array.type) and _is_string(array.type.value_type):
            parts = [c.dictionary.cast(pa.large_string()).take(c.indices) for c in array.chunks]
            array = pa.chunked_array(parts, pa.large_string())
        if not (_is_string(array.type) or pa.types.is_null(array.type) or not len(array)):
            raise InputError(f"texts holds {array.type}; it must hold strings or nulls.")
        array = array.cast(pa.large_string())
        array.validate(full=True)
    except (pa.ArrowException, TypeError) as error:
        raise InputError(f"texts must hold valid strings or nulls only: {error}") from error
    return array


def _arrow(texts: Any) -> pa.ChunkedArray:
    if isinstance(texts, pa.ChunkedArray):
        return texts
    if isinstance(texts, pa.Array):
        return pa.chunked_array([texts])
    if isinstance(texts, ArrowStream):
        return pa.chunked_array(texts)
    try:
        array = pa.array(texts, from_pandas=True)
    except UnicodeEncodeError:
        array = pa.array([None if text is None else _without_surrogates(text) for text in texts])
    return array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])


def _without_surrogates(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _is_string(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def utf8_chunks(
    texts: pa.ChunkedArray, size: int, compose: bool = True, lower: bool = True
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows of `texts` as ``(uint8 data, int64 offsets)``, about `size` bytes at a time.

    Every chunk holds at least one row, and only whole rows: `row_chunks`, each given to `settling`.
    """
    return map(settling(compose, lower), row_chunks(texts, size))


def row_chunks(texts: pa.ChunkedArray, size: int) -> Iterator[pa.LargeStringArray]:
    """Yield consecutive rows of `texts`, about `size` bytes at a time and at least one."""
    for array in texts.chunks:
        if not len(array):
            continue
        _, offsets = _buffers(array)
        first = 0
        while first < len(array):
            last = int(np.searchsorted(offsets, offsets[first] + size, side="right")) - 1
            last = min(max(last, first + 1), len(array))
            yield array[first:last]
            first = last


def settling(
    compose: bool = True, lower: bool = True
) -> Callable[[pa.LargeStringArray], tuple[np.ndarray, np.ndarray]]:
    """Return what gives rows as ``(uint8 data, int64 offsets)``; threads may share it.

    Nulls are empty; with `compose` rows are in Unicode's NFC; with `lower` rows that hold a
    `CONTEXTUAL` character are lower-cased.
    """
    scanned = _scanned_kinds() if compose or lower else None

    def settle(rows: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
        if rows.null_count:
            rows = pc.fill_null(rows, "")
        if scanned is not None:
            kinds = _kinds(*_buffers(rows), scanned)
            if compose and (kinds & _UNSETTLED).any():
                rows = _replaced(rows, kinds & _UNSETTLED, _composed)
                kinds = _kinds(*_buffers(rows), scanned)
            if lower and (kinds & _LOWERING).any():
                rows = _replaced(rows, kinds & _LOWERING, _lowered)
        return _buffers(rows)

    return settle


def _kinds(data: np.ndarray, offsets: np.ndarray, scanned: np.ndarray) -> np.ndarray:
    """Return for each row the kinds of its characters, all together."""
    kinds = np.empty(len(offsets) - 1, np.uint8)
    scan(data, offsets, scanned, kinds)
    return kinds


def _replaced(
    rows: pa.LargeStringArray,
    marked: np.ndarray,
    change: Callable[[pa.LargeStringArray], pa.LargeStringArray],
) -> pa.LargeStringArray:
    """Return `rows` with those changed that are marked."""
    mask = pa.array(marked != 0)
    return pc.replace_with_mask(rows, mask, change(rows.filter(mask)))


def _composed(rows: pa.LargeStringArray) -> pa.LargeStringArray:
    return pc.utf8_normalize(rows, form="NFC")


def _lowered(rows: pa.LargeStringArray) -> pa.LargeStringArray:
    return pa.array([text.lower() for text in rows.to_pylist()], pa.large_string())


@lru_cache(maxsize=1)
def _scanned_kinds() -> np.ndarray:
    """Return uint8[0x110000]: which code points may not stay as they are, in NFC or in lower case.

    `_UNSETTLED` are those with a combining class, with a canonical decomposition that NFC keeps, or
    that may compose with one before: text without any is in NFC. So are all from plane 3 on, which
    has few characters.
    """
    kinds = np.zeros(_CODE_POINTS, np.uint8)
    kinds[0x30000:] = _UNSETTLED
    # the vowels and last consonants of Hangul's syllables
    kinds[0x1161:0x1176] = kinds[0x11A8:0x11C3] = _UNSETTLED
    for code in range(0x300, 0x30000):
        character = chr(code)
        if unicodedata.combining(character):
            kinds[code] = _UNSETTLED
        parts = unicodedata.decomposition(character)
        if parts and parts[0] != "<":
            kinds[[int(part, 16) for part in parts.split()[1:]]] = _UNSETTLED
            if not unicodedata.is_normalized("NFC", character):
                kinds[code] = _UNSETTLED
    for character in CONTEXTUAL:
        kinds[ord(character)] |= _LOWERING
    kinds.flags.writeable = False
    return kinds


def _buffers(array: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(data_buffer if data_buffer is not None else b"", np.uint8)
    # one read-only type, so that each kernel is compiled once
    offsets.flags.writeable = data.flags.writeable = False
    return data, offsets
