"""128-bit BLAKE2b of rows: sample ids, content hashes and counter-based noise.

The hash is that of `hashlib.blake2b(row, digest_size=16)`, computed by one compiled loop over the
flat buffers that Arrow and NumPy hold anyway, so that no Python object is made per row and the
interpreter's lock is free meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from assay.storage.errors import ConfigError, InputError
from assay.storage.interfaces import ArrowStream

Hashes = np.ndarray[Any, np.dtype[np.uint64]]

_NOISE = b"uniform\0"
# rows of text that are made contiguous at a time
_PIECE = 65_536
# where more than one in so many rows is wanted, sorting all of them costs no more
_FEW = 4


def hash_rows(values: Any, *, salt: int = 0) -> Hashes:
    r"""Hash every row's bytes with BLAKE2b to 128 bits.

    Parameters
    ----------
    values : Arrow array or chunked array, Polars Series, sequence of str or bytes, or ndarray
        Text counts as its UTF-8 bytes; dictionary and view types are unpacked. Of a C-contiguous
        2-d array each row's memory is hashed; a 1-d array must hold text. Null is hashed as empty.
    salt : int, default 0
        0 is plain BLAKE2b; any other number below 2^64 is its salt (8 bytes, little-endian, padded
        with zeros to 16), which makes an independent hash function.

    Returns
    -------
    ndarray of uint64, shape (n, 2)
        The digest's two words; ``hashes[i].tobytes()`` is the digest on little-endian machines.

    Raises
    ------
    InputError
        Values of another kind.
    ConfigError
        A salt that is no integer from 0 to 2^64 - 1.

    Notes
    -----
    Time grows with the bytes (in blocks of 128 per row), memory with 16 bytes per row: Arrow
    buffers are hashed in place. Two of n different rows collide with probability n^2 / 2^129.

    References
    ----------
    Saarinen and Aumasson, "The BLAKE2 Cryptographic Hash and Message Authentication Code (MAC)",
    RFC 7693, 2015.

    Examples
    --------
    >>> import hashlib
    >>> hash_rows(["a", "b", "a"])[0].tobytes() == hashlib.blake2b(b"a", digest_size=16).digest()
    True
    """
    return _hash(values, b"" if salt == 0 else _word(salt, "salt"))


def hex_digests(hashes: Hashes) -> pl.Series:
    """Write hashes as 32 hexadecimal digits each, as `hashlib`'s ``hexdigest`` does.

    Examples
    --------
    >>> hex_digests(hash_rows(["a"])).to_list()
    ['27c35e6e9373877f29e562464e46497e']
    """
    digests = np.ascontiguousarray(hashes, dtype="<u8")
    fixed = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(digests), [None, pa.py_buffer(digests)]
    )
    return pl.Series("hash", fixed.cast(pa.large_binary())).bin.encode("hex")


def read_digests(digests: pl.Series) -> Hashes:
    """Read hashes back from what `hex_digests` wrote: 16 bytes a row in place of 48 of text.

    Raises
    ------
    InputError
        Text that is no digest.

    Examples
    --------
    >>> hashes = hash_rows(["a", "b"])
    >>> bool((read_digests(hex_digests(hashes)) == hashes).all())
    True
    """
    out = np.empty((len(digests), 2), dtype=np.uint64)
    for begin in range(0, len(digests), _PIECE):
        part = digests.slice(begin, _PIECE)
        if not (part.str.len_bytes() == 32).fill_null(False).all():
            raise InputError("A hash must be 32 hexadecimal digits.")
        try:
            binary = part.str.decode("hex").to_arrow().cast(pa.binary(16))
        except (pl.exceptions.PolarsError, pa.ArrowException) as error:
            raise InputError(f"A hash must be 32 hexadecimal digits: {error}.") from None
        words = np.frombuffer(binary.buffers()[1], dtype="<u8")
        out[begin : begin + len(part)] = words[2 * binary.offset :][: 2 * len(part)].reshape(-1, 2)
    return out


def uniform(ids: Any, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    r"""Draw a number in (0, 1) for every id that depends on nothing but the seed and the id.

    With the first word w of the id's BLAKE2b under a salt made of the seed,
    :math:`u = (\lfloor w / 2^{12} \rfloor + 1/2) / 2^{52}`. So the draw of a row is the same for
    any order of the rows, any shard and any number of threads, and ``-log(-log(u))`` is finite
    (standard Gumbel noise).

    Parameters
    ----------
    ids : as `values` of `hash_rows`
    seed : int
        From 0 to 2^64 - 1. Draws of two seeds are independent, and independent of `hash_rows`.

    Examples
    --------
    >>> bool((uniform(["a", "b"], 0)[::-1] == uniform(["b", "a"], 0)).all())
    True
    """
    chunks, rows = _read(ids)
    out = np.empty(rows)
    for part, hashes in _hashed(chunks, _word(seed, "seed") + _NOISE):
        out[part] = ((hashes[:, 0] >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return out


def _word(number: int, what: str) -> bytes:
    if not isinstance(number, int | np.integer) or not 0 <= number < 2**64:
        raise ConfigError(f"{what} must be an integer from 0 to 2**64 - 1, not {number!r}.")
    return int(number).to_bytes(8, "little")


def _hash(values: Any, salt: bytes) -> Hashes:
    chunks, rows = _read(values)
    out = np.empty((rows, 2), dtype=np.uint64)
    for part, hashes in _hashed(chunks, salt):
        out[part] = hashes
    return out


def _hashed(chunks: Sequence[Any], salt: bytes) -> Iterator[tuple[slice, Hashes]]:
    """Yield the hashes of a piece of the rows at a time, and which rows those are."""
    from assay.storage.hashing._blake2b import (  # compiled: only where used
        blake2b_rows,
        initial_state,
    )

    state = initial_state(salt)
    begin = 0
    for data, offsets in _buffers(chunks):
        hashes = np.empty((len(offsets) - 1, 2), dtype=np.uint64)
        blake2b_rows(_frozen(data), _frozen(offsets), state, hashes)
        yield slice(begin, begin + len(hashes)), hashes
        begin += len(hashes)


def _frozen(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a read-only view: the kernel is then compiled for one type only."""
    view = array.view()
    view.flags.writeable = False
    return view


def _read(values: Any) -> tuple[list[Any], int]:
    """Return the rows to hash in chunks, a matrix, Arrow arrays or a Series, and their number."""
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.dtype.kind in "biufc":
        if not values.flags.c_contiguous:
            raise InputError(
                "An array whose rows are hashed must be C-contiguous; pass np.ascontiguousarray(X)."
            )
        return [values], len(values)
    chunks = _chunks(values)
    return chunks, sum(map(len, chunks))


def _buffers(chunks: Sequence[Any]) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """Yield flat bytes and int64 row offsets, piece by piece."""
    for chunk in chunks:
        if isinstance(chunk, np.ndarray):
            width = chunk.shape[1] * chunk.itemsize
            offsets = np.arange(len(chunk) + 1, dtype=np.int64) * width
            yield chunk.reshape(-1).view(np.uint8), offsets
            continue
        for begin in range(0, len(chunk), _PIECE):
            piece = chunk[begin : begin + _PIECE]
            yield _flat(piece.to_arrow() if isinstance(piece, pl.Series) else piece)


def _flat(piece: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    piece = piece.cast(pa.large_binary())
    if piece.null_count:
        piece = piece.fill_null(b"")
    _, offsets, data = piece.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[piece.offset : piece.offset + len(piece) + 1]
    return np.frombuffer(data if data is not None else b"", dtype=np.uint8), bounds


def _chunks(values: Any) -> list[Any]:
    if isinstance(values, pl.Series):
        if values.dtype in (pl.String, pl.Binary):
            return [values]
        values = values.to_arrow()
    elif isinstance(values, pa.Array | pa.ChunkedArray):
        pass
    elif isinstance(values, ArrowStream):
        values = pa.chunked_array(values)
    else:
        if isinstance(values, str | bytes) or not isinstance(values, Sequence | np.ndarray):
            raise InputError(f"Rows to hash must be an array or a sequence, not {_kind(values)}.")
        values = _from_sequence(values)
    kind = values.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if not any(test(kind) for test in _HASHABLE):
        raise InputError(f"Rows to hash must be text or bytes, not of type {values.type}.")
    return list(values.chunks) if isinstance(values, pa.ChunkedArray) else [values]


def _from_sequence(values: Any) -> Any:
    try:
        array = pa.array(values)
        large = pa.large_binary() if pa.types.is_binary(array.type) else pa.large_string()
        return array.cast(large) if len(array) == 0 else array
    except (pa.ArrowException, TypeError) as error:
        raise InputError(f"Rows to hash must be text or bytes: {error}.") from None


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


_HASHABLE = (
    pa.types.is_null,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)


def first_rows(keys: np.ndarray, count: int) -> np.ndarray:
    """Return the rows of the `count` smallest keys, smallest first, equal keys by row.

    Parameters
    ----------
    keys : float[n]
        Without NaN.
    count : int
        All rows where there are fewer.

    Notes
    -----
    Time linear in n plus the sorting of `count` rows.

    Examples
    --------
    >>> import numpy as np
    >>> first_rows(np.array([0.5, 0.1, 0.9, 0.1]), 3).tolist()
    [1, 3, 0]
    """
    if not 0 < count * _FEW < len(keys):
        return np.asarray(np.argsort(keys, kind="stable")[:count])
    last = np.partition(keys, count - 1)[count - 1]
    rows = np.flatnonzero(keys <= last)
    return np.asarray(rows[np.argsort(keys[rows], kind="stable")[:count]])


def smallest_rows(hashes: np.ndarray, count: int) -> np.ndarray:
    """Return the positions of the `count` smallest hashes, uint64[n, 2], in their order."""
    rows = np.arange(len(hashes))
    if count < len(hashes):
        bound = np.partition(hashes[:, 0], count - 1)[count - 1]
        rows = np.flatnonzero(hashes[:, 0] <= bound)
    order = np.lexsort((hashes[rows, 1], hashes[rows, 0]))[:count]
    result: np.ndarray = rows[order]
    return result
