"""The ledger of a live cache, through any sequence of what watches can bring."""

from collections.abc import Iterable
from dataclasses import replace
from math import isclose

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from acesniper.api.decision import Candidate, Decision
from acesniper.api.names import PLAN_GATE
from acesniper.api.objects import Json, PodView
from acesniper.api.units import rfc3339
from acesniper.domain.device import DeviceId, NodeName
from acesniper.domain.reservations import PodUid, Reservation, slots_free_s
from acesniper.domain.task import Task, TaskKey
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.cache.reservations import TIMESTAMP_RESOLUTION_S
from acesniper.extender.latency_table import LatencyTable
from acesniper.extender.watch_events import WatchEvents
from acesniper.runtime.skipped import DELETE, UPSERT
from builders import (
    TEST_KEY,
    WorkPredictor,
    make_device_profile,
    make_itask,
    make_model_profile,
    make_node,
    make_pod,
)
from fleets import predict_news
from strategies import floats
from virtual_time import Clock

HOMES = {"a1": "node-a", "a2": "node-a", "b1": "node-b", "node-c": "node-c"}
"""One device is named like its node: names of both kinds must not be mixed up."""
NODES = ("node-a", "node-b", "node-c")

devices, nodes = st.sampled_from(sorted(HOMES)), st.sampled_from(NODES)
positions = st.integers(0, 30)


def decision_for(device: str, run_s: float) -> Decision:
    candidate = Candidate(
        device=device,
        node=HOMES[device],
        latency_seconds=run_s / 10,
        low_seconds=run_s / 20,
        high_seconds=run_s / 5,
        source="test",
        inferences=10,
        backlog_seconds=0.0,
        cold_start_seconds=1.0,
        transfer_seconds=0.5,
        run_seconds=run_s,
        finish_seconds=run_s + 1.5,
    )
    return Decision(task="default/task", decided_at=0.0, policy="test", candidates=[candidate])


def apply_all(cache: ClusterCache, objects: Iterable[tuple[str, Json]]) -> ClusterCache:
    """Apply objects to a cache, as the first list of a watch does; return the cache."""
    take = {
        "node": WatchEvents(cache).node,
        "profile": WatchEvents(cache).device_profile,
        "model": WatchEvents(cache).model_profile,
        "pod": WatchEvents(cache).pod,
        "task": WatchEvents(cache).task,
    }
    for kind, obj in objects:
        take[kind](UPSERT, obj)
    predict_news(cache)
    return cache


def new_fleet(clock: Clock) -> ClusterCache:
    return ClusterCache(LatencyTable(WorkPredictor()), clock, key=TEST_KEY)


class FleetMachine(RuleBasedStateMachine):
    """A cluster that does what clusters do, and the cache that follows it."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(1000.0)
        self.live = new_fleet(self.clock)
        self.objects: dict[tuple[str, str], Json] = {}
        self.reserved: set[str] = set()
        self.made = 0
        for node in NODES:
            self.put("node", make_node(node))
        for name, node in HOMES.items():
            self.put("profile", make_device_profile(name, node, slots=2 if name == "b1" else 1))
        self.put("model", make_model_profile())

    # --- what happens in the cluster -------------------------------------------------------------

    def put(self, kind: str, obj: Json) -> None:
        self.objects[kind, obj["metadata"]["name"]] = obj
        apply_all(self.live, [(kind, obj)])

    def remove(self, kind: str, name: str) -> None:
        obj = self.objects.pop((kind, name))
        take = {
            "node": WatchEvents(self.live).node,
            "profile": WatchEvents(self.live).device_profile,
            "model": WatchEvents(self.live).model_profile,
            "pod": WatchEvents(self.live).pod,
            "task": WatchEvents(self.live).task,
        }
        take[kind](DELETE, obj)

    def pods(self, *, gated: bool) -> list[Json]:
        found = [obj for (kind, _), obj in self.objects.items() if kind == "pod"]
        return [pod for pod in found if PodView.of(pod).gated is gated]

    def pick(self, position: int, *, gated: bool) -> Json:
        pods = self.pods(gated=gated)
        return pods[position % len(pods)]

    def changed(self, pod: Json, **parts: Json) -> None:
        self.put("pod", {**pod, **{name: {**pod[name], **part} for name, part in parts.items()}})

    @rule(seconds=floats(0.0, 40.0))
    def time_passes(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @rule()
    def a_gated_pod_is_made(self) -> None:
        self.made += 1
        self.put("pod", make_pod(f"p{self.made}", task=f"t{self.made}", gates=[PLAN_GATE]))

    @rule(number=positions, suspend=st.booleans(), phase=st.sampled_from(["Queued", "Failed"]))
    def a_task_is_made_or_changed(self, number: int, suspend: bool, phase: str) -> None:
        status = {"phase": phase, "modelProfile": "model", "podUid": f"uid-default-p{number}"}
        self.put("task", make_itask(f"t{number}", status=status, suspend=suspend))

    @rule(number=positions)
    def a_task_is_deleted(self, number: int) -> None:
        if ("task", f"t{number}") in self.objects:
            self.remove("task", f"t{number}")

    @precondition(lambda self: self.pods(gated=True))
    @rule(position=positions, device=devices, run_s=floats(0.001, 1000.0))
    def the_planner_reserves(self, position: int, device: str, run_s: float) -> None:
        pod = PodView.of(self.pick(position, gated=True))
        found = self.live.devices.get(device)
        if found is not None:
            self.live.reserve(pod, found, run_s + 1.5)
            self.reserved.add(pod.uid)

    @precondition(lambda self: self.pods(gated=True))
    @rule(position=positions, device=devices, run_s=floats(0.001, 1000.0))
    def a_pod_is_admitted(self, position: int, device: str, run_s: float) -> None:
        pod = self.pick(position, gated=True)
        text = decision_for(device, run_s).model_dump_json(by_alias=True)
        annotations = TEST_KEY.annotations(pod["metadata"]["uid"], device, text)
        self.reserved.discard(pod["metadata"]["uid"])
        self.changed(pod, spec={"schedulingGates": []}, metadata={"annotations": annotations})

    @precondition(lambda self: self.pods(gated=False))
    @rule(position=positions, node=nodes, written=st.booleans())
    def a_scheduler_binds_where_it_likes(self, position: int, node: str, written: bool) -> None:
        pod = self.pick(position, gated=False)
        if PodView.of(pod).node is not None:
            return
        at = rfc3339(float(int(self.clock.now_s)))
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": at}
        self.changed(pod, spec={"nodeName": node}, status={"conditions": [scheduled]})

    @rule(node=nodes, model=st.sampled_from(["model", None]), slots=st.integers(1, 3))
    def another_scheduler_binds_a_pod(self, node: str, model: str | None, slots: int) -> None:
        self.made += 1
        at = rfc3339(float(int(self.clock.now_s)))
        pod = make_pod(f"p{self.made}", "default", task=None, model=model, node=node, slots=slots)
        self.put("pod", {**pod, "status": {"phase": "Pending", "startTime": at}})

    @precondition(lambda self: self.pods(gated=False))
    @rule(position=positions, phase=st.sampled_from(["Running", "Succeeded", "Failed"]))
    def a_pod_goes_on(self, position: int, phase: str) -> None:
        pod = self.pick(position, gated=False)
        if PodView.of(pod).node is not None and not PodView.of(pod).finished:
            self.changed(pod, status={"phase": phase})

    @precondition(lambda self: self.pods(gated=False))
    @rule(position=positions, done=st.integers(0, 9), run_s=floats(0.1, 100.0))
    def a_runner_says_how_far_it_is(self, position: int, done: int, run_s: float) -> None:
        pod = PodView.of(self.pick(position, gated=False))
        if pod.task is None:
            return
        seen_at = rfc3339(self.clock.now_s)
        progress = {"text": "", "done": done, "total": 10, "runSeconds": run_s, "seenAt": seen_at}
        status = {"phase": "Running", "podUid": pod.uid, "progress": progress}
        self.put("task", make_itask(pod.task, status=status, inferences=10))

    @precondition(lambda self: self.pods(gated=False))
    @rule(position=positions)
    def a_pod_is_being_deleted(self, position: int) -> None:
        self.changed(self.pick(position, gated=False), metadata={"deletionTimestamp": "x"})

    @precondition(lambda self: self.pods(gated=False))
    @rule(position=positions)
    def a_pod_is_gone(self, position: int) -> None:
        self.remove("pod", self.pick(position, gated=False)["metadata"]["name"])

    @precondition(lambda self: self.pods(gated=True))
    @rule(position=positions)
    def a_gated_pod_is_gone(self, position: int) -> None:
        pod = self.pick(position, gated=True)["metadata"]
        self.reserved.discard(pod["uid"])
        self.remove("pod", pod["name"])

    @rule(device=devices, pace=floats(0.01, 100.0))
    def a_device_is_measured(self, device: str, pace: float) -> None:
        slots = 2 if device == "b1" else 1
        self.put("profile", make_device_profile(device, HOMES[device], pace=pace, slots=slots))

    @rule(device=devices)
    def a_profile_is_deleted(self, device: str) -> None:
        if ("profile", device) in self.objects:
            self.remove("profile", device)

    @rule(node=nodes)
    def a_node_comes_or_goes(self, node: str) -> None:
        if ("node", node) in self.objects:
            self.remove("node", node)
        else:
            self.put("node", make_node(node))

    @rule(work=floats(0.1, 10.0))
    def a_model_is_read(self, work: float) -> None:
        self.put("model", make_model_profile(work=work))

    @rule()
    def a_model_is_deleted(self) -> None:
        if ("model", "model") in self.objects:
            self.remove("model", "model")

    @rule()
    def reservations_expire(self) -> None:
        for pod in self.live.expire_reservations():
            self.reserved.discard(pod.uid)
            if ("pod", pod.name) in self.objects:
                self.remove("pod", pod.name)

    # --- what always holds -----------------------------------------------------------------------

    def bound(self) -> dict[PodUid, PodView]:
        """Return the unfinished, ungated pods that a device is known of, by UID."""
        views = map(PodView.of, self.pods(gated=False))
        return {
            view.uid: view
            for view in views
            if not view.finished and self.live.devices.device_of(view) is not None
        }

    @invariant()
    def a_backlog_is_what_is_bound_and_reserved_and_nothing_else(self) -> None:
        ledger, now_s = self.live.ledger, self.clock.now_s
        assert set(ledger) == {*self.bound(), *self.reserved}
        for device in ledger.devices():
            backlog_s = ledger.backlog_s(device, now_s)
            assert backlog_s > 0.0
            assert isclose(backlog_s, sum(ledger.busy_s(device, now_s)))

    @invariant()
    def a_rebuilt_ledger_equals_the_live_one(self) -> None:
        first_list = [(kind, obj) for (kind, _), obj in sorted(self.objects.items())]
        for order in (first_list, first_list[::-1]):
            rebuilt = apply_all(new_fleet(self.clock), order)
            assert set(rebuilt.ledger) == set(self.bound())
            for uid in rebuilt.ledger:
                assert_same(self.live.ledger.get(uid), rebuilt.ledger.get(uid))
            assert self.queue(self.live) == self.queue(rebuilt)

    def queue(self, cache: ClusterCache) -> list[dict[TaskKey, object]]:
        """What waits, less what only the live one can know: reservations, devices to avoid."""
        own = {
            f"default/{PodView.of(pod).task}"
            for pod in self.pods(gated=True)
            if pod["metadata"]["uid"] in self.reserved
        }
        pending = cache.pending
        return [
            {
                key: replace(entry, excluded=frozenset()) if isinstance(entry, Task) else entry
                for key, entry in place.items()
                if key not in own
            }
            for place in (pending.gated, pending.ungated, pending.gated_pods)
        ]

    @invariant()
    def a_device_that_nothing_is_on_is_free(self) -> None:
        taken = {
            reservation.device
            for reservation in map(self.live.ledger.get, self.live.ledger)
            if reservation
        }
        for device in HOMES:
            busy = self.live.ledger.busy_s(DeviceId(device), self.clock.now_s)
            assert bool(busy) is (device in taken)

    @invariant()
    def the_waits_of_nodes_are_those_of_the_ledger(self) -> None:
        """Asked again and again or only now, the same instants, overdue or not."""
        live, now_s = self.live, self.clock.now_s
        asked = {name: at_s - now_s for name, at_s in live.free_at_s().items()}
        for node in NODES:
            here = live.devices.on_node.get(NodeName(node)) or ()
            busy = [(live.ledger.busy_s(device.id, now_s), device.slots) for device in here]
            expected_s = min((slots_free_s(*run_s)[0] for run_s in busy), default=0.0)
            assert isclose(asked.get(node, 0.0), expected_s, abs_tol=1e-6)
            assert (node in asked) is (expected_s > 0.0)


def assert_same(live: Reservation | None, rebuilt: Reservation | None) -> None:
    """Check for equality, up to the sub-second parts that the API server does not store."""
    assert live is not None
    assert rebuilt is not None
    assert (live.device, live.slots) == (rebuilt.device, rebuilt.slots)
    assert (live.started_s is None) == (rebuilt.started_s is None)
    if live.started_s is None or rebuilt.started_s is None:
        assert live.expected_s == rebuilt.expected_s
        return
    assert abs(live.started_s - rebuilt.started_s) <= TIMESTAMP_RESOLUTION_S
    # With reported progress the ends are equal; without it, the expected durations are.
    ends = live.started_s + live.expected_s, rebuilt.started_s + rebuilt.expected_s
    assert live.expected_s == rebuilt.expected_s or isclose(*ends)


TestFleetHistory = FleetMachine.TestCase
TestFleetHistory.settings = settings(max_examples=60, stateful_step_count=40)
