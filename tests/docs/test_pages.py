"""The documentation's examples are run, each page from its first to its last."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from assay.examples import example_path
from assay.flows.cli import app

SITE = Path(__file__).resolve().parents[2] / "docs" / "site"
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.md"))
runner = CliRunner()


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each block of code of a page."""
    text = (SITE / page).read_text(encoding="utf-8")
    yield from re.findall(r"^```(\w+)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def run_commands(text: str) -> None:
    """Run the commands of assay in a block for a shell."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        # the demo has its own step of CI; other programs are not ours
        if words[:1] == ["assay"] and words[1] != "demo":
            done = runner.invoke(app, words[1:])
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception}"


@pytest.mark.parametrize("page", [page for page in PAGES if any(True for _ in blocks(page))])
def test_the_examples_of_a_page_run(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page == "start/images.md":
        pytest.importorskip("PIL")
    monkeypatch.chdir(tmp_path)
    # every fourth row: the pages show how, not how much
    pl.read_parquet(example_path("pool.parquet")).gather_every(4).write_parquet("pool.parquet")
    pl.read_parquet(example_path("target.parquet")).write_parquet("target.parquet")
    if page == "index.md":
        done = runner.invoke(
            app, ["curate", "--pool", "pool.parquet", "--id", "id", "--text", "text"]
        )
        assert done.exit_code == 0, done.output
    names: dict[str, object] = {"__name__": "page"}
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, page, "exec"), names)
        elif language == "toml":
            named = re.match(r"# (\S+\.toml)\n", text)
            assert named, f"a block of TOML of {page} does not say what its file is called"
            Path(named[1]).write_text(text, encoding="utf-8")
        elif language == "sh":
            run_commands(text)


def test_every_page_is_in_the_navigation() -> None:
    navigation = (SITE.parents[1] / "mkdocs.yml").read_text(encoding="utf-8")
    assert [page for page in PAGES if page not in navigation] == []
