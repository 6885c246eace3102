"""What `assay init` writes runs: the configuration, the deployment's parameters and the notebook."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from assay.examples import example_path
from assay.flows.cli import app
from assay.flows.commands.init import CONFIG, DEPLOYMENT, NOTEBOOK
from assay.flows.config.curation import CurationConfig
from assay.flows.config.proposal import propose
from assay.storage import ScoreStore, read_pool
from assay.storage.errors import ConfigError, InputError

runner = CliRunner()


def table(rows: int = 200) -> pl.DataFrame:
    numbers = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "customer_id": np.arange(1000, 1000 + rows),
            "age": numbers.integers(18, 90, rows),
            "pay": numbers.normal(3000, 500, rows).round(2),
            "job": numbers.choice(["cook", "nurse", "smith"], rows),
            "label": numbers.choice(["yes", "no"], rows),
        }
    )


def pools(folder: Path) -> dict[str, str]:
    """Write a pool of each kind; return their paths."""
    numbers = np.random.default_rng(1)
    texts = pl.read_parquet(example_path("pool.parquet")).gather_every(20)
    texts.write_parquet(folder / "texts.parquet")
    table().write_csv(folder / "table.csv")
    pl.DataFrame(
        {
            "name": [f"row-{i}" for i in range(100)],
            "embedding": numbers.normal(size=(100, 8)).astype(np.float32),
        }
    ).write_parquet(folder / "vectors.parquet")
    chats = [
        {"messages": [{"role": "user", "content": f"ask {i}"}, {"role": "bot", "content": "yes"}]}
        for i in range(60)
    ]
    (folder / "chats.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    return {path.stem: str(path) for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("texts", {"id": "id", "text": "text", "keep": ["domain"], "budget": "10%"}),
        (
            "table",
            {"id": "customer_id", "columns": ("age", "pay", "job"), "label": "label"},
        ),
        ("vectors", {"id": "name", "vector": "embedding"}),
        ("chats", {"text": "messages"}),
    ],
)
def test_what_is_written_runs(
    kind: str, expected: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(pools(tmp_path)[kind]).name
    done = runner.invoke(app, ["init", path, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["files"] == [CONFIG, DEPLOYMENT, NOTEBOOK]
    settings = tomllib.loads(Path(CONFIG).read_text(encoding="utf-8"))
    for key, value in expected.items():
        assert settings[key] == (list(value) if isinstance(value, tuple) else value), key
    assert ("id" in settings) == ("id" in expected)
    parameters = yaml.safe_load(Path(DEPLOYMENT).read_text(encoding="utf-8"))["deployments"][0]
    given = {key: value for key, value in settings.items() if key != "plan"}
    assert parameters["parameters"]["config"] == given
    curated = runner.invoke(app, ["curate", CONFIG])
    assert curated.exit_code == 0, curated.output
    # the notebook's call is the same run, so that its cells compute nothing
    names: dict[str, Any] = {}
    for cell in json.loads(Path(NOTEBOOK).read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), NOTEBOOK, "exec"), names)
    assert not names["result"].computed
    assert names["chosen"].height == ScoreStore("assay-store").sql("FROM latest_selection").height


def test_the_commented_lines_are_right_too(tmp_path: Path) -> None:
    path = pools(tmp_path)["texts"]
    assert runner.invoke(app, ["init", path, "--out", str(tmp_path)]).exit_code == 0
    text = (tmp_path / CONFIG).read_text(encoding="utf-8")
    said = re.findall(r"^# (\w+ = .*)$", text, flags=re.MULTILINE)
    assert len(said) >= 7
    whole = re.sub(r"^# (\w+ = .*)$", r"\1", text, flags=re.MULTILINE)
    config = CurationConfig.build(tomllib.loads(whole))
    assert config.plan.deduplicate == ("exact_duplicates", "near_duplicates")
    assert config.plan.filters == ('length("text") > 40',)


def test_nothing_is_replaced_unless_asked(tmp_path: Path) -> None:
    path = pools(tmp_path)["vectors"]
    (tmp_path / DEPLOYMENT).write_text("mine")
    call = ["init", path, "--out", str(tmp_path)]
    refused = runner.invoke(app, call)
    assert isinstance(refused.exception, ConfigError)
    assert DEPLOYMENT in str(refused.exception)
    assert "--overwrite" in str(refused.exception)
    assert (tmp_path / DEPLOYMENT).read_text() == "mine"
    assert not (tmp_path / CONFIG).exists()
    assert runner.invoke(app, [*call, "--overwrite"]).exit_code == 0
    assert (tmp_path / DEPLOYMENT).read_text() != "mine"


def test_a_pool_is_named_as_seen_from_the_folder_of_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(pools(tmp_path)["vectors"]).name
    (tmp_path / "project").mkdir()
    assert runner.invoke(app, ["init", path, "--out", "project"]).exit_code == 0
    settings = tomllib.loads((tmp_path / "project" / CONFIG).read_text(encoding="utf-8"))
    assert settings["pool"] == "../vectors.parquet"


def test_a_target_beside_the_pool_is_taken(tmp_path: Path) -> None:
    path = pools(tmp_path)["texts"]
    assert "target" not in propose(path).settings
    pl.DataFrame({"other": ["x"]}).write_parquet(tmp_path / "wanted.parquet")
    assert "target" not in propose(path).settings
    pl.read_parquet(path).head(5).write_parquet(tmp_path / "target.parquet")
    assert propose(path).settings["target"] == str(tmp_path / "target.parquet")
    with pytest.raises(ConfigError, match="no column 'text'"):
        propose(path, target=str(tmp_path / "wanted.parquet"))


def test_a_column_that_repeats_is_no_id(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"id": [1, 2, 2, 4], "code": ["01", "02", "03", "04"], "text": ["one two three four"] * 4}
    )
    frame.write_csv(tmp_path / "pool.csv")
    assert propose(str(tmp_path / "pool.csv")).settings["id"] == "code"
    # numbers that happen to differ are measures
    frame.select("text", pay=pl.Series([10, 20, 30, 40])).write_parquet(tmp_path / "pay.parquet")
    assert "id" not in propose(str(tmp_path / "pay.parquet")).settings


def test_a_folder_of_images_has_its_classes_as_labels(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for kind in ("cat", "dog"):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for number in range(4):
            image.new("RGB", (16, 16), (number * 60, 10, 99 if kind == "cat" else 200)).save(
                tmp_path / "images" / kind / f"{number}.png"
            )
    settings = propose(str(tmp_path / "images")).settings
    assert settings["image"] == "image"
    assert settings["label"] == "folder"
    assert settings["id"] == "file"
    CurationConfig.build(settings)


def test_a_pool_without_content_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"id": ["a", "b"]}).write_parquet(tmp_path / "ids.parquet")
    with pytest.raises(ConfigError, match="can be content"):
        propose(str(tmp_path / "ids.parquet"))
    pl.DataFrame({"text": []}, schema={"text": pl.String}).write_parquet(tmp_path / "no.parquet")
    with pytest.raises(InputError, match="no rows"):
        propose(str(tmp_path / "no.parquet"))


def test_without_a_pool_the_shipped_one_is_set_up(tmp_path: Path) -> None:
    done = runner.invoke(app, ["init", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    config = CurationConfig.from_toml(tmp_path / CONFIG)
    assert Path(str(config.pool)) == example_path("pool.parquet")
    assert Path(str(config.target)) == example_path("target.parquet")
    assert config.keep == ("domain",)


def test_counts_of_values_say_which_rows_they_are_of(tmp_path: Path) -> None:
    for rows, said in ((200, False), (12_000, True)):
        table(rows).write_parquet(tmp_path / f"{rows}.parquet")
        out = str(tmp_path / f"out-{rows}")
        Path(out).mkdir()
        done = runner.invoke(app, ["init", str(tmp_path / f"{rows}.parquet"), "--out", out])
        assert done.exit_code == 0, done.output
        text = Path(out, CONFIG).read_text(encoding="utf-8")
        assert ("(values are those of 10,000 rows):" in text) is said
        assert f"# The pool has {rows:,} rows with these columns" in text


def test_numbers_with_nan_are_numbers(tmp_path: Path) -> None:
    frame = table().with_columns(
        pay=pl.when(pl.int_range(pl.len()) % 7 == 0).then(float("nan")).otherwise("pay")
    )
    frame.write_csv(tmp_path / "table.csv")
    proposal = propose(str(tmp_path / "table.csv"))
    assert {c.name: c.type for c in proposal.columns}["pay"] == "Float64"
    assert "pay" in proposal.settings["columns"]


def test_images_beside_data_are_named(tmp_path: Path) -> None:
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    (tmp_path / "photos" / "cats" / "one.jpg").write_bytes(b"")
    (tmp_path / "photos" / "seen.csv").write_text("at\n2020-01-01T00:00:00\n2020-01-02T00:00:00\n")
    for look in (propose, lambda pool: read_pool(pool, label="at")):
        with pytest.raises(ConfigError, match=r"also holds 1 images.*\(seen\.csv\).*\*\*/\*\.jpg"):
            look(str(tmp_path / "photos"))
