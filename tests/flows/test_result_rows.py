"""What a run's result gives: its own rows, figures and reasons, whatever else the store holds."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from assay.flows import CurationConfig, FeatureConfig, curate, rank_features
from assay.flows.result import Result
from assay.storage.errors import IdError


def frame(word: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": range(30),
            "text": [None if i == 4 else f"{word} {i % 4} and {i}" for i in range(30)],
            "y": [f"{word}{i % 2}" for i in range(30)],
        }
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Return runs over two pools of one store; the first pool has a later run too."""
    store = str(tmp_path_factory.mktemp("results") / "store")

    def run(word: str, budget: int) -> Result:
        return curate(
            pool=frame(word), name=word, id="id", text="text", label="y", budget=budget, store=store
        )

    made = {"first": run("apple", 5), "other": run("pear", 6), "later": run("apple", 7)}
    table = pl.DataFrame({"a": [0, 0, 1, 1] * 5, "b": [0, 1] * 10, "y": list("nnpp") * 5})
    made["features"] = rank_features(table=table, label="y", k=1, store=store)
    return made


@pytest.mark.parametrize(
    ("name", "word", "n"), [("first", "apple", 5), ("other", "pear", 6), ("later", "apple", 7)]
)
def test_a_result_sees_its_own_run(
    results: dict[str, Result], name: str, word: str, n: int
) -> None:
    result = results[name]
    assert result.sql("SELECT count(*) FROM latest_selection").item() == n
    assert result.sql("SELECT DISTINCT pool FROM latest_samples").item() == word
    assert result.sql("SELECT count(*) FROM runs").item() == 1
    chosen = result.selected()
    assert chosen.columns[:3] == ["id", "text", "y"]
    assert chosen["text"].to_list() == [
        t for i in chosen["id"] for t in frame(word).filter(id=i)["text"]
    ]
    assert chosen["position"].to_list() == list(range(1, n + 1))
    assert result.selected("y").columns[0] == "y"
    decisions = result.decisions()
    assert decisions["sample_id"].to_list() == [str(i) for i in range(30)]
    assert decisions.filter("selected").sort("position")["sample_id"].to_list() == [
        str(i) for i in chosen["id"]
    ]
    assert isinstance(result.config, CurationConfig)
    assert result.config.budget == n
    assert result.summary()["selected"] == n
    assert result.summary()["run_id"] == result.run_id
    ledger = result.ledger()
    assert ledger.columns == ["name", "value", "baseline", "after_cutoff", "better", "verdict"]
    assert ledger.equals(result.sql("SELECT * EXCLUDE (run_id) FROM ledger ORDER BY name"))


def test_scores_and_explanations_agree_with_sql(results: dict[str, Result]) -> None:
    result = results["other"]
    scores = result.scores()
    wide = result.sql("SELECT * FROM latest_scores").drop("pool", "run_id")
    assert scores.sort("sample_id").equals(wide.select(scores.columns).sort("sample_id"))
    for sample in ("0", 4, 29):
        told = result.explain(sample)
        row = result.sql(
            f"SELECT selected, stage, reason FROM latest_decisions WHERE sample_id = '{sample}'"
        ).row(0)
        assert (told["selected"], told["stage"], told["reason"]) == row
        stored = result.sql(
            f"SELECT method, score, rank FROM scores WHERE sample_id = '{sample}' ORDER BY method"
        )
        assert [(m, s["score"], s["rank"]) for m, s in told["scores"].items()] == stored.rows()
        assert isinstance(told["detail"], dict)
    assert result.explain(4)["reason"] == "empty"
    for wrong in ("30", "' OR '1'='1", "x'y"):
        with pytest.raises(IdError, match="no sample"):
            result.explain(wrong)


def test_a_ranking_of_features(results: dict[str, Result]) -> None:
    result = results["features"]
    assert isinstance(result.config, FeatureConfig)
    assert result.summary()["features"][0]["feature"] == "a"
    assert result.scores().columns == ["method", "feature", "score", "rank", "selected"]
    assert result.ledger().is_empty()


def test_frames_are_left_whole(results: dict[str, Result], tmp_path: Path) -> None:
    result = results["first"]
    result.export(tmp_path / "f.parquet")
    assert pl.read_parquet(tmp_path / "f.parquet").equals(result.selected())
