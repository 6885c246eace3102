"""Fuzz the readers, configurations, queries, commands and options; print what came of it.

    python benchmarks/fuzz.py --minutes 10

Each target runs in a process of its own, so that a crash is a finding like any other. The smallest
case of each finding is kept in `tests/security/cases`, where a test replays it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "security" / "cases"
# a target's share of the time
WEIGHTS = {
    "files": 5, "configurations": 2, "queries": 2, "expressions": 1, "commands": 2, "options": 2,
    "stores": 3,
}  # fmt: skip
# compiling what a first call needs takes its time on a busy machine
STUCK = 400


def keep(content: bytes, why: str) -> None:
    """Keep a case for the test that replays it."""
    name = f"{json.loads(content)['target']}-{hashlib.blake2b(content, digest_size=5).hexdigest()}.json"
    (CASES / name).write_bytes(content)
    print(f"finding {name}: {why}", file=sys.stderr, flush=True)


def work(target: str, seconds: float, seed: int, folder: Path) -> None:
    """Check cases of one target until the time is over; print counts as JSON."""
    sys.path.insert(0, str(ROOT))
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis.errors import FlakyFailure

    from tests.security.fuzzing import TARGETS, check, dump
    from tests.security.limits import Hang

    counts: Counter[str] = Counter()
    seen: set[str] = set()
    end = time.monotonic() + seconds
    current = folder / "current.json"
    failing: list[bytes] = []
    while time.monotonic() < end:

        @seeded(seed)
        @settings(
            max_examples=400,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            report_multiple_bugs=False,
        )
        @given(TARGETS[target][0])
        def run(case: object) -> None:
            if time.monotonic() > end:
                return
            content = dump(target, case)
            current.write_bytes(content)
            counts["cases"] += 1
            try:
                counts[check(target, case, folder)] += 1
            except (Exception, Hang) as error:
                where = traceback.extract_tb(error.__traceback__)[-1]
                what = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
                if what in seen:
                    return
                failing[:] = [what.encode(), f"{what}: {error}"[:400].encode(), content]
                raise AssertionError(what) from error

        try:
            run()
        except (AssertionError, FlakyFailure):
            what, why, content = failing
            seen.add(what.decode())
            counts["findings"] += 1
            keep(content, why.decode())
        seed += 1
    usage = resource.getrusage(resource.RUSAGE_SELF)
    counts["cpu_s"] = int(usage.ru_utime + usage.ru_stime)
    print(json.dumps(counts))


def supervise(target: str, seconds: float, seed: int) -> Counter[str]:
    """Run a target in processes of its own, another after each crash."""
    total: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 5 or not total:
        with tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, __file__, "--work", target, str(left), str(seed), scratch]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
                current = Path(scratch) / "current.json"
                while child.poll() is None:
                    time.sleep(1)
                    if current.exists() and time.time() - current.stat().st_mtime > STUCK:
                        child.kill()
                told = child.stdout.read() if child.stdout else ""
            if child.returncode == 0:
                total.update(json.loads(told.splitlines()[-1]))
            else:
                total["crashes or hangs"] += 1
                if current.exists():
                    keep(current.read_bytes(), f"the process ended with {child.returncode}")
            seed += 10_000
            if child.returncode and total["crashes or hangs"] > 5:
                break
    return total


def main() -> None:
    """Share the time out and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=sorted(WEIGHTS))
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        target, seconds, seed, folder = given.work
        work(target, float(seconds), int(seed), Path(folder))
        return
    CASES.mkdir(parents=True, exist_ok=True)
    os.environ |= {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1"}
    weights = {given.only: 1} if given.only else WEIGHTS
    print("| target | seconds | cases | what came of them | findings | crashes or hangs |")
    print("| --- | ---: | ---: | --- | ---: | ---: |")
    for target, weight in weights.items():
        seconds = given.minutes * 60 * weight / sum(weights.values())
        counts = supervise(target, seconds, given.seed)
        rest = {"cases", "findings", "crashes or hangs", "cpu_s"}
        came = ", ".join(f"{n:,} {what}" for what, n in counts.most_common() if what not in rest)
        print(
            f"| {target} | {seconds:.0f} | {counts['cases']:,} | {came} | {counts['findings']} "
            f"| {counts['crashes or hangs']} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
