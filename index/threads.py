"""Work spread over threads, with results in the order of the items."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

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


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int = 1
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in their order, a few items ahead.

    Of use where `function` runs without the interpreter lock. Memory is that of
    ``2 * threads`` items and results.
    """
    if threads == 1:
        yield from map(function, items)
        return
    under_way: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                under_way.append(pool.submit(function, item))
                if len(under_way) >= 2 * threads:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
