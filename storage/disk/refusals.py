"""Errors of a writer (a full disk, no permission), explained in one paragraph."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.storage.errors import AssayError, StoreError

_FULL = (errno.ENOSPC, errno.EFBIG, *([errno.EDQUOT] if hasattr(errno, "EDQUOT") else []))
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)
# NumPy says nothing but how much it could write
_SHORT = re.compile(r"\d+ requested and \d+ written")


@contextmanager
def refusals_explained(store: Path) -> Iterator[None]:
    """Turn an error of the system about writing to a store into a `StoreError` that says what to do.

    Other errors pass as they are; so does what is refused elsewhere than in the store.
    """
    try:
        yield
    except StoreError as error:
        explanation = _explanation(error.__cause__, store)
        if explanation is None:
            raise
        raise StoreError(explanation) from error
    except AssayError:
        raise
    except Exception as error:
        explanation = _explanation(error, store)
        if explanation is None:
            raise
        raise StoreError(explanation) from error


def reserve(file: Path | int) -> None:
    """Allocate the disk space of a file that is longer than the data written to it.

    Without it a full disk shows when a mapped page is first written to, and ends the process.

    Parameters
    ----------
    file : Path or int
        A file, or the number of one that is open for writing.

    Raises
    ------
    OSError
        There is no room.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    if isinstance(file, Path):
        with file.open("r+b") as opened:
            return reserve(opened.fileno())
    size = os.fstat(file).st_size
    if not size:
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        # not every file system can
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
            raise


def _explanation(error: BaseException | None, store: Path) -> str | None:
    for _ in range(10):
        if error is None:
            return None
        number = error.errno if isinstance(error, OSError) and error.errno else _read(str(error))
        if number in _FULL:
            return (
                f"There is no room to write to the store {store} ({os.strerror(number)}). What is in "
                "it is whole. Make room on its disk (or raise the limit on the size of files, "
                "`ulimit -f`), and run the same command again: it goes on where it stopped."
            )
        if number in _DENIED and _names(error, store):
            return (
                f"The store {store} can't be written ({' '.join(str(error).split())}). What is in it "
                "is whole. Get the right to write there, or name another store, and run the same "
                "command again."
            )
        error = error.__cause__ or error.__context__
    return None


def _read(text: str) -> int:
    """Return the number of the system's error that a library's message quotes, or 0."""
    if _SHORT.search(text):
        return errno.ENOSPC
    numbers = (*_FULL, *_DENIED)
    return next((number for number in numbers if os.strerror(number) in text), 0)


def _names(error: BaseException, store: Path) -> bool:
    at = {str(store), os.path.abspath(store), os.path.realpath(store)}
    return any(path in str(error) for path in at)
