"""The page itself: facts and plots put into a template."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.flows.report import figures
from assay.flows.report.comparison import Comparison
from assay.flows.report.decisions import MEANINGS
from assay.flows.report.facts import MAX_GROUPS, Facts
from assay.flows.report.feature_facts import FeatureFacts
from assay.flows.report.rows import packed
from assay.selection.evaluation.figures import WORDS, figures_that_matter
from assay.storage.errors import ConfigError

# what a page of ours begins with, so that a later one may take its place
GENERATOR = '<meta name="generator" content="assay">'


def check_packages() -> None:
    """Raise `ConfigError` if a package of the extra `report` is missing."""
    missing = missing_packages()
    if missing:
        raise ConfigError(
            f"A report needs packages that are not installed ({', '.join(missing)}): "
            "`pip install 'assay-curation[report]'`."
        )


def missing_packages() -> list[str]:
    """Return the packages of the extra `report` that are not installed."""
    return [name for name in ("bokeh", "jinja2") if find_spec(name) is None]


def curation_page(facts: Facts, **explorer: Any) -> str:
    """Return the page of a curation run; `explorer` is what the served page has beside it."""
    run = facts.run
    plots: dict[str, Any] = {"plot-reasons": figures.reasons_figure(facts.reasons)}
    sections = [("reasons", "Reasons")]
    if facts.points.height:
        plots["plot-map"] = figures.map_figure()
        sections.append(("map", "Map"))
    if facts.ledger.height:
        sections.append(("ledger", "Beside random"))
        _add(plots, "plot-ledger", figures.ledger_figure(facts.ledger))
    if facts.target.height:
        sections.append(("target", "Target"))
        plots["plot-target"] = figures.target_figure(facts.target)
    histograms = _numbered(plots, "plot-score", figures.histogram_figure, facts.histograms.items())
    groups = [
        (id, name, frame.rows(named=True))
        for id, (name, frame) in zip(
            _numbered(plots, "plot-group", _groups_figure, facts.groups.items()),
            facts.groups.items(),
            strict=True,
        )
    ]
    nights = {
        str(name): part for (name,), part in facts.trend.group_by("name", maintain_order=True)
    }
    trend = _numbered(plots, "plot-trend", figures.trend_figure, nights.items())
    sections += [("scores", "Scores")] if histograms else []
    sections += [("groups", "Groups")] if groups else []
    sections += [("trend", "Nights")] if trend else []
    sections += [("rows", "Rows"), ("settings", "Settings")]
    if explorer:
        sections.insert(0, ("search", "Search"))
    return _render(
        "explorer.html.jinja" if explorer else "curation.html.jinja",
        plots,
        title=f"What was chosen from {run['pool']}",
        subtitle=_subtitle(run),
        sections=sections,
        n_samples=run["n_samples"],
        n_selected=facts.n_selected,
        select=facts.config["select"],
        seconds=_duration(run),
        figures=[
            {**row, "words": WORDS.get(row["name"], row["name"])}
            for row in figures_that_matter(facts.config["select"], facts.ledger.rows(named=True))
        ],
        notes=facts.notes,
        reasons=[
            {**row, "meaning": MEANINGS.get(row["reason"], "")}
            for row in facts.reasons.rows(named=True)
        ],
        scales=figures.map_scales(facts) if facts.points.height else [],
        rows_data=packed({**facts.rows, "drift": _ratios(facts.drift)}),
        ledger=facts.ledger.rows(named=True),
        target=facts.target.rows(named=True),
        histograms=list(zip(histograms, facts.histograms, strict=True)),
        quantiles=facts.quantiles.rows(named=True),
        groups=groups,
        trend=[
            (id, name, part.rows(named=True))
            for id, (name, part) in zip(trend, nights.items(), strict=True)
        ],
        galleries=facts.galleries,
        command=facts.command,
        config=_pretty(facts.config),
        versions=_pretty(json.loads(run["versions"])),
        **explorer,
    )


def feature_page(facts: FeatureFacts) -> str:
    """Return the page of a run that ranks columns."""
    run = facts.run
    plots: dict[str, Any] = {}
    rankings = [
        (id, name, frame.rows(named=True))
        for id, (name, frame) in zip(
            _numbered(plots, "plot-ranking", _ranking_figure, facts.rankings.items()),
            facts.rankings.items(),
            strict=True,
        )
    ]
    sections = [("rankings", "Rankings")]
    if len(facts.rankings) > 1:
        sections.append(("agreement", "Agreement"))
        plots["plot-agreement"] = figures.agreement_figure(facts.agreement)
    if facts.stability.height:
        sections.append(("stability", "Stability"))
        plots["plot-stability"] = figures.stability_figure(facts.stability)
    curves = _numbered(plots, "plot-accuracy", _accuracy_figure, facts.accuracy.items())
    sections += [("accuracy", "Accuracy")] if curves else []
    sections += [("quality", "Columns to look at")] if facts.quality.height else []
    names = list(facts.rankings)
    return _render(
        "features.html.jinja",
        plots,
        title=f"Columns of {run['pool']} by what they tell about {facts.config['label']}",
        subtitle=_subtitle(run),
        sections=[*sections, ("settings", "Settings")],
        rankings=rankings,
        methods=names,
        agreement=[
            (first, facts.agreement.filter(pl.col("first") == first).rows(named=True))
            for first in names
        ]
        if len(names) > 1
        else [],
        stability=facts.stability.rows(named=True),
        accuracy=[
            (id, name, curve.rows(named=True))
            for id, (name, curve) in zip(curves, facts.accuracy.items(), strict=True)
        ],
        quality=facts.quality.rows(named=True),
        n_samples=run["n_samples"],
        command=facts.command,
        config=_pretty(facts.config),
        versions=_pretty(json.loads(run["versions"])),
    )


def comparison_page(facts: Comparison) -> str:
    """Return the page that compares two runs."""
    run_a, run_b = facts.run_a, facts.run_b
    plots: dict[str, Any] = {}
    sections = [("changes", "Changes")]
    if facts.counts.height:
        plots["plot-changes"] = figures.changes_figure(facts.counts)
    if facts.n_points:
        plots["plot-map"] = figures.map_figure()
        sections.append(("map", "Map"))
    groups = []
    for i, (name, frame) in enumerate(facts.groups.items()):
        shown = frame.head(MAX_GROUPS)
        plots[f"plot-group-{i}"] = figures.groups_figure(shown, "pool before", "pool after")
        groups.append((f"plot-group-{i}", name, shown.rows(named=True)))
    sections += [("groups", "Drift by group")] if groups else []
    sections += [("ledger", "Figures")] if facts.ledger else []
    sections += [("rows", "Rows")] if facts.galleries else []
    return _render(
        "comparison.html.jinja",
        plots,
        title=f"What changed in the selection from {run_b['pool']}",
        subtitle=f"From run {run_a['run_id']} ({run_a['finished_at']:%Y-%m-%d %H:%M}) to run "
        f"{run_b['run_id']} ({run_b['finished_at']:%Y-%m-%d %H:%M}).",
        sections=[*sections, ("settings", "Settings")],
        came_in=facts.came_in,
        went_out=facts.went_out,
        stayed=facts.stayed,
        counts=facts.counts.rows(named=True),
        scales=[*facts.rows["values"], "decision", *facts.rows["scores"]],
        rows_data=packed({**facts.rows, "drift": None}),
        groups=groups,
        ledger=facts.ledger,
        galleries=facts.galleries,
        notes=facts.notes,
        command=facts.command,
        config=_pretty(json.loads(run_b["config"])),
        versions=_pretty(json.loads(run_b["versions"])),
    )


def map_fragment(rows: dict[str, Any], scales: list[str], title: str) -> str:
    """Return a page of the map alone, for a notebook."""
    return _render(
        "map.html.jinja",
        {"plot-map": figures.map_figure()},
        title=title,
        scales=scales,
        rows_data=packed({**rows, "drift": None}),
    )


def _groups_figure(_: str, frame: pl.DataFrame) -> Any:
    return figures.groups_figure(frame.head(MAX_GROUPS))


def _ranking_figure(name: str, frame: pl.DataFrame) -> Any:
    return figures.ranking_figure(frame, name)


def _accuracy_figure(_: str, curve: pl.DataFrame) -> Any:
    return figures.accuracy_figure(curve)


def _numbered(
    plots: dict[str, Any], prefix: str, draw: Any, items: Iterable[tuple[str, Any]]
) -> list[str]:
    """Draw each item; return the ids of the plots."""
    ids = []
    for i, (name, data) in enumerate(items):
        ids.append(f"{prefix}-{i}")
        plots[ids[-1]] = draw(name, data)
    return ids


def _add(plots: dict[str, Any], id: str, figure: Any | None) -> None:
    if figure is not None:
        plots[id] = figure


def _ratios(drift: NDArray[Any] | None) -> list[float | None] | None:
    """Return ratios that JSON can hold; null for rows without one."""
    if drift is None:
        return None
    bounded = pl.Series(np.minimum(drift, 1e6))
    return (
        pl.select(pl.when(bounded.is_finite()).then(bounded.round_sig_figs(3)))
        .to_series()
        .to_list()
    )


def _number(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.4g}"


def _subtitle(run: dict[str, Any]) -> str:
    finished: datetime = run["finished_at"]
    generation = f", generation {run['generation']}" if run["generation"] else ""
    return (
        f"Run {run['run_id']}, finished {finished:%Y-%m-%d %H:%M} UTC, seed {run['seed']}"
        f"{generation}."
    )


def _duration(run: dict[str, Any]) -> str:
    seconds = (run["finished_at"] - run["started_at"]).total_seconds()
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, default=str)


def _render(template: str, plots: dict[str, Any], **values: Any) -> str:
    from bokeh.resources import Resources
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("assay.flows.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.globals["number"] = _number
    # Bokeh resolves references in the order of the keys
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    script = Resources(mode="inline", components=["bokeh"]).js_raw
    return environment.get_template(template).render(
        generator=GENERATOR,
        plots=figures.as_json(plots),
        bokeh_script="\n".join(script),
        assay_version=version("assay-curation"),
        **values,
    )


def no_rows() -> pl.DataFrame:
    """Return places for no row: the page without a map."""
    return pl.DataFrame(schema={"sample_id": pl.String, "x": pl.Float64, "y": pl.Float64})
