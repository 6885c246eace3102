"""Numba kernel over JSON lines: how deep brackets are nested, and the keys of each line's object."""

from __future__ import annotations

import numpy as np

from assay.storage.compiling import njit

_QUOTE, _BACKSLASH, _LF, _COMMA = 34, 92, 10, 44
_ZERO, _NINE, _POINT, _LONG = 48, 57, 46, 16
_OPEN, _CLOSE = (91, 123), (93, 125)
_BASIS, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


@njit(cache=True, nogil=True)
def scan_keys(data, deepest, hashes, lines):  # type: ignore[no-untyped-def]
    """Hash every key of the outermost objects.

    Parameters
    ----------
    data : uint8 array
        Whole lines.
    deepest : int
        How deep brackets may be nested.
    hashes, lines : uint64 and int64 arrays
        Filled with the hash of each key, with that of its line, and the number of its line. A key
        that is written with escapes is entered twice under one hash: it may be another's equal.

    Returns
    -------
    keys : int
        How many were entered.
    line : int
        The first line, from 0, with deeper nesting, else -1; the scan stops there.
    long : bool
        Whether there is a number whose digits before any point are 16 or more.
    """
    keys = line = depth = i = digits = 0
    key_next = long = False
    n = len(data)
    while i < n:
        c = data[i]
        i += 1
        if _ZERO <= c <= _NINE:
            # a fraction's digits count from far below
            digits += 1
            long |= digits >= _LONG
            continue
        digits = -n if c == _POINT else 0
        if c == _QUOTE:
            start = i
            escaped = False
            while i < n:
                c = data[i]
                if c == _BACKSLASH:
                    escaped = True
                    i += 1
                elif c in (_QUOTE, _LF):
                    break
                i += 1
            if key_next and depth == 1:
                key = _BASIS ^ np.uint64(line)
                if not escaped:
                    for k in range(start, i):
                        key = (key ^ np.uint64(data[k])) * _PRIME
                for _ in range(2 if escaped else 1):
                    hashes[keys] = key
                    lines[keys] = line
                    keys += 1
            key_next = False
            if i < n and data[i] == _QUOTE:
                i += 1
        elif c == _LF:
            line += 1
            depth = 0
            key_next = False
        elif c in _OPEN:
            depth += 1
            if depth > deepest:
                return keys, line, long
            key_next = depth == 1
        elif c in _CLOSE:
            depth -= 1
        elif c == _COMMA:
            key_next = depth == 1
    return keys, -1, long
