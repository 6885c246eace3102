"""New kinds of input through the command line: curated, queried and exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from assay.flows import curate, rank_features
from assay.flows.cli import app
from assay.storage import ScoreStore
from tests.storage.reading.test_inputs import image_folder

WORDS = ["apple", "pear", "plum", "fig", "lime", "kiwi", "date"]
TEXTS = [" ".join(np.random.default_rng(i).choice(WORDS, 6)) for i in range(12)]


def run(*args: object) -> str:
    done = CliRunner().invoke(app, [str(arg) for arg in args])
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


def curated(tmp_path: Path, *args: object) -> pl.DataFrame:
    store = tmp_path / "store"
    run("curate", *args, "--budget", 5, "--select", "random", "--scores", "knn_density",
        "--store", store, "--json")  # fmt: skip
    run("export", "--store", store, "--out", tmp_path / "out.parquet")
    return pl.read_parquet(tmp_path / "out.parquet")


def test_chats_in_latin_1_with_a_template(tmp_path: Path) -> None:
    lines = [
        {"id": i, "messages": [{"role": "user", "content": f"é {t}"}]} for i, t in enumerate(TEXTS)
    ]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (tmp_path / "c.jsonl").write_bytes(text.encode("latin-1"))
    (tmp_path / "c.toml").write_text('encoding = "latin-1"\n')
    frame = curated(
        tmp_path, tmp_path / "c.toml", "--pool", tmp_path / "c.jsonl", "--id", "id",
        "--text", "messages", "--template", "{content}",
    )  # fmt: skip
    assert frame["messages"][0][0]["content"].startswith("é")


def test_delimiters_and_codes(tmp_path: Path) -> None:
    rows = [f"{i}^{text}^0{i}^2024-0{1 + i % 9}-01" for i, text in enumerate(TEXTS)]
    (tmp_path / "p.csv").write_text("\n".join(["id^text^code^day", *rows]))
    args = ["--pool", tmp_path / "p.csv", "--id", "id", "--text", "text", "--delimiter", "^"]
    assert curated(tmp_path, *args, "--keep", "code,day").height == 5
    query = "SELECT code FROM samples ORDER BY row"
    found = run("sql", query, "--store", tmp_path / "store", "--format", "csv").split()
    assert found == ["code", *(f"0{i}" for i in range(12))]


def test_an_image_folder_and_its_classes(tmp_path: Path) -> None:
    names = [f"{label}/{i}.png" for label in ("cat", "dog") for i in range(6)]
    images = image_folder(tmp_path / "pets", names)
    frame = curated(tmp_path, "--pool", tmp_path / "pets", "--label", "folder", "--keep", "file")
    assert set(frame["folder"]) <= {"cat", "dog"}
    assert [images[name] for name in frame["file"]] == frame["image"].to_list()


def test_vectors_beside_a_table_and_class_names(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(12, 4)))
    names = {"info": {"features": {"y": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
    table = pa.table({"id": range(12), "y": [i % 2 for i in range(11)] + [-1]})
    table = table.replace_schema_metadata({"huggingface": json.dumps(names)})
    pq.write_table(table, tmp_path / "p.parquet")
    args = ["--pool", tmp_path / "p.parquet", "--id", "id", "--vector", "v.npy", "--label", "y"]
    assert "v.npy" in curated(tmp_path, *args).columns
    query = "SELECT label, count(*) FROM samples GROUP BY ALL ORDER BY ALL"
    found = run("sql", query, "--store", tmp_path / "store", "--format", "csv").split()
    assert found[1:] == ["no,6", "yes,5", ",1"]


@pytest.mark.parametrize("lazy", [False, True])
def test_one_frame_in_several_roles(lazy: bool, tmp_path: Path) -> None:
    frame: Any = pl.DataFrame(
        {
            "id": range(60),
            "text": [f"w{i} about {i % 7} things" for i in range(60)],
            "a": [i % 3 for i in range(60)],
            "y": ["n", "p"] * 30,
        }
    )
    frame = frame.to_arrow() if lazy else frame
    roles = {"id": "id", "text": "text", "budget": 5}
    first = curate(pool=frame, **roles, store=str(tmp_path / "s"), select="random", scores=())
    ranked = rank_features(table=frame, label="y", k=1, store=str(tmp_path / "s"))
    both = curate(pool=frame, target=frame, **roles, store=str(tmp_path / "s"))
    assert len({first.run_id, ranked.run_id, both.run_id}) == 3
    store = ScoreStore(tmp_path / "s")
    kinds = store.sql("SELECT kind, count(*) FROM runs WHERE status = 'done' GROUP BY 1 ORDER BY 1")
    assert kinds.rows() == [("curate", 2), ("features", 1)]
    assert store.sql("SELECT count(*) FROM latest_selection").item() == 5
    assert not curate(pool=frame, target=frame, **roles, store=str(tmp_path / "s")).computed


def test_a_run_on_chats_takes_the_turns_that_are_asked_for(tmp_path: Path) -> None:
    # one store: what was embedded and hashed of other turns is not taken for these
    chats = [
        [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": f"first question {i}"},
            {"role": "assistant", "content": "first answer"},
            {"role": "user", "content": f"last question about {['cats', 'dogs'][i % 2]} {i}"},
            {"role": "assistant", "content": "last answer"},
        ]
        for i in range(30)
    ]
    pl.DataFrame({"id": range(30), "messages": chats}).write_parquet(tmp_path / "pool.parquet")
    call = ["curate", "--pool", str(tmp_path / "pool.parquet"), "--id", "id", "--text", "messages",
            "--select", "random", "--budget", "5", "--scores", "tokens",
            "--store", str(tmp_path / "store"), "--json"]  # fmt: skip
    lengths = {}
    for options in ((), ("--no-system",), ("--turns", "last"), ("--turns", "last", "--system")):
        made = CliRunner().invoke(app, [*call, *options])
        assert made.exit_code == 0, made.output
        scores = ScoreStore(tmp_path / "store").sql("SELECT DISTINCT tokens FROM latest_scores")
        lengths[options] = scores["tokens"].to_list()
    # words, the five names of the roles among them
    assert lengths == {
        (): [19.0], ("--no-system",): [16.0],
        ("--turns", "last"): [9.0], ("--turns", "last", "--system"): [9.0],
    }  # fmt: skip
