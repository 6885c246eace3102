"""A night costs what is new: what was fitted, embedded, hashed and joined before is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.examples import example_path
from assay.flows.printing.summary import print_curation
from assay.flows.running.results import RunResult
from assay.flows.running.runner import curate
from assay.index import SimilarityGraph, VectorIndex
from assay.index.embedding.text import HashedTextEmbedder
from assay.index.ngrams.hasher import NGramHasher

Run = Callable[..., RunResult]


@pytest.fixture(scope="module")
def documents() -> pl.DataFrame:
    return pl.read_parquet(example_path("pool.parquet")).select("id", "text", "domain")


@pytest.fixture(scope="module")
def nights(documents: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the pool of a night, and what may have become of it by the next."""
    first = documents.head(700)
    grown = documents.head(712)
    changed = first.with_columns(
        text=pl.when(pl.col("id") == first["id"][50])
        .then(pl.lit("a text about something else altogether"))
        .otherwise("text")
    )
    return {
        "first": first,
        "grown": grown,
        "shrunk": first.filter(pl.int_range(pl.len()) % 60 != 7),
        "changed": changed,
        "reordered": first.sample(fraction=1, shuffle=True, seed=3),
        "everything": pl.concat([changed.tail(690), documents[700:705]]).sample(
            fraction=1, shuffle=True, seed=4
        ),
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a function that runs over a frame, written to the same file each time."""

    def over(frame: pl.DataFrame, store: str = "store", **more: Any) -> RunResult:
        frame.write_parquet(tmp_path / "pool.parquet")
        given = {
            "pool": str(tmp_path / "pool.parquet"),
            "id": "id",
            "text": "text",
            "target": str(example_path("target.parquet")),
            "budget": 40,
            "select": "facility_location",
            "scores": ("importance", "pagerank"),
            "embedding": {"dimensions": 16, "buckets": 2**12},
            "graph": {"k": 6},
        }
        return curate(**(given | more), store=str(tmp_path / store))

    return over


def artifact(result: RunResult, stage: str) -> Path:
    (ref,) = result.sql(
        f"SELECT kind, fingerprint FROM artifacts WHERE run_id = '{result.run_id}' "
        f"AND stage = '{stage}'"
    ).rows()
    return result.store.artifacts.open(*ref)


def generation(result: RunResult) -> str:
    found = result.sql(f"SELECT generation FROM runs WHERE run_id = '{result.run_id}'")
    return str(found.item())


def tables(result: RunResult) -> dict[str, list[tuple[Any, ...]]]:
    queries = {
        name: f"SELECT * EXCLUDE (run_id) FROM {name} WHERE run_id = '{result.run_id}' ORDER BY ALL"
        for name in ("samples", "scores", "selections", "decisions", "metrics", "ledger")
    }
    return {name: result.sql(query).rows() for name, query in queries.items()}


@pytest.mark.parametrize("night", ["grown", "shrunk", "changed", "reordered", "everything"])
def test_only_what_is_new_is_embedded_and_hashed(
    night: str, nights: dict[str, pl.DataFrame], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, now = nights["first"], nights[night]
    run(first)
    new = len(set(now["text"]) - set(first["text"]))
    encoded: list[int] = []
    hashed: list[int] = []
    encode, stream = HashedTextEmbedder.encode, NGramHasher.stream

    def counted(self: Any, texts: Any) -> Any:
        encoded.append(len(texts))
        return encode(self, texts)

    def streamed(self: Any, texts: Any, *threads: int) -> Any:
        for part in stream(self, texts, *threads):
            hashed.append(len(part.n_tokens))
            yield part

    with monkeypatch.context() as patched:
        patched.setattr(HashedTextEmbedder, "encode", counted)
        patched.setattr(NGramHasher, "stream", streamed)
        result = run(now)
    # the target is encoded for the ledger, and hashed for the importance; to encode is to hash
    target = pl.read_parquet(example_path("target.parquet")).height
    assert sum(encoded) == new + target
    assert sum(hashed) == 2 * (new + target)
    model = HashedTextEmbedder.load(artifact(result, "fit"))
    vectors = np.load(artifact(result, "embed") / "vectors.npy")
    np.testing.assert_array_equal(vectors, model.encode(now["text"]))
    again = SimilarityGraph.from_vectors(vectors, ids=now["id"], k=6)
    graph = SimilarityGraph.load(artifact(result, "graph"))
    assert graph.report_["updates"] == 1
    np.testing.assert_array_equal(graph.neighbors, again.neighbors)
    np.testing.assert_allclose(graph.weights, again.weights, rtol=1e-6)
    index = VectorIndex.load(artifact(result, "index"))
    values, places = index.search(vectors[:20], 1)
    assert index.ids is not None
    np.testing.assert_allclose(values, 1, atol=1e-5)
    assert sorted(index.ids) == sorted(now["id"])
    assert places.shape == (20, 1)


def test_counts_and_scores_of_rows_are_those_of_a_full_run(
    nights: dict[str, pl.DataFrame], run: Run
) -> None:
    run(nights["first"])
    updated = run(nights["everything"])
    fresh = run(nights["everything"], store="fresh")
    for name in artifact(fresh, "hash importance").iterdir():
        if name.name != "manifest.json":
            own = artifact(updated, "hash importance") / name.name
            assert own.read_bytes() == name.read_bytes()
    query = "SELECT importance FROM latest_scores ORDER BY sample_id"
    np.testing.assert_allclose(updated.sql(query), fresh.sql(query), atol=1e-6)


def test_a_generation_lasts_until_refit(nights: dict[str, pl.DataFrame], run: Run) -> None:
    first = run(nights["first"])
    second = run(nights["everything"])
    assert generation(second) == generation(first)
    assert not run(nights["everything"]).computed
    refitted = run(nights["everything"], refit=True)
    assert generation(refitted) != generation(first)
    fresh = run(nights["everything"], store="fresh")
    assert refitted.run_id == fresh.run_id
    assert tables(refitted) == tables(fresh)
    # the new generation lasts in turn
    assert not run(nights["everything"]).computed
    assert generation(run(nights["grown"])) == generation(refitted)


def test_another_selection_of_the_same_pool_shares_what_was_made(
    nights: dict[str, pl.DataFrame], run: Run
) -> None:
    run(nights["first"])
    second = run(nights["grown"])
    third = run(nights["grown"], select="random")
    for stage in ("read", "fit", "embed", "graph", "index"):
        assert artifact(third, stage) == artifact(second, stage)


def test_drift_begins_a_new_generation(
    documents: pl.DataFrame, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    domains = documents["domain"].unique(maintain_order=True)
    one, other = (documents.filter(domain=name).head(300) for name in domains[:2])
    first = run(one)
    kept = run(pl.concat([one, other.head(20)]))
    assert generation(kept) == generation(first)
    query = f"SELECT value FROM metrics WHERE name = 'drift' AND run_id = '{kept.run_id}'"
    assert 0.01 < kept.sql(query).item() < 0.2
    with caplog.at_level("WARNING", logger="assay"):
        moved = run(pl.concat([one.head(200), other]))
    assert "a new generation begins" in caplog.text
    fresh = run(pl.concat([one.head(200), other]), store="fresh")
    assert moved.run_id == fresh.run_id
    assert tables(moved) == tables(fresh)
    # nothing is left of the plan that was given up
    assert moved.sql("SELECT DISTINCT status FROM runs")["status"].to_list() == ["done"]


def test_without_its_embedder_a_generation_ends(
    nights: dict[str, pl.DataFrame], run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(nights["first"])
    (artifact(first, "fit") / "levels.npy").write_bytes(b"damaged")
    with caplog.at_level("WARNING", logger="assay"):
        second = run(nights["grown"])
    assert "a new one is fitted" in caplog.text
    assert generation(second) != generation(first)
    assert second.run_id == run(nights["grown"], store="fresh").run_id


def test_other_settings_begin_a_new_generation(nights: dict[str, pl.DataFrame], run: Run) -> None:
    first = run(nights["first"])
    for more in ({"seed": 1}, {"embedding": {"dimensions": 8, "buckets": 2**12}}):
        assert generation(run(nights["grown"], **more)) != generation(first)
    # other settings of the graph let the vectors be
    wider = run(nights["grown"], graph={"k": 7})
    assert SimilarityGraph.load(artifact(wider, "graph")).k == 7


def test_many_changes_build_anew(nights: dict[str, pl.DataFrame], run: Run) -> None:
    run(nights["first"])
    half = run(nights["first"].tail(400))
    assert "updates" not in SimilarityGraph.load(artifact(half, "graph")).report_


@pytest.mark.parametrize(("lost", "updates"), [(0.005, 1), (0.02, None)])
def test_updates_that_lose_recall_give_way_to_a_new_graph(
    lost: float,
    updates: int | None,
    nights: dict[str, pl.DataFrame],
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(nights["first"])
    real = SimilarityGraph.updated

    def worse(self: Any, *args: Any, **how: Any) -> SimilarityGraph:
        after = real(self, *args, **how)
        after.report_["recall"] = after.report_["built_recall"] - lost
        return after

    monkeypatch.setattr(SimilarityGraph, "updated", worse)
    made = SimilarityGraph.load(artifact(run(nights["grown"]), "graph"))
    assert made.report_.get("updates") == updates
    assert len(made) == nights["grown"].height


def test_vectors_and_ids_from_content(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 8)).astype(np.float32)
    more = rng.normal(size=(5, 8)).astype(np.float32)

    def night(vectors: np.ndarray) -> RunResult:
        pl.DataFrame({"vector": vectors.tolist()}).write_parquet(tmp_path / "p.parquet")
        return curate(
            pool=str(tmp_path / "p.parquet"), vector="vector", budget=9, store=str(tmp_path / "s")
        )

    night(X)
    now = np.concatenate([X[40:], X[50:52], more])
    result = night(now)
    graph = SimilarityGraph.load(artifact(result, "graph"))
    assert (graph.report_["inserted"], graph.report_["removed"]) == (7, 40)
    again = SimilarityGraph.from_vectors(now, ids=graph.ids)
    np.testing.assert_array_equal(graph.neighbors, again.neighbors)


def test_the_run_says_what_has_changed(
    nights: dict[str, pl.DataFrame], run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run(nights["first"])
    print_curation(run(nights["everything"]))
    assert "6 rows are new or changed, 11 gone or changed. Generation" in capsys.readouterr().out
