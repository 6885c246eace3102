"""What the options of the command line say becomes the values of a configuration."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.flows.config import arguments
from assay.flows.config.curation import CurationConfig
from assay.flows.config.had import read_ids
from assay.storage.errors import AssayError, ColumnError, ConfigError, InputError


def test_limits_are_counts_or_shares() -> None:
    assert arguments.amounts(["web = 50%", "law=7", "none=0"], "--quota") == {
        "web": 0.5,
        "law": 7,
        "none": 0,
    }


@pytest.mark.parametrize("wrong", ["web", "web=", "=3", "web=many", "web=120%", "web=-3"])
def test_wrong_limits_are_shown(wrong: str) -> None:
    with pytest.raises(ConfigError, match="--minimum"):
        arguments.amounts([wrong], "--minimum")


def test_a_name_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="'web' twice"):
        arguments.amounts(["web=3", "web=4"], "--quota")


def test_weights_share_a_text_or_not() -> None:
    assert arguments.weights(["a=1,b=-.5", "c=2e3"], "--blend") == {"a": 1, "b": -0.5, "c": 2000}
    with pytest.raises(ConfigError, match="must be a number"):
        arguments.weights(["a=much"], "--blend")


@given(st.dictionaries(st.text("abcxyz", min_size=1), st.integers(1, 10**9), max_size=5))
def test_limits_come_back(limits: dict[str, int]) -> None:
    assert arguments.amounts([f"{name}={n}" for name, n in limits.items()], "--quota") == limits


@pytest.mark.parametrize("name", ["ids.txt", "ids.csv", "ids.parquet", "ids.jsonl"])
def test_ids_are_read_from_lists_and_tables(tmp_path: Path, name: str) -> None:
    path, ids = tmp_path / name, ["007", "b c", "ä"]
    frame = pl.DataFrame({"other": [1, 2, 3], "sample_id": ids})
    if name.endswith("txt"):
        path.write_text("﻿007\n\n b c \nä\n", encoding="utf-8")
    elif name.endswith("csv"):
        frame.write_csv(path)
    elif name.endswith("jsonl"):
        frame.write_ndjson(path)
    else:
        frame.write_parquet(path)
    assert read_ids(str(path), "id").to_list() == ids


def test_files_without_ids_are_refused(tmp_path: Path) -> None:
    pl.DataFrame({"key": ["a"], "other": ["b"]}).write_csv(tmp_path / "k.csv")
    with pytest.raises(InputError, match="none is called 'id' or 'sample_id'"):
        read_ids(str(tmp_path / "k.csv"), "id")
    with pytest.raises(InputError, match="nowhere"):
        read_ids(str(tmp_path / "nowhere.txt"), None)
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        read_ids(str(tmp_path / "b.txt"), None)


def test_options_reach_every_part() -> None:
    values = {
        "select": "importance",
        "plan": {"deduplicate": "exact_duplicates, near_duplicates"},
        "graph": {"k": 3},
    }
    options = [
        "mode=dsir",
        "importance.temperature=1.5",
        "graph.metric=l2",
        "embedding.dimensions=64",
        "embedding.model=small",
        "like.method=flow",
        "near_duplicates.threshold=0.7",
        "leakage.span=9",
        "in_reference.near=0.5",
    ]
    config = CurationConfig.build(arguments.with_options(values, options))
    assert config.options == {"mode": "dsir", "temperature": 1.5}
    assert (config.graph.k, config.graph.metric) == (3, "l2")
    assert (config.embedding.dimensions, config.embedding.options) == (64, {"model": "small"})
    assert config.score_options == {"like": {"method": "flow"}}
    assert config.plan.steps() == [
        ("exact_duplicates", {}),
        ("near_duplicates", {"threshold": 0.7}),
    ]
    assert config.plan.leakage_options == {"span": 9}
    assert config.plan.reference_options == {"near": 0.5}


@pytest.mark.parametrize(
    ("option", "error", "told"),
    [
        ("graph.kk=3", ColumnError, "Did you mean 'k'"),
        ("grpah.k=3", ColumnError, "Did you mean 'graph'"),
        ("ccs.cutoff=0.1", ConfigError, "--select ccs"),
        ("near_duplicates.threshold=1", ConfigError, "--deduplicate near_duplicates"),
        ("cutoff", ConfigError, "NAME=VALUE"),
    ],
)
def test_options_without_their_part_are_refused(
    option: str, error: type[AssayError], told: str
) -> None:
    with pytest.raises(error, match=told):
        arguments.with_options({"select": "random"}, [option])


@pytest.mark.parametrize(
    ("values", "likely"),
    [
        ({"budgit": 3}, "budget"),
        ({"plan": {"quota": {"a": 1}}}, "plan.quotas"),
        ({"embedding": {"dimension": 3}}, "embedding.dimensions"),
    ],
)
def test_unknown_keys_name_the_likely_one(values: dict[str, object], likely: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{likely}'"):
        CurationConfig.build(values)
