"""The kopf registry: event handlers and connection settings.

The handlers are `event` handlers that only update the cache and the work queue. The controller is
level-based, and kopf writes nothing into objects (no finalizers, no annotations).
"""

import dataclasses
from typing import Any

import kopf

from acesniper.api.names import GROUP, VERSION
from acesniper.operator.controller import Controller
from acesniper.runtime.pod_api import PodApi


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

    @kopf.on.event(GROUP, VERSION, "inferencetasks", registry=registry)
    async def task(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401
        controller.task_event(event["type"] == "DELETED", event["object"])

    @kopf.on.event(GROUP, VERSION, "modelprofiles", registry=registry)
    async def model(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401
        controller.model_event(event["type"] == "DELETED", event["object"])

    @kopf.on.event(GROUP, VERSION, "deviceprofiles", registry=registry)
    async def device(event: kopf.RawEvent, **_: Any) -> None:  # noqa: ANN401
        controller.device_event(event["type"] == "DELETED", event["object"])

    @kopf.on.login(registry=registry)
    def login(**arguments: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401
        account = kopf.login_with_service_account(**arguments)
        if account is None:
            return kopf.login_with_kubeconfig(**arguments)
        # kopf resolves the API server's name; the address in the environment needs no DNS.
        return dataclasses.replace(account, server=PodApi.here().url)

    return registry
