"""The README and the tables of the documentation can't lie: they are checked against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assay.flows.running.results import RunResult
from assay.selection import registry

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SITE = ROOT / "docs" / "site"
METHODS = (SITE / "reference" / "methods.md").read_text(encoding="utf-8")
SQL_PAGE = (SITE / "reference" / "sql.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_the_table_of_methods_is_the_registry() -> None:
    found = re.search(r"<!-- methods:.*?-->\n(.*?)<!-- /methods -->", METHODS, flags=re.DOTALL)
    assert found is not None
    assert found.group(1).strip() == registry.markdown_table().strip(), (
        "put the output of assay.selection.registry.markdown_table() into "
        "docs/site/reference/methods.md"
    )
    assert "docs/site/reference/methods.md" in README


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), names)
    assert getattr(names["rows"], "shape") == (300,)  # noqa: B009
    assert getattr(names["subset"], "height") == 300  # noqa: B009


SQL = re.sub(r"--.*", "", "".join(blocks(SQL_PAGE, "sql")))


@pytest.mark.parametrize("statement", [part.strip() for part in SQL.split(";") if part.strip()])
def test_the_sql_runs(curated: RunResult, statement: str) -> None:
    # a call of `diff` names runs that are there
    curated.sql(re.sub(r"'[0-9a-f]{16}'", f"'{curated.run_id}'", statement))


PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]


@pytest.mark.parametrize("page", [*PAGES, *sorted(SITE.rglob("*.md"))], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text)]
    local = [link for link in links if link and "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_readme_is_a_screen_and_a_half() -> None:
    assert README.count("\n") < 110


def test_the_picture_is_small() -> None:
    assert (SITE / "images" / "report-example.webp").stat().st_size < 100_000
