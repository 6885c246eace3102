"""`assay diff --why`: two files, two runs, losses from a column, a score and a log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.flows.printing.diff import is_place

WORDS = {
    "pets": ["cat", "dog", "fur", "purr", "bark"],
    "money": ["bank", "share", "stock", "fund", "loan"],
}


def frame(shares: tuple[int, int], seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    kinds = np.repeat(["pets", "money"], shares)
    return pl.DataFrame(
        {
            "id": [f"{seed}-{row}" for row in range(len(kinds))],
            "text": [
                " ".join(rng.choice(WORDS[kind], 6)) + f" {rng.integers(9)}" for kind in kinds
            ],
            "kind": kinds,
            "length": rng.normal(10, 2, len(kinds)),
            "loss": np.where(kinds == "pets", 0.1, 0.5) + rng.normal(0, 0.01, len(kinds)),
            "label": rng.choice(["x", "y"], len(kinds)),
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    places = tmp_path / "before.parquet", tmp_path / "after.parquet"
    for place, shares, seed in zip(places, ((150, 50), (50, 150)), (1, 2), strict=True):
        frame(shares, seed).write_parquet(place)
    return places


def call(*arguments: Any, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["diff", *map(str, arguments)])
    if code:
        return str(result.exception)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def test_two_files(files: tuple[Path, Path], tmp_path: Path) -> None:
    asked = (*files, "--why", "--id", "id", "--loss", "loss", "--label", "label")
    told = call(*asked, "--json")
    assert told["report"]["moved"] == ["kind", "(content)"]
    assert told["columns"][0]["column"] == "kind"
    assert "text" in told["report"]["left_out"]
    assert told["cost"]["change"] == pytest.approx(0.2, abs=0.02)
    assert told["cost"]["inputs"] == pytest.approx(0.2, abs=0.04)
    shown = call(*asked, "--group", "what=kind", "--out", tmp_path / "moved.csv")
    assert "Other inputs cost +0." in shown
    assert "what" in shown
    assert pl.read_csv(tmp_path / "moved.csv")["column"][0] == "kind"
    assert "not.there" in call(*files, "--why", "--loss", "not.there", code=2)
    assert "--why" in call(*files, code=2)


def test_texts_are_compared_by_their_vectors(files: tuple[Path, Path]) -> None:
    told = call(
        *files, "--why", "--id", "id", "--text", "text", "--loss", "loss", "--columns", "length", "--json"
    )  # fmt: skip
    assert told["report"]["moved"] == ["(content)"]
    assert told["cells"][0]["change"] > 0
    assert told["cells"][0]["near_a"][0].startswith("1-")


def test_losses_come_from_a_log(files: tuple[Path, Path], tmp_path: Path) -> None:
    both = pl.concat([pl.read_parquet(place) for place in files])
    log = both.select(
        pl.col("id").alias("sample_id"),
        pl.lit(1).alias("epoch"),
        (1 - 2 * pl.col("loss")).alias("margin"),
    )
    log.write_parquet(tmp_path / "log.parquet")
    options = ("--why", "--id", "id", "--columns", "kind,length", "--json")
    by_log = call(*files, *options, "--log", tmp_path / "log.parquet")
    by_column = call(*files, *options, "--loss", "loss")
    assert by_log["cost"] == pytest.approx(by_column["cost"])
    assert "give one" in call(
        *files, *options, "--log", tmp_path / "log.parquet", "--loss", "loss", code=2
    )


def test_two_runs(files: tuple[Path, Path], tmp_path: Path) -> None:
    for place in files:
        result = CliRunner().invoke(
            app,
            ["curate", "--pool", str(place), "--name", "pool", "--id", "id", "--text", "text", "--label", "label",
             "--keep", "kind,length,loss", "--budget", "40", "--select", "random", "--scores", "knn_density",
             "--store", str(tmp_path / "store")],
        )  # fmt: skip
        assert result.exit_code == 0, result.output
    at = ("--store", tmp_path / "store", "--why", "--json")
    told = call(*at, "--loss", "loss")
    assert told["columns"][0]["column"] == "kind"
    assert {"(content)", "kind", "length"} == {row["column"] for row in told["columns"]}
    assert told["cost"]["change"] == pytest.approx(0.2, abs=0.02)
    assert told["report"]["rows_a"] == 200
    assert told["notes"] == []
    assert told["cells"][0]["near_b"][0].startswith("2-")
    chosen = call(*at, "--rows", "chosen", "--loss", "knn_density")
    assert (chosen["report"]["rows_a"], chosen["report"]["rows_b"]) == (40, 40)


def test_runs_that_keep_no_column_are_compared_by_their_content(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    for place in files:
        pool = tmp_path / "pool.parquet"
        pl.read_parquet(place).select("id", "text").write_parquet(pool)
        result = CliRunner().invoke(
            app,
            ["curate", "--pool", str(pool), "--id", "id", "--text", "text", "--budget", "40",
             "--select", "random", "--scores", "knn_density", "--store", str(tmp_path / "store")],
        )  # fmt: skip
        assert result.exit_code == 0, result.output
    at = ("--store", tmp_path / "store", "--why")
    told = call(*at, "--json", "--loss", "knn_density")
    assert [row["column"] for row in told["columns"]] == ["(content)"]
    assert (told["report"]["rows_a"], told["report"]["rows_b"]) == (200, 200)
    assert told["report"]["moved"] == ["(content)"]
    assert "200 rows before, 200 after" in call(*at)


def test_names_of_files_and_of_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_place("a/b.csv")
    assert is_place("s3://bucket/pool.parquet")
    assert not is_place("beef")
    (tmp_path / "beef").write_text("")
    assert is_place("beef")


def test_pools_that_are_gone_have_no_common_space(files: tuple[Path, Path], tmp_path: Path) -> None:
    test_two_runs(files, tmp_path)
    for place in files:
        frame((20, 20), 3).write_parquet(place)
    told = call("--store", tmp_path / "store", "--why", "--json")
    assert told["cells"] is None
    assert "neither pool is what it was" in told["notes"][0]
    assert told["cost"] is None


def test_options_that_have_no_effect_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    assert "--loss, --group are options of --why" in call(
        "--loss", "loss", "--group", "a=kind", code=2
    )
    assert "--rows are for runs" in call(*files, "--why", "--rows", "chosen", code=2)
    assert "--id are for files" in call("--why", "--id", "id", "--store", tmp_path / "s", code=2)


def test_what_is_compared_is_never_written(files: tuple[Path, Path], tmp_path: Path) -> None:
    before = [place.read_bytes() for place in files]
    (tmp_path / "link.parquet").symlink_to(files[1])
    log = tmp_path / "log.csv"
    log.write_text("sample_id,1\n1-0,0.5\n")
    for out in (*files, tmp_path / "link.parquet", log):
        options = ("--why", "--id", "id", "--log", log, "--out", out, "--overwrite")
        assert "which this command reads" in call(*files, *options, code=2)
    assert [place.read_bytes() for place in files] == before
    notes = tmp_path / "notes.csv"
    notes.write_text("mine")
    assert "--overwrite" in call(*files, "--why", "--id", "id", "--out", notes, code=2)
    assert notes.read_text() == "mine"
