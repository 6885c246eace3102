"""What `assay.curate` hands back: a run's result that also writes files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from assay.flows.export.write import export
from assay.flows.running.results import RunResult


class Result(RunResult):
    """A `RunResult` that hands out its rows as files."""

    @classmethod
    def of(cls, done: RunResult) -> Result:
        """Return the result of a run that was made."""
        return cls(done.run_id, done.store, done.computed, done.defaults, done.report_file)

    def export(
        self,
        out: str | os.PathLike[str],
        *,
        columns: Sequence[str] | None = None,
        raw: bool = False,
        overwrite: bool = False,
    ) -> int:
        """Write the chosen rows of this run to `out`; see `assay.flows.export.write.export`."""
        return export(
            self.store,
            Path(out),
            run=self.run_id,
            columns=columns,
            all_runs=True,
            raw=raw,
            overwrite=overwrite,
        )
