"""What `assay.curate` hands back: a run's result that also writes files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from assay.flows.export.write import export
from assay.flows.running.reports import finished_run, map_page, page_of
from assay.flows.running.results import RunResult
from assay.storage.disk.atomic import output_path


class Page:
    """A whole page that a notebook shows in a frame, apart from the notebook's own scripts.

    Attributes
    ----------
    html : str
        The page; `save` writes it.
    """

    def __init__(self, html: str, height: int) -> None:
        self.html = html
        self._height = height

    def _repr_html_(self) -> str:
        return (
            f'<iframe title="assay" sandbox="allow-scripts" width="100%" height="{self._height}" '
            f'style="border: 0" srcdoc="{escape(self.html)}"></iframe>'
        )

    def save(self, out: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the page to a file."""
        with output_path(Path(out), replace=overwrite) as temporary:
            temporary.write_text(self.html, encoding="utf-8")


class Result(RunResult):
    """A `RunResult` that hands out its rows as files, and shows its map and report."""

    @classmethod
    def of(cls, done: RunResult) -> Result:
        """Return the result of a run that was made."""
        return cls(done.run_id, done.store, done.computed, done.defaults, done.report_file)

    def map(self) -> Page:
        """Return the map of this run, which a notebook shows; it is made if the run has none.

        Raises
        ------
        ConfigError
            A package of the extra `report` is missing.
        StoreError
            The run ranks columns, or its graph is no longer in the store.
        """
        return Page(map_page(self.store, finished_run(self.store, self.run_id)), height=760)

    def report(self) -> Page:
        """Return the report of this run, which a notebook shows; see `map`."""
        return Page(page_of(self.store, finished_run(self.store, self.run_id)), height=900)

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
