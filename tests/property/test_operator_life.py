"""A task ends exactly once for any history of events, faults and kills of the operator."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from acesniper.api.names import INFERENCE_TASKS, MODEL_PROFILES, NODES, PODS
from acesniper.api.objects import Json
from acesniper.api.v1alpha1 import FINISHED, Phase
from acesniper.domain.errors import AcesniperError, Conflict, Unavailable
from acesniper.operator.task.termination import MAX_DISRUPTIONS
from builders import make_itask, make_model_profile, make_node
from fake_cluster import Call
from operator_process import FAILED, SUCCEEDED, Killed, Operator

RETRIES = 2
NODE = "n"
EVICTED: Json = {
    "conditions": [
        {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    ]
}
OOM: Json = {
    "phase": "Failed",
    "containerStatuses": [
        {"name": "runner", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
    ],
}
STUCK: Json = {
    "containerStatuses": [
        {"name": "runner", "image": "i", "state": {"waiting": {"reason": "ErrImagePull"}}}
    ]
}


class World:
    """A cluster with one task, and the events and faults that can occur."""

    def __init__(self) -> None:
        self.operator = Operator()
        self.cluster = self.operator.cluster
        self.cluster.put(MODEL_PROFILES, make_model_profile())
        self.cluster.put(INFERENCE_TASKS, make_itask("t", retries=RETRIES))
        self.cluster.put(NODES, make_node(NODE))
        self.operator.start()
        self.runs: list[str] = []
        """Pods that ran, by name."""

    def live(self) -> list[Json]:
        return [pod for pod in self.cluster.all(PODS) if not _ended(pod)]

    def change(self, patch: Json, *, bound: bool) -> None:
        for pod in self.live():
            if ("nodeName" in pod["spec"]) is bound:
                self.cluster.change(PODS, pod["metadata"]["name"], "default", patch)

    # --- what can happen -------------------------------------------------------------------------

    def bind(self) -> None:
        if self.cluster.all(NODES):
            self.change({"spec": {"schedulingGates": [], "nodeName": NODE}}, bound=False)

    def start(self) -> None:
        for pod in self.live():
            name = pod["metadata"]["name"]
            if "nodeName" in pod["spec"] and pod["status"]["phase"] == "Pending":
                self.cluster.change(PODS, name, "default", {"status": {"phase": "Running"}})
                self.runs.append(name)

    def succeed(self) -> None:
        for pod in self.live():
            if pod["status"]["phase"] == "Running":
                name = pod["metadata"]["name"]
                self.cluster.change(PODS, name, "default", {"status": SUCCEEDED})

    def fail(self) -> None:
        self.change({"status": FAILED}, bound=True)

    def want_memory(self) -> None:
        self.change({"status": OOM}, bound=True)

    def stick(self) -> None:
        self.change({"status": STUCK}, bound=True)

    def evict(self) -> None:
        self.change({"status": EVICTED}, bound=True)
        self.go()

    def go(self) -> None:
        """Delete its pod, unless it succeeded."""
        for pod in self.live():
            self.cluster.remove(PODS, pod["metadata"]["name"], "default")

    def lose_node(self) -> None:
        if self.cluster.all(NODES):
            self.cluster.remove(NODES, NODE)

    def fail_node(self) -> None:
        self.cluster.put(NODES, make_node(NODE, ready=False))

    def restore_node(self) -> None:
        self.cluster.put(NODES, make_node(NODE))

    def replace_model(self) -> None:
        self.cluster.remove(MODEL_PROFILES, "model", "default")
        self.cluster.put(MODEL_PROFILES, make_model_profile(sha256="b" * 64))

    def suspend(self) -> None:
        self.spec(suspend=True)

    def resume(self) -> None:
        self.spec(suspend=False)

    def cancel(self) -> None:
        self.spec(cancel=True)

    def spec(self, **fields: Any) -> None:  # noqa: ANN401
        self.cluster.change(INFERENCE_TASKS, "t", "default", {"spec": fields})

    def wait(self) -> None:
        self.operator.clock.now_s += 400.0

    # --- the operator ----------------------------------------------------------------------------

    async def settle(self, faults: Sequence[str]) -> None:
        """Reconcile until no task is due, with failing calls and kills of the operator."""
        left = list(faults)

        def fault(after: bool) -> Callable[[Call], None]:
            def strike(call: Call) -> None:
                if call.verb in ("create", "patch", "delete") and left:
                    match left[0], after:
                        case "killed", True:
                            left.pop(0)
                            raise Killed
                        case "done all the same", True:
                            left.pop(0)
                            raise Unavailable("injected")
                        case "conflict", False:
                            left.pop(0)
                            raise Conflict("injected")
                        case "fine", _:
                            left.pop(0)

            return strike

        self.cluster.before, self.cluster.after = fault(after=False), fault(after=True)
        for _ in range(20):
            try:
                await self.operator.settle()
                break
            except Killed:
                self.operator.start()
            except AcesniperError:
                continue
        else:
            raise AssertionError("it does not come to rest")
        self.cluster.before = self.cluster.after = lambda call: None


def _ended(pod: Json) -> bool:
    return pod["status"]["phase"] in ("Succeeded", "Failed")


EVENTS = [
    "bind",
    "start",
    "succeed",
    "fail",
    "want_memory",
    "stick",
    "evict",
    "go",
    "lose_node",
    "fail_node",
    "restore_node",
    "replace_model",
    "suspend",
    "resume",
    "cancel",
    "wait",
]
FAULTS = ["fine", "killed", "done all the same", "conflict"]
steps = st.lists(
    st.tuples(st.sampled_from(EVENTS), st.lists(st.sampled_from(FAULTS), max_size=4)), max_size=25
)


async def _play(history: list[tuple[str, list[str]]]) -> World:
    world = World()
    await world.settle([])
    for event, faults in history:
        getattr(world, event)()
        await world.settle(faults)
        _check(world)
    return world


def _check(world: World) -> None:
    status = world.operator.task.status
    live = [pod for pod in world.live() if "deletionTimestamp" not in pod["metadata"]]
    assert len(live) <= 1, "two pods of one task"
    assert status.attempts - status.disruptions <= RETRIES + 1
    assert status.disruptions <= MAX_DISRUPTIONS + 1
    assert len(set(world.runs)) == len(world.runs), "a pod ran twice"
    assert len(world.runs) <= status.attempts + status.incarnation + 1
    if status.phase in FINISHED:
        assert not live, "something runs after the end"
    successes = [pod for pod in world.cluster.all(PODS) if pod["status"]["phase"] == "Succeeded"]
    assert len(successes) <= 1
    assert not successes or status.phase is Phase.SUCCEEDED


@given(steps)
@settings(max_examples=150, deadline=None)
def test_no_history_leads_to_two_pods_or_to_writes_after_the_end(
    history: list[tuple[str, list[str]]],
) -> None:
    asyncio.run(_play(history))


@given(steps)
@settings(max_examples=100, deadline=None)
def test_every_task_ends_once_the_faults_are_over(history: list[tuple[str, list[str]]]) -> None:
    async def recover() -> Phase | None:
        world = await _play(history)
        for event in ("restore_node", "resume", "go", "wait", "bind", "start", "succeed", "wait"):
            getattr(world, event)()
            await world.settle([])
        return world.operator.phase

    assert asyncio.run(recover()) in FINISHED
