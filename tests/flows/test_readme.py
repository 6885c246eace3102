"""The README can't lie: its table of methods, its Python and its SQL are checked."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assay.flows.running.results import RunResult
from assay.selection import registry

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_table_of_methods_is_the_registry() -> None:
    found = re.search(r"<!-- methods:.*?-->\n(.*?)<!-- /methods -->", README, flags=re.DOTALL)
    assert found is not None
    assert found.group(1).strip() == registry.markdown_table().strip(), (
        "put the output of assay.selection.registry.markdown_table() into the README"
    )


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "readme"}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    assert getattr(names["covering"], "indices_").shape == (300,)  # noqa: B009


SQL = re.sub(r"--.*", "", "".join(blocks("sql")))


@pytest.mark.parametrize("statement", [part.strip() for part in SQL.split(";") if part.strip()])
def test_the_sql_runs(curated: RunResult, statement: str) -> None:
    # a call of `diff` names runs that are there
    curated.sql(re.sub(r"'[0-9a-f]{16}'", f"'{curated.run_id}'", statement))
