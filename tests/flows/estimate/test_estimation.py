"""`assay plan` and `memory_limit`: what is foretold, what is refused, and that it comes true."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.examples import example_path
from assay.flows import CurationConfig, cli, curate
from assay.flows.config.memory_size import memory_told, parse_memory
from assay.flows.estimate import estimation, samples
from assay.flows.estimate.estimation import Estimate, estimate
from assay.flows.estimate.growth import Costs, Sample, held_back, sample_sizes
from assay.flows.estimate.measuring import Meter, StageCost, as_share, forget_peak, peak_memory
from assay.flows.estimate.samples import estimated, sample_config
from assay.flows.stages.memory import known_memory
from assay.flows.stages.run import resolve_run
from assay.flows.stages.stage import Stage
from assay.selection.algorithms import cells
from assay.selection.plan import choice as plan_choice
from assay.storage.errors import ColumnError, ConfigError, ResourceError

GIB = 2**30
# runs a command and tells the most memory that it held
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(peak if sys.platform == "darwin" else peak * 1024)
"""


def run(monkeypatch: Any, capsys: Any, *arguments: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["assay", *map(str, arguments)])
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def peak_of(*command: object) -> int:
    """Return the most memory that `assay` with these arguments holds."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, sys.executable, "-m", "assay.flows.cli", *map(str, command)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def write_config(path: Path, pool: Path | str, store: Path, **more: object) -> Path:
    lines = {"pool": str(pool), "id": "id", "text": "text", "store": str(store), **more}
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in lines.items()))
    return path


# --- the limit ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "bytes_"),
    [
        ("16GiB", 16 * GIB),
        ("16gib", 16 * GIB),
        (" 2 GiB ", 2 * GIB),
        ("1.5GB", 1_500_000_000),
        ("2G", 2_000_000_000),
        ("500 MB", 500_000_000),
        ("3KiB", 3072),
        ("1TiB", 2**40),
        ("77B", 77),
        ("4096", 4096),
        (4096, 4096),
    ],
)
def test_a_limit_is_bytes_or_text(given: Any, bytes_: int) -> None:
    assert parse_memory(given) == bytes_
    assert CurationConfig(pool="p", memory_limit=given).memory_limit == bytes_


@pytest.mark.parametrize(
    "given", ["", "GiB", "many", "-1GiB", "1.5.2GB", "1 XB", "iB", "5iB", "0", 0, -3, 1.5, True]
)
def test_a_limit_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError, match="memory"):
        parse_memory(given)
    with pytest.raises(ConfigError, match="memory_limit"):
        CurationConfig.build({"memory_limit": given})


@given(st.integers(1, 2**50))
def test_what_is_told_of_a_number_reads_as_about_that_number(size: int) -> None:
    told = memory_told(size)
    if size >= 2**20:
        assert parse_memory(told) == pytest.approx(size, rel=0.5)


def test_the_limit_is_not_part_of_the_run(settings: dict[str, Any], tmp_path: Path) -> None:
    runs = {
        resolve_run(
            CurationConfig.build({**settings, "store": str(tmp_path), "memory_limit": limit})
        ).run_id
        for limit in (None, "64GiB", 10**12)
    }
    assert len(runs) == 1


def test_what_is_known_grows_with_rows_dimensions_and_neighbors() -> None:
    config = CurationConfig()
    at = [known_memory(config, "text", n) for n in (1_000, 1_000_000, 10_000_000)]
    assert at[0] < at[1] < at[2]
    assert at[2] - at[1] == pytest.approx(9 * (at[1] - known_memory(config, "vector", 0)), rel=0.2)
    assert known_memory(config, "vector", 10**6, 768) > 2 * known_memory(
        config, "vector", 10**6, 128
    )
    more = CurationConfig.build({"graph": {"k": 60}})
    assert known_memory(more, "text", 10**6) > known_memory(config, "text", 10**6)


def test_a_run_above_the_limit_is_refused_before_it_begins(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    with pytest.raises(ResourceError, match=r"over 600 rows.*memory_limit is 95 MiB.*assay plan"):
        curate(**settings, store=str(store), memory_limit="100MB")
    assert not list(store.rglob("*.duckdb"))
    assert not list((store / "runs").glob("*.json"))
    assert not list((store / "artifacts").rglob("*.parquet"))


def test_the_command_line_refuses_too(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    config = write_config(tmp_path / "c.toml", settings["pool"], tmp_path / "store")
    code, _, err = run(monkeypatch, capsys, "curate", config, "--memory-limit", "1MiB")
    assert code == 1
    assert "memory_limit is 1 MiB" in err
    code, _, err = run(monkeypatch, capsys, "curate", config, "--memory-limit", "lots")
    assert code == 2
    assert "'16GiB'" in err


# --- from samples to the whole --------------------------------------------------------------


def sample_at(n: int, loaded: int = 0, held: int = 1_000) -> Sample:
    """Return a sample whose stages grow evenly; `loaded` seconds are those of what is loaded once."""
    fitted = min(n, 2_000)
    stages = (
        StageCost("start", 2.0, 0.0, 900, 0),
        StageCost("fit", loaded + np.sqrt(fitted), 4.0, held + 100 + 3 * fitted, 50),
        StageCost("graph", loaded + n ** (7 / 6), 1.0, held + 2 * n, 7 * n),
        StageCost("select", loaded + n / 10, n / 5, held + 5 * n, n),
        StageCost("judge", loaded + 2 * np.sqrt(n), n / 5, held + n, n),
    )
    return Sample(n, fitted, stages, held, (900, 920, 940, 960, 980))


def told(memory: float, stage: str, rows: int) -> int:
    """Return the memory that is told of a stage: what it kept back is added, and a margin."""
    return round(1.05 * (memory + held_back(stage, rows)))


def test_stages_grow_as_they_were_seen_to() -> None:
    # what the first sample loads is counted once, in its time and in what stays resident
    costs = Costs((sample_at(500, loaded=3), sample_at(1_000), sample_at(8_000)), 10**6, 10_000)
    for n in (10_000, 50_000, 1_000_000):
        start, fit, graph, select, judge = costs.of(n)
        assert (start.cpu_seconds, start.memory) == (2.0, round(1.05 * 900))
        assert (fit.disk, fit.memory) == (50, told(920 + 100 + 3 * 10_000, "fit", n))
        assert fit.cpu_seconds == pytest.approx(3 + 100)
        assert (graph.memory, graph.disk) == (told(940 + 2 * n, "graph", n), 7 * n)
        assert graph.cpu_seconds == pytest.approx(3 + n ** (7 / 6))
        assert select.memory == told(960 + 5 * n, "select", n)
        assert select.cpu_seconds == pytest.approx(3 + n / 10)
        assert judge.cpu_seconds == pytest.approx(3 + 2 * np.sqrt(n))
    room = max(stage.memory for stage in costs.of(77_777))
    assert costs.rows_within(room, 10**6) == pytest.approx(77_777, abs=1)
    assert costs.rows_within(10**9, 5_000) == 5_000
    assert costs.rows_within(899, 10**6) == 0


def test_no_row_takes_more_than_is_known_of_it() -> None:
    samples_ = (sample_at(500), sample_at(1_000), sample_at(8_000))
    costs = Costs(samples_, 10**6, 10_000, most_per_row=3)
    for n in (100_000, 10_000_000):
        assert costs.of(n)[3].memory == told(960 + 5 * 8_000 + 3 * (n - 8_000), "select", n)


@pytest.mark.parametrize("rows", [60_000, 1_000_000])
def test_a_selector_of_cells_grows_with_what_its_rows_meet(rows: int) -> None:
    def clustered(n: int) -> float:
        # 4 sqrt(n) cells at most 4,096, met at once or in two steps, by all rows and 8 times by those trained on
        cells = min(4_096, round(4 * n**0.5))
        met = cells + 400 if rows < 65_000 else 2 * (cells**0.5 + 10)
        return met * (n + 8 * min(n, 32 * cells)) / 1e8

    samples_ = [
        Sample(n, n, [StageCost("select", clustered(n), 1.0, 1_000, 0)], 1_000, [1_000])
        for n in (1_000, 1_000, 4_000)
    ]
    costs = Costs(samples_, rows, 10_000, by_cells=True)
    assert costs.of(rows)[0].cpu_seconds == pytest.approx(clustered(rows))


def test_noise_that_says_a_stage_shrinks_is_taken_for_none() -> None:
    shrinking = Costs((sample_at(500), sample_at(8_000), sample_at(1_000)), 10**6, 10_000)
    flat = Costs((sample_at(500), sample_at(1_000), sample_at(1_000)), 10**6, 10_000)
    assert flat.of(10**6)[3].cpu_seconds == sample_at(500).stages[3].cpu_seconds
    assert shrinking.of(10**6)[3].cpu_seconds >= sample_at(500).stages[3].cpu_seconds


def test_a_sample_that_is_the_pool_is_not_extrapolated() -> None:
    whole = sample_at(1_500)
    for told_, was in zip(Costs((whole,), 1_500, 100).of(1_500), whole.stages, strict=True):
        assert told_.memory == told(was.memory, was.stage, 1_500)
        assert (told_.cpu_seconds, told_.disk) == (was.cpu_seconds, was.disk)


@given(st.integers(1, 10**10), st.booleans())
def test_sample_sizes(rows: int, known: bool) -> None:
    sizes = sample_sizes(rows, known=known)
    assert sizes[-1] <= min(rows, 10_000 if known else 40_000)
    assert (sizes == (rows,)) == (rows <= 10_000)
    if rows > 10_000:
        assert sizes[0] <= 2_000
        assert sizes[0] <= sizes[1] <= sizes[2] // 2
        # the three together are a small part of a large pool
        assert sum(sizes) <= rows // 4 or sizes[2] <= 4_000


def test_shards_and_refusal() -> None:
    stages = (StageCost("graph", 1, 1, 10 * GIB, 5), StageCost("select", 1, 2, 7 * GIB, 6))
    found = Estimate(1_000_001, (1, 2), stages, 4 * GIB, 300_000)
    assert (found.memory, found.disk, found.shards) == (10 * GIB, 11, 4)
    assert "1,000,001 rows takes about 10.0 GiB" in str(found.refused)
    assert Estimate(10, (10,), stages, 4 * GIB, 0).shards is None
    assert Estimate(10, (10,), stages, None, None).shards == 1
    assert Estimate(10, (10,), stages, 10 * GIB, 10).refused is None
    assert Estimate(120_000, (10,), stages, None, 10, 50_000, GIB).shards == 3
    assert json.loads(json.dumps(found.as_dict()))["stages"][1]["memory"] == 7 * GIB


def test_a_sample_has_the_same_methods_and_counts_in_proportion(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    rules = {
        "minima": {"health_qa": 40, "news": 0.1},
        "by": "domain",
        "must_include": ["p1"],
        "filters": ["length(text) > 10"],
    }
    given_ = {**settings, "store": str(tmp_path), "budget": 60, "plan": rules}
    plan = resolve_run(CurationConfig.build({**given_, "memory_limit": "8GiB", "refit": True}))
    values = sample_config(plan, 600, 150)
    config = CurationConfig.build(values)
    assert config.budget == pytest.approx(0.1)
    assert config.plan.minima == {"health_qa": 10, "news": 0.1}
    assert config.plan.must_include == ()
    assert config.plan.filters == ("length(text) > 10",)
    assert (config.select, config.scores) == (plan.select, plan.scores)
    assert (config.memory_limit, config.refit) == (None, False)
    assert config.graph.method == "exact"
    # the whole pool would be joined by blocks, so the sample is too
    assert sample_config(plan, 10**6, 60_000)["graph"]["method"] == "block_join"


def large_stage(folder: Path) -> int:
    (folder / "file").write_bytes(bytes(12_345))
    return int(np.ones(20_000_000).sum())


def small_stage() -> None:
    return None


def test_a_meter_tells_what_a_stage_took(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    score = Stage("score", f"{__name__}:large_stage", label="pagerank")
    forget_peak()
    before = peak_memory()
    assert meter(score, tmp_path) == 20_000_000
    meter(Stage("persist", f"{__name__}:small_stage"))
    start, scored, persisted = meter.costs
    assert [start.stage, scored.stage, persisted.stage] == ["start", "score pagerank", "persist"]
    assert scored.disk == 12_345
    assert persisted.disk == 0
    assert scored.memory > before + 100_000_000
    assert scored.seconds > 0
    if Path("/proc/self/clear_refs").exists():
        assert persisted.memory < scored.memory - 100_000_000


def test_what_was_freed_before_a_stage_is_not_its_own_or_used_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # arrays of 100 kB lie in the heap, whose freed end C keeps until it is asked for it
    held = [rng.random(12_500) for _ in range(500)]
    meter = Meter(tmp_path, trimmed=True)
    del held
    meter(Stage("persist", f"{__name__}:small_stage"))
    after = meter.after[-1]
    meter(Stage("score", f"{__name__}:heap_stage"))
    if sys.platform == "linux":
        assert after < meter.after[0] - 40_000_000
        assert meter.costs[-1].memory > after + 40_000_000


def heap_stage() -> float:
    return float(sum(part.sum() for part in [np.ones(12_500) for _ in range(500)]))


def test_a_pool_is_read_once_for_all_samples(tmp_path: Path, monkeypatch: Any) -> None:
    names = [f"n{i:05}" for i in range(12_000)]
    pool = tmp_path / "pool.parquet"
    pl.DataFrame({"id": names, "text": [f"text {name}" for name in names]}).write_parquet(pool)
    run_ = resolve_run(
        CurationConfig(pool=str(pool), id="id", text="text", store=str(tmp_path / "s"))
    )
    opened = run_.read_pool()
    taken = []
    take = type(opened).take

    def counted(self: Any, rows: Any, columns: Any = None) -> Any:
        taken.append(len(rows))
        return take(self, rows, columns)

    monkeypatch.setattr(type(opened), "take", counted)
    folders = [tmp_path / name for name in "abc"]
    configs = samples.written(run_, opened, 12_000, (1_000, 1_000, 4_000), folders)
    assert taken == [4_000]
    rows = [pl.read_parquet(str(config.pool))["id"].to_list() for config in configs]
    assert rows[0] == rows[1] == names[::12]
    assert rows[2] == names[::3]
    assert [config.embedding.fit_rows for config in configs] == [500, 500, 2_000]


def test_a_sample_chooses_its_methods_as_the_whole_pool_does(monkeypatch: Any) -> None:
    monkeypatch.setattr(plan_choice, "SEARCHED", 1e9)
    rows, chosen, dimensions = 100_000, 1_000, 64
    with as_share(0.1):
        small = (rows // 10) * (chosen // 10) * dimensions <= plan_choice.SEARCHED
        # a tenth of the rows has 400 cells where all have 1,265, which are made in two steps
        assert cells.AT_ONCE < 400
        assert small == (rows * chosen * dimensions <= 1e9)
        assert not small
    assert plan_choice.SEARCHED == 1e9
    assert cells.AT_ONCE == 1_024


def test_references_are_sampled_with_the_pool(tmp_path: Path, monkeypatch: Any) -> None:
    names = [f"n{i}" for i in range(12_000)]
    pl.DataFrame({"id": names, "text": [f"text {name}" for name in names]}).write_parquet(
        tmp_path / "pool.parquet"
    )
    pl.DataFrame({"text": [f"old {i}" for i in range(36_000)]}).write_csv(tmp_path / "old.csv")
    seen = []

    def note(config: CurationConfig, call: Meter) -> None:
        held = pl.read_parquet(config.plan.reference["old"])
        pool = pl.read_parquet(str(config.pool))
        seen.append((pool.height, held.height, held["text"][-1]))
        call.costs.append(StageCost("refer", 1.0, 1.0, 0, held.height))
        call.after.append(0)

    monkeypatch.setattr(samples, "curate", note)
    rules = {"reference": {"old": str(tmp_path / "old.csv")}}
    given_ = {"pool": str(tmp_path / "pool.parquet"), "id": "id", "text": "text", "plan": rules}
    (tmp_path / "samples").mkdir()
    config = CurationConfig.build({**given_, "store": str(tmp_path / "store")})
    found = estimated(config, tmp_path / "samples")
    # as large a share of the reference
    assert [(pool, held) for pool, held, _ in seen] == [
        (1_000, 3_000),
        (1_000, 3_000),
        (4_000, 12_000),
    ]
    assert seen[-1][2] == "old 35997"
    assert found.disk == 36_000


# --- the command ----------------------------------------------------------------------------


def test_the_plan_comes_true(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    store = tmp_path / "store"
    config = write_config(
        tmp_path / "c.toml", settings["pool"], store, target=settings["target"], budget=60
    )
    code, out, err = run(monkeypatch, capsys, "plan", config, "--json", "--memory-limit", "200MiB")
    found = json.loads(out)
    assert not store.exists()
    # refused, with the whole plan to see why
    assert code == 1
    assert found["error"]["type"] == "ResourceError"
    assert "memory_limit is 200 MiB" in err
    assert found["rows"] == 600
    assert found["sampled"] == [600]
    assert found["shards"] is None
    names = [stage["stage"] for stage in found["stages"]]
    assert names[:2] == ["start", "plan"]
    assert {"read", "embed", "graph", "index", "select", "persist", "publish"} < set(names)
    assert any(name.startswith("score ") for name in names)
    assert found["disk"] > 100_000
    assert found["cpu_seconds"] > 0.5

    peak = peak_of("curate", config)
    assert peak == pytest.approx(found["memory"], rel=0.2)
    written = sum(p.stat().st_size for p in store.rglob("*") if p.is_file())
    assert written == pytest.approx(found["disk"], rel=0.2)


def test_what_is_wrong_is_said_before_anything_is_run(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    given_ = {**settings, "store": str(tmp_path / "store")}
    with pytest.raises(ColumnError, match="body"):
        estimate(CurationConfig.build({**given_, "text": "body"}))
    seeds = pl.read_parquet(settings["pool"])["id"].head(2).to_list()
    flow = {"like": seeds, "score_options": {"like": {"method": "flow", "size": 1}}}
    with pytest.raises(ResourceError, match=r"sample of 600 rows.*size is 1"):
        estimate(CurationConfig.build({**given_, "target": None, **flow}))
    with pytest.raises(ConfigError, match="alpha is 7"):
        estimate(
            CurationConfig.build(
                {**given_, "select": "saturated_coverage", "options": {"alpha": 7}}
            )
        )
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_the_plan_of_20_000_rows_comes_true(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    texts = pl.read_parquet(example_path("pool.parquet"))["text"].to_list()
    rng = np.random.default_rng(0)
    halves = [(text[: len(text) // 2], text[len(text) // 2 :]) for text in texts]
    left, right = rng.integers(0, len(texts), (2, 20_000))
    pl.DataFrame(
        {
            "id": np.arange(20_000),
            "text": [halves[i][0] + " " + halves[j][1] for i, j in zip(left, right, strict=True)],
        }
    ).write_parquet(tmp_path / "pool.parquet")
    config = write_config(tmp_path / "c.toml", tmp_path / "pool.parquet", tmp_path / "store")
    code, out, _ = run(monkeypatch, capsys, "plan", config, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["sampled"] == [1_000, 1_000, 4_000]
    assert peak_of("curate", config) == pytest.approx(found["memory"], rel=0.2)
    code, out, _ = run(monkeypatch, capsys, "plan", config)
    assert "20,000 rows" in out
    assert "score pagerank" in out


def test_a_sample_has_seeds_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(samples, "sample_sizes", lambda rows, known: (60, 60, 120))
    vectors = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    ids = [f"r{row:03}" for row in range(300)]
    pl.DataFrame({"id": ids, "v": vectors}).write_parquet(tmp_path / "pool.parquet")
    found = estimated(
        CurationConfig(
            pool=str(tmp_path / "pool.parquet"), id="id", vector="v", like=("r299", "r298"),
            scores=(), budget=10, store=str(tmp_path / "store"),
        ),
        tmp_path,
    )  # fmt: skip
    assert "score like" in [stage.stage for stage in found.stages]


def test_which_sample_runs_is_shown(
    settings: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "c.toml", settings["pool"], tmp_path / "store", budget=60)
    estimate(config, show=True)
    said = capfd.readouterr().err
    assert "sample 1 of 1, 600 rows: done" in said
    assert said.index("embed: done") < said.index("sample 1 of 1")


def test_a_process_that_ends_early_is_an_error(monkeypatch: Any, tmp_path: Path) -> None:
    def killed(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, -9, "", None)

    monkeypatch.setattr(estimation.subprocess, "run", killed)
    with pytest.raises(ResourceError, match="ended with -9"):
        estimate(tmp_path / "c.toml")
