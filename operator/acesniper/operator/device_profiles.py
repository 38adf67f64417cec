"""Reconciles DeviceProfiles and the slots of their nodes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from acesniper.api import convert
from acesniper.api.conditions import condition_is_true, find_condition, with_condition
from acesniper.api.convert import calibration_text
from acesniper.api.names import DEVICE_PROFILES, NODES, SLOT_RESOURCE
from acesniper.api.reasons import ConditionType, Notice, Reason
from acesniper.api.units import epoch_s, parse_count, rfc3339
from acesniper.api.v1alpha1 import Condition, DeviceProfile, DeviceProfileStatus, InferenceTask
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

OURS = {"conditions", "observations", "calibration", "interval_factor", "learns_from"}
"""What the operator writes of a profile's status; the probe writes the rest."""


@dataclass(slots=True)
class DeviceReconciler:
    """What a profile learns, its conditions, and the extended resource of its node."""

    cluster: Cluster
    store: ObjectCache
    metrics: OperatorMetrics
    events: EventRecorder
    clock: Callable[[], float]
    _runs: dict[DeviceId, list[ObservedRun]] = field(default_factory=dict)
    """Runs that were noted and are not in the profile yet."""

    def note(self, task: InferenceTask) -> DeviceId | None:
        """Take note of what a finished task tells; returns the device that learns from it.

        Tasks are seen again and again: what its profile remembers already teaches nothing.
        """
        found = convert.finished_run(task)
        if found is None or (profile := self.store.devices.get(found[0])) is None:
            return None
        device, run = found
        known = convert.observed_runs(profile.status)
        new = [*self._runs.get(device, ()), run]
        taught = newest_runs(known, new) != newest_runs(known, new[:-1])
        if not taught or not runs_since_change(profile.status, [run]):
            return None
        self._runs[device] = new
        return device

    async def reconcile(self, name: str) -> float | None:
        """Bring a profile's status up to date; returns when it will be stale, in seconds."""
        profile = self.store.devices.get(name)
        if profile is None:
            return None
        now_s = self.clock()
        noted = self._runs.pop(DeviceId(name), [])
        status = updated_profile_status(profile, noted, now_s)
        self._measure(profile)
        if status != profile.status:
            try:
                await self._write(profile, status)
            except NotFound:
                # Deleted while no watch was looking: its node has fewer slots.
                self.store.delete_device({"metadata": profile.metadata})
                await self.reconcile_node(profile.spec.node)
                return None
            except BaseException:
                # Also where this is cancelled: what was noted is to be written the next time.
                self._runs[DeviceId(name)] = [*noted, *self._runs.get(DeviceId(name), ())]
                raise
        self.metrics.runs_learned.inc(len(noted))
        known = convert.observed_runs(status)
        self.metrics.runs_doubted.inc(sum(is_outlier(run, known) for run in noted))
        wish = f"drift-{status.learns_from}"
        if condition_is_true(status.conditions, ConditionType.DRIFTING) and not _asked(
            profile, wish
        ):
            await self._reprobe(profile, status, wish, now_s)
        if status.measured_at is None:
            return None
        left_s = epoch_s(status.measured_at) + STALE_AFTER_S - now_s
        return left_s if left_s > 0 else None

    def _measure(self, profile: DeviceProfile) -> None:
        """Show how noisy the measurement was."""
        if profile.status.readings:
            noise = self.metrics.profile_noise.labels(profile.metadata["name"])
            noise.set(spread(profile))

    async def _write(self, profile: DeviceProfile, status: DeviceProfileStatus) -> None:
        """Write what is ours; the probe writes the rest."""
        wanted = status.model_dump(by_alias=True, mode="json", include=OURS)
        name = profile.metadata["name"]
        written = await self.cluster.patch(
            DEVICE_PROFILES, name, None, {"status": wanted}, subresource="status"
        )
        self.store.expect_event("DeviceProfile", profile.metadata, written["metadata"])
        self.store.upsert_device(written)

    async def _reprobe(
        self, profile: DeviceProfile, status: DeviceProfileStatus, wish: str, now_s: float
    ) -> None:
        """Ask the node to measure itself again, and say so."""
        condition = find_condition(status.conditions, ConditionType.DRIFTING)
        patch = {"spec": {"reprobe": wish}}
        asked = await self.cluster.patch(DEVICE_PROFILES, profile.metadata["name"], None, patch)
        self.store.upsert_device(asked)
        self.metrics.drifts.inc()
        if condition is not None:
            notice = Notice(Reason.LATENCY_DRIFT, condition.message, warning=True)
            await self.events.record("DeviceProfile", profile.metadata, notice, now_s)

    async def reconcile_node(self, name: str) -> None:
        """Give a node as many slots as its devices have; a node without devices loses them."""
        node = self.store.nodes.get(name)
        if node is None:
            return
        wanted = self.store.node_slots(name)
        status = node.get("status", {})
        offered = [(status.get(each) or {}) for each in ("capacity", "allocatable")]
        if all(parse_count(each.get(SLOT_RESOURCE)) == wanted for each in offered):
            return
        slots = {SLOT_RESOURCE: str(wanted)}
        patch = {"status": {"capacity": slots, "allocatable": slots}}
        await self.cluster.patch(NODES, name, None, patch, subresource="status")


def _asked(profile: DeviceProfile, wish: str) -> bool:
    """Whether the node was asked for this, or for anything that it has not answered yet."""
    asked = profile.spec.reprobe
    return bool(asked) and (asked == wish or asked != profile.status.reprobed)


def runs_since_change(
    status: DeviceProfileStatus, runs: Iterable[ObservedRun]
) -> list[ObservedRun]:
    """Runs that say something of the device as it is now."""
    since_s = epoch_s(status.learns_from) if status.learns_from else 0.0
    return [run for run in runs if run.at_s >= since_s]


def _awaits_probe(status: DeviceProfileStatus) -> float | None:
    """Since when a device that was found drifting has not been measured anew."""
    if not condition_is_true(status.conditions, ConditionType.DRIFTING) or not (
        status.learns_from and status.measured_at
    ):
        return None
    since_s = epoch_s(status.learns_from)
    return since_s if since_s > epoch_s(status.measured_at) else None


def updated_profile_status(
    profile: DeviceProfile, noted: Sequence[ObservedRun], now_s: float
) -> DeviceProfileStatus:
    """The status a profile should have now, after the runs that were noted."""
    status, generation = profile.status, profile.metadata.get("generation")
    conditions, learns_from = device_conditions(profile, now_s), status.learns_from
    runs = newest_runs(convert.observed_runs(status), runs_since_change(status, noted))
    if runs and status.measured_at is not None:
        since_s = drift_start_s(runs, epoch_s(status.measured_at)) or _awaits_probe(status)
        if since_s is not None:
            # What it took before it changed misleads from now on.
            runs = tuple(run for run in runs if run.at_s >= since_s)
            learns_from = rfc3339(since_s)
        conditions = with_drift(conditions, runs, since_s, now_s, generation)
    return status.model_copy(
        update={
            "conditions": conditions,
            "observations": convert.to_observations(runs),
            "calibration": convert.calibration_text(runs),
            "interval_factor": adapted_factor(
                status.interval_factor, (run.missed for run in noted)
            ),
            "learns_from": learns_from,
        }
    )


STALE_AFTER_S = 30 * 24 * 3600.0
"""A measurement older than this is Stale: system updates and dust change a device in a month."""
NOISY_SPREAD = 0.10
"""A profile is Noisy when its readings' median spread is above this."""


def device_conditions(profile: DeviceProfile, now_s: float) -> list[Condition]:
    """The conditions a profile should have now."""
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
    """The median spread of a profile's readings; it has some."""
    return median(each.spread for each in profile.status.readings.values())


def with_drift(
    conditions: Sequence[Condition],
    runs: Sequence[ObservedRun],
    since_s: float | None,
    now_s: float,
    generation: int | None,
) -> list[Condition]:
    """The conditions with `Drifting`: whether its tasks miss what its measurement lets expect."""
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
