"""Numba kernels that turn UTF-8 buffers into tokens, fingerprints and buckets."""

from __future__ import annotations

from numpy import int32, int64, uint8, uint32, uint64

from assay.storage.compiling import njit

FIRST = uint64(0x9AE16A3B2F90404F)
STEP = uint64(0xC6A4A7935BD1E995)
_CHAIN = uint64(0x9E3779B97F4A7C15)
_SINGLE = uint32(3)


@njit(inline="always")
def mix(x):  # type: ignore[no-untyped-def]
    """Scramble 64 bits (the finaliser of MurmurHash3)."""
    x ^= x >> uint64(33)
    x *= uint64(0xFF51AFD7ED558CCD)
    x ^= x >> uint64(33)
    x *= uint64(0xC4CEB9FE1A85EC53)
    return x ^ (x >> uint64(33))


@njit(inline="always")
def chain(previous, fingerprint):  # type: ignore[no-untyped-def]
    """Fingerprint of an n-gram lengthened to the left by the token `previous`."""
    return mix(previous * _CHAIN + fingerprint)


@njit(inline="always")
def code_point(data, i):  # type: ignore[no-untyped-def]
    """Return the code point that begins at byte `i`, and where the next begins."""
    lead = uint32(data[i])
    if lead < uint32(0x80):
        return lead, i + 1
    if lead < uint32(0xE0):
        return (lead & uint32(0x1F)) << uint32(6) | uint32(data[i + 1] & 0x3F), i + 2
    middle = uint32(data[i + 1] & 0x3F) << uint32(6) | uint32(data[i + 2] & 0x3F)
    if lead < uint32(0xF0):
        return (lead & uint32(0xF)) << uint32(12) | middle, i + 3
    return (lead & uint32(7)) << uint32(18) | middle << uint32(6) | uint32(
        data[i + 3] & 0x3F
    ), i + 4


@njit(cache=True, nogil=True)
def scan(data, offsets, kinds, out):  # type: ignore[no-untyped-def]
    """Write for each row all bits that `kinds` has for its characters from U+0100 on."""
    for row in range(len(out)):
        i = offsets[row]
        end = offsets[row + 1]
        bits = uint32(0)
        while i < end:
            # 16 bytes at once; the first byte of such a character is 0xC4 or more
            while i + 16 <= end:
                high = uint32(0)
                for step in range(16):
                    high |= uint32(data[i + step] >= 0xC4)
                if high:
                    break
                i += 16
            if i < end:
                if data[i] < 0xC4:
                    i += 1
                else:
                    code, i = code_point(data, i)
                    bits |= uint32(kinds[code])
        out[row] = bits


@njit(inline="always")
def _encode(code, text, at):  # type: ignore[no-untyped-def]
    low = uint8(code & uint32(0x3F)) | uint8(0x80)
    if code < uint32(0x80):
        text[at] = code
        return at + 1
    if code < uint32(0x800):
        text[at] = uint8(0xC0) | uint8(code >> uint32(6))
        text[at + 1] = low
        return at + 2
    middle = uint8((code >> uint32(6)) & uint32(0x3F)) | uint8(0x80)
    if code < uint32(0x10000):
        text[at] = uint8(0xE0) | uint8(code >> uint32(12))
        text[at + 1] = middle
        text[at + 2] = low
        return at + 3
    text[at] = uint8(0xF0) | uint8(code >> uint32(18))
    text[at + 1] = uint8((code >> uint32(12)) & uint32(0x3F)) | uint8(0x80)
    text[at + 2] = middle
    text[at + 3] = low
    return at + 4


@njit(cache=True, nogil=True)
def tokenize(data, offsets, table, fingerprints, indptr, text, starts):  # type: ignore[no-untyped-def]
    """Fill the token fingerprints of every row and ``indptr[rows + 1]``.

    With `text` (else None) also write the lower-cased tokens, each followed by one space, and the
    start of each; ``starts[tokens]`` is the end of the last one.
    """
    token = 0
    at = 0
    for row in range(offsets.size - 1):
        indptr[row] = token
        i = offsets[row]
        end = offsets[row + 1]
        kind = uint32(0)
        fingerprint = FIRST
        while i < end:
            code, i = code_point(data, i)
            entry = table[code]
            new_kind = entry & uint32(3)
            if new_kind != kind or new_kind == _SINGLE:
                if kind != uint32(0):
                    fingerprints[token] = mix(fingerprint)
                    token += 1
                    if text is not None:
                        text[at] = 32
                        at += 1
                kind = new_kind
                fingerprint = FIRST
                if text is not None:
                    starts[token] = at
            if kind != uint32(0):
                code = entry >> uint32(2)
                fingerprint = (fingerprint ^ uint64(code)) * STEP
                fingerprint ^= fingerprint >> uint64(32)
                if text is not None:
                    at = _encode(code, text, at)
        if kind != uint32(0):
            fingerprints[token] = mix(fingerprint)
            token += 1
            if text is not None:
                text[at] = 32
                at += 1
    indptr[offsets.size - 1] = token
    if text is not None:
        starts[token] = at


@njit(cache=True, nogil=True)
def fast_buckets(fingerprints, token_indptr, ngrams, n_buckets, out):  # type: ignore[no-untyped-def]
    """Fill the bucket of each n-gram: for each token the 1-gram, 2-gram, ... that end there."""
    scale = uint64(n_buckets)
    at = 0
    for row in range(token_indptr.size - 1):
        first = token_indptr[row]
        for j in range(first, token_indptr[row + 1]):
            fingerprint = fingerprints[j]
            out[at] = int32(((fingerprint >> uint64(32)) * scale) >> uint64(32))
            at += 1
            for k in range(j - 1, max(first, j - ngrams + 1) - 1, -1):
                fingerprint = chain(fingerprints[k], fingerprint)
                out[at] = int32(((fingerprint >> uint64(32)) * scale) >> uint64(32))
                at += 1


@njit(cache=True, nogil=True)
def add_counts(buckets, counts):  # type: ignore[no-untyped-def]
    """Add the occurrences of each bucket to `counts`."""
    for j in range(buckets.size):
        counts[buckets[j]] += int64(1)
