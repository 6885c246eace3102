"""Names and ids from data: never SQL, never a path, given back as they were."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.flows.export.write import export
from assay.flows.running.frames import stored_path
from assay.storage import ScoreStore, read_pool
from assay.storage.disk.artifacts import ArtifactStore
from assay.storage.disk.atomic import write_json
from assay.storage.disk.checksums import describe_file, seal
from assay.storage.errors import CorruptArtifactError, StoreError
from assay.storage.reading.roles import FIXED_NAMES
from assay.storage.runs.run_file import RunInfo, RunTablesData
from tests.security.fuzzing import small_store

ROOT = Path(__file__).resolve().parents[2]
ODD = [
    "'; DROP TABLE runs; --", '"; SELECT 1 --', "a'b", 'a"b', "a\nb", "a\\b", "../../x", "/etc/passwd",
    "é ✓ 漢", "SELECT", "^.*$", "*", "$1", "%s", "{0}", "a;b", "a,b", "--", "/* x", "x'::JSON", " ", "\u202e",
]  # fmt: skip
names = st.sampled_from(ODD) | st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=8
)
_TIMES = iter(range(1, 10**6))


def store_of(folder: Path, pool: str, kept: str, methods: list[str], ids: list[str]) -> ScoreStore:
    """Return a store of one run, all of whose names are given."""
    from datetime import UTC, datetime

    n = len(ids)
    keys = pl.DataFrame({"key": range(n)}, schema={"key": pl.Int32})
    samples = pl.DataFrame({"sample_id": ids}).with_columns(
        source=pl.lit(ids[0]),
        row=pl.int_range(n),
        label=pl.Series(ids),
        group_id=pl.Series(ids),
        content_hash=pl.Series(ids),
        **{kept: pl.Series(ids)},
    )
    said: dict[str, Any] = {"selected": True, "stage": ids[0], "reason": ids[0], "detail": "{}"}
    tables = RunTablesData(
        samples=samples,
        scores={m: keys.with_columns(score=pl.col("key").cast(pl.Float64)) for m in methods},
        selections=keys.with_columns(position=pl.col("key") + 1, weight=1.0),
        decisions=keys.with_columns(**{k: pl.lit(v) for k, v in said.items()}),
        metrics=pl.DataFrame({"name": [pool], "value": [1.0], "baseline": [0.5]}),
    )
    store = ScoreStore(folder, create=True)
    info = RunInfo(
        run_id=f"{next(_TIMES):016x}",
        kind="curate",
        pool=pool,
        started_at=datetime.now(UTC),
        n_samples=n,
        seed=0,
        generation=pool,
        config={"pool": pool},
        versions={pool: pool},
        ranked_by=methods[0],
    )
    store.begin(info)
    store.finish(info, tables)
    store.publish()
    return store


@settings(max_examples=15, deadline=None)
@given(
    pool=names,
    kept=names.filter(lambda n: n.lower() not in {*FIXED_NAMES, "key", "pool", "run_id"}),
    methods=st.lists(names, min_size=1, max_size=3, unique_by=str.lower),
    ids=st.lists(names, min_size=1, max_size=4, unique=True),
)
def test_names_go_through_a_store_as_they_are(
    tmp_path_factory: pytest.TempPathFactory,
    pool: str,
    kept: str,
    methods: list[str],
    ids: list[str],
) -> None:
    methods = [m for m in methods if m.lower() not in ("pool", "run_id", "sample_id")] or ["m"]
    store = store_of(tmp_path_factory.mktemp("names") / "store", pool, kept, methods, ids)
    samples = store.sql("FROM samples ORDER BY row")
    assert samples["sample_id"].to_list() == ids
    assert samples.columns[-1] == kept
    assert samples.to_series(-1).to_list() == ids
    assert set(samples["pool"]) == {pool}
    wide = store.sql("FROM latest_scores")
    assert wide.columns == ["pool", "run_id", "sample_id", *sorted(methods)]
    assert set(store.sql("SELECT DISTINCT method FROM scores")["method"]) == set(methods)
    for name in ids:
        quoted = name.replace("'", "''")
        assert store.sql(f"FROM explain('{quoted}')").height == len(methods)
    assert store.sql("SELECT pool FROM runs")["pool"].to_list() == [pool]
    published = store.publish()
    assert published.parent == store.path / "published"
    assert sorted(p.name for p in store.path.parent.iterdir()) == ["store"]


@settings(max_examples=15, deadline=None)
@given(columns=st.lists(names, min_size=1, max_size=4, unique=True), data=st.data())
def test_columns_of_any_name_are_read(
    tmp_path_factory: pytest.TempPathFactory, columns: list[str], data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("columns")
    frame = pl.DataFrame({name: [name, "b"] for name in columns})
    frame.write_csv(folder / "x.csv", quote_style="always")
    frame.write_parquet(folder / "x.parquet")
    frame.write_ndjson(folder / "x.jsonl")
    content = data.draw(st.sampled_from(columns))
    for path in folder.iterdir():
        pool = read_pool(path, text=content)
        assert pool.columns == columns
        assert pool.take([1, 0]).equals(frame[[1, 0]])
        assert pool.take([0], [content]).item() == content
        assert pool.samples().height == 2


def test_a_column_without_a_name(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('"",text\n1,a\n')
    pool = read_pool(tmp_path / "x.csv", text="text", id="")
    assert pool.take([0]).to_dict(as_series=False) == {"": ["1"], "text": ["a"]}
    assert pool.samples()["sample_id"].item() == "1"


def test_own_columns_that_are_called_as_ours(tmp_path: Path) -> None:
    store = small_store(tmp_path)
    path = tmp_path / "small.parquet"
    taken = {name: pl.lit("own") for name in ("position", "assay_position", "pagerank", "weight")}
    frame = pl.read_parquet(path).with_columns(**taken)
    frame.write_parquet(path)
    fingerprint = read_pool(path, id="id", text="text").fingerprint
    row = store.run_table("a" * 16, "FROM run")["pool_fingerprint"].item()
    assert row != fingerprint
    with pytest.raises(StoreError, match="not what it was"):
        export(store, tmp_path / "out.parquet")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("assay.storage.reading.pools.Pool.fingerprint", row)
        export(store, tmp_path / "out.parquet")
    found = pl.read_parquet(tmp_path / "out.parquet")
    assert found["assay_position"].unique().to_list() == ["own"]
    assert found["assay_assay_position"].to_list() == [1, 2, 3, 4, 5]


# --- paths ---------------------------------------------------------------------------------------

ESCAPES = [
    "..",
    "../x",
    "/etc",
    "a/b",
    "a\\b",
    "",
    ".",
    "A",
    "a" * 65,
    "a\n",
    "a\0b",
    "é",
    "a.b",
    "~",
]


@pytest.mark.parametrize("name", ESCAPES)
def test_artifacts_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    artifacts = ArtifactStore(tmp_path / "artifacts")
    for kind, fingerprint in ((name, "f"), ("k", name)):
        with pytest.raises(StoreError, match="not a name of an artifact"):
            artifacts.path(kind, fingerprint)
        with pytest.raises(StoreError), artifacts.create(kind, fingerprint):
            pass
        with pytest.raises(StoreError):
            artifacts.discard(kind, fingerprint)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../../outside.npy", "/etc/hostname"])
def test_a_manifest_can_not_name_files_outside(tmp_path: Path, name: str) -> None:
    """Whoever writes into the store may forge a manifest; what it names is only ever read."""
    outside = tmp_path / "outside.npy"
    np.save(outside, np.arange(3))
    artifacts = ArtifactStore(tmp_path / "artifacts")
    with artifacts.create("k", "f") as folder:
        np.save(folder / "x.npy", np.arange(3))
    forged = {"kind": "k", "fingerprint": "f", "made_by": {}}
    forged["files"] = [describe_file(outside, name)]
    (artifacts.path("k", "f") / "manifest.json").write_bytes(seal(forged))
    fresh = ArtifactStore(tmp_path / "artifacts")
    with pytest.raises(CorruptArtifactError, match="outside of it"):
        fresh.open("k", "f")
    fresh.discard("k", "f")
    assert outside.exists()


def test_frames_are_kept_under_their_content(tmp_path: Path) -> None:
    store = ScoreStore(tmp_path / "store", create=True)
    frame = pl.DataFrame({"../../x": ["a"], "text": ["'; --"]})
    path = Path(stored_path(store, "pool", frame))
    assert path.is_relative_to(tmp_path / "store" / "artifacts" / "frames")
    assert read_pool(path, text="text").take([0]).equals(frame)


@pytest.mark.parametrize("run", ["../../x", "A" * 16, "a" * 15, "a" * 16 + "\n", "a" * 15 + "é"])
def test_notes_can_not_name_other_files(tmp_path: Path, run: str) -> None:
    store = small_store(tmp_path)
    with pytest.raises(StoreError):
        store.has_begun(run)
    write_json(tmp_path / "store" / "runs" / ("b" * 16 + ".json"), {"run_id": run})
    (tmp_path / "store" / "runs" / ("c" * 16 + ".json")).write_text("[" * 100_000)
    assert store.sql("SELECT run_id FROM runs")["run_id"].to_list() == ["a" * 16]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["canary.txt", "small.parquet", "store"]


# --- no pickle -----------------------------------------------------------------------------------

_UNSAFE = re.compile(
    r"\b(c?pickle|joblib|dill|shelve|marshal|torch\.load|read_pickle|to_pickle|allow_pickle=True"
    r"|yaml\.load|eval|exec|os\.system|shell=True|extractall|unpack_archive)\b(?!uate)"
)
_CALLS = re.compile(r"\b(eval|exec)\(")


def test_nothing_is_unpickled_or_executed() -> None:
    found = []
    for layer in ("storage", "index", "selection", "flows"):
        for path in sorted((ROOT / layer).rglob("*.py")):
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                match = _UNSAFE.search(line)
                if match and (match[1] not in ("eval", "exec") or _CALLS.search(line)):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not found


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "owned",))

    array = np.array([Payload()], dtype=object)
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load(tmp_path / "x.npy")
    assert not (tmp_path / "owned").exists()
