"""Starts the operator: settings, adapters, kopf and the controller on one loop."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import kopf
import uvloop
from prometheus_client import CollectorRegistry
from prometheus_client.process_collector import ProcessCollector

from acesniper.api.names import (
    DEVICE_PROFILES,
    NODES,
    OPERATOR_LEASE,
    PLANNER_LEASE,
    PODS,
    PRIORITY_CLASSES,
    TASK_LABEL,
)
from acesniper.api.objects import DecisionKey
from acesniper.api.v1alpha1 import ModelProfileSpec
from acesniper.api.volume_rules import VOLUME_KINDS
from acesniper.domain.errors import InvalidInput
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Predictor
from acesniper.operator.admission_window import AdmissionWindow
from acesniper.operator.cache import ObjectCache
from acesniper.operator.controller import Controller
from acesniper.operator.crds import list_when_served
from acesniper.operator.degraded import DegradedMode
from acesniper.operator.device_profiles import DeviceReconciler
from acesniper.operator.endpoints import Health, endpoints_served
from acesniper.operator.handlers import build_registry
from acesniper.operator.metrics import OperatorMetrics
from acesniper.operator.model_fetcher import FETCHES, ModelFetcher
from acesniper.operator.model_profiles import ModelReconciler
from acesniper.operator.model_readers import ModelReaderPods
from acesniper.operator.model_reading import ModelReading, fair_order
from acesniper.operator.progress import ProgressFollower
from acesniper.operator.task.reconciler import TaskReconciler
from acesniper.operator.task.volumes import NodeCache, PodDefaults
from acesniper.operator.unused_profiles import UnusedProfiles
from acesniper.policies.policy import Policy
from acesniper.policies.shares import ShareAccounts, Shares
from acesniper.predictor.factory import ReplaceablePredictor, default_predictor
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.onnx.sandbox import DEFAULT_LIMITS, container_limits, read_model
from acesniper.runtime import logs
from acesniper.runtime.artifacts import Destinations
from acesniper.runtime.client import Cluster, WriteGuard
from acesniper.runtime.events import EventRecorder
from acesniper.runtime.leader_election import LeaderElection
from acesniper.runtime.settings import OperatorSettings
from acesniper.runtime.skipped import SINGULAR, UPSERT
from acesniper.runtime.watch import Reflector


def _read(cpu_s: int, path: Path, spec: ModelProfileSpec) -> ModelFeatures:
    limits = container_limits(replace(DEFAULT_LIMITS, cpu_s=cpu_s))
    return read_model(path, batch=spec.batch_size, shapes=spec.input_shapes, limits=limits)


def predictor_of(settings: OperatorSettings) -> Predictor:
    """The shipped network, or the one in a file that may be replaced at run time."""
    if settings.network is not None:
        return ReplaceablePredictor(settings.network)
    return default_predictor()


def build_controller(
    settings: OperatorSettings,
    connection: Cluster,
    metrics: OperatorMetrics,
    predictor: Predictor,
    may_act: Callable[[], bool] = lambda: True,
) -> Controller:
    """Wire the controller; nothing is written while `may_act` is False."""
    path = settings.decision_key
    store, clock = ObjectCache(key=DecisionKey.of_file(path) if path else None), time.time
    cluster = connection.guarded(WriteGuard(may_act))
    events = EventRecorder(cluster, "acesniper-operator")
    policy = Policy(settings.policy, settings.policy_classes, settings.aging_s)
    window = AdmissionWindow(store, settings.max_gated_pods, policy, _share_accounts(settings))
    progress = None
    if settings.progress_s:
        progress = ProgressFollower(
            cluster=cluster,
            store=store,
            clock=clock,
            interval_s=settings.progress_s,
            may_act=may_act,
        )
    return Controller(
        store=store,
        window=window,
        tasks=TaskReconciler(
            cluster=cluster,
            store=store,
            window=window,
            metrics=metrics,
            events=events,
            image=settings.runner_image,
            clock=clock,
            start_patience_s=settings.start_patience_s,
            cache=_node_cache(settings),
            max_task_s=settings.max_task_s,
            run_limit_factor=settings.run_limit_factor,
            run_limit_floor_s=settings.run_limit_floor_s,
            defaults=PodDefaults(
                settings.runner_scratch, settings.runner_cpu, settings.runner_memory
            ),
        ),
        models=ModelReconciler(
            cluster=cluster,
            store=store,
            reading=ModelReading(
                fetcher=ModelFetcher(
                    cluster,
                    settings.max_model_bytes,
                    settings.fetch_timeout_s,
                    Destinations(settings.fetch_networks, internal=store.cluster_networks),
                ),
                read_graph=partial(_read, settings.read_cpu_s),
                pods=ModelReaderPods(cluster, settings.runner_image, settings.runner_scratch),
            ),
            features_version=FEATURES_VERSION,
            metrics=metrics,
            events=events,
            predictor=predictor,
            clock=clock,
        ),
        devices=DeviceReconciler(
            cluster=cluster,
            store=store,
            metrics=metrics,
            events=events,
            clock=clock,
            learn_from_containers=settings.learn_from_containers,
        ),
        metrics=metrics,
        clock=clock,
        degraded=DegradedMode(
            cluster=cluster,
            store=store,
            metrics=metrics,
            namespace=settings.lease_namespace,
            lease=PLANNER_LEASE,
            patience_s=settings.planner_patience_s,
            clock=time.monotonic,
        ),
        progress=progress,
        may_act=may_act,
        model_order=fair_order(store.models),
    )


def _share_accounts(settings: OperatorSettings) -> ShareAccounts | None:
    if not settings.fair_shares:
        return None
    # What a namespace may hold at once is limited by the planner, which knows what it holds.
    cluster_priorities = settings.priority_scope == "cluster"
    return ShareAccounts(Shares(settings.namespace_weights, cluster_priorities=cluster_priorities))


def _node_cache(settings: OperatorSettings) -> NodeCache | None:
    if not settings.model_cache:
        return None
    return NodeCache(settings.model_cache, settings.model_cache_bytes)


def build_unused_profiles(
    settings: OperatorSettings,
    controller: Controller,
    connection: Cluster,
    may_act: Callable[[], bool],
) -> UnusedProfiles:
    """The collector of profiles that no task uses any more."""
    return UnusedProfiles(
        cluster=connection.guarded(WriteGuard(may_act)),
        store=controller.store,
        grace_s=settings.profile_grace_s,
        clock=time.monotonic,
        may_act=may_act,
    )


def build_leader_election(settings: OperatorSettings, cluster: Cluster) -> LeaderElection:
    """The election that decides whether this operator may act."""
    return LeaderElection(
        cluster=cluster,
        namespace=settings.lease_namespace,
        name=OPERATOR_LEASE,
        identity=settings.identity,
        duration_s=settings.lease_s,
        max_duration_s=settings.lease_max_s,
        clock=time.monotonic,
        wall_clock=time.time,
    )


async def operate(settings: OperatorSettings, registry: CollectorRegistry) -> None:
    """Run the operator until kopf is stopped."""
    metrics, health = OperatorMetrics.on(registry), Health()
    ports = settings.health_port, settings.metrics_port
    async with (
        endpoints_served(ports, health, registry, metrics),
        Cluster.connect(settings.kubeconfig, settings.watch_silence_s) as cluster,
    ):
        predictor = predictor_of(settings)
        election = build_leader_election(settings, cluster)
        controller = build_controller(settings, cluster, metrics, predictor, election.held)
        election.on_change = controller.resync
        metrics.leading.set_function(lambda: float(election.held()))
        skipped = controller.skipped
        for plural, kind in SINGULAR.items():
            metrics.skipped_objects.labels(kind).set_function(partial(skipped.count, plural))
        pods = Reflector(cluster, PODS, controller.pod_change, TASK_LABEL, skipped=skipped)
        nodes = Reflector(cluster, NODES, controller.node_change, skipped=skipped)
        priorities = Reflector(
            cluster, PRIORITY_CLASSES, controller.priority_change, skipped=skipped
        )
        volumes = [
            Reflector(cluster, kind, partial(controller.store.volume_change, kind), skipped=skipped)
            for kind in VOLUME_KINDS
        ]
        reflectors = (pods, nodes, priorities, *volumes)
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(reflector.run()) for reflector in reflectors]
            # Decisions about a task need its pods and nodes in the cache.
            await asyncio.gather(pods.synced.wait(), nodes.synced.wait())
            # A node has the slots of its devices: while they are unknown, it would get none.
            for profile in await list_when_served(cluster, DEVICE_PROFILES):
                skipped.deliver(DEVICE_PROFILES, controller.device_change, UPSERT, profile)
            reconciling = controller.run(settings.workers, model_workers=FETCHES)
            background.append(group.create_task(reconciling))
            background.append(group.create_task(election.run()))
            unused = build_unused_profiles(settings, controller, cluster, election.held)
            background.append(group.create_task(unused.run()))
            if isinstance(predictor, ReplaceablePredictor):
                reload = predictor.follow(controller.predictor_replaced)
                background.append(group.create_task(reload))

            watches: tuple[ObjectCache | Reflector, ...] = (controller.store, *reflectors)
            health.stalled = lambda: [kind for by in watches for kind in by.liveness.stalled()]
            await kopf.operator(
                registry=build_registry(controller, settings.watch_silence_s),
                clusterwide=not settings.namespace,
                namespaces=[settings.namespace] if settings.namespace else [],
            )
            for task in background:
                task.cancel()


def main() -> int:
    """Run the operator; returns 2 if its settings are invalid or name no cluster."""
    try:
        settings = OperatorSettings.read(os.environ)
    except InvalidInput as error:
        return _report(error)
    logs.configure(settings.log_format, settings.log_level)
    # kopf logs every handler; the controller logs what matters.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    if settings.kubeconfig is not None:
        # Read by kopf's own login.
        os.environ["KUBECONFIG"] = str(settings.kubeconfig)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    try:
        uvloop.run(operate(settings, registry))
    except InvalidInput as error:
        return _report(error)
    return 0


def _report(error: InvalidInput) -> int:
    sys.stderr.write(f"acesniper operator: {error}\n")
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
