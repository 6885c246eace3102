"""Test every Python that this machine has or Debian offers, and resolve for the others.

`make test-pythons` runs this. Each interpreter gets an environment `.venv-3.x` of its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
_PIP = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")


def works(python: str) -> bool:
    """Say whether an interpreter starts and can make environments."""
    try:
        done = subprocess.run([python, "-c", "import ensurepip, venv"], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def of_pyenv(version: str) -> list[str]:
    """Return the interpreters of a version that pyenv holds."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    return [str(path) for path in sorted(versions.glob(f"{version}.*/bin/python"))]


def of_debian(version: str) -> str | None:
    """Install an interpreter from Debian where it offers one, and return its name."""
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return None
    offer = subprocess.run(
        ["apt-cache", "policy", f"python{version}-venv"], capture_output=True, text=True
    ).stdout
    if not re.search(r"Candidate: \d", offer):
        return None
    subprocess.run(["apt-get", "install", "-y", "-q", f"python{version}-venv"], check=True)
    return f"python{version}"


def interpreter(version: str) -> str | None:
    """Return an interpreter of a version, None where there is none."""
    for python in (f"python{version}", *of_pyenv(version)):
        if works(python):
            return python
    return of_debian(version)


def tested(version: str, python: str) -> bool:
    """Run the tests that are not slow in an environment of its own."""
    folder = ROOT / f".venv-{version}"
    subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    own = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    done = subprocess.run([own, *_PIP, "-e", ".[dev]"], cwd=ROOT)
    if done.returncode:
        return False
    tests = ["-m", "pytest", "-m", "not slow", "-n", "2", "--dist", "loadfile"]
    return subprocess.run([own, *tests], cwd=ROOT).returncode == 0


def resolved(version: str) -> bool:
    """Say whether wheels of all requirements of `assay-curation[report]` exist for a version."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            *_PIP,
            "--dry-run",
            "--target",
            folder,
            "--python-version",
            version,
        ]
        return (
            subprocess.run([*command, "--only-binary=:all:", ".[report]"], cwd=ROOT).returncode == 0
        )


def main() -> int:
    """Test or resolve each version, and say which was done."""
    failed = []
    for version in sys.argv[1:] or PYTHONS:
        python = interpreter(version)
        good = resolved(version) if python is None else tested(version, python)
        what = "resolved only (no interpreter here)" if python is None else f"tested with {python}"
        print(f"Python {version}: {what}: {'passed' if good else 'FAILED'}", flush=True)
        failed += [] if good else [version]
    return len(failed) > 0


if __name__ == "__main__":
    sys.exit(main())
