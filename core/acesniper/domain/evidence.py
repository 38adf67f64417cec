"""What namespaces observed of a device, and how far one namespace may shift what others expect.

Every namespace may report wrong latencies. A namespace therefore sees its own observations in full,
and of the others only the median of what each of them shows, with the prediction from the probe as
one more voter. All shifts are in log seconds against the prediction from the probe alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log

from acesniper.domain.latency_history import (
    Drift,
    ObservedLatency,
    ObservedRun,
    adapted_factor,
    find_drift,
    observed_latencies,
)

SHARED_BOUND = log(2.0)
"""Most that all other namespaces together shift what a namespace expects: a factor of 2."""
OWN_BOUND = log(32.0)
"""Most that a namespace's own observations shift what it expects: a factor of 32."""
CONFIRMING_NAMESPACES = 2
"""Namespaces that have to show a drift before a device counts as drifting."""


def shared_shift(shifts: Iterable[float], bound: float = SHARED_BOUND) -> float:
    """The shift that namespaces agree on: their median, with one more voter for no shift.

    Each shift is limited to `bound`. Of two middle values, the one nearer to zero counts, and none
    if their signs differ. A single namespace therefore shifts nothing; if at most as many
    namespaces lie as are honest, the result is between zero and what honest ones show.
    """
    voters = sorted([0.0, *(min(max(shift, -bound), bound) for shift in shifts)])
    low, high = voters[(len(voters) - 1) // 2], voters[len(voters) // 2]
    if low * high <= 0.0:
        return 0.0
    return min(low, high, key=abs)


@dataclass(frozen=True, slots=True)
class NamespaceHistory:
    """Latencies that the tasks of one namespace observed on a device.

    Attributes:
        own: latencies that the namespace itself learns from.
        shared: latencies that others learn from: without those of the namespace's own containers.
        drifted: whether they have drifted since the device was probed.
        interval_factor: factor by which the namespace's intervals are wider than usual.
    """

    namespace: str
    own: tuple[ObservedLatency, ...] = ()
    shared: tuple[ObservedLatency, ...] = ()
    drifted: bool = False
    interval_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class NamespaceState:
    """State of a namespace on a device, in addition to its runs.

    `drift` is its latest drift; it lasts until the device is probed again.
    """

    interval_factor: float = 1.0
    drift: Drift | None = None

    def is_drifting(self, measured_s: float) -> bool:
        """Whether the device has not been probed since the drift began."""
        return self.drift is not None and self.drift.since_s > measured_s


NO_STATE = NamespaceState()


def runs_by_namespace(runs: Iterable[ObservedRun]) -> dict[str, list[ObservedRun]]:
    """The runs of each namespace, in the same order."""
    grouped: dict[str, list[ObservedRun]] = {}
    for run in runs:
        grouped.setdefault(run.namespace, []).append(run)
    return grouped


def namespace_histories(
    runs: Sequence[ObservedRun], states: Mapping[str, NamespaceState], measured_s: float
) -> tuple[NamespaceHistory, ...]:
    """The history of each namespace, sorted by name."""
    histories = []
    for namespace, own in sorted(runs_by_namespace(runs).items()):
        state = states.get(namespace, NO_STATE)
        changed_s = state.drift.since_s if state.drift is not None else None
        shared = [run for run in own if run.shared]
        histories.append(
            NamespaceHistory(
                namespace,
                tuple(observed_latencies(own, changed_s)),
                tuple(observed_latencies(shared, changed_s)),
                state.is_drifting(measured_s),
                state.interval_factor,
            )
        )
    return tuple(histories)


def updated_states(
    runs: Sequence[ObservedRun],
    new_runs: Iterable[ObservedRun],
    states: Mapping[str, NamespaceState],
    measured_s: float | None,
) -> dict[str, NamespaceState]:
    """The states of the namespaces in `runs` after `new_runs`, sorted by name.

    `measured_s` is when the device was probed, in seconds since the epoch; None if it was not.
    """
    missed: dict[str, list[bool]] = {}
    for run in new_runs:
        missed.setdefault(run.namespace, []).append(run.missed)
    updated = {}
    for namespace, own in sorted(runs_by_namespace(runs).items()):
        state = states.get(namespace, NO_STATE)
        found = None if measured_s is None else find_drift(own, measured_s)
        factor = adapted_factor(state.interval_factor, missed.get(namespace, ()))
        updated[namespace] = NamespaceState(factor, found or state.drift)
    return updated


def confirmed_drift(
    runs: Iterable[ObservedRun], states: Mapping[str, NamespaceState], measured_s: float
) -> Drift | None:
    """The drift that at least two namespaces show in the same direction; otherwise None.

    Namespaces whose runs are all of their own containers do not count. The start is that of the
    second namespace.
    """
    counted = {run.namespace for run in runs if run.shared}
    drifts = [
        state.drift
        for namespace, state in states.items()
        if namespace in counted and state.drift is not None and state.is_drifting(measured_s)
    ]
    for slower in (True, False):
        agreeing = sorted(drift.since_s for drift in drifts if drift.slower is slower)
        if len(agreeing) >= CONFIRMING_NAMESPACES:
            return Drift(agreeing[CONFIRMING_NAMESPACES - 1], slower=slower)
    return None
