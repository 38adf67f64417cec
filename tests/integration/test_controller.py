"""The controller with the events of kopf and the reflectors."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from acesniper.api.names import (
    DEVICE_PROFILES,
    INFERENCE_TASKS,
    MODEL_PROFILES,
    NODES,
    PODS,
    SLOT_RESOURCE,
    Kind,
)
from acesniper.api.objects import Json
from acesniper.operator.__main__ import build_controller, predictor_of
from acesniper.operator.controller import DEVICE_CHANGE_DELAY_S, Controller
from acesniper.operator.metrics import OperatorMetrics
from acesniper.predictor.features import FEATURES_VERSION
from acesniper.runtime.settings import OperatorSettings
from acesniper.runtime.skipped import UPSERT
from acesniper.runtime.watch import Reflector
from builders import (
    make_device_profile,
    make_itask,
    make_model_profile,
    make_node,
    make_pod,
)
from fake_cluster import FakeCluster
from virtual_time import in_virtual_time

MODEL = make_model_profile(version=FEATURES_VERSION)
WORKERS = 4


@dataclass
class Setup:
    cluster: FakeCluster
    controller: Controller
    registry: CollectorRegistry

    async def until(self, kind: Kind, name: str, *path: str, becomes: object) -> None:
        """Wait until the field of an object has a value."""
        namespace = "default" if kind.namespaced else None
        async with asyncio.timeout(30):
            async for _ in self.cluster.watch(kind, "0"):
                value: object = self.cluster.one(kind, name, namespace)
                for step in path:
                    value = value.get(step) if isinstance(value, dict) else None
                if value == becomes:
                    return


@asynccontextmanager
async def operating(*objects: tuple[Kind, Json]) -> AsyncIterator[Setup]:
    cluster, registry = FakeCluster(), CollectorRegistry()
    for kind, obj in objects:
        cluster.put(kind, obj)
    settings, metrics = OperatorSettings(), OperatorMetrics.on(registry)
    controller = build_controller(settings, cluster, metrics, predictor_of(settings))
    follow = (
        (NODES, controller.node_change),
        (PODS, controller.pod_change),
        (DEVICE_PROFILES, lambda kind, obj: controller.device_event(kind != UPSERT, obj)),
        (MODEL_PROFILES, lambda kind, obj: controller.model_event(kind != UPSERT, obj)),
        (INFERENCE_TASKS, lambda kind, obj: controller.task_event(kind != UPSERT, obj)),
    )
    reflectors = [Reflector(cluster, kind, take) for kind, take in follow]
    jobs = [asyncio.create_task(reflector.run()) for reflector in reflectors]
    jobs.append(asyncio.create_task(controller.run(WORKERS, model_workers=WORKERS)))
    try:
        yield Setup(cluster, controller, registry)
    finally:
        for job in jobs:
            job.cancel()
        for job in jobs:
            with suppress(asyncio.CancelledError):
                await job


@in_virtual_time
async def test_watch_events_alone_drive_a_task_to_its_end() -> None:
    async with operating((NODES, make_node("n")), (MODEL_PROFILES, MODEL)) as setup:
        setup.cluster.put(INFERENCE_TASKS, make_itask("t"))
        await setup.until(INFERENCE_TASKS, "t", "status", "phase", becomes="Queued")
        (pod,) = setup.cluster.all(PODS)
        name = pod["metadata"]["name"]
        bound = {"spec": {"schedulingGates": [], "nodeName": "n"}, "status": {"phase": "Running"}}
        setup.cluster.change(PODS, name, "default", bound)
        await setup.until(INFERENCE_TASKS, "t", "status", "phase", becomes="Running")
        setup.cluster.change(PODS, name, "default", {"status": {"phase": "Succeeded"}})
        await setup.until(INFERENCE_TASKS, "t", "status", "phase", becomes="Succeeded")

    assert len(setup.cluster.created(PODS)) == 1


@in_virtual_time
async def test_a_task_continues_when_its_model_is_created() -> None:
    async with operating() as setup:
        setup.cluster.put(INFERENCE_TASKS, make_itask("t"))
        await setup.until(INFERENCE_TASKS, "t", "status", "phase", becomes="Pending")
        setup.cluster.put(MODEL_PROFILES, MODEL)
        await setup.until(INFERENCE_TASKS, "t", "status", "phase", becomes="Queued")


@in_virtual_time
async def test_slow_downloads_of_models_delay_no_task() -> None:
    async def wait(*_: object) -> None:
        await asyncio.Event().wait()

    reading = SimpleNamespace(read=wait)
    slow = [(MODEL_PROFILES, make_model_profile(f"slow-{n}")) for n in range(WORKERS)]
    async with operating((MODEL_PROFILES, MODEL), (NODES, make_node("n"))) as setup:
        setup.controller.models.reading = reading  # type: ignore[assignment]  # never done
        for kind, model in slow:
            setup.cluster.put(kind, model)
        await asyncio.sleep(1.0)
        setup.cluster.put(INFERENCE_TASKS, make_itask("t"))
        await setup.until(INFERENCE_TASKS, "t", "status", "phase", becomes="Queued")


@in_virtual_time
async def test_a_device_adds_a_slot_to_its_node_and_its_deletion_removes_it() -> None:
    field = ("status", "allocatable", SLOT_RESOURCE)
    async with operating((NODES, make_node("n"))) as setup:
        setup.cluster.put(DEVICE_PROFILES, make_device_profile("d", "n"))
        await setup.until(NODES, "n", *field, becomes="1")
        setup.cluster.remove(DEVICE_PROFILES, "d")
        await setup.until(NODES, "n", *field, becomes="0")


@in_virtual_time
async def test_an_invalid_object_is_logged_and_ignored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        async with operating((MODEL_PROFILES, MODEL)) as setup:
            setup.cluster.put(INFERENCE_TASKS, make_itask("bad", inferences=0))
            setup.cluster.put(INFERENCE_TASKS, make_itask("good"))
            await setup.until(INFERENCE_TASKS, "good", "status", "phase", becomes="Queued")

    assert "InferenceTask default/bad cannot be read" in caplog.text


@in_virtual_time
async def test_a_pod_without_a_task_queues_nothing() -> None:
    async with operating() as setup:
        setup.controller.pod_change(UPSERT, make_pod(task=None))

        assert len(setup.controller.queue) == 0


@in_virtual_time
async def test_the_time_of_every_event_is_in_the_metrics() -> None:
    async with operating() as setup:
        setup.controller.pod_change(UPSERT, make_pod(task=None))

    name = "acesniper_watch_last_event_timestamp_seconds"
    seen_s = setup.registry.get_sample_value(name, {"kind": "Pod"})
    assert seen_s is not None
    assert seen_s > 0


@in_virtual_time
async def test_models_are_requeued_after_a_probe_but_not_after_observed_runs() -> None:
    def looks() -> float:
        name, labels = "acesniper_reconcile_seconds_count", {"kind": "model"}
        return setup.registry.get_sample_value(name, labels) or 0.0

    async def after(status: Json) -> float:
        before = looks()
        setup.cluster.change(DEVICE_PROFILES, "d", None, {"status": status})
        await asyncio.sleep(2 * DEVICE_CHANGE_DELAY_S)  # virtual
        return looks() - before

    async with operating((MODEL_PROFILES, MODEL)) as setup:
        setup.cluster.put(DEVICE_PROFILES, make_device_profile("d", "n"))
        await asyncio.sleep(2 * DEVICE_CHANGE_DELAY_S)  # virtual
        assert await after({"calibration": "1.00 x predicted"}) == 0.0
        assert await after({"measuredAt": "1970-01-01T00:00:01Z"}) == 1.0


@in_virtual_time
async def test_tasks_on_a_not_ready_or_deleted_node_are_requeued_immediately() -> None:
    running = {"phase": "Running", "modelProfile": "model"}
    objects = (NODES, make_node("n")), (MODEL_PROFILES, MODEL)
    async with operating(*objects) as setup:
        setup.cluster.put(INFERENCE_TASKS, make_itask("t", status=running))
        await setup.until(INFERENCE_TASKS, "t", "status", "phase", becomes="Queued")
        (pod,) = setup.cluster.all(PODS)
        bound = {"spec": {"schedulingGates": [], "nodeName": "n"}, "status": {"phase": "Running"}}
        setup.cluster.change(PODS, pod["metadata"]["name"], "default", bound)
        await setup.until(INFERENCE_TASKS, "t", "status", "phase", becomes="Running")

        setup.cluster.change(NODES, "n", None, make_node("n", ready=False))
        silent = "node n is NotReady"
        await setup.until(INFERENCE_TASKS, "t", "status", "message", becomes=silent)
        setup.cluster.remove(NODES, "n")
        gone = f"pod {pod['metadata']['name']}: node n is gone"
        await setup.until(INFERENCE_TASKS, "t", "status", "message", becomes=gone)
