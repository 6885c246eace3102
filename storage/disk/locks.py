"""Locks between processes and threads that die with the process that holds them."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from assay.storage.disk.boundaries import boundary
from assay.storage.disk.processes import is_stopped, this_process, writer_lives
from assay.storage.errors import ConfigError, StoreError

logger = logging.getLogger("assay.storage")

WAIT = "ASSAY_LOCK_WAIT"
_POLL, _REMIND, _ATTEMPTS = 0.05, 60.0, 100
# a byte far behind the record, because Windows keeps others from reading what is locked
_LOCKED_BYTE = 1 << 30


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock file `path` exclusively; waits for another process that holds it."""
    # opened for appending: the file is never truncated or read, it only carries the lock
    with path.open("ab") as file:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined,unused-ignore]
            yield
            msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class WriteLock:
    """The right to write to a store, held by one thread of one process at a time.

    Attributes
    ----------
    path : Path
        The lock file. It holds who has the lock, for those who wait, and is never removed while
        the store is there.
    outermost : bool
        False where the caller had the lock already.
    """

    def __init__(self, path: Path, file: int | None, outer: WriteLock | None = None) -> None:
        self.path = path
        self.outermost = outer is None
        self._outer = outer
        self._file = file
        self._said = False

    @property
    def held(self) -> bool:
        """Whether the lock is still held."""
        return self._file is not None

    @property
    def in_place(self) -> bool:
        """Whether the lock file is where it was when the lock was taken."""
        if self._outer is not None:
            return self._outer.in_place
        return self._file is None or _is_at(self._file, self.path)

    def say(self, what: str, run_id: str | None = None) -> None:
        """Write into the lock file who holds it, and for what."""
        if self._outer is not None:
            self._outer.say(what, run_id)
        if self._file is None:
            return
        since = datetime.now(UTC).isoformat(timespec="seconds")
        record = {**this_process(), "what": what, "run": run_id, "since": since}
        self._write(json.dumps(record).encode())
        self._said = True
        boundary("lock named", self.path)

    def release(self) -> None:
        """Give the lock back."""
        file, self._file = self._file, None
        if file is None:
            return
        _open_locks.discard(self)
        with suppress(OSError):
            if self._said:
                os.ftruncate(file, 0)
        os.close(file)

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        with suppress(OSError):  # a full disk: who waits is told less
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
            os.write(self._file, data)

    def _forked(self) -> None:
        # a copy of the file in a child would keep the lock after its parent's end
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


_open_locks: set[WriteLock] = set()
_mine: ContextVar[tuple[WriteLock, ...]] = ContextVar("assay_write_locks", default=())


def _after_fork() -> None:
    for lock in list(_open_locks):
        lock._forked()
    _open_locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def wait_limit(wait: float | None = None) -> float | None:
    """Return how many seconds to wait for a store: `wait`, else the environment's; None: for ever.

    Raises
    ------
    ConfigError
        The environment holds no number of seconds.
    """
    if wait is None:
        setting = os.environ.get(WAIT, "").strip()
        if not setting:
            return None
        try:
            wait = float(setting)
        except ValueError:
            wait = -1.0
        if not wait >= 0:
            raise ConfigError(
                f"{WAIT} is {setting!r}; it is how many seconds to wait for another writer of a "
                "store: 0 to refuse at once, unset to wait for ever."
            )
    return wait


@contextmanager
def write_lock(
    path: Path, *, wait: float | None = None, prepare: Callable[[], None] = lambda: None
) -> Iterator[WriteLock]:
    """Hold the lock file `path` alone among all processes and threads; it dies with its process.

    Parameters
    ----------
    path : Path
        The lock file; made where it is missing.
    wait : float, optional
        For how many seconds to wait for another holder. Default: as the environment variable
        `ASSAY_LOCK_WAIT` says, else for ever, with a word on the log every minute. 0 refuses at
        once.
    prepare : callable
        Called before the file is opened: makes its folder.

    Raises
    ------
    StoreError
        Another process has held the lock for longer than `wait`; the message says which.

    Notes
    -----
    Whoever holds it may take it again in the same thread, or in one that copied its context.
    """
    path = Path(os.path.realpath(path))
    for outer in _mine.get():
        if outer.held and outer.path == path:
            yield WriteLock(path, None, outer)
            return
    lock = WriteLock(path, _acquire(path, wait_limit(wait), prepare))
    _open_locks.add(lock)
    token = _mine.set((*_mine.get(), lock))
    try:
        boundary("lock taken", path)
        yield lock
    finally:
        _mine.reset(token)
        lock.release()


def _acquire(path: Path, wait: float | None, prepare: Callable[[], None]) -> int:
    began = time.monotonic()
    last_notice: float | None = None
    for _ in range(_ATTEMPTS):
        prepare()
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except FileNotFoundError:
            continue  # another process took back the store that it had just made
        except OSError as error:
            raise StoreError(f"The store {path.parent} can't be written: {error}.") from error
        try:
            while not _try(file, path):
                now = time.monotonic()
                if wait is not None and now - began >= wait:
                    raise StoreError(
                        f"The store {path.parent} is being written by {holder(path)}"
                        + (f", for longer than {wait:g} s" if wait else "")
                        + f". Wait for it to end, or set {WAIT} to how many seconds to wait."
                    )
                if last_notice is None or now - last_notice >= _REMIND:
                    last_notice = now
                    logger.warning("%s is being written by %s; waiting", path.parent, holder(path))
                time.sleep(_POLL)
            if _is_at(file, path):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)  # the file was removed while we waited for it
    raise StoreError(f"The lock {path} can't be made: its folder comes and goes.")


def _try(file: int, path: Path) -> bool:
    """Take the lock, and say whether it was free."""
    try:
        if os.name == "nt":
            import msvcrt

            os.lseek(file, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        raise StoreError(
            f"The file system of {path} can't lock files ({error.strerror}); put the store on one "
            "that can."
        ) from error
    return True


def check_in_place(path: Path) -> None:
    """Raise where a lock that this thread holds is no longer at its path: its store was moved.

    Raises
    ------
    StoreError
        It is not.
    """
    path = Path(os.path.realpath(path))
    for lock in _mine.get():
        if lock.path == path and not lock.in_place:
            raise StoreError(
                f"The store {path.parent} was moved or removed while it was being written. What is in "
                "it is whole; run the same command on it where it is now: it goes on where it stopped."
            )


def _is_at(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def holder(path: Path) -> str:
    """Say in words who holds a lock file, as far as that is known."""
    try:
        record: dict[str, Any] = json.loads(path.read_text())
        if writer_lives(record) is False:
            raise ValueError("left by a process that is gone")
        run = f" (run {record['run']})" if record.get("run") else ""
        return (
            f"process {record['process']} on {record['host']}: {record['what']}{run}, since "
            f"{record['since']}"
            + (", stopped by a signal (`kill -CONT` lets it go on)" if is_stopped(record) else "")
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "another process, which has not said yet which one it is"
