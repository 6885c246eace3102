"""Tables for people: nothing is turned into a picture, and no id is cut."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from assay.flows.printing import output

ROWS = pl.DataFrame(
    {
        "sample_id": ["x:train:1", ":smile:", "a" * 70],
        "score": [0.5, 2.0, -1e-9],
        "[bold]text[/]": ["[red]plain[/red]", "日本語", "z" * 150],
    }
)


def test_texts_are_shown_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(ROWS)
    shown = capsys.readouterr().out
    for text in (*ROWS["sample_id"], *ROWS["[bold]text[/]"], "[bold]text[/]"):
        assert text in shown


def test_a_narrow_terminal_gets_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_terminal_width", lambda: 80)
    output.print_table(ROWS)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "-- row 1"
    assert shown[1].split() == ["sample_id", "x:train:1"]
    assert shown.count("-- row 3") == 1
    output.print_table(ROWS.select("score"))
    assert "-- row" not in capsys.readouterr().out


def test_the_vertical_form_can_be_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit(ROWS.select("score"), "vertical")
    assert capsys.readouterr().out.splitlines()[:2] == ["-- row 1", "score  0.5"]


def test_no_id_is_cut_in_a_wide_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "_terminal_width", lambda: 120)
    output.print_table(ROWS)
    assert "a" * 70 in capsys.readouterr().out


def test_an_empty_table_has_its_names(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(output, "_terminal_width", lambda: 80)
    output.print_table(ROWS.clear())
    assert "sample_id" in capsys.readouterr().out
