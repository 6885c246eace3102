"""The process that runs samples of a pool, for another that waits for its answer.

``python -m assay.flows.estimate.child FOLDER`` reads `asked` there, and leaves `answer`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from assay.storage.heap import collected_seldom


def main() -> None:
    """Answer what is asked in the folder that is named."""
    with collected_seldom():
        from assay.flows.estimate.samples import answer

        answer(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
