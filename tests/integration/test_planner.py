"""The planner over a cluster in memory, with a scheduler and kubelets that take their time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from acesniper.api.decision import Decision
from acesniper.api.names import (
    DECISION_ANNOTATION,
    DEVICE_ANNOTATION,
    DEVICE_PROFILES,
    INFERENCE_TASKS,
    MODEL_LABEL,
    MODEL_PROFILES,
    NODES,
    PLAN_GATE,
    PODS,
    REFUSED_ANNOTATION,
)
from acesniper.api.objects import Json, PodView
from acesniper.api.units import rfc3339
from acesniper.domain.cold_start import ColdStartEstimator
from acesniper.domain.device import HardwareVector
from acesniper.domain.errors import Unavailable
from acesniper.domain.model import ModelFeatures
from acesniper.extender.admission import Admission
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.cache.decisions import DecisionCache
from acesniper.extender.cache.pending import AVOID_DEVICE_S
from acesniper.extender.latency_table import LatencyTable
from acesniper.extender.metrics import ExtenderMetrics
from acesniper.extender.planner import Planner
from acesniper.extender.snapshot import PlanningResult, PlanningSnapshot
from acesniper.extender.watch_events import WatchEvents
from acesniper.policies.policy import Policy
from acesniper.predictor.base import LatencyArrays, Observations
from acesniper.runtime.skipped import DELETE, UPSERT
from acesniper.runtime.watch import Reflector
from builders import (
    TEST_KEY,
    WorkPredictor,
    make_device_profile,
    make_gated_pod,
    make_model_profile,
    make_node,
    make_pod,
)
from fake_cluster import Call, FakeCluster
from fleets import AT_ONCE, make_fleet, make_waiting
from virtual_time import in_virtual_time, now_s

BIND_TIMEOUT_S = 15.0


async def at_once(call: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - as to_thread
    """Virtual time goes on while a thread works, so that nothing may work in one."""
    return call(*arguments)


@dataclass
class Edge:
    """An edge cluster: `binding` says whether kube-scheduler does its work."""

    paces: Mapping[str, float]
    cluster: FakeCluster = field(default_factory=FakeCluster)
    binding: bool = True
    predictor: WorkPredictor = field(default_factory=WorkPredictor)
    running: dict[str, set[str]] = field(default_factory=dict)
    most_at_once: dict[str, int] = field(default_factory=dict)
    started_s: dict[str, float] = field(default_factory=dict)
    _jobs: set["asyncio.Task[None]"] = field(default_factory=set)

    def __post_init__(self) -> None:
        for name, pace in self.paces.items():
            self.cluster.put(NODES, make_node(f"node-{name}"))
            self.cluster.put(DEVICE_PROFILES, make_device_profile(name, pace=pace))
        self.cluster.put(MODEL_PROFILES, make_model_profile())
        table, times = LatencyTable(self.predictor), ColdStartEstimator(AT_ONCE)
        self.cache = ClusterCache(table, now_s, BIND_TIMEOUT_S, times, key=TEST_KEY)
        metrics = ExtenderMetrics.on(CollectorRegistry())
        admission = Admission(
            cache=self.cache, cluster=self.cluster, decisions=DecisionCache(), metrics=metrics
        )
        self.planner = Planner(
            cache=self.cache,
            admission=admission,
            policy=Policy(),
            metrics=metrics,
            off_loop=at_once,
        )

    def apply(self, name: str, **spec: Any) -> None:  # noqa: ANN401 - as make_itask
        """A task that the operator has queued."""
        task, pod = make_waiting(name, **spec)
        self.cluster.put(INFERENCE_TASKS, task)
        self.cluster.put(PODS, pod)

    def pod(self, task: str) -> Json:
        return self.cluster.one(PODS, f"{task}-0", "default")

    def is_admitted(self, task: str) -> bool:
        return not PodView.of(self.pod(task)).gated

    def phases(self) -> list[str]:
        return [pod["status"]["phase"] for pod in self.cluster.all(PODS)]

    async def all_done(self) -> None:
        while set(self.phases()) != {"Succeeded"}:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(1.0)

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        follow = (
            (NODES, WatchEvents(self.cache).node),
            (DEVICE_PROFILES, WatchEvents(self.cache).device_profile),
            (MODEL_PROFILES, WatchEvents(self.cache).model_profile),
            (INFERENCE_TASKS, WatchEvents(self.cache).task),
            (PODS, WatchEvents(self.cache).pod),
            (PODS, self._schedule),
        )
        jobs = [
            asyncio.create_task(Reflector(self.cluster, kind, take).run()) for kind, take in follow
        ]
        await asyncio.sleep(0.001)
        jobs.append(asyncio.create_task(self.planner.run()))
        try:
            yield
        finally:
            for job in (*jobs, *self._jobs):
                job.cancel()
            for job in (*jobs, *self._jobs):
                with suppress(asyncio.CancelledError):
                    await job

    def _schedule(self, change: str, pod: Json) -> None:
        view = PodView.of(pod) if change == "UPSERT" else None
        if view and self.binding and not view.gated and not view.node and not view.finished:
            job = asyncio.create_task(self._run(view))
            self._jobs.add(job)
            job.add_done_callback(self._jobs.discard)

    async def _run(self, pod: PodView) -> None:
        """Bind to the one node that the affinity allows, run there as long as predicted."""
        required = pod.affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        (node,) = required["nodeSelectorTerms"][0]["matchFields"][0]["values"]
        patch: Json = {"spec": {"nodeName": node}}
        self.cluster.change(PODS, pod.name, "default", patch)
        here = self.running.setdefault(node, set())
        here.add(pod.name)
        self.most_at_once[node] = max(self.most_at_once.get(node, 0), len(here))
        self.started_s[pod.name.removesuffix("-0")] = now_s()
        started = {"phase": "Running", "startTime": rfc3339(now_s())}
        self.cluster.change(PODS, pod.name, "default", {"status": started})
        await asyncio.sleep(self.paces[node.removeprefix("node-")])
        here.remove(pod.name)
        self.cluster.change(PODS, pod.name, "default", {"status": {"phase": "Succeeded"}})
        task = {"status": {"phase": "Succeeded"}}
        self.cluster.change(INFERENCE_TASKS, str(pod.task), "default", task)


@in_virtual_time
async def test_a_burst_of_five_hundred_completes_with_one_task_per_slot() -> None:
    edge = Edge({"a": 1.0, "b": 1.5, "c": 2.0, "d": 7.0, "e": 30.0})

    async with edge.alive():
        for number in range(500):
            edge.apply(f"t{number:03}")
        await edge.all_done()

    assert len(edge.phases()) == 500
    assert set(edge.most_at_once.values()) == {1}
    assert len(edge.cache.ledger) == 0


@in_virtual_time
async def test_a_task_waits_for_the_fast_device_and_starts_when_that_is_free() -> None:
    edge = Edge({"fast": 1.0, "slow": 10.0})

    async with edge.alive():
        edge.apply("first")
        edge.apply("second")
        await asyncio.sleep(0.9)
        held_back = not edge.is_admitted("second")
        await asyncio.sleep(2.0)

    assert held_back
    assert edge.started_s["second"] - edge.started_s["first"] >= 1.0
    assert edge.pod("second")["spec"]["nodeName"] == "node-fast"


@in_virtual_time
async def test_a_slot_is_taken_before_the_api_server_shows_it() -> None:
    edge = Edge({"a": 1.0})

    async with edge.alive():
        edge.planner.replan_s = 1e6
        for name in ("t1", "t2"):
            task, pod = make_waiting(name)
            WatchEvents(edge.cache).task(UPSERT, task)
            WatchEvents(edge.cache).pod(UPSERT, pod)
        first, second = edge.planner.plan_now(), edge.planner.plan_now()

    assert [decision.task for _, _, decision in first] == ["default/t1"]
    assert second == []


@in_virtual_time
async def test_a_pod_with_another_gate_takes_no_slot_until_that_gate_is_removed() -> None:
    edge = Edge({"a": 1.0})
    gates = [{"name": "own/gate"}, {"name": PLAN_GATE}]

    async with edge.alive():
        edge.apply("held")
        edge.cluster.change(PODS, "held-0", "default", {"spec": {"schedulingGates": gates}})
        await asyncio.sleep(60.0)
        held = not edge.is_admitted("held") and not edge.most_at_once
        opened = {"spec": {"schedulingGates": [{"name": PLAN_GATE}]}}
        edge.cluster.change(PODS, "held-0", "default", opened)
        await edge.all_done()

    assert held


def test_a_pod_whose_task_label_was_removed_does_not_block_the_next() -> None:
    cache = make_fleet({"a": 1.0})
    task, gated = make_waiting("t")
    before = make_pod("t-0", task="t", node="node-a", uid="before", phase="Running")
    WatchEvents(cache).task(UPSERT, task)
    WatchEvents(cache).pod(UPSERT, before)
    WatchEvents(cache).pod(UPSERT, {**before, "metadata": {**before["metadata"], "labels": {}}})
    WatchEvents(cache).pod(DELETE, before)

    WatchEvents(cache).pod(UPSERT, gated)

    assert len(cache.pending.gated) == 1


def gone(cache: ClusterCache) -> None:
    WatchEvents(cache).pod(DELETE, make_gated_pod("t-0", task="t"))


def recreated(cache: ClusterCache) -> None:
    gone(cache)
    WatchEvents(cache).pod(UPSERT, make_gated_pod("t-0", task="t", uid="another"))


def suspended(cache: ClusterCache) -> None:
    WatchEvents(cache).task(UPSERT, make_waiting("t", suspend=True)[0])


def finished(cache: ClusterCache) -> None:
    WatchEvents(cache).task(DELETE, make_waiting("t")[0])


def taken(cache: ClusterCache) -> None:
    WatchEvents(cache).pod(UPSERT, make_pod("foreign", task=None, node="node-a", uid="foreign"))


def cordoned(cache: ClusterCache) -> None:
    WatchEvents(cache).node(UPSERT, make_node("node-a", cordoned=True))


def lost(cache: ClusterCache) -> None:
    WatchEvents(cache).device_profile(DELETE, make_device_profile("a"))


@pytest.mark.parametrize("meanwhile", [gone, recreated, suspended, finished, taken, cordoned, lost])
def test_a_task_that_changed_during_planning_is_not_admitted(
    meanwhile: Callable[[ClusterCache], None],
) -> None:
    cache = make_fleet({"a": 1.0})
    metrics = ExtenderMetrics.on(CollectorRegistry())
    admission = Admission(
        cache=cache, cluster=FakeCluster(), decisions=DecisionCache(), metrics=metrics
    )
    planner = Planner(cache=cache, admission=admission, policy=Policy(), metrics=metrics)
    task, pod = make_waiting("t")
    WatchEvents(cache).task(UPSERT, task)
    WatchEvents(cache).pod(UPSERT, pod)
    decisions = PlanningSnapshot.of(cache).decide(planner.policy, planner.plan)

    meanwhile(cache)
    admitted = list(planner.reserve(decisions))

    assert [decision.task for _, decision in decisions.starting] == ["default/t"]
    assert admitted == []
    assert pod["metadata"]["uid"] not in cache.ledger


@in_virtual_time
async def test_with_many_ungated_tasks_most_plans_include_gated_ones_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("acesniper.extender.planner.MANY_UNGATED", 3)
    edge = Edge({"a": 1.0})
    sizes: list[int] = []

    async def watch(call: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - as to_thread
        found = call(*arguments)
        if isinstance(found, PlanningResult):
            sizes.append(len(found.plan.planned))
        return found

    edge.planner.off_loop = watch
    async with edge.alive():
        for number in range(6):
            edge.cluster.put(INFERENCE_TASKS, make_waiting(f"behind-{number}")[0])
        edge.apply("first")
        edge.apply("second")
        await asyncio.sleep(5.0)
        shown = [planned.task.key for planned in edge.planner.queue()]
        await asyncio.sleep(15.0)

    assert edge.phases() == ["Succeeded", "Succeeded"]
    assert min(sizes) <= 2 < 6 <= max(sizes)
    assert {f"default/behind-{number}" for number in range(6)} <= set(shown)
    assert sum(size >= 6 for size in sizes) <= 4, "everything is planned once in a while"


@in_virtual_time
async def test_events_during_planning_are_applied_and_cause_the_next_plan() -> None:
    edge, thinking = Edge({"a": 1.0}), asyncio.Event()

    async def think(call: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401 - as to_thread
        await thinking.wait()
        return call(*arguments)

    edge.planner.off_loop = think
    async with edge.alive():
        edge.apply("t")
        await asyncio.sleep(100.0)
        pending, planned = len(edge.cache.pending), edge.planner.plan.planned
        thinking.set()
        await asyncio.sleep(2.0)

    assert (pending, planned) == (1, ())
    assert edge.phases() == ["Succeeded"]


@in_virtual_time
async def test_an_admitted_pod_carries_its_device_and_the_reasons() -> None:
    edge = Edge({"fast": 1.0, "slow": 10.0})

    async with edge.alive():
        edge.apply("t")
        await asyncio.sleep(0.5)

    annotations = edge.pod("t")["metadata"]["annotations"]
    decision = Decision.read(annotations[DECISION_ANNOTATION])
    assert annotations[DEVICE_ANNOTATION] == "fast"
    assert decision is not None
    assert [candidate.device for candidate in decision.candidates] == ["fast", "slow"]
    assert edge.planner.admission.decisions.get("uid-default-t-0") is not None


@in_virtual_time
async def test_a_replica_without_the_lease_admits_nothing() -> None:
    edge, held = Edge({"a": 1.0}), [False]
    edge.planner.may_act = lambda: held[0]

    async with edge.alive():
        edge.apply("t")
        await asyncio.sleep(100.0)
        standing_by = edge.is_admitted("t")
        held[0] = True
        await asyncio.sleep(5.0)

    assert not standing_by
    assert edge.phases() == ["Succeeded"]


@in_virtual_time
async def test_a_replica_that_lost_the_lease_reports_an_empty_queue() -> None:
    edge, held = Edge({"a": 100.0}), [True]
    edge.planner.may_act = lambda: held[0]
    metrics = edge.planner.metrics

    def gauge_values() -> list[float]:
        gauges = (metrics.queue_length, metrics.queue_age_seconds, metrics.planned_at)
        return [
            sample.value for metric in gauges for sample in next(iter(metric.collect())).samples
        ]

    async with edge.alive():
        for name in ("first", "second", "third"):
            edge.apply(name)
        await asyncio.sleep(5.0)
        at_work = gauge_values()
        held[0] = False
        await asyncio.sleep(5.0)
        afterwards = gauge_values()

    assert at_work[0] == 2
    assert all(at_work)
    assert afterwards == [0.0, 0.0, 0.0]


@in_virtual_time
async def test_a_failed_patch_gives_the_slot_back_and_is_tried_again() -> None:
    edge = Edge({"a": 1.0})
    failures = [Unavailable("away"), Unavailable("away")]

    def fail(call: Call) -> None:
        if call.verb == "patch" and failures:
            raise failures.pop()

    edge.cluster.before = fail
    async with edge.alive():
        edge.apply("t")
        await asyncio.sleep(10.0)

    assert edge.pod("t")["status"]["phase"] == "Succeeded"
    assert len(edge.cache.ledger) == 0


@in_virtual_time
async def test_a_patch_with_a_lost_response_keeps_the_slot_reserved() -> None:
    edge = Edge({"a": 5.0})
    lost: list[str] = []

    def lose(call: Call) -> None:
        if call.verb == "patch" and not lost:
            lost.append(call.name)
            raise Unavailable("the connection broke after the server had done it")

    edge.cluster.after = lose
    async with edge.alive():
        edge.apply("t1")
        edge.apply("t2")
        await asyncio.sleep(2.0)
        admitted = [name for name in ("t1", "t2") if edge.is_admitted(name)]
        await edge.all_done()

    assert admitted == ["t1"]
    assert edge.most_at_once == {"node-a": 1}


@in_virtual_time
async def test_the_slot_stays_reserved_while_the_api_server_is_unavailable() -> None:
    """The slot stays reserved until the reservation expires; then all goes on."""
    edge, away = Edge({"a": 1.0}), [False]

    def fail(call: Call) -> None:
        away[0] = away[0] or call.verb == "patch"
        if away[0] and call.verb in ("patch", "get", "delete"):
            raise Unavailable("away")

    edge.cluster.before = fail
    async with edge.alive():
        edge.apply("t")
        await asyncio.sleep(BIND_TIMEOUT_S / 2)
        reserved = len(edge.cache.ledger)
        edge.cluster.before = lambda _: None
        await asyncio.sleep(3 * BIND_TIMEOUT_S)

    assert reserved == 1
    assert edge.cluster.all(PODS) == [], "withdrawn; the operator recreates it"


@in_virtual_time
async def test_a_pod_that_is_bound_in_the_last_moment_is_not_withdrawn() -> None:
    edge = Edge({"a": 1.0}, binding=False)

    def bind_it(call: Call) -> None:
        if call.verb == "delete":
            edge.cluster.before = lambda _: None
            patch: Json = {"spec": {"nodeName": "node-a"}, "status": {"phase": "Running"}}
            edge.cluster.change(PODS, "t-0", "default", patch)

    async with edge.alive():
        edge.apply("t")
        await asyncio.sleep(BIND_TIMEOUT_S - 1.0)
        edge.cluster.before = bind_it
        await asyncio.sleep(3 * BIND_TIMEOUT_S)

    assert edge.phases() == ["Running"]
    assert len(edge.cache.ledger) == 1


@in_virtual_time
async def test_a_pod_that_is_not_bound_in_time_is_withdrawn() -> None:
    edge = Edge({"a": 1.0}, binding=False)

    async with edge.alive():
        edge.apply("t")
        await asyncio.sleep(BIND_TIMEOUT_S - 1.0)
        early = edge.phases()
        await asyncio.sleep(3.0)

    assert early == ["Pending"]
    assert edge.cluster.all(PODS) == []
    assert len(edge.cache.ledger) == 0


@in_virtual_time
async def test_a_withdrawal_does_not_hit_a_new_pod_of_the_same_name() -> None:
    edge = Edge({"a": 1.0}, binding=False)

    def replace_it(call: Call) -> None:
        if call.verb == "delete":
            edge.cluster.remove(PODS, "t-0", "default")
            edge.cluster.put(PODS, make_gated_pod("t-0", task="t", uid="another"))

    async with edge.alive():
        edge.apply("t")
        await asyncio.sleep(BIND_TIMEOUT_S - 1.0)
        edge.cluster.before = replace_it
        await asyncio.sleep(3.0)

    assert edge.pod("t")["metadata"]["uid"] == "another"


@in_virtual_time
async def test_a_withdrawal_that_fails_is_tried_again() -> None:
    edge = Edge({"a": 1.0}, binding=False)
    failures = [Unavailable("away"), Unavailable("away")]

    def fail(call: Call) -> None:
        if call.verb == "delete" and failures:
            raise failures.pop()

    edge.cluster.before = fail
    async with edge.alive():
        edge.apply("t")
        await asyncio.sleep(10 * BIND_TIMEOUT_S)

    assert edge.cluster.all(PODS) == []


@in_virtual_time
async def test_a_device_whose_pod_was_not_bound_is_excluded_for_a_while() -> None:
    edge = Edge({"fast": 1.0, "slow": 2.0}, binding=False)

    async with edge.alive():
        edge.apply("t")
        await asyncio.sleep(BIND_TIMEOUT_S + 3.0)
        edge.binding = True
        second = make_gated_pod("t-1", task="t")
        edge.cluster.put(PODS, second)
        status = {"status": {"podUid": second["metadata"]["uid"]}}
        edge.cluster.change(INFERENCE_TASKS, "t", "default", status)
        await asyncio.sleep(1.0)
        second = edge.cluster.one(PODS, "t-1", "default")

    assert AVOID_DEVICE_S > 1.0
    assert second["spec"]["nodeName"] == "node-slow"


@in_virtual_time
async def test_a_task_whose_pod_is_not_there_yet_keeps_no_device_from_others() -> None:
    """It may back off after a failure, or its namespace may be out of quota."""
    edge = Edge({"a": 1.0})

    async with edge.alive():
        task, _ = make_waiting("a-first-in-order")
        edge.cluster.put(INFERENCE_TASKS, task)
        edge.apply("b")
        await asyncio.sleep(5.0)

    assert edge.pod("b")["status"]["phase"] == "Succeeded"


@in_virtual_time
async def test_an_unreachable_deadline_is_annotated_for_the_operator() -> None:
    edge = Edge({"a": 10.0})

    async with edge.alive():
        edge.apply("t", deadline="1s", deadlinePolicy="Reject")
        await asyncio.sleep(1.0)

    refused = edge.pod("t")["metadata"]["annotations"][REFUSED_ANNOTATION]
    assert refused.startswith("no device can meet the deadline: a would finish in 10.0 s")
    assert not edge.is_admitted("t")


@in_virtual_time
async def test_a_temporarily_unavailable_device_keeps_the_task_schedulable() -> None:
    edge = Edge({"fast": 0.5, "slow": 100.0})
    edge.cluster.put(NODES, make_node("node-fast", ready=False))

    async with edge.alive():
        edge.apply("t", deadline="20s", deadlinePolicy="Reject")
        await asyncio.sleep(2.0)
        annotations = dict(edge.pod("t")["metadata"]["annotations"])
        ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        edge.cluster.change(NODES, "node-fast", None, ready)
        await asyncio.sleep(2.0)

    assert REFUSED_ANNOTATION not in annotations
    assert edge.pod("t")["spec"]["nodeName"] == "node-fast"


@in_virtual_time
async def test_a_suspended_task_is_not_admitted() -> None:
    edge = Edge({"a": 1.0})

    async with edge.alive():
        edge.apply("t", suspend=True)
        await asyncio.sleep(1.0)

    assert not edge.is_admitted("t")


@in_virtual_time
async def test_a_restart_in_the_middle_of_a_burst_doubles_nothing() -> None:
    edge = Edge({"a": 1.0, "b": 3.0})
    async with edge.alive():
        for number in range(10):
            edge.apply(f"t{number}")
        await asyncio.sleep(2.5)

    running = [pod for pod in edge.cluster.all(PODS) if pod["status"]["phase"] == "Running"]
    for pod in running:
        patch = {"status": {"phase": "Succeeded"}}
        edge.cluster.change(PODS, pod["metadata"]["name"], "default", patch)
    again = Edge({"a": 1.0, "b": 3.0}, cluster=edge.cluster)
    async with again.alive():
        await again.all_done()

    assert set(again.most_at_once.values()) == {1}
    assert len(again.cache.ledger) == 0


class SpoiledPredictor(WorkPredictor):
    """Says of one model that it takes for ever, as a made-up vector would have it."""

    def table(
        self,
        models: Sequence[ModelFeatures],
        devices: Sequence[HardwareVector],
        observed: Observations = (),
    ) -> LatencyArrays:
        """All pairs."""
        found = super().table(models, devices, observed)
        endless = [[model.values["work"] > 1e9] for model in models]
        return LatencyArrays(np.where(endless, np.inf, found.latency), found.spread)


@in_virtual_time
async def test_invalid_predictions_of_one_model_do_not_block_others() -> None:
    edge = Edge({"slow": 2.0, "fast": 1.0}, predictor=SpoiledPredictor())
    edge.cluster.put(MODEL_PROFILES, make_model_profile("endless", work=1e10))
    async with edge.alive():
        task, pod = make_waiting("nonsense")
        task["status"]["modelProfile"] = pod["metadata"]["labels"][MODEL_LABEL] = "endless"
        edge.cluster.put(INFERENCE_TASKS, task)
        edge.cluster.put(PODS, pod)
        for number in range(4):
            edge.apply(f"sound-{number}")
        async with asyncio.timeout(60):
            await edge.all_done()
