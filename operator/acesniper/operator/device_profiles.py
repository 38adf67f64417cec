"""Reconciles DeviceProfiles and the slots of their nodes."""

from collections.abc import Callable
from dataclasses import dataclass, field

from acesniper.api import convert
from acesniper.api.names import DEVICE_PROFILES, NODES, REPROBE_ANNOTATION, SLOT_RESOURCE
from acesniper.api.units import epoch_s, parse_count, rfc3339
from acesniper.api.v1alpha1 import (
    DeviceProfile,
    DeviceProfileStatus,
    InferenceTask,
)
from acesniper.domain.device import DeviceId
from acesniper.domain.errors import NotFound
from acesniper.domain.latency_history import ObservedRun, newest_runs
from acesniper.operator import device_status
from acesniper.operator.cache import ObjectCache
from acesniper.operator.metrics import OperatorMetrics
from acesniper.runtime.client import Cluster
from acesniper.runtime.events import EventRecorder

REPROBE_INTERVAL_S = 6 * 3600.0
"""Shortest time between two probes of a device that drift requests: tasks cause it."""


@dataclass(slots=True)
class DeviceReconciler:
    """Reconciles a profile's observed runs and conditions, and the slots of its node."""

    cluster: Cluster
    store: ObjectCache
    metrics: OperatorMetrics
    events: EventRecorder
    clock: Callable[[], float]
    learn_from_containers: bool = False
    """Learn from containers other than our runner, for their namespace alone."""
    _runs: dict[DeviceId, list[ObservedRun]] = field(default_factory=dict)
    """Observed runs that are not written into their profile yet."""

    def note(self, task: InferenceTask) -> DeviceId | None:
        """Record the run of a finished task; returns its device if the run is new.

        A task is delivered many times: a run that its profile holds already is ignored. So is one
        on another node than the device's: the device is named by the pod's annotations.
        """
        finished = convert.finished_run(task)
        if finished is None or (profile := self.store.devices.get(finished[0])) is None:
            return None
        device, run = finished
        learned = run.shared or self.learn_from_containers
        if not learned or task.status.node != profile.spec.node:
            return None
        observed = convert.observed_runs(profile.status)
        new = [*self._runs.get(device, ()), run]
        if newest_runs(observed, new) == newest_runs(observed, new[:-1]):
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
        status = device_status.updated_profile_status(profile, new_runs, now_s)
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
        self.metrics.runs_discounted.inc(device_status.count_outliers(status, new_runs))
        await self._report_drift(profile, status, now_s)
        probe_in_s = await self._measure_drift(name, status, now_s)
        if status.measured_at is None:
            return None
        stale_in_s = epoch_s(status.measured_at) + device_status.STALE_AFTER_S - now_s
        return min((left_s for left_s in (stale_in_s, probe_in_s) if left_s > 0), default=None)

    def _set_noise(self, profile: DeviceProfile) -> None:
        """Export the median spread of the readings."""
        if profile.status.readings:
            noise = self.metrics.profile_noise.labels(profile.metadata["name"])
            noise.set(device_status.spread(profile))

    async def _write(self, profile: DeviceProfile, status: DeviceProfileStatus) -> None:
        """Write the operator's status fields."""
        fields = status.model_dump(by_alias=True, mode="json", include=device_status.STATUS_FIELDS)
        # Fields of list entries are left out, not null: the API server does not remove those.
        fields["namespaces"] = [
            entry.model_dump(by_alias=True, mode="json", exclude_none=True)
            for entry in status.namespaces
        ]
        name = profile.metadata["name"]
        written = await self.cluster.patch(
            DEVICE_PROFILES, name, None, {"status": fields}, subresource="status"
        )
        self.store.expect_event("DeviceProfile", profile.metadata, written["metadata"])
        self.store.upsert_device(written)

    async def _report_drift(
        self, before: DeviceProfile, status: DeviceProfileStatus, now_s: float
    ) -> None:
        """Record an event about a drift that was found or confirmed now."""
        notice = device_status.drift_notice(before.status, status)
        if notice is None:
            return
        if device_status.is_drifting(status):
            self.metrics.drifts.inc()
        await self.events.record("DeviceProfile", before.metadata, notice, now_s)

    async def _measure_drift(self, name: str, status: DeviceProfileStatus, now_s: float) -> float:
        """Request another probe of a device that drifts, at most one per REPROBE_INTERVAL_S.

        Returns the seconds until it can be requested; 0 if there is nothing to request.
        """
        since_s, profile = device_status.drift_to_measure_s(status), self.store.devices[name]
        request = f"drift-{rfc3339(since_s)}" if since_s is not None else ""
        if since_s is None or _reprobe_requested(profile, request):
            return 0.0
        left_s = _next_reprobe_s(profile) - now_s
        if left_s > 0:
            return left_s
        # One patch: a request without its time would not count against the next one.
        requested_at = {"annotations": {REPROBE_ANNOTATION: rfc3339(now_s)}}
        patch = {"metadata": requested_at, "spec": {"reprobe": request}}
        self.store.upsert_device(await self.cluster.patch(DEVICE_PROFILES, name, None, patch))
        return 0.0

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


def _next_reprobe_s(profile: DeviceProfile) -> float:
    """When another probe may be requested for drift, in seconds since the epoch."""
    requested_at = (profile.metadata.get("annotations") or {}).get(REPROBE_ANNOTATION)
    try:
        return epoch_s(requested_at) + REPROBE_INTERVAL_S if requested_at else 0.0
    except ValueError:
        return 0.0
