"""Queries read the store's tables and nothing else, and take no more than they may."""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from assay.storage import ScoreStore
from assay.storage.errors import AssayError, ConfigError, QueryError, StoreError
from assay.storage.runs import query_process
from assay.storage.runs.query_process import QueryProcess
from assay.storage.sql.expressions import evaluate, holds, names_in, places
from tests.security.fuzzing import small_store

SECRET = "secret-3f9c"

# {file}, {parquet}, {folder}: what is there; {new}: what must not be made
WAYS_OUT = """
SELECT * FROM read_csv('{file}')
SELECT * FROM read_csv(['{file}'])
SELECT * FROM read_csv_auto('{file}')
SELECT * FROM '{file}'
FROM '{parquet}'
SELECT * FROM read_text('{file}')
SELECT * FROM read_blob('{file}')
SELECT * FROM read_parquet('{parquet}')
SELECT * FROM parquet_scan('{parquet}')
SELECT * FROM parquet_metadata('{parquet}')
SELECT * FROM parquet_schema('{parquet}')
SELECT * FROM parquet_file_metadata('{parquet}')
SELECT * FROM parquet_kv_metadata('{parquet}')
SELECT * FROM read_json('{file}')
SELECT * FROM read_json_objects('{file}')
SELECT * FROM read_ndjson('{file}')
SELECT * FROM read_xlsx('{file}')
SELECT * FROM st_read('{file}')
SELECT * FROM sniff_csv('{file}')
SELECT * FROM glob('{folder}/*')
SELECT * FROM read_text('/proc/self/environ')
SELECT * FROM query('SELECT * FROM read_text(''{file}'')')
SELECT * FROM query_table('{file}')
SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT * FROM read_text(''{file}'')'))
SELECT * FROM read_duckdb('{file}')
SELECT * FROM sqlite_scan('{file}', 't')
SELECT * FROM postgres_scan('host=127.0.0.1', 'p', 't')
SELECT * FROM 'https://127.0.0.1:9/x.csv'
SELECT * FROM 's3://bucket/x.parquet'
WITH x AS (FROM read_text('{file}')) FROM x
DESCRIBE SELECT * FROM '{file}'
SUMMARIZE '{file}'
PIVOT '{file}' ON a
EXPLAIN ANALYZE SELECT * FROM '{file}'
EXPLAIN ANALYZE COPY runs TO '{new}'
COPY runs TO '{new}'
COPY (SELECT 1) TO '{new}' (FORMAT parquet)
COPY runs FROM '{file}'
COPY FROM DATABASE memory TO other
EXPORT DATABASE '{new}'
IMPORT DATABASE '{folder}'
ATTACH '{new}'
ATTACH '{new}' (TYPE sqlite)
ATTACH ':memory:' AS other
DETACH memory
USE memory
INSTALL httpfs
FORCE INSTALL spatial
LOAD httpfs
LOAD '{file}'
UPDATE EXTENSIONS
SET enable_external_access = true
SET memory_limit = '1TB'
SET threads = 99
SET temp_directory = '{folder}'
SET python_enable_replacements = true
SET log_query_path = '{new}'
SET VARIABLE x = 1
RESET memory_limit
PRAGMA enable_external_access = true
PRAGMA enable_profiling
PRAGMA profiling_output = '{new}'
PRAGMA database_size
CALL enable_logging(storage = 'file', storage_path = '{new}')
CALL enable_profiling()
SELECT * FROM enable_logging(storage = 'file')
CALL pragma_version()
CHECKPOINT
VACUUM
BEGIN
CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')
CREATE PERSISTENT SECRET s (TYPE s3)
SELECT * FROM duckdb_secrets()
SELECT * FROM which_secret('s3://x', 's3')
CREATE TABLE x AS SELECT 1
CREATE MACRO m() AS TABLE SELECT * FROM read_text('{file}')
CREATE FUNCTION f(a) AS a + 1
CREATE VIEW v AS SELECT * FROM read_text('{file}')
INSERT INTO runs (run_id) VALUES ('x')
UPDATE runs SET pool = 'x'
DELETE FROM runs
DROP VIEW samples
ALTER TABLE runs ADD COLUMN z INT
PREPARE q AS SELECT 1
PREPARE q AS SELECT * FROM read_text('{file}')
EXECUTE q
DEALLOCATE q
SELECT getenv('ASSAY_TEST_SECRET')
SELECT * FROM frame_of_the_caller
SELECT * FROM table_of_the_caller
SELECT 1; SELECT 2
SELECT 1; ATTACH '{new}'
SELECT $1
""".strip().splitlines()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ScoreStore:
    found: ScoreStore = small_store(tmp_path_factory.mktemp("queries"))
    return found


@pytest.fixture
def places_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("ASSAY_TEST_SECRET", SECRET)
    folder = tmp_path / "private"
    folder.mkdir()
    pl.DataFrame({"a": [SECRET]}).write_csv(folder / "file.csv")
    pl.DataFrame({"a": [SECRET]}).write_parquet(folder / "file.parquet")
    monkeypatch.chdir(folder)
    return {
        "file": str(folder / "file.csv"),
        "parquet": str(folder / "file.parquet"),
        "folder": str(folder),
        "new": str(folder / "new"),
    }


@pytest.mark.parametrize("way", WAYS_OUT)
def test_every_way_out_is_closed(store: ScoreStore, places_there: dict[str, str], way: str) -> None:
    frame_of_the_caller = pl.DataFrame({"s": [SECRET]})
    table_of_the_caller = frame_of_the_caller.to_arrow()
    query = way.format(**places_there)
    listing = sorted(os.listdir(places_there["folder"]))
    with pytest.raises(QueryError) as caught:
        store.sql(query)
    assert SECRET not in str(caught.value)
    # a connection may hold tables of its own, in memory; what it reaches is the same
    changes_itself = {
        "USE", "CALL pragma", "CHECKPOINT", "VACUUM", "BEGIN", "CREATE TABLE", "CREATE FUNCTION",
        "INSERT", "UPDATE runs", "DELETE", "DROP", "ALTER", "PREPARE q AS SELECT 1", "SET VARIABLE",
        "PRAGMA database_size", "ATTACH ':memory:'", "SELECT 1;", "DEALLOCATE",
    }  # fmt: skip
    with store.connect() as con:
        if any(query.startswith(start) for start in changes_itself) and "/" not in query:
            con.execute(query)
        else:
            with pytest.raises((duckdb.Error, RuntimeError)):
                con.sql(query).fetchall()
    assert sorted(os.listdir(places_there["folder"])) == listing
    assert len(table_of_the_caller) == 1


def test_columns_that_come_twice_are_told_apart(store: ScoreStore) -> None:
    found = store.sql("SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a, 5 AS b")
    assert found.columns[:4] == ["a", "a_2", "a_1", "a_3"]
    assert found.row(0) == (1, 2, 3, 4, 5)


def test_settings_are_closed(store: ScoreStore) -> None:
    with store.connect() as con:
        found = dict(con.execute("SELECT name, value FROM duckdb_settings()").fetchall())
    assert found["enable_external_access"] == "false"
    assert found["lock_configuration"] == "true"
    assert found["python_enable_replacements"] == "false"
    assert found["autoinstall_known_extensions"] == "false"
    assert found["autoload_known_extensions"] == "false"
    assert found["temp_directory"] == ""


def test_a_runs_own_tables_are_closed_too(store: ScoreStore, places_there: dict[str, str]) -> None:
    run = store.sql("SELECT run_id FROM runs")["run_id"].item()
    assert store.run_table(run, "SELECT count(*) AS n FROM samples")["n"].item() == 30
    for way in ("FROM read_text('{file}')", "COPY samples TO '{new}'", "INSERT INTO run FROM run"):
        with pytest.raises(duckdb.Error):
            store.run_table(run, way.format(**places_there))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM range(1000000000000)",
        "SELECT * FROM range(1000000000) ORDER BY hash(range)",
        "SELECT list(range) FROM range(100000000000)",
        "SELECT string_agg(range::VARCHAR) FROM range(10000000000)",
    ],
)
def test_a_query_takes_no_more_memory_than_it_may(
    store: ScoreStore, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_SQL_MEMORY", "100MB")
    with pytest.raises(QueryError, match="ASSAY_SQL_MEMORY"):
        store.sql(query)


@pytest.mark.skipif(sys.platform != "linux", reason="the system bounds no memory")
@pytest.mark.parametrize(
    "query",
    [
        "SELECT length(repeat('xy', 900000000))",
        "SELECT len(list(range)) FROM range(90000000)",
        "SELECT len(list_transform(range(70000000), lambda x: x * 2))",
        "SELECT len(range(120000000))",
        "SELECT len(list_concat(range(20000000), range(30000000)))",
        "SELECT map_from_entries([{'k': x, 'v': range(x)} for x in range(20000)])[1]",
        "SELECT len(array_agg(repeat(range::VARCHAR, 900))) FROM range(900000)",
    ],
)
def test_lists_and_long_texts_count_as_memory(
    store: ScoreStore, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_SQL_MEMORY", "150MB")
    with pytest.raises(QueryError, match="ASSAY_SQL_MEMORY"):
        store.sql(query)
    assert store.sql("SELECT len(range(1000)) AS n")["n"].item() == 1000


@pytest.mark.parametrize(
    "query",
    [
        "SELECT levenshtein(repeat('ab', 400000), repeat('bc', 400000))",
        "SELECT jaro_similarity(repeat('ab', 900000), repeat('bca', 900000))",
        "SELECT list_reduce(range(3000000), lambda x, y: (x * 31 + y) % 65521) + "
        "levenshtein(repeat('x', 300000), repeat('yz', 300000))",
    ],
)
def test_a_query_that_stays_in_one_operator_is_ended(
    store: ScoreStore, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.sql("SELECT 1")  # the process is there
    monkeypatch.setenv("ASSAY_SQL_SECONDS", "1")
    began = time.monotonic()
    with pytest.raises(QueryError, match="ASSAY_SQL_SECONDS"):
        store.sql(query)
    assert time.monotonic() - began < 15  # some four, on a machine that is not busy
    monkeypatch.undo()
    assert store.sql("SELECT count(*) AS n FROM samples")["n"].item() == 30


def test_queries_of_several_threads_do_not_mix(store: ScoreStore) -> None:
    def ask(n: int) -> int:
        answer: int = store.sql(f"SELECT {n} + count(*) AS n FROM samples")["n"].item()
        return answer

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(12))) == [n + 30 for n in range(12)]


def test_a_process_that_dies_while_it_waits_is_replaced(
    store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    query_process._close_idle()
    assert store.sql("SELECT 1 AS a")["a"].to_list() == [1]
    (waiting,) = query_process._idle
    waiting._process.kill()
    waiting._process.wait()
    # it still looks alive to who asks
    looks = iter([True])
    real = QueryProcess.alive.fget
    monkeypatch.setattr(
        QueryProcess,
        "alive",
        property(lambda process: next(looks, None) or real(process)),
    )
    assert store.sql("SELECT 2 AS a")["a"].to_list() == [2]
    assert waiting not in query_process._idle

    def dies(process: QueryProcess, asked: dict[str, Any]) -> None:
        raise query_process._EndedError

    # one that dies at every query is not asked for ever
    monkeypatch.setattr(QueryProcess, "run", dies)
    with pytest.raises(QueryError, match=r"took more than .* of memory"):
        store.sql("SELECT 3 AS a")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes can't be forked here")
def test_a_forked_process_asks_its_own(store: ScoreStore) -> None:
    store.sql("SELECT 1")
    child = os.fork()
    if child == 0:
        os._exit(0 if store.sql("SELECT 7 AS n")["n"].item() == 7 else 1)
    assert store.sql("SELECT 8 AS n")["n"].item() == 8
    assert os.waitpid(child, 0)[1] == 0


WRITING = """
WITH x AS (DELETE FROM runs RETURNING run_id) SELECT * FROM x
WITH x AS MATERIALIZED (UPDATE runs SET pool = 'q' RETURNING pool) FROM x
WITH x AS (INSERT INTO runs (run_id) VALUES ('q') RETURNING *) SELECT count(*) FROM x
WITH x AS (SELECT 1) DELETE FROM runs
WITH x AS (SELECT 'q' AS run_id) INSERT INTO runs BY NAME SELECT * FROM x
EXPLAIN DELETE FROM runs
EXPLAIN ANALYZE INSERT INTO runs (run_id) VALUES ('q')
explain /* EXPLAIN */ analyze -- SELECT
 UPDATE runs SET pool = 'q'
EXPLAIN (ANALYZE, FORMAT json) DELETE FROM runs
EXPLAIN ANALYZE WITH x AS (DELETE FROM runs RETURNING *) FROM x
EXPLAIN ANALYZE CREATE TABLE z AS SELECT 1
EXPLAIN ANALYZE COPY runs TO '{new}'
EXPLAIN ANALYZE PREPARE q AS DELETE FROM runs
EXPLAIN ANALYZE EXECUTE q
EXPLAIN ANALYZE SET threads = 3
EXPLAIN ANALYZE CHECKPOINT
EXPLAIN ANALYZE CALL pragma_version()
EXPLAIN SELECT 1; DELETE FROM runs
EXPLAIN ANALYZE SELECT 1; SELECT 2
MERGE INTO runs USING (SELECT 'q' AS i) AS s ON runs.run_id = s.i WHEN MATCHED THEN DELETE
INSERT INTO runs (run_id) VALUES ('q') RETURNING run_id
TRUNCATE runs
COMMENT ON TABLE runs IS 'q'
CREATE OR REPLACE TEMP TABLE z AS FROM runs
CREATE SEQUENCE z
START TRANSACTION
COMMIT
ROLLBACK
SELECT * FROM force_checkpoint()
"""


@pytest.mark.parametrize(
    "query", [q.strip() for q in WRITING.replace("\n UPDATE", "\t UPDATE").strip().splitlines()]
)
def test_what_writes_is_refused_in_every_disguise(
    store: ScoreStore, query: str, tmp_path: Path
) -> None:
    query = query.replace("\t", "\n").format(new=tmp_path / "new")
    with pytest.raises(QueryError):
        store.sql(query)
    with pytest.raises(QueryError):
        store.trusted_sql(query)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "query",
    [
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE FROM runs",
        "EXPLAIN (FORMAT json) SELECT 1",
        "explain -- a comment\n analyze /* another */ WITH x AS (SELECT 1) FROM x",
        "EXPLAIN PIVOT scores ON method USING count(*)",
        "PIVOT scores ON method USING count(*)",
        "SELECT 'DELETE FROM runs' AS explain",
        "VALUES (1)",
        "TABLE runs",
        "DESCRIBE runs",
        "SUMMARIZE scores",
        "SHOW TABLES",
    ],
)
def test_what_reads_is_answered(store: ScoreStore, query: str) -> None:
    assert store.sql(query).width >= 1


def test_a_query_takes_no_more_time_than_it_may(
    store: ScoreStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_SQL_SECONDS", "1")
    endless = "WITH RECURSIVE t AS (SELECT 1 AS a UNION ALL SELECT 1 FROM t) SELECT count(*) FROM t"
    with pytest.raises(QueryError, match="ASSAY_SQL_SECONDS"):
        store.sql(endless)
    assert store.sql("SELECT 1 AS one")["one"].item() == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("ASSAY_SQL_MEMORY", v) for v in ("much", "0GB", "-1", "1 PB")]
    + [("ASSAY_SQL_SECONDS", v) for v in ("0", "-1", "1.5", "x")],
)
def test_limits_that_can_not_be(
    store: ScoreStore, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=name):
        store.sql("SELECT 1")


@pytest.mark.parametrize(
    "way",
    [
        "(SELECT content FROM read_text('{file}'))",
        "(SELECT a FROM '{file}')",
        "(SELECT s FROM frame_of_the_caller)",
        "getenv('ASSAY_TEST_SECRET')",
        "1) FROM pool; COPY pool TO '{new}'; SELECT (1",
        "1) FROM pool; ATTACH '{new}' --",
        "1), (SELECT content FROM read_text('{file}')",
    ],
)
def test_expressions_reach_their_frame_only(places_there: dict[str, str], way: str) -> None:
    frame_of_the_caller = pl.DataFrame({"s": [SECRET]})
    frame = pl.DataFrame({"sample_id": ["a"], "n": [1]})
    expression = way.format(**places_there)
    listing = sorted(os.listdir(places_there["folder"]))
    calls: list[Any] = [evaluate, holds, places]
    for call in calls:
        with pytest.raises(ConfigError) as caught:
            call(frame, expression)
        assert SECRET not in str(caught.value)
    try:
        names_in(expression, frame.columns)
    except AssayError as error:
        assert SECRET not in str(error)  # noqa: PT017
    assert sorted(os.listdir(places_there["folder"])) == listing
    assert frame_of_the_caller.height == 1


@pytest.mark.parametrize("run", ["../x", "a" * 15, "A" * 16, "a' OR 1=1 --", "a" * 16 + "\n"])
def test_run_ids_are_no_paths_and_no_sql(store: ScoreStore, run: str) -> None:
    with pytest.raises(StoreError):
        store.run_table(run, "FROM run")
    with pytest.raises(StoreError):
        store.is_finished(run)
