"""The files for a container: what the entry script starts, and that nothing it needs is left out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ENTRY = ROOT / "deploy" / "entry.sh"
SERVER = {"PREFECT_API_URL": "http://127.0.0.1:4200/api"}


def enter(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the entry script where `assay` and `prefect` only say how they were called."""
    for name in ("assay", "prefect"):
        program = folder / name
        program.write_text(f'#!/bin/sh\necho {name} "$@"\n')
        program.chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", ENTRY, *arguments],
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_anything_else_is_a_command_of_assay(tmp_path: Path) -> None:
    done = enter(tmp_path, "curate", "my night.toml", "--seed", "3")
    assert (done.returncode, done.stdout) == (0, "assay curate my night.toml --seed 3\n")


def test_a_worker_works_for_the_server(tmp_path: Path) -> None:
    done = enter(tmp_path, "worker", "nights", **SERVER)
    assert done.stdout == "prefect worker start --type process --pool nights\n"
    assert enter(tmp_path, "worker", **SERVER).stdout.endswith("--pool assay\n")


def test_deploy_makes_the_pool_first(tmp_path: Path) -> None:
    calls = enter(tmp_path, "deploy", **SERVER).stdout.splitlines()
    assert calls == [
        "prefect work-pool create assay --type process --overwrite",
        "prefect --no-prompt deploy --all",
    ]


@pytest.mark.parametrize("role", ["worker", "deploy"])
def test_without_a_server_it_says_so(tmp_path: Path, role: str) -> None:
    done = enter(tmp_path, role)
    assert done.returncode != 0
    assert "PREFECT_API_URL" in done.stderr
    assert not done.stdout


def test_the_image_holds_every_layer_and_runs_as_nobody_special() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = {line.split()[1] for line in lines if line.startswith("COPY ") and "--" not in line}
    assert {"face", "examples", "storage", "index", "selection", "flows"} <= copied
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users == ["assay"]
    assert all(":" in line and ":latest" not in line for line in lines if line.startswith("FROM "))


def test_the_services_name_their_versions_and_no_secret() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]
    assert set(services) == {"server", "objects", "worker"}
    for service in services.values():
        image = service.get("image", "pinned:by-build")
        assert ":" in image
        assert not image.endswith(":latest")
        for name, value in service.get("environment", {}).items():
            if "KEY" in name or "PASSWORD" in name:
                assert value.startswith("${"), name
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    version = services["server"]["image"].split(":")[1].split("-")[0]
    assert f"prefect=={version}" in constraints.splitlines()


def test_the_workflows_can_be_read() -> None:
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert workflow["jobs"], path.name
        assert all("runs-on" in job for job in workflow["jobs"].values())
