"""What the dashboard asks Prometheus, row by row. `dashboard.py` draws it; nothing else is said."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Look = Literal["number", "lines", "stack", "heat", "bars"]
RATE = "[$__rate_interval]"
RANGE = "[$__range]"
CHOSEN = 'provider=~"$provider"'
OURS = 'and on (instance) {__name__=~"acesniper_queue_length|acesniper_planner_away"}'
"""Of the process metrics, those of our parts."""
EACH_DEVICE = "max by (device)"
"""Two replicas tell the same of a device."""


@dataclass(frozen=True, slots=True)
class Query:
    """A query and how its series are called; `{{label}}` stands for a label's value."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture; `unit` is Grafana's word, `width` of 24, `limits` colour a number."""

    title: str
    text: str
    look: Look
    unit: str
    queries: Sequence[Query]
    width: int = 8
    limits: tuple[float, float] | None = None


def quantiles(metric: str, by: str = "", where: str = "", over: str = RATE) -> list[Query]:
    """Median and 95th percentile of a histogram, by a label."""
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
    """The ten largest means of a summary over the time shown."""
    mean = f"increase({metric}_sum{RANGE}) / increase({metric}_count{RANGE})"
    return [Query(f"topk(10, ({mean}) >= 0)", f"{{{{{label}}}}}")]


def total(metric: str, by: str = "", where: str = "", *, maybe_none: bool = False) -> Query:
    """A counter's rate per second; `maybe_none`: 0 where nothing was counted yet."""
    labels = f" by ({by})" if by else ""
    zero = " or vector(0)" if maybe_none else ""
    legend = " ".join(f"{{{{{each.strip()}}}}}" for each in by.split(",")) if by else ""
    return Query(f"sum{labels} (rate({metric}{where}{RATE})){zero}", legend)


INSIDE = "acesniper_prediction_intervals_total"
PREDICTED_S, OBSERVED_S = (
    f"sum by (provider) (rate(acesniper_{which}_run_seconds_total{{{CHOSEN}}}{RATE}))"
    for which in ("predicted", "observed")
)
ERROR = "acesniper_prediction_error_ratio"

OVERVIEW = [
    Panel(
        *("Devices", "Devices with a measurement.", "number", "short"),
        [Query(f"count({EACH_DEVICE} (acesniper_profile_age_seconds))")],
        width=4,
    ),
    Panel(
        *("Waiting tasks", "Tasks that wait for a device.", "number", "short"),
        [Query("max(acesniper_queue_length)")],
        width=4,
    ),
    Panel(
        *("Longest wait", "Age of the oldest task that waits.", "number", "s"),
        [Query("max(acesniper_queue_age_seconds)")],
        width=4,
    ),
    Panel(
        *("Finished a minute", "Tasks that succeeded.", "number", "short"),
        [Query(f'60 * sum(rate(acesniper_task_phases_total{{phase="Succeeded"}}{RATE}))')],
        width=4,
    ),
    Panel(
        *("Median error", "Half of the latencies were predicted better than this.", "number"),
        "percentunit",
        quantiles(ERROR, where=f"{{{CHOSEN}}}", over=RANGE)[:1],
        width=4,
        limits=(0.15, 0.25),
    ),
    Panel(
        *("Inside the interval", "Should be near 90 %: deadlines rest on it.", "number"),
        "percentunit",
        [
            Query(
                f'sum(increase({INSIDE}{{{CHOSEN}, outcome="inside"}}{RANGE}))'
                f" / sum(increase({INSIDE}{{{CHOSEN}}}{RANGE}))"
            )
        ],
        width=4,
        limits=(0.9, 0.8),
    ),
]

PREDICTIONS = [
    Panel(
        *("Error of predictions", "|predicted - observed| / observed, by provider.", "lines"),
        "percentunit",
        quantiles(ERROR, "provider", f"{{{CHOSEN}}}"),
    ),
    Panel(
        *("Predicted over observed run time", "1: right. Below: slower than predicted.", "lines"),
        "short",
        [Query(f"{PREDICTED_S} / {OBSERVED_S}", "{{provider}}")],
    ),
    Panel(
        *("Where latencies lay", "Below, inside or above the 90 % interval.", "stack", "short"),
        [total(INSIDE, "outcome", f"{{{CHOSEN}}}")],
    ),
    Panel(
        *("Errors over time", "How many finished tasks had which error.", "heat", "percentunit"),
        [Query(f"sum by (le) (increase({ERROR}_bucket{{{CHOSEN}}}{RATE}))", "{{le}}")],
        width=12,
    ),
    Panel(
        *("What is learned", "Runs that predictions learn from; drifts; new probes.", "lines"),
        "short",
        [
            Query(f"sum(rate(acesniper_runs_learned_total{RATE}))", "runs learned"),
            Query(f"sum(rate(acesniper_device_drifts_total{RATE}))", "drifts"),
            Query(f"sum(rate(acesniper_device_reprobes_total{RATE}))", "probed again"),
        ],
        width=12,
    ),
]

WORST = [
    Panel(
        *("Worst predicted devices", "Mean error over the time shown.", "bars", "percentunit"),
        worst("acesniper_device_prediction_error_ratio", "device"),
    ),
    Panel(
        *("Worst predicted models", "Mean error over the time shown.", "bars", "percentunit"),
        worst("acesniper_model_prediction_error_ratio", "model"),
    ),
    Panel(
        *("Noisiest measurements", "Spread of the probe's readings.", "bars", "percentunit"),
        [Query(f"topk(10, {EACH_DEVICE} (acesniper_profile_noise_ratio))", "{{device}}")],
    ),
    Panel(
        *("Largest backlog", "Work promised to a device.", "bars", "s"),
        [Query(f"topk(10, {EACH_DEVICE} (acesniper_backlog_seconds))", "{{device}}")],
        width=12,
    ),
    Panel(
        *("Oldest measurements", "Each is renewed within 30 days.", "bars", "s"),
        [Query(f"topk(10, {EACH_DEVICE} (acesniper_profile_age_seconds))", "{{device}}")],
        width=12,
    ),
]

QUEUE = [
    Panel(
        *("Queue", "Tasks that wait, and those past their deadline.", "lines", "short"),
        [
            Query("max(acesniper_queue_length)", "waiting"),
            Query("max(acesniper_queue_overdue_length)", "past deadline"),
        ],
    ),
    Panel(
        *("Response", "From a task's creation to its success.", "lines", "s"),
        quantiles("acesniper_task_response_seconds"),
    ),
    Panel(
        *("Wait", "From a task's creation to its start.", "lines", "s"),
        quantiles("acesniper_task_wait_seconds"),
    ),
    Panel(
        *("Run time", "Of the attempt that succeeded.", "lines", "s"),
        quantiles("acesniper_task_run_seconds"),
    ),
    Panel(
        *("Cold start", "Container, fetch and load of the model.", "lines", "s"),
        quantiles("acesniper_task_cold_start_seconds"),
    ),
    Panel(
        *("Work promised", "Summed over all devices.", "lines", "s"),
        [Query(f"sum({EACH_DEVICE} (acesniper_backlog_seconds))", "backlog")],
    ),
]

DECISIONS = [
    Panel(
        *("Decisions", "A second, by verb and outcome.", "stack", "short"),
        [total("acesniper_decisions_total", "verb, outcome")],
    ),
    Panel(
        *("Why not as planned", "Refused, failed, expired, or placed as by stock.", "stack"),
        "short",
        [total("acesniper_decisions_total", "outcome, reason", '{reason!=""}')],
    ),
    Panel(
        *("Attempts that failed", "By reason; most are tried again.", "stack", "short"),
        [total("acesniper_task_attempts_failed_total", "reason")],
    ),
    Panel(
        *("Exploration", "Share of admissions that try a less known device.", "lines"),
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
        *("Plans and moves", "Plans made, and waiting tasks that one moved.", "lines", "short"),
        [
            Query(f"sum(rate(acesniper_plan_seconds_count{RATE}))", "plans"),
            Query(f"sum(rate(acesniper_plan_moves_total{RATE}))", "moves"),
        ],
    ),
    Panel(
        *("Without the planner", "Planner away, and tasks let go first come.", "lines", "short"),
        [
            Query("max(acesniper_planner_away)", "planner away"),
            Query(f"sum(rate(acesniper_opened_without_plan_total{RATE}))", "let go"),
        ],
    ),
]

HEALTH = [
    Panel(
        *("Answers to kube-scheduler", "Each is part of a scheduling cycle.", "lines", "s"),
        quantiles("acesniper_extender_request_seconds", "verb"),
    ),
    Panel(
        *("Making a plan", "Beside the answers, never in their way.", "lines", "s"),
        quantiles("acesniper_plan_seconds"),
    ),
    Panel(
        *("Predicting", "What is new in the latency table.", "lines", "s"),
        quantiles("acesniper_predict_seconds", over=RANGE),
    ),
    Panel(
        *("Silence of watches", "Bookmarks come every minute.", "lines", "s"),
        [Query("max by (kind) (acesniper_watch_event_age_seconds)", "{{kind}}")],
    ),
    Panel(
        *("Reconciling", "95th percentile.", "lines", "s"),
        quantiles("acesniper_reconcile_seconds", "kind")[1:],
    ),
    Panel(
        *("Errors of the operator", "Reconciliations that are tried again.", "lines", "short"),
        [total("acesniper_reconcile_errors_total", maybe_none=True)],
    ),
    Panel(
        *("Models read", "By outcome, in all.", "bars", "short"),
        [Query("sum by (outcome) (acesniper_models_profiled_total)", "{{outcome}}")],
    ),
    Panel(
        *("Memory", "Resident.", "lines", "bytes"),
        [Query(f"process_resident_memory_bytes {OURS}", "{{job}}")],
    ),
    Panel(
        *("Processor", "Cores in use.", "lines", "short"),
        [Query(f"rate(process_cpu_seconds_total{RATE}) {OURS}", "{{job}}")],
    ),
]

ROWS: Sequence[tuple[str, Sequence[Panel]]] = (
    ("Fleet", OVERVIEW),
    ("Predicted against observed", PREDICTIONS),
    ("Worst devices and models", WORST),
    ("Queue and response", QUEUE),
    ("Decisions", DECISIONS),
    ("Health of the parts", HEALTH),
)
