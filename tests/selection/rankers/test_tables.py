"""Tables that are ranked by blocks of columns or streamed by rows: as in memory, in less memory."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.selection import ECFS, MRMR, FisherScore, InfFS, OutRank, registry
from assay.selection.rankers.tables import rank_table, reading_mode
from assay.selection.tables.blocks import ColumnBlock
from assay.selection.tables.moments import Relevance
from assay.selection.tables.relevance import column_relevance
from assay.selection.tables.streamed_relevance import streamed_relevance
from assay.storage.errors import BudgetError, ColumnError, ConfigError, InputError, NonFiniteError
from assay.storage.reading.tables import Table
from tests.data import shared

BY_COLUMN = [
    "ecfs",
    "outrank",
    "distance_correlation",
    "fisher",
    "f_classif",
    "mutual_info_classif",
    "chi2",
]


def _frame(n=400, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    frame = pl.DataFrame({f"n{j}": rng.normal(size=n) * 10.0**j + 100 * j for j in range(6)})
    return frame.with_columns(
        signal=pl.Series(y + rng.normal(size=n) * 0.3),
        whole=pl.Series(rng.integers(0, 50, n)),
        flag=pl.Series(rng.random(n) < 0.2),
        constant=pl.lit(3.0),
        gap=pl.Series(np.where(rng.random(n) < 0.1 + 0.2 * (y == 1), np.nan, rng.normal(size=n))),
        hole=pl.Series([None if i % 7 == 0 else i for i in range(n)]),
        color=pl.Series(np.array(["red", "green", "blue"])[(y + rng.integers(0, 2, n)) % 3]),
        copy=pl.col("n1"),
        name=pl.Series([f"row {i}" for i in range(n)]),
        perfect=pl.Series((y == 2) * 0.1),
        label=pl.Series(np.array(["a", "b", "c"])[y]),
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "t.parquet"
    _frame().write_parquet(path, row_group_size=90)
    return path


def _same(found, expected, exactly):
    assert found.names == expected.names
    assert found.report == expected.report
    assert found.missing.equals(expected.missing)
    assert found.n_rows == expected.n_rows
    if exactly:
        np.testing.assert_array_equal(found.ranker.scores_, expected.ranker.scores_)
    np.testing.assert_allclose(found.ranker.scores_, expected.ranker.scores_, rtol=1e-12)
    np.testing.assert_array_equal(found.ranker.ranking_, expected.ranker.ranking_)
    np.testing.assert_array_equal(found.ranker.get_support(), expected.ranker.get_support())
    assert found.ranker.get_feature_names_out().tolist() == [
        expected.names[j] for j in np.flatnonzero(expected.ranker.get_support())
    ]


@pytest.mark.parametrize("method", BY_COLUMN)
@pytest.mark.parametrize("missing", ["median", "indicator"])
def test_in_parts_as_in_memory(path, method, missing):
    make = registry.get(method, "ranker")
    options = {"label": "label", "missing": missing}
    whole = rank_table(make(n_features_to_select=5), Table(path), **options)
    assert whole.mode == "memory"
    for memory in (1, 20_000):
        parts = rank_table(make(n_features_to_select=5), Table(path), memory=memory, **options)
        streamed = method in ("ecfs", "fisher", "f_classif")
        assert parts.mode == ("rows" if streamed else "columns")
        _same(parts, whole, exactly=not streamed)


def test_other_rankers_of_single_columns(path):
    for ranker in (
        InfFS(4, supervised=True),
        ECFS(4, relevance="fslib", normalize=False, alpha=0.5),
        ECFS(4, n_bins=7),
        OutRank(4, mode="expected"),
    ):
        whole = rank_table(ranker, Table(path), label="label")
        scores = whole.ranker.scores_.copy()
        parts = rank_table(ranker, Table(path), label="label", memory=1)
        assert parts.mode != "memory"
        np.testing.assert_allclose(parts.ranker.scores_, scores, rtol=1e-12)


def test_what_compares_columns_is_read_whole(path):
    table = Table(path)
    for ranker in (MRMR(), InfFS(), OutRank(search="3mr"), ECFS("auto"), ECFS(alpha="cv")):
        assert reading_mode(ranker, table, memory=1) == "memory"
    assert rank_table(MRMR(3), table, label="label", memory=1).matrix is not None


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "arrow"])
def test_other_formats_and_folders(path, tmp_path, suffix):
    frame = pl.read_parquet(path).fill_nan(None)
    folder = tmp_path / "parts"
    folder.mkdir()
    for i, part in enumerate((frame.head(150), frame.tail(-150))):
        write = {"csv": part.write_csv, "jsonl": part.write_ndjson, "arrow": part.write_ipc}
        write[suffix](folder / f"{i}.{suffix}")
    for method in ("ecfs", "outrank"):
        make = registry.get(method, "ranker")
        whole = rank_table(make(4), Table(folder), label="label")
        parts = rank_table(make(4), Table(folder), label="label", memory=1000)
        _same(parts, whole, exactly=method == "outrank")


def test_the_adult_table():
    where = shared("tabular_adult.parquet")
    for method in ("ecfs", "fisher", "outrank"):
        make = registry.get(method, "ranker")
        whole = rank_table(make(5), Table(where), label="income")
        parts = rank_table(make(5), Table(where), label="income", memory=1_000_000)
        _same(parts, whole, exactly=method == "outrank")


def test_what_is_refused(path, tmp_path):
    for memory in (1, 10**9):
        with pytest.raises(ColumnError, match="label"):
            rank_table(ECFS(), Table(path), label="lable", memory=memory)
        with pytest.raises(InputError, match="missing values: gap"):
            rank_table(OutRank(), Table(path), label="label", memory=memory, missing="raise")
        with pytest.raises(BudgetError):
            rank_table(ECFS(0), Table(path), label="label", memory=memory)
        with pytest.raises(ConfigError, match="alpha"):
            rank_table(ECFS(alpha=2.0), Table(path), label="label", memory=memory)
    frame = pl.read_parquet(path).with_columns(n2=pl.lit(float("inf")))
    frame.write_parquet(tmp_path / "bad.parquet")
    frame.select("name", "label").write_parquet(tmp_path / "none.parquet")
    for memory in (1, 10**9):
        for ranker in (ECFS(), OutRank()):
            with pytest.raises(NonFiniteError, match="Column n2 holds infinite"):
                rank_table(ranker, Table(tmp_path / "bad.parquet"), label="label", memory=memory)
            with pytest.raises(InputError, match="no column to rank"):
                rank_table(ranker, Table(tmp_path / "none.parquet"), label="label", memory=memory)


def test_blocks_of_columns_are_the_whole():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 30)), np.arange(80) % 2
    blocks = [
        ColumnBlock(X[:, some], [f"c{j}" for j in some]) for some in np.split(np.arange(30), 3)
    ]
    for ranker in (ECFS(7), FisherScore(7), OutRank(7)):
        expected = ranker.fit(X, y).scores_.copy()
        found = ranker.fit_columns(iter(blocks), y)
        np.testing.assert_array_equal(found.scores_, expected)
        assert found.get_support().sum() == 7
        assert len(found.get_feature_names_out()) == 7
    with pytest.raises(ConfigError, match="whole table"):
        MRMR().fit_columns(blocks, y)
    with pytest.raises(ConfigError, match="cross-validation"):
        ECFS("auto").fit_columns(blocks, y)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 80),
    st.integers(1, 8),
    st.integers(2, 4),
    st.sampled_from([0.0, 1e6]),
    st.sampled_from(["normal", "levels", "constant"]),
    st.integers(0, 10**6),
)
def test_streamed_relevance_is_that_in_memory(n, d, classes, offset, kind, seed):
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(max(n, classes)) % classes)
    n = len(y)
    X = {
        "normal": rng.normal(size=(n, d)),
        "levels": rng.integers(0, 3, (n, d)) * 0.1,
        "constant": (rng.integers(0, 2, (classes, d)) * 0.3)[y],
    }[kind] + offset
    cuts = np.sort(rng.integers(0, n, 3))

    def batches(some):
        return (block for block in np.split(X[:, some], cuts) if len(block))

    found = streamed_relevance(batches, d, y)
    expected = column_relevance(X, y)
    assert found.complete.tolist() == list(range(d))
    np.testing.assert_array_equal(found.relevance.mutual_information, expected.mutual_information)
    for name in Relevance._fields:
        a, b = getattr(found.relevance, name), getattr(expected, name)
        rtol, atol = (1e-12, 1e-14) if offset == 0 else (1e-7, 1e-12)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol, err_msg=name)


def test_columns_with_missing_values_are_left_to_the_caller():
    X = np.array([[1.0, np.nan, 3], [2, 2, 2], [3, 1, 4], [5, 0, 1]])
    y = np.array([0, 0, 1, 1])
    found = streamed_relevance(lambda some: iter([X[:, some]]), 3, y)
    assert found.complete.tolist() == [0, 2]
    expected = column_relevance(X[:, [0, 2]], y)
    np.testing.assert_allclose(found.relevance.fisher, expected.fisher, rtol=1e-12)


_PROGRAM = """
    import json, resource, sys
    from assay.selection import registry
    from assay.selection.rankers.tables import rank_table
    from assay.storage.reading.tables import Table

    def used(key):
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith(key))
        return int(line.split()[1]) * 1024

    path, method, memory, more = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    make = registry.get(method, "ranker")
    before = used("VmRSS")
    limit = used("VmData") + more
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    found = rank_table(make(3), Table(path), label="y", memory=memory)
    told = {"mode": found.mode, "used": used("VmHWM") - before}
    told["best"] = found.ranker.get_feature_names_out().tolist()
    print(json.dumps(told))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_table_that_does_not_fit_in_memory(tmp_path):
    rng = np.random.default_rng(0)
    n, d = 400_000, 100  # 320 MB
    y = rng.integers(0, 2, n)
    frame = pl.DataFrame({f"c{j:02}": rng.random(n) + 0.1 * y * (j % 40 == 3) for j in range(d)})
    path = tmp_path / "t.parquet"
    frame.with_columns(y=pl.Series(y)).write_parquet(path, row_group_size=50_000)
    del frame

    def run(method, memory, more):
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(_PROGRAM), path, method, str(memory), str(more)],
            capture_output=True,
            text=True,
            env={"PATH": "", "POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )

    for method, mode in (("ecfs", "rows"), ("fisher", "rows"), ("outrank", "columns")):
        done = run(method, 64 << 20, 400 << 20)
        assert done.returncode == 0, done.stderr[-2000:]
        told = json.loads(done.stdout)
        assert told["mode"] == mode
        assert sorted(told["best"]) == ["c03", "c43", "c83"]
        assert told["used"] < 350e6  # read whole, it takes 880 MB
    whole = run("ecfs", 1 << 40, 400 << 20)
    assert whole.returncode != 0  # the limit is one: read whole, the table does not fit
