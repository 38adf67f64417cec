"""Everything the extender's process holds: the fleet, its watches, the planner, the book."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from acesniper.api.decision import Decision
from acesniper.api.names import (
    DEVICE_PROFILES,
    INFERENCE_TASKS,
    MODEL_PROFILES,
    NODES,
    PLANNER_LEASE,
    PODS,
)
from acesniper.api.objects import Json
from acesniper.api.units import epoch_s
from acesniper.domain.cold_start import MB, ColdStartEstimator, StartDefaults
from acesniper.domain.reservations import PodUid
from acesniper.extender.admission import Admission
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.cache.decisions import DecisionCache
from acesniper.extender.filter_score import NoPredictionEvents
from acesniper.extender.latency_table import LatencyTable, LatencyTablePredictor
from acesniper.extender.metrics import (
    BACKLOG,
    PROFILE_AGE,
    WATCH_AGE,
    ExtenderMetrics,
    SampledGauges,
)
from acesniper.extender.page.routes import Page
from acesniper.extender.page.tasks import TaskHistory
from acesniper.extender.planner import Planner
from acesniper.policies.policy import Policy
from acesniper.runtime.client import Cluster, WriteGuard
from acesniper.runtime.events import EventRecorder
from acesniper.runtime.leader_election import LeaderElection
from acesniper.runtime.settings import ExtenderSettings
from acesniper.runtime.watch import Reflector

WatchHandler = Callable[[str, Json], None]
"""Is told what changed and how."""


@dataclass(slots=True)
class Extender:
    """The parts of the process, wired once."""

    fleet: ClusterCache
    book: DecisionCache
    metrics: ExtenderMetrics
    planner: Planner
    leadership: LeaderElection
    strangers: NoPredictionEvents
    reflectors: list[Reflector]
    sampled: SampledGauges
    page: Page | None = None

    @classmethod
    def build(
        cls,
        settings: ExtenderSettings,
        cluster: Cluster,
        predictor: LatencyTablePredictor,
        registry: CollectorRegistry,
    ) -> "Extender":
        """Wire the parts.

        Raises:
            ValueError: a policy's name is unknown.
        """
        guess = StartDefaults(
            settings.container_start_s,
            settings.image_pull_mb_per_s * MB,
            settings.model_fetch_mb_per_s * MB,
            settings.model_load_mb_per_s * MB,
        )
        fleet = ClusterCache(
            LatencyTable(predictor), time.time, settings.bind_timeout_s, ColdStartEstimator(guess)
        )
        book, metrics = DecisionCache(), ExtenderMetrics.on(registry)
        policy = Policy(
            settings.policy,
            settings.policy_classes,
            settings.aging_s,
            settings.deadline_quantile,
            settings.explore_share,
        )
        leadership = LeaderElection(
            *(cluster, settings.lease_namespace, PLANNER_LEASE, settings.identity),
            settings.lease_s,
            time.monotonic,
            time.time,
            fleet.changed.set,
        )
        # A plan that was made while we led is not carried out when we do not lead any more.
        admitting = Admission(fleet, cluster.guarded(WriteGuard(leadership.held)), book, metrics)
        planner = Planner(
            *(fleet, admitting, policy, metrics, settings.replan_s, settings.settle_s),
            may_act=leadership.held,
        )
        page = Page(fleet, planner, cluster, TaskHistory()) if settings.page else None
        take_task: WatchHandler = fleet.take_task
        if page is not None:
            take_task = _both(fleet.take_task, page.sightings.take)
        reflectors = [
            Reflector(cluster, NODES, fleet.take_node),
            Reflector(cluster, DEVICE_PROFILES, fleet.take_device_profile),
            Reflector(cluster, MODEL_PROFILES, fleet.take_model_profile),
            Reflector(cluster, INFERENCE_TASKS, take_task),
            Reflector(cluster, PODS, fleet.take_pod),
        ]
        strangers = NoPredictionEvents(EventRecorder(cluster, "acesniper-extender"), time.time)
        sampled = _sampled(fleet, reflectors)
        registry.register(sampled)
        return cls(fleet, book, metrics, planner, leadership, strangers, reflectors, sampled, page)

    async def run(self) -> None:
        """Follow the cluster and plan, until cancelled. No plan is made on half a picture."""
        async with asyncio.TaskGroup() as group:
            for reflector in self.reflectors:
                group.create_task(reflector.run())
            group.create_task(self.strangers.run())
            for reflector in self.reflectors:
                await reflector.synced.wait()
            group.create_task(self.leadership.run())
            group.create_task(self.planner.run())

    def unsynced(self) -> list[str]:
        """Kinds whose first list has not come yet; and latencies, until they are predicted."""
        kinds = [each.kind.plural for each in self.reflectors if not each.synced.is_set()]
        return kinds if self.planner.predicted.is_set() else [*kinds, "latencies"]

    def deaf(self) -> list[str]:
        """Kinds of which nothing was heard for minutes: this process sees the cluster no more."""
        return [kind for each in self.reflectors for kind in each.liveness.stalled()]

    def decision(self, pod: str) -> Decision | None:
        """The decision about a pod, given by UID or `namespace/name`.

        What an extender before us decided is read from the pod.
        """
        uid = self.pod_uid(pod)
        if uid is None:
            return None
        view = self.fleet.pods.get(PodUid(uid))
        return self.book.read(uid) or (Decision.read(view.decision) if view else None)

    def pod_uid(self, pod: str) -> str | None:
        """The UID of a pod given as `namespace/name`, or a UID itself."""
        if "/" not in pod:
            return pod
        return next((uid for uid, view in self.fleet.pods.items() if view.key == pod), None)

    def plan_rows(self) -> list[dict[str, object]]:
        """The running plan, in order: task, device, when, how long (seconds from now)."""
        return [
            {
                "task": planned.task.key,
                "device": planned.device.id,
                "startsInSeconds": planned.start_s,
                "busySeconds": planned.busy_s,
            }
            for planned in self.planner.rows()
        ]


def _both(first: WatchHandler, second: WatchHandler) -> WatchHandler:
    def take(change: str, manifest: Json) -> None:
        first(change, manifest)
        second(change, manifest)

    return take


def _sampled(fleet: ClusterCache, reflectors: Sequence[Reflector]) -> SampledGauges:
    """Gauges that are read when asked."""

    def backlog() -> Iterable[tuple[str, float]]:
        now_s = fleet.clock()
        for device in fleet.devices:
            yield device.id, fleet.ledger.backlog_s(device.id, now_s)

    def profile_age() -> Iterable[tuple[str, float]]:
        now_s = fleet.clock()
        for device, measured_at in fleet.devices.measured_at.items():
            yield device, max(now_s - epoch_s(measured_at), 0.0)

    def watch_age() -> Iterable[tuple[str, float]]:
        now_s = time.monotonic()
        for each in reflectors:
            if each.synced.is_set():
                yield each.kind.plural, now_s - each.last_event_s

    return SampledGauges(((BACKLOG, backlog), (PROFILE_AGE, profile_age), (WATCH_AGE, watch_age)))
