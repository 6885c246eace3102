"""Progress on standard error: what long steps say, when, and that nothing is left running."""

from __future__ import annotations

import logging
import threading
import time
from contextvars import ContextVar
from pathlib import Path

import polars as pl
import pytest

from assay.flows import progress
from assay.flows.running.runner import curate

_mark: ContextVar[str] = ContextVar("mark", default="")


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="assay")
    return caplog


def test_a_step_that_counts_nothing_says_that_it_runs(
    said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SILENCE", 0.02)
    with progress.step("select"):
        deadline = time.monotonic() + 20
        while not said.messages and time.monotonic() < deadline:
            time.sleep(0.01)
    assert said.messages[0] == "select: 0 s so far"
    assert said.messages[-1].startswith("select: done in ")


def test_what_was_counted_last_is_said_again(
    said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_SILENCE", 0.02)
    with progress.step("judge") as told:
        told.reached("subset", 2, 11)
        deadline = time.monotonic() + 20
        while len(said.messages) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "judge: subset 2 of 11, 0 s so far" in said.messages


def test_a_quick_step_says_only_that_it_is_done(said: pytest.LogCaptureFixture) -> None:
    with progress.step("read", 10) as told:
        told.advance(10)
        told.reached("part", 1, 2)
    assert len(said.messages) == 1


def test_a_step_ends_with_its_thread_also_where_it_fails(said: pytest.LogCaptureFixture) -> None:
    before = threading.active_count()
    with pytest.raises(ValueError, match="broken"), progress.step("judge"):
        raise ValueError("broken")
    assert threading.active_count() == before
    assert not said.messages


def test_lines_are_said_in_the_context_of_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect's handler learns from it which run a line belongs to."""
    monkeypatch.setattr(progress, "_SILENCE", 0.02)
    marks, told = [], threading.Event()

    class Seen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            marks.append(_mark.get())
            told.set()

    handler = Seen()
    logging.getLogger("assay").addHandler(handler)
    logging.getLogger("assay").setLevel(logging.INFO)
    token = _mark.set("run 1")
    try:
        with progress.step("select"):
            assert told.wait(20)
    finally:
        _mark.reset(token)
    assert set(marks) == {"run 1"}


def test_graph_selection_and_judge_tell_how_far_they_are(
    said: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(progress, "_BETWEEN", 0.0)
    frame = pl.DataFrame({"id": range(40), "text": [f"about {i % 7} things" for i in range(40)]})
    curate(pool=frame, id="id", text="text", budget=5, select="random", store=str(tmp_path))
    assert any(line.startswith("graph: ") and " of " in line for line in said.messages)
    assert "select random: deduplicate 4 of 6" in said.messages
    assert "select random: choice 6 of 6" in said.messages
    subsets = [line for line in said.messages if line.startswith("judge: subset ")]
    assert subsets == [f"judge: subset {n} of 6" for n in range(1, 7)]
