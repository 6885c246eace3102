"""Work spread over threads, with results in the order of the items, or kept to one thread."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
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


@contextmanager
def aside(
    function: Callable[[Item], None], threads: int = 1, ahead: int = 1
) -> Iterator[Callable[[Item], None]]:
    """Give a callable that has `function` take an item, one after another, in a thread of its own.

    With one thread it takes each item at once. At the end of the context all are taken. An error of
    `function` comes up in a later call or at the end; no item after it is taken.

    Parameters
    ----------
    function
        Of use where it runs without the interpreter lock.
    threads : int, default 1
        Those that the caller may use in all.
    ahead : int, default 1
        Items that may wait to be taken, beside the one in work.

    Examples
    --------
    >>> from assay.index.threads import aside
    >>> squares = []
    >>> with aside(lambda x: squares.append(x * x), threads=2) as square:
    ...     for x in range(4):
    ...         square(x)
    >>> squares
    [0, 1, 4, 9]
    """
    if threads == 1:
        yield function
        return
    under_way: deque[Future[None]] = deque()
    failed = False

    def taken(item: Item) -> None:
        nonlocal failed
        if failed:
            return
        try:
            function(item)
        except BaseException:
            failed = True
            raise

    with ThreadPoolExecutor(1) as pool:

        def take(item: Item) -> None:
            if len(under_way) > ahead:
                under_way.popleft().result()
            under_way.append(pool.submit(taken, item))

        try:
            yield take
            while under_way:
                under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()
