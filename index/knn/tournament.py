"""All pairs of groups in rounds, so that those of one round can be worked on at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from assay.index.vectors.exact import Progress, run_threads

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
    """Call `work` on every pair of groups; those worked on at the same time share no group."""
    total = groups * (groups + 1) // 2
    done = 0

    def report_done(stage: str, at: int, _: int) -> None:
        if progress is not None:
            progress(stage, done + at, total)

    for pairs in rounds(groups):
        run_threads(work, pairs, threads, stage, report_done)
        done += len(pairs)
