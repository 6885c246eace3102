"""Shards and engines: the bytes are those of the run in one process."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import polars as pl
import pytest

from assay.examples import example_path
from assay.flows.config.curation import CLUSTERS, CurationConfig
from assay.flows.engines import runners as engines
from assay.flows.running.results import RunResult
from assay.flows.running.runner import curate
from assay.flows.stages.calls import Direct
from assay.flows.stages.run import resolve_run
from assay.flows.stages.sharding import PARTS
from assay.flows.stages.stage import Stage
from assay.index.knn.planning import Plan
from assay.storage.errors import ConfigError, DependencyError
from tests.flows import cluster_runs
from tests.system.comparing import contents, differences

SHARDED = {"engine": "threads", "shard_rows": 150}


class Recorded(Direct):
    """Runs stages here and notes which; `fails` is called with each name before."""

    def __init__(self, fails: Any = lambda name: None) -> None:
        self.stages: Counter[str] = Counter()
        self._fails = fails

    def __call__(self, stage: Stage, *args: Any) -> Any:
        self.stages[stage.name] += 1
        self._fails(stage.name)
        return stage(*args)


def same(store: Path, other: Path) -> None:
    """Compare every table, and every byte of every artifact and manifest."""
    assert differences(contents(store), contents(other)) == []


def parts_left(store: Path) -> list[Path]:
    return [path for kind in PARTS for path in (store / "artifacts" / kind).glob("*")]


def test_shards_give_what_one_piece_gives(
    curated: RunResult, settings: dict[str, Any], tmp_path: Path
) -> None:
    call = Recorded()
    result = curate(**settings, store=str(tmp_path / "s"), **SHARDED, call=call)
    assert result.run_id == curated.run_id
    assert [call.stages[name] for name in ("encode", "hash_shard", "join")] == [4, 4, 4]
    same(tmp_path / "s", curated.store.path)
    assert parts_left(tmp_path / "s") == []


@pytest.mark.parametrize("target", [0.6, 0.999])
def test_a_block_join_in_shards(
    settings: dict[str, Any], tmp_path: Path, target: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # too little is planned, so that high targets need a second round
    planned = Plan.tau
    monkeypatch.setattr(Plan, "tau", lambda plan, target: planned(plan, target - 0.2))
    graph = {"method": "block_join", "k": 5, "target_recall": target}
    chosen = settings | {"select": "random", "scores": (), "graph": graph}
    whole = curate(**chosen, store=str(tmp_path / "whole"))
    for size, count in ((100, 6), (397, 2)):
        call = Recorded()
        store = tmp_path / f"in shards of {size}"
        curate(**chosen, store=str(store), engine="threads", shard_rows=size, call=call)
        assert call.stages["assign_cells"] == count
        assert call.stages["join"] == call.stages["visits"]
        assert call.stages["join"] == (count if target < 0.9 else 2 * count)
        same(store, whole.store.path)


def test_the_next_night_in_shards(pool_frame: pl.DataFrame, tmp_path: Path) -> None:
    fixed = {"name": "pool", "id": "id", "text": "text", "select": "random", "budget": 20}
    fixed |= {"embedding": {"dimensions": 16, "buckets": 2**12}, "drift_limit": 1.0}
    target = pl.read_parquet(example_path("target.parquet")).head(40)
    fixed["scores"] = ("importance",)
    fixed["target"] = str(tmp_path / "target.parquet")
    target.write_parquet(fixed["target"])
    pool_frame.head(500).write_parquet(tmp_path / "1.parquet")
    pool_frame.slice(20, 550).write_parquet(tmp_path / "2.parquet")
    calls = []
    for name, how in (("whole", {}), ("sharded", {"engine": "threads", "shard_rows": 40})):
        for night in (1, 2):
            calls.append(Recorded())
            pool = str(tmp_path / f"{night}.parquet")
            curate(pool=pool, store=str(tmp_path / name), **fixed, **how, call=calls[-1])
    same(tmp_path / "sharded", tmp_path / "whole")
    # 70 rows are new, in two shards; the graph is updated in one piece
    assert calls[-1].stages["encode"] == calls[-1].stages["hash_shard"] == 2
    assert calls[-1].stages["join"] == 0


def test_vectors_need_no_shards_to_be_encoded(tmp_path: Path) -> None:
    vectors = [[float(i % 7), float(i % 11), 1.0] for i in range(200)]
    pl.DataFrame({"id": range(200), "v": vectors}).write_parquet(tmp_path / "pool.parquet")
    fixed = {"pool": str(tmp_path / "pool.parquet"), "id": "id", "vector": "v", "budget": 10}
    curate(store=str(tmp_path / "whole"), **fixed, select="random")
    call = Recorded()
    how = {"engine": "dask", "shard_rows": 30, "call": call}
    curate(store=str(tmp_path / "s"), **fixed, select="random", **how)
    assert call.stages["encode"] == 0
    # 77 different vectors
    assert call.stages["join"] == 3
    same(tmp_path / "s", tmp_path / "whole")


def test_importance_is_weighed_in_shards(
    curated: RunResult, settings: dict[str, Any], tmp_path: Path
) -> None:
    # not the selector, which weighs by itself
    chosen = settings | {"select": "random", "scores": ("importance",)}
    curate(**chosen, store=str(tmp_path / "whole"))
    call = Recorded()
    curate(**chosen, store=str(tmp_path / "s"), **SHARDED, call=call)
    assert (call.stages["fit_ratio"], call.stages["weigh"]) == (1, 4)
    same(tmp_path / "s", tmp_path / "whole")


def test_what_was_done_of_a_killed_run_is_not_done_again(
    curated: RunResult, settings: dict[str, Any], tmp_path: Path
) -> None:
    store = tmp_path / "s"

    def killed(name: str) -> None:
        if name == "hash_shard":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        curate(**settings, store=str(store), engine="threads", shard_rows=50, call=Recorded(killed))
    assert len(parts_left(store)) == 12 + 2  # and what tells which rows they hold
    # all but two of the shards are there, and what was made of them is not
    (vectors,) = (store / "artifacts" / "vectors").iterdir()
    shutil.rmtree(vectors)
    encoded = sorted((store / "artifacts" / "encoded").iterdir())
    for path in encoded[:2]:
        shutil.rmtree(path)
    kept: dict[Path, int] = {p: p.stat().st_mtime_ns for p in encoded[2:]}

    def look(name: str) -> None:
        if name == "embed":
            assert {p: p.stat().st_mtime_ns for p in kept} == kept
            assert all(path.is_dir() for path in encoded[:2])

    curate(**settings, store=str(store), engine="threads", shard_rows=50, call=Recorded(look))
    same(store, curated.store.path)
    assert parts_left(store) == []


def _do(work: bytes) -> bytes:
    stage, args = pickle.loads(work)
    return cloudpickle.dumps(stage(*args))


class Elsewhere(Recorded):
    """Runs stages in another process, as the workers of a cluster do."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        super().__init__()
        self._pool = pool

    def __call__(self, stage: Stage, *args: Any) -> Any:
        self.stages[stage.name] += 1
        if stage.holds_lock:
            return stage(*args)
        work = cloudpickle.dumps((stage, args))
        assert len(work) < 50_000, "references travel, not frames"
        return pickle.loads(self._pool.submit(_do, work).result())


@pytest.fixture
def process() -> Iterator[ProcessPoolExecutor]:
    # FAISS hangs in a forked child
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield pool


def test_stages_and_shards_run_in_another_process(
    process: ProcessPoolExecutor, curated: RunResult, settings: dict[str, Any], tmp_path: Path
) -> None:
    call = Elsewhere(process)
    curate(**settings, store=str(tmp_path / "s"), engine="dask", shard_rows=300, call=call)
    assert call.stages["encode"] == call.stages["join"] == 2
    same(tmp_path / "s", curated.store.path)


def test_a_plan_that_is_sent_knows_nothing_of_what_was_verified(
    curated: RunResult, settings: dict[str, Any]
) -> None:
    plan = resolve_run(CurationConfig(**settings, store=str(curated.store.path)))
    ref = next((curated.store.path / "artifacts").glob("samples/*"))
    plan.store.artifacts.open("samples", ref.name)
    sent = cloudpickle.loads(cloudpickle.dumps(plan))
    assert sent == plan
    assert plan.store.artifacts._verified
    assert sent.store is not plan.store
    # all plans of one process share what it has verified
    assert sent.store is cloudpickle.loads(cloudpickle.dumps(plan)).store


def test_the_engine_does_not_change_the_run(settings: dict[str, Any], tmp_path: Path) -> None:
    fixed = settings | {"store": str(tmp_path / "s")}
    one = resolve_run(CurationConfig(**fixed))
    more = {"workers": 3, "shard_rows": 7, "engine_options": {"address": "tcp://there:1"}}
    other = resolve_run(CurationConfig(**fixed, engine="dask", **more))
    assert one.run_id == other.run_id


@pytest.mark.parametrize("engine", CLUSTERS)
def test_a_missing_extra_is_named(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, f"prefect_{engine}", None)
    with (
        pytest.raises(DependencyError, match=rf"pip install 'assay-curation\[{engine}\]'"),
        engines.task_runner(CurationConfig(engine=engine)),
    ):
        pass


def test_a_wrong_engine_or_option_is_named() -> None:
    with pytest.raises(ConfigError, match="engine"):
        CurationConfig.build({"engine": "spark"})
    with (
        pytest.raises(ConfigError, match="engine_options"),
        engines.task_runner(CurationConfig(engine="threads", engine_options={"wrong": 1})),
    ):
        pass


def test_paths_are_absolute_where_workers_are_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = CurationConfig(pool="a/*.parquet", target="s3://b/t.parquet", store="s", engine="ray")
    found = engines.located(config)
    assert found.pool == str(tmp_path / "a" / "*.parquet")
    assert (found.target, found.store) == ("s3://b/t.parquet", str(tmp_path / "s"))
    assert engines.located(CurationConfig(store="s")).store == "s"


@pytest.mark.slow
@pytest.mark.parametrize("engine", CLUSTERS)
def test_a_cluster_loses_a_worker(engine: str, tmp_path: Path) -> None:
    pytest.importorskip(f"prefect_{engine}", reason=f"assay-curation[{engine}] is not installed")
    config = {
        "pool": str(example_path("pool.parquet")),
        "target": str(example_path("target.parquet")),
        "id": "id",
        "text": "text",
        "budget": 500,
        "select": "random",
        "scores": ["importance", "pagerank"],
        "embedding": {"dimensions": 32, "buckets": 2**14},
        # as large pools are searched
        "graph": {"method": "block_join", "k": 10},
    }
    curate(**config, store=str(tmp_path / "whole"))
    how = {"store": str(tmp_path / "s"), "engine": engine, "workers": 2, "shard_rows": 3_000}
    ended = cluster_runs.run(tmp_path, config | how, kill=True)
    assert ended.killed, "no worker was seen writing a shard"
    same(tmp_path / "s", tmp_path / "whole")
    assert parts_left(tmp_path / "s") == []


def test_a_server_that_is_named_and_does_not_answer_is_said_in_a_sentence() -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from assay.flows.engines.runners import check_server
    from assay.storage.errors import ServiceError

    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}),
        pytest.raises(ServiceError, match=r"127\.0\.0\.1:9/api, which does not answer.*unset"),
    ):
        check_server()
