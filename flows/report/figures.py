"""The page's plots, as JSON for Bokeh's script."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from assay.flows.report.facts import Facts

CHOSEN, LEFT, ALL = "#c2410c", "#9aa7b8", "#5b7089"
PALETTE = [
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#17becf",
    "#bcbd22",
    "#7f7f7f",
    "#393b79",
    "#637939",
]
_OTHER = "#c9d1da"
_RAMP = ("#2c115f", "#721f81", "#b73779", "#f1605d", "#feb078")
_MAX_VALUES = 11


def map_figure(facts: Facts) -> Any:
    """Return the map: one point for each row, chosen rows above the others."""
    from bokeh.models import ColumnDataSource, HoverTool, LassoSelectTool, TapTool

    points = facts.points
    source = ColumnDataSource(
        {
            "x": points["x"].cast(pl.Float32).to_numpy(),
            "y": points["y"].cast(pl.Float32).to_numpy(),
            "color": np.where(points["selected"].to_numpy(), CHOSEN, LEFT).tolist(),
            "size": np.where(points["selected"].to_numpy(), 7, 4).astype(np.uint8),
            "id": points["sample_id"].to_list(),
            "state": np.where(points["selected"].to_numpy(), "chosen", "left out").tolist(),
            "reason": points["reason"].to_list(),
            "excerpt": points["excerpt"].to_list(),
        },
        name="map_points",
    )
    figure = _figure(height=560, tools="pan,wheel_zoom,box_zoom,reset,save", match_aspect=True)
    glyph = figure.scatter(
        "x",
        "y",
        source=source,
        size="size",
        fill_color="color",
        line_color=None,
        fill_alpha=0.75,
        nonselection_fill_alpha=0.08,
    )
    figure.add_tools(
        LassoSelectTool(renderers=[glyph]),
        TapTool(renderers=[glyph]),
        HoverTool(
            renderers=[glyph],
            tooltips=[("id", "@id"), ("", "@state: @reason"), ("", "@excerpt")],
        ),
    )
    figure.toolbar.active_scroll = figure.select_one({"type": _wheel()})
    figure.axis.visible = False
    figure.grid.visible = False
    return figure


def _wheel() -> Any:
    from bokeh.models import WheelZoomTool

    return WheelZoomTool


def map_colorings(points: pl.DataFrame, scores: list[str]) -> dict[str, dict[str, Any]]:
    """Return the ways to color the map: each point's code, the codes' colors, and a legend."""
    chosen = points["selected"].to_numpy()
    colorings: dict[str, dict[str, Any]] = {
        "decision": _coloring((~chosen).astype(int), [(CHOSEN, "chosen"), (LEFT, "left out")]),
        "reason": _by_value(points["reason"]),
    }
    for title, column in (("label", "label"), ("group", "group_id")):
        if points[column].is_not_null().any():
            colorings[title] = _by_value(points[column])
    for name in scores:
        colorings[name] = _by_number(points[name])
    return colorings


def _coloring(codes: NDArray[Any], legend: list[tuple[str, str]]) -> dict[str, Any]:
    return {"codes": codes.tolist(), "palette": [color for color, _ in legend], "legend": legend}


def _by_value(values: pl.Series) -> dict[str, Any]:
    """Color the most frequent values; all others share one color."""
    texts = values.cast(pl.String).fill_null("(none)").alias("value")
    counts = texts.value_counts().sort("count", "value", descending=[True, False])
    shown = counts["value"].to_list()[:_MAX_VALUES]
    legend = [(color, value[:40]) for color, value in zip(PALETTE, shown, strict=False)]
    if counts.height > len(shown):
        legend.append((_OTHER, f"{counts.height - len(shown)} more"))
    codes = texts.replace_strict(shown, range(len(shown)), default=len(shown))
    return _coloring(codes.to_numpy(), legend)


def _by_number(values: pl.Series) -> dict[str, Any]:
    """Color by fifths of the score."""
    numbers = values.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    finite = np.isfinite(numbers)
    if not finite.any():
        return _coloring(np.zeros(len(numbers), int), [(_OTHER, "no score")])
    edges = np.quantile(numbers[finite], np.linspace(0, 1, len(_RAMP) + 1))
    part = np.clip(np.searchsorted(edges, numbers, "right") - 1, 0, len(_RAMP) - 1)
    legend = [
        (color, f"{low:.3g} to {high:.3g}")
        for color, low, high in zip(_RAMP, edges[:-1], edges[1:], strict=True)
    ]
    if not finite.all():
        legend.append((_OTHER, "no score"))
    return _coloring(np.where(finite, part, len(_RAMP)), legend)


def reasons_figure(reasons: pl.DataFrame) -> Any:
    """Return the waterfall: from all rows down to those chosen, one bar for each reason."""
    total = int(reasons["n"].sum())
    left = reasons.filter(~pl.col("selected"))
    names, starts, ends, colors = ["all rows"], [0], [total], [ALL]
    level = total
    for row in left.rows(named=True):
        names.append(f"{row['stage']}: {row['reason']}"[:44])
        starts.append(level - row["n"])
        ends.append(level)
        colors.append(LEFT)
        level -= row["n"]
    names.append("chosen")
    starts.append(0)
    ends.append(level)
    colors.append(CHOSEN)
    unique = [f"{name}{'​' * names[:i].count(name)}" for i, name in enumerate(names)]
    figure = _figure(height=60 + 28 * len(names), y_range=unique[::-1], tools="")
    figure.hbar(y=unique, left=starts, right=ends, height=0.7, color=colors)
    figure.xaxis.formatter = _thousands()
    figure.x_range.start = 0
    return figure


def ledger_figure(ledger: pl.DataFrame) -> Any | None:
    """Return every figure of the ledger as a multiple of that of a random subset."""
    rows = ledger.filter(
        pl.col("baseline").is_finite()
        & (pl.col("baseline").abs() > 1e-12)
        & pl.col("value").is_finite()
        & (pl.col("value") / pl.col("baseline")).is_between(0, 20)
    )
    if rows.is_empty():
        return None
    ratio = rows["value"] / rows["baseline"]
    after = rows["after_cutoff"] / rows["baseline"]
    names = [name[:44] for name in rows["name"]]
    figure = _figure(height=60 + 30 * len(names), y_range=names[::-1], tools="")
    figure.hbar(
        y=names,
        left=0,
        right=ratio.to_list(),
        height=0.5,
        color=CHOSEN,
        legend_label="this selection",
    )
    known = after.is_finite().fill_null(False)
    if known.any():
        figure.scatter(
            x=after.filter(known).to_list(),
            y=[name for name, there in zip(names, known, strict=True) if there],
            marker="diamond",
            size=9,
            color="#334155",
            legend_label="random after the same stages",
        )
    from bokeh.models.annotations import Span

    figure.add_layout(
        Span(location=1, dimension="height", line_color="#334155", line_dash="dashed")
    )
    figure.x_range.start = 0
    figure.xaxis.axis_label = "times the figure of a random subset (dashed)"
    figure.add_layout(figure.legend[0], "below")
    return figure


def histogram_figure(name: str, bins: tuple[Any, Any, Any]) -> Any:
    """Return a score's distribution over all rows, and over the chosen ones."""
    everything, chosen, edges = bins
    figure = _figure(height=220, tools="")
    figure.quad(
        top=everything,
        bottom=0,
        left=edges[:-1],
        right=edges[1:],
        color=LEFT,
        alpha=0.7,
        legend_label="all rows",
    )
    figure.step(
        x=np.repeat(edges, 2)[1:-1],
        y=np.repeat(chosen, 2),
        mode="center",
        color=CHOSEN,
        line_width=2,
        legend_label="chosen",
    )
    figure.xaxis.axis_label = name
    figure.add_layout(figure.legend[0], "right")
    return figure


def groups_figure(frame: pl.DataFrame) -> Any:
    """Return the shares of some groups in the pool and in the selection."""
    from bokeh.models import ColumnDataSource
    from bokeh.transform import dodge

    names = frame["value"].to_list()
    source = ColumnDataSource(
        {
            "name": names,
            "pool": frame["random_share"].to_list(),
            "chosen": frame["share"].fill_nan(0).fill_null(0).to_list(),
        }
    )
    figure = _figure(height=60 + 34 * len(names), y_range=names[::-1], tools="")
    bars = (("pool", -0.18, LEFT, "pool"), ("chosen", 0.18, CHOSEN, "chosen"))
    for column, shift, color, title in bars:
        figure.hbar(
            y=dodge("name", shift, range=figure.y_range),
            right=column,
            height=0.32,
            source=source,
            color=color,
            legend_label=title,
        )
    figure.xaxis.formatter = _percent()
    figure.x_range.start = 0
    figure.add_layout(figure.legend[0], "below")
    return figure


def ranking_figure(frame: pl.DataFrame, method: str) -> Any:
    """Return the scores of the best columns under one method."""
    names = [name[:40] for name in frame["feature"]]
    figure = _figure(height=60 + 22 * len(names), y_range=names[::-1], tools="")
    figure.hbar(y=names, right=frame["score"].to_list(), height=0.7, color=CHOSEN)
    figure.xaxis.axis_label = f"score under {method}"
    return figure


def as_json(figure: Any) -> dict[str, Any]:
    """Return a figure as Bokeh's script takes it."""
    from bokeh.embed import json_item

    return dict(json_item(figure))


def _figure(**options: Any) -> Any:
    from bokeh.plotting import figure

    plot = figure(
        sizing_mode="stretch_width", output_backend="canvas", toolbar_location="above", **options
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = False
    return plot


def _thousands() -> Any:
    from bokeh.models import NumeralTickFormatter

    return NumeralTickFormatter(format="0,0")


def _percent() -> Any:
    from bokeh.models import NumeralTickFormatter

    return NumeralTickFormatter(format="0%")
