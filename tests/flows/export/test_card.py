"""The card and the description of an export: what they state, and that others can read them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from assay.flows import curate
from assay.flows.export.card import escape, location_name
from assay.flows.export.license import license_fields
from assay.flows.result import Result
from tests.flows.export.conftest import files_of


@pytest.fixture(scope="module")
def folder(texts: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("card") / "rows"
    texts.export(out, card=True, shard_size=4, with_="neighbors,vectors,decisions")
    return out


def test_the_card_states_the_run(texts: Result, folder: Path) -> None:
    text = (folder / "README.md").read_text()
    header = yaml.safe_load(text.split("---")[1])
    assert header["license"] == "apache-2.0"
    assert header["language"] == ["en"]
    assert header["size_categories"] == ["n<1K"]
    assert header["configs"][0]["data_files"] == [{"split": "train", "path": "*.parquet"}]
    fingerprint = texts.store.run_table(texts.run_id, "SELECT pool_fingerprint FROM run").item()
    for stated in (fingerprint, texts.run_id, "random", "9 rows", "apache-2.0"):
        assert stated in text
    reasons = texts.sql(
        "SELECT stage, reason, count(*) AS n FROM latest_decisions GROUP BY ALL"
    ).rows()
    for stage, reason, n in reasons:
        assert f"| {stage} | {escape(reason)} | {n} |" in text
    for row in texts.store.run_table(texts.run_id, "FROM ledger").rows(named=True):
        assert f"| {escape(row['name'])} | {row['value']:.4g} |" in text
    chosen = pl.read_parquet(folder / "*.parquet")
    for name, n in chosen["license"].value_counts().rows():
        assert f"{name}: {n} of these rows" in text
    # neither a folder of this machine nor a time
    assert str(folder.parent) not in text
    assert str(texts.store.path.parent) not in text


def test_weaknesses_name_where_random_is_better(tmp_path: Path) -> None:
    # the first rows of one corner of the space: worse than random in coverage
    vectors = [[float(i % 40), float(i // 40), 1.0] for i in range(400)]
    frame = pl.DataFrame({"vector": vectors, "corner": [-(v[0] + v[1]) for v in vectors]})
    result = curate(
        pool=frame,
        vector="vector",
        graph={"metric": "l2"},
        expressions={"corner_score": "corner"},
        select="top",
        plan={"blend": {"corner_score": 1.0}},
        budget=20,
        store=str(tmp_path / "s"),
    )
    worse = result.store.run_table(
        result.run_id, "SELECT name FROM ledger WHERE verdict LIKE 'random is%'"
    )["name"]
    assert len(worse)
    result.export(tmp_path / "f.parquet", card=True)
    text = (tmp_path / "README.md").read_text()
    line = next(
        each for each in text.splitlines() if "random subset of equal size is better" in each
    )
    assert all(escape(name) in line for name in worse)


def test_croissant_is_valid_and_reads_the_rows(texts: Result, folder: Path) -> None:
    mlc = pytest.importorskip("mlcroissant")
    dataset = mlc.Dataset(jsonld=str(folder / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    records = list(dataset.records("rows"))
    assert len(records) == 9
    chosen = pl.read_parquet(folder / "*.parquet")
    assert [r["rows/id"].decode() for r in records] == chosen["id"].to_list()
    assert [r["rows/position"] for r in records] == list(range(1, 10))


def test_croissant_states_origin_and_checksums(texts: Result, folder: Path) -> None:
    about = json.loads((folder / "croissant.json").read_text())
    fingerprint = texts.store.run_table(texts.run_id, "SELECT pool_fingerprint FROM run").item()
    assert about["prov:wasDerivedFrom"]["@id"] == f"urn:blake2b:{fingerprint}"
    assert about["@context"]["prov"] == "http://www.w3.org/ns/prov#"
    assert about["license"] == "apache-2.0"
    files = files_of(folder)
    listed = [each for each in about["distribution"] if each["@type"] == "cr:FileObject"]
    assert [each["name"] for each in listed] == [n for n in files if n.startswith("part-")]
    for each in listed:
        assert each["sha256"] == hashlib.sha256(files[each["name"]]).hexdigest()
    fields = {f["name"]: f for f in about["recordSet"][0]["field"]}
    assert fields["n"]["dataType"] == "sc:Integer"
    assert fields["pagerank"]["dataType"] == "sc:Float"
    assert fields["selected"]["dataType"] == "sc:Boolean"
    assert fields["vector"] | {"source": 0, "@id": 0} == {
        "@type": "cr:Field",
        "@id": 0,
        "name": "vector",
        "dataType": "sc:Float",
        "repeated": True,
        "source": 0,
    }


@pytest.mark.parametrize("how", [{"format": "hf"}, {"format": "webdataset"}, {"format": "jsonl"}])
def test_croissant_of_other_formats(texts: Result, tmp_path: Path, how: dict[str, Any]) -> None:
    mlc = pytest.importorskip("mlcroissant")
    texts.export(tmp_path / "out", card=True, **how)
    dataset = mlc.Dataset(jsonld=str(tmp_path / "out" / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors


@pytest.mark.parametrize("name", ["f.parquet", "f.csv", "f.jsonl"])
def test_croissant_of_one_file(texts: Result, tmp_path: Path, name: str) -> None:
    mlc = pytest.importorskip("mlcroissant")
    texts.export(tmp_path / name, card=True, columns="id,text,n")
    records = list(mlc.Dataset(jsonld=str(tmp_path / "croissant.json")).records("rows"))
    assert len(records) == 9


def test_data_can_not_become_markup(tmp_path: Path) -> None:
    hostile = "a|b\n# x <script>alert(1)</script> [y](http://z)"
    frame = pl.DataFrame({"text": [f"words {i}" for i in range(9)], "license": [hostile] * 9})
    result = curate(
        pool=frame, text="text", name=hostile, budget=2, select="random", store=str(tmp_path / "s")
    )
    result.export(tmp_path / "f.parquet", card=True)
    text = (tmp_path / "README.md").read_text()
    body = text.split("\n---\n", 1)[1]
    assert "<script" not in body
    assert "\n# x" not in body
    assert yaml.safe_load(text.split("\n---\n")[0].removeprefix("---"))["pretty_name"]


def test_locations_lose_their_folders_and_licenses_are_found(tmp_path: Path) -> None:
    assert location_name("/data/secret/pool.parquet") == "pool.parquet"
    assert location_name("s3://bucket/pool/") == "s3://bucket/pool/"
    assert location_name(None) is None
    (tmp_path / "README.md").write_text("---\nlicense: [broken\n---\n")
    assert license_fields(str(tmp_path)) == {}
    (tmp_path / "dataset_info.json").write_text('{"license": "MIT "}')
    assert license_fields(str(tmp_path / "rows.parquet")) == {"license": "MIT"}
    assert license_fields("s3://bucket/pool/") == {}
    assert license_fields(None) == {}


def test_the_card_states_what_was_measured_and_what_only_people_know(tmp_path: Path) -> None:
    n = 400
    topic = ["rare" if i % 4 == 1 else "common" for i in range(n)]
    texts = [
        " ".join([f"word{i * 7 % 50}", f"word{i % 31}"] * (9 if topic[i] == "rare" else 2))
        for i in range(n)
    ]
    frame = pl.DataFrame(
        {"text": texts, "topic": topic, "lang": ["en" if i % 4 else "de" for i in range(n)]}
    )
    pl.DataFrame({"text": [texts[21]]}).write_csv(tmp_path / "quiz.csv")
    result = curate(
        pool=frame,
        text="text",
        label="topic",
        keep=["lang"],
        select="random",
        scores=(),
        budget=100,
        plan={"filters": ["lang <> 'de'"], "leakage": {"quiz": str(tmp_path / "quiz.csv")}},
        store=str(tmp_path / "s"),
    )
    result.export(tmp_path / "out", card=True)
    text = (tmp_path / "out" / "README.md").read_text()
    counts = result.sql(
        "SELECT label, count(*) / 400.0 AS pool, count(*) FILTER (selected) / 100.0 AS chosen "
        "FROM latest_samples JOIN latest_decisions USING (sample_id) GROUP BY label"
    )
    for label, before, after in counts.rows():
        assert f"| topic | {label} | {before:.1%} | {after:.1%} |" in text
    # every row in German was left out, and some others
    assert "| lang de | 100 | 100.0% |" in text
    leaks = result.sql("SELECT kind, count(DISTINCT sample_id) AS n FROM leaks GROUP BY kind")
    for kind, rows in leaks.rows():
        assert f"| quiz | {kind} | {rows} |" in text
    # the length settles the label
    assert "length gives away" in text
    for what in ("consent of the people in it, and personal data", "who annotated"):
        assert f"| {what} | not stated |" in text
    about = json.loads((tmp_path / "out" / "croissant.json").read_text())
    assert about["rai:annotatorDemographics"] == "not stated"
    assert "length gives away" in about["rai:dataBiases"]
    assert "lang <> 'de'" in about["rai:dataPreprocessingProtocol"]
