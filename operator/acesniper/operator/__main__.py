"""Starts the operator: settings, adapters, kopf and the controller on one loop."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import kopf
import uvloop
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.process_collector import ProcessCollector

from acesniper.api.names import (
    NODES,
    OPERATOR_LEASE,
    PLANNER_LEASE,
    PODS,
    PRIORITY_CLASSES,
    TASK_LABEL,
)
from acesniper.api.v1alpha1 import ModelProfileSpec
from acesniper.api.volume_rules import VOLUME_KINDS
from acesniper.domain.errors import InvalidInput
from acesniper.domain.model import ModelFeatures
from acesniper.domain.prediction import Predictor
from acesniper.operator.admission_window import AdmissionWindow
from acesniper.operator.cache import ObjectCache
from acesniper.operator.controller import Controller
from acesniper.operator.crds import wait_until_served
from acesniper.operator.degraded import DegradedMode
from acesniper.operator.device_profiles import DeviceReconciler
from acesniper.operator.handlers import build_registry
from acesniper.operator.metrics import OperatorMetrics
from acesniper.operator.model_profiles import ModelReconciler
from acesniper.operator.model_readers import FETCHES, ModelFetcher, ModelReaderPods
from acesniper.operator.progress import ProgressFollower
from acesniper.operator.task.reconciler import TaskReconciler
from acesniper.operator.task.volumes import NodeCache
from acesniper.policies.policy import Policy
from acesniper.policies.shares import ShareAccounts, Shares
from acesniper.predictor.factory import ReplaceablePredictor, default_predictor
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.onnx.sandbox import container_limits, read_model
from acesniper.runtime import logs
from acesniper.runtime.client import Cluster, WriteGuard
from acesniper.runtime.events import EventRecorder
from acesniper.runtime.leader_election import LeaderElection
from acesniper.runtime.settings import OperatorSettings
from acesniper.runtime.skipped import SINGULAR
from acesniper.runtime.watch import Reflector


def _read(path: Path, spec: ModelProfileSpec) -> ModelFeatures:
    return read_model(
        path, batch=spec.batch_size, shapes=spec.input_shapes, limits=container_limits()
    )


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
    store, clock = ObjectCache(), time.time
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
        ),
        models=ModelReconciler(
            cluster=cluster,
            store=store,
            fetcher=ModelFetcher(cluster, settings.max_model_bytes, settings.fetch_timeout_s),
            read=_read,
            features_version=FEATURES_VERSION,
            metrics=metrics,
            events=events,
            predictor=predictor,
            clock=clock,
            pods=ModelReaderPods(cluster, settings.runner_image),
        ),
        devices=DeviceReconciler(
            cluster=cluster, store=store, metrics=metrics, events=events, clock=clock
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


def build_leader_election(settings: OperatorSettings, cluster: Cluster) -> LeaderElection:
    """The election that decides whether this operator may act."""
    return LeaderElection(
        cluster=cluster,
        namespace=settings.lease_namespace,
        name=OPERATOR_LEASE,
        identity=settings.identity,
        duration_s=settings.lease_s,
        clock=time.monotonic,
        wall_clock=time.time,
    )


async def operate(settings: OperatorSettings, metrics: OperatorMetrics) -> None:
    """Run the operator until kopf is stopped."""
    async with Cluster.connect(settings.kubeconfig, settings.watch_silence_s) as cluster:
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
            reconciling = controller.run(settings.workers, model_workers=FETCHES)
            background.append(group.create_task(reconciling))
            background.append(group.create_task(election.run()))
            if isinstance(predictor, ReplaceablePredictor):
                reload = predictor.follow(controller.predictor_replaced)
                background.append(group.create_task(reload))

            def stalled() -> list[str]:
                return [kind for reflector in reflectors for kind in reflector.liveness.stalled()]

            await wait_until_served(cluster)
            await kopf.operator(
                registry=build_registry(controller, settings.watch_silence_s, stalled),
                clusterwide=not settings.namespace,
                namespaces=[settings.namespace] if settings.namespace else [],
                liveness_endpoint=f"http://0.0.0.0:{settings.health_port}/healthz",
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
    start_http_server(settings.metrics_port, registry=registry)
    try:
        uvloop.run(operate(settings, OperatorMetrics.on(registry)))
    except InvalidInput as error:
        return _report(error)
    return 0


def _report(error: InvalidInput) -> int:
    sys.stderr.write(f"acesniper operator: {error}\n")
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
