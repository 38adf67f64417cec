"""The Grafana dashboard: renders the panels of `queries.py` with the Grafana Foundation SDK."""

from collections.abc import Callable, Mapping
from itertools import count

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    heatmap,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BarGaugeDisplayMode,
    GraphDrawStyle,
    StackingMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from acesniper.testbed.chart.queries import ROWS, Look, Panel, Query

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD, FAIR, BAD = "blue", "yellow", "orange"
"""Distinguishable with colour blindness."""
_Drawn = stat.Panel | timeseries.Panel | heatmap.Panel | bargauge.Panel


def dashboard() -> str:
    """Return the dashboard as the JSON that Grafana imports."""
    board = (
        build.Dashboard("Ace-Sniper")
        .uid("acesniper")
        .description("Generated from testbed/acesniper/testbed/chart/queries.py.")
        .tags(["acesniper", "kubernetes"])
        .time("now-3h", "now")
        .refresh("30s")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(
            build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
        .with_variable(
            build.QueryVariable("provider")
            .label("Provider")
            .datasource(SOURCE)
            .query("label_values(acesniper_prediction_error_ratio_count, provider)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(VariableOption(selected=True, text="All", value="$__all"))
        )
    )
    numbers = count(1)
    for title, panels in ROWS:
        board.with_row(build.Row(title).id(next(numbers)))
        for panel in panels:
            board.with_panel(_drawn(panel).id(next(numbers)))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _drawn(panel: Panel) -> _Drawn:
    drawn = _LOOKS[panel.look](panel)
    drawn.title(panel.title).description(panel.text).datasource(SOURCE)
    if panel.look != "heat":
        drawn.unit(panel.unit)
    drawn.span(panel.width).height(4 if panel.look == "number" else 8)
    for number, query in enumerate(panel.queries):
        drawn.with_target(_target(panel.look, number, query))
    return drawn


def _target(look: Look, number: int, query: Query) -> prometheus.Dataquery:
    target = (
        prometheus.Dataquery()
        .ref_id(chr(ord("A") + number))
        .expr(query.expression)
        .legend_format(query.legend or "__auto")
    )
    if look == "heat":
        target.format(PromQueryFormat.HEATMAP)
    return target.instant() if look in ("number", "bars") else target.range()


def _number(panel: Panel) -> stat.Panel:
    drawn = stat.Panel().reduce_options(_last())
    if panel.limits is None:
        return drawn
    fair, bad = panel.limits
    steps = [Threshold(None, GOOD), Threshold(fair, FAIR), Threshold(bad, BAD)]
    if fair > bad:  # lower is worse
        steps = [Threshold(None, BAD), Threshold(bad, FAIR), Threshold(fair, GOOD)]
    return drawn.thresholds(build.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))


def _lines(_: Panel) -> timeseries.Panel:
    return timeseries.Panel().draw_style(GraphDrawStyle.LINE).line_width(2).min(0)


def _stack(_: Panel) -> timeseries.Panel:
    stacked = common.StackingConfig().mode(StackingMode.NORMAL)
    return timeseries.Panel().fill_opacity(40).line_width(1).stacking(stacked).min(0)


def _heat(panel: Panel) -> heatmap.Panel:
    """Return a heat map; cells are counts, and the panel's unit is that of the buckets."""
    return (
        heatmap.Panel()
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(panel.unit))
        .cell_values(heatmap.CellValues().unit("short"))
        .show_tooltip()
    )


def _bars(_: Panel) -> bargauge.Panel:
    return (
        bargauge.Panel()
        .orientation(VizOrientation.HORIZONTAL)
        .display_mode(BarGaugeDisplayMode.BASIC)
        .reduce_options(_last())
        .min(0)
    )


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


_LOOKS: Mapping[Look, Callable[[Panel], _Drawn]] = {
    "number": _number,
    "lines": _lines,
    "stack": _stack,
    "heat": _heat,
    "bars": _bars,
}
