"""kopf's side: which events we hear, how it connects, what it answers when asked for its health.

Handlers are `event` handlers: they only note what was seen. Everything is decided by level in the
controller, and kopf writes nothing into our objects (no finalizers, no annotations).
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import kopf

from acesniper.api.names import GROUP, VERSION
from acesniper.operator.controller import Controller
from acesniper.runtime.pod_api import PodApi


def build_registry(
    controller: Controller, watch_silence_s: float, deaf: Callable[[], Sequence[str]] = tuple
) -> kopf.OperatorRegistry:
    """The handlers over a controller, on a registry of their own.

    `deaf` names kinds that nothing is heard of any more; the operator is not live then.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:  # noqa: ANN401
        # A watch that was cut silently is noticed within the first of these times (seconds).
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

    @kopf.on.probe(id="queued", registry=registry)
    def queued(**_: Any) -> int:  # noqa: ANN401
        return controller.queued()

    @kopf.on.probe(id="deaf", registry=registry)
    def hears(**_: Any) -> list[str]:  # noqa: ANN401
        kinds = [*controller.store.hearing.deaf(), *deaf()]
        if kinds:
            # kopf answers 500 then, and the kubelet starts the operator anew.
            raise kopf.PermanentError(f"nothing is heard any more of {', '.join(kinds)}")
        return kinds

    @kopf.on.login(registry=registry)
    def login(**arguments: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401
        account = kopf.login_with_service_account(**arguments)
        if account is None:
            return kopf.login_with_kubeconfig(**arguments)
        # kopf asks DNS for the API server; the address in the environment works without.
        return dataclasses.replace(account, server=PodApi.here().url)

    return registry
