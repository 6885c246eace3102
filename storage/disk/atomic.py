"""The one way in which assay writes: into a temporary file or folder beside, fsync, rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from assay.storage.disk.boundaries import boundary

# hidden, with the process that made it and its host; DuckDB puts a log and a folder beside its file
TEMPORARY = re.compile(r"\..*\.(\d+)-(?:([0-9a-f]{4})-)?[0-9a-f]{8}\.tmp(\.wal|\.tmp)?")
_BESIDE = ("", ".wal", ".tmp")
# what this process is writing just now
_under_way: set[Path] = set()


def _fsync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows can't open a folder
    fd = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def temporary_beside(path: Path) -> Path:
    """Return an unused hidden name in the folder of `path`, so that a rename stays on one disk."""
    made_by = f"{os.getpid()}-{this_host()}-{uuid.uuid4().hex[:8]}"
    return path.with_name(f".{path.name}.{made_by}.tmp")


@cache
def this_host() -> str:
    """Return four digits that identify this machine among those that write to the same folder."""
    return hashlib.blake2b(platform.node().encode(), digest_size=2).hexdigest()


def host_of(path: Path) -> str | None:
    """Return the host whose process wrote a temporary file, None if unknown."""
    match = TEMPORARY.fullmatch(path.name)
    return match[2] if match else None


def writer_of(path: Path) -> int | None:
    """Return the process that made a temporary file or folder; None where `path` is none."""
    match = TEMPORARY.fullmatch(path.name)
    return int(match[1]) if match else None


def is_under_way(temporary: Path) -> bool:
    """Return whether this process is writing the temporary file or folder just now."""
    name = temporary.name[: temporary.name.index(".tmp") + len(".tmp")]
    return temporary.with_name(name).absolute() in _under_way


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def set_aside(path: Path, folder: Path) -> Path:
    """Move a file, a link or a folder into `folder` under an unused name; return where it is now."""
    folder.mkdir(parents=True, exist_ok=True)
    target, number = folder / path.name, 1
    while os.path.lexists(target):
        number += 1
        target = folder / f"{path.name}-{number}"
    os.rename(path, target)
    boundary("set aside", path)
    return target


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Yield an unused name beside `path`, and remove whatever is left under it at the end."""
    temporary = temporary_beside(path)
    _under_way.add(temporary.absolute())
    try:
        yield temporary
    finally:
        for suffix in _BESIDE:
            with suppress(OSError):
                remove(temporary.with_name(temporary.name + suffix))
        _under_way.discard(temporary.absolute())


@contextmanager
def atomic_path(path: Path | str, *, replace: bool = True) -> Iterator[Path]:
    """Yield a temporary path to write; on success it is fsynced and takes the place of `path`.

    When the body raises, or writes nothing, `path` is left as it was. Without `replace` a file that
    is there in the end stays too, and `FileExistsError` is raised.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder) / "a.txt") as temporary:
    ...         _ = temporary.write_text("whole or not at all")
    ...     (Path(folder) / "a.txt").read_text()
    'whole or not at all'
    """
    path = Path(path)
    with _temporary(path) as temporary:
        boundary("file begun", path)
        yield temporary
        boundary("file written", path)
        _fsync(temporary)
        boundary("file synced", path)
        (os.replace if replace else _rename_new)(temporary, path)
        boundary("file renamed", path)
        _fsync(path.parent)
    boundary("file done", path)


def _rename_new(source: Path, target: Path) -> None:
    """Rename a file unless another one has the new name."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:  # not every file system can link
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        os.replace(source, target)


@contextmanager
def output_path(path: Path | str, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary path to write; on success its content goes to a file outside the store.

    A symbolic link stays, and its target is written. A file that is replaced keeps its mode. A pipe
    or device is written to as it is.

    Raises
    ------
    FileExistsError
        A file is there, and `replace` is not set.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        mode = None
    if mode is None or stat.S_ISREG(mode):
        real = Path(os.path.realpath(path))
        with atomic_path(real, replace=replace) as temporary:
            yield temporary
            if mode is not None:
                temporary.chmod(stat.S_IMODE(mode))
        return
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / Path(path).name
        yield temporary
        with temporary.open("rb") as source, Path(path).open("wb") as sink:
            shutil.copyfileobj(source, sink)


@contextmanager
def atomic_directory(path: Path | str) -> Iterator[Path]:
    """Yield a temporary folder to fill; on success it is fsynced and renamed to `path`.

    Where another process has put `path` there meanwhile, its folder stays and ours is dropped:
    folders are addressed by what they hold, so both are the same.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _temporary(path) as temporary:
        temporary.mkdir()
        boundary("folder made", path)
        yield temporary
        boundary("folder filled", path)
        for entry in temporary.rglob("*"):
            _fsync(entry)
        _fsync(temporary)
        boundary("folder synced", path)
        try:
            os.rename(temporary, path)
        except OSError:
            if not path.is_dir():
                raise
        boundary("folder renamed", path)
        _fsync(path.parent)
    boundary("folder done", path)


@contextmanager
def output_directory(path: Path | str, *, replace: bool = False) -> Iterator[Path]:
    """Yield a temporary folder to fill; on success it becomes a folder outside the store.

    An empty folder is filled. Another one is replaced with `replace` only, and is left as it was
    where anything fails.

    Raises
    ------
    FileExistsError
        A folder that holds something is there, and `replace` is not set.
    """
    real = Path(os.path.realpath(path))
    with _temporary(real) as temporary:
        temporary.mkdir()
        yield temporary
        for entry in temporary.rglob("*"):
            if not entry.is_symlink():
                _fsync(entry)
        _fsync(temporary)
        boundary("output folder synced", real)
        filled = real.is_dir() and any(real.iterdir())
        if filled and not replace:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(real))
        if not filled:
            if real.is_dir():
                real.rmdir()  # Windows renames to no folder that is there
            os.rename(temporary, real)
        else:
            with _temporary(real) as before:
                os.rename(real, before)
                try:
                    os.rename(temporary, real)
                except OSError:
                    os.rename(before, real)
                    raise
        _fsync(real.parent)


def move_aside(path: Path) -> None:
    """Remove a folder; it is renamed first, so that nobody sees half of it."""
    with _temporary(path) as aside:
        os.rename(path, aside)
        boundary("folder aside", path)
    boundary("folder removed", path)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` to `path` as indented JSON, atomically."""
    write_bytes(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def point(link: Path, target_name: str) -> None:
    """Let `link` be the file `target_name` of the same folder: a hard link, else a copy.

    No symbolic link, because a database that is opened through one bears the target's name.
    """
    target = link.parent / target_name
    with _temporary(link) as temporary:
        try:
            os.link(target, temporary)
        except (OSError, NotImplementedError):
            shutil.copyfile(target, temporary)
            shutil.copymode(target, temporary)
        boundary("link made", link)
        os.replace(temporary, link)
        boundary("link renamed", link)
        _fsync(link.parent)
