"""Checksums of files in blocks of 64 MiB, and of the JSON object that holds them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from assay.storage.errors import CorruptArtifactError

BLOCK = 64 * 2**20
_SEAL = "checksum"
_STAMP = b', "checksum": '


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def describe_file(path: Path, name: str) -> dict[str, Any]:
    """Return {name, size, block, blocks}: the 128-bit BLAKE2b of every `block` bytes of a file."""
    sums = []
    with path.open("rb") as file:
        while data := file.read(BLOCK):
            sums.append(_digest(data))
    return {"name": name, "size": path.stat().st_size, "block": BLOCK, "blocks": sums}


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
    Memory is that of one block.
    """

    def __init__(self, path: Path, entry: dict[str, Any], remedy: str) -> None:
        self.path = path
        self._remedy = remedy
        self._block = int(entry["block"])
        self._sums = list(entry["blocks"])
        self._checked = [False] * len(self._sums)
        self._size = int(entry["size"])
        if not path.is_file():
            raise CorruptArtifactError(f"{path} is missing. {remedy}")
        if self._block < 1 or path.stat().st_size != self._size:
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
        with self.path.open("rb") as file:
            for b in wanted:
                if self._checked[b]:
                    continue
                file.seek(b * self._block)
                if _digest(file.read(self._block)) != self._sums[b]:
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
