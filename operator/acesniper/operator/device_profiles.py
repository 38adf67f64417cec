"""Reconciles DeviceProfiles and the slots of their nodes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from acesniper.api import convert
from acesniper.api.convert import calibration_text
from acesniper.api.names import DEVICE_PROFILES, NODES, SLOT_RESOURCE
from acesniper.api.reasons import ConditionType, Notice, Reason
from acesniper.api.units import epoch_s, parse_count, rfc3339
from acesniper.api.v1alpha1 import (
    Condition,
    DeviceProfile,
    DeviceProfileStatus,
    InferenceTask,
    condition_is_true,
    find_condition,
    with_condition,
)
from acesniper.domain.device import DeviceId
from acesniper.domain.errors import NotFound
from acesniper.domain.latency_history import (
    ObservedRun,
    adapted_factor,
    drift_start_s,
    is_outlier,
    newest_runs,
)
from acesniper.operator.cache import ObjectCache
from acesniper.operator.metrics import OperatorMetrics
from acesniper.runtime.client import Cluster
from acesniper.runtime.events import EventRecorder

OPERATOR_FIELDS = {"conditions", "observations", "calibration", "interval_factor", "learns_from"}
"""Status fields that the operator writes; the probe writes the rest."""


@dataclass(slots=True)
class DeviceReconciler:
    """Reconciles a profile's observed runs and conditions, and the slots of its node."""

    cluster: Cluster
    store: ObjectCache
    metrics: OperatorMetrics
    events: EventRecorder
    clock: Callable[[], float]
    _runs: dict[DeviceId, list[ObservedRun]] = field(default_factory=dict)
    """Observed runs that are not written into their profile yet."""

    def note(self, task: InferenceTask) -> DeviceId | None:
        """Record the run of a finished task; returns its device if the run is new.

        A task is delivered many times: a run that its profile holds already is ignored.
        """
        finished = convert.finished_run(task)
        if finished is None or (profile := self.store.devices.get(finished[0])) is None:
            return None
        device, run = finished
        observed = convert.observed_runs(profile.status)
        new = [*self._runs.get(device, ()), run]
        is_new = newest_runs(observed, new) != newest_runs(observed, new[:-1])
        if not is_new or not runs_since_change(profile.status, [run]):
            return None
        self._runs[device] = new
        return device

    async def reconcile(self, name: str) -> float | None:
        """Update a profile's status; returns the seconds until it is stale."""
        profile = self.store.devices.get(name)
        if profile is None:
            return None
        now_s = self.clock()
        new_runs = self._runs.pop(DeviceId(name), [])
        status = updated_profile_status(profile, new_runs, now_s)
        self._set_noise(profile)
        if status != profile.status:
            try:
                await self._write(profile, status)
            except NotFound:
                # The watch missed the deletion: its node has fewer slots.
                self.store.delete_device({"metadata": profile.metadata})
                await self.reconcile_node(profile.spec.node)
                return None
            except BaseException:
                # Also on cancellation: the next call writes these runs.
                self._runs[DeviceId(name)] = [*new_runs, *self._runs.get(DeviceId(name), ())]
                raise
        self.metrics.runs_learned.inc(len(new_runs))
        observed = convert.observed_runs(status)
        self.metrics.runs_discounted.inc(sum(is_outlier(run, observed) for run in new_runs))
        request = f"drift-{status.learns_from}"
        if condition_is_true(status.conditions, ConditionType.DRIFTING) and not _reprobe_requested(
            profile, request
        ):
            await self._reprobe(profile, status, request, now_s)
        if status.measured_at is None:
            return None
        left_s = epoch_s(status.measured_at) + STALE_AFTER_S - now_s
        return left_s if left_s > 0 else None

    def _set_noise(self, profile: DeviceProfile) -> None:
        """Export the median spread of the readings."""
        if profile.status.readings:
            noise = self.metrics.profile_noise.labels(profile.metadata["name"])
            noise.set(spread(profile))

    async def _write(self, profile: DeviceProfile, status: DeviceProfileStatus) -> None:
        """Write the operator's status fields."""
        fields = status.model_dump(by_alias=True, mode="json", include=OPERATOR_FIELDS)
        name = profile.metadata["name"]
        written = await self.cluster.patch(
            DEVICE_PROFILES, name, None, {"status": fields}, subresource="status"
        )
        self.store.expect_event("DeviceProfile", profile.metadata, written["metadata"])
        self.store.upsert_device(written)

    async def _reprobe(
        self, profile: DeviceProfile, status: DeviceProfileStatus, request: str, now_s: float
    ) -> None:
        """Request another probe of the device, and record an event."""
        condition = find_condition(status.conditions, ConditionType.DRIFTING)
        patch = {"spec": {"reprobe": request}}
        patched = await self.cluster.patch(DEVICE_PROFILES, profile.metadata["name"], None, patch)
        self.store.upsert_device(patched)
        self.metrics.drifts.inc()
        if condition is not None:
            notice = Notice(Reason.LATENCY_DRIFT, condition.message, warning=True)
            await self.events.record("DeviceProfile", profile.metadata, notice, now_s)

    async def reconcile_node(self, name: str) -> None:
        """Set a node's slots to those of its devices; none without devices."""
        node = self.store.nodes.get(name)
        if node is None:
            return
        count = self.store.node_slots(name)
        status = node.get("status", {})
        resources = [(status.get(field_name) or {}) for field_name in ("capacity", "allocatable")]
        if all(parse_count(quantities.get(SLOT_RESOURCE)) == count for quantities in resources):
            return
        slots = {SLOT_RESOURCE: str(count)}
        patch = {"status": {"capacity": slots, "allocatable": slots}}
        await self.cluster.patch(NODES, name, None, patch, subresource="status")


def _reprobe_requested(profile: DeviceProfile, request: str) -> bool:
    """Whether this re-probe was requested already, or another one is still pending."""
    requested = profile.spec.reprobe
    return bool(requested) and (requested == request or requested != profile.status.reprobed)


def runs_since_change(
    status: DeviceProfileStatus, runs: Iterable[ObservedRun]
) -> list[ObservedRun]:
    """Runs since the device last changed: those that describe its present state."""
    since_s = epoch_s(status.learns_from) if status.learns_from else 0.0
    return [run for run in runs if run.at_s >= since_s]


def _awaits_probe(status: DeviceProfileStatus) -> float | None:
    """Start of a drift that no probe has followed yet, in seconds since the epoch; else None."""
    if not condition_is_true(status.conditions, ConditionType.DRIFTING) or not (
        status.learns_from and status.measured_at
    ):
        return None
    since_s = epoch_s(status.learns_from)
    return since_s if since_s > epoch_s(status.measured_at) else None


def updated_profile_status(
    profile: DeviceProfile, new_runs: Sequence[ObservedRun], now_s: float
) -> DeviceProfileStatus:
    """The status of a profile after new runs."""
    status, generation = profile.status, profile.metadata.get("generation")
    conditions, learns_from = device_conditions(profile, now_s), status.learns_from
    runs = newest_runs(convert.observed_runs(status), runs_since_change(status, new_runs))
    if runs and status.measured_at is not None:
        since_s = drift_start_s(runs, epoch_s(status.measured_at)) or _awaits_probe(status)
        if since_s is not None:
            # Latencies from before the change no longer describe the device.
            runs = tuple(run for run in runs if run.at_s >= since_s)
            learns_from = rfc3339(since_s)
        conditions = with_drift(conditions, runs, since_s, now_s, generation)
    return status.model_copy(
        update={
            "conditions": conditions,
            "observations": convert.to_observations(runs),
            "calibration": convert.calibration_text(runs),
            "interval_factor": adapted_factor(
                status.interval_factor, (run.missed for run in new_runs)
            ),
            "learns_from": learns_from,
        }
    )


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
    since_s: float | None,
    now_s: float,
    generation: int | None,
) -> list[Condition]:
    """The conditions with `Drifting`: whether observed latencies differ from the predictions."""
    if since_s is None:
        text = "observed latencies match the predictions"
        return with_condition(
            conditions,
            ConditionType.DRIFTING,
            False,
            Reason.LATENCY_AS_PREDICTED,
            text,
            now_s,
            generation,
        )
    text = f"since {rfc3339(since_s)} its tasks take {calibration_text(runs)}; it is probed again"
    return with_condition(
        conditions, ConditionType.DRIFTING, True, Reason.LATENCY_DRIFT, text, now_s, generation
    )
