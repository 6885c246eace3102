"""The page itself: facts and plots put into a template."""

from __future__ import annotations

import json
from datetime import datetime
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import polars as pl

from assay.flows.report import figures
from assay.flows.report.facts import Facts, FeatureFacts, sentence
from assay.storage.errors import ConfigError


def check_packages() -> None:
    """Raise `ConfigError` if a package of the extra `report` is missing."""
    missing = [name for name in ("bokeh", "jinja2", "umap") if find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"A report needs packages that are not installed ({', '.join(missing)}): "
            "`pip install 'assay-curation[report]'`."
        )


def curation_page(facts: Facts) -> str:
    """Return the page of a curation run."""
    run = facts.run
    plots = {"plot-reasons": figures.reasons_figure(facts.reasons)}
    sections = [("reasons", "Reasons")]
    if facts.points.height:
        plots["plot-map"] = figures.map_figure(facts)
        sections.append(("map", "Map"))
    ledger = figures.ledger_figure(facts.ledger)
    if ledger is not None:
        plots["plot-ledger"] = ledger
    sections.append(("ledger", "Beside random"))
    histograms = [(f"plot-score-{i}", name) for i, name in enumerate(facts.histograms)]
    for (plot, _), (name, bins) in zip(histograms, facts.histograms.items(), strict=True):
        plots[plot] = figures.histogram_figure(name, bins)
    groups = []
    for i, (name, frame) in enumerate(facts.groups.items()):
        plots[f"plot-group-{i}"] = figures.groups_figure(frame)
        groups.append((f"plot-group-{i}", name, frame.rows(named=True)))
    sections += [("scores", "Scores")] if histograms else []
    sections += [("groups", "Groups")] if groups else []
    sections += [("rows", "Rows"), ("settings", "Settings")]
    return _render(
        "curation.html.jinja",
        plots,
        title=f"What was chosen from {run['pool']}",
        subtitle=_subtitle(run),
        sections=sections,
        n_samples=run["n_samples"],
        n_selected=facts.n_selected,
        select=facts.config["select"],
        seconds=_duration(run),
        notes=facts.notes,
        reasons=facts.reasons.rows(named=True),
        colorings=figures.map_colorings(facts.points, facts.scores),
        details=_details(facts),
        ledger=facts.ledger.rows(named=True),
        histograms=histograms,
        groups=groups,
        galleries=facts.galleries,
        command=facts.command,
        config=_pretty(facts.config),
        versions=_pretty(json.loads(run["versions"])),
    )


def feature_page(facts: FeatureFacts) -> str:
    """Return the page of a run that ranks columns."""
    run = facts.run
    plots, rankings = {}, []
    for i, (method, frame) in enumerate(facts.rankings.items()):
        plots[f"plot-ranking-{i}"] = figures.ranking_figure(frame, method)
        rankings.append((f"plot-ranking-{i}", method, frame.rows(named=True)))
    sections = [("rankings", "Rankings")]
    sections += [("agreement", "Agreement")] if facts.agreement else []
    sections += [("figures", "Figures")] if facts.metrics else []
    return _render(
        "features.html.jinja",
        plots,
        title=f"Columns of {run['pool']} by what they say about the label",
        subtitle=_subtitle(run),
        sections=[*sections, ("settings", "Settings")],
        rankings=rankings,
        agreement=facts.agreement,
        metrics=facts.metrics,
        command=facts.command,
        config=_pretty(facts.config),
        versions=_pretty(json.loads(run["versions"])),
    )


def _details(facts: Facts) -> dict[str, Any]:
    """Return what a click on a point shows besides its id and excerpt."""
    points = facts.points
    return {
        "sentences": [sentence(row) for row in points.iter_rows(named=True)],
        "labels": points["label"].to_list(),
        "scores": {
            name: [_short(value) for value in points[name].to_list()] for name in facts.scores
        },
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _number(value: float | None) -> str:
    return "" if value is None or value != value else f"{value:.4g}"


def _subtitle(run: dict[str, Any]) -> str:
    finished: datetime = run["finished_at"]
    return (
        f"Run {run['run_id']}, finished {finished:%Y-%m-%d %H:%M} UTC, seed {run['seed']}, "
        f"generation {run['generation']}."
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
        plots={name: figures.as_json(figure) for name, figure in plots.items()},
        bokeh_script="\n".join(script),
        assay_version=version("assay-curation"),
        **values,
    )


def no_rows() -> pl.DataFrame:
    """Return places for no row: the page without a map."""
    return pl.DataFrame(schema={"sample_id": pl.String, "x": pl.Float64, "y": pl.Float64})
