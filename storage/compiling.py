"""Numba's `njit`, also where its cache of machine code can't be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function as `numba.njit` does; without a cache where no folder for it can be written.

    Numba caches beside the module, or in the user's own cache folder, or in the folder that the
    environment variable NUMBA_CACHE_DIR names. Where none of them can be written, the function is
    compiled again in each process, which costs seconds and changes no result.
    """

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(**options)(function)
        except RuntimeError as error:
            if "cannot cache function" not in str(error):
                raise
            return numba.njit(**(options | {"cache": False}))(function)

    return compiled
