"""What the service promises, tried for long: kills, readers, nights that cost what is new, schedules.

    python benchmarks/soak.py [PART ...]

A part is a module `_soak_NAME.py` with a function `section()`, which returns Markdown and raises
where the promise is broken. Each part's text goes to `results/soak_NAME.md`, all of them together to
`results/soak.md`. Without names every part runs.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
ORDER = ("kills", "readers", "incremental", "schedule", "dask")


def parts() -> list[str]:
    """Return the names of the parts that there are, in the order in which they are told."""
    names = {path.stem.removeprefix("_soak_") for path in HERE.glob("_soak_*.py")}
    return [name for name in ORDER if name in names] + sorted(names - set(ORDER))


def run(name: str) -> bool:
    """Run a part and write what it says; say whether the promise was kept."""
    try:
        text = import_module(f"_soak_{name}").section()
    except Exception:
        print(f"{name} failed:\n{traceback.format_exc()}", flush=True)
        return False
    (RESULTS / f"soak_{name}.md").write_text(text.strip() + "\n")
    print(text, flush=True)
    return True


def join() -> None:
    """Write the parts that were run, now or earlier, into one file."""
    told = [RESULTS / f"soak_{name}.md" for name in parts()]
    texts = [path.read_text().strip() for path in told if path.is_file()]
    head = "# Soak\n\n`make soak`: what the service promises, tried for long on 2 shared cores."
    (RESULTS / "soak.md").write_text("\n\n".join([head, *texts]) + "\n")


def main() -> None:
    """Run the parts named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(parts())}; default: all")
    named = parser.parse_args().parts or parts()
    unknown = set(named) - set(parts())
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are: {parts()}")
    # the modules of a part are found from here, those of the tests from the folder above
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    kept = [run(name) for name in named]
    join()
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
