"""The kopf registry: event handlers and connection settings.

The handlers are `event` handlers that only update the cache and the work queue. The controller is
level-based, and kopf writes nothing into objects (no finalizers, no annotations).
"""

import dataclasses
import uuid
from collections.abc import Callable
from typing import Any

import kopf

from acesniper.api.names import (
    DEVICE_PROFILES,
    GROUP,
    INFERENCE_TASKS,
    MODEL_PROFILES,
    VERSION,
    Kind,
)
from acesniper.api.objects import Json
from acesniper.operator.controller import Controller
from acesniper.operator.kopf_session import guarded_session
from acesniper.runtime.pod_api import PodApi
from acesniper.runtime.skipped import DELETE, UPSERT

EventHandler = Callable[[bool, Json], None]
"""Called with whether the object is gone, and the object."""


def build_registry(controller: Controller, watch_silence_s: float) -> kopf.OperatorRegistry:
    """The handlers of a controller, on a registry of their own."""
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:  # noqa: ANN401
        # A broken connection is noticed within the first of these times (seconds).
        settings.watching.inactivity_timeout = watch_silence_s
        settings.watching.server_timeout = 240
        settings.watching.client_timeout = 260
        settings.watching.connect_timeout = 10
        settings.watching.reconnect_backoff = 0.5
        settings.networking.request_timeout = 30
        settings.networking.connect_timeout = 10
        settings.posting.enabled = False
        settings.peering.standalone = True
        settings.scanning.disabled = True
        # Nothing of kopf's is kept in objects, so nothing that their authors write there is read.
        settings.persistence.diffbase_storage = _NoDiffBase()
        settings.persistence.progress_storage = _NoProgress()
        settings.persistence.finalizer = f"{GROUP}/{uuid.uuid4()}"

    def deliver(kind: Kind, handle: EventHandler, event: kopf.RawEvent) -> None:
        change = DELETE if event["type"] == "DELETED" else UPSERT

        def apply(change: str, obj: Json) -> None:
            handle(change == DELETE, obj)

        controller.skipped.deliver(kind, apply, change, dict(event["object"]))

    @kopf.on.event(GROUP, VERSION, "inferencetasks", registry=registry)
    async def task(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401
        deliver(INFERENCE_TASKS, controller.task_event, event)

    @kopf.on.event(GROUP, VERSION, "modelprofiles", registry=registry)
    async def model(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401
        deliver(MODEL_PROFILES, controller.model_event, event)

    @kopf.on.event(GROUP, VERSION, "deviceprofiles", registry=registry)
    async def device(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401
        deliver(DEVICE_PROFILES, controller.device_event, event)

    @kopf.on.login(registry=registry)
    async def login(**arguments: Any) -> kopf.AiohttpSession | None:  # noqa: ANN401
        info = kopf.login_with_service_account(**arguments)
        if info is not None:
            # kopf resolves the API server's name; the address in the environment needs no DNS.
            info = dataclasses.replace(info, server=PodApi.here().url)
        else:
            info = kopf.login_with_kubeconfig(**arguments)
        return None if info is None else guarded_session(info)

    return registry


class _NoDiffBase(kopf.AnnotationsDiffBaseStorage):
    """Reads no earlier version from an annotation, which the author of the object writes."""

    def build(self, **_: Any) -> kopf.BodyEssence:  # noqa: ANN401
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> None:  # noqa: ANN401
        return None


class _NoProgress(kopf.AnnotationsProgressStorage):
    """Reads no progress from annotations."""

    def fetch(self, **_: Any) -> None:  # noqa: ANN401
        return None
