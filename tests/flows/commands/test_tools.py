"""The tools that MCP clients are given, called by the SDK's own client."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import polars as pl
import pytest

from assay.flows import curate
from assay.flows.commands.tools import make_server
from assay.flows.result import Result

mcp = pytest.importorskip("mcp")
TOOLS = {"sql", "explain", "runs", "methods", "compare", "estimate"}


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Return two runs over one pool."""
    folder = tmp_path_factory.mktemp("mcp")
    frame = pl.DataFrame({"id": range(40), "text": [f"about {i % 7} and {i}" for i in range(40)]})
    frame.write_parquet(folder / "pool.parquet")
    return [
        curate(
            pool=str(folder / "pool.parquet"),
            id="id",
            text="text",
            budget=budget,
            select="random",
            store=str(folder / "store"),
        )
        for budget in (5, 8)
    ]


def ask(target: Any, asking: Callable[[Any], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with mcp.Client(target) as client:
            return await asking(client)

    return anyio.run(main)


def call(target: Any, tool: str, **arguments: Any) -> tuple[bool, Any]:
    """Return whether a call failed, and what it gave: an object, or the error's text."""

    async def asking(client: Any) -> Any:
        return await client.call_tool(tool, arguments)

    result = ask(target, asking)
    text = result.content[0].text
    return result.is_error, text if result.is_error else json.loads(text)


@pytest.fixture
def server(nights: list[Result]) -> Any:
    return make_server(nights[0].store)


def test_the_tools_have_schemas_and_only_read(server: Any) -> None:
    async def asking(client: Any) -> Any:
        return await client.list_tools()

    tools = {tool.name: tool for tool in ask(server, asking).tools}
    assert set(tools) == TOOLS
    for tool in tools.values():
        assert tool.description
        assert tool.annotations.read_only_hint
        assert tool.input_schema["type"] == "object"
    assert tools["sql"].input_schema["required"] == ["query"]
    assert set(tools["compare"].input_schema["properties"]) == {"run_a", "run_b", "pool", "limit"}


def test_the_tools_answer_as_the_store_does(server: Any, nights: list[Result]) -> None:
    first, second = nights
    query = "SELECT sample_id, position FROM latest_selection ORDER BY position"
    failed, found = call(server, "sql", query=query, limit=3)
    assert not failed
    assert found["total"] == 8
    assert found["rows"] == second.sql(query).head(3).rows(named=True)
    sample = found["rows"][0]["sample_id"]
    told = call(server, "explain", sample_id=sample)[1]["pools"][0]
    assert (told["selected"], told["run_id"]) == (True, second.run_id)
    listed = call(server, "runs")[1]["rows"]
    assert [run["run_id"] for run in listed] == [second.run_id, first.run_id]
    assert any(
        m["name"] == "random" for m in call(server, "methods", kind="selector")[1]["methods"]
    )
    assert call(server, "methods", name="ccs")[1]["methods"][0]["parameters"]
    compared = call(server, "compare")[1]
    assert (compared["run_a"], compared["run_b"]) == (first.run_id, second.run_id)
    assert compared["in"] - compared["out"] == 3
    named = call(server, "compare", run_a=second.run_id[:8], run_b=first.run_id[:8])[1]
    assert (named["in"], named["out"]) == (compared["out"], compared["in"])


def test_an_estimate_writes_nothing_to_the_store(server: Any, nights: list[Result]) -> None:
    before = sorted(p for p in nights[0].store.path.rglob("*") if p.name != "write.lock")
    failed, found = call(server, "estimate", budget="50%")
    assert not failed, found
    assert found["rows"] == 40
    after = sorted(p for p in nights[0].store.path.rglob("*") if p.name != "write.lock")
    assert after == before


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("sql", {"query": "DELETE FROM runs"}, "Only reading"),
        ("sql", {"query": "SELECT * FROM read_text('/etc/hostname')"}, ""),
        ("sql", {"query": "SELECT 1", "limit": 0}, "limit"),
        ("explain", {"sample_id": "nobody"}, "nobody"),
        ("methods", {"name": "nothing"}, "nothing"),
        ("compare", {"run_a": "ffff"}, ""),
        ("estimate", {"budget": "many"}, "many"),
    ],
)
def test_errors_are_told(server: Any, tool: str, arguments: dict[str, Any], words: str) -> None:
    failed, text = call(server, tool, **arguments)
    assert failed
    assert words in text
    assert "Traceback" not in text


def test_over_standard_input(nights: list[Result]) -> None:
    command = ["-m", "assay", "mcp", "--store", str(nights[0].store.path)]
    target = mcp.stdio_client(mcp.StdioServerParameters(command=sys.executable, args=command))
    failed, found = call(target, "sql", query="SELECT count(*) AS n FROM latest_samples")
    assert not failed
    assert found["rows"] == [{"n": 40}]


@pytest.fixture
def port(nights: list[Result]) -> Iterator[int]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = int(free.getsockname()[1])
    store = str(nights[0].store.path)
    command = [sys.executable, "-m", "assay", "mcp", "--store", store, "--http", str(number)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", number)) == 0:
                    break
            time.sleep(0.2)
        yield number
    finally:
        process.terminate()
        process.wait()


def test_over_loopback(port: int) -> None:
    import httpx

    url = f"http://127.0.0.1:{port}/mcp"
    assert call(url, "runs")[1]["total"] == 2
    # another site's page, or a name that was made to mean this machine
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        answer = httpx.post(url, json={}, headers=headers)
        assert answer.status_code in (400, 403, 421)


def test_the_command_refuses(nights: list[Result], tmp_path: Path) -> None:
    for wrong in (["--http", "0"], ["--store", str(tmp_path)]):
        command = [sys.executable, "-m", "assay", "mcp", "--store", str(nights[0].store.path)]
        done = subprocess.run([*command, *wrong], capture_output=True, text=True, check=False)
        assert done.returncode in (1, 2)
        assert done.stdout == ""
