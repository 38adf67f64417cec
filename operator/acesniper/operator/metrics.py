"""The operator's metrics, declared in one place."""

from dataclasses import dataclass
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

ERROR_BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0)
WAIT_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, slots=True)
class OperatorMetrics:
    """Instruments on one registry."""

    phases: Counter
    prediction_error_ratio: Histogram
    intervals: Counter
    wait_seconds: Histogram
    response_seconds: Histogram
    run_seconds: Histogram
    load_seconds: Histogram
    attempts_failed: Counter
    endings: Counter
    deadlines: Counter
    reconcile_seconds: Histogram
    reconcile_errors: Counter
    models: Counter
    last_event_seconds: Gauge
    runs_learned: Counter
    planner_away: Gauge
    opened_without_plan: Counter
    drifts: Counter
    profile_noise: Gauge
    leading: Gauge

    @classmethod
    def on(cls, registry: CollectorRegistry) -> Self:
        """Declare all instruments on a registry."""
        return cls(
            phases=Counter(
                "acesniper_task_phases",
                "Tasks that entered a phase.",
                ["phase"],
                registry=registry,
            ),
            prediction_error_ratio=Histogram(
                "acesniper_prediction_error_ratio",
                "|predicted - observed| / observed latency of finished tasks.",
                ["provider"],
                registry=registry,
                buckets=ERROR_BUCKETS,
            ),
            intervals=Counter(
                "acesniper_prediction_intervals",
                "Finished tasks by where their latency lay in the 90 % interval predicted: below, "
                "inside or above.",
                ["provider", "outcome"],
                registry=registry,
            ),
            wait_seconds=Histogram(
                "acesniper_task_wait_seconds",
                "From a task's creation to the start of the attempt that succeeded.",
                registry=registry,
                buckets=WAIT_BUCKETS,
            ),
            response_seconds=Histogram(
                "acesniper_task_response_seconds",
                "From a task's creation to its success.",
                registry=registry,
                buckets=WAIT_BUCKETS,
            ),
            run_seconds=Histogram(
                "acesniper_task_run_seconds",
                "From the start to the end of the attempt that succeeded.",
                registry=registry,
                buckets=WAIT_BUCKETS,
            ),
            load_seconds=Histogram(
                "acesniper_task_load_seconds",
                "Time to load the model, as the runner measured it.",
                registry=registry,
                buckets=WAIT_BUCKETS,
            ),
            attempts_failed=Counter(
                "acesniper_task_attempts_failed",
                "Attempts that failed, by reason.",
                ["reason"],
                registry=registry,
            ),
            endings=Counter(
                "acesniper_task_endings",
                "Tasks that ended, by how: see docs/reference/endings.md.",
                ["reason"],
                registry=registry,
            ),
            deadlines=Counter(
                "acesniper_task_deadlines",
                "Tasks with a deadline that succeeded, by whether in time: met or missed.",
                ["outcome"],
                registry=registry,
            ),
            reconcile_seconds=Histogram(
                "acesniper_reconcile_seconds",
                "Time to reconcile an object.",
                ["kind"],
                registry=registry,
            ),
            reconcile_errors=Counter(
                "acesniper_reconcile_errors",
                "Reconciliations that failed and are tried again.",
                ["kind"],
                registry=registry,
            ),
            models=Counter(
                "acesniper_models_profiled",
                "Models that were read, by outcome.",
                ["outcome"],
                registry=registry,
            ),
            planner_away=Gauge(
                "acesniper_planner_away",
                "1 while the planner's lease is stale and tasks start first come, first served.",
                registry=registry,
            ),
            opened_without_plan=Counter(
                "acesniper_opened_without_plan",
                "Pods whose gate was opened while the planner was away.",
                registry=registry,
            ),
            last_event_seconds=Gauge(
                "acesniper_watch_last_event_timestamp_seconds",
                "When the last event of a kind came, in seconds since the epoch.",
                ["kind"],
                registry=registry,
            ),
            runs_learned=Counter(
                "acesniper_runs_learned",
                "Finished tasks that predictions for their device learn from.",
                registry=registry,
            ),
            drifts=Counter(
                "acesniper_device_drifts",
                "Devices found to be another than was measured; each is probed again.",
                registry=registry,
            ),
            profile_noise=Gauge(
                "acesniper_profile_noise_ratio",
                "Median spread of a device's readings: interquartile range over median.",
                ["device"],
                registry=registry,
            ),
            leading=Gauge(
                "acesniper_operator_leading",
                "1 for the operator that holds the lease and acts, 0 for one that stands by.",
                registry=registry,
            ),
        )
