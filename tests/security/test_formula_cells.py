"""Texts that a spreadsheet would run: guarded in CSV, untouched elsewhere, and given back."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.flows import cli
from assay.flows.export.csv_cells import guarded, unguarded
from assay.flows.export.frames import write_frame
from assay.flows.printing.output import emit, printable
from assay.storage.errors import ConfigError
from tests.security.fuzzing import small_store

FORMULAS = [
    "=1+2",
    "+1+2",
    "-1+2",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "\nx",
    "\uff1d1",
    "\uff0b1",
    "\uff0d1",
    "\uff20x",
    "'=1",
    "-",
]
PLAIN = ["-1", "+1.5", "-.5e-3", "1=2", "a-b", " =1", "", "'", "it's", "''", "'a", None, "[=1]"]
FRAME = pl.DataFrame({"=t": [*FORMULAS, *PLAIN]}).with_row_index("-n").cast({"-n": pl.Int64})


def test_formulas_get_a_quote_and_nothing_else_does() -> None:
    found = guarded(FRAME)
    assert found.columns == ["'-n", "'=t"]
    cells = found["'=t"].to_list()
    assert cells[: len(FORMULAS)] == [f"'{text}" for text in FORMULAS]
    assert cells[len(FORMULAS) :] == PLAIN
    assert found["'-n"].equals(FRAME["-n"].alias("'-n"))


texts = st.text("=+-@'\t\r\n1.e x\uff1d", max_size=5)


@given(st.lists(st.none() | texts, min_size=1))
def test_the_texts_come_back(values: list[str | None]) -> None:
    frame = pl.DataFrame({"a": values, "@b": -1.5}, schema={"a": pl.String, "@b": pl.Float64})
    safe = guarded(frame)
    assert unguarded(safe).equals(frame)
    for text in safe["a"].drop_nulls():
        if text[:1] in tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"):
            assert math.isfinite(float(text))


def test_files_are_guarded_unless_raw(tmp_path: Path) -> None:
    frame = FRAME.with_columns(tags=pl.lit(["=1"]), when=pl.date(2026, 1, 1))
    for raw in (False, True):
        write_frame(frame, tmp_path / "x.csv", "csv", raw=raw, overwrite=True)
        read = pl.read_csv(tmp_path / "x.csv", infer_schema=False)
        cells = read.to_series(1).to_list()
        assert cells[: len(FORMULAS)] == [text if raw else f"'{text}" for text in FORMULAS]
        assert read["tags"][0] == '["=1"]'
    for format in ("parquet", "jsonl"):
        write_frame(frame, tmp_path / f"x.{format}", format)
    assert pl.read_parquet(tmp_path / "x.parquet").equals(frame)
    first = json.loads((tmp_path / "x.jsonl").read_text().splitlines()[0])
    assert first["=t"] == "=1+2"


def test_printed_csv_is_guarded_too(capsys: pytest.CaptureFixture[str]) -> None:
    emit(FRAME.head(1), "csv")
    emit(FRAME.head(1), "csv", raw=True)
    assert capsys.readouterr().out == "'-n,'=t\n0,'=1+2\n-n,=t\n0,=1+2\n"


def test_bytes_are_no_csv(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't hold bytes"):
        write_frame(pl.DataFrame({"b": [b"x"]}), tmp_path / "x.csv", "csv")
    assert not list(tmp_path.iterdir())


def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    monkeypatch.setattr("sys.argv", ["assay", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    small_store(tmp_path)
    store = ["--store", str(tmp_path / "store")]
    query = "SELECT '=' || sample_id AS id, -1 AS n FROM latest_selection ORDER BY 1 LIMIT 1"
    assert run(capsys, monkeypatch, "sql", query, "--format", "csv", *store) == "id,n\n'=0,-1\n"
    words = ["sql", query, "--format", "csv", "--raw", *store]
    assert run(capsys, monkeypatch, *words) == "id,n\n=0,-1\n"
    out = tmp_path / "x.csv"
    run(capsys, monkeypatch, "export", "--out", str(out), *store)
    assert pl.read_csv(out)["text"][0] == "about 0 things"


def test_a_terminal_obeys_no_cell(capsys: pytest.CaptureFixture[str]) -> None:
    emit(pl.DataFrame({"a": ["\x1b[31mred\x07", "ü\u202ex"]}), "table")
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[31mred\\x07" in shown
    assert "\u202e" not in shown
    assert printable("ok\n\ttext ✓") == "ok\n\ttext ✓"


def test_guarded_csv_is_what_was_meant_for_other_readers() -> None:
    written = guarded(FRAME).write_csv()
    read = pl.read_csv(io.StringIO(written), infer_schema=False)
    assert unguarded(read).columns == FRAME.columns
