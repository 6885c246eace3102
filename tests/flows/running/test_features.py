"""`rank_features` and `assay features`: methods, options, missing values, stability, consensus, memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.flows.config.features import FeatureConfig
from assay.flows.config.fields import method_options
from assay.flows.running.runner import rank_features
from assay.selection import consensus_ranking, registry
from assay.storage import ScoreStore
from assay.storage.errors import ColumnError, ConfigError, InputError

RANKERS = [entry.name for entry in registry.entries("ranker")]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    rng = np.random.default_rng(1)
    n = 240
    y = rng.integers(0, 2, n)
    frame = pl.DataFrame({f"noise{i}": rng.normal(size=n) for i in range(8)}).with_columns(
        signal=pl.Series(y * 2.0 + rng.normal(size=n) * 0.3),
        other=pl.Series(y + rng.normal(size=n)),
        gap=pl.Series(np.where(rng.random(n) < 0.1 + 0.4 * y, np.nan, rng.normal(size=n))),
        color=pl.Series(np.array(["red", "green", "blue"])[rng.integers(0, 3, n)]),
        label=pl.Series(np.where(y, "yes", "no")),
    )
    path = tmp_path_factory.mktemp("tables") / "t.parquet"
    frame.write_parquet(path, row_group_size=50)
    return str(path)


def _metrics(result: Any) -> dict[str, tuple[float, float | None]]:
    rows = result.sql("SELECT name, value, baseline FROM metrics").iter_rows()
    return {name: (value, baseline) for name, value, baseline in rows}


def test_every_ranker_writes_its_scores(path: str, tmp_path: Path) -> None:
    result = rank_features(
        table=path,
        label="label",
        methods=RANKERS,
        k=3,
        options={"quick_selection": {"hidden": 20, "epochs": 2}},
        store=str(tmp_path),
    )
    scores = result.sql("FROM feature_scores")
    assert scores.columns == ["run_id", "method", "feature", "score", "rank", "selected"]
    assert set(scores["method"]) == set(RANKERS)
    for _, part in scores.group_by("method"):
        assert sorted(part["rank"]) == list(range(1, 13))
        assert part["selected"].sum() == 3
    best = scores.filter(pl.col("rank") == 1, pl.col("feature") == "signal")["method"]
    assert {"ecfs", "fisher", "outrank", "mrmr", "relieff", "f_classif"} <= set(best)


def test_how_many_columns_may_be_left_to_the_methods(path: str, tmp_path: Path) -> None:
    result = rank_features(
        table=path, label="label", methods="fisher,laplacian", k="auto", store=str(tmp_path)
    )
    kept = result.sql(
        "SELECT method, count(*) AS n FROM feature_scores WHERE selected GROUP BY ALL"
    )
    counts = dict(kept.iter_rows())
    assert counts["fisher"] in (1, 2)
    assert 1 <= counts["laplacian"] <= 12


def test_options_reach_the_ranker_and_make_another_run(path: str, tmp_path: Path) -> None:
    settings = {"table": path, "label": "label", "methods": "ecfs,inf_fs", "store": str(tmp_path)}
    plain = rank_features(**settings)
    changed = rank_features(
        **settings, options={"ecfs": {"alpha": 0.1}, "inf_fs": {"supervised": True}}
    )
    assert plain.run_id != changed.run_id
    for method in ("ecfs", "inf_fs"):
        a, b = (
            result.sql(
                "SELECT score FROM feature_scores WHERE run_id = "
                f"'{result.run_id}' AND method = '{method}' ORDER BY feature"
            )["score"]
            for result in (plain, changed)
        )
        assert a.to_list() != b.to_list()
    again = rank_features(**settings, options={"ecfs": {"alpha": 0.1}})
    assert again.computed


def test_what_options_may_be(path: str, tmp_path: Path) -> None:
    settings = {"table": path, "label": "label", "store": str(tmp_path / "s")}
    with pytest.raises(ColumnError, match="Did you mean 'alpha'"):
        rank_features(**settings, options={"ecfs": {"alhpa": 1}})
    with pytest.raises(ColumnError, match="ranker"):
        rank_features(**settings, options={"efcs": {"alpha": 1}})
    with pytest.raises(ConfigError, match="alpha is 3"):
        rank_features(**settings, options={"ecfs": {"alpha": 3}})
    with pytest.raises(ConfigError, match="k"):
        rank_features(**settings, k="all")
    found = method_options(["ecfs.alpha=cv", "ecfs.n_bins=12", "outrank.search='3mr'"])
    assert found == {"ecfs": {"alpha": "cv", "n_bins": 12}, "outrank": {"search": "3mr"}}
    for bad in ("ecfs.alpha", "alpha=1", ".alpha=1"):
        with pytest.raises(ConfigError, match="METHOD"):
            method_options([bad])


def test_missing_values_are_told_and_may_be_refused_or_ranked(path: str, tmp_path: Path) -> None:
    settings = {"table": path, "label": "label", "store": str(tmp_path)}
    share = pl.read_parquet(path)["gap"].is_nan().mean()
    assert _metrics(rank_features(**settings))["missing:gap"] == (pytest.approx(share), None)
    found = rank_features(**settings, missing="indicator")
    ranked = found.sql(f"FROM feature_scores WHERE run_id = '{found.run_id}' ORDER BY rank")
    assert "gap is missing" in ranked["feature"].to_list()[:3]
    with pytest.raises(InputError, match="gap"):
        rank_features(**settings, missing="raise")


def test_stability_and_consensus_are_stored(path: str, tmp_path: Path) -> None:
    methods = ("ecfs", "fisher", "outrank")
    result = rank_features(
        table=path,
        label="label",
        methods=methods,
        k=4,
        stability=12,
        consensus="rra",
        store=str(tmp_path),
    )
    metrics = _metrics(result)
    for method in methods:
        value, baseline = metrics[f"stability:{method}"]
        assert baseline == 0.0
        assert (
            metrics[f"stability_low:{method}"][0] <= value <= metrics[f"stability_high:{method}"][0]
        )
        assert metrics[f"frequency:{method}:signal"] == (1.0, pytest.approx(4 / 12))
        assert sum(name.startswith(f"frequency:{method}:") for name in metrics) == 4
    scores = result.sql("FROM feature_scores")
    wide = scores.pivot("method", index="feature", values="rank").sort("feature")
    expected = consensus_ranking([wide[method].to_numpy() for method in methods]).ranking
    assert wide["consensus"].to_list() == expected.tolist()
    assert scores.filter(method="consensus")["selected"].sum() == 4
    assert not rank_features(
        table=path, label="label", methods=methods, k=4, stability=12, consensus="rra",
        store=str(tmp_path),
    ).computed  # fmt: skip


def test_a_table_over_the_limit_of_memory_gives_the_same(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"table": path, "label": "label", "methods": "ecfs,outrank,mrmr", "k": 4}
    whole = rank_features(**settings, store=str(tmp_path / "a"))
    from assay.flows.stages import features

    monkeypatch.setattr(features, "MEGABYTE", 1)
    parts = rank_features(**settings, memory_mb=1, store=str(tmp_path / "b"))
    query = "SELECT method, feature, score, rank, selected FROM feature_scores ORDER BY ALL"
    a, b = whole.sql(query), parts.sql(query)
    assert a.drop("score").equals(b.drop("score"))
    np.testing.assert_allclose(a["score"], b["score"], rtol=1e-12)
    modes = {
        json.loads(found.read_text())["mode"]
        for found in (tmp_path / "b" / "artifacts" / "features").glob("*/report.json")
    }
    assert modes == {"rows", "columns", "memory"}
    with pytest.raises(ConfigError, match="memory_mb"):
        rank_features(**settings, memory_mb=1, stability=5, store=str(tmp_path / "b"))


def test_nothing_is_written_where_the_table_is_at_fault(path: str, tmp_path: Path) -> None:
    frame = pl.read_parquet(path).with_columns(label=pl.lit(None, dtype=pl.String))
    frame.write_parquet(tmp_path / "bad.parquet")
    with pytest.raises(InputError, match="labels"):
        rank_features(table=str(tmp_path / "bad.parquet"), label="label", store=str(tmp_path / "s"))
    assert not (tmp_path / "s").exists()


def test_the_command_line(path: str, tmp_path: Path) -> None:
    arguments = [
        "features", path, "--label", "label", "--method", "ecfs,fisher", "--k", "auto",
        "--option", "ecfs.alpha=cv", "--missing", "indicator", "--stability", "4",
        "--consensus", "median", "--memory-mb", "64", "--store", str(tmp_path), "--json",
    ]  # fmt: skip
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert {row["method"] for row in told["features"]} == {"ecfs", "fisher", "consensus"}
    config = FeatureConfig(label="y", k=3)
    assert (config.stability, config.consensus, config.missing) == (0, None, "median")


def test_the_quality_of_columns_is_stored_and_told(tmp_path: Path) -> None:
    rows = np.arange(200)
    frame = pl.DataFrame(
        {
            "good": rows % 7 + rows / 1000,
            "same": np.ones(200),
            "key": [f"k{i}" for i in rows],
            "gap:s": [None if i % 4 else 1.5 * i for i in rows],
            "rare": [int(i == 3) for i in rows],
            "y": rows % 2,
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    arguments = ["features", str(tmp_path / "t.parquet"), "--label", "y", "--method", "f_classif"]
    for how in ([], ["--memory-mb", "1"]):
        store = tmp_path / f"s{len(how)}"
        done = CliRunner().invoke(app, [*arguments, *how, "--store", str(store), "--json"])
        assert done.exit_code == 0, done.output
        quality = json.loads(done.stdout.splitlines()[-1])["quality"]
        assert {(row["feature"], row["anomaly"]): row["value"] for row in quality} == {
            ("same", "constant"): 1.0,
            ("key", "near-unique"): 1.0,
            ("gap:s", "missing"): 0.75,
            ("rare", "dominated"): 0.995,
        }


def test_a_consensus_counts_what_is_corrected_for_chance(path: str, tmp_path: Path) -> None:
    settings = {"table": path, "label": "label", "k": 4, "consensus": "rra", "store": str(tmp_path)}

    def agreed(**more: Any) -> list[int]:
        result = rank_features(**settings, **more)
        return result.sql("FROM feature_scores WHERE method = 'consensus' ORDER BY feature")[
            "rank"
        ].to_list()

    two, three = ("fisher", "outrank"), ("fisher", "mutual_info_classif", "outrank")
    assert agreed(methods=three) == agreed(methods=two)
    assert agreed(methods=three, consensus_of=("fisher",)) == agreed(methods=("fisher",))
    with pytest.raises(ConfigError, match="consensus_of"):
        agreed(methods=("mutual_info_classif",))
    with pytest.raises(ColumnError, match="method of the consensus"):
        agreed(methods=two, consensus_of=("ecfs",))


def test_the_command_line_names_the_methods_of_a_consensus(path: str, tmp_path: Path) -> None:
    common = ["features", path, "--label", "label", "--k", "4", "--store", str(tmp_path), "--json"]
    agree = ["--method", "fisher,outrank", "--consensus", "rra", "--consensus-of", "fisher"]
    done = CliRunner().invoke(app, [*common, *agree], catch_exceptions=False)
    ranked = pl.DataFrame(json.loads(done.stdout)["features"]).sort("feature")
    order = [ranked.filter(method=name)["rank"].to_list() for name in ("consensus", "fisher")]
    assert order[0] == order[1]


def test_columns_that_rounding_makes_constant_are_named(tmp_path: Path) -> None:
    rows = np.arange(120)
    frame = pl.DataFrame(
        {
            "merged": pl.Series([0 if i % 2 else 2**62 + i % 3 for i in rows], dtype=pl.Int64),
            "text numbers": [f"{10**25 + int(i % 3)}" for i in rows],
            "fine": pl.Series(2**60 + rows % 5, dtype=pl.Int64),
            "y": rows % 2,
        }
    )
    frame.write_parquet(tmp_path / "t.parquet")
    arguments = ["features", str(tmp_path / "t.parquet"), "--label", "y", "--method", "fisher"]
    for how in ([], ["--memory-mb", "1"]):
        store = tmp_path / f"s{len(how)}"
        done = CliRunner().invoke(app, [*arguments, *how, "--store", str(store)])
        assert done.exit_code == 0, done.output
        said = " ".join(done.output.split())
        assert "merged" in said
        assert "as 64-bit floats" in said
        assert "is subtracted" in said


def test_a_consensus_that_merges_stores_its_breakdown_point(path: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app,
        [
            "features", path, "--label", "label", "--method", "ecfs,fisher,mrmr,f_classif", "--k", "4",
            "--consensus", "merge", "--store", str(tmp_path), "--json",
        ],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout.splitlines()[-1])
    store = ScoreStore(tmp_path)
    wide = store.sql("SELECT method, feature, rank FROM feature_scores").pivot(
        "method", index="feature", values="rank"
    ).sort("feature")  # fmt: skip
    methods = ["ecfs", "fisher", "mrmr", "f_classif"]
    expected = consensus_ranking([wide[m].to_numpy() for m in methods], method="merge")
    assert wide["consensus"].to_list() == expected.ranking.tolist()
    metrics = dict(store.sql("SELECT name, value FROM metrics").iter_rows())
    assert metrics["consensus.breakdown"] == pytest.approx(expected.breakdown)
    assert told["run_id"]


def test_seats_and_missing_values_that_tell_are_told(path: str, tmp_path: Path) -> None:
    arguments = ["features", path, "--label", "label", "--method", "f_classif", "--store"]
    arguments += [str(tmp_path), "--seats", "20", "--by", "i", "--threshold", ".02", "--json"]
    told = CliRunner().invoke(app, arguments)
    assert told.exit_code == 0, told.exception
    found = json.loads(told.stdout)
    (gap,) = found["missing_relevance"]
    frame = pl.read_parquet(path)
    missing = frame["gap"].is_nan()
    of_class = frame["label"] == gap["label"]
    assert gap["feature"] == "gap"
    assert gap["rate_missing"] == pytest.approx(of_class.filter(missing).mean())
    assert gap["rate_present"] == pytest.approx(of_class.filter(~missing).mean())
    assert gap["p_adjusted"] < 0.01
    seats = {row["alliance"]: row["seats"] for row in found["seats"]}
    assert sum(seats.values()) == 20
    assert max(seats, key=seats.__getitem__) == "s"  # the name of signal up to its i
    result = ScoreStore(tmp_path).sql("SELECT value FROM metrics WHERE name = 'seats:f_classif:s'")
    assert result.item() == seats["s"]
    shown = CliRunner().invoke(app, arguments[:-1])
    assert "Seats by importance" in shown.stdout
    assert "tells about the label" in shown.stdout
    with pytest.raises(ConfigError, match="set seats"):
        rank_features(table=path, label="label", seats_by="_", store=str(tmp_path))
