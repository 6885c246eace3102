"""Published files are for everyone: any client opens them, sees public names and can do no harm."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

from assay.storage import ScoreStore
from assay.storage.runs import publishing
from tests.storage.nights import info, night_id, rank_night, run_night, tables

PUBLIC = {
    "runs", "samples", "scores", "selections", "decisions", "feature_scores", "metrics", "ledger",
    "intervals", "leaks", "duplicates", "latest_samples", "latest_scores", "latest_selection",
    "latest_decisions", "map", "latest_map", "splits", "latest_splits", "reasons", "slices",
    "latest_slices", "shortcuts", "latest_shortcuts", "shift", "latest_shift",
}  # fmt: skip
VIEWS = (*sorted(PUBLIC), "explain('c')", "top('size', 2)")


@pytest.fixture
def store() -> Iterator[ScoreStore]:
    """Return a store that other users can reach."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        store = ScoreStore(Path(folder) / "store", create=True)
        run_night(store, 0)
        run_night(store, 1)
        run_night(store, 2, "it's another")
        rank_night(store, 3)
        store.publish()
        yield store


@pytest.fixture
def latest(store: ScoreStore) -> Path:
    return store.path / "published" / "latest.duckdb"


def test_the_file_answers_as_the_store_does(store: ScoreStore, latest: Path) -> None:
    newest = [night_id(1), night_id(2, "it's another"), night_id(3, kind="features")]
    with duckdb.connect(str(latest), read_only=True) as con:
        for view in VIEWS:
            own = con.sql(f"FROM {view}").pl()
            expected = store.sql(f"FROM {view}", runs=newest)
            if view == "runs":
                assert set(own["run_id"]) == set(newest)
            assert own.columns == expected.columns, view
            assert own.dtypes == expected.dtypes, view
            assert own.sort(pl.all()).equals(expected.sort(pl.all())), view
        for pair in ((newest[0], newest[1]), (newest[1], newest[0]), (newest[0], newest[0])):
            query = f"FROM diff('{pair[0]}', '{pair[1]}')"
            assert con.sql(query).pl().equals(store.sql(query, runs=newest)), pair


@pytest.mark.parametrize("through", ["latest.duckdb", "latest-1.duckdb", "a copy"])
def test_only_public_names_are_listed(latest: Path, tmp_path: Path, through: str) -> None:
    path = latest.with_name(through)
    if through == "a copy":
        path = tmp_path / "copy.duckdb"
        path.write_bytes(latest.read_bytes())
    with duckdb.connect(str(path), read_only=True) as con:
        listed = con.sql("SELECT table_schema, table_name FROM information_schema.tables")
        assert set(listed.fetchall()) == {("main", name) for name in PUBLIC}
        schemas = con.sql(
            "SELECT schema_name FROM information_schema.schemata WHERE catalog_name = "
            "current_catalog()"
        ).fetchall()
        assert {row[0] for row in schemas} <= {"main", "information_schema", "pg_catalog"}
        assert {row[0] for row in con.sql("SHOW TABLES").fetchall()} == PUBLIC
        all_of_them = {row[2] for row in con.sql("SHOW ALL TABLES").fetchall()}
        assert all_of_them == PUBLIC


def test_a_store_lists_only_public_names(store: ScoreStore) -> None:
    listed = {name for (name,) in store.connect().sql("SHOW TABLES").fetchall()}
    assert listed == PUBLIC | {"artifacts"}


def test_the_catalog_is_always_named_latest(store: ScoreStore, latest: Path) -> None:
    saved = "SELECT count(*) FROM latest.main.latest_selection"
    for night in range(4, 7):
        with duckdb.connect(str(latest), read_only=True) as con:
            assert con.sql("SELECT current_catalog()").fetchall() == [("latest",)]
            assert con.sql(saved).fetchall() == [(2,)]
        run_night(store, night)
        number = publishing.published_files(store.path)[-1]
        assert store.publish() != number
        assert latest.samefile(publishing.published_files(store.path)[-1])
        assert not latest.is_symlink()


def test_a_link_of_an_earlier_version_is_replaced(store: ScoreStore, latest: Path) -> None:
    latest.unlink()
    latest.symlink_to("latest-1.duckdb")
    assert store.publish().name == "latest-1.duckdb"
    assert latest.samefile(latest.with_name("latest-1.duckdb"))
    assert not latest.is_symlink()


@pytest.mark.skipif(os.name == "nt", reason="modes are those of POSIX")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_published_files_can_be_read_by_all_and_written_by_nobody(
    store: ScoreStore, latest: Path, umask: int
) -> None:
    run_night(store, 9)
    before = os.umask(umask)
    try:
        published = store.publish()
    finally:
        os.umask(before)
    for path in (published, latest):
        assert stat.S_IMODE(path.stat().st_mode) == 0o444


CLIENT = """
import json, os, sys, duckdb
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
refused = []
for statement in ("DROP VIEW latest_selection", "CREATE TABLE t (a INT)", "DELETE FROM runs"):
    try:
        duckdb.connect(sys.argv[1]).execute(statement)
    except duckdb.Error as error:
        refused.append(type(error).__name__)
with duckdb.connect(sys.argv[1], read_only=True) as con:
    rows = con.sql("SELECT count(*) FROM latest_selection").fetchall()
print(json.dumps([len(refused), rows]), flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="users are those of POSIX")
def test_another_users_default_connection_neither_changes_nor_locks(latest: Path) -> None:
    before = latest.read_bytes()
    command = [sys.executable, "-c", CLIENT, str(latest)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        assert json.loads(client.stdout.readline()) == [3, [[2]]]
        # while it is still there
        with duckdb.connect(str(latest), read_only=True) as con:
            assert con.sql("SELECT count(*) FROM latest_selection").fetchall() == [(2,)]
        assert client.stdin is not None
        client.stdin.close()
    assert client.returncode == 0
    assert latest.read_bytes() == before
    assert sorted(p.name for p in latest.parent.iterdir()) == ["latest-1.duckdb", "latest.duckdb"]


@pytest.mark.parametrize("of", ["run", "published"])
def test_files_are_in_a_format_that_clients_since_1_2_read(
    store: ScoreStore, latest: Path, of: str
) -> None:
    path = latest if of == "published" else store.path / "runs" / f"{night_id(1)}.duckdb"
    with duckdb.connect() as con:
        con.execute(f"ATTACH '{path}' AS f (READ_ONLY)")
        tags = con.sql("SELECT tags FROM duckdb_databases() WHERE database_name = 'f'").fetchall()
    assert tags[0][0]["storage_version"].startswith("v1.2.0")


def test_a_changed_published_file_is_named_and_replaced(store: ScoreStore, latest: Path) -> None:
    from assay.storage.upkeep.check import check_store

    published = store.publish()
    os.chmod(published, 0o644)
    data = bytearray(published.read_bytes())
    data[len(data) // 2] ^= 1
    published.write_bytes(data)
    assert [f.where for f in check_store(store)] == ["published/latest-1.duckdb"]
    assert all(f.repaired for f in check_store(store, repair=True))
    assert check_store(store) == []
    with duckdb.connect(str(latest), read_only=True) as con:
        assert len(con.sql("FROM latest_decisions").fetchall()) == 8


def test_a_published_file_that_was_changed_is_not_taken_for_current(
    store: ScoreStore, latest: Path
) -> None:
    published = store.publish()
    os.chmod(published, 0o644)
    with duckdb.connect(str(published)) as con:
        con.execute("DELETE FROM selections")
    assert store.publish().name == "latest-2.duckdb"
    with duckdb.connect(str(latest), read_only=True) as con:
        assert len(con.sql("FROM latest_selection").fetchall()) == 2


def test_a_changed_copy_of_a_published_file_is_named_and_replaced(
    store: ScoreStore, tmp_path: Path
) -> None:
    """In a copied store the two names are two files, of which either may be damaged."""
    from assay.storage.upkeep.check import check_store

    copied = ScoreStore(shutil.copytree(store.path, tmp_path / "copied", symlinks=True))
    latest = copied.path / "published" / "latest.duckdb"
    assert not latest.samefile(latest.with_name("latest-1.duckdb"))
    assert check_store(copied) == []
    for mended_by in (copied.publish, lambda: check_store(copied, repair=True)):
        data = bytearray(latest.read_bytes())
        data[0] ^= 1
        latest.chmod(0o644)
        latest.write_bytes(data)
        assert [(f.where, f.level) for f in check_store(copied)] == [
            ("published/latest.duckdb", "damage")
        ]
        mended_by()
        assert check_store(copied) == []
        with duckdb.connect(str(latest), read_only=True) as con:
            assert len(con.sql("FROM latest_decisions").fetchall()) == 8
        # as in a store that was copied again
        whole = latest.read_bytes()
        latest.unlink()
        latest.write_bytes(whole)


def test_kept_columns_of_pools_that_differ(tmp_path: Path) -> None:
    store = ScoreStore(tmp_path / "store", create=True)
    for number, (pool, values) in enumerate(
        {"numbers": [1, 2, 3, 4], "words": ["1", "b", None, "d"], "none": None}.items()
    ):
        data = tables(number)
        assert data.samples is not None
        if values is not None:
            data.samples = data.samples.with_columns(pl.Series("odd name", values))
        else:
            data.samples = data.samples.drop("odd name")
        store.finish(info(number, pool), data)
    with duckdb.connect(str(store.publish()), read_only=True) as con:
        own = con.sql("FROM latest_samples").pl().sort("pool", "sample_id")
    assert own.equals(store.sql("FROM latest_samples").sort("pool", "sample_id"))


def test_one_runs_names_are_not_stored_row_by_row(tmp_path: Path) -> None:
    """Every table of a file that holds one curation answers as the store does, by any condition."""
    store = ScoreStore(tmp_path / "store", create=True)
    pool = 'it\'s "one"'
    run_night(store, 0, pool)
    latest = store.publish()
    run_id = night_id(0, pool)
    with duckdb.connect(str(latest), read_only=True) as con:
        for view in ("samples", "scores", "decisions", "selections", "latest_scores", "metrics"):
            own = con.sql(f"FROM {view} WHERE run_id = '{run_id}'").pl()
            expected = store.sql(f"FROM {view}")
            assert own.height > 0
            assert (own.columns, own.dtypes) == (expected.columns, expected.dtypes), view
            assert own.sort(pl.all()).equals(expected.sort(pl.all())), view
            assert con.sql(f"FROM {view} WHERE run_id <> '{run_id}'").fetchall() == []
        assert con.sql("SELECT DISTINCT pool FROM samples").fetchall() == [(pool,)]
        stored = con.sql("FROM pragma_storage_info('samples')").pl()
        assert "sample_id" in stored["column_name"]
        assert not {"run_id", "pool"} & set(stored["column_name"])
    run_night(store, 1, "another")
    with duckdb.connect(str(store.publish()), read_only=True) as con:
        assert con.sql("SELECT count(DISTINCT run_id) FROM scores").fetchall() == [(2,)]


# --- clients of other versions -----------------------------------------------------------------

QUERIES = """
import json, sys, duckdb
path, runs = sys.argv[1], sys.argv[2]
con = duckdb.connect(path, read_only=True)
found = {}
for view in json.loads(sys.argv[3]):
    found[view] = len(con.execute(f"SELECT * FROM {view}").fetchall())
own = duckdb.connect(runs, read_only=True)
found["run file"] = own.execute("SELECT count(*) FROM scores").fetchall()[0][0]
found["pandas"] = len(con.execute("SELECT * FROM latest.main.latest_scores").df())
import sqlalchemy
engine = sqlalchemy.create_engine(
    f"duckdb:///{path}", connect_args={"read_only": True}, poolclass=sqlalchemy.pool.NullPool
)
con.close()
with engine.connect() as link:
    found["sqlalchemy"] = link.execute(sqlalchemy.text("SELECT count(*) FROM latest_selection")).scalar()
inspector = sqlalchemy.inspect(engine)
found["names"] = sorted({*inspector.get_table_names(), *inspector.get_view_names()})
engine.dispose()
if len(sys.argv) > 4:
    import ibis
    backend = ibis.duckdb.connect(path, read_only=True)
    found["ibis names"] = sorted(backend.list_tables())
    found["ibis"] = int(backend.table("latest_selection").count().execute())
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.2.2", "1.4.1", "1.5.0"])
def test_clients_of_earlier_versions(
    store: ScoreStore, latest: Path, tmp_path: Path, version: str
) -> None:
    """DuckDB 1.x by itself, with pandas, SQLAlchemy and ibis, in an environment of their own."""
    try:
        venv.create(tmp_path / "client", with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no environment can be made: {error}")
    python = tmp_path / "client" / ("Scripts" if os.name == "nt" else "bin") / "python"

    def install(*packages: str) -> bool:
        command = [str(python), "-m", "pip", "install", "-q", *packages]
        return subprocess.run(command, capture_output=True, timeout=600).returncode == 0

    needed = (f"duckdb=={version}", "pandas", "duckdb-engine", "pytz", "setuptools")
    if not install(*needed):
        pytest.skip(f"DuckDB {version} and its clients can't be installed here")
    ibis = ["ibis"] if install(f"duckdb=={version}", "ibis-framework[duckdb]") else []
    run = store.path / "runs" / f"{night_id(1)}.duckdb"
    done = subprocess.run(
        [str(python), "-c", QUERIES, str(latest), str(run), json.dumps(VIEWS), *ibis],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert (found["run file"], found["pandas"], found["sqlalchemy"]) == (4, 8, 2)
    assert found["names"] == sorted(PUBLIC)
    if ibis:
        assert found["ibis names"] == sorted(PUBLIC)
        assert found["ibis"] == 2
    with duckdb.connect(str(latest), read_only=True) as con:
        for view in VIEWS:
            assert found[view] == len(con.sql(f"FROM {view}").fetchall()), view
