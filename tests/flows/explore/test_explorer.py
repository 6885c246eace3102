"""The explorer: only the page's own requests are answered, rows are found, marks are written."""

from __future__ import annotations

import json
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assay.flows import curate
from assay.flows.running.results import RunResult
from assay.storage.errors import ConfigError

for _package in ("bokeh", "jinja2", "starlette", "uvicorn"):
    pytest.importorskip(_package, reason="assay-curation[report] is not installed")

from starlette.testclient import TestClient  # noqa: E402

from assay.flows.explore.explorer import Explorer, make_explorer  # noqa: E402
from assay.flows.explore.server import HOST, bind, serve  # noqa: E402
from tests.flows.report.conftest import (  # noqa: E402
    HOSTILE,
    SETTINGS,
    opened,
    opened_browser,
    texts,
)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    folder = tmp_path_factory.mktemp("explore")
    texts(120).write_parquet(folder / "pool.parquet")
    return curate(pool=str(folder / "pool.parquet"), store=str(folder / "store"), **SETTINGS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("basket")


@pytest.fixture(scope="module")
def explorer(result: RunResult, folder: Path) -> Explorer:
    return make_explorer(result.store, folder)


@pytest.fixture
def client(explorer: Explorer) -> TestClient:
    return TestClient(
        explorer.app, base_url=f"http://{HOST}:8000", headers={"x-assay-token": explorer.token}
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"x-assay-token": ""}, 403),
        ({"x-assay-token": "no"}, 403),
        ({"x-assay-token": "é".encode()}, 403),
        ({"host": "evil.example"}, 400),
        ({"host": "evil.example:8000"}, 400),
        ({"host": "127.0.0.1.evil.example"}, 400),
        ({"host": "localhost:8000"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9"}, 403),
        ({"origin": "https://127.0.0.1:8000"}, 403),
        ({"origin": "http://127.0.0.1:8000"}, 200),
    ],
)
@pytest.mark.parametrize("path", ["/", "/rows", "/row?id=r5"])
def test_other_hosts_origins_and_tokens_are_refused(
    client: TestClient, path: str, headers: dict[str, Any], status: int
) -> None:
    answer = client.get(path, headers=headers)
    assert answer.status_code == status
    if status == 200:
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers
    else:
        assert "word" not in answer.text


def test_the_token_may_stand_in_the_address(explorer: Explorer) -> None:
    bare = TestClient(explorer.app, base_url=f"http://{HOST}")
    assert bare.get("/").status_code == 403
    assert bare.post("/basket", json={}).status_code == 403
    page = bare.get(f"/?token={explorer.token}")
    assert page.status_code == 200
    assert HOSTILE not in page.text
    assert "connect-src 'self'" in page.text


def test_rows_are_found_by_text_condition_and_likeness(
    client: TestClient, result: RunResult
) -> None:
    def found(kind: str, query: str, offset: int = 0) -> Any:
        asked = {"kind": kind, "query": query, "offset": offset}
        return client.get("/rows", params=asked).json()

    pool = texts(120)
    wanted = pool.filter(pl.col("text").str.contains("word7", literal=True))
    by_text = found("text", "WORD7")
    assert by_text["total"] == wanted.height
    assert [row["sample_id"] for row in by_text["rows"]] == wanted["id"].to_list()[:50]
    assert found("text", HOSTILE)["total"] == 2
    rule = "selected AND knn_density > 0 AND label = 'y'"
    expected = result.sql(
        "SELECT count(*) FROM latest_decisions JOIN latest_scores USING (pool, run_id, sample_id) "
        f"JOIN latest_samples USING (pool, run_id, sample_id) WHERE {rule}"
    ).item()
    assert found("sql", rule)["total"] == expected > 0
    assert found("sql", "position = 1 -- first")["total"] == 1
    # a condition names the pool's own columns as export's does, and may be a query
    assert [row["sample_id"] for row in found("sql", "id = 'r6'")["rows"]] == ["r6"]
    assert (
        found("sql", "SELECT sample_id FROM latest_selection")["total"]
        == found("sql", "selected")["total"]
    )
    assert "error" in found("sql", "nonsense = 1")
    assert "error" in found("sql", "1) UNION SELECT content FROM read_text('/etc/passwd') --")
    like = found("like", "r6")
    assert {row["sample_id"] for row in like["rows"][:3]} == {"r6", "r7", "r8"}
    assert "error" in found("like", "nobody")
    assert "error" in client.get("/rows", params={"offset": "x"}).json()


def test_pages_hold_every_row_once(client: TestClient) -> None:
    seen: list[str] = []
    for offset in (0, 50, 100, 150):
        answer = client.get("/rows", params={"offset": offset}).json()
        seen += [row["sample_id"] for row in answer["rows"]]
        assert answer["total"] == 120
    assert seen == texts(120)["id"].to_list()


def test_a_row_is_given_whole(client: TestClient) -> None:
    row = client.get("/row", params={"id": HOSTILE}).json()
    assert row["text"] == texts(120)["text"][1]
    assert row["columns"]["group"] == "{{ 7 * 7 }}"
    assert client.get("/row", params={"id": "nobody"}).status_code == 400


def test_marks_are_written_for_the_next_run(
    client: TestClient, folder: Path, result: RunResult, tmp_path: Path
) -> None:
    odd = ["r5", HOSTILE]
    sent = {"include": odd, "exclude": ["r9"], "labels": {"r3": 'z "\x7f😀"'}}
    assert client.post("/basket", json=sent).status_code == 200
    plan = tomllib.loads((folder / "basket.toml").read_text())["plan"]
    assert plan == {"must_include": odd, "must_exclude": ["r9"]}
    marks = pl.read_parquet(folder / "basket.parquet")
    assert marks.rows() == [
        ("r5", "must_include", None),
        (HOSTILE, "must_include", None),
        ("r9", "must_exclude", None),
        ("r3", "label", 'z "\x7f😀"'),
    ]
    pool = json.loads(
        result.store.sql("SELECT config FROM runs WHERE kind = 'curate'")["config"][0]
    )["pool"]
    rules = {**SETTINGS, "plan": plan}
    run = curate(pool=pool, store=str(tmp_path / "store"), **rules)
    assert set(run.sql("SELECT sample_id FROM latest_selection")["sample_id"]) >= set(odd)


@pytest.mark.parametrize(
    "sent",
    [
        b"no json",
        b"[]",
        b'{"include": "r5"}',
        b'{"include": [1]}',
        b'{"labels": {"r1": null}}',
        b'{"include": ["nobody"]}',
        b'{"include": ["r5"], "exclude": ["r5"]}',
        b'{"include": ["\\ud800"]}',
    ],
)
def test_other_baskets_are_refused(client: TestClient, folder: Path, sent: bytes) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert client.post("/basket", content=sent).status_code == 400
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_basket_never_goes_into_the_store(result: RunResult, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="inside the store"):
        make_explorer(result.store, result.store.path)
    with pytest.raises(ConfigError, match="no folder"):
        make_explorer(result.store, tmp_path / "none")


def test_a_taken_port_is_named() -> None:
    with bind(0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="--port"):
            bind(port)


@pytest.fixture(scope="module")
def address(explorer: Explorer) -> Iterator[str]:
    listening = bind(0)
    thread = threading.Thread(target=serve, args=(explorer.app, listening), daemon=True)
    thread.start()
    yield f"http://{HOST}:{listening.getsockname()[1]}/?token={explorer.token}"
    listening.close()


def test_a_browser_searches_opens_and_marks(address: str, folder: Path) -> None:
    with opened_browser() as browser:
        tab = opened(browser, address)
        tab.fill("#search-query", "word7")
        tab.press("#search-query", "Enter")
        tab.wait_for_selector("#results-count")
        tab.select_option("#search-kind", "like")
        tab.fill("#search-query", "r6")
        tab.press("#search-query", "Enter")
        tab.wait_for_function(
            "/^120 rows|^1[0-9]+ rows/.test(document.getElementById('results-count')?.textContent)"
        )
        tab.click("#results tbody tr:has-text('r6') button.link >> nth=0")
        tab.wait_for_selector("#detail summary")
        tab.click("#detail button:text-is('Include')")
        assert tab.inner_text("#basket-state") == "1 to include."
        tab.click("#basket-save")
        tab.wait_for_function(
            "document.getElementById('basket-files').textContent.startsWith('Written')"
        )
        assert tab.problems == []
        assert tab.title().startswith("What was chosen from")
    assert tomllib.loads((folder / "basket.toml").read_text())["plan"]["must_include"]
