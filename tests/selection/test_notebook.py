"""What a notebook shows of methods, plans and graphs: a short table in which data stays text."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.index import SimilarityGraph
from assay.selection import ECFS, RandomSelector, SelectionPlan, registry
from assay.storage.notebook import html_table

HOSTILE = "<script>alert(1)</script>"


class Cells(HTMLParser):
    """Reads the tags and texts of a table."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


TAGS = {"table", "caption", "tbody", "tr", "th", "td"}


def test_every_text_is_escaped_and_long_ones_are_cut() -> None:
    cells = Cells(html_table(HOSTILE, [(HOSTILE, HOSTILE), ("n", 1234567), ("long", "x" * 999)]))
    assert cells.tags == TAGS
    assert cells.texts[:3] == [HOSTILE] * 3
    assert "1,234,567" in cells.texts
    assert max(map(len, cells.texts)) <= 200


def test_methods_plans_and_graphs_are_tables() -> None:
    X = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    y = np.arange(40) % 2
    graph = SimilarityGraph.from_vectors(X, k=4)
    selector = RandomSelector(budget=5)
    before = Cells(selector._repr_html_())
    assert {"budget", "5"} <= set(before.texts)
    selector.fit(X)
    columns = [HOSTILE, *"abcd"]
    ranker = ECFS(n_features_to_select=2).fit(pl.DataFrame(X, schema=columns).to_pandas(), y)
    plan = SelectionPlan(budget=5, selector="random").fit(X)
    for shown, expected in (
        (selector, "selected"),
        (ranker, f"{ranker.ranking_[0]}. {HOSTILE}"),
        (plan, "selected"),
        (graph, "edges"),
    ):
        cells = Cells(shown._repr_html_())
        assert cells.tags == TAGS
        assert expected in cells.texts
        assert shown._repr_mimebundle_()["text/html"] == shown._repr_html_()


@pytest.mark.parametrize("kind", ["selector", "ranker", "scorer"])
def test_every_method_has_a_table(kind: str) -> None:
    for entry in registry.entries(kind):
        defaults = registry.parameter_defaults(entry.load())
        settings = {name: 3 for name, value in defaults.items() if value is registry.REQUIRED}
        assert Cells(entry.load()(**settings)._repr_html_()).tags >= {"table", "caption"}
