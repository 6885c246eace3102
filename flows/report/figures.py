"""The page's plots, as JSON for Bokeh's script."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl

from assay.flows.report.facts import Facts

CHOSEN, LEFT, ALL = "#d9480f", "#8fa0b5", "#5b7089"
CAME_IN, WENT_OUT = "#2b8a3e", "#a61e4d"
POINT_COLUMNS = ("x", "y", "color", "size", "index")
_NAME = 40


def map_figure() -> Any:
    """Return the map without points; the page's script puts them in."""
    from bokeh.models import ColumnDataSource, LassoSelectTool, TapTool, WheelZoomTool

    source = ColumnDataSource({name: [] for name in POINT_COLUMNS}, name="map_points")
    figure = _figure(height=600, tools="pan,wheel_zoom,box_zoom,reset,save", match_aspect=True)
    glyph = figure.scatter(
        "x",
        "y",
        source=source,
        size="size",
        fill_color="color",
        line_color=None,
        fill_alpha=0.8,
        nonselection_fill_alpha=0.2,
        selection_fill_alpha=1,
        selection_line_color=ALL,
    )
    figure.add_tools(LassoSelectTool(renderers=[glyph]), TapTool(renderers=[glyph]), _hover(glyph))
    figure.toolbar.active_scroll = figure.select_one({"type": WheelZoomTool})
    figure.axis.visible = False
    figure.grid.visible = False
    return figure


def _hover(glyph: Any) -> Any:
    from bokeh.models import HoverTool

    # the script shows a card of its own
    return HoverTool(renderers=[glyph], tooltips=None, mode="mouse", name="map_hover")


def reasons_figure(reasons: pl.DataFrame) -> Any:
    """Return the waterfall: from all rows down to those chosen, one bar for each reason."""
    total = int(reasons["n"].sum())
    left = reasons.filter(~pl.col("selected"))
    names, starts, ends, colors = ["all rows"], [0], [total], [ALL]
    level = total
    for row in left.rows(named=True):
        names.append(f"{row['stage']}: {row['reason'].replace('_', ' ')}"[:_NAME])
        starts.append(level - row["n"])
        ends.append(level)
        colors.append(LEFT)
        level -= row["n"]
    names.append("chosen")
    starts.append(0)
    ends.append(level)
    colors.append(CHOSEN)
    unique = _unique(names)
    figure = _bars(unique)
    figure.hbar(y=unique, left=starts, right=ends, height=0.7, color=colors)
    figure.xaxis.formatter = _numbers("0,0")
    figure.xaxis.axis_label = "rows"
    figure.x_range.start = 0
    return figure


def ledger_figure(ledger: pl.DataFrame) -> Any | None:
    """Return every figure of the ledger as a multiple of that of a random subset."""
    rows = ledger.filter(
        pl.col("baseline").is_finite()
        & (pl.col("baseline").abs() > 1e-12)
        & pl.col("value").is_finite()
        & (pl.col("value") / pl.col("baseline")).is_between(0, 4)
    )
    if rows.is_empty():
        return None
    ratio = rows["value"] / rows["baseline"]
    after = rows["after_cutoff"] / rows["baseline"]
    names = [name[:_NAME] for name in rows["name"]]
    better = (rows["better"] == "higher").fill_null(False)
    good = ((ratio > 1) == better) & rows["better"].is_not_null()
    figure = _bars(names, row=26)
    for flag, color, title in (
        (True, CAME_IN, "on the better side of random"),
        (False, LEFT, "on the other side, or neither is better"),
    ):
        of_kind = [i for i, value in enumerate(good.fill_null(False)) if value is flag]
        if of_kind:
            figure.hbar(
                y=[names[i] for i in of_kind],
                left=1,
                right=[ratio[i] for i in of_kind],
                height=0.55,
                color=color,
                legend_label=title,
            )
    known = after.is_finite().fill_null(False)
    if known.any():
        figure.scatter(
            x=after.filter(known).to_list(),
            y=[name for name, is_known in zip(names, known, strict=True) if is_known],
            marker="diamond",
            size=9,
            color=ALL,
            legend_label="random after the same stages",
        )
    figure.add_layout(_line(1, "height"))
    figure.xaxis.axis_label = "times the figure of a random subset (dashed line)"
    _legend_below(figure)
    return figure


def histogram_figure(name: str, bins: tuple[Any, Any, Any]) -> Any:
    """Return a score's distribution over all rows, and over the chosen ones."""
    everything, chosen, edges = bins
    figure = _figure(height=240, tools="")
    figure.quad(
        top=everything,
        bottom=0,
        left=edges[:-1],
        right=edges[1:],
        color=LEFT,
        alpha=0.7,
        legend_label="all rows",
    )
    figure.line(
        x=np.repeat(edges, 2)[1:-1],
        y=np.repeat(chosen, 2),
        color=CHOSEN,
        line_width=2,
        legend_label="chosen",
    )
    figure.xaxis.axis_label = name
    figure.yaxis.axis_label = "share of rows"
    figure.yaxis.formatter = _numbers("0%")
    figure.y_range.start = 0
    _legend_below(figure)
    return figure


def groups_figure(frame: pl.DataFrame, before: str = "pool", after: str = "chosen") -> Any:
    """Return the shares of some groups before (`random_share`) and after (`share`)."""
    from bokeh.models import ColumnDataSource
    from bokeh.transform import dodge

    names = _unique(frame["value"].to_list())
    source = ColumnDataSource(
        {
            "name": names,
            "before": frame["random_share"].fill_nan(0).fill_null(0).to_list(),
            "after": frame["share"].fill_nan(0).fill_null(0).to_list(),
        }
    )
    figure = _bars(names, row=34)
    for column, shift, color, title in (
        ("before", -0.18, LEFT, before),
        ("after", 0.18, CHOSEN, after),
    ):
        figure.hbar(
            y=dodge("name", shift, range=figure.y_range),
            right=column,
            height=0.32,
            source=source,
            color=color,
            legend_label=title,
        )
    figure.xaxis.formatter = _numbers("0%")
    figure.x_range.start = 0
    _legend_below(figure)
    return figure


def trend_figure(name: str, nights: pl.DataFrame) -> Any:
    """Return one figure of the ledger over the nights, beside that of random subsets."""
    figure = _figure(height=210, tools="")
    x = nights["night"].to_list()
    value = nights["value"].to_list()
    figure.line(x, nights["baseline"].to_list(), color=ALL, line_dash="dashed", line_width=2)
    figure.line(x, value, color=CHOSEN, line_width=2)
    figure.scatter(x, value, color=CHOSEN, size=6)
    figure.xaxis.axis_label = "run (dashed: random subsets)"
    figure.yaxis.axis_label = name[:_NAME]
    figure.xaxis.ticker = _whole_ticks()
    return figure


def target_figure(sets: pl.DataFrame) -> Any:
    """Return how near the rows of each set are to the target: quantiles of the weights."""
    names = sets["set"].to_list()
    figure = _bars(names, row=44)
    figure.segment(x0=sets["p5"].to_list(), x1=sets["p95"].to_list(), y0=names, y1=names, color=ALL)
    colors = [CHOSEN if name == "chosen" else LEFT for name in names]
    figure.hbar(
        y=names, left=sets["p25"].to_list(), right=sets["p75"].to_list(), height=0.45, color=colors
    )
    figure.scatter(
        sets["p50"].to_list(), names, marker="dash", angle=np.pi / 2, size=20, color="black"
    )
    figure.xaxis.axis_label = "log importance weight: higher is nearer to the target"
    return figure


def ranking_figure(frame: pl.DataFrame, method: str) -> Any:
    """Return the scores of the best columns under one method, the kept ones highlighted."""
    names = _unique([name[:_NAME] for name in frame["feature"]])
    figure = _bars(names, row=22)
    kept = frame["selected"].to_list()
    for flag, color, title in ((True, CHOSEN, "kept"), (False, LEFT, "not kept")):
        of_kind = [i for i, value in enumerate(kept) if value is flag]
        if of_kind:
            figure.hbar(
                y=[names[i] for i in of_kind],
                right=[frame["score"][i] for i in of_kind],
                height=0.7,
                color=color,
                legend_label=title,
            )
    figure.xaxis.axis_label = f"score under {method}"
    _legend_below(figure)
    return figure


def agreement_figure(agreement: pl.DataFrame) -> Any:
    """Return the share of kept columns that each two methods have in common."""
    from bokeh.models import ColumnDataSource
    from bokeh.transform import linear_cmap

    names = agreement["first"].unique(maintain_order=True).to_list()
    share = agreement["shared"] / agreement["of"].clip(1)
    source = ColumnDataSource(
        {
            "first": agreement["first"].to_list(),
            "second": agreement["second"].to_list(),
            "share": share.to_list(),
            "words": [
                f"{shared} of {of}" for shared, of in agreement.select("shared", "of").rows()
            ],
            "ink": np.where(share.to_numpy() > 0.6, "white", "black").tolist(),
        }
    )
    figure = _figure(height=90 + 44 * len(names), x_range=names, y_range=names[::-1], tools="")
    palette = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in _ramp((238, 242, 247), (166, 54, 3), 32)]
    figure.rect(
        "first",
        "second",
        width=0.98,
        height=0.98,
        source=source,
        line_color=None,
        fill_color=linear_cmap("share", palette, 0, 1),
    )
    figure.text(
        "first",
        "second",
        text="words",
        source=source,
        text_align="center",
        text_baseline="middle",
        text_font_size="12px",
        text_color="ink",
    )
    figure.xaxis.major_label_orientation = 0.6
    figure.grid.visible = False
    return figure


def stability_figure(stability: pl.DataFrame) -> Any:
    """Return the stability of each method's choice with its interval."""
    from bokeh.models import ColumnDataSource
    from bokeh.models.annotations import Whisker

    names = stability["method"].to_list()
    figure = _bars(names, row=40)
    figure.hbar(y=names, right=stability["value"].to_list(), height=0.5, color=LEFT)
    known = stability.drop_nulls(["low", "high"])
    source = ColumnDataSource(
        {
            "method": known["method"].to_list(),
            "low": known["low"].to_list(),
            "high": known["high"].to_list(),
        }
    )
    figure.add_layout(
        Whisker(
            source=source,
            base="method",
            lower="low",
            upper="high",
            dimension="width",
            line_color=CHOSEN,
            line_width=2,
        )
    )
    figure.xaxis.axis_label = "stability over resamples: 0 as by chance, 1 always the same columns"
    figure.x_range.start = min(0.0, *known["low"].to_list())
    figure.x_range.end = 1.02
    return figure


def accuracy_figure(curve: pl.DataFrame) -> Any:
    """Return the accuracy by how many of the best columns are kept, with its standard error."""
    figure = _figure(height=260, tools="", x_axis_type="log")
    x = curve["columns"].to_list()
    error = curve["error"].fill_null(0)
    figure.varea(
        x=x,
        y1=(curve["accuracy"] - error).to_list(),
        y2=(curve["accuracy"] + error).to_list(),
        color=LEFT,
        alpha=0.4,
    )
    figure.line(x, curve["accuracy"].to_list(), color=CHOSEN, line_width=2)
    figure.scatter(x, curve["accuracy"].to_list(), color=CHOSEN, size=6)
    figure.xaxis.axis_label = "columns kept"
    figure.yaxis.axis_label = "accuracy (band: standard error)"
    figure.xaxis.ticker = x
    return figure


def changes_figure(counts: pl.DataFrame) -> Any:
    """Return how many rows came in and went out, by cause."""
    names = _unique(
        [f"{change}: {cause}" for change, cause in counts.select("change", "cause").rows()]
    )
    figure = _bars(names)
    colors = [CAME_IN if change == "in" else WENT_OUT for change in counts["change"]]
    figure.hbar(y=names, right=counts["rows"].to_list(), height=0.7, color=colors)
    figure.xaxis.formatter = _numbers("0,0")
    figure.xaxis.axis_label = "rows"
    figure.x_range.start = 0
    return figure


def map_scales(facts: Facts) -> list[str]:
    """Return the names by which the map can be colored, the first by default."""
    names = ["decision", *facts.rows["values"], *facts.scores]
    return [*names, "drift"] if facts.drift is not None else names


def as_json(figures: dict[str, Any]) -> dict[str, Any]:
    """Return figures as Bokeh's script takes them, the same whatever was drawn before."""
    from bokeh.embed import json_item

    items = {name: dict(json_item(figure)) for name, figure in figures.items()}
    return dict(_numbered_anew(items, {}))


def _numbered_anew(value: Any, numbers: dict[str, str]) -> Any:
    """Return a value whose models are numbered in order; Bokeh counts on from page to page."""
    if isinstance(value, dict):
        return {
            key: numbers.setdefault(part, f"p{len(numbers)}")
            if key in ("id", "root_id") and isinstance(part, str)
            else _numbered_anew(part, numbers)
            for key, part in value.items()
        }
    if isinstance(value, list | tuple):
        return [_numbered_anew(part, numbers) for part in value]
    return value


def _figure(**options: Any) -> Any:
    from bokeh.plotting import figure

    plot = figure(
        sizing_mode="stretch_width",
        output_backend="canvas",
        toolbar_location="above" if options.get("tools") else None,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        **options,
    )
    plot.toolbar.logo = None
    plot.toolbar.autohide = False
    return plot


def _bars(names: list[str], row: int = 28) -> Any:
    figure = _figure(height=90 + row * len(names), y_range=names[::-1], tools="")
    figure.ygrid.visible = False
    return figure


def _legend_below(figure: Any) -> None:
    legend = figure.legend[0]
    legend.border_line_color = None
    legend.background_fill_color = None
    figure.add_layout(legend, "below")


def _line(at: float, dimension: Literal["width", "height"]) -> Any:
    from bokeh.models.annotations import Span

    return Span(location=at, dimension=dimension, line_color=ALL, line_dash="dashed")


def _unique(names: list[str]) -> list[str]:
    """Return names with an invisible mark after repeated ones, so that all differ."""
    return [f"{name}{chr(0x200B) * names[:i].count(name)}" for i, name in enumerate(names)]


def _ramp(first: tuple[int, ...], last: tuple[int, ...], steps: int) -> list[tuple[int, ...]]:
    colors = np.linspace(first, last, steps).round().astype(int)
    return [tuple(color) for color in colors.tolist()]


def _numbers(format: str) -> Any:
    from bokeh.models import NumeralTickFormatter

    return NumeralTickFormatter(format=format)


def _whole_ticks() -> Any:
    from bokeh.models import BasicTicker

    return BasicTicker(min_interval=1)
