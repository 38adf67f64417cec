"""Deletion of the ModelProfiles that were made for tasks, on a cluster in memory."""

from dataclasses import dataclass, field

from acesniper.api.names import INFERENCE_TASKS, MODEL_PROFILES
from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import InferenceTask, ModelProfile
from acesniper.domain.errors import Unavailable
from acesniper.operator.cache import ObjectCache
from acesniper.operator.task.pending import variant_manifest, variant_name
from acesniper.operator.unused_profiles import UnusedProfiles
from builders import make_itask, make_model_profile
from fake_cluster import Call, FakeCluster
from virtual_time import Clock

GRACE_S = 100.0


@dataclass
class Namespace:
    """A base model, and tasks with batch sizes of their own."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    clock: Clock = field(default_factory=Clock)
    leading: bool = True

    def __post_init__(self) -> None:
        self.cluster.put(MODEL_PROFILES, make_model_profile("model"))
        self.collector = UnusedProfiles(
            self.cluster, ObjectCache(), GRACE_S, self.clock, lambda: self.leading
        )

    def add_task(self, name: str, batch: int, *, seen: bool = True) -> str:
        """A task, which the operator has seen or not yet, and the profile that it uses."""
        task = make_itask(name, batchSize=batch)
        base = ModelProfile.model_validate(make_model_profile("model"))
        spec = InferenceTask.model_validate(task).spec
        profile = variant_name(spec, base)
        if seen:
            task["status"] = {**(task.get("status") or {}), "modelProfile": profile}
        self.cluster.put(INFERENCE_TASKS, task)
        if profile not in self.profiles:
            self.cluster.put(MODEL_PROFILES, self._derived(profile, task, base))
        return profile

    def _derived(self, name: str, task: Json, base: ModelProfile) -> Json:
        spec = InferenceTask.model_validate(task).spec
        manifest = variant_manifest(name, "default", base.spec.source, spec, base)
        manifest["metadata"] |= {"uid": f"uid-{name}", "resourceVersion": "1"}
        return manifest

    @property
    def profiles(self) -> set[str]:
        return {obj["metadata"]["name"] for obj in self.cluster.all(MODEL_PROFILES)}

    async def sweep(self, after_s: float = 0.0) -> set[str]:
        """Let the operator see the cluster and sweep; returns the profiles that are left."""
        self.clock.now_s += after_s
        self.collector.store = ObjectCache()
        for obj in self.cluster.all(MODEL_PROFILES):
            self.collector.store.upsert_model(obj)
        for obj in self.cluster.all(INFERENCE_TASKS):
            self.collector.store.upsert_task(obj)
        await self.collector.sweep()
        return self.profiles


async def test_300_profiles_of_deleted_tasks_are_deleted_after_the_grace_period() -> None:
    namespace = Namespace()
    for number in range(300):
        namespace.add_task(f"t{number}", batch=number + 2)
    assert len(await namespace.sweep(GRACE_S)) == 301
    for number in range(300):
        namespace.cluster.remove(INFERENCE_TASKS, f"t{number}", "default")

    at_once = await namespace.sweep(1.0)
    later = await namespace.sweep(GRACE_S - 1.0)

    assert len(at_once) == len(later) == 301
    assert await namespace.sweep(1.0) == {"model"}


async def test_a_profile_between_two_tasks_is_kept() -> None:
    namespace = Namespace()
    profile = namespace.add_task("first", batch=7)
    namespace.cluster.remove(INFERENCE_TASKS, "first", "default")
    await namespace.sweep()
    await namespace.sweep(GRACE_S - 1.0)
    namespace.add_task("second", batch=7)
    await namespace.sweep(2.0)
    namespace.cluster.remove(INFERENCE_TASKS, "second", "default")
    await namespace.sweep()

    assert profile in await namespace.sweep(GRACE_S - 1.0)


async def test_a_profile_that_a_new_task_needs_is_kept() -> None:
    namespace = Namespace()
    profile = namespace.add_task("new", batch=9, seen=False)

    await namespace.sweep()

    assert profile in await namespace.sweep(2 * GRACE_S)


async def test_a_profile_that_a_task_names_is_kept() -> None:
    namespace = Namespace()
    profile = namespace.add_task("first", batch=3)
    namespace.cluster.remove(INFERENCE_TASKS, "first", "default")
    namespace.cluster.put(INFERENCE_TASKS, make_itask("by-name", model=profile, batchSize=3))

    await namespace.sweep()

    assert profile in await namespace.sweep(2 * GRACE_S)


async def test_a_profile_that_a_user_wrote_is_kept() -> None:
    namespace = Namespace()
    namespace.cluster.put(MODEL_PROFILES, make_model_profile("model-b4-0123456789"))

    await namespace.sweep()

    assert await namespace.sweep(10 * GRACE_S) == {"model", "model-b4-0123456789"}


async def test_a_standby_deletes_nothing_and_waits_again_once_it_leads() -> None:
    namespace = Namespace()
    profile = namespace.add_task("t", batch=2)
    namespace.cluster.remove(INFERENCE_TASKS, "t", "default")
    await namespace.sweep()
    namespace.leading = False
    await namespace.sweep(GRACE_S)
    namespace.leading = True

    assert profile in await namespace.sweep(1.0)
    assert await namespace.sweep(GRACE_S) == {"model"}


async def test_a_failed_deletion_is_tried_again_and_stops_no_other() -> None:
    namespace = Namespace()
    for batch in (2, 3):
        namespace.add_task(f"t{batch}", batch=batch)
        namespace.cluster.remove(INFERENCE_TASKS, f"t{batch}", "default")
    await namespace.sweep()
    failures = iter([Unavailable("away")])

    def fail_once(call: Call) -> None:
        if call.verb == "delete" and (error := next(failures, None)):
            raise error

    namespace.cluster.before = fail_once

    assert len(await namespace.sweep(GRACE_S)) == 2
    assert await namespace.sweep(1.0) == {"model"}
