"""Starts the extender: settings, adapters, application, run."""

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


def relax_garbage_collector() -> None:
    """Let garbage collections come rarely.

    A full one over the mirrors of a large cluster stops every answer for tens of milliseconds, and
    nothing here makes cycles in bulk.
    """
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)


def shorten_switch_interval() -> None:
    """Let the event loop take its turn from a thread that plans after a fraction of a millisecond.

    By default a thread may keep the interpreter for 5 ms, and an answer needs several turns.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)


def predictor_of(settings: ExtenderSettings) -> LatencyPredictor:
    """The listed predictions where a file is set, else the network."""
    if settings.predictions is not None:
        return CsvPredictor.read(settings.predictions)
    if settings.network is not None:
        return ReplaceablePredictor(settings.network)
    return default_predictor()


def tls(folder: Path | None) -> dict[str, Any]:
    """What uvicorn is told, so that nobody without a certificate is answered."""
    if folder is None:
        return {}
    return {
        "ssl_certfile": folder / "tls.crt",
        "ssl_keyfile": folder / "tls.key",
        "ssl_ca_certs": str(folder / "ca.crt"),
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
    }


async def serve(settings: ExtenderSettings) -> None:
    """Serve until the process is told to stop."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    predictor = predictor_of(settings)
    async with Cluster.connect(settings.kubeconfig, settings.watch_silence_s) as cluster:
        state = Extender.build(settings, cluster, predictor, registry)
        config = uvicorn.Config(
            create_app(state, registry),
            host=settings.host,
            port=settings.port,
            access_log=False,
            log_config=None,
            **tls(settings.tls_folder),
        )
        relax_garbage_collector()
        shorten_switch_interval()
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(state.run())]
            if settings.health_port:
                health = create_health_app(state, registry)
                background.append(group.create_task(serve_health(health, settings.health_port)))
            if state.page is not None:
                background.append(group.create_task(serve_page(state.page, settings)))
            if isinstance(predictor, ReplaceablePredictor):
                ModelMetrics.on(registry, predictor)
                replacing = predictor.follow(state.fleet.predict_anew)
                background.append(group.create_task(replacing))
            await uvicorn.Server(config).serve()
            for each in background:
                each.cancel()


class SecondaryServer(uvicorn.Server):
    """A server beside another one, which is told by signals when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


async def serve_health(health: FastAPI, port: int) -> None:
    """Say to the kubelet and to Prometheus, which ask from outside, how we are."""
    config = uvicorn.Config(
        health,
        host="0.0.0.0",  # noqa: S104
        port=port,
        access_log=False,
        log_config=None,
    )
    await SecondaryServer(config).serve()


async def serve_page(page: Page, settings: ExtenderSettings) -> None:
    """Serve the page on its own port, until cancelled; without it, all else goes on."""
    config = uvicorn.Config(
        page.app(settings.page_host),
        host=settings.page_host,
        port=settings.page_port,
        access_log=False,
        log_config=None,
    )
    try:
        await SecondaryServer(config).serve()
    except SystemExit:  # uvicorn's way to say that the port is taken
        log.error("the page is not served: port %d is taken", settings.page_port)


def main() -> int:
    """The program; 2 if its settings are wrong."""
    try:
        settings = ExtenderSettings.read(os.environ)
        logs.configure(settings.log_format, settings.log_level)
        uvloop.run(serve(settings))
    except InvalidInput as error:
        sys.stderr.write(f"acesniper extender: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
