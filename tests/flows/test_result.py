"""What a notebook and `explain` show of a run: its decisions, map and report, a row's surroundings."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assay.flows import curate, rank_features
from assay.flows.printing.explaining import explanation
from assay.flows.printing.summary import print_curation
from assay.storage.errors import AssayError
from assay.storage.runs import attaching
from tests.flows.report.conftest import HOSTILE, SETTINGS, texts


class Frames(HTMLParser):
    """Reads the pages that frames hold."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.pages: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.pages += [value for name, value in attrs if name == "srcdoc"]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("result")
    texts(60).write_parquet(folder / "pool.parquet")
    return curate(pool=str(folder / "pool.parquet"), store=str(folder / "store"), **SETTINGS)


def test_a_run_is_a_table_with_its_decisions_and_ledger(result: Any) -> None:
    html = result._repr_html_()
    assert result.run_id in html
    for reason, n in result.sql(
        "SELECT reason, count(*) FROM latest_decisions GROUP BY ALL"
    ).rows():
        assert f": {reason}</th><td>{n}</td>" in html
    for name in result.sql("SELECT name FROM ledger WHERE verdict IS NOT NULL")["name"]:
        assert name in html


def test_what_is_printed_of_a_run_opens_it_once(
    result: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = []
    attach = attaching.attach
    monkeypatch.setattr(
        attaching, "attach", lambda con, *given: opened.append(given) or attach(con, *given)
    )
    print_curation(result)
    # and once to count the pools of the store
    assert len(opened) <= 2
    opened.clear()
    result.summary()
    assert len(opened) <= 2
    assert result.run_id in capsys.readouterr().out


def test_map_and_report_are_shown_apart_from_the_notebook(result: Any, tmp_path: Path) -> None:
    pytest.importorskip("bokeh", reason="assay-curation[report] is not installed")
    for page, piece in ((result.map(), "Map of pool"), (result.report(), "Every row of the pool")):
        frames = Frames(page._repr_html_())
        assert frames.tags == ["iframe"]
        assert frames.pages == [page.html]
        assert piece in page.html
        assert HOSTILE not in page.html
    result.report().save(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text() == result.report().html
    with pytest.raises((AssayError, FileExistsError)):
        result.report().save(tmp_path / "report.html")


def test_a_ranking_is_a_table_and_has_a_report_but_no_map(tmp_path: Path) -> None:
    pytest.importorskip("bokeh", reason="assay-curation[report] is not installed")
    table = pl.DataFrame(
        {HOSTILE: [0.0, 1.0] * 20, "b": [1.0, 2.0, 3.0, 4.0] * 10, "y": [0, 1] * 20}
    )
    ranked = rank_features(table=table, label="y", k="auto", store=str(tmp_path / "store"))
    assert HOSTILE not in ranked._repr_html_()
    page = ranked.report()
    assert HOSTILE not in page.html
    assert "Accuracy" in page.html
    with pytest.raises(AssayError, match="no map"):
        ranked.map()


def test_explain_shows_content_neighbors_duplicates_and_the_representative(result: Any) -> None:
    pool = texts(60)
    ids = dict(pool.select("id", "text").rows())
    chosen = set(result.sql("SELECT sample_id FROM latest_selection")["sample_id"])
    (row,) = explanation(result.store, "r7")
    assert row["content"] == ids["r7"]
    assert {copy["sample_id"] for copy in row["duplicates"]} == {"r6", "r8"}
    assert row["represented_by"] is None or row["represented_by"]["sample_id"] in chosen
    near = row["neighbors"]
    assert {"r6", "r8"} <= {one["sample_id"] for one in near}
    similarity = [one["similarity"] for one in near]
    assert similarity == sorted(similarity, reverse=True)
    assert all(one["selected"] == (one["sample_id"] in chosen) for one in near)
    left = result.sql("SELECT sample_id, detail FROM latest_decisions WHERE reason = 'not_drawn'")
    for sample_id, detail in left.head(3).rows():
        (row,) = explanation(result.store, sample_id)
        named = json.loads(detail).get("nearest")
        if named is not None:
            assert row["represented_by"]["sample_id"] == named
            assert ids[named].startswith(row["represented_by"]["excerpt"].removesuffix("…"))
    (first,) = explanation(result.store, min(chosen))
    assert first["represented_by"] is None
