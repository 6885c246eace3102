"""An explorer of a finished run: its page, its rows, and where the basket goes."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import NamedTuple

from starlette.applications import Starlette

from assay.flows.explore.basket import Basket
from assay.flows.explore.rows import PAGE, ExploredRows
from assay.flows.explore.server import make_app
from assay.flows.report.page import check_packages, curation_page
from assay.flows.running.finished import finished_run
from assay.flows.running.reports import run_facts
from assay.storage import ScoreStore
from assay.storage.errors import ConfigError

# rows on the map; the search finds all of them
MAX_POINTS = 200_000


class Explorer(NamedTuple):
    """An application and the token that its address must hold."""

    app: Starlette
    token: str


def make_explorer(store: ScoreStore, folder: Path, run: str | None = None) -> Explorer:
    """Make the explorer of a finished curation run.

    Parameters
    ----------
    store : ScoreStore
        Only read, but for the run's map where it has none yet.
    folder : Path
        Where the basket is written.
    run : str, optional
        A run's id, or its first digits; the newest curation run where left out.

    Raises
    ------
    ConfigError
        The run ranks columns, a package is missing, or the basket may not be written to `folder`.
    """
    check_packages()
    basket = Basket(folder, store)
    row = finished_run(store, run, kinds=("curate",) if run is None else ("curate", "features"))
    if row["kind"] != "curate":
        raise ConfigError(
            f"Run {row['run_id']} ranks columns; only curation runs can be explored. "
            "`assay report` shows it."
        )
    token = secrets.token_urlsafe(24)
    page = curation_page(
        run_facts(store, row, max_points=MAX_POINTS), api=True, token=token, page_size=PAGE
    )
    return Explorer(make_app(page, ExploredRows(store, row), basket, token), token)
