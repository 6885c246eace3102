"""A selector fitted under constraints, and what is taken of its order."""

from __future__ import annotations

from typing import Any, NamedTuple

from assay.selection.contract.inputs import Rows
from assay.selection.plan.constraints import Taken


class Fitted(NamedTuple):
    """A selector fitted for `size` rows, its order of preference, and what is taken of it."""

    selector: Any
    order: Rows
    taken: Taken
    size: int
