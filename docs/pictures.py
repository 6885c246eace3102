"""Draw the pictures of the documentation: screenshots of reports on data that ships with assay or scikit-learn.

python docs/pictures.py    needs Chromium, Playwright and Pillow
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image
from playwright.sync_api import sync_playwright
from sklearn.datasets import load_digits

from assay.examples import example_path
from assay.flows import curate
from assay.flows.running.results import RunResult

IMAGES = Path(__file__).resolve().parent / "site" / "images"
WRONG = 0.1


def texts(folder: Path) -> RunResult:
    """Choose health answers from the example pool, as the demo does, kept by domain."""
    pool, target = (pl.read_parquet(example_path(f"{name}.parquet")) for name in ("pool", "target"))
    return curate(
        pool=pool,
        name="example",
        target=target,
        id="id",
        text="text",
        group="domain",
        budget="5%",
        scores=["importance", "pagerank", "knn_density"],
        plan={"deduplicate": ["near_duplicates"]},
        store=str(folder / "texts"),
        report=folder / "texts.html",
    )


def digits(folder: Path) -> RunResult:
    """Choose from scanned digits of which a tenth have a wrong label."""
    data = load_digits()
    random = np.random.default_rng(0)
    labels = data.target.copy()
    wrong = random.random(len(labels)) < WRONG
    labels[wrong] = (labels[wrong] + random.integers(1, 10, wrong.sum())) % 10
    pool = pl.DataFrame(
        {
            "id": [f"digit {i}" for i in range(len(labels))],
            "image": [_png(scan) for scan in data.images],
            "label": labels.astype(str),
        }
    )
    return curate(
        pool=pool,
        name="digits",
        id="id",
        image="image",
        label="label",
        budget="20%",
        store=str(folder / "digits"),
        report=folder / "digits.html",
    )


def _png(scan: np.ndarray) -> bytes:
    picture = Image.fromarray((255 - scan * 255 / 16).astype(np.uint8)).resize((64, 64))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def opened(browser: Any, page: Path, width: int, height: int, dark: bool = False) -> Any:
    """Return a tab whose plots are drawn."""
    scheme = "dark" if dark else "light"
    tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    tab.goto(page.as_uri())
    tab.wait_for_selector("body[data-drawn]")
    return tab


def save(shot: bytes, name: str, width: int) -> None:
    """Write a screenshot at the width that pages show it in."""
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    height = round(picture.height * width / picture.width)
    picture.resize((width, height), Image.Resampling.LANCZOS).save(
        IMAGES / f"report-{name}.webp", quality=80, method=6
    )


def main() -> None:
    """Make the runs, open their pages and write the pictures."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as driver:
        folder = Path(temporary)
        chosen = texts(folder).selected()
        digits(folder)
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = opened(browser, folder / "texts.html", 1100, 1500)
        save(tab.screenshot(), "example", 880)
        tab.fill("#wanted", chosen["id"][0])
        tab.press("#wanted", "Enter")
        tab.set_viewport_size({"width": 1100, "height": 860})
        tab.evaluate("document.getElementById('map').scrollIntoView({behavior: 'instant'})")
        tab.wait_for_timeout(500)
        save(tab.screenshot(), "row", 880)
        tab = opened(browser, folder / "digits.html", 1100, 760)
        tab.evaluate(
            "[...document.querySelectorAll('h3')].find(e => e.textContent.includes('label errors'))"
            ".scrollIntoView({behavior: 'instant'})"
        )
        save(tab.screenshot(), "labels", 880)
        tab = opened(browser, folder / "texts.html", 400, 860, dark=True)
        save(tab.screenshot(), "phone", 400)


if __name__ == "__main__":
    main()
