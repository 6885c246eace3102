"""Importance resampling in the pipeline: from stored n-grams, from vectors, from images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.flows.running.runner import curate
from assay.index.ngrams.stream import BucketStream
from assay.selection.importance.resampler import ImportanceResampler
from assay.selection.importance.scorer import ImportanceScorer
from assay.storage import Pool
from assay.storage.errors import ConfigError, InputError
from tests.data import shared


@pytest.fixture
def frame(pool_frame: pl.DataFrame) -> pl.DataFrame:
    """Return documents, one of them of control characters, two without content."""
    odd = pool_frame.head(1).with_columns(id=pl.lit("odd"), text=pl.lit("\x1c \x1d"))
    return pl.concat([pool_frame.head(60), odd, pool_frame[90:300]])


@pytest.mark.parametrize(
    "options",
    [{}, {"mode": "dsir"}, {"embedding": True}, {"ngrams": 3, "buckets": 1_000, "threads": 2}],
    ids=str,
)
def test_what_is_chosen_is_what_the_texts_give(
    settings: dict[str, Any], frame: pl.DataFrame, tmp_path: Path, options: dict[str, Any]
) -> None:
    keys = {k: v for k, v in settings.items() if k not in ("pool", "keep")}
    keys |= {"budget": 40, "options": options, "select": "importance", "scores": ("importance",)}
    result = curate(pool=frame, **keys, store=str(tmp_path))
    there = frame.filter(pl.col("text").str.strip_chars().str.len_bytes() > 0)
    target = pl.read_parquet(settings["target"])["text"]
    selector = ImportanceResampler(budget=40, **options)
    selector.fit(there["text"], target=target, ids=there["id"])
    found = result.sql("SELECT sample_id, weight FROM latest_selection ORDER BY position")
    assert found["sample_id"].to_list() == there["id"].gather(selector.indices_).to_list()
    scores = result.sql("SELECT sample_id, importance FROM latest_scores WHERE importance NOT NULL")
    expected = {i: s for i, s in zip(there["id"], selector.scores_, strict=True) if not np.isnan(s)}
    assert dict(scores.rows()) == expected
    said = dict(result.sql("SELECT name, value FROM metrics").rows())
    for name in ("kl_pool", "kl_selected", "kl_reduction"):
        assert said.get(name) == selector.report_[name]
    # the ledger's figures over vectors have names of their own
    judged = set(result.ledger()["name"])
    assert {"kl_target", "kl_target_reduction"} <= judged
    assert not judged & {"kl_pool", "kl_selected", "kl_reduction"}
    # without noise nothing is drawn by weights, and that of the rows chosen is told
    assert said["effective_sample_size"] == (selector.report_["effective_sample_size"] or 40)
    streams = tmp_path / "artifacts" / "bucket_stream"
    assert streams.exists() != bool(options.get("embedding"))


def test_another_target_or_budget_hashes_and_reads_nothing(
    settings: dict[str, Any], frame: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame.write_parquet(tmp_path / "pool.parquet")
    keys = settings | {"pool": str(tmp_path / "pool.parquet"), "store": str(tmp_path / "store")}
    curate(**keys)
    target = pl.read_parquet(settings["target"]).head(30)
    target.write_parquet(tmp_path / "other.parquet")

    def refused(*args: Any, **options: Any) -> None:
        raise AssertionError("the pool was hashed again")

    monkeypatch.setattr(BucketStream, "write", refused)
    contents = Pool.contents
    monkeypatch.setattr(
        Pool, "contents", lambda p: contents(p) if p.name == "target" else refused()
    )
    for changed in ({"budget": 11}, {"target": str(tmp_path / "other.parquet")}):
        result = curate(**(keys | changed))
        assert result.computed
        chosen = result.sql("SELECT sample_id FROM latest_selection ORDER BY position")
        kept = ImportanceResampler(budget=changed.get("budget", "10%"))
        there = frame.filter(pl.col("text").str.strip_chars().str.len_bytes() > 0)
        if "budget" not in changed:
            kept.budget = len(frame) // 10
        wanted = pl.read_parquet(changed.get("target", settings["target"]))["text"]
        kept.fit(there["text"], target=wanted, ids=there["id"])
        assert chosen["sample_id"].to_list() == there["id"].gather(kept.indices_).to_list()
    (stream,) = (tmp_path / "store" / "artifacts" / "bucket_stream").iterdir()
    assert len(BucketStream.load(stream)) == len(frame)


def test_another_text_column_of_the_same_file_is_another_stream(tmp_path: Path) -> None:
    texts = [f"{'red' if i % 2 else 'blue'} number {i}" for i in range(60)]
    both = pl.DataFrame({"id": range(60), "a": texts, "b": texts[1:] + texts[:1]})
    both.write_parquet(tmp_path / "p.parquet")
    pl.DataFrame({"a": ["red"] * 3, "b": ["red"] * 3}).write_parquet(tmp_path / "t.parquet")
    chosen = {}
    for column in ("a", "b"):
        result = curate(
            pool=str(tmp_path / "p.parquet"), target=str(tmp_path / "t.parquet"), id="id",
            text=column, budget=30, options={"temperature": 0}, store=str(tmp_path / "store"),
            embedding={"dimensions": 8, "buckets": 2**10}, scores=(),
        )  # fmt: skip
        found = result.sql("SELECT sample_id FROM latest_selection")["sample_id"]
        chosen[column] = set(found.cast(int).to_list())
    assert chosen["a"] == set(range(1, 60, 2))
    assert chosen["b"] == set(range(0, 60, 2))


def test_vectors_with_a_target_of_vectors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 6)).astype(np.float32)
    vectors[300:, 0] += 4
    target = rng.normal(size=(40, 6)).astype(np.float32)
    target[:, 0] += 4
    lists: list[list[float] | None] = vectors.tolist()
    lists[5] = None
    wanted: list[list[float] | None] = [None, *target.tolist()]
    pl.DataFrame({"key": range(400), "v": lists}).write_parquet(tmp_path / "v.parquet")
    pl.DataFrame({"v": wanted}).write_parquet(tmp_path / "t.parquet")
    result = curate(
        pool=str(tmp_path / "v.parquet"), target=str(tmp_path / "t.parquet"), id="key", vector="v",
        budget=80, store=str(tmp_path / "s"),
    )  # fmt: skip
    assert "select=importance" in result.defaults
    found = result.sql("SELECT sample_id FROM latest_selection ORDER BY position")["sample_id"]
    usable = np.delete(np.arange(400), 5)
    selector = ImportanceResampler(budget=80)
    selector.fit(vectors[usable], target=target, ids=usable.astype(str))
    assert found.to_list() == usable[selector.indices_].astype(str).tolist()
    assert np.mean(found.cast(int).to_numpy() >= 300) > 0.9
    assert result.sql("FROM latest_decisions").height == 400
    scores = result.sql("SELECT sample_id, importance FROM latest_scores WHERE importance NOT NULL")
    by_hand = ImportanceScorer().fit(vectors[usable], target=target, ids=usable.astype(str))
    assert dict(scores.rows()) == dict(zip(usable.astype(str), by_hand.scores_, strict=True))


def test_images_with_a_target_of_images(tmp_path: Path) -> None:
    every = pl.read_parquet(shared("cifar10_jpeg.parquet")).head(1_500)
    wanted = every["label"][0]
    of_class = every.filter(pl.col("label") == wanted)
    target = pl.DataFrame({"jpeg": [b"no image", None, *of_class["jpeg"].head(60).to_list()]})
    pool = every.join(of_class.head(60), on="idx", how="anti")
    spoiled = [b"broken", *pool["jpeg"].to_list()[1:]]
    pool = pool.with_columns(
        pl.Series("jpeg", spoiled, dtype=pl.Binary), pl.col("label").cast(str).alias("kind")
    )
    keys: dict[str, Any] = {"id": "idx", "image": "jpeg", "keep": "kind", "budget": 50}
    result = curate(pool=pool, target=target, **keys, store=str(tmp_path / "s"))
    assert "select=importance" in result.defaults
    chosen = result.sql(
        "SELECT count(*) FILTER (kind = $1) FROM latest_selection "
        "JOIN latest_samples USING (pool, sample_id)".replace("$1", f"'{wanted}'")
    ).item()
    assert chosen > 3 * 50 * len(of_class) / len(every)
    assert result.sql("FROM latest_decisions").height == pool.height
    broken = pl.DataFrame({"jpeg": [b"no image", b"none either"]})
    with pytest.raises(InputError, match="None of the images of the target"):
        curate(pool=pool, target=broken, **keys, store=str(tmp_path / "s"))


def test_what_is_for_texts_only_is_said(tmp_path: Path) -> None:
    pl.DataFrame({"v": [[i / 2, 1.0] for i in range(40)]}).write_parquet(tmp_path / "v.parquet")
    keys = {"pool": str(tmp_path / "v.parquet"), "vector": "v", "store": str(tmp_path / "s")}
    with pytest.raises(InputError, match="needs a target"):
        curate(**keys, select="importance")
    for only in ({"mode": "dsir"}, {"embedding": True}):
        with pytest.raises(ConfigError, match="are for texts"):
            curate(**keys, target=keys["pool"], graph={"k": 3}, options=only)
