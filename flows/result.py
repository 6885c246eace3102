"""What `assay.curate` hands back: a run's result that also writes files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from assay.flows.config.fields import as_tuple
from assay.flows.export.columns import check_additions
from assay.flows.export.selection import select
from assay.flows.export.write import export, push_to_hub
from assay.flows.running.finished import curation_run, finished_run
from assay.flows.running.reports import map_page, page_of
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

    def selected(self, columns: str | Sequence[str] | None = None) -> pl.DataFrame:
        """Return the chosen rows in order: the pool's own columns, position, weight and scores.

        Parameters
        ----------
        columns : sequence of str, or names in a text, optional
            Which of the pool's own columns; all by default.

        Raises
        ------
        StoreError
            The pool is no longer what it was; `sql` still gives what the store holds.
        """
        run = curation_run(self.store, self.run_id, all_runs=True)
        wanted = check_additions(())
        names = as_tuple(columns)
        return select(
            self.store, run, rows="chosen", additions=wanted, columns=names, pool=None
        ).frame

    def export(self, out: str | os.PathLike[str], **how: Any) -> int:
        """Write rows of this run to a file or folder, and return how many.

        Parameters
        ----------
        out : path-like
        **how
            `rows`, `with_`, `format`, `columns`, `pool`, `shard_size`, `card`, `link`, `raw` and
            `overwrite`; see `assay.flows.export.write.export`.

        Examples
        --------
        >>> import polars as pl, tempfile
        >>> from assay.flows import curate
        >>> folder = tempfile.mkdtemp()
        >>> frame = pl.DataFrame({"text": [f"about {i % 7} things, {i}" for i in range(40)]})
        >>> result = curate(pool=frame, budget=5, select="random", store=f"{folder}/store")
        >>> result.export(f"{folder}/chosen.parquet")
        5
        >>> result.export(f"{folder}/rest.jsonl.gz", rows="left", with_="decisions")
        35
        """
        return export(self.store, out, run=self.run_id, all_runs=True, **how)

    def push_to_hub(
        self, repo: str, folder: str | os.PathLike[str], *, private: bool = False, **how: Any
    ) -> str:
        """Export this run's rows for `datasets` into a new `folder`, and upload it; return its URL.

        Needs ``assay-curation[hf]``; see `assay.flows.export.write.push_to_hub`.
        """
        self.export(folder, **{"format": "hf", "card": True} | how)
        return push_to_hub(folder, repo, private=private)
