"""Locations of data: paths of this machine, and URLs of object storage."""

from __future__ import annotations

import os
import re
from pathlib import Path

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://")


def scheme_of(where: object) -> str | None:
    """Return the scheme of a URL in lower case, None for a path.

    Examples
    --------
    >>> scheme_of("S3://bucket/pool/*.parquet"), scheme_of("C://pool"), scheme_of("a/b.csv")
    ('s3', None, None)
    """
    match = _SCHEME.match(where) if isinstance(where, str) else None
    return match["scheme"].lower() if match else None


def was_url(path: Path) -> bool:
    """Return whether a path looks like a URL, of which `Path` has dropped a slash."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/[^/]", path.as_posix()) is not None


def as_path(where: str | os.PathLike[str]) -> Path:
    """Return a path, also of a ``file://`` URL (read as written: ``%20`` is no space)."""
    if scheme_of(where) == "file":
        where = str(where)[len("file://") :]
        # file:///C:/pool
        where = where[1:] if re.match(r"/[A-Za-z]:", where) and os.name == "nt" else where
    return Path(where).expanduser()


def absolute(where: str) -> str:
    """Return a location that means the same from another folder: URLs stay as they are.

    Examples
    --------
    >>> absolute("s3://bucket/pool/")
    's3://bucket/pool/'
    """
    return where if scheme_of(where) else str(Path(where).absolute())
