"""What the service promises, tried for long: kills, readers, nights that cost what is new, schedules.

    python benchmarks/soak.py [PART ...]

A part is a function that returns Markdown and raises where the promise is broken. Each part's text
goes to `results/soak_NAME.md`, all of them together to `results/soak.md`. Without names every part
runs.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
# name -> module:function, in the order in which they are told
PARTS = {
    "kills": "service.kills:section",
    "readers": "service.readers:report",
    "incremental": "incremental:section",
    "schedule": "service.schedule:section",
    "dask": "service.dask:section",
}


def run(name: str) -> bool:
    """Run a part and write what it says; say whether the promise was kept."""
    try:
        module, _, function = PARTS[name].partition(":")
        text: str = getattr(import_module(module), function)()
    except Exception:
        print(f"{name} failed:\n{traceback.format_exc()}", flush=True)
        return False
    (RESULTS / f"soak_{name}.md").write_text(text.strip() + "\n")
    print(text, flush=True)
    return True


def join() -> None:
    """Write the parts that were run, now or earlier, into one file."""
    told = [RESULTS / f"soak_{name}.md" for name in PARTS]
    texts = [path.read_text().strip() for path in told if path.is_file()]
    head = "# Soak\n\n`make soak`: what the service promises, tried for long on 2 shared cores."
    (RESULTS / "soak.md").write_text("\n\n".join([head, *texts]) + "\n")


def main() -> None:
    """Run the parts named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    named = parser.parse_args().parts or list(PARTS)
    unknown = set(named) - set(PARTS)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are: {list(PARTS)}")
    # the modules of a part are found from here, those of the tests from the folder above
    sys.path[:0] = [str(HERE), str(HERE.parent)]
    kept = [run(name) for name in named]
    join()
    sys.exit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
