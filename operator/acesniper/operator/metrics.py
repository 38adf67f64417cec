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
    wait_seconds: Histogram
    reconcile_seconds: Histogram
    reconcile_errors: Counter
    models: Counter
    last_event_seconds: Gauge
    interval_hits: Counter
    drifts: Counter

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
                registry=registry,
                buckets=ERROR_BUCKETS,
            ),
            wait_seconds=Histogram(
                "acesniper_task_wait_seconds",
                "From a task's creation to the start of the attempt that succeeded.",
                registry=registry,
                buckets=WAIT_BUCKETS,
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
            last_event_seconds=Gauge(
                "acesniper_watch_last_event_timestamp_seconds",
                "When the last event of a kind came, in seconds since the epoch.",
                ["kind"],
                registry=registry,
            ),
            interval_hits=Counter(
                "acesniper_prediction_intervals",
                "Finished tasks by whether the 90 % interval held (below, inside, above).",
                ["outcome"],
                registry=registry,
            ),
            drifts=Counter(
                "acesniper_device_drifts",
                "Devices found to be another than was measured; each is probed again.",
                registry=registry,
            ),
        )
