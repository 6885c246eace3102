"""Checksums of files in blocks of 64 MiB, and of the JSON object that holds them.

They tell damage from what was written, not who wrote it: whoever can write a file can write its
checksum beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import xxhash

from assay.storage.errors import CorruptArtifactError

BLOCK = 64 * 2**20
_SEAL = "checksum"
_STAMP = b', "checksum": '

# bytes read at a time: they stay in a core's cache, and in the same pages of memory
_PIECE = 2**18
# smaller files are hashed again each time they are described
_REMEMBERED_FROM = 2**20
_MOST_REMEMBERED = 64
# a change so soon after the last one may leave the times of a file as they were
_TICK = 20_000_000
# times without a finer part are those of a file system whose changes seconds apart look alike
_FINE = 1_000_000

# hashes of 128 bits by the names that entries give; those of earlier versions give none
_HASH, _UNNAMED = "xxh3_128", "blake2b"
_HASHES: dict[str, Callable[[], Any]] = {
    _HASH: xxhash.xxh3_128,
    _UNNAMED: partial(hashlib.blake2b, digest_size=16),
}

_Identity = tuple[int, ...]
# the checksums of blocks of files that were described; None: to be made again
_described: dict[_Identity, list[str | None]] = {}


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def describe_file(path: Path, name: str) -> dict[str, Any]:
    """Return {name, size, block, hash, blocks}: the 128-bit XXH3 of every `block` bytes of a file.

    XXH3 is made for speed, not against forgery. A file is read once where this process describes it
    several times and its inode, its size and the times of its last change stay the same. What checks
    a file reads it always.
    """
    with path.open("rb", buffering=0) as file:
        size, changed, identity = _facts(file)
        blocks = range(-(-size // BLOCK))
        known = _described.pop(identity, [None] * len(blocks))
        sums: list[str] = []
        kept: list[str | None] = []
        for b in blocks:
            fresh = time.time_ns() - changed < _TICK or changed % _FINE == 0
            sums.append(known[b] or _hashed(file, b * BLOCK, BLOCK, _HASH))
            kept.append(None if fresh else sums[-1])
        if size >= _REMEMBERED_FROM and _facts(file)[2] == identity:
            _described[identity] = kept
            while len(_described) > _MOST_REMEMBERED:
                _described.pop(next(iter(_described)), None)
    return {"name": name, "size": size, "block": BLOCK, "hash": _HASH, "blocks": sums}


def _facts(file: BinaryIO) -> tuple[int, int, _Identity]:
    """Return a file's size, when it was changed last, and what no other state of a file has."""
    facts = os.fstat(file.fileno())
    times = facts.st_mtime_ns, facts.st_ctime_ns
    identity = (BLOCK, facts.st_dev, facts.st_ino, facts.st_size, *times)
    return facts.st_size, max(times), identity


def _hashed(file: BinaryIO, begin: int, length: int, hash: str) -> str:
    """Return the checksum of up to `length` bytes of a file from `begin` on."""
    file.seek(begin)
    digest = _HASHES[hash]()
    room = memoryview(bytearray(min(_PIECE, length)))
    while length and (read := file.readinto(room[:length])):  # type: ignore[attr-defined]
        digest.update(room[:read])
        length -= read
    return str(digest.hexdigest())


def seal(content: dict[str, Any]) -> bytes:
    """Return `content` as JSON that holds its own checksum; no byte of it can change unnoticed.

    Examples
    --------
    >>> unseal(seal({"rows": 3}))
    {'rows': 3}
    >>> unseal(seal({"rows": 3}).replace(b"3", b"4"))
    Traceback (most recent call last):
    ...
    ValueError: it does not match its checksum
    """
    sealed = {**content, _SEAL: _digest(json.dumps(content).encode())}
    return (json.dumps(sealed, indent=1) + "\n").encode()


def unseal(data: bytes) -> dict[str, Any]:
    """Return what `seal` was given; ValueError where a byte differs from what it wrote."""
    content = json.loads(data)
    if not isinstance(content, dict) or content.pop(_SEAL, None) is None or seal(content) != data:
        raise ValueError("it does not match its checksum")
    return content


def stamp(content: dict[str, Any]) -> bytes:
    """Return `content` as one line of JSON that ends in its own checksum: `seal` for many small files.

    Examples
    --------
    >>> unstamp(stamp({"rows": 3}))
    {'rows': 3}
    >>> unstamp(stamp({"rows": 3}).replace(b"3", b"4"))
    Traceback (most recent call last):
    ...
    ValueError: it does not match its checksum
    """
    body = json.dumps(content).removesuffix("}").encode()
    return body + _stamp_of(body)


def unstamp(data: bytes) -> dict[str, Any]:
    """Return what `stamp` was given; ValueError where a byte differs from what it wrote."""
    end = data.rfind(_STAMP)
    if end < 0 or data[end:] != _stamp_of(data[:end]):
        raise ValueError("it does not match its checksum")
    content: dict[str, Any] = json.loads(data)
    del content[_SEAL]
    return content


def _stamp_of(body: bytes) -> bytes:
    return _STAMP + f'"{_digest(body)}"}}\n'.encode()


class CheckedFile:
    """A file whose blocks are compared with their checksums when they are first used.

    Parameters
    ----------
    path : Path
    entry : dict
        What `describe_file` returned.
    remedy : str
        The last sentence of the error: what to do about a damaged file.

    Raises
    ------
    CorruptArtifactError
        On opening, where the file is missing or of another size; on use, where bytes differ.

    Notes
    -----
    Memory is that of a small part of a block.
    """

    def __init__(self, path: Path, entry: dict[str, Any], remedy: str) -> None:
        self.path = path
        self._remedy = remedy
        self._block = int(entry["block"])
        self._sums = list(entry["blocks"])
        self._checked = [False] * len(self._sums)
        self._size = int(entry["size"])
        self._hash = str(entry.get("hash", _UNNAMED))
        if not path.is_file():
            raise CorruptArtifactError(f"{path} is missing. {remedy}")
        if self._block < 1 or self._hash not in _HASHES or path.stat().st_size != self._size:
            self._refuse()
        if len(self._sums) != -(-self._size // self._block):
            self._refuse()

    def check(self, begin: int = 0, end: int | None = None) -> None:
        """Check the blocks that hold the bytes begin .. end (default: all), if not checked yet."""
        end = self._size if end is None else min(end, self._size)
        if begin >= end:
            return
        wanted = range(begin // self._block, (end - 1) // self._block + 1)
        if all(self._checked[b] for b in wanted):
            return
        with self.path.open("rb", buffering=0) as file:
            for b in wanted:
                if self._checked[b]:
                    continue
                if _hashed(file, b * self._block, self._block, self._hash) != self._sums[b]:
                    self._refuse()
                self._checked[b] = True

    def _refuse(self) -> None:
        raise CorruptArtifactError(
            f"{self.path} does not match its checksum; it was changed or damaged after it was "
            f"written. {self._remedy}"
        )


def read_sealed(path: Path, remedy: str) -> dict[str, Any]:
    """Return the object sealed in `path`; CorruptArtifactError where it is damaged or missing."""
    try:
        return unseal(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptArtifactError(f"{path} can't be verified ({error}). {remedy}") from error
