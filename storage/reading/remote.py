"""Data in object storage: objects are copied once into a local cache, and read from there.

The cache is the folder that `ASSAY_CACHE` names, else ``assay`` in the user's cache folder. A copy
is known by its URL and by what the storage says of the object's version (its ETag, else its size and
time), so that an object that changed is copied anew; a copy that was not used for 30 days is removed
when others are fetched, and all of them may be removed at any time when nothing reads them.

Credentials, region and endpoint are those of the environment (`AWS_PROFILE`, `AWS_ACCESS_KEY_ID`,
`AWS_ENDPOINT_URL`, ...), never of a configuration.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import importlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from assay.storage.disk.atomic import atomic_directory, temporary_beside
from assay.storage.errors import (
    DependencyError,
    SourceChangedError,
    SourceError,
    StoreError,
    UnreachableError,
)
from assay.storage.reading.finding import READABLE, file_format, file_suffixes, readable, stem
from assay.storage.reading.locations import scheme_of

KEPT_DAYS = 30
_DOWNLOADS = 8
_S3, _GCS, _AZURE = (
    ("s3fs", "pip install 'assay-curation[s3]'"),
    ("gcsfs", "pip install gcsfs"),
    ("adlfs", "pip install adlfs"),
)
# scheme -> the package that serves it, and how it is installed
_SYSTEMS = {
    "s3": _S3,
    "s3a": _S3,
    "gs": _GCS,
    "gcs": _GCS,
    "abfs": _AZURE,
    "az": _AZURE,
    "memory": ("fsspec", "pip install fsspec"),
}
_ENDPOINTS = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "FSSPEC_S3_ENDPOINT_URL")
_LOCAL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}
_TRANSIENT = {"HTTPClientError", "ConnectionError", "TimeoutError", "ClientError"}


def cache_folder() -> Path:
    """Return the folder of the copies, which may not exist."""
    if named := os.environ.get("ASSAY_CACHE"):
        return Path(named).expanduser().absolute()
    if os.name == "nt":
        user = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        user = Path.home() / "Library" / "Caches"
    else:
        user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return user / "assay"


def shown(path: Path) -> str:
    """Return what a file is called in messages: the URL of a copy, else its path."""
    if path.parent.parent == cache_folder() / "objects":
        with suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads((path.parent / "object.json").read_bytes())["url"])
    return str(path)


def fetch(url: str) -> tuple[str, list[tuple[Path, str]]]:
    """Return a name for what a URL names, and copies of its objects with their names within it.

    As `assay.storage.reading.finding.local_files`, of an object, a prefix (``s3://bucket/folder/``) or a glob.

    Raises
    ------
    DependencyError
        The package for this kind of storage is not installed.
    SourceError
        Nothing is there, or credentials are missing or not enough.
    UnreachableError
        The storage can't be reached, which may pass.
    SourceChangedError
        An object changed while it was copied.
    StoreError
        The cache can't be written.
    """
    scheme, _, rest = url.partition("://")
    url = f"{scheme.lower()}://{rest}"
    system = _system(url)
    with _explained(url):
        path = str(system._strip_protocol(url)).rstrip("/")
        if not path.strip("/"):
            raise SourceError(f"{url} names no bucket; write {scheme_of(url)}://BUCKET/FOLDER/.")
        base, entries = _listed(system, url, path)
    if entries and base is None:
        name = PurePosixPath(path).name
        if not file_format(name):
            raise SourceError(f"{url} has no extension that tells its format: {READABLE}.")
        return stem(name), [(_copy(system, url, entries[0]), name)]
    if not entries:
        raise SourceError(_nothing(system, url, path))
    assert base is not None
    within = {entry["name"].removeprefix(f"{base}/"): entry for entry in entries}
    chosen = {str(name): within[str(name)] for name in readable(map(PurePosixPath, within))}
    if not chosen:
        raise SourceError(f"{url} holds no file that can be read; readable are {READABLE}.")
    names = sorted(chosen)
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        copies = list(pool.map(lambda name: _copy(system, url, chosen[name]), names))
    return PurePosixPath(base).name or "pool", list(zip(copies, names, strict=True))


def _system(url: str) -> Any:
    scheme = scheme_of(url) or ""
    if scheme not in _SYSTEMS:
        raise SourceError(
            f"Data can't be read from {scheme}://; a pool is a path of this machine, file://, "
            f"{', '.join(f'{name}://' for name in _SYSTEMS if name != 'memory')}."
        )
    account, at, _ = url.partition("://")[2].partition("/")[0].partition("@")
    if at and ":" in account:
        raise SourceError(
            f"A {scheme}:// location must not hold credentials, which would be stored with the run. "
            "Put them into the environment (for S3: AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY)."
        )
    package, install = _SYSTEMS[scheme]
    try:
        importlib.import_module(package)
        fsspec: Any = importlib.import_module("fsspec")
    except ImportError:
        raise DependencyError(f"{scheme}:// needs the package {package}: {install}") from None
    # what an instance kept would be blind to: objects and credentials that changed meanwhile
    with _explained(url):
        return fsspec.filesystem(scheme, skip_instance_cache=True, use_listings_cache=False)


def _listed(system: Any, url: str, path: str) -> tuple[str | None, list[dict[str, Any]]]:
    """Return the folder and the objects in it, or None and the one object; nothing: no objects."""
    try:
        entry = system.info(path)
        if entry["type"] == "file" and not url.endswith("/"):
            return None, [entry]
    except FileNotFoundError:
        if not glob.has_magic(path):
            return None, []
        parts = path.split("/")
        literal = [glob.has_magic(part) for part in parts].index(True)
        base, entries = "/".join(parts[:literal]), system.glob(path, detail=True)
    else:
        base, entries = path, system.find(path, detail=True)
    return base, [entry for entry in entries.values() if _is_object(entry, f"{base}/")]


def _is_object(entry: dict[str, Any], within: str) -> bool:
    name = entry["name"]
    # consoles make empty objects that stand for folders
    return entry["type"] == "file" and name.startswith(within) and not name.endswith("/")


def _nothing(system: Any, url: str, path: str) -> str:
    bucket = path.lstrip("/").partition("/")[0]
    exists = True
    with suppress(OSError):
        exists = bool(system.exists(bucket))
    if not exists and scheme_of(url) != "memory":
        return f"There is no bucket {bucket!r} ({url}). Check its name, region and endpoint."
    return f"There is no object, folder or match of {url} in object storage."


def _version(entry: dict[str, Any]) -> list[str]:
    """Return what changes when an object does."""
    for keys in (("ETag", "etag", "md5Hash"), ("generation", "LastModified", "mtime", "created")):
        values = [entry[key] for key in keys if entry.get(key) is not None]
        if values:
            # a listing and a single object may tell the time in different types
            stamps = [v.timestamp() if isinstance(v, datetime) else v for v in values]
            return [str(entry["size"]), *map(str, stamps)]
    raise SourceError(
        f"The storage of {entry['name']} does not tell one version of an object from another; "
        "copy the data to a local folder, and name that."
    )


def _copy(system: Any, url: str, entry: dict[str, Any]) -> Path:
    """Return the local copy of an object; copy it first if needed."""
    scheme = scheme_of(url)
    version = _version(entry)
    endpoints = [os.environ.get(name) for name in _ENDPOINTS]
    known = json.dumps([scheme, endpoints, entry["name"], version])
    objects = cache_folder() / "objects"
    folder = objects / hashlib.blake2b(known.encode(), digest_size=16).hexdigest()
    copy = folder / f"object{file_suffixes(entry['name'])}"
    with _cache_written(objects):
        objects.mkdir(parents=True, exist_ok=True, mode=0o700)
        if copy.is_file() and copy.stat().st_size == entry["size"]:
            os.utime(folder)
            return copy
        _remove(folder)
    named = f"{scheme}://{entry['name'].lstrip('/')}"
    with _cache_written(objects), _explained(named), atomic_directory(folder) as temporary:
        system.get_file(entry["name"], str(temporary / copy.name))
        whole = (temporary / copy.name).stat().st_size == entry["size"]
        if not whole or _version(system.info(entry["name"])) != version:
            raise SourceChangedError(
                f"{named} changed while it was copied. Let whatever writes it finish, then start "
                "again."
            )
        identity = json.dumps({"url": named, "version": version})
        (temporary / "object.json").write_text(identity + "\n", encoding="utf-8")
    _remove_unused(objects)
    return copy


def _remove_unused(objects: Path) -> None:
    oldest = time.time() - KEPT_DAYS * 86_400
    for folder in objects.iterdir():
        with suppress(OSError):
            if folder.stat().st_mtime < oldest:
                _remove(folder)


def _remove(folder: Path) -> None:
    if folder.is_dir():
        aside = temporary_beside(folder)
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def _cache_written(objects: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"Objects can't be copied into {objects}: {error}. Let ASSAY_CACHE name a folder with "
            "room that may be written."
        ) from error


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turn what a storage's package raises into an error that says what to do."""
    try:
        yield
    except (SourceError, SourceChangedError, DependencyError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _LOCAL:
            raise
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        if isinstance(error, FileNotFoundError):
            raise SourceError(f"{url} is not there: {reason}.") from None
        if isinstance(error, PermissionError) or "Credential" in type(error).__name__:
            raise SourceError(
                f"{url} may not be read: {reason}. Check the credentials in the environment (for S3: "
                "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; FSSPEC_S3_ANON=true "
                "for public data) and what they allow."
            ) from None
        if _may_pass(error):
            named = isinstance(error, ConnectionError | TimeoutError) or (
                isinstance(error, OSError) and error.errno
            )
            cause = error if named else ConnectionError(reason)
            raise UnreachableError(
                f"{url} can't be reached: {reason}. Check the network and the endpoint "
                "(AWS_ENDPOINT_URL), or try again later."
            ) from cause
        raise SourceError(f"{url} can't be read: {reason}.") from None


def _may_pass(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno not in (errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.ENAMETOOLONG)
    return any(kind.__name__ in _TRANSIENT for kind in type(error).__mro__)
