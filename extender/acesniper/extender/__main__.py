"""Entry point of the extender: reads the settings, builds the application and serves it."""

import asyncio
import gc
import logging
import os
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from acesniper.domain.errors import InvalidInput
from acesniper.extender.app import create_app, create_health_app
from acesniper.extender.metrics import ModelMetrics
from acesniper.extender.page.routes import Page
from acesniper.extender.wiring import Extender
from acesniper.predictor.base import LatencyPredictor
from acesniper.predictor.csv import CsvPredictor
from acesniper.predictor.factory import ReplaceablePredictor, default_predictor
from acesniper.runtime import logs
from acesniper.runtime.client import Cluster
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
        config = uvicorn.Config(
            create_app(extender, registry),
            host=settings.host,
            port=settings.port,
            access_log=False,
            log_config=None,
            **tls_options(settings.tls_folder),
        )
        relax_garbage_collector()
        shorten_switch_interval()
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(extender.run())]
            if settings.health_port:
                health = create_health_app(extender, registry)
                background.append(group.create_task(serve_health(health, settings.health_port)))
            if extender.page is not None:
                background.append(group.create_task(serve_page(extender.page, settings)))
            if isinstance(predictor, ReplaceablePredictor):
                ModelMetrics.on(registry, predictor)
                follow = predictor.follow(extender.cache.invalidate_predictions)
                background.append(group.create_task(follow))
            await uvicorn.Server(config).serve()
            for task in background:
                task.cancel()


def predictor_of(settings: ExtenderSettings) -> LatencyPredictor:
    """Return the predictor: from a CSV file if one is set, else the network."""
    if settings.predictions is not None:
        return CsvPredictor.read(settings.predictions)
    if settings.network is not None:
        return ReplaceablePredictor(settings.network)
    return default_predictor()


def tls_options(folder: Path | None) -> dict[str, Any]:
    """Return the uvicorn options that require a client certificate."""
    if folder is None:
        return {}
    return {
        "ssl_certfile": folder / "tls.crt",
        "ssl_keyfile": folder / "tls.key",
        "ssl_ca_certs": str(folder / "ca.crt"),
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
    }


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


class SecondaryServer(uvicorn.Server):
    """A server next to the main one, which alone handles signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield


async def serve_health(health: FastAPI, port: int) -> None:
    """Serve health and metrics to the kubelet and Prometheus, which connect from outside."""
    config = uvicorn.Config(
        health,
        host="0.0.0.0",  # noqa: S104
        port=port,
        access_log=False,
        log_config=None,
    )
    await SecondaryServer(config).serve()


async def serve_page(page: Page, settings: ExtenderSettings) -> None:
    """Serve the page on its own port until cancelled. The extender works without it."""
    config = uvicorn.Config(
        page.app(settings.page_host),
        host=settings.page_host,
        port=settings.page_port,
        access_log=False,
        log_config=None,
    )
    try:
        await SecondaryServer(config).serve()
    except SystemExit:  # raised by uvicorn when the port is in use
        log.error("page not served: port %d is in use", settings.page_port)


if __name__ == "__main__":
    raise SystemExit(main())
