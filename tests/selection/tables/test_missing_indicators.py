"""Missing values and the label, against SciPy's contingency tables."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, false_discovery_control

from assay.selection import missing_relevance
from assay.storage.errors import InputError
from tests.data import shared


@settings(max_examples=20, deadline=None)
@given(n=st.integers(8, 60), classes=st.integers(2, 4), seed=st.integers(0, 99))
def test_it_is_the_chi_square_test_of_the_indicator(n, classes, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    gone = {f"c{j}": rng.random(n) < rng.random() for j in range(4)}
    frame = pl.DataFrame(
        {name: pl.Series(np.where(mask, np.nan, 1.0)) for name, mask in gone.items()}
    ).with_columns(c1=pl.col("c1").fill_nan(None))
    found = missing_relevance(frame, y)
    told = {row["feature"]: row for row in found.iter_rows(named=True)}
    assert set(told) == {name for name, mask in gone.items() if 0 < mask.sum() < n}
    for name, row in told.items():
        kinds = np.unique(y)
        table = np.array(
            [[(mask & (y == c)).sum() for c in kinds] for mask in (gone[name], ~gone[name])]
        )
        expected = chi2_contingency(table, correction=False)
        assert row["p"] == pytest.approx(expected.pvalue)
        assert row["cramers_v"] == pytest.approx(np.sqrt(expected.statistic / n))
        at = int(row["label"])
        assert row["rate_missing"] == pytest.approx((y[gone[name]] == at).mean())
        assert row["rate_present"] == pytest.approx((y[~gone[name]] == at).mean())
        gaps = [abs((y[gone[name]] == c).mean() - (y[~gone[name]] == c).mean()) for c in kinds]
        assert abs(row["rate_missing"] - row["rate_present"]) == pytest.approx(max(gaps))
    if told:
        np.testing.assert_allclose(found["p_adjusted"], false_discovery_control(found["p"]))


def test_chance_is_rarely_called_relevant_and_what_is_planted_is():
    rng = np.random.default_rng(1)
    n, calls = 400, 0
    for _ in range(20):
        y = rng.integers(0, 2, n)
        frame = {f"c{j}": np.where(rng.random(n) < 0.3, np.nan, 1.0) for j in range(10)}
        frame["planted"] = np.where(rng.random(n) < np.where(y == 1, 0.4, 0.1), np.nan, 1.0)
        found = missing_relevance(pl.DataFrame(frame), y)
        named = found.filter(pl.col("p_adjusted") < 0.05)["feature"].to_list()
        assert "planted" in named
        calls += len(named) - 1
    assert calls <= 4


def test_numeric_labels_are_cut_and_rows_without_one_left_out():
    y = np.arange(100.0)
    gone = np.where(y >= 80, np.nan, 1.0)
    (row,) = missing_relevance({"a": gone}, y).iter_rows(named=True)
    assert row["cramers_v"] == pytest.approx(1)
    assert (row["rate_missing"], row["rate_present"]) == (1, 0)
    y[:40] = np.nan
    (row,) = missing_relevance({"a": gone}, y).iter_rows(named=True)
    assert row["missing"] == 20
    assert missing_relevance({"a": gone}, ["x"] * 100)["p"].to_list() == [1.0]
    assert missing_relevance({"a": [1, 2]}, ["x", "y"]).is_empty()
    with pytest.raises(InputError, match="3 labels for 2 rows"):
        missing_relevance({"a": [1, None]}, [1, 2, 3])


def test_occupations_of_the_census_are_missing_where_incomes_are_low():
    frame = pl.read_parquet(shared("tabular_adult.parquet"))
    columns = frame.drop("income", "split").with_columns(
        pl.when(pl.col(pl.String).str.strip_chars() != "?").then(pl.col(pl.String))
    )
    found = missing_relevance(columns, frame["income"])
    row = found.row(by_predicate=pl.col("feature") == "occupation", named=True)
    above = row["label"].startswith(">") or row["rate_missing"] < 0.5
    rates = (row["rate_missing"], row["rate_present"])
    low, high = rates if above else (1 - rates[0], 1 - rates[1])
    assert (low, high) == pytest.approx((0.095, 0.248), abs=1e-3)
    assert row["p_adjusted"] < 1e-50
