"""The main job: what goes in, what comes out, and that running again computes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.flows.config.curation import CurationConfig
from assay.flows.export.write import export
from assay.flows.running.results import RunResult
from assay.flows.running.runner import curate, rank_features
from assay.flows.stages import artifacts as stages
from assay.flows.stages import graphs
from assay.flows.stages.run import resolve_run
from assay.storage import ScoreStore
from assay.storage.errors import AssayError
from tests.data import shared
from tests.flows.conftest import EMPTY_IDS, listing


def chosen(result: RunResult) -> list[str]:
    return result.sql("SELECT sample_id FROM latest_selection ORDER BY position")[
        "sample_id"
    ].to_list()


def test_every_row_has_exactly_one_decision(curated: RunResult) -> None:
    decisions = curated.sql("FROM decisions")
    assert decisions.height == 600
    assert decisions["sample_id"].n_unique() == 600
    assert decisions["selected"].sum() == 60
    reasons = decisions.group_by("reason").len()
    assert reasons["len"].sum() == 600
    empty = decisions.filter(pl.col("reason") == "empty")
    assert set(empty["sample_id"]) == set(EMPTY_IDS)
    assert empty["stage"].unique().to_list() == ["read"]
    assert not empty["selected"].any()


def test_the_selection_has_the_size_of_the_budget_and_leans_to_the_target(
    curated: RunResult,
) -> None:
    shares = curated.sql(
        "SELECT domain, count(*) FILTER (selected) AS chosen, count(*) AS pool "
        "FROM latest_samples JOIN latest_decisions USING (pool, sample_id) GROUP BY domain"
    )
    health = shares.filter(pl.col("domain") == "health_qa").row(0, named=True)
    assert shares["chosen"].sum() == 60
    assert health["chosen"] / 60 > 3 * health["pool"] / 600


def test_scores_are_there_for_every_usable_row(curated: RunResult) -> None:
    counts = curated.sql("SELECT method, count(*) AS n, max(rank) AS last FROM scores GROUP BY 1")
    assert set(counts["method"]) == {"importance", "pagerank", "knn_density"}
    assert counts["n"].unique().to_list() == [598]
    assert counts["last"].unique().to_list() == [598]
    wide = curated.sql("FROM latest_scores")
    assert wide.height == 600
    assert wide["importance"].null_count() == 2


def test_metrics_carry_a_baseline(curated: RunResult) -> None:
    metrics = curated.sql("SELECT name, value, baseline FROM metrics")
    assert metrics["name"].n_unique() == metrics.height
    assert {"samples", "selected", "graph.recall"} <= set(metrics["name"])
    kl = metrics.filter(pl.col("baseline").is_not_null())
    assert kl.height > 0


def test_the_same_call_again_computes_and_writes_nothing(
    curated: RunResult, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = listing(curated.store.path)

    def never(*args: Any) -> None:
        raise AssertionError("a stage ran")

    monkeypatch.setattr(stages, "read", never)
    again = curate(**settings, store=str(curated.store.path))
    assert (again.run_id, again.computed) == (curated.run_id, False)
    assert listing(curated.store.path) == before


def test_a_fresh_store_gives_the_same_bytes(
    curated: RunResult, settings: dict[str, Any], tmp_path: Path
) -> None:
    again = curate(**settings, store=str(tmp_path / "store"))
    assert again.run_id == curated.run_id
    for name, result in (("a", curated), ("b", again)):
        export(result.store, tmp_path / f"{name}.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_the_order_of_the_rows_does_not_matter(
    curated: RunResult, settings: dict[str, Any], pool_frame: pl.DataFrame, tmp_path: Path
) -> None:
    pool_frame.sample(fraction=1, shuffle=True, seed=3).write_parquet(tmp_path / "pool.parquet")
    moved = settings | {"pool": str(tmp_path / "pool.parquet")}
    assert chosen(curate(**moved, store=str(tmp_path / "store"))) == chosen(curated)


def test_another_seed_gives_another_run(
    curated: RunResult, settings: dict[str, Any], tmp_path: Path
) -> None:
    result = curate(**settings, seed=1, store=str(tmp_path))
    assert result.run_id != curated.run_id
    assert len(chosen(result)) == 60


def test_a_run_goes_on_where_it_was(
    curated: RunResult, settings: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "store"
    shutil.copytree(curated.store.path, store, symlinks=True)
    for path in (*store.glob("runs/*"), *store.glob("published/*")):
        path.unlink()
    shutil.rmtree(store / "artifacts" / "selection")
    caplog.set_level("INFO", logger="assay")
    result = curate(**settings, store=str(store))
    assert (result.run_id, result.computed) == (curated.run_id, True)
    assert chosen(result) == chosen(curated)
    assert "embed: unchanged" in caplog.text
    assert "select: unchanged" not in caplog.text


@pytest.mark.parametrize("kind", ["samples", "vectors", "graph", "selection"])
def test_a_damaged_artifact_is_rebuilt_and_not_used(
    curated: RunResult, settings: dict[str, Any], tmp_path: Path, kind: str
) -> None:
    store = tmp_path / "store"
    shutil.copytree(curated.store.path, store, symlinks=True)
    for path in (*store.glob("runs/*"), *store.glob("published/*")):
        path.unlink()
    file = max((store / "artifacts" / kind).rglob("*"), key=lambda p: p.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(bytes(content))
    assert chosen(curate(**settings, store=str(store))) == chosen(curated)


@pytest.mark.parametrize(
    "select", ["random", "ccs", "facility_location", "importance"], ids=lambda s: s
)
def test_every_selector_runs_in_the_pipeline(
    settings: dict[str, Any], tmp_path: Path, select: str
) -> None:
    result = curate(**settings, select=select, store=str(tmp_path))
    assert len(chosen(result)) == 60
    assert result.sql("FROM latest_decisions").height == 600


def test_without_a_target_a_stratified_subset_is_taken(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    result = curate(**(settings | {"target": None}), store=str(tmp_path))
    assert "select=stratified" in result.defaults
    assert set(result.sql("SELECT DISTINCT method FROM scores")["method"]) == {
        "pagerank",
        "knn_density",
    }


def test_with_labels_ccs_takes_their_disagreement(settings: dict[str, Any], tmp_path: Path) -> None:
    labeled = settings | {"target": None, "label": "domain"}
    result = curate(**labeled, store=str(tmp_path))
    assert {"select=ccs", "difficulty=label_agreement"} <= set(result.defaults)
    cut = result.sql("SELECT count(*) AS n FROM decisions WHERE reason = 'hard_cutoff'")["n"].item()
    assert cut > 0
    # what was cut off are rows whose neighbors have other labels
    agreement = result.sql(
        "SELECT reason, avg(label_agreement) AS a FROM latest_scores "
        "JOIN latest_decisions USING (pool, sample_id) GROUP BY reason"
    )
    mean = dict(agreement.rows())
    assert mean["hard_cutoff"] < mean["selected"]


def test_vectors_as_given(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(300, 8)).astype(np.float32)
    frame = pl.DataFrame({"key": range(300), "v": vectors.tolist()}).with_columns(
        pl.col("v").cast(pl.Array(pl.Float32, 8))
    )
    frame.write_parquet(tmp_path / "v.parquet")
    result = curate(
        pool=str(tmp_path / "v.parquet"), id="key", vector="v", budget=30, store=str(tmp_path / "s")
    )
    assert len(chosen(result)) == 30


def test_images_are_embedded_and_broken_ones_keep_a_decision(tmp_path: Path) -> None:
    images = pl.read_parquet(shared("cifar10_jpeg.parquet")).head(300).select("idx", "jpeg")
    spoiled = [b"no image", None, *images["jpeg"].to_list()[2:]]
    frame = images.with_columns(pl.Series("jpeg", spoiled, dtype=pl.Binary))
    result = curate(pool=frame, id="idx", image="jpeg", budget=30, store=str(tmp_path))
    assert len(chosen(result)) == 30
    left_out = result.sql("SELECT sample_id, reason FROM decisions WHERE stage = 'read'")
    assert dict(left_out.rows()) == {"0": "undecodable", "1": "empty"}
    assert {"undecodable", "empty"} <= set(result.sql("SELECT reason FROM reasons")["reason"])
    assert result.sql("FROM decisions").height == 300
    assert (
        result.sql("SELECT count(*) AS n FROM scores GROUP BY method")["n"].unique().item() == 298
    )


def test_equal_texts_are_encoded_once_and_have_equal_vectors(
    settings: dict[str, Any], pool_frame: pl.DataFrame, tmp_path: Path
) -> None:
    again = pool_frame.head(50).with_columns(pl.col("id") + "-again")
    pl.concat([again, pool_frame]).write_parquet(tmp_path / "pool.parquet")
    keys = settings | {"pool": str(tmp_path / "pool.parquet"), "store": str(tmp_path / "s")}
    result = curate(**keys, select="random", scores=())
    (vectors,) = (result.store.path / "artifacts" / "vectors").iterdir()
    matrix = np.load(vectors / "vectors.npy")
    assert len(matrix) == 648
    np.testing.assert_array_equal(matrix[:50], matrix[50:100])
    assert not (vectors / "encoded.npy").exists()


def test_frames_are_pools_too(
    curated: RunResult, settings: dict[str, Any], pool_frame: pl.DataFrame, tmp_path: Path
) -> None:
    keys = {k: v for k, v in settings.items() if k not in ("pool", "target")}
    target = pl.read_parquet(settings["target"])
    result = curate(pool=pool_frame, target=target, **keys, store=str(tmp_path / "s"))
    assert chosen(result) == chosen(curated)
    assert export(result.store, tmp_path / "out.parquet") == 60


def test_a_frame_that_cannot_be_used_leaves_no_store(
    pool_frame: pl.DataFrame, tmp_path: Path
) -> None:
    twice = pl.concat([pool_frame, pool_frame])
    with pytest.raises(AssayError, match=r"empty-null|duplicate|repeat"):
        curate(pool=twice, id="id", text="text", store=str(tmp_path / "s"))
    assert not (tmp_path / "s").exists()


def test_a_budget_above_what_is_usable_takes_all(settings: dict[str, Any], tmp_path: Path) -> None:
    result = curate(**(settings | {"budget": 600}), store=str(tmp_path))
    assert len(chosen(result)) == 598
    shortfall = result.sql("SELECT value FROM metrics WHERE name = 'shortfall'").item()
    assert shortfall == 2


def test_ids_are_content_hashes_where_none_are_named(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    keys = settings | {"id": None, "select": "random", "scores": ()}
    result = curate(**keys, store=str(tmp_path))
    ids = chosen(result)
    assert len(set(ids)) == 60
    assert all(len(i) >= 32 for i in ids)


def test_kept_columns_do_not_cost_the_vectors_again(
    curated: RunResult, settings: dict[str, Any]
) -> None:
    config = CurationConfig.build(settings | {"store": str(curated.store.path), "keep": ()})
    plan = resolve_run(config)
    assert plan.run_id != curated.run_id
    assert curated.store.artifacts.exists(*stages.embed_ref(plan))


def test_features_are_ranked_and_persisted(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 200)
    frame = pl.DataFrame({f"noise{i}": rng.normal(size=200) for i in range(8)}).with_columns(
        signal=pl.Series(y * 2.0 + rng.normal(size=200) * 0.3),
        constant=pl.lit(1.0),
        label=pl.Series(np.where(y, "yes", "no")),
    )
    frame.write_parquet(tmp_path / "t.parquet")
    result = rank_features(
        table=str(tmp_path / "t.parquet"), label="label", k=3, store=str(tmp_path / "s")
    )
    ranked = result.sql("FROM feature_scores ORDER BY rank")
    assert ranked["feature"].to_list()[0] == "signal"
    assert ranked["feature"].to_list()[-1] == "constant"
    assert ranked["selected"].sum() == 3
    assert not rank_features(
        table=str(tmp_path / "t.parquet"), label="label", k=3, store=str(tmp_path / "s")
    ).computed


def test_a_failed_run_is_noted(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise MemoryError("no more room")

    monkeypatch.setattr(graphs, "graph", broken)
    with pytest.raises(MemoryError):
        curate(**settings, store=str(tmp_path))
    runs = ScoreStore(tmp_path).sql("SELECT status FROM runs")
    assert runs["status"].to_list() == ["failed"]
    monkeypatch.undo()
    curate(**settings, store=str(tmp_path))
    assert ScoreStore(tmp_path).sql("SELECT status FROM runs")["status"].to_list() == ["done"]
