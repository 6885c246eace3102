"""The report and the map that a run leaves: by option, by configuration, and on Prefect's page."""

from __future__ import annotations

import html
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.flows import curate
from assay.flows.cli import app
from assay.flows.commands import demo
from assay.flows.report.page import curation_page
from assay.flows.running.finished import finished_run
from assay.flows.running.reports import run_facts
from assay.flows.running.results import RunResult
from assay.selection.evaluation.figures import WORDS, figures_that_matter
from assay.storage import ScoreStore
from assay.storage.errors import ConfigError
from tests.flows.report.conftest import texts

for _package in ("bokeh", "jinja2"):
    pytest.importorskip(_package, reason="assay-curation[report] is not installed")


def test_the_option_leaves_the_page_and_replaces_only_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    texts(40).select("id", "text").write_parquet("pool.parquet")
    options = ["--pool", "pool.parquet", "--id", "id", "--text", "text", "--budget", "5"]
    options += ["--select", "random", "--scores", "pagerank"]
    Path("notes.html").write_text("<h1>mine</h1>")
    refused = CliRunner().invoke(app, ["curate", *options, "--report", "notes.html"])
    assert isinstance(refused.exception, ConfigError)
    assert "not a report of assay" in str(refused.exception)
    assert Path("notes.html").read_text() == "<h1>mine</h1>"
    for bad in ("report.pdf", "none/report.html", "."):
        assert CliRunner().invoke(app, ["curate", *options, "--report", bad]).exit_code
    assert not Path("assay-store").exists()
    for _ in range(2):
        done = CliRunner().invoke(app, ["curate", "--report", *options], catch_exceptions=False)
        assert f"Report: {tmp_path / 'report.html'}" in done.output
    assert "What was chosen from pool" in Path("report.html").read_text()
    store = ScoreStore("assay-store")
    assert store.sql("SELECT kind FROM runs ORDER BY kind")["kind"].to_list() == ["curate", "map"]
    assert "report" not in store.sql("SELECT config FROM runs WHERE kind = 'curate'")["config"][0]


def test_a_map_is_no_part_of_a_run(tmp_path: Path) -> None:
    texts(40).write_parquet(tmp_path / "pool.parquet")
    stored = {"pool": str(tmp_path / "pool.parquet"), "id": "id", "text": "text", "budget": 5}
    plain = curate(**stored, store=str(tmp_path / "store"))
    again = curate(**stored, store=str(tmp_path / "store"), map=True)
    assert (again.run_id, again.computed) == (plain.run_id, False)
    assert plain.store.sql("SELECT count(*) FROM latest_map").item() == 40


def test_prefect_links_the_page(
    result: RunResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from assay.flows.engines import prefect_page

    left: dict[str, Any] = {}
    for name in ("create_markdown_artifact", "create_table_artifact", "create_link_artifact"):
        monkeypatch.setattr(
            prefect_page, name, lambda content, *, key, **_: left.update({key: content})
        )
    events: list[str] = []
    monkeypatch.setattr(prefect_page, "emit_event", lambda event, **_: events.append(event))
    prefect_page.tell_curation(result)
    assert events == ["assay.pool.curated"]
    assert "assay-pool-report" not in left
    prefect_page.tell_curation(replace(result, report_file=tmp_path / "my report.html"))
    assert left["assay-pool-report"] == (tmp_path / "my report.html").as_uri()


def test_the_page_begins_with_the_figures_that_matter(result: RunResult) -> None:
    facts = run_facts(result.store, finished_run(result.store, result.run_id), with_map=False)
    matter = figures_that_matter(facts.config["select"], facts.ledger.rows(named=True))
    assert 0 < len(matter) < facts.ledger.height
    top = curation_page(facts).partition('aria-label="In one look"')[2].partition("</section>")[0]
    for row in matter:
        assert html.escape(WORDS[row["name"]]) in top
        assert f"<b>{row['value']:.4g}</b>" in top
    assert f"all {facts.ledger.height} figures</a>" in top
    assert not [name for name in set(WORDS) - {row["name"] for row in matter} if name in top]


def test_the_page_of_a_plug_in_that_is_not_installed(result: RunResult) -> None:
    facts = run_facts(result.store, finished_run(result.store, result.run_id), with_map=False)
    facts.config["select"] = "their_selector"
    assert "What their_selector is for" in curation_page(facts)


def test_the_demo_puts_its_page_beside_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert demo.page_beside(tmp_path / "s") == tmp_path / "s-report.html"
    monkeypatch.setattr(demo, "missing_packages", lambda: ["bokeh"])
    assert demo.page_beside(tmp_path / "s") is None
