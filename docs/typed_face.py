"""Write selection/__init__.pyi, so that type checkers and editors know what the lazy face hands on.

python docs/typed_face.py            write the stub
python docs/typed_face.py --check    exit 1 if the stub differs from the face
"""

from __future__ import annotations

import sys
from pathlib import Path

from assay.selection import NAMES

STUB = Path(__file__).resolve().parents[1] / "selection" / "__init__.pyi"


def stub() -> str:
    """Return the stub: one import for each name of the face."""
    # as ruff sorts imports: constants, classes, functions
    names = sorted(NAMES, key=lambda n: (NAMES[n], not n.isupper(), n[0].islower(), n))
    return "".join(f"from {NAMES[name]} import {name} as {name}\n" for name in names)


def main() -> int:
    """Write the stub, or check it."""
    if "--check" not in sys.argv:
        STUB.write_text(stub(), encoding="utf-8", newline="\n")
        return 0
    if STUB.read_text(encoding="utf-8") == stub():
        return 0
    print(f"{STUB.name} differs from the face: run `python docs/typed_face.py`.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
