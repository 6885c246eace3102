"""Parts of the documentation that are written from the code when the site is built."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


LAYERS = ("flows", "selection", "index", "storage")


def on_startup(**_: Any) -> None:
    """Lay the layers out as the package that they are installed as, for whatever reads their sources."""
    package = ROOT / "build" / "sources" / "assay"
    package.mkdir(parents=True, exist_ok=True)
    sources = {"__init__.py": ROOT / "face" / "__init__.py"}
    for name, target in (sources | {layer: ROOT / layer for layer in LAYERS}).items():
        if not (package / name).is_symlink():
            (package / name).symlink_to(target)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put what the code says in the place of each `<!-- name -->`."""
    return re.sub(r"<!-- (\w+) -->", lambda mark: PARTS[mark[1]](), markdown)


def cli() -> str:
    """Return the help of every command."""
    from typer.testing import CliRunner

    from assay.flows.cli import app

    runner, pages = CliRunner(), []
    names = [command.name or command.callback.__name__ for command in app.registered_commands]
    for name in sorted(names):
        told = runner.invoke(app, [name, "--help"], env={"COLUMNS": "100", "TERM": "dumb"})
        pages.append(f"## assay {name}\n\n```text\n{told.stdout.strip()}\n```")
    return "\n\n".join(pages)


def configuration() -> str:
    """Return the keys of both files with their defaults and meanings."""
    from assay.flows.config import schema

    parts = []
    for command, form in schema.FORMS.items():
        rows = [
            f"| `{key.name}` | {_cell('' if key.default is None else repr(key.default))} "
            f"| {_cell(key.meaning)} |"
            for key in schema.keys(form)
        ]
        parts.append(f"## assay {command}\n\n| key | default | meaning |\n| --- | --- | --- |")
        parts[-1] += "\n" + "\n".join(rows)
    return "\n\n".join(parts)


def reasons() -> str:
    """Return the glossary of reasons."""
    from assay.storage.runs.reasons import REASONS

    rows = "\n".join(f"| `{r.reason}` | {r.stage} | {r.meaning} |" for r in REASONS)
    return f"| reason | stage | meaning |\n| --- | --- | --- |\n{rows}"


def figures() -> str:
    """Return what each figure of the ledger measures, and the selectors that are judged by it."""
    from assay.selection import registry
    from assay.selection.evaluation.figures import WORDS

    entries = registry.entries("selector")
    rows = "\n".join(
        f"| `{name}` | {words} | {', '.join(e.name for e in entries if name in e.judged_by)} |"
        for name, words in WORDS.items()
    )
    return f"| figure | meaning | matters for |\n| --- | --- | --- |\n{rows}"


def parameters() -> str:
    """Return a table of parameters for each method."""
    from assay.selection import registry

    parts = []
    for entry in registry.entries():
        rows = [
            f"| `{p.name}` | {_cell(p.default or 'required')} | {_cell(p.meaning)} |"
            for p in registry.parameters(entry.load())
        ]
        head = f"## {entry.name} ({entry.kind})\n\n{entry.help[0].upper()}{entry.help[1:]}."
        table = "\n\n| parameter | default | meaning |\n| --- | --- | --- |\n" + "\n".join(rows)
        parts.append(head + (table if rows else ""))
    return "\n\n".join(parts)


def claims() -> str:
    """Return what each method's source claims, what is done here, and what was measured."""
    from assay.selection import registry

    return registry.claims_table()


def results() -> str:
    """Return the benchmarks' tables, their headings one level down."""
    parts = []
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.md")):
        text = re.sub(r"^#", "##", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
        parts.append(re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text))
    return "\n\n".join(parts)


def architecture() -> str:
    """Return the page that is written from the code's own imports, and the guide for contributors."""
    subprocess.run([sys.executable, ROOT / "docs" / "architecture.py", "--check"], check=True)
    pages = [
        (ROOT / name).read_text(encoding="utf-8") for name in ("ARCHITECTURE.md", "CONTRIBUTING.md")
    ]
    return "\n\n".join(re.sub(r"^#", "##", page, flags=re.MULTILINE) for page in pages)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


PARTS = {
    "cli": cli,
    "configuration": configuration,
    "reasons": reasons,
    "figures": figures,
    "parameters": parameters,
    "claims": claims,
    "results": results,
    "architecture": architecture,
}
