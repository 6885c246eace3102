"""What slices of a run are judged by."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from assay.storage.errors import ColumnError

LEFT, LEAKED, NEIGHBORS = "left", "leaked", "neighbors"
"""Left out, leaked, and the share of a row's neighbors with another label."""


def check_slices(wanted: Sequence[str], known: Collection[str]) -> None:
    """Check that slices are judged by scores or kept columns of the run (`known`), or by its own words.

    Raises
    ------
    ColumnError
        A name is none of these.
    """
    for by in wanted:
        if by not in (LEFT, LEAKED, NEIGHBORS, *known):
            raise ColumnError.missing(
                by, [LEFT, LEAKED, NEIGHBORS, *known], what="value to judge slices by"
            )
