"""The glossary of reasons holds all that this package gives."""

from __future__ import annotations

import ast
from pathlib import Path

from assay.storage import ScoreStore
from assay.storage.runs.reasons import REASONS

ROOT = Path(__file__).parents[3]


def given_reasons() -> set[str]:
    """Return the reasons that stand as texts where outcomes are made."""
    reasons = set()
    for path in (ROOT / "selection").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Outcome":
                reason = node.args[2]
                if isinstance(reason, ast.Constant):
                    reasons.add(reason.value)
    return reasons


def test_every_reason_is_explained() -> None:
    names = [reason.reason for reason in REASONS]
    assert len(names) == len(set(names))
    assert len(given_reasons()) > 10
    # of a table of single steps, not of a plan
    assert given_reasons() - {"kept"} <= set(names)


def test_the_store_has_the_glossary(tmp_path: Path) -> None:
    rows = ScoreStore(tmp_path, create=True).sql("FROM reasons").rows()
    assert rows == [tuple(reason) for reason in REASONS]
