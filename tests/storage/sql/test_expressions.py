"""SQL expressions over a frame: one value per row, and nothing else within reach."""

from __future__ import annotations

import time

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.storage.errors import ConfigError
from assay.storage.sql.expressions import compared, evaluate, holds, names_in, numbers, places

FRAME = pl.DataFrame(
    {
        "sample_id": ["b", "a", "c"],
        "n": [1, 3, None],
        "odd name": ["x", "yy", None],
        "row": [7, 8, 9],
    }
)


def test_values_are_in_the_frames_order() -> None:
    assert evaluate(FRAME, 'length("odd name")').to_list() == [1, 2, None]
    np.testing.assert_array_equal(numbers(FRAME, "n / 2"), [0.5, 1.5, np.nan])
    assert holds(FRAME, "n > 1 or n is null").tolist() == [False, True, True]
    assert holds(FRAME, "n > 1").tolist() == [False, True, False]
    assert evaluate(FRAME, "n > avg(n) over ()").to_list() == [False, True, None]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("n >= 2", ([None, 1], 2.0)),
        ("1_0 > n * 2 + length(sample_id)", ([None, 3], 10.0)),
        ("n < -1.5e1", ([None, 1], -15.0)),
        ("sum(n) over () = 4", ([4, 4], 4.0)),
        ("avg(n) over () > 1", ([2.0, 2.0], 1.0)),
        ("n > row", None),
        ("n > 1 and n < 3", None),
        ("sample_id = 'a'", None),
        ("n between 1 and 3", None),
        ("1 > 2", None),
    ],
)
def test_what_a_condition_compares_with_a_number(condition: str, expected: object) -> None:
    found = compared(FRAME, condition, np.array([2, 0]))
    assert (found and (found[0].to_list(), found[1])) == expected


def test_order_is_any_sql_order_with_ties_by_id() -> None:
    assert places(FRAME, "n desc nulls last").tolist() == [1, 0, 2]
    assert places(FRAME, "1").tolist() == [1, 0, 2]
    big = pl.DataFrame({"sample_id": [f"{i:05}" for i in range(20_000)]}).sample(
        fraction=1, shuffle=True, seed=1
    )
    assert places(big, "length(sample_id)").tolist() == big["sample_id"].cast(int).to_list()


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("nn > 1", "Columns are: sample_id, n"),
        ("max(n) > 1", "over ()"),
        ("n", "true or"),
        ("n > 1; drop view pool", "can't be evaluated"),
        ("exists (from read_csv('/etc/hosts'))", "disabled by configuration"),
        ("n > (select count(*) from '/etc/hosts')", "can't be evaluated"),
        ("n >", "can't be evaluated"),
    ],
)
def test_what_is_no_condition_is_refused(expression: str, told: str) -> None:
    with pytest.raises(ConfigError, match="condition") as error:
        holds(FRAME, expression)
    assert told in str(error.value)


def test_a_text_is_no_score() -> None:
    with pytest.raises(ConfigError, match="pass a number"):
        numbers(FRAME, "sample_id")


POOL = pl.DataFrame(
    {
        "score": [1.0, 1.0, 0.0],
        "Score": [0.0, 0.0, 1.0],
        "label": ["own", "own", "spam"],
        "q": [0.9, float("nan"), None],
        "tags": [[1, 2], [3], []],
        "meta": [{"lang": "de"}, {"lang": "en"}, {"lang": None}],
    }
)
OURS = pl.DataFrame({"sample_id": ["b", "a", "c"], "label": ["x", "y", "z"], "row": [0, 1, 2]})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('"Score" > 0.5', [0, 0, 1]),
        ("score > 0.5", [1, 1, 0]),
        ("score > Score", [1, 1, 0]),
        ("label <> 'spam'", [1, 1, 0]),
        ("LABEL = 'spam'", [0, 0, 1]),
        ("assay.label = 'y' and label = 'own'", [0, 1, 0]),
        ("row > 0", [0, 1, 1]),
        ("meta.lang = 'de'", [1, 0, 0]),
        ("pool.meta.lang = 'de'", [1, 0, 0]),
        ("len(list_filter(tags, lambda row: row > 1)) > 0", [1, 1, 0]),
        ("len(list_filter(tags, lambda t: t > assay.row)) > 1", [1, 0, 0]),
        ("score = (select max(score) from pool)", [1, 1, 0]),
        ("row_number() over (order by assay.sample_id) = 1", [0, 1, 0]),
        # NaN is as null: in columns, and where an expression makes it
        ("q > 0.5", [1, 0, 0]),
        ("q is null", [0, 1, 1]),
        ("coalesce(q, 0) = 0", [0, 1, 1]),
        ("q between 0.5 and 'inf'::double", [1, 0, 0]),
        ("(q - q) / (q - q) > 0", [0, 0, 0]),
        ("'nan'::double > score", [0, 0, 0]),
        ("greatest(0.5, 'nan'::float) = 0.5", [1, 1, 1]),
        ("max(q) over () < 1", [1, 1, 1]),
    ],
)
def test_which_column_a_name_means(condition: str, expected: list[int]) -> None:
    assert holds(POOL, condition, ours=OURS).astype(int).tolist() == expected


def test_orders_put_nan_last_and_know_both_owners() -> None:
    assert places(POOL, "q desc", ours=OURS).tolist() == [0, 1, 2]
    assert places(POOL, "q", ours=OURS).tolist() == [0, 1, 2]
    assert places(POOL, '"Score" desc, assay.label desc', ours=OURS).tolist() == [2, 1, 0]
    own = POOL.with_columns(sample_id=pl.Series(["1", "2", "3"]))
    assert places(own, "0 * score", ours=OURS).tolist() == [1, 0, 2]


def test_names_that_could_be_two_columns_are_refused() -> None:
    with pytest.raises(ConfigError, match="differ in case only"):
        holds(POOL, "SCORE > 1", ours=OURS)
    for star in ("count(columns(*)) over () > 0", "*", "#1 > 0"):
        with pytest.raises(ConfigError, match="name those you mean"):
            evaluate(POOL, star, ours=OURS)
    for more in ("1) FROM pool WHERE (true", "1) LIMIT (1"):
        with pytest.raises(ConfigError, match="more than one expression"):
            evaluate(POOL, more, ours=OURS)
    for more in ("score) , (select 1", "score rows between 1 preceding and current row"):
        with pytest.raises(ConfigError):
            places(POOL, more, ours=OURS)


NAMES = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=6
) | st.sampled_from(
    ["select", "a b", 'a"b', "a.b", "pool", "assay", "value", "__row", "x", "é", "É"]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), st.data())
def test_a_quoted_name_means_its_column(names: list[str], data: st.DataObject) -> None:
    frame = pl.DataFrame({name: [at, at + 10] for at, name in enumerate(names)})
    name = data.draw(st.sampled_from(names))
    quoted = '"' + name.replace('"', '""') + '"'
    at = names.index(name)
    assert evaluate(frame, f"{quoted} + 0").to_list() == [at, at + 10]
    assert names_in(f"{quoted} + 0", names).own == [name]
    everything = " + ".join('"' + n.replace('"', '""') + '"' for n in names)
    assert evaluate(frame, everything).to_list() == frame.sum_horizontal().to_list()
    ids = pl.DataFrame({"sample_id": ["b", "a"]})
    assert places(frame, f"{quoted} desc", ours=ids).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("limit", "value", "rows"),
    [
        (
            "ASSAY_SQL_SECONDS",
            "1",
            "range(10000000) a, range(100000) b WHERE a.range * b.range % 7 = 3",
        ),
        ("ASSAY_SQL_MEMORY", "100MB", "(SELECT DISTINCT range FROM range(100000000))"),
    ],
)
def test_an_expression_has_the_limits_of_a_query(
    limit: str, value: str, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(limit, value)
    started = time.monotonic()
    with pytest.raises(ConfigError, match=f"query took more than .*{limit}"):
        evaluate(FRAME, f"n + (SELECT count(*) FROM {rows})")
    assert time.monotonic() - started < 60
    assert evaluate(FRAME, "n + 1").to_list() == [2, 4, None]
