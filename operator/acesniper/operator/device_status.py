"""Status of a DeviceProfile: conditions, latency history and drift. Pure functions."""

from collections.abc import Mapping, Sequence
from math import exp, log
from statistics import median

from acesniper.api import convert
from acesniper.api.convert import calibration_text
from acesniper.api.reasons import ConditionType, Notice, Reason
from acesniper.api.units import epoch_s, rfc3339
from acesniper.api.v1alpha1 import (
    Condition,
    DeviceProfile,
    DeviceProfileStatus,
    condition_is_true,
    find_condition,
    with_condition,
)
from acesniper.domain.evidence import (
    NamespaceState,
    confirmed_drift,
    runs_by_namespace,
    shared_shift,
    updated_states,
)
from acesniper.domain.latency_history import (
    MAX_FACTOR,
    ObservedRun,
    is_outlier,
    newest_runs,
)

STATUS_FIELDS = {"conditions", "observations", "namespaces", "calibration", "interval_factor"}
"""Status fields that the operator writes; the probe writes the rest."""


def updated_profile_status(
    profile: DeviceProfile, new_runs: Sequence[ObservedRun], now_s: float
) -> DeviceProfileStatus:
    """The status of a profile after new runs."""
    status, generation = profile.status, profile.metadata.get("generation")
    conditions = device_conditions(profile, now_s)
    runs = newest_runs(convert.observed_runs(status), new_runs)
    measured_s = None if status.measured_at is None else epoch_s(status.measured_at)
    states = updated_states(runs, new_runs, convert.namespace_states(status), measured_s)
    if runs and measured_s is not None:
        conditions = with_drift(conditions, runs, states, measured_s, now_s, generation)
    factors = (log(state.interval_factor) for state in states.values())
    return status.model_copy(
        update={
            "conditions": conditions,
            "observations": convert.to_observations(runs),
            "namespaces": convert.to_namespaces(states, runs),
            "calibration": convert.calibration_text(runs),
            "interval_factor": exp(shared_shift(factors, log(MAX_FACTOR))),
        }
    )


def count_outliers(status: DeviceProfileStatus, new_runs: Sequence[ObservedRun]) -> int:
    """How many new runs are outliers among the runs of their namespace."""
    runs = runs_by_namespace(convert.observed_runs(status))
    return sum(is_outlier(run, runs.get(run.namespace, ())) for run in new_runs)


def is_drifting(status: DeviceProfileStatus) -> bool:
    """Whether the device drifts: at least two namespaces show it."""
    return condition_is_true(status.conditions, ConditionType.DRIFTING)


def drift_notice(before: DeviceProfileStatus, after: DeviceProfileStatus) -> Notice | None:
    """The event about a drift that was found or confirmed between two statuses; else None."""
    was = find_condition(before.conditions, ConditionType.DRIFTING)
    now = find_condition(after.conditions, ConditionType.DRIFTING)
    if now is None or (was is not None and was.reason == now.reason):
        return None
    reason = Reason.parse(now.reason, Reason.LATENCY_AS_PREDICTED)
    if reason is Reason.LATENCY_AS_PREDICTED:
        return None
    return Notice(reason, now.message, warning=True)


def drift_to_measure_s(status: DeviceProfileStatus) -> float | None:
    """Start of the oldest drift that no probe has followed, confirmed or not; else None.

    In seconds since the epoch. Namespaces of which only own containers ran do not count.
    """
    if status.measured_at is None:
        return None
    measured_s, states = epoch_s(status.measured_at), convert.namespace_states(status)
    counted = {run.namespace for run in convert.observed_runs(status) if run.shared}
    starts = [
        state.drift.since_s
        for namespace, state in states.items()
        if namespace in counted and state.drift and state.is_drifting(measured_s)
    ]
    return min(starts, default=None)


STALE_AFTER_S = 30 * 24 * 3600.0
"""Age at which a measurement is Stale: updates and dust change a device within a month."""
NOISY_SPREAD = 0.10
"""Median spread of the readings above which a profile is Noisy."""


def device_conditions(profile: DeviceProfile, now_s: float) -> list[Condition]:
    """The conditions Ready, Stale and Noisy of a profile."""
    status, generation = profile.status, profile.metadata.get("generation")
    conditions = list(status.conditions)
    if not status.readings or status.measured_at is None:
        text = "the node's probe has not reported yet"
        return with_condition(
            conditions, ConditionType.READY, False, Reason.NOT_MEASURED, text, now_s, generation
        )
    text = f"{len(status.readings)} readings of {status.suite} {status.suite_version}"
    conditions = with_condition(
        conditions, ConditionType.READY, True, Reason.MEASURED, text, now_s, generation
    )
    stale = now_s - epoch_s(status.measured_at) > STALE_AFTER_S
    text = "measured over 30 days ago; set spec.reprobe to a new value" if stale else "recent"
    conditions = with_condition(
        conditions,
        ConditionType.STALE,
        stale,
        Reason.PROFILE_EXPIRED if stale else Reason.PROFILE_CURRENT,
        text,
        now_s,
        generation,
    )
    noise = spread(profile)
    noisy = noise > NOISY_SPREAD
    text = f"median spread of the readings is {100 * noise:.1f} %"
    reason = Reason.HIGH_VARIANCE if noisy else Reason.LOW_VARIANCE
    return with_condition(conditions, ConditionType.NOISY, noisy, reason, text, now_s, generation)


def spread(profile: DeviceProfile) -> float:
    """The median spread of the readings; there must be at least one."""
    return median(reading.spread for reading in profile.status.readings.values())


def with_drift(
    conditions: Sequence[Condition],
    runs: Sequence[ObservedRun],
    states: Mapping[str, NamespaceState],
    measured_s: float,
    now_s: float,
    generation: int | None,
) -> list[Condition]:
    """The conditions with `Drifting`: whether observed latencies differ from the predictions."""
    drifting = [name for name, state in states.items() if state.is_drifting(measured_s)]
    drift = confirmed_drift(runs, states, measured_s)
    if drift is not None:
        reason = Reason.LATENCY_DRIFT
        shown = [run for run in runs if run.namespace in drifting and run.at_s >= drift.since_s]
        text = (
            f"since {rfc3339(drift.since_s)} tasks of {len(drifting)} namespaces take"
            f" {calibration_text(shown)}; it is probed again"
        )
    elif drifting:
        reason = Reason.LATENCY_DRIFT_UNCONFIRMED
        shown = [run for run in runs if run.namespace == drifting[0]]
        text = (
            f"tasks of namespace {drifting[0]} take {calibration_text(shown)}; no other namespace"
            " confirms it; it is probed again"
        )
    else:
        reason, text = Reason.LATENCY_AS_PREDICTED, "observed latencies match the predictions"
    return with_condition(
        conditions, ConditionType.DRIFTING, drift is not None, reason, text, now_s, generation
    )
