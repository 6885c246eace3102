"""References in a run: what is left out, what is told, and what the second night makes anew."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows import CurationConfig, curate
from assay.flows.cli import app
from assay.storage import ScoreStore
from assay.storage.errors import ColumnError, InputError

RNG = np.random.default_rng(5)
WORDS = [f"word{i}" for i in range(120)]
TEXTS = [" ".join(RNG.choice(WORDS, 18)) for _ in range(120)]
POOL = pl.DataFrame({"id": [f"p{i:03}" for i in range(120)], "text": TEXTS})
# the same, one word more, and others
OLD = pl.DataFrame(
    {
        "id": [f"old{i}" for i in range(40)],
        "text": [
            *[text.upper() for text in TEXTS[:10]],
            *[f"{text} more" for text in TEXTS[10:20]],
            *[" ".join(RNG.choice(WORDS, 18)) for _ in range(20)],
        ],
    }
)


@pytest.fixture
def place(tmp_path):
    POOL.write_parquet(tmp_path / "pool.parquet")
    OLD.write_parquet(tmp_path / "old.parquet")
    return tmp_path


def run(place, pool="pool.parquet", **plan):
    config = CurationConfig(
        pool=str(place / pool),
        name="pool",
        id="id",
        text="text",
        budget=15,
        select="facility_location",
        scores=(),
        embedding={"dimensions": 16, "buckets": 2**12},
        graph={"k": 5},
        drift_limit=1.0,
        store=str(place / "store"),
        plan={"reference": {"old": str(place / "old.parquet")}, **plan},
    )
    return curate(config)


def test_rows_of_a_reference_are_left_out_with_their_match(place):
    result = run(place)
    told = result.sql(
        "SELECT sample_id, detail FROM latest_decisions WHERE reason = 'in_reference' ORDER BY 1"
    )
    assert told["sample_id"].to_list() == [f"p{i:03}" for i in range(20)]
    details = [json.loads(detail) for detail in told["detail"]]
    assert [detail["match"] for detail in details] == [f"old{i}" for i in range(20)]
    assert [detail["kind"] for detail in details] == ["exact"] * 10 + ["near"] * 10
    assert {detail["reference"] for detail in details} == {"old"}
    assert details[12]["similarity"] == pytest.approx(14 / 15)
    chosen = result.sql("SELECT sample_id FROM latest_selection")["sample_id"]
    assert len(chosen) == 15
    assert min(chosen) > "p019"
    assert result.sql("SELECT count(*) FROM latest_samples").item() == 120


def test_rows_whose_words_a_reference_holds_in_another_order_are_left_out(place):
    reworded = [" ".join(reversed(text.split())) for text in TEXTS[30:34]]
    pl.DataFrame({"id": ["a", "b", "c", "d"], "text": reworded}).write_parquet(
        place / "old.parquet"
    )
    query = (
        "SELECT sample_id, detail FROM latest_decisions WHERE reason = 'in_reference' ORDER BY 1"
    )
    assert run(place, reference_options={"semantic": "none"}).sql(query).is_empty()
    told = run(place, reference_options={"semantic": "none", "words": 0.9}).sql(query)
    assert told["sample_id"].to_list() == [f"p{i:03}" for i in range(30, 34)]
    details = [json.loads(detail) for detail in told["detail"]]
    assert [(detail["match"], detail["kind"]) for detail in details] == [
        (name, "words") for name in "abcd"
    ]


def artifacts(place):
    folder = place / "store" / "artifacts"
    return {
        path.name: (path / "manifest.json").stat().st_mtime_ns
        for kind in ("reference", "reference_vectors")
        for path in (folder / kind).iterdir()
    }


def test_the_second_night_hashes_nothing_of_it_again(place):
    first = run(place)
    made = artifacts(place)
    assert len(made) == 2
    more = POOL.with_columns(
        pl.format("n{}", "id").alias("id"), pl.format("new {}", "text").alias("text")
    )
    pl.concat([POOL, more]).write_parquet(place / "grown.parquet")
    second = run(place, "grown.parquet")
    assert first.run_id != second.run_id
    assert second.computed
    assert artifacts(place) == made
    store = ScoreStore(place / "store")
    held = store.run_table(second.run_id, "SELECT stage FROM artifacts")["stage"].to_list()
    assert {"reference old", "reference old vectors"} <= set(held)


def test_a_reference_may_cover_and_changes_the_run(place):
    plain, covering = run(place), run(place, reference_covers=True)
    assert plain.run_id != covering.run_id
    reasons = covering.sql("SELECT reason, count(*) AS n FROM latest_decisions GROUP BY 1")
    assert dict(reasons.iter_rows())["in_reference"] == 20
    metrics = dict(covering.sql("SELECT name, value FROM metrics").iter_rows())
    assert metrics["objective_covered"] > 0
    OLD[:5].write_parquet(place / "old.parquet")
    assert run(place).run_id != plain.run_id


def test_the_command_line_takes_references(place):
    arguments = ["curate", "--pool", str(place / "pool.parquet"), "--id", "id", "--text", "text"]
    arguments += ["--budget", "10", "--store", str(place / "store"), "--scores", "pagerank"]
    arguments += ["--reference", f"old={place / 'old.parquet'}", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    reasons = {row["reason"]: row["n"] for row in json.loads(result.stdout)["reasons"]}
    assert reasons["in_reference"] == 20
    told = CliRunner().invoke(app, ["explain", "p003", "--store", str(place / "store")])
    assert "old3" in told.stdout


def test_a_wrong_reference_is_refused_before_any_work(place):
    with pytest.raises(InputError, match="nowhere"):
        run(place, reference={"old": str(place / "nowhere.parquet")})
    with pytest.raises(ColumnError, match="option of in_reference"):
        run(place, reference_options={"nears": 0.5})
    assert not (place / "store" / "runs").exists() or not list((place / "store" / "runs").iterdir())
