"""Configurations: what is unknown or wrong is said, in one paragraph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assay.flows.config.curation import CurationConfig
from assay.flows.config.features import FeatureConfig
from assay.flows.config.fields import location_keys
from assay.flows.stages.run import resolve_run
from assay.storage.errors import AssayError, BudgetError, ConfigError


@pytest.mark.parametrize(
    ("given", "budget"), [("5%", 0.05), (0.05, 0.05), (1000, 1000), ("1000", 1000), ("100%", 1.0)]
)
def test_budgets_mean_the_same_in_every_form(given: Any, budget: float) -> None:
    parsed = CurationConfig.build({"budget": given}).budget
    assert parsed == budget
    assert isinstance(parsed, type(budget))


@pytest.mark.parametrize("given", [0, -3, "120%", 1.5, "many", "0%", True, None, [1], "nan", "-5%"])
def test_what_is_no_budget_is_refused(given: Any) -> None:
    with pytest.raises(ConfigError):
        CurationConfig.build({"budget": given})


def test_a_wrong_budget_is_a_budget_error() -> None:
    with pytest.raises(BudgetError, match="120%"):
        CurationConfig.build({"budget": "120%"})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"bugdet": 3}, "unknown key 'bugdet'"),
        ({"seed": -1}, "seed"),
        ({"graph": {"k": 0}}, "graph.k"),
        ({"graph": {"metrics": "l2"}}, r"graph\.metrics"),
        ({"seed": "x", "pool": 3}, "seed.*pool|pool.*seed"),
    ],
)
def test_wrong_keys_are_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as error:
        CurationConfig.build(values)
    assert "\n" not in str(error.value)


def test_a_location_is_never_empty() -> None:
    """As a path it would be the working directory, whatever lies there."""
    checked = 0
    for form in (CurationConfig, FeatureConfig):
        for keys in location_keys(form):
            for empty in ("", "  "):
                value: Any = {"old": empty} if keys[-1] in ("reference", "leakage") else empty
                for key in reversed(keys):
                    value = {key: value}
                with pytest.raises(ConfigError, match="it is empty; give a path"):
                    form.build({"label": "y"} | value)
                checked += 1
    assert checked >= 20


def test_a_file_with_overrides(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('pool = "p.parquet"\nbudget = "5%"\nkeep = ["a", "b"]\n[graph]\nk = 5\n')
    config = CurationConfig.from_toml(path, budget="10", keep="c,d", pool=None)
    assert (config.pool, config.budget, config.keep, config.graph.k) == (
        "p.parquet",
        10,
        ("c", "d"),
        5,
    )


@pytest.mark.parametrize("content", [b"pool = ", b"\xff\xfe", b"pool = 3\n"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"c\.toml"):
        CurationConfig.from_toml(path)
    with pytest.raises(ConfigError, match="nowhere"):
        CurationConfig.from_toml(tmp_path / "nowhere.toml")


@pytest.mark.parametrize("made", [b"PAR1\xca", b"id,text\n1,a\n", None])
def test_data_in_place_of_a_configuration_is_named(tmp_path: Path, made: bytes | None) -> None:
    path = tmp_path / "pool.parquet"
    if made is not None:
        path.write_bytes(made)
    with pytest.raises(ConfigError, match=r"pool\.parquet .*--pool"):
        CurationConfig.from_toml(path)


def test_features_need_a_label() -> None:
    with pytest.raises(ConfigError, match="label"):
        FeatureConfig.build({"table": "t.parquet"})
    assert FeatureConfig.build({"label": "y", "methods": "ecfs"}).methods == ("ecfs",)


def test_an_embedder_by_name_checks_its_options(tmp_path: Path) -> None:
    frame = pl.DataFrame({"id": [1, 2], "text": ["a", "b"], "v": [[1.0], [2.0]]})
    frame.write_parquet(tmp_path / "p.parquet")
    keys: dict[str, Any] = {"pool": str(tmp_path / "p.parquet"), "budget": 1}
    for options, said in (({"modle": "m"}, "Did you mean 'model'"), ({}, "lacks model")):
        embedding = {"name": "openai", "options": options}
        with pytest.raises(AssayError, match=said):
            resolve_run(CurationConfig.build({**keys, "text": "text", "embedding": embedding}))
    named = {"name": "openai", "options": {"model": "m"}}
    with pytest.raises(ConfigError, match="takes texts"):
        resolve_run(CurationConfig.build({**keys, "vector": "v", "embedding": named}))
