"""What a process holds of memory that it no longer uses."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# New objects before Python looks for garbage among them. A command's imports leave 300,000 objects that
# stay, and by the default, 700, all of them are looked through five times on the way.
_YOUNG = 5_000


@contextmanager
def collected_seldom() -> Iterator[None]:
    """Let Python look for garbage less often, for as long as this lasts."""
    young, *older = gc.get_threshold()
    gc.set_threshold(_YOUNG, *older)
    try:
        yield
    finally:
        gc.set_threshold(young, *older)


def give_back() -> None:
    """Give memory that was freed back to the system, which GNU's allocator keeps otherwise."""
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
