"""Entry point of the extender: reads the settings, builds the application and serves it."""

import asyncio
import gc
import logging
import os
import sys
from socket import socket

import uvloop
from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from acesniper.domain.errors import InvalidInput
from acesniper.extender.app import create_app, create_health_app
from acesniper.extender.http_server import (
    HEALTH_LIMITS,
    PAGE_LIMITS,
    SCHEDULER_LIMITS,
    LimitedServer,
)
from acesniper.extender.metrics import ModelMetrics
from acesniper.extender.wiring import Extender
from acesniper.predictor.base import LatencyPredictor
from acesniper.predictor.csv import CsvPredictor
from acesniper.predictor.factory import ReplaceablePredictor, default_predictor
from acesniper.runtime import logs
from acesniper.runtime.client import Cluster
from acesniper.runtime.listener import listening_socket
from acesniper.runtime.settings import ExtenderSettings

log = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 0.0002


def main() -> int:
    """Run the extender; returns 2 if its settings are invalid."""
    try:
        settings = ExtenderSettings.read(os.environ)
        logs.configure(settings.log_format, settings.log_level)
        uvloop.run(serve(settings))
    except InvalidInput as error:
        sys.stderr.write(f"acesniper extender: {error}\n")
        return 2
    return 0


async def serve(settings: ExtenderSettings) -> None:
    """Serve until the process receives a signal to stop."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    predictor = predictor_of(settings)
    async with Cluster.connect(settings.kubeconfig, settings.watch_silence_s) as cluster:
        extender = Extender.build(settings, cluster, predictor, registry)
        server = LimitedServer(
            create_app(extender, registry),
            listen(settings.host, settings.port),
            SCHEDULER_LIMITS,
            tls_folder=settings.tls_folder,
            handles_signals=True,
            on_closed=extender.metrics.connection_closed("scheduler"),
        )
        relax_garbage_collector()
        shorten_switch_interval()
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(extender.run())]
            if settings.health_port:
                health = LimitedServer(
                    create_health_app(extender, registry),
                    # The kubelet and Prometheus connect from outside.
                    listen("0.0.0.0", settings.health_port),  # noqa: S104
                    HEALTH_LIMITS,
                    on_closed=extender.metrics.connection_closed("health"),
                )
                background.append(group.create_task(health.serve()))
            if extender.page is not None:
                background.append(group.create_task(serve_page(extender, settings)))
            if isinstance(predictor, ReplaceablePredictor):
                ModelMetrics.on(registry, predictor)
                follow = predictor.follow(extender.cache.invalidate_predictions)
                background.append(group.create_task(follow))
            await server.serve()
            for task in background:
                task.cancel()


def predictor_of(settings: ExtenderSettings) -> LatencyPredictor:
    """Return the predictor: from a CSV file if one is set, else the network."""
    if settings.predictions is not None:
        return CsvPredictor.read(settings.predictions)
    if settings.network is not None:
        return ReplaceablePredictor(settings.network)
    return default_predictor()


def listen(host: str, port: int) -> socket:
    """Return a socket that listens on an address.

    Raises:
        InvalidInput: the address cannot be used.
    """
    try:
        return listening_socket(host, port)
    except OSError as error:
        raise InvalidInput(f"cannot listen on {host} port {port}: {error}") from error


def relax_garbage_collector() -> None:
    """Make garbage collections rare.

    A full one over the cache of a large cluster blocks all responses for tens of milliseconds, and
    few cycles are created here.
    """
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def shorten_switch_interval() -> None:
    """Let the event loop interrupt a planning thread after a fraction of a millisecond.

    By default a thread may hold the interpreter for 5 ms, and a response needs several switches.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)


async def serve_page(extender: Extender, settings: ExtenderSettings) -> None:
    """Serve the page on its own port until cancelled. The extender works without it."""
    assert extender.page is not None  # noqa: S101 - by the caller
    try:
        listening = listen(settings.page_host, settings.page_port)
    except InvalidInput as error:
        log.error("page not served: %s", error)
        return
    app = extender.page.app(settings.page_host)
    on_closed = extender.metrics.connection_closed("page")
    await LimitedServer(app, listening, PAGE_LIMITS, on_closed=on_closed).serve()


if __name__ == "__main__":
    raise SystemExit(main())
