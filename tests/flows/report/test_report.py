"""The report: what the page holds, that data stays data, and that a browser draws it."""

from __future__ import annotations

import io
import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.flows import curate, rank_features
from assay.flows.report.facts import MAX_POINTS, sample_points
from assay.flows.running.maps import map_run
from assay.flows.running.reports import write_report
from assay.flows.running.results import RunResult
from assay.storage.errors import AssayError, ConfigError, StoreError
from tests.flows.report.conftest import HOSTILE, SETTINGS, opened, place_of, texts

for _package in ("bokeh", "jinja2"):
    pytest.importorskip(_package, reason="assay-curation[report] is not installed")


@pytest.fixture(scope="module")
def page(result: RunResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "report.html"
    assert write_report(result.store, out).run_id == result.run_id
    return out


def test_the_map_is_a_run_of_its_own_with_every_usable_row(result: RunResult) -> None:
    map_id = map_run(result.store, result.run_id)
    assert map_run(result.store, result.run_id) == map_id
    row = result.store.sql("SELECT kind, of_run, pool FROM runs WHERE kind = 'map'").row(
        0, named=True
    )
    assert row == {"kind": "map", "of_run": result.run_id, "pool": "pool"}
    places = result.store.sql("SELECT pool, sample_id, x, y FROM latest_map ORDER BY sample_id")
    assert places["sample_id"].to_list() == sorted(texts(80)["id"])
    assert np.isfinite(places.select("x", "y").to_numpy()).all()
    assert result.sql("SELECT count(DISTINCT run_id) FROM latest_samples").item() == 1


def test_rows_of_an_earlier_night_stay_in_place(tmp_path: Path) -> None:
    stored = {"store": str(tmp_path / "store"), "name": "pool"}
    texts(80).write_parquet(tmp_path / "pool.parquet")
    first = curate(pool=str(tmp_path / "pool.parquet"), **stored, **SETTINGS)
    map_run(first.store, first.run_id)
    before = first.store.sql("SELECT sample_id, x, y FROM latest_map ORDER BY sample_id")
    grown = pl.concat([texts(80), texts(6, seed=9).with_columns(id="new-" + pl.col("id"))])
    grown.write_parquet(tmp_path / "pool.parquet")
    second = curate(pool=str(tmp_path / "pool.parquet"), **stored, **SETTINGS)
    map_run(second.store, second.run_id)
    after = second.store.sql("SELECT sample_id, x, y FROM latest_map ORDER BY sample_id")
    assert after.height == 86
    assert after.join(before, on=["sample_id", "x", "y"], how="semi").height == 80


def test_the_page_is_one_file_that_names_nothing_of_the_network(page: Path) -> None:
    text = page.read_text()
    assert "default-src 'none'" in text
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?https?:", text)
    assert page.stat().st_size < 5_000_000


def test_what_is_in_the_data_stays_text(page: Path) -> None:
    text = page.read_text()
    for piece in (HOSTILE, "<b>x</b>", "<b>g</b>", "<i>column</i>", "<u>v</u>"):
        assert piece not in text
    assert text.count("</style>") == 1


def test_every_reason_is_counted(result: RunResult, page: Path) -> None:
    text = page.read_text()
    rows = result.sql("SELECT reason, count(*) AS n FROM latest_decisions GROUP BY ALL").rows()
    for reason, n in rows:
        row = rf'data-value="{reason}"[^<]*</button>(<br><span[^<]*</span>)?</td><td class="number">{n}<'
        assert re.search(row, text)


def test_an_existing_file_and_other_endings_are_refused(
    result: RunResult, page: Path, tmp_path: Path
) -> None:
    before = page.read_bytes()
    with pytest.raises((AssayError, FileExistsError)):
        write_report(result.store, page)
    assert page.read_bytes() == before
    with pytest.raises(ConfigError, match=r"must end in \.html"):
        write_report(result.store, tmp_path / "report.pdf")
    with pytest.raises(AssayError, match="finished run"):
        write_report(result.store, tmp_path / "report.html", run="ffff")


def test_a_graph_that_is_gone_is_said(tmp_path: Path) -> None:
    texts(30).write_parquet(tmp_path / "pool.parquet")
    run = curate(pool=str(tmp_path / "pool.parquet"), store=str(tmp_path / "s"), **SETTINGS)
    shutil.rmtree(tmp_path / "s" / "artifacts" / "graph")
    with pytest.raises(StoreError, match="--no-map"):
        write_report(run.store, tmp_path / "report.html")
    write_report(run.store, tmp_path / "report.html", with_map=False)


def test_large_pools_are_sampled_and_the_page_says_so() -> None:
    n = MAX_POINTS + 5_000
    rows = pl.DataFrame(
        {
            "key": np.arange(n),
            "sample_id": [str(i) for i in range(n)],
            "selected": np.arange(n) % 3 == 0,
            "x": np.zeros(n),
        }
    )
    points, notes = sample_points(rows)
    assert points.height == MAX_POINTS
    assert points["selected"].sum() == rows["selected"].sum()
    assert f"{MAX_POINTS:,} of {n:,} rows" in notes[0]
    shuffled, _ = sample_points(rows.sample(fraction=1, shuffle=True, seed=1))
    assert set(shuffled["sample_id"]) == set(points["sample_id"])


def test_a_run_that_ranks_columns_has_a_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    table = pl.DataFrame({"a": y + 0.1 * rng.normal(size=60), "b": rng.normal(size=60)})
    table = table.with_columns(y=pl.Series(["n", "p"]).gather(y))
    table.write_parquet(tmp_path / "table.parquet")
    run = rank_features(
        table=str(tmp_path / "table.parquet"),
        label="y",
        methods=["ecfs", "fisher"],
        k=1,
        store=str(tmp_path / "store"),
    )
    write_report(run.store, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "fisher" in text
    assert "both keep" in text


@pytest.mark.parametrize("kind", ["text", "image"])
def test_a_click_opens_the_row_and_a_lasso_marks_rows(
    kind: str, page: Path, tmp_path: Path, browser: Any
) -> None:
    if kind == "image":
        page = _image_page(tmp_path)
    tab = opened(browser, page)
    assert tab.problems == []
    ids = tab.evaluate("rows.ids")
    index = ids.index("r5")
    # far from the others, so that the click meets it alone
    tab.evaluate(
        "i => { const d = source().data, x = [...d.x]; x[i] += 30; source().data = {...d, x}; }",
        index,
    )
    tab.wait_for_timeout(600)
    tab.locator("#plot-map").scroll_into_view_if_needed()
    x, y = place_of(tab, index)
    tab.mouse.move(x - 3, y - 3)
    tab.mouse.move(x, y)
    tab.wait_for_timeout(200)
    assert tab.locator(".hover .id").inner_text() == "r5"
    tab.mouse.click(x, y)
    tab.wait_for_function("document.querySelector('#detail h3').textContent === 'r5'")
    detail = tab.locator("#detail").inner_text()
    assert "Nearest rows" in detail
    assert "Scores" in detail
    assert "The chosen row that represents it" in detail or "Chosen as number" in detail
    assert tab.locator("#detail canvas.picture").count() >= (2 if kind == "image" else 0)
    tab.locator(".bk-tool-icon-lasso-select").first.click()
    box = tab.locator("#plot-map").bounding_box()
    left, top = box["x"] + 20, box["y"] + 60
    right, bottom = box["x"] + box["width"] - 20, box["y"] + box["height"] - 20
    tab.mouse.move(left, top)
    tab.mouse.down()
    for corner in ((right, top), (right, bottom), (left, bottom), (left, top)):
        tab.mouse.move(*corner, steps=4)
    tab.mouse.up()
    tab.wait_for_function("/rows marked/.test(document.querySelector('#detail h3').textContent)")
    marked = int(tab.locator("#detail h3").inner_text().split()[0])
    assert len(ids) // 2 < marked <= len(ids)


def test_rows_are_found_without_a_mouse_and_hostile_text_stays_text(
    page: Path, browser: Any
) -> None:
    tab = opened(browser, page)
    tab.fill("#wanted", HOSTILE)
    tab.press("#wanted", "Enter")
    tab.wait_for_function("document.querySelector('#detail ul, #detail h4')")
    tab.fill("#wanted", "document.title")
    tab.press("#wanted", "Enter")
    assert "2 rows marked" in tab.locator("#detail").inner_text()
    tab.locator("#detail button.link").first.press("Enter")
    for name in tab.evaluate("[...document.getElementById('coloring').options].map(o => o.value)"):
        tab.select_option("#coloring", name)
        assert tab.locator("#legend span").count() >= 1
    tab.locator('button[data-value="exact_duplicates"]').press("Enter")
    assert "rows marked" in tab.locator("#detail").inner_text()
    tab.locator("#detail button.link").first.press("Enter")
    assert "Duplicates: a group of 3 exact copies" in tab.locator("#detail").inner_text()
    assert tab.title().startswith("What was chosen from")
    assert tab.locator("img[src='x']").count() == 0
    assert (
        tab.locator("main b:text-is('x'), main b:text-is('g'), main i:text-is('column')").count()
        == 0
    )
    assert tab.problems == []


def test_the_page_fits_a_phone_and_every_plot_has_a_name(page: Path, browser: Any) -> None:
    tab = opened(browser, page, width=400)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 400
    assert tab.evaluate(
        "[...document.querySelectorAll('.plot')].every(p => p.getAttribute('aria-label'))"
    )
    unnamed = """[...document.querySelectorAll('input, select, button, img')].filter(e =>
      !(e.labels && e.labels.length) && !e.textContent.trim() && !e.alt && !e.ariaLabel).length"""
    assert tab.evaluate(unnamed) == 0
    headings = tab.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert headings[0] == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(headings))


def test_two_runs_are_compared(tmp_path: Path, browser: Any) -> None:
    stored = {"store": str(tmp_path / "store"), "name": "pool"}
    texts(80).write_parquet(tmp_path / "pool.parquet")
    first = curate(pool=str(tmp_path / "pool.parquet"), **stored, **SETTINGS)
    grown = pl.concat([texts(80), texts(30, seed=9).with_columns(id="new-" + pl.col("id"))])
    grown.write_parquet(tmp_path / "pool.parquet")
    second = curate(pool=str(tmp_path / "pool.parquet"), **stored, **SETTINGS)
    out = tmp_path / "change.html"
    assert write_report(second.store, out, compare=("previous", "latest")).run_id == second.run_id
    changes = second.store.sql(f"FROM diff('{first.run_id}', '{second.run_id}')")
    text = out.read_text()
    came = changes.filter(pl.col("change") == "in").height
    assert f"<b>{came}</b>rows came in" in text
    assert "Drift by group" in text
    for piece in (HOSTILE, "<b>x</b>", "<i>column</i>"):
        assert piece not in text
    tab = opened(browser, out)
    cause = tab.locator("button[data-column='change']").first
    prefix = cause.get_attribute("data-value")
    cause.press("Enter")
    marked = tab.evaluate("source().selected.indices.length")
    change, _, why = prefix.partition(": ")
    kind = {"came in": "in", "went out": "out"}[change]
    assert marked == changes.filter(change=kind, cause=why).height
    assert tab.problems == []


def test_the_ledger_of_earlier_nights_is_drawn(tmp_path: Path) -> None:
    texts(60).write_parquet(tmp_path / "pool.parquet")
    stored = {"pool": str(tmp_path / "pool.parquet"), "store": str(tmp_path / "store")}
    for seed in range(3):
        run = curate(**stored, **SETTINGS, seed=seed, map=seed == 2)
    write_report(run.store, tmp_path / "report.html", with_map=False)
    text = (tmp_path / "report.html").read_text()
    assert "The last nights" in text
    assert text.count('<td class="number">3</td>') >= 1
    assert run.sql("SELECT count(*) FROM runs WHERE kind = 'map'").item() == 0
    assert run.store.sql("SELECT count(*) FROM runs WHERE kind = 'map'").item() == 1


def _image_page(folder: Path) -> Path:
    image = pytest.importorskip("PIL.Image", reason="pillow is not installed")
    rng = np.random.default_rng(0)
    contents = []
    for i in range(40):
        target = io.BytesIO()
        shades = rng.integers(0, 255, (16, 16, 3)) // 4 + 60 * (i % 3)
        image.fromarray(shades.astype(np.uint8)).save(target, "PNG")
        contents.append(target.getvalue())
    contents[2] = b"not a picture"
    frame = pl.DataFrame({"id": [f"r{i}" for i in range(40)], "image": contents})
    frame.write_parquet(folder / "pool.parquet")
    run = curate(
        pool=str(folder / "pool.parquet"),
        id="id",
        image="image",
        budget=6,
        store=str(folder / "store"),
        report=str(folder / "report.html"),
    )
    assert run.report_file == folder / "report.html"
    return folder / "report.html"


def test_on_paper_nothing_is_cut(page: Path, browser: Any) -> None:
    tab = opened(browser, page)
    width = re.search(rb"/MediaBox \[0 0 ([\d.]+)", tab.pdf(prefer_css_page_size=True))
    assert width is not None
    assert float(width[1]) == pytest.approx(1320 * 72 / 96, abs=1)
    tab.emulate_media(media="print")
    tab.set_viewport_size({"width": 1320, "height": 1867})
    wide = "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
    assert tab.evaluate(f"{wide}.map(e => e.textContent.slice(0, 40))") == []
    assert (
        tab.evaluate("getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
    )
