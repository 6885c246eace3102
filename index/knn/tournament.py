"""All pairs of groups in rounds, so that those of one round can be worked on at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait

from assay.index.vectors.exact import Progress, run_threads, single_threaded_workers

Pair = tuple[int, int]


def rounds(groups: int) -> Iterator[list[Pair]]:
    """Yield rounds of pairs (g, h), g <= h, of numbers below `groups`, each pair in one round.

    No number stands twice in a round. The first round pairs every group with itself; the others are
    those of a tournament in which all meet all.

    Examples
    --------
    >>> list(rounds(3))
    [[(0, 0), (1, 1), (2, 2)], [(1, 2)], [(0, 2)], [(0, 1)]]
    """
    yield [(group, group) for group in range(groups)]
    seats = groups + groups % 2
    for turn in range(seats - 1):
        circle = [(turn + i) % (seats - 1) for i in range(seats - 1)]
        pairs = [(circle[i], circle[-i]) for i in range(1, seats // 2)]
        pairs.append((circle[0], seats - 1))
        yield sorted((min(pair), max(pair)) for pair in pairs if max(pair) < groups)


def run_pairs(
    work: Callable[[Pair], None],
    groups: int,
    threads: int,
    stage: str = "",
    progress: Progress | None = None,
) -> None:
    """Call `work` on every pair of groups; those worked on at the same time share no group.

    A thread that is done takes the first pair in the order of the rounds whose groups are free.
    """
    waiting = [pair for pairs in rounds(groups) for pair in pairs]
    total = len(waiting)
    if min(threads, groups) < 2:
        run_threads(work, waiting, 1, stage, progress)
        return
    under_way: dict[Future[None], Pair] = {}
    with single_threaded_workers(threads) as pool:
        while waiting or under_way:
            busy = {group for pair in under_way.values() for group in pair}
            for pair in list(waiting):
                if len(under_way) == threads:
                    break
                if busy.isdisjoint(pair):
                    waiting.remove(pair)
                    busy.update(pair)
                    under_way[pool.submit(work, pair)] = pair
            for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                del under_way[future]
                future.result()
            if progress is not None:
                progress(stage, total - len(waiting) - len(under_way), total)
