"""Builds the objects of the extender's process and connects them."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

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
from acesniper.api.objects import DecisionKey, Json
from acesniper.api.units import epoch_s
from acesniper.api.volume_rules import VOLUME_KINDS
from acesniper.domain.cold_start import MB, ColdStartEstimator, StartDefaults
from acesniper.domain.reservations import PodUid
from acesniper.extender.admission import Admission
from acesniper.extender.cache.cluster import ClusterCache
from acesniper.extender.cache.decisions import DecisionCache
from acesniper.extender.filter_score import NoPredictionEvents
from acesniper.extender.latency_table import LatencyTable
from acesniper.extender.metrics import (
    BACKLOG,
    NAMESPACE_HELD,
    NAMESPACE_USED,
    NAMESPACE_WAITING,
    PROFILE_AGE,
    SKIPPED,
    WATCH_AGE,
    ExtenderMetrics,
    ReadValues,
    SampledGauges,
)
from acesniper.extender.namespaces import NamespaceShares, NamespaceUse
from acesniper.extender.page.routes import Page
from acesniper.extender.page.tasks import TaskHistory
from acesniper.extender.planner import Planner
from acesniper.extender.watch_events import WatchEvents
from acesniper.policies.policy import Policy
from acesniper.policies.shares import ShareAccounts, Shares
from acesniper.predictor.base import LatencyPredictor
from acesniper.runtime.client import Cluster, WriteGuard
from acesniper.runtime.events import EventRecorder
from acesniper.runtime.leader_election import LeaderElection
from acesniper.runtime.settings import ExtenderSettings
from acesniper.runtime.skipped import SkippedObjects
from acesniper.runtime.watch import Reflector

WatchHandler = Callable[[str, Json], None]
"""Receives the change (UPSERT or DELETE) and the object."""


@dataclass(slots=True, kw_only=True)
class Extender:
    """The objects of the process: cluster cache, watches, planner, decisions, metrics and page."""

    cache: ClusterCache
    decisions: DecisionCache
    metrics: ExtenderMetrics
    planner: Planner
    leader_election: LeaderElection
    no_prediction_events: NoPredictionEvents
    reflectors: list[Reflector]
    gauges: SampledGauges
    page: Page | None = None

    @classmethod
    def build(
        cls,
        settings: ExtenderSettings,
        cluster: Cluster,
        predictor: LatencyPredictor,
        registry: CollectorRegistry,
    ) -> "Extender":
        """Build everything from the settings.

        Raises:
            ValueError: a policy's name is unknown.
        """
        cache = _cache(settings, predictor)
        decisions, metrics = DecisionCache(), ExtenderMetrics.on(registry)
        leader_election = LeaderElection(
            cluster,
            settings.lease_namespace,
            PLANNER_LEASE,
            settings.identity,
            settings.lease_s,
            time.monotonic,
            time.time,
            cache.changed.set,
            settings.lease_max_s,
        )
        planner = Planner(
            cache=cache,
            admission=Admission(
                cache=cache,
                # A plan made while leading must not be carried out after the lease is lost.
                cluster=cluster.guarded(WriteGuard(leader_election.held)),
                decisions=decisions,
                metrics=metrics,
            ),
            policy=_policy(settings),
            metrics=metrics,
            replan_s=settings.replan_s,
            batch_s=settings.settle_s,
            may_act=leader_election.held,
            shares=NamespaceShares(_share_accounts(settings)),
        )
        page = None
        if settings.page:
            page = Page(cache=cache, planner=planner, cluster=cluster, history=TaskHistory())
        reflectors = _reflectors(cluster, WatchEvents(cache), page)
        gauges = _sampled_gauges(cache, reflectors, planner)
        registry.register(gauges)
        return cls(
            cache=cache,
            decisions=decisions,
            metrics=metrics,
            planner=planner,
            leader_election=leader_election,
            no_prediction_events=NoPredictionEvents(
                EventRecorder(cluster, "acesniper-extender"), time.time
            ),
            reflectors=reflectors,
            gauges=gauges,
            page=page,
        )

    async def run(self) -> None:
        """Watch the cluster and plan until cancelled; plan only once all kinds are synced."""
        async with asyncio.TaskGroup() as group:
            for reflector in self.reflectors:
                group.create_task(reflector.run())
            group.create_task(self.no_prediction_events.run())
            for reflector in self.reflectors:
                await reflector.synced.wait()
            group.create_task(self.leader_election.run())
            group.create_task(self.planner.run())

    def unsynced(self) -> list[str]:
        """Return kinds without an initial list, and "latencies" until they are predicted."""
        kinds = [watch.kind.plural for watch in self.reflectors if not watch.synced.is_set()]
        return kinds if self.planner.predicted.is_set() else [*kinds, "latencies"]

    def stalled(self) -> list[str]:
        """Return kinds whose watch has received neither events nor bookmarks for minutes."""
        return [kind for reflector in self.reflectors for kind in reflector.liveness.stalled()]

    def decision(self, pod: str) -> Decision | None:
        """Return the decision about a pod, given by UID or `namespace/name`.

        One that was made before a restart, or by another replica, is read from the pod.
        """
        uid = self.pod_uid(pod)
        if uid is None:
            return None
        view = self.cache.pods.get(PodUid(uid))
        return self.decisions.get(uid) or (Decision.read(view.decision) if view else None)

    def pod_uid(self, pod: str) -> str | None:
        """Return the UID of a pod given by `namespace/name`, or a given UID itself."""
        if "/" not in pod:
            return pod
        return next((uid for uid, view in self.cache.pods.items() if view.key == pod), None)

    def plan_rows(self) -> list[dict[str, object]]:
        """Return the current plan in order: task, device, start and duration, in seconds."""
        return [
            {
                "task": planned.task.key,
                "device": planned.device.id,
                "startsInSeconds": planned.start_s,
                "busySeconds": planned.busy_s,
            }
            for planned in self.planner.queue()
        ]


def _cache(settings: ExtenderSettings, predictor: LatencyPredictor) -> ClusterCache:
    defaults = StartDefaults(
        settings.container_start_s,
        settings.image_pull_mb_per_s * MB,
        settings.model_fetch_mb_per_s * MB,
        settings.model_load_mb_per_s * MB,
    )
    path = settings.decision_key
    return ClusterCache(
        key=DecisionKey.of_file(path) if path else DecisionKey.random(),
        table=LatencyTable(predictor),
        clock=time.time,
        bind_timeout_s=settings.bind_timeout_s,
        start_times=ColdStartEstimator(defaults, settings.learn_from_containers),
    )


def _share_accounts(settings: ExtenderSettings) -> ShareAccounts | None:
    if not settings.fair_shares:
        return None
    return ShareAccounts(
        Shares(
            settings.namespace_weights,
            settings.namespace_limits,
            cluster_priorities=settings.priority_scope == "cluster",
        )
    )


def _policy(settings: ExtenderSettings) -> Policy:
    return Policy(
        name=settings.policy,
        classes=settings.policy_classes,
        aging_s=settings.aging_s,
        deadline_quantile=settings.deadline_quantile,
        explore_share=settings.explore_share,
        max_run_s=settings.max_task_s or inf,
    )


def _reflectors(cluster: Cluster, events: WatchEvents, page: Page | None) -> list[Reflector]:
    tasks: WatchHandler = events.task
    if page is not None:
        tasks = _both(events.task, page.history.apply)
    skipped = SkippedObjects()
    return [
        Reflector(cluster, NODES, events.node, skipped=skipped),
        Reflector(cluster, DEVICE_PROFILES, events.device_profile, skipped=skipped),
        Reflector(cluster, MODEL_PROFILES, events.model_profile, skipped=skipped),
        Reflector(cluster, INFERENCE_TASKS, tasks, skipped=skipped),
        Reflector(cluster, PODS, events.pod, skipped=skipped),
        *(
            Reflector(cluster, kind, partial(events.volume, kind), skipped=skipped)
            for kind in VOLUME_KINDS
        ),
    ]


def _both(first: WatchHandler, second: WatchHandler) -> WatchHandler:
    def handle(change: str, manifest: Json) -> None:
        first(change, manifest)
        second(change, manifest)

    return handle


def _sampled_gauges(
    cache: ClusterCache, reflectors: Sequence[Reflector], planner: Planner
) -> SampledGauges:
    """Gauges whose values are read from the live state at each scrape."""

    def backlog() -> Iterable[tuple[str, float]]:
        now_s = cache.clock()
        for device in cache.devices:
            yield device.id, cache.ledger.backlog_s(device.id, now_s)

    def profile_age() -> Iterable[tuple[str, float]]:
        now_s = cache.clock()
        for device, measured_at in cache.devices.measured_at.items():
            yield device, max(now_s - epoch_s(measured_at), 0.0)

    def watch_age() -> Iterable[tuple[str, float]]:
        now_s = time.monotonic()
        for reflector in reflectors:
            if reflector.synced.is_set():
                yield reflector.kind.plural, now_s - reflector.last_event_s

    def skipped() -> Iterable[tuple[str, float]]:
        for reflector in reflectors:
            kind = reflector.kind.plural
            yield kind, reflector.skipped.count(kind)

    def of_namespaces(read: Callable[[NamespaceUse], float]) -> ReadValues:
        return lambda: [(name, read(use)) for name, use in planner.shares.uses.items()]

    return SampledGauges(
        (
            (BACKLOG, backlog),
            (PROFILE_AGE, profile_age),
            (WATCH_AGE, watch_age),
            (SKIPPED, skipped),
            (NAMESPACE_USED, of_namespaces(lambda use: use.used_s)),
            (NAMESPACE_HELD, of_namespaces(lambda use: use.held_s)),
            (NAMESPACE_WAITING, of_namespaces(lambda use: use.waiting_s)),
        )
    )
