"""Texts as UTF-8 buffers, and the Unicode tables of the running Python."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
# with the first byte apart, because a search for one byte is many times faster
_CONTEXTUAL_BYTES = tuple((c.encode()[0], c.encode()) for c in CONTEXTUAL)
_CODE_POINTS = 0x110000
# the first byte of every character from U+0300 on, below which nothing composes
_COMBINING = re.compile(rb"[\xcc-\xff]")


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
    points = np.arange(_CODE_POINTS, dtype="<u4")
    text = points.tobytes().decode("utf-32-le", "surrogatepass")
    kinds = np.full(_CODE_POINTS, OTHER, np.uint32)
    for pattern, kind in ((r"\w+", WORD), (r"\s+", SPACE)):
        for match in engine.finditer(pattern, text):
            kinds[match.start() : match.end()] = kind
    for character in CONTEXTUAL:
        text = text.replace(character, character.swapcase()[0])
    lowered = text.lower()
    if len(lowered) != _CODE_POINTS:
        raise DependencyError(
            f"Unicode {unicodedata.unidata_version} of this Python has lower cases of several "
            "characters that assay doesn't know; run it on an older Python."
        )
    lower = np.frombuffer(lowered.encode("utf-32-le", "surrogatepass"), "<u4")
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

    Every chunk holds at least one row, and only whole rows. Nulls are empty; with `compose` rows
    are in Unicode's NFC; with `lower` rows that hold a `CONTEXTUAL` character are lower-cased.
    """
    for array in texts.chunks:
        if not len(array):
            continue
        if array.null_count:
            array = pc.fill_null(array, "")
        data, offsets = _buffers(array)
        first = 0
        while first < len(array):
            last = int(np.searchsorted(offsets, offsets[first] + size, side="right")) - 1
            last = min(max(last, first + 1), len(array))
            bounds = offsets[first : last + 1]
            if not (compose or lower):
                yield data, bounds
                first = last
                continue
            held = data[bounds[0] : bounds[-1]].tobytes()
            rows = array[first:last]
            composed = not compose or _is_composed(held)
            if not composed:
                rows = pc.utf8_normalize(rows, form="NFC")
                part, ends = _buffers(rows)
                held = part[ends[0] : ends[-1]].tobytes()
            if lower and any(lead in held and pair in held for lead, pair in _CONTEXTUAL_BYTES):
                yield _buffers(_lowered(rows))
            elif composed:
                yield data, bounds
            else:
                yield _buffers(rows)
            first = last


def _is_composed(held: bytes) -> bool:
    """Return whether UTF-8 text is in NFC, as all text below U+0300 is."""
    return not _COMBINING.search(held) or unicodedata.is_normalized("NFC", held.decode())


def _lowered(array: pa.LargeStringArray) -> pa.LargeStringArray:
    mask = pc.or_(*(pc.match_substring(array, character) for character in CONTEXTUAL))
    lowered = [text.lower() for text in array.filter(mask).to_pylist()]
    return pc.replace_with_mask(array, mask, pa.array(lowered, pa.large_string()))


def _buffers(array: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    _, offset_buffer, data_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(data_buffer if data_buffer is not None else b"", np.uint8)
    # one read-only type, so that each kernel is compiled once
    offsets.flags.writeable = data.flags.writeable = False
    return data, offsets
