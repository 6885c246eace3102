"""Pools in object storage: the same rows as from a local copy, fetched once, never half."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import fsspec
import polars as pl
import pyarrow as pa
import pytest
from moto.server import ThreadedMotoServer

from assay.flows.running.runner import curate
from assay.storage import read_pool
from assay.storage.errors import (
    DependencyError,
    SourceChangedError,
    SourceError,
    StoreError,
    UnreachableError,
)
from assay.storage.reading import remote
from assay.storage.reading.formats import find_files
from assay.storage.reading.locations import absolute
from assay.storage.reading.tables import read_table, table_fingerprint

ROWS = pl.DataFrame({"id": ["b", "a", "c"], "text": ["to be", "or not", None], "n": [1, 2, 3]})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return an empty bucket; credentials and endpoint are in the environment, as for a user."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test-key",
        "AWS_SECRET_ACCESS_KEY": "test-secret-of-this-run",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    made = boto3.resource("s3").Bucket(f"data-{uuid.uuid4().hex[:8]}")
    made.create()
    return made


def write_formats(folder: Path) -> None:
    (folder / "deep" / "er").mkdir(parents=True)
    ROWS.write_parquet(folder / "a.parquet")
    for name, ids in {"b.csv.gz": "de", "deep/c.jsonl.zst": "fg", "deep/er/d.tsv": "hi"}.items():
        frame = pl.DataFrame({"id": list(ids), "text": [f"text {i}" for i in ids], "n": [0, 0]})
        lines = {
            "jsonl": frame.write_ndjson,
            "csv": frame.write_csv,
            "tsv": lambda frame=frame: frame.write_csv(separator="\t"),
        }[name.split(".")[1]]()
        codec = {"gz": "gzip", "zst": "zstd"}.get(name.rpartition(".")[2])
        with pa.output_stream(folder / name, compression=codec) as file:
            file.write(lines.encode())
    pl.DataFrame({"id": ["j"], "text": ["last"], "n": [9]}).write_ipc(folder / "deep/e.arrow")
    (folder / "_state.csv").write_text("not,data\n")
    (folder / ".hidden.csv").write_text("not,data\n")
    (folder / "notes.txt").write_text("not data")


def upload(bucket: Any, folder: Path, prefix: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            bucket.upload_file(str(path), f"{prefix}{path.relative_to(folder).as_posix()}")


def test_a_prefix_is_read_as_its_local_copy(bucket: Any, tmp_path: Path) -> None:
    folder = tmp_path / "pool"
    write_formats(folder)
    upload(bucket, folder, "night/pool/")
    bucket.put_object(Key="night/pool/", Body=b"")  # a console's folder
    bucket.put_object(Key="night/pool2/x.csv", Body=b"id,text\nz,z\n")
    local = read_pool(folder, id="id")
    url = f"s3://{bucket.name}/night/pool"
    for where in (url, f"{url}/", f"S3://{bucket.name}/night/pool/"):
        pool = read_pool(where, id="id")
        assert pool.name == "pool"
        assert pool.fingerprint == local.fingerprint
        assert pool.samples().equals(local.samples())
        assert pool.contents().equals(local.contents())
    rows = [5, 0, 9]
    assert pool.take(rows).equals(local.take(rows))


@pytest.mark.parametrize(
    "pattern", ["*.csv*", "**/*.jsonl.zst", "deep/*", "deep/**/*.t[s]v", "a.parque?"]
)
def test_globs_match_as_local_ones_do(bucket: Any, tmp_path: Path, pattern: str) -> None:
    folder = tmp_path / "pool"
    write_formats(folder)
    upload(bucket, folder, "pool/")
    name, files = find_files(str(folder / pattern))
    found, copies = find_files(f"s3://{bucket.name}/pool/{pattern}")
    assert (found, [n for _, n in copies]) == (name, [n for _, n in files])
    assert [c.read_bytes() for c, _ in copies] == [f.read_bytes() for f, _ in files]


def test_one_object_and_a_literal_name(bucket: Any) -> None:
    bucket.put_object(Key="x/odd [1]*.csv", Body=b"id,text\n1,a\n")
    bucket.put_object(Key="../up.csv", Body=b"id,text\n2,b\n")
    name, [(_, within)] = find_files(f"s3://{bucket.name}/x/odd [1]*.csv")
    assert (name, within) == ("odd [1]*", "odd [1]*.csv")
    name, [(copy, within)] = find_files(f"s3://{bucket.name}/../up.csv")
    assert (name, within) == ("up", "up.csv")
    assert copy.is_relative_to(remote.cache_folder())


def test_memory_and_file_urls(tmp_path: Path) -> None:
    content = ROWS.write_csv().encode()
    (tmp_path / "p q.csv").write_bytes(content)
    fsspec.filesystem("memory").pipe(f"/{tmp_path.name}/p q.csv", content)
    local = read_pool(tmp_path / "p q.csv", id="id")
    for url in (f"memory://{tmp_path.name}/p q.csv", f"file://{tmp_path}/p q.csv"):
        pool = read_pool(url, id="id")
        assert (pool.name, pool.fingerprint) == ("p q", local.fingerprint)
        assert pool.samples().equals(local.samples())
    assert find_files(f"memory://{tmp_path.name}/")[1][0][1] == "p q.csv"
    assert find_files(f"file://{tmp_path}/*.csv")[1] == [(tmp_path / "p q.csv", "p q.csv")]


def test_an_object_is_fetched_once_and_again_when_it_changed(
    bucket: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    fetched = []
    get = s3fs.S3FileSystem.get_file
    monkeypatch.setattr(
        s3fs.S3FileSystem, "get_file", lambda self, *a: fetched.append(a[0]) or get(self, *a)
    )
    for key in ("p/a.csv", "p/b.csv"):
        bucket.put_object(Key=key, Body=b"id,text\n%b,x\n" % key.encode())
    url = f"s3://{bucket.name}/p/"
    first = read_pool(url).fingerprint
    assert read_pool(url).fingerprint == first
    assert len(fetched) == 2
    # as long as the old one
    bucket.put_object(Key="p/b.csv", Body=b"id,text\np/b.csv,y\n")
    assert read_pool(url).fingerprint != first
    assert fetched[2:] == [f"{bucket.name}/p/b.csv"]
    # a copy that someone shortened is not used
    for copy in cache.rglob("object.csv"):
        copy.write_bytes(copy.read_bytes()[:-1])
    assert read_pool(url).samples()["source"].to_list() == ["a.csv", "b.csv"]
    assert len(fetched) == 5


def test_copies_that_nothing_used_for_long_are_removed(bucket: Any, cache: Path) -> None:
    for key in ("old.csv", "used.csv", "new.csv"):
        bucket.put_object(Key=key, Body=b"id,text\n1,%b\n" % key.encode())
    urls = {key: f"s3://{bucket.name}/{key}" for key in ("old.csv", "used.csv", "new.csv")}
    old, used = (find_files(urls[key])[1][0][0] for key in ("old.csv", "used.csv"))
    long_ago = time.time() - 40 * 86_400
    (cache / "objects" / ".left.tmp").mkdir()
    for folder in (cache / "objects").iterdir():
        os.utime(folder, (long_ago, long_ago))
    find_files(urls["used.csv"])
    find_files(urls["new.csv"])
    assert not old.exists()
    assert used.exists()
    assert len(list((cache / "objects").iterdir())) == 2


@pytest.mark.parametrize("broken", ["half", "raises", "full"])
def test_a_failed_download_leaves_nothing(
    bucket: Any, cache: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    import s3fs

    def get(self: Any, key: str, path: str) -> None:
        Path(path).write_bytes(b"id,")
        if broken == "raises":
            raise ConnectionResetError(104, "Connection reset by peer")
        if broken == "full":
            raise OSError(28, "No space left on device")

    bucket.put_object(Key="p/a.csv", Body=b"id,text\n1,a\n")
    url = f"s3://{bucket.name}/p/"
    with monkeypatch.context() as patched:
        patched.setattr(s3fs.S3FileSystem, "get_file", get)
        kind, told = {
            "half": (SourceChangedError, "changed while it was copied"),
            "raises": (UnreachableError, "can't be reached"),
            "full": (StoreError, "ASSAY_CACHE"),
        }[broken]
        with pytest.raises(kind, match=told) as caught:
            read_pool(url)
    if broken == "raises":
        assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert not list((cache / "objects").iterdir())
    assert read_pool(url).samples().height == 1


def test_an_object_that_changes_while_it_is_copied(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    get = s3fs.S3FileSystem.get_file

    def change(self: Any, key: str, path: str) -> None:
        get(self, key, path)
        bucket.put_object(Key="a.csv", Body=b"id,text\n2,b\n")

    bucket.put_object(Key="a.csv", Body=b"id,text\n1,a\n")
    monkeypatch.setattr(s3fs.S3FileSystem, "get_file", change)
    with pytest.raises(SourceChangedError):
        read_pool(f"s3://{bucket.name}/a.csv")


def test_what_is_not_there_is_said(bucket: Any) -> None:
    bucket.put_object(Key="p/notes.txt", Body=b"x")
    name = bucket.name
    for url, told in {
        f"s3://{name}/nowhere/": "no object, folder or match",
        f"s3://{name}/p/*.csv": "no object, folder or match",
        f"s3://{name}/p/notes.txt": "no extension that tells its format",
        f"s3://{name}/p/notes.txt/": "no object",
        f"s3://{name}/p/": "holds no file that can be read",
        f"s3://{name}-not/p/": "no bucket",
        f"s3://{name}-not/p/*.csv": "no bucket",
        "s3://": "names no bucket",
        "ftp://host/x.csv": "can't be read from ftp://",
        "simplecache::s3://b/x.csv": "no file or folder",
    }.items():
        with pytest.raises(SourceError, match=told) as caught:
            read_pool(url)
        assert not isinstance(caught.value, UnreachableError)
        assert caught.value.__cause__ is None
    with pytest.raises(SourceError, match="given as text"):
        read_pool(Path(f"s3://{name}/p/"))


def test_credentials_come_from_the_environment_only(
    bucket: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match="must not hold credentials") as caught:
        read_pool(f"s3://key:hunter2@{bucket.name}/p/")
    assert "hunter2" not in str(caught.value)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(SourceError, match="AWS_PROFILE") as caught:
        read_pool(f"s3://{bucket.name}/p/")
    assert caught.value.__cause__ is None


def test_a_refused_object_and_a_dead_endpoint(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    def refuse(self: Any, path: str, **options: Any) -> None:
        raise PermissionError("Access Denied")

    with monkeypatch.context() as patched:
        patched.setattr(s3fs.S3FileSystem, "info", refuse)
        with pytest.raises(SourceError, match="may not be read: Access Denied"):
            read_pool(f"s3://{bucket.name}/p/")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(UnreachableError, match="AWS_ENDPOINT_URL") as caught:
        read_pool(f"s3://{bucket.name}/p/")
    assert isinstance(caught.value.__cause__, OSError)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DependencyError, match=r"pip install 'assay-curation\[s3\]'"):
        read_pool("s3://bucket/p/")


def test_messages_name_the_object_not_its_copy(bucket: Any) -> None:
    bucket.put_object(Key="p/bad.csv", Body=b"id,text\n1\n")
    bucket.put_object(Key="q/bad.parquet", Body=b"PAR1 no more")
    with pytest.raises(SourceError, match=f"^s3://{bucket.name}/p/bad.csv, line 2"):
        read_pool(f"s3://{bucket.name}/p/").samples()
    with pytest.raises(SourceError, match=f"^s3://{bucket.name}/q/bad.parquet can't be read"):
        read_pool(f"s3://{bucket.name}/q/")


def test_tables_are_read_from_object_storage_too(bucket: Any, tmp_path: Path) -> None:
    ROWS.write_parquet(tmp_path / "t.parquet")
    upload(bucket, tmp_path, "t/")
    url = f"s3://{bucket.name}/t/t.parquet"
    assert read_table(url).equals(ROWS)
    assert table_fingerprint(url) == table_fingerprint(tmp_path / "t.parquet")


def test_a_run_over_object_storage_is_that_over_its_local_copy(bucket: Any, tmp_path: Path) -> None:
    from assay.flows.export.write import export

    folder = tmp_path / "pool"
    folder.mkdir()
    frame = pl.DataFrame({"id": range(60), "text": [f"about {i % 9} things" for i in range(60)]})
    frame.head(30).write_parquet(folder / "a.parquet")
    frame.tail(30).write_parquet(folder / "b.parquet")
    upload(bucket, folder, "pool/")
    keys: dict[str, Any] = {"id": "id", "text": "text", "budget": 7, "select": "random"}
    keys |= {"scores": ["importance"], "embedding": {"dimensions": 8, "buckets": 256}}
    url = f"s3://{bucket.name}/pool/"
    there = curate(pool=url, target=f"{url}a.parquet", store=str(tmp_path / "there"), **keys)
    here = curate(
        pool=str(folder),
        target=str(folder / "a.parquet"),
        store=str(tmp_path / "here"),
        **keys,
    )
    assert there.run_id == here.run_id
    query = "FROM latest_decisions JOIN latest_scores USING (pool, run_id, sample_id) ORDER BY ALL"
    assert there.sql(query).equals(here.sql(query))
    config = there.sql("SELECT config->>'pool' AS p, config FROM runs")
    assert config["p"].item() == url
    assert "test-secret" not in config["config"].item()
    # from another folder too
    assert export(there.store, tmp_path / "out.parquet") == 7
    assert export(here.store, tmp_path / "same.parquet") == 7
    assert pl.read_parquet(tmp_path / "out.parquet").equals(
        pl.read_parquet(tmp_path / "same.parquet")
    )


def test_the_storage_layer_loads_no_client_before_it_is_needed() -> None:
    code = (
        "import sys, assay.storage.reading.pools\n"
        "print([m for m in ('fsspec', 's3fs', 'botocore', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_store_is_a_folder_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="is a URL"):
        curate(pool={"text": ["a", "b"]}, budget=1, store="s3://bucket/store")
    assert not list(tmp_path.iterdir())


def test_locations_stay_what_they_are() -> None:
    assert absolute("s3://b/p/*.csv") == "s3://b/p/*.csv"
    assert absolute("p/*.csv") == str(Path.cwd() / "p" / "*.csv")
    assert absolute("C://p") == str(Path.cwd() / "C:/p")
