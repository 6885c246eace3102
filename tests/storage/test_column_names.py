"""One table of names: what may be kept, what a score may be called, which column a name means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.storage.errors import ConfigError
from assay.storage.names import (
    EXPORT_NAMES,
    SAMPLE_NAMES,
    VIEW_NAMES,
    Reference,
    check_kept,
    check_score_names,
    find,
    fold,
    own_name,
    stored_name,
)

RESERVED = [*SAMPLE_NAMES, *VIEW_NAMES, *EXPORT_NAMES]
NAMES = st.text(min_size=1, max_size=6) | st.sampled_from(
    ["key", "Key", "problem", "PROBLEM", "kept.key", "Kept.x", "assay.label", *RESERVED]
)


def any_case(data: st.DataObject, name: str) -> str:
    flips = data.draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
    return "".join(c.upper() if up else c for c, up in zip(name, flips, strict=True))


@given(NAMES, NAMES)
def test_stored_names_are_apart_from_ours_and_come_back(one: str, other: str) -> None:
    assert own_name(stored_name(one)) == one
    assert fold(stored_name(one)) not in ("key", "problem")
    assert (stored_name(one) == stored_name(other)) == (one == other)


@given(st.data())
def test_reserved_names_are_refused_in_any_case_and_no_others(data: st.DataObject) -> None:
    name = any_case(data, data.draw(st.sampled_from(RESERVED)))
    with pytest.raises(ConfigError, match="can't be kept"):
        check_kept([name])
    with pytest.raises(ConfigError, match="can't have that name"):
        check_score_names([name], [])
    free = ["key", "selected", "stage", "reason", "detail", "method", "score", "rank", "problem"]
    check_kept(free, ["pagerank"])
    with pytest.raises(ConfigError, match="the score 'pagerank'"):
        check_kept([any_case(data, "pagerank")], ["pagerank"])
    with pytest.raises(ConfigError, match="method of assay"):
        check_score_names([any_case(data, "pagerank")], ["pagerank"])
    with pytest.raises(ConfigError, match="another expression"):
        check_score_names(["words", any_case(data, "words")[::-1][::-1].capitalize()], [])


@pytest.mark.parametrize("name", ["", "a\0b"])
def test_what_is_no_name_in_sql_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="can't be the name"):
        check_kept([name])
    with pytest.raises(ConfigError, match="can't be the name"):
        check_score_names([name], [])


def test_the_pools_columns_come_first() -> None:
    ours = ["label", "source", "words"]
    assert find("label", ["label"], ours) == Reference("label", False)
    assert find("LABEL", ["label"], ours) == Reference("label", False)
    assert find("label", ["Label"], ours) == Reference("Label", False)
    assert find("assay.label", ["label"], ours) == Reference("label", True)
    assert find("ASSAY.Label", [], ours) == Reference("label", True)
    assert find("assay.label", ["assay.label"], ours) == Reference("assay.label", False)
    assert find("source", ["label"], ours) == Reference("source", True)
    assert find("nothing", ["label"], ours) is None
    assert find("Score", ["score", "Score"]) == Reference("Score", False)
    with pytest.raises(ConfigError, match="differ in case only"):
        find("SCORE", ["score", "Score"])
