"""Which Pythons are tried in a system of another release, and why not elsewhere."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def pythons() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pythons", ROOT / "deploy" / "pythons.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_why_a_python_is_not_tried(pythons: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pythons.os, "geteuid", lambda: 1000)
    assert pythons.obstacle("3.13") == "only root can make a system of another release"
    monkeypatch.setattr(pythons.os, "geteuid", lambda: 0)
    assert pythons.obstacle("3.12") == "no release of Debian is named for it"
    monkeypatch.setattr(pythons.shutil, "which", lambda name: None)
    assert pythons.obstacle("3.13") == "there is no debootstrap, and no apt-get to install it"
    monkeypatch.setattr(pythons.shutil, "which", lambda name: f"/usr/sbin/{name}")
    assert pythons.obstacle("3.13") is None


def test_what_can_not_be_tested_is_resolved_and_says_why(
    pythons: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pythons, "interpreter", lambda version: None)
    monkeypatch.setattr(pythons, "resolved", lambda version: True)
    monkeypatch.setattr(pythons, "obstacle", lambda version: "no root")
    assert pythons.examined("3.13") == ("resolved only (no interpreter here; no root)", True)
    monkeypatch.setattr(pythons, "obstacle", lambda version: None)
    monkeypatch.setattr(pythons, "tried", lambda version: ("no such release", None))
    assert pythons.examined("3.13") == (
        "resolved only (no interpreter here; no such release)",
        True,
    )
    monkeypatch.setattr(pythons, "tried", lambda version: ("tried in Debian's trixie", False))
    assert pythons.examined("3.13") == ("tried in Debian's trixie", False)


def test_what_is_tried_is_there(pythons: ModuleType) -> None:
    assert all((ROOT / path).exists() for path in (*pythons.TRIED, pythons.SCENARIO))
    assert set(pythons.RELEASES) <= set(pythons.PYTHONS)
