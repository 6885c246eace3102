"""Reports of finished runs: the run is looked up, its map made if it has none, the page written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from assay.flows.report.comparison import comparison_facts
from assay.flows.report.differences import difference
from assay.flows.report.facts import MAX_POINTS, Facts, curation_facts
from assay.flows.report.feature_facts import feature_facts
from assay.flows.report.page import (
    GENERATOR,
    check_packages,
    comparison_page,
    curation_page,
    feature_page,
    map_fragment,
    no_rows,
)
from assay.flows.running.finished import finished_run
from assay.flows.running.maps import map_run
from assay.storage import ScoreStore
from assay.storage.disk.atomic import output_path
from assay.storage.errors import ConfigError, StoreError

_ENDINGS = (".html", ".htm")


class Written(NamedTuple):
    """A page that was written: of which run, and how many bytes."""

    run_id: str
    size: int


def write_report(
    store: ScoreStore,
    out: Path,
    *,
    run: str | None = None,
    compare: tuple[str, str] | None = None,
    with_map: bool = True,
    overwrite: bool = False,
) -> Written:
    """Write one self-contained HTML page about a finished run, or about what changed between two.

    Parameters
    ----------
    store : ScoreStore
    out : Path
        A file that ends in .html; it is written whole or not at all.
    run : str, optional
        A run's id, or its first digits; the newest finished run where left out.
    compare : (str, str), optional
        Two runs in place of one, as `assay.flows.report.differences.difference` takes them.
    with_map : bool, default True
        Whether a map is shown. It is made from the stored graph if the run has none, and kept in
        the store as a run of its own.
    overwrite : bool, default False
        Whether an existing file is replaced.

    Raises
    ------
    ConfigError
        `out` has another ending, or a package of the extra `report` is missing.
    StoreError
        The store has no such finished run.
    """
    check_ending(out)
    check_packages()
    if compare is not None:
        run_id, page = _comparison(store, compare, with_map)
    else:
        row = finished_run(store, run)
        run_id, page = row["run_id"], report_page(store, row, with_map=with_map)
    content = page.encode("utf-8")
    with output_path(out, replace=overwrite) as temporary:
        temporary.write_bytes(content)
    return Written(run_id, len(content))


def check_ending(out: Path) -> None:
    """Raise `ConfigError` unless a file is named as a page is."""
    if out.suffix.lower() not in _ENDINGS:
        raise ConfigError(f"{out} must end in .html.")


def check_report(out: Path) -> None:
    """Raise `ConfigError` before any work if a run could not leave its report in `out`.

    A report that is there already is replaced, so that a night's run keeps one page; no other file
    is.
    """
    check_ending(out)
    check_packages()
    if not out.parent.is_dir():
        raise ConfigError(f"There is no folder {out.parent} to write {out.name} into.")
    if out.is_dir():
        raise ConfigError(f"{out} is a folder; name a file in it.")
    if out.is_file():
        with out.open("rb") as file:
            if GENERATOR.encode() not in file.read(400):
                raise ConfigError(
                    f"{out} exists already and is not a report of assay. Name another file for "
                    "the report, or move that one away."
                )


def report_page(store: ScoreStore, run: dict[str, Any], *, with_map: bool = True) -> str:
    """Return the page of a finished run, given its row of the view `runs`."""
    if run["kind"] == "features":
        return feature_page(feature_facts(store, run))
    return curation_page(run_facts(store, run, with_map=with_map))


def run_facts(
    store: ScoreStore,
    run: dict[str, Any],
    *,
    with_map: bool = True,
    max_points: int = MAX_POINTS,
) -> Facts:
    """Return what the page of a curation run shows."""
    return curation_facts(store, run, places_of(store, run, with_map), max_points=max_points)


def page_of(store: ScoreStore, run: dict[str, Any]) -> str:
    """Return the report of a run as a page, if the packages for it are installed."""
    check_packages()
    return report_page(store, run)


def map_page(store: ScoreStore, run: dict[str, Any]) -> str:
    """Return the map of a curation run as a page."""
    check_packages()
    if run["kind"] != "curate":
        raise StoreError(f"Run {run['run_id']} ranks columns, which have no map.")
    facts = run_facts(store, run)
    scales = ["decision", *facts.rows["values"], *facts.scores]
    return map_fragment(facts.rows, scales, f"Map of {run['pool']}")


def places_of(store: ScoreStore, run: dict[str, Any], with_map: bool) -> pl.DataFrame:
    """Return sample_id, x, y of a run's map, made if it has none; no rows without a map."""
    if not with_map:
        return no_rows()
    return store.run_table(map_run(store, run["run_id"]), 'SELECT * FROM "map"')


def _comparison(store: ScoreStore, names: tuple[str, str], with_map: bool) -> tuple[str, str]:
    changes = difference(store, *names)
    runs = [finished_run(store, run["run_id"]) for run in (changes.run_a, changes.run_b)]
    places = places_of(store, runs[1], with_map)
    return runs[1]["run_id"], comparison_page(comparison_facts(store, changes, runs, places))
