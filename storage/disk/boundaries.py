"""The moments between two writes: a test can count them, and kill the process at any one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

Hook = Callable[[str, Path], None]
_hook: Hook | None = None


def boundary(moment: str, path: Path) -> None:
    """Mark a point between two writes; nothing happens unless a hook is set."""
    if _hook is not None:
        _hook(moment, path)


@contextmanager
def hooked(hook: Hook) -> Iterator[None]:
    """Call `hook(moment, path)` at every boundary of this process, in whatever thread.

    Examples
    --------
    >>> moments = []
    >>> with hooked(lambda moment, path: moments.append(moment)):
    ...     boundary("renamed", Path("a.txt"))
    >>> boundary("renamed", Path("b.txt"))
    >>> moments
    ['renamed']
    """
    global _hook
    before, _hook = _hook, hook
    try:
        yield
    finally:
        _hook = before
