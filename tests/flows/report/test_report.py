"""The report: what the page holds, that data stays data, and that a browser draws it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assay.flows import curate, rank_features
from assay.flows.report.facts import MAX_POINTS, sample_points
from assay.flows.report.write import write_report
from assay.flows.running.maps import map_run
from assay.flows.running.results import RunResult
from assay.storage.errors import AssayError, ConfigError, StoreError

for _package in ("bokeh", "jinja2", "umap"):
    pytest.importorskip(_package, reason="assay-curation[report] is not installed")

HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>"
SETTINGS = {
    "id": "id",
    "text": "text",
    "label": "label",
    "budget": 12,
    "scores": ["knn_density", "label_agreement"],
    "embedding": {"dimensions": 8, "buckets": 4096},
    "graph": {"k": 5},
}


def texts(n: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    words = np.array([f"word{i}" for i in range(60)])
    rows = [" ".join(rng.choice(words, 8)) for _ in range(n)]
    rows[0] = HOSTILE
    return pl.DataFrame(
        {
            "id": [HOSTILE if i == 1 else f"r{i}" for i in range(n)],
            "text": rows,
            "label": [["<b>x</b>", "y"][i % 2] for i in range(n)],
        }
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("report")
    texts(80).write_parquet(folder / "pool.parquet")
    return curate(pool=str(folder / "pool.parquet"), store=str(folder / "store"), **SETTINGS)


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
    assert HOSTILE not in page.read_text()
    assert "<b>x</b>" not in page.read_text()


def test_every_reason_is_counted(result: RunResult, page: Path) -> None:
    text = page.read_text()
    rows = result.sql("SELECT reason, count(*) AS n FROM latest_decisions GROUP BY ALL").rows()
    for reason, n in rows:
        assert re.search(rf"<td>{reason}</td><td class=\"number\">{n}</td>", text)


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


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_a_browser_draws_the_page_and_a_click_opens_the_row(page: Path, tmp_path: Path) -> None:
    probe = """
    <script>Promise.all(drawn).then(() => {
      const points = source(), index = points.data.id.indexOf("r5");
      points.selected.indices = [index];
      const one = document.getElementById("detail").querySelector("h3").textContent;
      points.selected.indices = [0, 1, 2];
      const many = document.getElementById("detail").querySelector("h3").textContent;
      const answer = document.createElement("pre"); answer.id = "answer";
      answer.textContent = JSON.stringify({one, many, title: document.title,
        canvases: document.querySelectorAll(".plot > *").length, excerpt: points.data.excerpt});
      document.body.append(answer);
    });</script></body>"""
    copy = tmp_path / "probe.html"
    copy.write_text(page.read_text().replace("</body>", probe, 1))
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=20000", f"file://{copy}"],
        capture_output=True,
        text=True,
        timeout=180,
    )
    match = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.S)
    assert match is not None, done.stderr[-2000:]
    answer = json.loads(
        match.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    )
    assert answer["one"] == "r5"
    assert answer["many"].startswith("3 rows marked")
    assert answer["title"].startswith("What was chosen from")
    assert answer["canvases"] >= 4
    assert any(excerpt.startswith("</script>") for excerpt in answer["excerpt"])
