"""No name stands in the registry that can't be run from a file and from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from assay.flows import api
from assay.flows.cli import app
from assay.flows.config.curation import CurationConfig
from assay.flows.config.features import FeatureConfig
from assay.flows.config.form import read_toml
from assay.flows.stages.run import resolve_run
from assay.selection import registry
from assay.storage.errors import StoreError

runner = CliRunner()
# steps that a plan has keys of its own for, as TOML and as options
OF_THEIR_OWN = {
    "hard_cutoff": ("cutoff = 0.1", ["--cutoff", "0.1"]),
    "leakage": ('leakage = { it = "more.parquet" }', ["--option", "leakage.ngrams=9"]),
    "in_reference": ('reference = { it = "more.parquet" }', ["--reference", "it=more.parquet"]),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    ids = [f"r{i}" for i in range(40)]
    texts = [f"about {i % 7} things and {i} more" for i in range(40)]
    pool = pl.DataFrame({"id": ids, "text": texts, "label": [str(i % 3) for i in range(40)]})
    pool.write_parquet(folder / "pool.parquet")
    pool.head(9).write_parquet(folder / "more.parquet")
    log = [(one, epoch, *[1 / 3] * 3) for one in ids for epoch in range(3)]
    pl.DataFrame(log, schema=["sample_id", "epoch", "0", "1", "2"], orient="row").write_csv(
        folder / "log.csv"
    )
    return folder


@pytest.fixture
def asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Collect the configurations that commands would run."""
    monkeypatch.chdir(folder)
    settings: list[Any] = []

    def instead(config: Any, **_: Any) -> None:
        settings.append(config)
        raise StoreError("enough")

    monkeypatch.setattr(api, "curate", instead)
    monkeypatch.setattr(api, "rank_features", instead)
    return settings


def of_curation(entry: registry.Entry) -> tuple[list[str], list[str]]:
    """Return lines of a file and the options that say the same."""
    if entry.kind == "selector":
        lines = [f'select = "{entry.name}"', 'scores = ["pagerank"]']
        options = ["--select", entry.name, "--scores", "pagerank"]
        if entry.has_difficulty or "scores" in entry.needs:
            return [*lines, 'difficulty = "pagerank"'], [*options, "--difficulty", "pagerank"]
        return lines, options
    plan, options = OF_THEIR_OWN.get(
        entry.name, (f'deduplicate = ["{entry.name}"]', ["--deduplicate", entry.name])
    )
    lines = ['select = "random"', 'scores = ["pagerank"]', 'difficulty = "pagerank"']
    own = ["--select", "random", "--scores", "pagerank", "--difficulty", "pagerank"]
    return [*lines, "[plan]", plan], [*own, *options]


def named(config: CurationConfig, entry: registry.Entry) -> bool:
    """Return whether a configuration runs a method."""
    plan = config.plan
    if entry.kind == "selector":
        return config.select == entry.name
    own = {"hard_cutoff": plan.cutoff, "leakage": plan.leakage, "in_reference": plan.reference}
    return bool(own.get(entry.name)) or entry.name in [name for name, _ in plan.steps()]


def both(
    folder: Path, asked: list[Any], lines: list[str], options: list[str], *file: str
) -> tuple[CurationConfig, CurationConfig]:
    """Return what a file says, resolved, and what a call would run."""
    given = {"pool": "pool.parquet", "id": "id", "text": "text", "label": "label",
             "target": "more.parquet", "training_log": "log.csv"}  # fmt: skip
    top = [f'{key} = "{value}"' for key, value in given.items()]
    text = "\n".join([*top, 'like = ["r1", "r2"]', "budget = 5", *lines])
    (folder / "run.toml").write_text(text)
    written = CurationConfig.build(read_toml(folder / "run.toml"))
    call = ["curate", *file, "--like", "r1,r2", "--budget", "5", *options]
    for key, value in given.items():
        call += [f"--{key.replace('_', '-')}", value]
    asked.clear()
    done = runner.invoke(app, call)
    assert asked, f"{lines}: {done.output} {done.exception}"
    assert asked[0] == written or file
    # everything that is decided and checked before the first stage
    return resolve_run(written).config, asked[0]


def test_every_scorer_runs_from_a_file_and_from_options(folder: Path, asked: list[Any]) -> None:
    names = [entry.name for entry in registry.entries("scorer")]
    lines = ['select = "random"', f"scores = {names!r}"]
    options = ["--select", "random", "--scores", ",".join(names)]
    for config in both(folder, asked, lines, options):
        assert config.scores == tuple(names)


@pytest.mark.parametrize("kind", ["selector", "step"])
def test_every_selector_and_step_runs_from_a_file_and_from_options(
    kind: str, folder: Path, asked: list[Any]
) -> None:
    for entry in registry.entries(kind):
        lines, options = of_curation(entry)
        # evaluation sets are named in a file, the options of their step on the line too
        file = ["run.toml"] if entry.name == "leakage" else []
        for config in both(folder, asked, lines, options, *file):
            assert named(config, entry), entry.name


def test_every_ranker_runs_from_a_file_and_from_options(folder: Path, asked: list[Any]) -> None:
    for entry in registry.entries("ranker"):
        values = {"table": "pool.parquet", "label": "label", "methods": [entry.name]}
        (folder / "rank.toml").write_text(
            f'table = "pool.parquet"\nlabel = "label"\nmethods = ["{entry.name}"]\n'
        )
        written = FeatureConfig.build(read_toml(folder / "rank.toml"))
        assert written == FeatureConfig.build(values)
        asked.clear()
        done = runner.invoke(
            app, ["features", "pool.parquet", "--label", "label", "--method", entry.name]
        )
        assert asked, f"{entry.name}: {done.output} {done.exception}"
        assert asked[0].methods == written.methods == (entry.name,)


def test_every_name_is_listed() -> None:
    for kind in ("selector", "scorer", "ranker", "step"):
        listed = runner.invoke(app, ["methods", "--kind", kind, "--json"]).stdout
        for entry in registry.entries(kind):
            assert f'"{entry.name}"' in listed
