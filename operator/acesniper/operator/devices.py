"""Reconciles DeviceProfiles and the slots of their nodes."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from acesniper.api.conditions import with_condition
from acesniper.api.names import SLOT_RESOURCE
from acesniper.api.quantity import count
from acesniper.api.times import epoch_s
from acesniper.api.v1alpha1 import Condition, DeviceProfile
from acesniper.operator.store import Store
from acesniper.runtime.kube import DEVICE_PROFILES, NODES, Cluster, NotFound

STALE_AFTER_S = 30 * 24 * 3600.0
"""A measurement older than this is Stale: system updates and dust change a device in a month."""
NOISY_SPREAD = 0.10
"""A profile is Noisy when its readings' median spread is above this."""


@dataclass(slots=True)
class DeviceReconciler:
    """Conditions of a profile, and the extended resource of its node."""

    cluster: Cluster
    store: Store
    clock: Callable[[], float]

    async def reconcile(self, name: str) -> float | None:
        """Bring a profile's conditions up to date; returns when it will be stale, in seconds."""
        profile = self.store.devices.get(name)
        if profile is None:
            return None
        now_s = self.clock()
        conditions = judged(profile, now_s)
        if conditions != profile.status.conditions:
            shown = [each.model_dump(by_alias=True, mode="json") for each in conditions]
            patch = {"status": {"conditions": shown}}
            try:
                written = await self.cluster.patch(
                    DEVICE_PROFILES, name, None, patch, subresource="status"
                )
            except NotFound:
                # Deleted while no watch was looking: its node has fewer slots.
                self.store.drop_device({"metadata": profile.metadata})
                await self.reconcile_node(profile.spec.node)
                return None
            self.store.take_device(written)
        if profile.status.measured_at is None:
            return None
        left_s = epoch_s(profile.status.measured_at) + STALE_AFTER_S - now_s
        return left_s if left_s > 0 else None

    async def reconcile_node(self, name: str) -> None:
        """Give a node as many slots as its devices have; a node without devices loses them."""
        node = self.store.nodes.get(name)
        if node is None:
            return
        wanted = self.store.slots_of(name)
        status = node.get("status", {})
        offered = [(status.get(each) or {}) for each in ("capacity", "allocatable")]
        if all(count(each.get(SLOT_RESOURCE)) == wanted for each in offered):
            return
        slots = {SLOT_RESOURCE: str(wanted)}
        patch = {"status": {"capacity": slots, "allocatable": slots}}
        await self.cluster.patch(NODES, name, None, patch, subresource="status")


def judged(profile: DeviceProfile, now_s: float) -> list[Condition]:
    """The conditions a profile should have now."""
    status, generation = profile.status, profile.metadata.get("generation")
    conditions = list(status.conditions)
    if not status.readings or status.measured_at is None:
        text = "the node's probe has not reported yet"
        return with_condition(conditions, "Ready", False, "NotMeasured", text, now_s, generation)
    text = f"{len(status.readings)} readings of {status.suite} {status.suite_version}"
    conditions = with_condition(conditions, "Ready", True, "Measured", text, now_s, generation)
    stale = now_s - epoch_s(status.measured_at) > STALE_AFTER_S
    text = "measured over 30 days ago; set spec.reprobe to a new value" if stale else "recent"
    conditions = with_condition(
        conditions, "Stale", stale, "Old" if stale else "Recent", text, now_s, generation
    )
    spread = median(each.spread for each in status.readings.values())
    noisy = spread > NOISY_SPREAD
    text = f"median spread of the readings is {100 * spread:.1f} %"
    reason = "Spread" if noisy else "Steady"
    return with_condition(conditions, "Noisy", noisy, reason, text, now_s, generation)
