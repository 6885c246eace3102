"""assay pairs: labeled pairs teach, the others are scored."""

from __future__ import annotations

import json

import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.selection import pair_weights
from tests.selection.algorithms.test_labeled_pairs import records


def run(*arguments):
    return CliRunner().invoke(app, ["pairs", *map(str, arguments)])


@pytest.fixture
def files(tmp_path):
    texts, pairs, same = records(0, n=60)
    ids = [f"r{row}" for row in range(len(texts))]
    pl.DataFrame({"key": ids, "title": texts}).write_parquet(tmp_path / "records.parquet")
    labels = [None if row % 5 == 0 else int(value) for row, value in enumerate(same)]
    frame = pl.DataFrame(
        {"left": [ids[a] for a, _ in pairs], "right": [ids[b] for _, b in pairs], "label": labels}
    )
    frame.write_csv(tmp_path / "pairs.csv")
    return tmp_path, texts, pairs, labels


def test_pairs_without_a_label_get_what_the_others_teach(files):
    folder, texts, pairs, labels = files
    given = (
        folder / "records.parquet", "--id", "key", "--text", "title", "--pairs", folder / "pairs.csv",
        "--out", folder / "scored.parquet",
    )  # fmt: skip
    told = run(*given, "--json")
    assert told.exit_code == 0, told.output
    report = json.loads(told.stdout)
    scored = pl.read_parquet(folder / "scored.parquet")
    known = [row for row, label in enumerate(labels) if label is not None]
    unknown = [row for row, label in enumerate(labels) if label is None]
    assert (report["pairs"], report["scored"]) == (len(known), len(unknown))
    assert report["average_precision"] > report["average_precision_plain"]
    learned = pair_weights(texts, pairs[known], [labels[row] for row in known])
    for name, values in (
        ("similarity", learned.similarity(texts, pairs[unknown])),
        ("plain_similarity", learned.plain().similarity(texts, pairs[unknown])),
    ):
        assert scored[name].gather(unknown).to_list() == pytest.approx(values.tolist())
    again = run(*given)
    assert again.exit_code == 1
    assert "exists already" in str(again.exception)
    assert run(*given, "--overwrite").exit_code == 0


def test_what_is_wrong_with_pairs_is_said(files):
    folder, *_ = files
    given = (
        folder / "records.parquet",
        "--id",
        "key",
        "--text",
        "title",
        "--pairs",
        folder / "p.csv",
    )
    for content, words in (
        ("left,right\nr0,r1\n", "label"),
        ("left,right,label\nr0,nobody,1\nr1,r2,0\n", "'nobody'"),
        ("left,right,label\nr0,r1,maybe\nr1,r2,0\n", "'maybe'"),
        ("left,right,label\nr0,r1,1\n", "All 1 pairs are the same"),
    ):
        (folder / "p.csv").write_text(content)
        told = run(*given, "--out", folder / "o.csv")
        assert told.exit_code in (1, 2)
        assert words in str(told.exception)
    told = run(*given, "--out", folder / "p.csv", "--overwrite")
    assert told.exit_code != 0
    assert "which this command reads" in str(told.exception)
    (folder / "many").mkdir()
    (folder / "records.parquet").rename(folder / "many" / "records.parquet")
    inside = run(folder / "many", *given[1:], "--out", folder / "many" / "scored.parquet")
    assert "would become, a part of" in str(inside.exception)
    (folder / "many" / "records.parquet").rename(folder / "records.parquet")
    assert "ends in .parquet" in str(run(*given, "--out", folder / "o.txt").exception)
