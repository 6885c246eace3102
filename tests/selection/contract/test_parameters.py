"""Parameters are declared with what they may be, and refused by name before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.selection import conformance, registry
from assay.selection.contract.parameters import Number, Whole, check_limits
from assay.storage.errors import ConfigError

DECLARED = [
    (entry, name)
    for entry in registry.entries()
    for name in getattr(entry.load(), "limits", {})
]  # fmt: skip


@pytest.mark.parametrize(("entry", "name"), DECLARED, ids=lambda part: getattr(part, "name", part))
def test_a_wrong_parameter_is_refused_by_name(entry, name):
    method = entry.load()
    required = {"budget": 5} if entry.kind == "selector" else {}
    assert name in registry.parameter_defaults(method)
    made = method(**required)
    # the default is allowed
    check_limits({name: method.limits[name]}, made.get_params(deep=False))
    for wrong in (object(), [], np.nan, "no such word"):
        made.set_params(**{name: wrong})
        arguments = conformance.arguments(entry, conformance.pool(12))
        if entry.kind == "ranker":
            arguments = {"X": np.eye(12)[:, :4], "y": np.arange(12) % 2}
        with pytest.raises(ConfigError, match=rf"^{name} is .*; pass "):
            made.fit(**arguments)


@given(st.integers(-5, 5), st.integers(-5, 5), st.integers(-9, 9))
def test_whole_numbers_are_those_between_the_bounds(least, more, value):
    bounds = Whole(least, least + abs(more))
    assert bounds.allows(value) == (least <= value <= least + abs(more))
    assert bounds.allows(np.int64(value)) == bounds.allows(value)
    assert not bounds.allows(float(value))


@given(
    st.sampled_from("[("), st.sampled_from("])"), st.floats(-1, 1), st.floats(0, 2),
    st.floats(allow_nan=True),
)  # fmt: skip
def test_numbers_are_those_of_the_interval(left, right, low, width, value):
    interval = Number(f"{left}{low}, {low + width}{right}")
    above = value >= low if left == "[" else value > low
    below = value <= low + width if right == "]" else value < low + width
    assert interval.allows(value) == (above and below)


@pytest.mark.parametrize("value", [True, None, "1", np.array([1]), 1j])
def test_what_is_no_number_is_none(value):
    assert not Whole(0).allows(value)
    assert not Number("[0, inf)").allows(value)


def test_a_value_is_allowed_only_as_its_own_type():
    check_limits({"a": (1, 2), "b": ("auto", None)}, {"a": 1, "b": None})
    with pytest.raises(ConfigError, match=r"^a is True; pass 1 or 2\.$"):
        check_limits({"a": (1, 2)}, {"a": True})
    with pytest.raises(ConfigError, match=r"^b is 0; pass a whole number >= 1, 'auto' or None\.$"):
        check_limits({"b": (Whole(1), "auto", None)}, {"b": 0})
