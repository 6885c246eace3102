"""`assay composition`: the shares of groups in a target, from files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assay.flows import cli


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["assay", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def test_groups_and_cells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    words = {"pets": "cat dog fur purr bark", "money": "bank share stock fund loan"}

    def texts(kind: str, n: int) -> list[str]:
        return [
            " ".join(rng.choice(words[kind].split(), 6)) + f" {rng.integers(9)}" for _ in range(n)
        ]

    pool, target = tmp_path / "pool.parquet", tmp_path / "target.jsonl"
    frame = {"text": texts("pets", 60) + texts("money", 60), "kind": ["pets"] * 60 + ["money"] * 60}
    pl.DataFrame(frame).write_parquet(pool)
    pl.DataFrame({"text": texts("pets", 30) + texts("money", 10)}).write_ndjson(target)
    arguments = ("composition", pool, "--target", target, "--text", "text")
    assert run(monkeypatch, *arguments, "--by", "kind", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    shares = {row["group"]: row["target_share"] for row in told["rows"]}
    assert shares["pets"] == pytest.approx(0.75, abs=0.02)
    assert told["report"]["target_rows"] == 40
    assert run(monkeypatch, *arguments, "--cells", 4) == 0
    shown = capsys.readouterr()
    assert "target_share" in shown.out
    assert run(monkeypatch, *arguments, "--by", "knd") == 2
    assert "kind" in capsys.readouterr().err
