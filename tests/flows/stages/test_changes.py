from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.flows.stages import changes

HASHES = st.lists(st.sampled_from("abc"), max_size=8)


def frame(ids: list[int], hashes: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {"sample_id": [str(i) for i in ids], "content_hash": hashes},
        schema={"sample_id": pl.String, "content_hash": pl.String},
    )


@settings(max_examples=300, deadline=None)
@given(before=HASHES, now=HASHES, shared=st.integers(0, 8), data=st.data())
def test_rows_are_matched_by_id_and_content(
    before: list[str], now: list[str], shared: int, data: st.DataObject
) -> None:
    # the first rows are often the same
    now = [*before[:shared], *now]
    ids = [*range(min(shared, len(before)))]
    ids += data.draw(st.permutations(range(len(ids), 20)))[: len(now) - len(ids)]
    rows, contents = changes._likes(frame(ids, now), frame([*range(len(before))], before))
    for place, (i, content) in enumerate(zip(ids, now, strict=True)):
        same = i < len(before) and before[i] == content
        assert rows[place] == (i if same else -1)
        first = before.index(content) if content in before else -1
        assert contents[place] == (i if same else first)
    assert rows.dtype == contents.dtype == np.int32
    assert len(rows) == len(contents) == len(now)


def test_only_rows_behind_the_first_difference_are_looked_for() -> None:
    before = frame([0, 1, 2, 3], ["a", "b", "c", "d"])
    assert changes._leading(before, before) == 4
    assert changes._leading(before, before.head(0)) == 0
    assert changes._leading(before.head(3), before) == 3
    assert changes._leading(frame([0, 1, 7], ["a", "b", "c"]), before) == 2
    assert changes._leading(frame([0, 1, 2], ["a", "x", "c"]), before) == 1
