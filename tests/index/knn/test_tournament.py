"""Pairs of groups, those worked on at the same time apart."""

from __future__ import annotations

from threading import Lock

import pytest

from assay.index.knn.tournament import run_pairs


@pytest.mark.parametrize("groups", [1, 2, 5, 8])
@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_every_pair_is_met_once_and_no_group_by_two_at_a_time(groups: int, threads: int) -> None:
    met, busy, lock, told = [], set(), Lock(), []

    def work(pair: tuple[int, int]) -> None:
        with lock:
            assert busy.isdisjoint(pair)
            busy.update(pair)
        sum(range(10_000 * pair[1]))
        with lock:
            busy.difference_update(pair)
            met.append(pair)

    run_pairs(work, groups, threads, "join", lambda *at: told.append(at))
    assert sorted(met) == [(one, other) for one in range(groups) for other in range(one, groups)]
    counts = [done for _, done, _ in told]
    assert counts == sorted(counts)
    assert told[-1] == ("join", len(met), len(met))


def test_a_fault_stops_what_waits() -> None:
    met = []

    def work(pair: tuple[int, int]) -> None:
        met.append(pair)
        raise ValueError(f"{pair}")

    with pytest.raises(ValueError, match=r"\(0, 0\)|\(1, 1\)"):
        run_pairs(work, 8, 2)
    assert len(met) <= 4
