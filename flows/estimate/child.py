"""The process that runs samples of a pool, for another that waits for its answer.

``python -m assay.flows.estimate.child FOLDER`` reads `asked` there, and leaves `answer`.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

# new objects before Python looks for garbage among them
_YOUNG = 5_000


def main() -> None:
    """Answer what is asked in the folder that is named."""
    # as the command line does: what is imported stays, and is looked through for garbage less often
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    from assay.flows.estimate.samples import answer

    answer(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
