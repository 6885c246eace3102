"""The configuration explained, its schema, and the file that repeats a call."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import polars as pl
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from assay.flows.cli import app
from assay.flows.commands.help import EXAMPLES, PANELS
from assay.flows.commands.settings import save
from assay.flows.config import schema
from assay.flows.config.curation import CurationConfig
from assay.storage import ScoreStore
from assay.storage.errors import ColumnError, ConfigError

runner = CliRunner()


@pytest.mark.parametrize("form", schema.FORMS.values(), ids=schema.FORMS)
def test_every_key_is_described(form: type) -> None:
    assert [key.name for key in schema.keys(form) if not key.meaning] == []


def test_the_schema_describes_keys_and_tables() -> None:
    found = json.loads(runner.invoke(app, ["config", "--schema"]).stdout)
    assert found["$schema"] == schema.DIALECT
    assert (
        "condition" in found["$defs"]["PlanConfig"]["properties"]["filters"]["description"].lower()
    )
    assert found["additionalProperties"] is False
    assert found["properties"]["seed"]["minimum"] == 0


def test_a_key_is_explained_with_its_default() -> None:
    told = runner.invoke(app, ["config", "--explain", "graph.target_recall"]).stdout
    assert told.startswith("graph.target_recall (default 0.95)\n")
    table = json.loads(runner.invoke(app, ["config", "--explain", "graph", "--json"]).stdout)[
        "keys"
    ]
    assert {k: table[0][k] for k in ("name", "default")} == {"name": "graph.k", "default": 15}
    with pytest.raises(ColumnError, match=r"Did you mean 'plan\.quotas'"):
        schema.key(CurationConfig, "plan.quota")


def test_a_saved_configuration_repeats_the_call(tmp_path: Path) -> None:
    pool = tmp_path / "pool.parquet"
    pl.DataFrame(
        {"text": [f"row number {i} of {i % 7}" for i in range(60)], "kind": ["a", "b"] * 30}
    ).write_parquet(pool)
    call = ["curate", "--pool", str(pool), "--text", "text", "--keep", "kind", "--by", "kind",
            "--quota", "a=20%", "--budget", "10", "--select", "random", "--filter", "length(text) > 3",
            "--expression", "words=length(text)", "--store", str(tmp_path / "store"),
            "--save-config", str(tmp_path / "run.toml"), "--json"]  # fmt: skip
    first = runner.invoke(app, call)
    assert first.exit_code == 0, first.output
    values = tomllib.loads((tmp_path / "run.toml").read_text())
    assert values["plan"] == {"filters": ["length(text) > 3"], "by": "kind", "quotas": {"a": 0.2}}
    again = runner.invoke(app, ["curate", str(tmp_path / "run.toml"), "--json"])
    assert json.loads(again.stdout)["run_id"] == json.loads(first.stdout)["run_id"]
    chosen = ScoreStore(tmp_path / "store").sql(
        "SELECT kind, count(*) AS n FROM latest_selection JOIN latest_samples USING (pool, sample_id) "
        "GROUP BY kind ORDER BY kind"
    )
    assert chosen.rows() == [("a", 2), ("b", 8)]
    assert runner.invoke(app, call).exit_code == 0


def test_another_file_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "run.toml"
    out.write_text("mine = true\n")
    with pytest.raises(ConfigError, match="exists already"):
        save(CurationConfig.build({"seed": 3}), out)
    assert out.read_text() == "mine = true\n"
    with pytest.raises(ConfigError, match="no folder"):
        save(CurationConfig.build({"seed": 3}), tmp_path / "nowhere" / "run.toml")


def test_help_shows_what_options_take_and_examples() -> None:
    commands = [name for names in PANELS.values() for name in names]
    assert sorted(commands) == sorted(get_command(app).commands)
    for command in (None, *commands):
        arguments = ["--help"] if command is None else [command, "--help"]
        told = runner.invoke(app, arguments, env={"COLUMNS": "120"}).stdout
        assert not re.search(r"<(bool|str|int|path|float)>|list\[", told), command
        if command is None:
            assert [told.index(f" {panel} ") for panel in PANELS] == sorted(
                told.index(f" {panel} ") for panel in PANELS
            )
        else:
            assert f"assay {command}" in told.partition("Examples:")[2], command


def test_examples_name_options_that_there_are() -> None:
    commands = get_command(app).commands
    for name, examples in EXAMPLES.items():
        known = {option for given in commands[name].params for option in given.opts}
        needed = [given for given in commands[name].params if given.required]
        for example in examples:
            words = shlex.split(example)
            assert words[:2] == ["assay", name]
            assert {word for word in words if word.startswith("--")} <= known, example
            for given in needed:
                positional = given.param_type_name == "argument"
                assert positional or set(given.opts) & set(words), example
                assert not positional or not words[2].startswith("-"), example
