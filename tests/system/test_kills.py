"""Killed anywhere and run again, a run leaves the bytes of one that was not disturbed."""

from __future__ import annotations

import random

import pytest

from tests.system.trials import SCENARIOS, Trials


def spread(count: int, moments: int) -> list[int]:
    """Return `count` of the boundaries 0 .. moments - 1, evenly spread."""
    return [round((i + 0.5) * (moments - 1) / count) for i in range(count)]


@pytest.mark.parametrize(
    ("scenario", "count"),
    [("first", 3), ("changed", 3), ("features", 1), ("older", 1), ("refit", 1), ("shards", 2)],
)
def test_killed_at_a_boundary(trials: Trials, scenario: str, count: int) -> None:
    moments = trials.undisturbed(scenario).moments
    assert len(moments) > 30
    for at in spread(count, len(moments)):
        killed, wrong = trials.kill(scenario, kill_at=at)
        assert killed, moments[at]
        assert wrong == [], f"killed at {at}, {moments[at]}"


@pytest.mark.parametrize("scenario", ["first", "changed"])
def test_killed_while_the_published_file_gets_its_name(trials: Trials, scenario: str) -> None:
    moments = trials.undisturbed(scenario).moments
    named = [at for at, moment in enumerate(moments) if "published/latest-" in moment]
    assert len(named) >= 5
    for at in named[-3:]:
        killed, wrong = trials.kill(scenario, kill_at=at)
        assert killed, moments[at]
        assert wrong == [], f"killed at {at}, {moments[at]}"


def test_every_kind_of_boundary_is_passed(trials: Trials) -> None:
    passed = {
        moment.partition(":")[0]
        for scenario in ("first", "older", "damaged")
        for moment in trials.undisturbed(scenario).moments
    }
    expected = {
        "file": ("begun", "written", "synced", "renamed", "done"),
        "folder": ("made", "filled", "synced", "renamed", "done", "aside", "removed"),
        "artifact": ("made",),
        "manifest": ("sealed",),
        "run": ("filled", "checkpointed"),
        "note": ("removed",),
        "link": ("made", "renamed"),
        "lock": ("taken", "named"),
    }
    for what, moments in expected.items():
        assert {f"{what} {moment}" for moment in moments} <= passed


def test_the_comparison_finds_what_differs(trials: Trials) -> None:
    from tests.system.comparing import contents, differences

    expected = trials.undisturbed("first").contents
    assert differences(contents(trials.after("first")), expected) == []
    assert differences(contents(trials.after("changed")), expected) != []
    store = trials.after("first")
    scores = next((store / "artifacts" / "scores").glob("*/scores.npy"))
    data = bytearray(scores.read_bytes())
    data[-1] ^= 1
    scores.write_bytes(data)
    (store / "published" / "latest.duckdb").unlink()
    found = differences(contents(store), expected)
    assert scores.relative_to(store).as_posix() in found
    assert any("points at" in name for name in found)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_at_every_boundary(trials: Trials, scenario: str) -> None:
    moments = trials.undisturbed(scenario).moments
    wrong = {}
    for at, moment in enumerate(moments):
        killed, found = trials.kill(scenario, kill_at=at)
        assert killed
        if found:
            wrong[f"{at} {moment}"] = found
    assert wrong == {}


@pytest.mark.slow
def test_killed_at_random_moments(trials: Trials) -> None:
    rng = random.Random(0)
    kills = 0
    while kills < 50:
        scenario = rng.choice(list(SCENARIOS))
        after = rng.uniform(0, trials.undisturbed(scenario).seconds)
        killed, wrong = trials.kill(scenario, kill_after=after)
        kills += killed  # it may have ended by then
        assert wrong == [], f"{scenario} killed after {after:.3f} s"
