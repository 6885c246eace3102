"""A browser for pages, and runs whose data is hostile."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from assay.flows import curate
from assay.flows.running.results import RunResult

HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
)
GROUPS = ["<b>g</b>", "{{ 7 * 7 }}", "${alert(1)}"]
SETTINGS: dict[str, Any] = {
    "id": "id",
    "text": "text",
    "label": "label",
    "group": "group",
    "keep": ["<i>column</i>"],
    "budget": 12,
    "scores": ["knn_density", "label_agreement"],
    "embedding": {"dimensions": 8, "buckets": 4096},
    "graph": {"k": 5},
    "plan": {"deduplicate": ["exact_duplicates"], "filters": ["length(text) > 20"]},
}


def texts(n: int, seed: int = 0) -> pl.DataFrame:
    """Return rows whose texts, ids, labels, groups and column names are markup, script or templates."""
    rng = np.random.default_rng(seed)
    words = np.array([f"word{i}" for i in range(60)])
    rows = [" ".join(rng.choice(words, 8)) for _ in range(n)]
    rows[0] = HOSTILE
    rows[3] = "short"
    if n > 9:
        rows[7:9] = [rows[6], rows[6]]
    return pl.DataFrame(
        {
            "id": [HOSTILE if i == 1 else f"r{i}" for i in range(n)],
            "text": rows,
            "label": [["<b>x</b>", "y"][i % 2] for i in range(n)],
            "group": [GROUPS[i % 3] for i in range(n)],
            "<i>column</i>": [["<u>v</u>", "</style>"][i % 2] for i in range(n)],
        }
    )


@pytest.fixture(scope="package")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("report")
    texts(80).write_parquet(folder / "pool.parquet")
    return curate(pool=str(folder / "pool.parquet"), store=str(folder / "store"), **SETTINGS)


@contextmanager
def opened_browser() -> Iterator[Any]:
    """Open headless Chromium, driven by Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def browser() -> Iterator[Any]:
    with opened_browser() as found:
        yield found


def opened(browser: Any, page: Path | str, width: int = 1280) -> Any:
    """Open a page and wait until its plots are drawn; its errors are in `problems`."""
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.problems = []
    tab.on("pageerror", lambda error: tab.problems.append(str(error)))
    tab.goto(f"file://{page}" if isinstance(page, Path) else page)
    tab.wait_for_selector("body[data-drawn]", timeout=60_000)
    return tab


def place_of(tab: Any, index: int) -> tuple[float, float]:
    """Return where a point of the map is on the screen."""
    x, y = tab.evaluate(
        """index => {
          const roots = Bokeh.documents.map(d => d.get_model_by_name("map_points") && d.roots()[0]).filter(Boolean);
          const view = Bokeh.index.get_by_id(roots[0].id), data = source().data;
          const [sx] = view.frame.x_scale.v_compute([data.x[index]]), [sy] = view.frame.y_scale.v_compute([data.y[index]]);
          const box = view.canvas_view.el.getBoundingClientRect();
          return [box.left + sx, box.top + sy];
        }""",
        index,
    )
    return x, y
