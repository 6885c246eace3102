"""Which systems and Pythons the requirements resolve for, from wheels alone: `make platforms`.

Asks pip to resolve, and installs nothing. Markers of requirements (`sys_platform == ...`) are judged by
the Python that runs this, which is one of Linux: what only another system needs is not asked for.
"""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "platforms.md"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
# the oldest glibc and macOS first
SYSTEMS = {
    "Linux x86-64": ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64"),
    "Linux ARM": ("manylinux_2_17_aarch64", "manylinux2014_aarch64", "manylinux_2_28_aarch64"),
    "macOS 14 ARM": ("macosx_11_0_arm64", "macosx_12_0_arm64", "macosx_14_0_arm64"),
    "Windows x86-64": ("win_amd64",),
    "macOS 15 Intel": ("macosx_10_13_x86_64", "macosx_14_0_x86_64", "macosx_15_0_x86_64"),
}
# what pip says of a package that has no wheel
_MISSING = re.compile(r"No matching distribution found for ([^\s(;]+)")


def resolve(requirements: list[str], tags: tuple[str, ...], python: str) -> str:
    """Return "yes", or the requirement that no wheel meets."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--target", folder),
            *("--disable-pip-version-check", "--only-binary=:all:", "--python-version", python),
            *(word for tag in tags for word in ("--platform", tag)),
            *requirements,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return "yes"
    missing = _MISSING.findall(done.stderr)
    conflict = re.search(r"^ERROR: (.*)", done.stderr, flags=re.MULTILINE)
    return f"no: {missing[-1]}" if missing else f"no: {conflict[1] if conflict else 'see pip'}"


def newest(requirement: str, tag: str) -> str:
    """Return the newest version of a package that has a wheel for a platform, "none" without one."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder),
            *("--disable-pip-version-check", "--only-binary=:all:", "--python-version", "3.11"),
            *("--platform", tag, requirement),
        ]
        subprocess.run(command, capture_output=True, text=True)
        wheels = [path.name.split("-")[1] for path in Path(folder).iterdir()]
    return wheels[0] if wheels else "none"


def main() -> None:
    """Resolve for every system and Python, and write the table."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    plain: list[str] = project["dependencies"]
    report = plain + project["optional-dependencies"]["report"]
    lines = ["| | " + " | ".join(f"Python {v}" for v in PYTHONS) + " |", "| --- |" + " --- |" * 4]
    for system, tags in SYSTEMS.items():
        cells = [resolve(report, tags, python) for python in PYTHONS]
        lines.append(f"| {system} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    intel = ["| Intel Mac with | faiss-cpu | numba |", "| --- | --- | --- |"]
    for macos in ("12", "13", "14", "15"):
        tag = f"macosx_{macos}_0_x86_64"
        intel.append(f"| macOS {macos} | {newest('faiss-cpu', tag)} | {newest('numba', tag)} |")
        print(intel[-1], flush=True)
    RESULT.write_text(
        f"""# Systems and Pythons

`make platforms`: pip resolves `assay-curation[report]` from wheels alone, with `--dry-run --target T
--only-binary=:all: --platform ... --python-version ...`, on {platform.system()} with Python {platform.python_version()}. "yes"
says that wheels of every requirement exist, not that the tests were run there: that is for the matrix of
`.github/workflows/ci.yml`, and `make test-pythons` for the Pythons of this machine. Markers are judged on
the machine that resolves.

{chr(10).join(lines)}

## Intel Macs

They are not supported: `numba>=0.68` and `faiss-cpu>=1.15` have no wheels for them, or only for the newest
macOS. The newest versions that have one (for Python 3.11):

{chr(10).join(intel)}
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
