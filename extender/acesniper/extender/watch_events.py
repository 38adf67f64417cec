"""Applies watch events to the cluster cache: one method per watched kind."""

from dataclasses import dataclass, replace

from acesniper.api import convert
from acesniper.api.names import Kind
from acesniper.api.objects import Json, NodeView, PodView, object_key
from acesniper.api.units import epoch_s
from acesniper.api.v1alpha1 import FINISHED, DeviceProfile, InferenceTask, ModelProfile
from acesniper.domain.device import DeviceId, NodeName
from acesniper.domain.reservations import PodUid
from acesniper.domain.task import ModelKey, TaskKey
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.cache.reservations import RemainingTime
from acesniper.predictor.namespaces import MeasuredDevice
from acesniper.runtime.skipped import DELETE


@dataclass(frozen=True, slots=True)
class WatchEvents:
    """Handlers of a reflector: each receives the change (UPSERT or DELETE) and the object."""

    cache: ClusterCache

    def node(self, change: str, node: Json) -> None:
        """Apply a node: its readiness and labels decide what its devices can run."""
        cache, name = self.cache, NodeName(node["metadata"]["name"])
        cache.cold_starts.set_node(name, None if change == DELETE else node)
        current = None if change == DELETE else node
        rules_changed = cache.pending.rules.set_node(name, current)
        if cache.devices.set_node(name, NodeView.of(current) if current else None) or rules_changed:
            cache.invalidate_devices((name,), (name,))

    def volume(self, kind: Kind, change: str, manifest: Json) -> None:
        """Apply a volume claim, a volume or a storage class: they restrict the nodes of a pod."""
        if self.cache.pending.rules.set_volume(kind, manifest, deleted=change == DELETE):
            self.cache.changed.set()

    def device_profile(self, change: str, manifest: Json) -> None:
        """Apply a DeviceProfile: its device is added, removed, or predicted again."""
        cache, device = self.cache, DeviceId(manifest["metadata"]["name"])
        profile = None if change == DELETE else convert.parse_resource(DeviceProfile, manifest)
        cache.table.set_device(device, MeasuredDevice.of(profile.status) if profile else None)
        before = cache.devices.node_of(device)
        cache.devices.set_profile(device, profile)
        after = cache.devices.node_of(device)
        nodes = {node for node in (before, after) if node is not None}
        cache.invalidate_devices((device, *nodes), nodes)

    def model_profile(self, change: str, manifest: Json) -> None:
        """Apply a ModelProfile: its tasks can be planned once its features are known."""
        cache = self.cache
        model = ModelKey(object_key(manifest))
        features = None
        if change != DELETE:
            features = convert.model_features(convert.parse_resource(ModelProfile, manifest))
        cache.table.set_model(model, features)
        cache.pending.invalidate_model(model)
        if features is None:
            cache.invalidate_models([model])
        cache.changed.set()

    def task(self, change: str, manifest: Json) -> None:
        """Apply an InferenceTask: it is queued, reports progress, or teaches its start times."""
        cache = self.cache
        key = TaskKey(object_key(manifest))
        task = None if change == DELETE else convert.parse_resource(InferenceTask, manifest)
        if task is None:
            cache.cold_starts.delete_task(str(manifest["metadata"].get("uid")))
        else:
            cache.cold_starts.learn(task)
        cache.reservations.set_remaining(key, _remaining_time(task))
        cache.pending.set_task(key, task)
        cache.changed.set()

    def pod(self, change: str, manifest: Json) -> None:
        """Apply a pod: the ledger follows which pods are admitted, bound, running and finished."""
        cache, uid = self.cache, PodUid(manifest["metadata"]["uid"])
        if change == DELETE:
            if (deleted := cache.pods.pop(uid, None)) is not None:
                cache.pending.delete_pod(deleted)
            cache.release(uid)
            cache.pending.rules.delete_pod(uid)
            return
        pod = cache.key.verified(PodView.of(manifest))
        cache.pending.rules.upsert_pod(pod, manifest, cache.devices.get(pod.device))
        if pod.model is None and not pod.slots:
            return  # it occupies nothing that we manage
        before = cache.pods.get(uid)
        if before is not None and before.signature and not pod.signature:
            # A user removed or changed the decision of an admitted pod: it still counts.
            pod = replace(
                pod, device=before.device, decision=before.decision, signature=before.signature
            )
        if before is not None and before.task != pod.task:
            cache.pending.delete_pod(before)  # its task label was changed or removed
        cache.pods[uid] = pod
        reserved = False
        if pod.finished:
            cache.release(uid)
        elif pod.slots and not pod.gated:
            reserved = cache.reservations.upsert(pod)
        cache.pending.upsert_pod(pod)
        cache.cold_starts.upsert_pod(pod)
        if reserved or before is None or _gates(before) != _gates(pod):
            cache.changed.set()


def _gates(pod: PodView) -> tuple[bool, tuple[str, ...]]:
    return pod.gated, pod.other_gates


def _remaining_time(task: InferenceTask | None) -> RemainingTime | None:
    """The remaining time by the runner's latest progress report."""
    if task is None or task.status.phase in FINISHED:
        return None
    pod, progress = task.status.pod_uid, task.status.progress
    if pod is None or progress is None or not progress.done:
        return None
    inferences_left = max(progress.total - progress.done, 0)
    seconds = progress.run_seconds / progress.done * inferences_left
    return RemainingTime(PodUid(pod), epoch_s(progress.seen_at), seconds)
