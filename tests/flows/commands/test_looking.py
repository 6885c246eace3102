"""`assay slices` and `assay shortcuts` on files and on runs."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from assay.flows.cli import app

RNG = np.random.default_rng(0)
KINDS = RNG.choice(["news", "mail", "chat"], 600)
FRAME = pl.DataFrame(
    {
        "id": [f"d{row:03}" for row in range(600)],
        "text": [
            ("please " if kind == "mail" else "")
            + " ".join(RNG.choice(["one", "two", "six", "ten"], 8))
            for kind in KINDS
        ],
        "label": np.where(KINDS == "mail", "ask", RNG.choice(["ask", "tell"], 600, p=[0.1, 0.9])),
        "kind": KINDS,
        "age": RNG.normal(size=600),
        "wrong": RNG.random(600) < np.where(KINDS == "chat", 0.5, 0.1),
        "loss": -RNG.random(600) - (KINDS != "chat"),
    }
)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    FRAME.write_parquet(tmp_path / "pool.parquet")
    return tmp_path / "pool.parquet"


def call(*arguments: Any, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    if code:
        return str(result.exception)
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout) if "--json" in arguments else result.stdout


def test_slices_of_a_file(pool: Path, tmp_path: Path) -> None:
    told = call("slices", pool, "--by", "wrong", "--columns", "kind,age", "--json")
    assert told["rows"][0]["columns"] == ["kind"]
    assert told["rows"][0]["values"] == ["chat"]
    out = tmp_path / "slices.parquet"
    shown = call("slices", pool, "--by", "loss", "--columns", "kind", "--out", out)
    assert "chat" in shown
    assert pl.read_parquet(out).columns == ["score", "columns", "values", "n", "mean", "ratio", "p"]
    low = call("slices", pool, "--by", "loss", "--low", "--columns", "kind", "--json")
    assert {row["values"][0] for row in low["rows"]} <= {"news", "mail"}
    assert "wrong" in call("slices", pool, "--by", "wron", code=2)
    assert "numbers or booleans" in call("slices", pool, "--by", "text", code=2)


def test_slices_never_write_what_they_read(pool: Path, tmp_path: Path) -> None:
    before = pool.read_bytes()
    at = ("--by", "wrong", "--out", pool, "--overwrite")
    assert "which this command reads" in call("slices", pool, *at, code=2)
    assert "which this command reads" in call("slices", tmp_path / "*.parquet", *at, code=2)
    assert pool.read_bytes() == before
    store = tmp_path / "store"
    call(
        "curate", "--pool", pool, "--id", "id", "--text", "text", "--keep", "wrong", "--budget", 100,
        "--select", "random", "--scores", "pagerank", "--store", store, "--json",
    )  # fmt: skip
    for out in (pool, store / "runs" / "slices.csv"):
        message = call(
            "slices", "--by", "wrong", "--store", store, "--out", out, "--overwrite", code=2
        )
        assert "never written" in message or "only assay writes" in message
    assert pool.read_bytes() == before


def test_shortcuts_of_images_that_cannot_be_read(tmp_path: Path) -> None:
    images = []
    for row in range(80):
        file = BytesIO()
        Image.new("L", (6, 6), 200 * (row % 2)).save(file, "PNG")
        images.append(file.getvalue())
    images[7:11] = [b"no image", b"\x89PNG broken", None, b""]
    frame = pl.DataFrame({"id": range(80), "image": images, "label": ["dark", "bright"] * 40})
    frame.write_parquet(tmp_path / "images.parquet")
    told = call(
        "shortcuts", tmp_path / "images.parquet", "--id", "id", "--image", "image",
        "--label", "label", "--json",
    )  # fmt: skip
    assert told["share"] > 0.8
    assert {"red_mean", "bytes"} <= {row["attribute"] for row in told["rows"]}


def test_slices_of_a_run(pool: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    call(
        "curate", "--pool", pool, "--id", "id", "--text", "text", "--label", "label", "--keep", "kind,wrong",
        "--budget", 100, "--select", "random", "--scores", "knn_density", "--store", store, "--json",
    )  # fmt: skip
    at = ("--store", store, "--json")
    assert call("slices", "--by", "wrong", *at)["rows"][0]["values"] == ["chat"]
    assert call("slices", *at)["report"]["mean"] == pytest.approx(5 / 6)
    assert call("slices", "--by", "neighbors", *at)["report"]["rows"] == 600
    assert call("slices", "--by", "knn_density", "--low", *at)["report"]["rows"] == 600
    assert "neighbors" in call("slices", "--by", "nothing", *at, code=2)


def test_slices_of_a_run_that_keeps_no_column(pool: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    call(
        "curate", "--pool", pool, "--id", "id", "--text", "text", "--label", "label", "--budget", 100,
        "--select", "random", "--scores", "label_agreement", "--store", store, "--json",
    )  # fmt: skip
    told = call("slices", "--by", "label_agreement", "--low", "--store", store, "--json")
    assert told["report"]["looked_at"] == 2
    pl.read_parquet(pool).select("id", "text").write_parquet(pool)
    call(
        "curate", "--pool", pool, "--id", "id", "--text", "text", "--budget", 100,
        "--select", "random", "--scores", "pagerank", "--store", store, "--json",
    )  # fmt: skip
    message = call("slices", "--by", "pagerank", "--store", store, code=2)
    assert "--keep" in message


def test_shortcuts_of_a_file(pool: Path) -> None:
    told = call(
        "shortcuts",
        pool,
        "--label",
        "label",
        "--id",
        "id",
        "--text",
        "text",
        "--columns",
        "age",
        "--json",
    )
    assert told["share"] > 0.2
    attributes = [row["attribute"] for row in told["rows"]]
    assert attributes[0] == "(together)"
    assert "first_word" in attributes[1:4]
    assert {"place", "age"} <= set(attributes)
    shown = call("shortcuts", pool, "--label", "label", "--text", "text")
    assert "of the label" in shown
    assert "labl" in call("shortcuts", pool, "--label", "labl", "--text", "text", code=2)
