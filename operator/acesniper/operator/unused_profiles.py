"""Deletes the ModelProfiles that the operator made for tasks, once no task uses them.

Only profiles with the label `acesniper.io/derived`, which `task/pending.py` sets: those that users
write are never deleted. A profile is kept for a while after its last task, because it also holds
what was learned about the model, such as the memory that it needs.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from acesniper.api.names import DERIVED_LABEL, MODEL_PROFILES
from acesniper.api.objects import namespaced_key
from acesniper.api.v1alpha1 import InferenceTask, ModelProfile
from acesniper.domain.errors import Unavailable
from acesniper.operator.cache import ObjectCache
from acesniper.operator.task.pending import variant_name
from acesniper.runtime.client import Cluster

log = logging.getLogger(__name__)

SWEEPS_PER_GRACE = 4
MIN_SWEEP_S = 1.0
MAX_SWEEP_S = 60.0


@dataclass(slots=True)
class UnusedProfiles:
    """Finds derived profiles without tasks, and deletes them after `grace_s` seconds.

    The time starts again with the operator, which does not know what was used before.
    """

    cluster: Cluster
    store: ObjectCache
    grace_s: float
    clock: Callable[[], float]
    may_act: Callable[[], bool] = lambda: True
    _unused_since_s: dict[str, float] = field(default_factory=dict)
    """By UID of a profile."""

    async def run(self) -> None:
        """Sweep until cancelled."""
        interval_s = min(max(self.grace_s / SWEEPS_PER_GRACE, MIN_SWEEP_S), MAX_SWEEP_S)
        while True:
            await asyncio.sleep(interval_s)
            await self.sweep()

    async def sweep(self) -> None:
        """Delete what has been unused for long enough."""
        if not self.may_act():
            self._unused_since_s.clear()
            return
        used = set(self._used())
        unused: dict[str, ModelProfile] = {}
        for key, profile in self.store.models.items():
            if key not in used and is_derived(profile):
                unused[str(profile.metadata["uid"])] = profile
        now_s = self.clock()
        self._unused_since_s = {uid: self._unused_since_s.get(uid, now_s) for uid in unused}
        for uid, profile in unused.items():
            if now_s - self._unused_since_s[uid] >= self.grace_s:
                await self._delete(profile)

    def _used(self) -> Iterator[str]:
        """Keys of the profiles that tasks use, or will."""
        for task in self.store.tasks.values():
            namespace = str(task.metadata["namespace"])
            names = [task.status.model_profile, task.spec.model, self._needed(task, namespace)]
            yield from (namespaced_key(namespace, name) for name in names if name)

    def _needed(self, task: InferenceTask, namespace: str) -> str:
        """The profile that a new task is about to use."""
        if task.status.model_profile:
            return ""
        base = task.spec.model and self.store.models.get(namespaced_key(namespace, task.spec.model))
        return variant_name(task.spec, base or None)

    async def _delete(self, profile: ModelProfile) -> None:
        name, namespace = str(profile.metadata["name"]), str(profile.metadata["namespace"])
        uid, version = profile.metadata["uid"], profile.metadata.get("resourceVersion")
        try:
            await self.cluster.delete(MODEL_PROFILES, name, namespace, uid=uid, version=version)
        except Unavailable as error:
            # The next sweep tries again, with the version that the watch has delivered by then.
            log.warning("ModelProfile %s/%s is not deleted: %s", namespace, name, error)
            return
        log.info("deleted ModelProfile %s/%s: no task uses it", namespace, name)


def is_derived(profile: ModelProfile) -> bool:
    """Whether the operator made a profile for tasks."""
    return (profile.metadata.get("labels") or {}).get(DERIVED_LABEL) == "true"
