"""Numba's `njit`, also where its cache of machine code can't be written, and prefetching."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic


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


@intrinsic
def prefetch(typing, address):  # type: ignore[no-untyped-def]
    """Ask for the 64 bytes around an address, which is not read; any address will do.

    A kernel that reads a large array at places that it knows beforehand waits for memory less where
    it asks for later ones first. The result is the same.
    """

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number, pointer = ir.IntType(32), ir.PointerType(ir.IntType(8))
        name = "llvm.prefetch.p0"
        known = builder.module.globals.get(name)
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        ask = known or ir.Function(builder.module, kind, name)
        # to read, to be kept near, and data rather than code
        how = [ir.Constant(number, value) for value in (0, 3, 1)]
        builder.call(ask, [builder.inttoptr(arguments[0], pointer), *how])
        return context.get_dummy_value()

    return types.void(types.intp), emit
