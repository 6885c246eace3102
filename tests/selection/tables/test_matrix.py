"""Tables to matrices: types, missing values, levels; real tables ranked by ECFS."""

from __future__ import annotations

import datetime as dt
import decimal

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import normalized_mutual_info_score

from assay.selection import ECFS
from assay.selection.tables.matrix import to_matrix
from assay.selection.tables.relevance import column_relevance
from assay.storage.errors import ColumnError, ConfigError, InputError, NonFiniteError
from tests.data import shared


def _frame():
    return pl.DataFrame(
        {
            "whole": pl.Series([3, 1, None, 2], dtype=pl.Int64),
            "share": [0.5, float("nan"), 1.5, None],
            "flag": [True, None, False, True],
            "color": ["red", "blue", None, "blue"],
            "size": pl.Series(["s", "m", "m", "s"], dtype=pl.Enum(["s", "m"])),
            "kind": pl.Series(["b", "a", "b", "c"], dtype=pl.Categorical),
            "price": [decimal.Decimal("1.25")] * 4,
            "day": [dt.date(2020, 1, 1)] * 4,
            "tags": [["a"], [], None, ["b"]],
            "blob": [b"x"] * 4,
            "nothing": pl.Series([None] * 4, dtype=pl.Float64),
            "null": [None] * 4,
            "nan": [float("nan")] * 4,
            "cls": ["y", "n", "n", "y"],
        }
    )


def test_each_type_of_column():
    matrix = to_matrix(_frame(), label="cls")
    expected = {
        "whole": [3, 1, 2, 2],
        "share": [0.5, 0.5, 1.5, 0.5],
        "flag": [1, 1, 0, 1],
        "color": [1, 0, 2, 0],
        "size": [1, 0, 0, 1],  # equally frequent: in order of their names
        "kind": [0, 1, 0, 2],
        "price": [1.25] * 4,
    }
    assert matrix.names == list(expected)
    np.testing.assert_array_equal(matrix.X.T, list(expected.values()))
    assert matrix.X.dtype == np.float64
    assert matrix.y.tolist() == ["y", "n", "n", "y"]
    assert matrix.discrete.tolist() == [False, False, False, True, True, True, False]
    left_out = {name for name, note in matrix.report.items() if note.startswith("left out")}
    assert left_out == {"day", "tags", "blob", "nothing", "null", "nan"}
    assert matrix.report["whole"] == "1 of 4 values is missing and takes the median, 2"
    assert matrix.report["share"] == "2 of 4 values are missing and take the median, 0.5"
    assert matrix.report["color"] == "1 of 4 values is missing and forms a level"
    assert set(matrix.report) == left_out | {"whole", "share", "flag", "color"}


def test_it_unpacks_as_four():
    X, names, y, report = to_matrix(_frame(), label="cls", features=["size", "whole"])
    assert X.shape == (4, 2)
    assert names == ["size", "whole"]
    assert len(y) == 4
    assert list(report) == ["whole"]


def test_small_numbers_take_half_the_memory():
    frame = _frame().select(pl.col("flag"), pl.col("color"), pl.lit(7, pl.Int16).alias("i"), "cls")
    assert to_matrix(frame, label="cls").X.dtype == np.float32
    large = frame.with_columns(i=pl.lit(2**24 + 1))
    assert to_matrix(large, label="cls").X[0, 2] == 2**24 + 1


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([1, 2, 1], [1, 2, 1]),
        ([True, False, True], [True, False, True]),
        ([0.0, 1.0, 0.0], [0.0, 1.0, 0.0]),
        (pl.Series(["a", "b", "a"], dtype=pl.Categorical), ["a", "b", "a"]),
        (pl.Series(["a", "b", "a"], dtype=pl.Enum(["b", "a"])), ["a", "b", "a"]),
    ],
)
def test_labels_of_every_type(labels, expected):
    matrix = to_matrix(pl.DataFrame({"x": [1, 2, 3], "cls": labels}), label="cls")
    assert matrix.y.tolist() == expected
    ECFS().fit(matrix.X, matrix.y)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", None, "b"], "1 of 3 labels in column 'cls' are missing"),
        ([1.0, float("nan"), None], "2 of 3 labels"),
        ([["a"], ["b"], ["a"]], r"type List\(String\); labels may be"),
        ([dt.date(2020, 1, 1)] * 3, "type Date"),
    ],
)
def test_labels_that_are_refused(labels, message):
    with pytest.raises(InputError, match=message):
        to_matrix(pl.DataFrame({"x": [1, 2, 3], "cls": labels}), label="cls")


def test_columns_that_are_not_there():
    with pytest.raises(ColumnError, match="Did you mean 'cls'"):
        to_matrix(_frame(), label="class")
    with pytest.raises(ColumnError, match="Did you mean 'color'"):
        to_matrix(_frame(), label="cls", features=["colors"])


@pytest.mark.parametrize(
    ("features", "message"),
    [("color", "list of column names"), (["cls"], "is the label"), (["size"] * 2, "twice")],
)
def test_features_that_are_refused(features, message):
    with pytest.raises(ConfigError, match=message):
        to_matrix(_frame(), label="cls", features=features)


def test_tables_with_nothing_to_rank():
    with pytest.raises(InputError, match="no rows"):
        to_matrix(_frame().clear(), label="cls")
    with pytest.raises(InputError, match="day: left out: type Date"):
        to_matrix(_frame().select("day", "cls"), label="cls")
    with pytest.raises(InputError, match="no column to rank beside 'cls'"):
        to_matrix(_frame().select("cls"), label="cls")


def test_infinite_values_are_named():
    frame = pl.DataFrame({"a": [1.0, 2.0], "b": [float("inf"), 1.0], "cls": ["x", "y"]})
    with pytest.raises(NonFiniteError, match="Column b holds infinite"):
        to_matrix(frame, label="cls")


def test_identifiers_are_left_out_and_rare_levels_share_a_code():
    n = 1_000
    rng = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "id": [f"row {i}" for i in range(n)],
            "town": [f"town {i:03d}" for i in np.sqrt(rng.integers(0, 10_000, n)).astype(int)],
            "cls": rng.integers(0, 2, n),
        }
    )
    X, names, _, report = to_matrix(frame, label="cls")
    assert names == ["town"]
    assert report["id"] == "left out: 1,000 different values in 1,000 rows, an identifier or text"
    levels = frame["town"].n_unique()
    assert report["town"] == f"the {levels - 63} rarest of {levels} levels share one code"
    sizes = np.bincount(X[:, 0].astype(int))
    assert len(sizes) == 64
    assert (np.diff(sizes[:63]) <= 0).all()


def test_ten_names_in_ten_rows_are_levels():
    frame = pl.DataFrame({"x": list("abcdefghij"), "cls": [0, 1] * 5})
    assert to_matrix(frame, label="cls").names == ["x"]
    longer = pl.DataFrame({"x": list("abcdefghijk"), "y": range(11), "cls": [0] * 11})
    assert to_matrix(longer, label="cls").names == ["y"]


def test_every_kind_of_frame():
    frame = _frame().select("whole", "share", "flag", "color", "cls")
    expected = to_matrix(frame, label="cls")
    relation = duckdb.connect().from_arrow(frame.to_arrow())
    for other in (
        frame.lazy(),
        frame.to_arrow(),
        pd.DataFrame(frame.to_dict(as_series=False)),
        relation,
    ):
        found = to_matrix(other, label="cls")
        np.testing.assert_array_equal(found.X, expected.X)
        assert found.names == expected.names
        assert found.y.tolist() == expected.y.tolist()
    dictionary = pa.table({"c": pa.array(["q", "p", "q"]).dictionary_encode(), "cls": [1, 2, 1]})
    assert to_matrix(dictionary, label="cls").discrete.tolist() == [True]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from(["", "a", "b", "é", "Z", None]), min_size=3, max_size=30),
    st.randoms(use_true_random=False),
)
def test_codes_do_not_depend_on_the_order_of_rows(values, random):
    if values.count(None) == len(values):
        values[0] = "a"
    frame = pl.DataFrame({"x": values, "cls": 0}, schema={"x": pl.String, "cls": pl.Int8})
    order = list(range(len(values)))
    random.shuffle(order)
    codes = to_matrix(frame, label="cls").X[:, 0]
    np.testing.assert_array_equal(to_matrix(frame[order], label="cls").X[:, 0], codes[order])
    sizes = np.bincount(codes.astype(int))
    assert (np.diff(sizes) <= 0).all()
    assert len(sizes) == len(set(values))
    assert len({(a, b) for a, b in zip(values, codes, strict=True)}) == len(sizes)


def test_mushroom():
    frame = pl.read_parquet(shared("tabular_mushroom.parquet"))
    X, names, y, report = matrix = to_matrix(frame, label="cls")
    assert X.shape == (8124, 22)
    assert report == {}
    for options in ({}, {"discrete_features": matrix.discrete}):
        ranking = dict(zip(names, ECFS(**options).fit(X, y).ranking_, strict=True))
        assert ranking["odor"] == 1
        assert ranking["veil_type"] == 22
    figures = column_relevance(X, np.unique(y, return_inverse=True)[1], nominal=matrix.discrete)
    for j, name in enumerate(names):
        expected = normalized_mutual_info_score(y, frame[name].to_numpy())
        assert figures.mutual_information[j] == pytest.approx(expected, abs=1e-12)
    # the most frequent class per odour is right for 98.5 %
    assert figures.fisher[names.index("odor")] > 10


def test_adult():
    frame = pl.read_parquet(shared("tabular_adult.parquet"))
    X, names, y, _ = matrix = to_matrix(frame, label="income")
    assert X.shape == (48842, 15)
    assert [
        name for name, names_only in zip(names, matrix.discrete, strict=True) if names_only
    ] == [
        *("workclass", "education", "marital_status", "occupation", "relationship", "race"),
        *("sex", "native_country", "split"),
    ]
    ranking = ECFS(discrete_features=matrix.discrete).fit(X, y).ranking_
    rank = dict(zip(names, ranking, strict=True))
    assert max(rank["marital_status"], rank["relationship"]) == 2
    # neither the census weight nor the split says anything about income
    assert min(rank["fnlwgt"], rank["split"]) == 14


def _gaps():
    return pl.DataFrame(
        {
            "full": [1.0, 2, 3, 4, 5, 6],
            "gap": [1.0, None, 3, float("nan"), 5, 6],
            "color": ["r", None, "g", "g", "r", "r"],
            "empty": pl.Series([None] * 6, dtype=pl.Float64),
            "y": [0, 1, 0, 1, 0, 0],
        }
    )


def test_missing_values_are_told_with_what_they_say_about_the_labels():
    told = to_matrix(_gaps(), label="y").missing
    assert told["feature"].to_list() == ["gap", "color", "empty"]
    assert told["missing"].to_list() == [2, 1, 6]
    assert told["share"].to_list() == pytest.approx([1 / 3, 1 / 6, 1.0])
    assert told["treatment"].to_list() == ["median", "level", "left out"]
    expected = normalized_mutual_info_score([0, 1, 0, 0, 0, 0], [0, 1, 0, 1, 0, 0])
    assert told["label_information"].to_list() == pytest.approx([1.0, expected, 0.0])
    assert to_matrix(_gaps().select("full", "y"), label="y").missing.is_empty()


def test_a_column_may_say_where_values_were_missing():
    matrix = to_matrix(_gaps(), label="y", missing="indicator")
    assert matrix.names == ["full", "gap", "gap is missing", "color"]
    assert matrix.X[:, 2].tolist() == [0, 1, 0, 1, 0, 0]
    assert matrix.discrete.tolist() == [False, False, False, True]
    assert matrix.missing["treatment"].to_list() == ["indicator", "level", "left out"]
    assert ECFS().fit(matrix.X, matrix.y).ranking_[2] == 1
    clash = _gaps().with_columns(pl.lit(0).alias("gap is missing"))
    with pytest.raises(ConfigError, match="'gap is missing' already"):
        to_matrix(clash, label="y", missing="indicator")


def test_missing_values_may_be_refused():
    with pytest.raises(InputError, match=r"3 of 4 columns .* gap \(2\), color \(1\)"):
        to_matrix(_gaps(), label="y", missing="raise")
    matrix = to_matrix(_gaps().select("full", "y"), label="y", missing="raise")
    assert matrix.names == ["full"]
    with pytest.raises(ConfigError, match="missing is 'mean'"):
        to_matrix(_gaps(), label="y", missing="mean")
