"""Numba kernel that finds the records of delimited text and what is wrong with them (RFC 4180)."""

from __future__ import annotations

from assay.storage.compiling import njit

OK, WRONG_WIDTH, TEXT_AFTER_QUOTE, OPEN_QUOTE = 0, 1, 2, 3

_QUOTE, _CR, _LF = 34, 13, 10
_FIELD_START, _PLAIN, _QUOTED, _QUOTE_IN_QUOTED = 0, 1, 2, 3


@njit(cache=True, nogil=True)
def scan_records(data, delimiter, width, most, final):  # type: ignore[no-untyped-def]
    """Scan whole records from the start of `data`.

    An empty line is no record, unless records are one field wide or of any width.

    Parameters
    ----------
    data : uint8 array
    delimiter : int
    width : int
        Fields that a record must have; 0 asks for nothing.
    most : int
        Stop after so many records.
    final : bool
        No data follows: the last record may end without a line break.

    Returns
    -------
    stop, records : int
        Bytes and number of the whole records.
    error, line, found : int
        What is wrong, line breaks before it, fields found.
    """
    state = _FIELD_START
    fields = 1
    stop = records = lines = breaks = quote_line = 0
    n = len(data)
    i = 0
    while i <= n:
        if i < n:
            c = data[i]
        elif final and stop < n:
            if state == _QUOTED:
                return stop, records, OPEN_QUOTE, quote_line, fields
            c = _LF
        else:
            break
        ends = c in (_LF, _CR)
        if c == _CR and i + 1 < n and data[i + 1] == _LF:
            i += 1
        elif c == _CR and i + 1 == n and not final:
            break
        if ends:
            breaks += 1
        if state == _QUOTED:
            if c == _QUOTE:
                state = _QUOTE_IN_QUOTED
        elif ends:
            blank = state == _FIELD_START and fields == 1
            if not blank or width <= 1:
                if width > 0 and fields != width:
                    return stop, records, WRONG_WIDTH, lines, fields
                records += 1
            state = _FIELD_START
            fields = 1
            stop = min(i + 1, n)
            lines = breaks
            if records == most:
                break
        elif c == delimiter:
            state = _FIELD_START
            fields += 1
        elif c == _QUOTE and state != _PLAIN:
            if state == _FIELD_START:
                quote_line = breaks
            state = _QUOTED
        elif state == _QUOTE_IN_QUOTED:
            return stop, records, TEXT_AFTER_QUOTE, breaks, fields
        else:
            state = _PLAIN
        i += 1
    return stop, records, OK, 0, 0
