"""A plan's filter by rules of quality: every row that goes has the names of the rules it breaks."""

from __future__ import annotations

import json

import polars as pl
from typer.testing import CliRunner

from assay.flows import curate
from assay.flows.cli import app

GOOD = "The parts of a text that people write to be read have words with a point. " * 5


def test_reasons_name_the_rules(tmp_path):
    texts = [f"{GOOD} And so it ends with number {i}." for i in range(20)]
    texts += ["# # buy now ...", f"{GOOD} A {{ bracket."]
    pool = pl.DataFrame({"id": [f"r{i:02}" for i in range(22)], "text": texts})
    pool.write_parquet(tmp_path / "pool.parquet")
    settings = {
        "pool": str(tmp_path / "pool.parquet"),
        "id": "id",
        "text": "text",
        "select": "random",
        "scores": ("gopher_quality", "c4_quality"),
        "budget": 5,
        "store": str(tmp_path / "store"),
        "plan": {"filters": ["gopher_quality = 0", "c4_quality = 0"]},
    }
    result = curate(**settings)
    gone = result.sql("""
        SELECT sample_id, detail->>'gopher_quality_rules' AS gopher, detail->>'c4_quality_rules' AS c4
        FROM latest_decisions WHERE stage = 'filter' ORDER BY sample_id
    """)
    assert gone["sample_id"].to_list() == ["r20", "r21"]
    assert gone["gopher"][0].split(", ")[:3] == ["too_few_words", "word_length", "symbols"]
    assert gone.row(1) == ("r21", None, "curly_bracket")
    explained = CliRunner().invoke(app, ["explain", "r21", "--store", str(tmp_path / "store")])
    assert "curly_bracket" in explained.output
    told = CliRunner().invoke(app, ["explain", "r20", "--store", str(tmp_path / "store"), "--json"])
    assert "too_few_words" in json.dumps(json.loads(told.stdout))
