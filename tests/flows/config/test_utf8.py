"""Texts that are no UTF-8 in configurations, paths and queries."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assay.flows import CurationConfig
from assay.flows.config.features import FeatureConfig
from assay.storage import read_pool
from assay.storage.errors import ConfigError, QueryError
from assay.storage.runs.query_process import query_apart

LATIN = os.fsdecode(b"caf\xe9")
FRAME = pl.DataFrame({"id": ["a", "b"], "text": ["to be", "or not"], "n": [1, 2]})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pool", f"{LATIN}.csv"),
        ("store", LATIN),
        ("keep", ["n", LATIN]),
        ("plan", {"filters": [f"n = '{LATIN}'"]}),
        ("plan", {"quotas": {LATIN: 0.5}}),
    ],
)
def test_a_configuration_holds_utf8_only(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"{key}: .*\\udce9.* is not valid UTF-8") as refused:
        CurationConfig.build({"pool": "p.csv"} | {key: value})
    str(refused.value).encode()


def test_a_table_has_a_path_in_utf8() -> None:
    with pytest.raises(ConfigError, match=r"table: .* is not valid UTF-8"):
        FeatureConfig.build({"table": f"{LATIN}.csv", "label": "y"})


def test_a_query_is_utf8(tmp_path: Path) -> None:
    with pytest.raises(QueryError, match=r"\\udce9.* is not valid UTF-8"):
        query_apart(tmp_path, f"SELECT '{LATIN}'")


@pytest.mark.skipif(os.name == "nt", reason="names there are UTF-16")
@pytest.mark.parametrize("suffix", ["csv", "parquet", "arrow", "jsonl"])
def test_files_whose_names_are_no_utf8_are_read(suffix: str, tmp_path: Path) -> None:
    folder = tmp_path / LATIN
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes no such name")
    write = {
        "csv": FRAME.write_csv,
        "parquet": FRAME.write_parquet,
        "arrow": FRAME.write_ipc,
        "jsonl": FRAME.write_ndjson,
    }[suffix]
    write(tmp_path / "plain")
    (tmp_path / "plain").rename(folder / f"{LATIN}.{suffix}")
    samples = read_pool(str(folder), id="id", text="text").samples()
    assert samples["sample_id"].to_list() == ["a", "b"]
    assert set(samples["source"]) == {f"caf\N{REPLACEMENT CHARACTER}.{suffix}"}
