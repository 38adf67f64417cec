"""Starts the operator: settings, adapters, kopf and the controller on one loop."""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable
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
from acesniper.operator.model_readers import ModelFetcher, ModelReaderPods
from acesniper.operator.progress import ProgressFollower
from acesniper.operator.task.reconciler import TaskReconciler
from acesniper.operator.task.volumes import NodeCache
from acesniper.policies.policy import Policy
from acesniper.predictor.factory import ReplaceablePredictor, default_predictor
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.predictor.onnx.sandbox import container_limits, read_model
from acesniper.runtime import logs
from acesniper.runtime.client import Cluster, WriteGuard
from acesniper.runtime.events import EventRecorder
from acesniper.runtime.leader_election import LeaderElection
from acesniper.runtime.settings import OperatorSettings
from acesniper.runtime.watch import Reflector


def _read(path: Path, spec: ModelProfileSpec) -> ModelFeatures:
    return read_model(
        path, batch=spec.batch_size, shapes=spec.input_shapes, limits=container_limits()
    )


def predictor_of(settings: OperatorSettings) -> Predictor:
    """The shipped network, or the one in a file that may be replaced."""
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
    """Wire the parts; nothing is written while we may not act."""
    store, clock = ObjectCache(), time.time
    cluster = connection.guarded(WriteGuard(may_act))
    events = EventRecorder(cluster, "acesniper-operator")
    policy = Policy(settings.policy, settings.policy_classes, settings.aging_s)
    window = AdmissionWindow(store, settings.max_gated_pods, policy)
    fetcher = ModelFetcher(cluster, settings.max_model_bytes, settings.fetch_timeout_s)
    return Controller(
        store=store,
        window=window,
        tasks=TaskReconciler(
            *(cluster, store, window, metrics, events, settings.runner_image, clock),
            settings.start_patience_s,
            NodeCache(settings.model_cache, settings.model_cache_bytes)
            if settings.model_cache
            else None,
        ),
        models=ModelReconciler(
            *(cluster, store, fetcher, _read, FEATURES_VERSION, metrics, events),
            predictor,
            clock,
            ModelReaderPods(cluster, settings.runner_image),
        ),
        devices=DeviceReconciler(cluster, store, metrics, events, clock),
        metrics=metrics,
        clock=clock,
        fallback=DegradedMode(
            *(cluster, store, metrics, settings.lease_namespace, PLANNER_LEASE),
            settings.planner_patience_s,
            time.monotonic,
        ),
        progress=ProgressFollower(cluster, store, clock, settings.progress_s, may_act)
        if settings.progress_s
        else None,
        may_act=may_act,
    )


def build_leadership(settings: OperatorSettings, cluster: Cluster) -> LeaderElection:
    """What says whether we may act."""
    return LeaderElection(
        *(cluster, settings.lease_namespace, OPERATOR_LEASE, settings.identity),
        *(settings.lease_s, time.monotonic, time.time),
    )


async def operate(settings: OperatorSettings, metrics: OperatorMetrics) -> None:
    """Operate until told to stop."""
    async with Cluster.connect(settings.kubeconfig, settings.watch_silence_s) as cluster:
        predictor = predictor_of(settings)
        leadership = build_leadership(settings, cluster)
        controller = build_controller(settings, cluster, metrics, predictor, leadership.held)
        leadership.on_change = controller.look_at_all
        metrics.leading.set_function(lambda: float(leadership.held()))
        pods = Reflector(cluster, PODS, controller.pod_change, labels=TASK_LABEL)
        nodes = Reflector(cluster, NODES, controller.node_change)
        classes = Reflector(cluster, PRIORITY_CLASSES, controller.priority_change)
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(each.run()) for each in (pods, nodes, classes)]
            # A task must not be judged before its pods are known.
            await asyncio.gather(pods.synced.wait(), nodes.synced.wait())
            background.append(group.create_task(controller.run(settings.workers)))
            background.append(group.create_task(leadership.run()))
            if isinstance(predictor, ReplaceablePredictor):
                replacing = predictor.follow(controller.predict_anew)
                background.append(group.create_task(replacing))

            def deaf() -> list[str]:
                watches = (pods, nodes, classes)
                return [kind for watch in watches for kind in watch.liveness.stalled()]

            await wait_until_served(cluster)
            await kopf.operator(
                registry=build_registry(controller, settings.watch_silence_s, deaf),
                clusterwide=not settings.namespace,
                namespaces=[settings.namespace] if settings.namespace else [],
                liveness_endpoint=f"http://0.0.0.0:{settings.health_port}/healthz",
            )
            for each in background:
                each.cancel()


def main() -> int:
    """The program; 2 if its settings are wrong, or name no cluster."""
    try:
        settings = OperatorSettings.read(os.environ)
    except InvalidInput as error:
        return _wrong(error)
    logs.configure(settings.log_format, settings.log_level)
    # kopf tells of every handler that ran; what matters is told by the controller.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)
    if settings.kubeconfig is not None:
        # The one way to tell kopf's own login.
        os.environ["KUBECONFIG"] = str(settings.kubeconfig)
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    start_http_server(settings.metrics_port, registry=registry)
    try:
        uvloop.run(operate(settings, OperatorMetrics.on(registry)))
    except InvalidInput as error:
        return _wrong(error)
    return 0


def _wrong(error: InvalidInput) -> int:
    sys.stderr.write(f"acesniper operator: {error}\n")
    return 2


if __name__ == "__main__":
    raise SystemExit(main())
