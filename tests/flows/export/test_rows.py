"""Which rows an export hands out: words, conditions and queries."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from assay.flows import cli, curate
from assay.flows.result import Result
from assay.storage.errors import AssayError, ConfigError, IdError, QueryError, StoreError
from tests.flows.export.conftest import ROWS, text_frame


def ids(result: Result, tmp_path: Path, rows: str) -> list[str]:
    out = tmp_path / "ids.txt"
    result.export(out, rows=rows, overwrite=True)
    return out.read_text().splitlines()


def test_chosen_left_and_all_partition_the_pool(texts: Result, tmp_path: Path) -> None:
    chosen, left = ids(texts, tmp_path, "chosen"), ids(texts, tmp_path, "left")
    assert ids(texts, tmp_path, "all") == chosen + left
    assert sorted(chosen + left) == sorted(text_frame()["id"])
    assert len(chosen) == 9


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("n >= 50", pl.col("n") >= 50),
        ("label = 'eel' OR n < 3", (pl.col("y") == "eel") | (pl.col("n") < 3)),
        ("y = 'dog' -- a comment", pl.col("y") == "dog"),
        ("id IN ('r3', 'r44')", pl.col("id").is_in(["r3", "r44"])),
        ("reason = 'empty'", pl.col("id") == "r7"),
        ("pagerank IS NULL", pl.col("id") == "r7"),
        ("false", pl.lit(False)),
    ],
)
def test_a_condition(texts: Result, tmp_path: Path, condition: str, wanted: pl.Expr) -> None:
    assert set(ids(texts, tmp_path, condition)) == set(text_frame().filter(wanted)["id"])


def test_a_condition_over_decisions_and_scores(texts: Result, tmp_path: Path) -> None:
    assert ids(texts, tmp_path, "selected") == ids(texts, tmp_path, "chosen")
    assert ids(texts, tmp_path, "position <= 4") == ids(texts, tmp_path, "chosen")[:4]
    scores = texts.sql("SELECT sample_id, pagerank FROM latest_scores WHERE pagerank > 0.02")
    assert set(ids(texts, tmp_path, "pagerank > 0.02")) == set(scores["sample_id"])


def test_a_query_keeps_its_order_and_names_rows_once(texts: Result, tmp_path: Path) -> None:
    query = "SELECT sample_id FROM latest_samples ORDER BY n DESC LIMIT 5"
    assert ids(texts, tmp_path, query) == [f"r{i}" for i in range(ROWS - 1, ROWS - 6, -1)]
    twice = f"/* twice */ WITH a AS ({query}) FROM a UNION ALL FROM a ORDER BY sample_id"
    assert ids(texts, tmp_path, twice) == [f"r{i}" for i in range(ROWS - 5, ROWS)]


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ("SELECT n FROM latest_samples", ConfigError),
        ("SELECT 'zz' AS sample_id", IdError),
        ("SELECT NULL::VARCHAR AS sample_id", IdError),
        ("no_such_column > 1", QueryError),
        ("n > 1) UNION (SELECT * FROM read_text('/etc/hostname')", QueryError),
        ("SELECT content AS sample_id FROM read_text('/etc/hostname')", QueryError),
        ("chose", QueryError),
        ("SELECT 1; SELECT 2", QueryError),
    ],
)
def test_wrong_rows_write_nothing(
    texts: Result, tmp_path: Path, rows: str, error: type[AssayError]
) -> None:
    with pytest.raises(error):
        texts.export(tmp_path / "f.csv", rows=rows)
    assert list(tmp_path.iterdir()) == []


def test_kept_columns_come_before_those_of_decisions(tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": [f"words {i}" for i in range(9)], "reason": list("aabbccddd")})
    result = curate(
        pool=frame,
        text="text",
        keep=["reason"],
        budget=2,
        select="random",
        store=str(tmp_path / "s"),
    )
    result.export(tmp_path / "f.csv", rows="reason = 'd'", with_="decisions")
    found = pl.read_csv(tmp_path / "f.csv")
    assert found["reason"].to_list() == ["d"] * 3
    assert set(found["assay_reason"]) <= {"selected", "not_drawn"}


def test_each_pool_and_run_of_a_store(tmp_path: Path) -> None:
    store = str(tmp_path / "s")
    results = [
        curate(
            pool=pl.DataFrame({"text": [f"{name} {i}" for i in range(12)]}),
            name=name,
            budget=3,
            select="random",
            store=store,
        )
        for name in ("one", "two")
    ]
    for result, name in zip(results, ("one", "two"), strict=True):
        result.export(tmp_path / f"{name}.csv", rows="position > 1")
        assert all(t.startswith(name) for t in pl.read_csv(tmp_path / f"{name}.csv")["text"])


def test_a_pool_that_was_moved_or_written_anew(texts: Result, tmp_path: Path) -> None:
    frame = text_frame()
    frame.write_ndjson(tmp_path / "elsewhere.jsonl")
    assert texts.export(tmp_path / "f.csv", pool=tmp_path / "elsewhere.jsonl") == 9
    texts.export(tmp_path / "g.csv")
    assert (tmp_path / "f.csv").read_bytes() == (tmp_path / "g.csv").read_bytes()
    frame.with_columns(text=pl.col("text") + "!").write_parquet(tmp_path / "other.parquet")
    with pytest.raises(StoreError, match="not what it was"):
        texts.export(tmp_path / "h.csv", pool=tmp_path / "other.parquet")


def test_the_command(
    texts: Result,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def assay(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["assay", "export", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    store = ("--store", texts.store.path)
    out = tmp_path / "shards"
    more = ("--rows", "n > 20", "--with", "decisions", "--shard-size", 10, "--card", "--json")
    assert assay(*store, "--out", out, *more) == 0
    assert '"rows": 39' in capsys.readouterr().out
    assert sorted(p.name for p in out.iterdir())[1:3] == ["README.md", "croissant.json"]
    assert assay(*store, "--out", out, *more) == 2
    assert "exists already" in capsys.readouterr().err
    assert assay(*store, "--out", out, "--overwrite", "--format", "hf") == 0
    assert (out / "train").is_dir()
    assert not (out / "croissant.json").exists()
