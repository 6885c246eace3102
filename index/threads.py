"""Work spread over threads, with results in the order of the items, or kept to one thread."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeVar

from threadpoolctl import ThreadpoolController

from assay.storage.limits import MOST_THREADS, Whole, check_parameters

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_count(threads: Any = None) -> int:
    """Return a number of threads; None is one for each processor that this process may use.

    Raises
    ------
    ConfigError
        `threads` is neither None nor a whole number from 1 to 1,024.
    """
    check_parameters(threads=(threads, Whole(1, MOST_THREADS), None))
    if threads is not None:
        return int(threads)
    # macOS and Windows tell only how many there are
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# the libraries that have threads, and the modules that were imported when they were looked for
_pools: tuple[tuple[int, str], ThreadpoolController] | None = None


def one_thread(user_api: Literal["blas"] | None = None) -> AbstractContextManager[Any]:
    """Limit BLAS (or, by default, OpenMP too) to one thread while the context lasts.

    So sums do not depend on the number of threads. To look for the libraries takes 5 ms, so it is
    done again only after an import, which may have loaded one.
    """
    global _pools
    imported = (len(sys.modules), next(reversed(sys.modules)))
    if _pools is None or _pools[0] != imported:
        _pools = imported, ThreadpoolController()
    limited: AbstractContextManager[Any] = _pools[1].limit(limits=1, user_api=user_api)
    return limited


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int = 1,
    ahead: int = 0,
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in their order, a few items ahead.

    Of use where `function` runs without the interpreter lock. Memory is that of
    ``2 * threads + ahead`` items and results; more are of use where results are taken in bursts.
    """
    if threads == 1:
        yield from map(function, items)
        return
    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                under_way.append(pool.submit(function, item))
                if len(under_way) >= 2 * threads + ahead:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
