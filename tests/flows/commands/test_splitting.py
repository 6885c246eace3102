"""`assay split` and `assay leaks`: a split is a run of its own, and rows keep their part."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.storage import ScoreStore

RNG = np.random.default_rng(6)
WORDS = [f"word{i}" for i in range(150)]
TEXTS = [" ".join(RNG.choice(WORDS, 16)) for _ in range(180)]
FRAME = pl.DataFrame(
    {
        "id": [f"d{i:03}" for i in range(220)],
        "text": [*TEXTS, *TEXTS[:40]],
        "kind": RNG.choice(["a", "b"], 220),
        "fold": RNG.choice(["train", "test"], 220, p=[0.8, 0.2]),
    }
)


def call(*arguments):
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def place(tmp_path):
    FRAME.write_parquet(tmp_path / "pool.parquet")
    settings = ["id", "text", "name"]
    text = "".join(f'{key} = "{"pool" if key == "name" else key}"\n' for key in settings)
    pool = tmp_path / "pool.parquet"
    (tmp_path / "run.toml").write_text(
        f'pool = "{pool}"\n{text}scores = []\nselect = "random"\n'
        "embedding = { dimensions = 16, buckets = 4096 }\ngraph = { k = 5 }\n"
    )
    return tmp_path


def test_a_split_is_a_run_of_its_own_that_rows_keep(place):
    store = place / "store"
    made = call("split", place / "run.toml", "--store", store, "--parts", "train=0.8,test=0.2")
    opened = ScoreStore(store)
    runs = opened.sql("SELECT run_id, kind, of_run FROM runs ORDER BY request")
    assert runs["kind"].to_list() == ["curate", "split"]
    assert runs["of_run"][1] == runs["run_id"][0] == made["of_run"]
    rows = opened.sql("SELECT * FROM latest_splits ORDER BY sample_id")
    assert rows.columns == ["pool", "run_id", "sample_id", "part", "group_id"]
    assert rows["sample_id"].to_list() == FRAME["id"].to_list()
    parts = dict(rows.select("sample_id", "part").iter_rows())
    for i in range(40):
        assert parts[f"d{i:03}"] == parts[f"d{180 + i}"]
    assert sum(part["rows"] for part in made["parts"]) == 220
    assert made["metrics"]["groups"] <= 180
    again = call("split", "--store", store, "--parts", "train=0.8,test=0.2")
    assert again["run_id"] == made["run_id"]
    assert not again["computed"]
    more = FRAME.with_columns(
        pl.format("e{}", "id").alias("id"), pl.format("{} and more of it", "text").alias("text")
    )
    pl.concat([FRAME, more]).write_parquet(place / "pool.parquet")
    grown = call("split", place / "run.toml", "--store", store, "--parts", "train=0.8,test=0.2")
    assert grown["run_id"] != made["run_id"]
    later = dict(ScoreStore(store).sql("SELECT sample_id, part FROM latest_splits").iter_rows())
    assert len(later) == 440
    assert parts.items() <= later.items()


def test_parts_follow_labels_and_leaks_are_listed(place):
    store = place / "store"
    made = call(
        "split", place / "run.toml", "--store", store, "--parts", "train=0.5,test=0.5",
        "--stratify", "kind",
    )  # fmt: skip
    assert made["metrics"]["label_deviation"] < 0.06
    found = call("leaks", "--split", "fold", "--store", store)
    copied = FRAME["fold"][:40] != FRAME["fold"][180:]
    exact = [row for row in found["rows"] if row["kind"] == "exact"]
    assert len(exact) == copied.sum()
    assert {row["part"] for row in exact} == {"test"}
    told = CliRunner().invoke(app, ["leaks", "--split", "fold", "--store", str(store)])
    assert "rows leak" in told.stdout


def test_a_store_without_runs_says_what_to_do(tmp_path):
    ScoreStore(tmp_path / "store", create=True).make()
    result = CliRunner().invoke(app, ["split", "--store", str(tmp_path / "store")])
    assert result.exit_code != 0
    assert "assay curate" in str(result.exception)


def test_leaks_between_folders(tmp_path):
    parts = {"train": FRAME[:150], "valid": FRAME[150:180], "test": FRAME[180:]}
    for part, rows in parts.items():
        (tmp_path / "pool" / part).mkdir(parents=True)
        for half in (0, 1):
            rows[half::2].write_parquet(tmp_path / "pool" / part / f"{half}.parquet")
    given = ["--pool", tmp_path / "pool", "--id", "id", "--text", "text", "--select", "random"]
    done = CliRunner().invoke(app, ["curate", *map(str, given), "--store", str(tmp_path / "s")])
    assert done.exit_code == 0, done.output
    found = call("leaks", "--split", "folder", "--store", tmp_path / "s")
    assert found["report"]["sizes"] == {"train": 150, "valid": 30, "test": 40}
    # rows 180 to 219 repeat the texts of rows 0 to 39; those of the largest part are no leaks
    assert found["report"]["rows"] == {"train": 0, "valid": 0, "test": 40}
