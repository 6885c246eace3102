"""Parameters are declared with what they may be, and refused by name before anything is computed."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.index import SimilarityGraph, VectorIndex
from assay.index.embedding.image import ImageEmbedder
from assay.index.embedding.onnx import OnnxEmbedder
from assay.index.embedding.openai import OpenAIEmbedder
from assay.index.embedding.sentence_transformers import SentenceTransformerEmbedder
from assay.index.embedding.table import TableEmbedder
from assay.index.embedding.text import HashedTextEmbedder
from assay.index.ngrams.hasher import NGramHasher
from assay.selection import registry
from assay.storage.errors import ConfigError
from assay.storage.limits import Number, Whole, check_limits

ENTRIES = {f"{entry.kind} {entry.name}": entry for entry in registry.entries()}
EMBEDDERS = {
    "text": HashedTextEmbedder,
    "image": ImageEmbedder,
    "table": TableEmbedder,
    "onnx": OnnxEmbedder,
    "openai": OpenAIEmbedder,
    "sentence-transformers": SentenceTransformerEmbedder,
}
WRONG = (object(), [], np.nan, "no such word", -np.inf)
# what is a word, a mapping or data, and not a number
NOT_NUMBERS = {"proportions", "probabilities", "discrete_features", "log", "seeds", "validation"}


def numeric(method: type) -> list[str]:
    """Return the parameters of a class whose annotation or default is a number."""
    return [
        parameter.name
        for parameter in inspect.signature(method).parameters.values()
        if re.search(r"\b(int|float)\b", str(parameter.annotation))
        or (isinstance(parameter.default, int | float) and parameter.default is not True)
        if parameter.name not in NOT_NUMBERS
    ]


def made(entry: registry.Entry) -> Any:
    return entry.load()(**({"budget": 5} if entry.kind == "selector" else {}))


@pytest.mark.parametrize("name", ENTRIES)
def test_every_numeric_parameter_is_declared_and_its_default_allowed(name):
    method = ENTRIES[name].load()
    assert [each for each in numeric(method) if each not in method.limits] == []
    made(ENTRIES[name]).check_parameters()
    inherited = {each for base in method.__mro__[1:] for each in vars(base).get("limits", {})}
    assert set(method.limits) - inherited <= set(registry.parameter_defaults(method))


@pytest.mark.parametrize("name", ENTRIES)
def test_a_wrong_parameter_is_refused_by_name_before_any_work(name):
    entry = ENTRIES[name]
    for parameter in set(entry.load().limits) & set(registry.parameter_defaults(entry.load())):
        for wrong in WRONG:
            method = made(entry).set_params(**{parameter: wrong})
            # there is nothing to work on, so that the parameter is what is looked at first
            with pytest.raises(ConfigError, match=rf"^{parameter} is .*; pass "):
                method.fit(None)


@pytest.mark.parametrize("name", EMBEDDERS)
def test_a_wrong_parameter_of_an_embedder_is_refused_by_name(name):
    embedder = EMBEDDERS[name]
    assert [each for each in numeric(embedder) if each not in embedder.limits] == []
    needed = {"model": "m", "folder": "f"}
    known = inspect.signature(embedder).parameters
    for parameter in embedder.limits:
        for wrong in WRONG[1:] if parameter == "columns" else WRONG:
            if parameter == "columns" and wrong == []:
                continue
            given = {key: value for key, value in needed.items() if key in known}
            with pytest.raises(ConfigError, match=rf"^{parameter} is .*; pass "):
                embedder(**given, **{parameter: wrong})


X = np.eye(6)
GRAPH = SimilarityGraph.from_vectors(X, k=2)
CALLS = [
    (SimilarityGraph.from_vectors, {"X": X}, ("k", "target_recall", "threads", "random_state")),
    (
        SimilarityGraph.from_vectors,
        {"X": X},
        ("metric", "method", "symmetrise", "weights", "robust"),
    ),
    (VectorIndex, {}, ("metric", "kind", "random_state")),
    (VectorIndex.from_vectors(X).search, {"Q": X, "k": 1}, ("k", "probes")),
    (NGramHasher, {}, ("ngrams", "buckets", "hash", "tokenizer", "compose")),
    (GRAPH.layout, {}, ("dims", "epochs", "random_state")),
]


@pytest.mark.parametrize(("function", "given", "names"), CALLS, ids=lambda part: str(part)[:30])
def test_a_wrong_parameter_of_an_index_is_refused_by_name(function, given, names):
    for name in names:
        for wrong in WRONG:
            with pytest.raises(ConfigError, match=rf"^{name} is .*; pass "):
                function(**{**given, name: wrong})


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
