"""Test every Python that this machine has or Debian offers, and resolve for the others.

`make test-pythons` runs this. Each interpreter gets an environment `.venv-3.x` of its own, and all tests
that are not slow run there. A Python that only another release of Debian has is tried in a throw-away
system of that release (`debootstrap`, as root): the wheel is installed there, without a network, and
some tests and a scenario run.
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
# the releases of Debian whose Python is another than that of most machines
RELEASES = {"3.13": "trixie", "3.14": "forky"}
# what is run in a system of its own: quick, and every layer
TRIED = ("tests/selection/contract", "tests/storage/reading/test_types.py")
SCENARIO = "examples/scenarios/vectors.py"
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


def obstacle(version: str) -> str | None:
    """Say why a Python can't be tried in a system of its own; None where it can."""
    if version not in RELEASES:
        return "no release of Debian is named for it"
    if os.name == "nt" or os.geteuid() != 0:
        return "only root can make a system of another release"
    if shutil.which("debootstrap") is None:
        if shutil.which("apt-get") is None:
            return "there is no debootstrap, and no apt-get to install it"
        subprocess.run(["apt-get", "install", "-y", "-q", "debootstrap"], capture_output=True)
    return None if shutil.which("debootstrap") else "debootstrap can't be installed"


def tried(version: str) -> tuple[str, bool | None]:
    """Try the wheel in a system of another release; return what was done, and how it ended.

    None where there was nothing to try it in: the release can't be had, or does not have that Python.
    """
    release = RELEASES[version]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / release
        log = Path(tempfile.gettempdir()) / f"debootstrap-{release}.log"
        packages = f"--include=python{version},python{version}-venv"
        command = ["debootstrap", "--variant=minbase", packages, release, str(root)]
        with log.open("w") as file:
            if subprocess.run(command, stdout=file, stderr=file).returncode:
                return (
                    f"Debian's {release} with python{version} can't be had ({log} says why)",
                    None,
                )
        return f"tried in Debian's {release}", _in_system(root, version)


def _in_system(root: Path, version: str) -> bool:
    """Install the wheel in a system without a network, and run what is tried there."""
    work = root / "work"
    wheels = work / "wheels"
    wheels.mkdir(parents=True)
    build = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(wheels),
        ".",
    ]
    if subprocess.run(build, cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
        return False
    wheel = next(wheels.glob("*.whl"))
    download = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    asked = ["--only-binary=:all:", "--python-version", version, "--dest", str(wheels)]
    needs = [f"assay-curation[report] @ {wheel.as_uri()}", "pytest", "hypothesis"]
    if subprocess.run([*download, *asked, *needs], cwd=root).returncode:
        return False
    for name in ("tests", "examples"):
        shutil.copytree(ROOT / name, work / name)
    shutil.copy(ROOT / "pyproject.toml", work)
    # what was downloaded is complete, so nothing is looked for
    install = "-m pip install --quiet --no-deps --disable-pip-version-check wheels/*.whl"
    python = "/venv/bin/python"
    script = " && ".join(
        [
            "cd /work",
            f"python{version} -m venv /venv",
            f"{python} {install}",
            f"{python} -m pytest -p no:cacheprovider -m 'not slow' {' '.join(TRIED)}",
            f"{python} {SCENARIO}",
        ]
    )
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    done = subprocess.run(["chroot", str(root), "sh", "-c", script], env=environment)
    return done.returncode == 0


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
        what, good = examined(version)
        print(f"Python {version}: {what}: {'passed' if good else 'FAILED'}", flush=True)
        failed += [] if good else [version]
    return len(failed) > 0


def examined(version: str) -> tuple[str, bool]:
    """Test a version where it can be had, else resolve for it; return what was done, and whether it held."""
    python = interpreter(version)
    if python is not None:
        return f"tested with {python}", tested(version, python)
    why = obstacle(version)
    if why is None:
        what, good = tried(version)
        if good is not None:
            return what, good
        why = what
    return f"resolved only (no interpreter here; {why})", resolved(version)


if __name__ == "__main__":
    sys.exit(main())
