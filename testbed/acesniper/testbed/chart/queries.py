"""Rows, panels and PromQL queries of the Grafana dashboard, rendered by `dashboard.py`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Look = Literal["number", "lines", "stack", "heat", "bars"]
RATE = "[$__rate_interval]"
RANGE = "[$__range]"
SELECTED = 'provider=~"$provider"'
PRODUCT_PROCESSES = 'and on (instance) {__name__=~"acesniper_queue_length|acesniper_planner_down"}'
"""Restricts process metrics to the extender and the operator."""
BY_DEVICE = "max by (device)"
"""Every replica exports the gauges of every device; the maximum counts each device once."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query and the legend of its series, where `{{label}}` is replaced by the label's value."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel: `unit` in Grafana's notation, `width` in 24ths, `limits` as colour thresholds."""

    title: str
    text: str
    look: Look
    unit: str
    queries: Sequence[Query]
    width: int = 8
    limits: tuple[float, float] | None = None


def quantiles(metric: str, by: str = "", where: str = "", over: str = RATE) -> list[Query]:
    """Return the median and the 95th percentile of a histogram, by a label."""
    labels = f"{by}, le" if by else "le"
    name = f"{{{{{by}}}}} " if by else ""
    return [
        Query(
            f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{where}{over})))",
            f"{name}{word}",
        )
        for share, word in ((0.5, "median"), (0.95, "95 %"))
    ]


def worst(metric: str, label: str) -> list[Query]:
    """Return the ten largest means of a summary over the dashboard's time range."""
    mean = f"increase({metric}_sum{RANGE}) / increase({metric}_count{RANGE})"
    return [Query(f"topk(10, ({mean}) >= 0)", f"{{{{{label}}}}}")]


def total(metric: str, by: str = "", where: str = "", *, or_zero: bool = False) -> Query:
    """Return a counter's rate per second; with `or_zero`, 0 before the first increment."""
    labels = f" by ({by})" if by else ""
    zero = " or vector(0)" if or_zero else ""
    legend = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",")) if by else ""
    return Query(f"sum{labels} (rate({metric}{where}{RATE})){zero}", legend)


INSIDE = "acesniper_prediction_intervals_total"
PREDICTED_S, OBSERVED_S = (
    f"sum by (provider) (rate(acesniper_{which}_run_seconds_total{{{SELECTED}}}{RATE}))"
    for which in ("predicted", "observed")
)
ERROR = "acesniper_prediction_error_ratio"

OVERVIEW = [
    Panel(
        "Devices",
        "Devices with a profile.",
        "number",
        "short",
        [Query(f"count({BY_DEVICE} (acesniper_profile_age_seconds))")],
        width=4,
    ),
    Panel(
        "Queued tasks",
        "Tasks queued for a device.",
        "number",
        "short",
        [Query("max(acesniper_queue_length)")],
        width=4,
    ),
    Panel(
        "Longest wait",
        "Age of the oldest queued task.",
        "number",
        "s",
        [Query("max(acesniper_queue_age_seconds)")],
        width=4,
    ),
    Panel(
        "Tasks per minute",
        "Succeeded tasks.",
        "number",
        "short",
        [Query(f'60 * sum(rate(acesniper_task_phases_total{{phase="Succeeded"}}{RATE}))')],
        width=4,
    ),
    Panel(
        "Median prediction error",
        "Of the latency of finished tasks.",
        "number",
        "percentunit",
        quantiles(ERROR, where=f"{{{SELECTED}}}", over=RANGE)[:1],
        width=4,
        limits=(0.15, 0.25),
    ),
    Panel(
        "Interval coverage",
        "Tasks inside their 90 % interval.",
        "number",
        "percentunit",
        [
            Query(
                f'sum(increase({INSIDE}{{{SELECTED}, outcome="inside"}}{RANGE}))'
                f" / sum(increase({INSIDE}{{{SELECTED}}}{RANGE}))"
            )
        ],
        width=4,
        limits=(0.9, 0.8),
    ),
]

PREDICTIONS = [
    Panel(
        "Prediction error",
        "|predicted - observed| / observed, by provider.",
        "lines",
        "percentunit",
        quantiles(ERROR, "provider", f"{{{SELECTED}}}"),
    ),
    Panel(
        "Predicted / observed run time",
        "Below 1: slower than predicted.",
        "lines",
        "short",
        [Query(f"{PREDICTED_S} / {OBSERVED_S}", "{{provider}}")],
    ),
    Panel(
        "Latency versus interval",
        "Below, inside or above it.",
        "stack",
        "short",
        [total(INSIDE, "outcome", f"{{{SELECTED}}}")],
    ),
    Panel(
        "Error distribution",
        "Finished tasks by prediction error.",
        "heat",
        "percentunit",
        [Query(f"sum by (le) (increase({ERROR}_bucket{{{SELECTED}}}{RATE}))", "{{le}}")],
        width=12,
    ),
    Panel(
        "Learning",
        "Runs used for predictions, drifts and new probes.",
        "lines",
        "short",
        [
            Query(f"sum(rate(acesniper_runs_learned_total{RATE}))", "runs learned"),
            Query(f"sum(rate(acesniper_device_drifts_total{RATE}))", "drifts"),
            Query(f"sum(rate(acesniper_device_reprobes_total{RATE}))", "reprobes"),
        ],
        width=12,
    ),
]

WORST = [
    Panel(
        "Devices by prediction error",
        "Mean over the time range.",
        "bars",
        "percentunit",
        worst("acesniper_device_prediction_error_ratio", "device"),
    ),
    Panel(
        "Models by prediction error",
        "Mean over the time range.",
        "bars",
        "percentunit",
        worst("acesniper_model_prediction_error_ratio", "model"),
    ),
    Panel(
        "Noisiest profiles",
        "Spread of the probe's readings.",
        "bars",
        "percentunit",
        [Query(f"topk(10, {BY_DEVICE} (acesniper_profile_noise_ratio))", "{{device}}")],
    ),
    Panel(
        "Largest backlog",
        "Unfinished work assigned to a device.",
        "bars",
        "s",
        [Query(f"topk(10, {BY_DEVICE} (acesniper_backlog_seconds))", "{{device}}")],
        width=12,
    ),
    Panel(
        "Oldest profiles",
        "Time since the device was probed.",
        "bars",
        "s",
        [Query(f"topk(10, {BY_DEVICE} (acesniper_profile_age_seconds))", "{{device}}")],
        width=12,
    ),
]

QUEUE = [
    Panel(
        "Queue length",
        "Queued tasks, and those past deadline.",
        "lines",
        "short",
        [
            Query("max(acesniper_queue_length)", "queued"),
            Query("max(acesniper_queue_overdue_length)", "past deadline"),
        ],
    ),
    Panel(
        "Response time",
        "From a task's creation to its success.",
        "lines",
        "s",
        quantiles("acesniper_task_response_seconds"),
    ),
    Panel(
        "Wait time",
        "From a task's creation to its start.",
        "lines",
        "s",
        quantiles("acesniper_task_wait_seconds"),
    ),
    Panel(
        "Run time",
        "Of the successful attempt.",
        "lines",
        "s",
        quantiles("acesniper_task_run_seconds"),
    ),
    Panel(
        "Cold start",
        "Container start, model fetch and load.",
        "lines",
        "s",
        quantiles("acesniper_task_cold_start_seconds"),
    ),
    Panel(
        "Backlog",
        "Sum over all devices.",
        "lines",
        "s",
        [Query(f"sum({BY_DEVICE} (acesniper_backlog_seconds))", "backlog")],
    ),
]

DECISIONS = [
    Panel(
        "Decisions",
        "Per second, by verb and outcome.",
        "stack",
        "short",
        [total("acesniper_decisions_total", "verb, outcome")],
    ),
    Panel(
        "Deviations",
        "Refused, failed, expired or stock placements.",
        "stack",
        "short",
        [total("acesniper_decisions_total", "outcome, reason", '{reason!=""}')],
    ),
    Panel(
        "Failed attempts",
        "By reason; most are retried.",
        "stack",
        "short",
        [total("acesniper_task_attempts_failed_total", "reason")],
    ),
    Panel(
        "Exploration",
        "Share of admissions to a less known device.",
        "lines",
        "percentunit",
        [
            Query(
                f"sum(rate(acesniper_explored_total{RATE}))"
                f' / sum(rate(acesniper_decisions_total{{verb="admit", outcome="planned"}}{RATE}))',
                "explored",
            )
        ],
    ),
    Panel(
        "Plans and moves",
        "Plans, and queued tasks moved by one.",
        "lines",
        "short",
        [
            Query(f"sum(rate(acesniper_plan_seconds_count{RATE}))", "plans"),
            Query(f"sum(rate(acesniper_plan_moves_total{RATE}))", "moves"),
        ],
    ),
    Panel(
        "Degraded mode",
        "Planner down; tasks admitted without plan.",
        "lines",
        "short",
        [
            Query("max(acesniper_planner_down)", "planner down"),
            Query(f"sum(rate(acesniper_degraded_admissions_total{RATE}))", "admitted"),
        ],
    ),
]

HEALTH = [
    Panel(
        "Extender latency",
        "Part of each scheduling cycle.",
        "lines",
        "s",
        quantiles("acesniper_extender_request_seconds", "verb"),
    ),
    Panel(
        "Planning",
        "Runs in a thread, off the event loop.",
        "lines",
        "s",
        quantiles("acesniper_plan_seconds"),
    ),
    Panel(
        "Predicting",
        "Updates of the latency table.",
        "lines",
        "s",
        quantiles("acesniper_predict_seconds", over=RANGE),
    ),
    Panel(
        "Watch event age",
        "Bookmarks arrive every minute.",
        "lines",
        "s",
        [Query("max by (kind) (acesniper_watch_event_age_seconds)", "{{kind}}")],
    ),
    Panel(
        "Reconcile time",
        "95th percentile, by kind.",
        "lines",
        "s",
        quantiles("acesniper_reconcile_seconds", "kind")[1:],
    ),
    Panel(
        "Reconcile errors",
        "Failed reconciliations, retried.",
        "lines",
        "short",
        [total("acesniper_reconcile_errors_total", or_zero=True)],
    ),
    Panel(
        "Profiled models",
        "By outcome.",
        "bars",
        "short",
        [Query("sum by (outcome) (acesniper_models_profiled_total)", "{{outcome}}")],
    ),
    Panel(
        "Memory",
        "Resident set size.",
        "lines",
        "bytes",
        [Query(f"process_resident_memory_bytes {PRODUCT_PROCESSES}", "{{job}}")],
    ),
    Panel(
        "CPU",
        "Cores in use.",
        "lines",
        "short",
        [Query(f"rate(process_cpu_seconds_total{RATE}) {PRODUCT_PROCESSES}", "{{job}}")],
    ),
]

ROWS: Sequence[tuple[str, Sequence[Panel]]] = (
    ("Fleet", OVERVIEW),
    ("Prediction accuracy", PREDICTIONS),
    ("Least accurate devices and models", WORST),
    ("Queue and response time", QUEUE),
    ("Scheduling decisions", DECISIONS),
    ("Component health", HEALTH),
)
